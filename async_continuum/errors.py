"""Say what is wrong, where, and what to do: one base, and a leaf for each situation."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import CompileError, SQLAlchemyError


def _name(model: object) -> str:
    return f"{model.__module__}.{model.__qualname__}" if isinstance(model, type) else repr(model)


class VersioningError(SQLAlchemyError):
    """Base of every error of this package; a `SQLAlchemyError`, so that one ``except`` catches both."""


class ClassNotVersioned(VersioningError):
    """History was asked of a class or table that keeps none. The culprit is `model`."""

    def __init__(self, model: object) -> None:
        self.model = model
        super().__init__(
            f"{_name(model)} is not versioned. Derive it from Versioned (or give it `__versioned__ = {{}}`), "
            "and call make_versioned() once in the process."
        )


class ImproperlyConfigured(VersioningError):
    """A model or an option cannot be used as it is. The culprits are `model` and `option`, where there are such."""

    def __init__(self, problem: str, *, model: object = None, option: str | None = None) -> None:
        self.model = model
        self.option = option
        super().__init__(problem if model is None else f"{_name(model)}: {problem}")


class NoSession(VersioningError):
    """History was asked of an object that lives in no session. The culprit is `instance`."""

    def __init__(self, instance: object) -> None:
        self.instance = instance
        super().__init__(
            f"{type(instance).__name__} at {id(instance):#x} is in no AsyncSession, so its history cannot be read. "
            "Pass one (`awaitable_versions(session)`, `versions_of(session, Model, key)`), or add the object to one."
        )


class RevertError(VersioningError):
    """A version cannot be reverted to, and nothing was changed. The culprits are `version` and `path`."""

    def __init__(self, problem: str, *, version: object, path: str | None = None) -> None:
        self.version = version
        self.path = path
        super().__init__(f"{type(version).__name__} cannot be reverted: {problem} Nothing was changed.")


class ReadOnlySession(VersioningError):
    """A session in the past was asked to write, or to run what cannot be answered from history.

    The culprit is `statement`: the statement, or what was asked for.
    """

    def __init__(
        self, statement: object, *, named: str | None = None, because: str = "use an ordinary session."
    ) -> None:
        self.statement = statement
        super().__init__(f"This session shows the past and is read-only; it refused {named or statement}: {because}")


class UnrecordedStatement(VersioningError):
    """A statement changes a versioned table in a way that cannot be recorded (option ``unrecorded='raise'``)."""

    def __init__(self, statement: object) -> None:
        self.statement = statement
        super().__init__(f"This statement changes a versioned table and cannot be recorded: {_in_words(statement)}")


class ColumnNotVersioned(VersioningError):
    """A column that history does not hold was read in the past. The culprit is `column`."""

    def __init__(self, column: object) -> None:
        self.column = column
        super().__init__(
            f"{column} is excluded from history, so it has no past value. "
            "Declare one with the option `past_default`, or leave the column out of the query."
        )


def _in_words(statement: object) -> str:
    try:
        return str(statement)
    except CompileError:
        # Some have no SQL but for the database that they are written for.
        return f"{type(statement).__name__.upper()} of {getattr(statement, 'table', 'a table')}"


def wrong_session(session: object, *, wanted: str) -> TypeError:
    """Make the error for a session of the wrong kind; nothing has been stored in it."""
    given: Any = type(session)
    return TypeError(f"expected {wanted}, got {given.__module__}.{given.__qualname__}")

"""Build the version table of a table: its columns without their rules, and when each row held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Column, Index, MetaData, Table, select
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import ColumnElement, FromClause
from sqlalchemy.types import NullType, SchemaType, TypeEngine

from async_continuum.build.conditions import condition
from async_continuum.build.names import fit
from async_continuum.build.types import OperationType, transaction_id_type
from async_continuum.declare import NOTHING, AddedColumn, Extras, Settings, Strategy
from async_continuum.errors import ImproperlyConfigured


@dataclass(eq=False, slots=True, weakref_slot=True)
class TableHistory:
    """How one table maps to its version table. Lives as long as the model's blueprint.

    The classes of a hierarchy share it: what is declared later is taken into it, so that all of them see it.
    """

    table: Table
    version_table: Table
    columns: tuple[str, ...]
    key: tuple[str, ...]
    begins: str
    ends: str | None
    operation: str
    strategy: Strategy
    extras: Extras = NOTHING
    record_if: ColumnElement[bool] | None = None
    """Which rows are recorded, on columns of the table; None: all."""
    added: tuple[AddedColumn, ...] = ()
    """What the version table holds besides the columns of the table."""
    is_link: bool = False
    """Whether this is an association table, whose rows are known by what they link."""
    settings: Settings = field(default_factory=Settings)
    statements: dict[Any, Any] = field(default_factory=dict)
    """What later steps have compiled for this table, kept here so that it goes with the table."""
    decided: set[str] = field(default_factory=set)
    """Columns of the table that a class has decided on, kept or not."""
    shared: bool = False
    """Whether rows of several classes are in the table."""
    mapper: Mapper[Any] | None = None
    """That of the topmost class; an association table has none."""
    names_class: str | None = None
    """The column by which its rows say of which class they are."""
    class_columns: frozenset[str] = frozenset()
    """That column, or those of the expression that says it: no version can be loaded without."""
    leader: TableHistory | None = None
    """The history of the topmost table under joined inheritance, whose versions these follow: same keys, same ids."""
    followers: list[TableHistory] = field(default_factory=list)
    """The histories of all tables below this one."""

    @property
    def key_types(self) -> list[TypeEngine[Any]]:
        return [self.table.c[name].type for name in self.key]

    def key_of(self, rows: FromClause) -> list[ColumnElement[Any]]:
        """List the key columns of the table, the version table, or an alias of either."""
        return [rows.c[name] for name in self.key]


def ends_of(history: TableHistory, versions: FromClause) -> ColumnElement[Any]:
    """Give the transaction that ended a version, or NULL: a column, or under 'subquery' the next version's id."""
    if history.ends is not None:
        return versions.c[history.ends]
    later = history.version_table.alias("ac_later")
    same = [a == b for a, b in zip(history.key_of(later), history.key_of(versions), strict=True)]
    following = select(later.c[history.begins]).where(*same, later.c[history.begins] > versions.c[history.begins])
    return following.order_by(later.c[history.begins]).limit(1).correlate(versions).scalar_subquery()


def build_table(
    table: Table,
    columns: Sequence[Column[Any]],
    key: Sequence[Column[Any]],
    settings: Settings,
    *,
    model: type,
    attributes: Sequence[str],
) -> TableHistory:
    """Build the version table beside ``table``, in the same metadata, so that ``create_all`` and Alembic see it."""
    kept = [_version_column(column, is_key=column in set(key)) for column in columns]
    added = _own_columns(settings)
    refuse_clash(columns, attributes, settings, model=model)
    name = fit(settings.table_name % table.name)
    # With create_tables=False the table is the user's to create: kept out of the metadata that create_all walks.
    metadata = table.metadata if settings.create_tables else MetaData()
    schema = settings.schema if settings.schema is not None else table.schema
    if f"{schema}.{name}" in metadata.tables or (schema is None and name in metadata.tables):
        raise ImproperlyConfigured(
            f"its version table would be {name!r}, which exists already. Choose another with the option 'table_name'.",
            model=model,
            option="table_name",
        )
    begins = settings.transaction_column_name
    version_table = Table(name, metadata, *kept, *added, schema=schema)
    history = TableHistory(
        table=table,
        version_table=version_table,
        columns=tuple(column.key for column in columns),
        key=tuple(column.key for column in key),
        begins=begins,
        ends=settings.end_transaction_column_name if settings.strategy == "validity" else None,
        operation=settings.operation_type_column_name,
        strategy=settings.strategy,
        settings=settings,
        extras=settings.extras,
        record_if=condition(table, settings, model=model),
    )
    _add_indexes(history)
    try:
        _add_extras(history, model=model)
    except ImproperlyConfigured:
        metadata.remove(version_table)
        raise
    return history


def extend_table(history: TableHistory, columns: Sequence[Column[Any]], *, model: type) -> None:
    """Take into the version table the columns that were added to the table since it was built."""
    for column in columns:
        history.version_table.append_column(_version_column(column, is_key=False))
    history.columns += tuple(column.key for column in columns)
    for each in (history, history.leader):
        if each is not None:
            each.statements.clear()
    _add_extras(history, model=model)


def _add_extras(history: TableHistory, *, model: type) -> None:
    """Append what plugins add, but what is there already."""
    added = tuple(history.extras.version_columns(history))
    known = {each.column.key for each in history.added}
    for each in added:
        if each.column.key in known:
            continue
        if each.column.key in history.version_table.c:
            raise ImproperlyConfigured(
                f"it has a column {each.column.key!r}, like the one that a plugin adds to its version table.",
                model=model,
                option="plugins",
            )
        history.version_table.append_column(each.column)
    history.added = added


def follow(history: TableHistory, leader: TableHistory) -> None:
    """Let the versions of a joined table follow those of the topmost one."""
    history.leader = leader
    leader.followers.append(history)
    leader.shared = True
    leader.statements.clear()


def past_column(column: Any, histories: Sequence[TableHistory]) -> Column[Any] | None:
    """Give the column of a version table that holds a model's column; None where history does not hold it."""
    table = getattr(column, "table", None)
    for history in histories:
        if history.table is table:
            return history.version_table.c[column.key] if column.key in history.columns else None
    return None


def resolve_types(history: TableHistory) -> bool:
    """Take over the types that columns have got from what their foreign keys name; say whether all have one now.

    A column that is declared before the table that it refers to has none until then.
    """
    untyped = [name for name in history.columns if isinstance(history.version_table.c[name].type, NullType)]
    for name in untyped:
        history.version_table.c[name].type = _version_type(history.table.c[name].type)
    return not any(isinstance(history.version_table.c[name].type, NullType) for name in untyped)


def _version_column(column: Column[Any], *, is_key: bool) -> Column[Any]:
    return Column(
        column.name,
        _version_type(column.type),
        key=column.key,
        primary_key=is_key,
        nullable=not is_key,
        autoincrement=False,
        comment=column.comment,
    )


def _version_type(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    # A CHECK that goes with the type (Boolean, Enum) is a rule of the present, not of the past.
    if isinstance(type_, SchemaType) and getattr(type_, "create_constraint", False):
        unchecked: Any = type_.copy()
        unchecked.create_constraint = False
        return cast("TypeEngine[Any]", unchecked)
    return type_


_OPERATION = OperationType()


def _own_columns(settings: Settings) -> list[Column[Any]]:
    begins: Column[Any] = Column(
        settings.transaction_column_name, transaction_id_type(), primary_key=True, autoincrement=False
    )
    ends: Column[Any] = Column(settings.end_transaction_column_name, transaction_id_type())
    operation: Column[Any] = Column(settings.operation_type_column_name, _OPERATION, nullable=False)
    return [begins, ends, operation] if settings.strategy == "validity" else [begins, operation]


def refuse_clash(columns: Iterable[Column[Any]], attributes: Iterable[str], settings: Settings, *, model: type) -> None:
    """Refuse a column or an attribute of the model's own that is called like one of a version's."""
    names = [*attributes, *(name for column in columns for name in (column.name, column.key))]
    taken = {name.lower(): name for name in names}
    for option in ("transaction_column_name", "end_transaction_column_name", "operation_type_column_name"):
        name = taken.get(getattr(settings, option).lower())
        if name is not None:
            raise ImproperlyConfigured(
                f"it has a column or attribute {name!r}, like its version table. "
                f"Rename ours with the option {option!r}.",
                model=model,
                option=option,
            )


def _add_indexes(history: TableHistory) -> None:
    versions = history.version_table
    begins = versions.c[history.begins]
    Index(fit(f"ix_{versions.name}_{history.begins}"), begins)
    if history.ends is not None:
        is_open = versions.c[history.ends].is_(None)
        # At most one open version for a key, held by the database itself; and what closing looks up.
        Index(
            fit(f"uq_{versions.name}_open"),
            *history.key_of(versions),
            unique=True,
            postgresql_where=is_open,
            sqlite_where=is_open,
        ).ddl_if(callable_=_has_partial_indexes)


def _has_partial_indexes(*_: Any, dialect: Any, **__: Any) -> bool:
    return dialect.name in ("postgresql", "sqlite")

"""Compare a relation of the past with an object, in queries: ``ArticleVersion.author == version``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, inspect
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Mapper, RelationshipProperty
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.elements import Null


class Compared(RelationshipProperty.Comparator[Any]):
    """Compares by identity, whether what is related has it. Lives as long as the relation.

    SQLAlchemy's own compares every column that joins: of a version its lifetime too, whose end is NULL while it is
    open, which SQL equates with nothing.
    """

    __slots__ = ()

    def __eq__(self, other: Any) -> ColumnElement[bool]:  # type: ignore[override]
        if other is None or isinstance(other, Null):
            return ~self._has()
        if self.property.uselist:
            return super().__eq__(other)
        return self._has(other)

    def __ne__(self, other: Any) -> ColumnElement[bool]:  # type: ignore[override]
        if other is None or isinstance(other, Null):
            return self._has()
        if self.property.uselist:
            return super().__ne__(other)
        return ~self._has(other)

    def contains(self, other: Any, **kwargs: Any) -> ColumnElement[bool]:
        """Ask whether a version's collection has an object in it."""
        return self._has(other) if self.property.uselist else super().contains(other, **kwargs)

    def _has(self, other: object = None) -> ColumnElement[bool]:
        related = self.any if self.property.uselist else self.has
        return related() if other is None else related(and_(*self._identifies(other)))

    def _identifies(self, other: object) -> list[ColumnElement[bool]]:
        mapper: Mapper[Any] = self.property.mapper
        if not isinstance(other, mapper.class_):
            raise ArgumentError(
                f"{self.property} leads to {mapper.class_.__name__}: compare it with an object of that class, "
                f"not with {other!r}."
            )
        identity = inspect(other).identity or mapper.primary_key_from_instance(other)
        names = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
        return [getattr(mapper.class_, name) == value for name, value in zip(names, identity, strict=True)]

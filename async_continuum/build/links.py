"""Build the version table of an association table: a link is an entity too, whose key is what it links."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.orm import Mapper, RelationshipProperty

from async_continuum.build.table import TableHistory, build_table
from async_continuum.declare import Settings

_INFO = "async_continuum"
_OF_ALL = (
    "table_name",
    "transaction_column_name",
    "end_transaction_column_name",
    "operation_type_column_name",
    "strategy",
)


@dataclass(frozen=True, eq=False, slots=True)
class LinkBlueprint:
    """How one association table maps to its history. Lives as long as the table, or until `remove_versioning`."""

    history: TableHistory
    transaction_class: Any
    model: type
    """The model whose relation named the table first."""

    @property
    def histories(self) -> tuple[TableHistory, ...]:
        return (self.history,)

    @property
    def transaction_table(self) -> Table:
        table: Table = self.transaction_class.__table__
        return table


def has_late_secondary(mapper: Mapper[Any]) -> bool:
    """Say whether a model names an association table by a callable, which only configuring mappers may call."""
    return not mapper.configured and any(callable(given) for _, given in _given(mapper))


def secondaries(mapper: Mapper[Any], settings: Settings) -> Iterator[Table | str]:
    """List the association tables of a model, some by name only, without configuring mappers."""
    excluded = settings.exclude - settings.include
    for prop, given in _given(mapper):
        if prop.key in excluded:
            continue
        if isinstance(given, (Table, str)):
            yield given
        elif mapper.configured and isinstance(prop.secondary, Table):
            yield prop.secondary


def _given(mapper: Mapper[Any]) -> Iterator[tuple[RelationshipProperty[Any], Any]]:
    for name in mapper.all_orm_descriptors.keys():  # noqa: SIM118 - it is no dict
        prop = mapper.get_property(name) if mapper.has_property(name) else None
        if isinstance(prop, RelationshipProperty):
            # Private: until mappers are configured it is kept nowhere else, and create_all must see it before.
            yield prop, prop._init_args.secondary.argument


def build_link(
    table: Table, settings: Settings, defaults: Settings, *, model: type, transaction_class: Any
) -> LinkBlueprint | None:
    """Build the version table of an association table; None where it has one, of its own or as a model's table.

    It is shaped by the options of all classes, ``defaults``, as Continuum's is: it belongs to both of its ends, and
    which of them is built first is chance.
    """
    if _INFO in table.info:
        return None
    key = _key(table)
    shared = {name: getattr(defaults, name) for name in _OF_ALL}
    settings = replace(settings, record_if=None, **shared)
    history = build_table(table, list(table.c), key, settings, model=model, attributes=())
    history = replace(history, is_link=True)
    table.info[_INFO] = history
    return LinkBlueprint(history, transaction_class, model)


def detach_link(link: LinkBlueprint) -> None:
    """Take the history of an association table away again; stored rows stay."""
    link.history.table.info.pop(_INFO, None)
    link.history.version_table.metadata.remove(link.history.version_table)


def _key(table: Table) -> list[Column[Any]]:
    # What a link links identifies it, also where the table has a surrogate key, or none at all. Of its foreign keys,
    # those of the primary key or required ones: another may say who made the link.
    linking = [column for column in table.c if column.foreign_keys]
    primary = list(table.primary_key.columns)
    if primary and set(primary) <= set(linking):
        return primary
    required = [column for column in linking if not column.nullable]
    return required if len(required) > 1 else linking or primary or list(table.c)

"""Fill what versions should hold and do not: their ends, their flags, what a migration wrote into live rows only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Boolean, TableClause, Update, exists, func, or_, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from async_continuum.dialects import differs
from async_continuum.operation import Operation
from async_continuum.schema.chain import Named, Names, chain_of, equal, history_behind, named_table


def fill_end_transaction_ids(
    table: Named,
    *,
    key: Sequence[str] = (),
    schema: str | None = None,
    transaction_column_name: str = "transaction_id",
    end_transaction_column_name: str = "end_transaction_id",
) -> Update:
    """End every version where the next one of its entity begins, and leave the last one open; one statement.

    For what nothing has closed, or wrongly: SQLAlchemy-Continuum leaves all rows of association tables open, and rows
    that concurrent writers changed. What is right is not touched. ``table`` is the version table; a model or a live
    table means its own. Raises `ValueError` without a key, and under the strategy 'subquery'.
    """
    names = Names(transaction_column_name, end_transaction_column_name)
    chain = chain_of(table, key=key, schema=schema, names=names)
    if chain.names.ends is None:
        raise ValueError(f"{chain.rows.name} stores no ends: its strategy is 'subquery'.")
    ends = chain.rows.c[chain.names.ends]
    later = chain.rows.alias("ac_later")
    begins = later.c[chain.names.begins]
    following = select(func.min(begins)).where(chain.same(later), begins > chain.begun)
    end = following.correlate(chain.rows).scalar_subquery()
    return update(chain.rows).values({ends: end}).where(ends.is_distinct_from(end))


def fill_property_mod_flags(
    table: Named,
    columns: Sequence[str],
    *,
    key: Sequence[str] = (),
    schema: str | None = None,
    transaction_column_name: str = "transaction_id",
    operation_type_column_name: str = "operation_type",
) -> Update:
    """Set ``<column>_mod`` of every version: whether the column is stored otherwise than before; one statement.

    True for an INSERT, for a DELETE, and for a version that has none before it. For rows older than the
    `PropertyModTrackerPlugin`. Raises `ValueError` without a key.
    """
    flags = {name: f"{name}_mod" for name in columns}
    names = Names(transaction_column_name, None, operation_type_column_name)
    chain = chain_of(table, *columns, *flags.values(), key=key, schema=schema, names=names)
    rows = chain.rows
    in_order: Any = {"partition_by": chain.keyed(rows), "order_by": chain.begun}

    def flag(name: str) -> ColumnElement[bool]:
        before = func.lag(rows.c[name], type_=rows.c[name].type).over(**in_order)
        is_first = func.lag(chain.begun).over(**in_order).is_(None)
        whole = rows.c[chain.names.operation] != Operation.UPDATE.value
        return or_(whole, is_first, StoredDifferently(rows.c[name], before))

    keyed = [each.label(f"key_{number}") for number, each in enumerate(chain.keyed(rows))]
    flagged = [flag(name).label(flags[name]) for name in columns]
    told = select(*keyed, chain.begun.label("begun"), *flagged).subquery("ac_told")
    same = [equal(told.c[f"key_{number}"], each) for number, each in enumerate(chain.keyed(rows))]
    values = {rows.c[name]: told.c[name] for name in flags.values()}
    return update(rows).values(values).where(*same, told.c.begun == chain.begun)


def fill_open_versions(
    live: Named,
    columns: Sequence[str],
    *,
    versions: str | TableClause | None = None,
    key: Sequence[str] = (),
    schema: str | None = None,
    versions_schema: str | None = None,
    transaction_column_name: str = "transaction_id",
    end_transaction_column_name: str | None = "end_transaction_id",
    operation_type_column_name: str = "operation_type",
) -> Update:
    """Give the newest version of every live row what the row holds in these columns now; one statement.

    For what a migration writes into the live table alone, which is part of no version else: an ``UPDATE``, or the
    default of a new column. ``live`` is the live table, ``versions`` by default ``<live>_version`` in the same schema;
    ``end_transaction_column_name=None`` is for the strategy 'subquery'. Raises `ValueError` without a key.
    """
    names = Names(transaction_column_name, end_transaction_column_name, operation_type_column_name)
    history = history_behind(live)
    if history is not None:
        versions, key, names = history.version_table, history.key, Names.of(history)
    present = named_table(live, schema, (*key, *columns))
    chosen = f"{present.name}_version" if versions is None else versions
    place = schema if versions_schema is None else versions_schema
    chain = chain_of(chosen, *columns, key=key, schema=place, names=names)
    if isinstance(live, str):
        present = named_table(live, schema, (*chain.key, *columns))
    here = chain.same(present)

    def held(name: str) -> ColumnElement[Any]:
        return select(present.c[name]).where(here).correlate(chain.rows).scalar_subquery()

    return (
        update(chain.rows)
        .values({chain.rows.c[name]: held(name) for name in columns})
        .where(
            chain.is_open(),
            chain.rows.c[chain.names.operation] != Operation.DELETE.value,
            exists().where(here).correlate(chain.rows),
        )
    )


class StoredDifferently(FunctionElement[bool]):
    """Whether two columns hold something else, as each dialect tells it of what is stored."""

    type = Boolean()
    inherit_cache = True


@compiles(StoredDifferently)
def _compile(element: StoredDifferently, compiler: SQLCompiler, **options: Any) -> str:
    left, right = element.clauses
    return f"({compiler.process(differs([(left, right)], compiler.dialect), **options)})"

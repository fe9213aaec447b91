"""Prove from the tables alone that history accounts for what is stored (invariants 1 to 4)."""

from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

from sqlalchemy import (
    Boolean,
    Column,
    CompoundSelect,
    Connection,
    Select,
    Subquery,
    Table,
    and_,
    case,
    exists,
    func,
    inspect,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

import async_continuum as ac
from tests.kit.kept import History, present, tables_in

Q = TypeVar("Q")

SHOWN = 5
"""How many offenders of a kind the message names."""


class stored_differently(FunctionElement[bool]):
    """Whether two columns hold something else byte for byte, never under a collation or a type's own `=`."""

    type = Boolean()
    inherit_cache = True


@compiles(stored_differently, "postgresql")
def _record_images(element: Any, compiler: Any, **options: Any) -> str:
    left, right = (compiler.process(column, **options) for column in element.clauses)
    return f"(ROW({left})::record *<> ROW({right})::record)"


@compiles(stored_differently, "sqlite")
def _binary_and_typeof(element: Any, compiler: Any, **options: Any) -> str:
    left, right = (compiler.process(column, **options) for column in element.clauses)
    return f"({left} COLLATE BINARY IS NOT {right} COLLATE BINARY OR typeof({left}) IS NOT typeof({right}))"


@compiles(stored_differently)
def _binary(element: Any, compiler: Any, **options: Any) -> str:
    left, right = (compiler.process(column, **options) for column in element.clauses)
    return f"(NOT (CAST({left} AS BINARY) <=> CAST({right} AS BINARY)))"


async def assert_invariants(
    engine: AsyncEngine,
    manager: ac.VersioningManager,
    *,
    allowed_empty: Collection[int] = frozenset(),
    unaccounted: bool = False,
) -> None:
    """Fail with every broken invariant of everything that the manager versions and whose tables exist here.

    `allowed_empty` are transactions that the user asked for with `current_transaction`; `unaccounted` says that
    something was written past the recording on purpose, and leaves out what compares history with the live rows.
    """
    async with engine.connect() as connection:
        broken = await connection.run_sync(
            lambda sync: list(_broken(sync, manager, frozenset(allowed_empty), unaccounted))
        )
    assert not broken, "history is broken:\n  " + "\n  ".join(broken)


def _broken(
    connection: Connection, manager: ac.VersioningManager, allowed_empty: frozenset[int], unaccounted: bool
) -> Iterator[str]:
    histories = {history.versions: history for history in present(connection, manager)}
    written = _written(connection, list(histories.values()))
    for history in histories.values():
        if history.versions.fullname in written:
            yield from _dangling(connection, history)
            yield from _out_of_order(connection, history)
            if not unaccounted:
                yield from _operations_that_cannot_follow(connection, history)
                yield from _live_rows_unlike_their_newest_version(connection, history)
                yield from _gone_without_a_delete(connection, history)
            yield from _flags_that_do_not_tell(connection, history)
    yield from _names_that_do_not_tell(connection, manager, list(histories.values()))
    for transaction in dict.fromkeys(history.transaction for history in histories.values()):
        yield from _empty_transactions(connection, transaction, list(histories.values()), allowed_empty)
        yield from _beside_no_transaction(connection, transaction)


# -- what there is --------------------------------------------------------------------------------------------------


def _written(connection: Connection, histories: list[History]) -> set[str]:
    if not histories:
        return set()

    def build() -> Select[Any] | CompoundSelect[Any]:
        names = (select(literal(h.versions.fullname)).where(exists().select_from(h.versions)) for h in histories)
        return union_all(*names)

    return set(connection.scalars(_built_once(histories[0].transaction, ("written", *histories), build)))


def _built_once(transaction: Table, place: tuple[Any, ...], build: Callable[[], Q]) -> Q:
    """Give a query over many tables, which takes longer to build than to run. It lives as long as the tables."""
    queries = transaction.info.setdefault("invariants", {})
    if place not in queries:
        queries[place] = build()
    return queries[place]


def _newest(history: History) -> Subquery:
    """The newest version of every entity."""
    place = func.row_number().over(
        partition_by=history.columns(history.versions), order_by=history.versions.c[history.begins].desc()
    )
    ranked = select(history.versions, place.label("place_from_the_end")).subquery()
    return select(ranked).where(ranked.c.place_from_the_end == 1).subquery("its_newest")


def _offenders(
    connection: Connection, history: History, problem: str, build: Callable[[], Select[Any]]
) -> Iterator[str]:
    query = _built_once(history.transaction, (problem, history), lambda: build().limit(SHOWN + 1))
    rows = connection.execute(query).all()
    for row in rows[:SHOWN]:
        yield f"{problem}: {row._mapping!r}"
    if len(rows) > SHOWN:
        yield f"{problem}: ... and more"


# -- 1. every transaction exists ------------------------------------------------------------------------------------


def _dangling(connection: Connection, history: History) -> Iterator[str]:
    for name in filter(None, (history.begins, history.ends)):
        points = history.versions.c[name]

        def build(points: Column[Any] = points) -> Select[Any]:
            return select(*history.columns(history.versions), points).where(
                points.is_not(None), ~exists().where(history.transaction.c.id == points)
            )

        yield from _offenders(connection, history, f"(1) {history.name}: {name} is no transaction", build)


# -- 2. one open version, ends meet beginnings, operations follow ---------------------------------------------------


def _in_order(history: History) -> Subquery:
    """Every version with the beginning of the next one and the operation of the one before."""
    versions = history.versions
    order: dict[str, Any] = {
        "partition_by": history.columns(versions),
        "order_by": versions.c[history.begins],
    }
    operation = versions.c[history.operation]
    next_begins: Any = func.lead(versions.c[history.begins]).over(**order)
    operation_before: Any = func.lag(operation).over(**order)
    if history.top is not None:
        # What the topmost table says of an entity holds for every table of it.
        next_begins = func.coalesce(_left_at(history, versions), next_begins)
        operation_before = _operation_before(history, history.top)
    return select(
        *history.columns(versions),
        versions.c[history.begins].label("begins"),
        (versions.c[history.ends] if history.ends else literal(None)).label("ends"),
        operation.label("operation"),
        next_begins.label("next_begins"),
        operation_before.label("operation_before"),
    ).subquery()


def _left_at(history: History, rows: Any) -> Any:
    """Where an entity has become one of a class without this table, by which its versions end here."""
    top = history.top
    if top is None or history.names_class is None:
        return literal(None)
    following, later = top.versions.alias(), top.versions.alias()
    next_begins = select(func.min(later.c[top.begins])).where(
        *_same_above(history, top, rows, later), later.c[top.begins] > rows.c[history.begins]
    )
    return (
        select(following.c[top.begins])
        .where(
            *_same_above(history, top, rows, following),
            following.c[top.begins] == next_begins.correlate(rows).scalar_subquery(),
            following.c[top.operation] != ac.Operation.DELETE,
            rows.c[history.operation] != ac.Operation.DELETE,
            following.c[history.names_class].not_in(history.classes),
        )
        .correlate(rows)
        .scalar_subquery()
    )


def _operation_before(history: History, top: History) -> Any:
    before = top.versions.alias()
    earlier = before.c[top.begins] < history.versions.c[history.begins]
    found = select(before.c[top.operation]).where(*_same_above(history, top, history.versions, before), earlier)
    return found.order_by(before.c[top.begins].desc()).limit(1).correlate(history.versions).scalar_subquery()


def _same_above(history: History, top: History, rows: Any, above: Any) -> list[Any]:
    return [a == b for a, b in zip(history.columns(rows), top.columns(above), strict=True)]


def _out_of_order(connection: Connection, history: History) -> Iterator[str]:
    if history.ends is None:
        return

    def build() -> Select[Any]:
        versions = _in_order(history)
        return select(*history.columns(versions), versions.c.begins, versions.c.ends, versions.c.next_begins).where(
            versions.c.ends.is_distinct_from(versions.c.next_begins)
        )

    problem = f"(2) {history.name}: a version does not end where the next one begins"
    yield from _offenders(connection, history, problem, build)


def _operations_that_cannot_follow(connection: Connection, history: History) -> Iterator[str]:
    def build() -> Select[Any]:
        versions = _in_order(history)
        operation, before = versions.c.operation, versions.c.operation_before
        alive_before = and_(before.is_not(None), before != ac.Operation.DELETE)
        impossible = or_(
            operation.not_in([int(known) for known in ac.Operation]),
            operation.is_(None),
            and_(operation == ac.Operation.INSERT, alive_before),
            and_(operation != ac.Operation.INSERT, before == ac.Operation.DELETE),
        )
        return select(*history.columns(versions), versions.c.begins, operation, before).where(impossible)

    yield from _offenders(connection, history, f"(2) {history.name}: an operation cannot follow the one before", build)


# -- 3. the newest version is the live row --------------------------------------------------------------------------


def _live_rows_unlike_their_newest_version(connection: Connection, history: History) -> Iterator[str]:
    def build() -> Select[Any]:
        newest, live = _newest(history), history.live
        twin = live.alias("twin")
        alike = and_(*(~stored_differently(twin.c[name], newest.c[name]) for name in history.shared))
        # Of rows that store one link several times, one is what its version says.
        stands = exists().where(history.same_entity(twin, newest), alike) if history.is_link else literal(False)
        differences = [stored_differently(live.c[name], newest.c[name]) for name in history.shared]
        operation = newest.c[history.operation]
        return (
            select(*history.columns(live), newest.c[history.begins], operation, *differences)
            .join_from(live, newest, history.same_entity(live, newest))
            .where(or_(operation == ac.Operation.DELETE, and_(or_(*differences), ~stands)))
            .limit(SHOWN)
        )

    keys = len(history.key)
    for row in connection.execute(_built_once(history.transaction, ("unlike", history), build)):
        values, (begins, said), flags = row[:keys], row[keys : keys + 2], row[keys + 2 :]
        differing = [name for name, differs in zip(history.shared, flags, strict=True) if differs]
        yield (
            f"(3) {history.name} {tuple(values)} is alive, but its newest version, "
            f"{ac.Operation(said).name} at {begins}, "
            + ("says it is gone" if said == ac.Operation.DELETE else f"differs in {', '.join(differing)}")
        )


def _gone_without_a_delete(connection: Connection, history: History) -> Iterator[str]:
    def build() -> Select[Any]:
        newest, live = _newest(history), history.live
        query = select(*history.columns(newest), newest.c[history.begins], newest.c[history.operation]).where(
            newest.c[history.operation] != ac.Operation.DELETE,
            ~exists().select_from(live).where(history.same_entity(live, newest)),
        )
        return query if history.top is None else query.where(_left_at(history, newest).is_(None))

    yield from _offenders(connection, history, f"(3) {history.name}: gone, but the newest version is no DELETE", build)


# -- what plugins keep ----------------------------------------------------------------------------------------------


def _flags_that_do_not_tell(connection: Connection, history: History) -> Iterator[str]:
    versions = history.versions
    flagged = [name for name in history.shared if f"{name}_mod" in versions.c]
    if not flagged:
        return

    def build() -> Select[Any]:
        order: dict[str, Any] = {"partition_by": history.columns(versions), "order_by": versions.c[history.begins]}
        before = {name: func.lag(versions.c[name]).over(**order).label(f"{name}_before") for name in flagged}
        operation_before = func.lag(versions.c[history.operation]).over(**order).label("operation_before")
        told = select(versions, operation_before, *before.values()).subquery()
        new = or_(
            told.c[history.operation] != ac.Operation.UPDATE,
            told.c.operation_before.is_(None),
            told.c.operation_before == ac.Operation.DELETE,
        )
        changed = {name: or_(new, stored_differently(told.c[name], told.c[f"{name}_before"])) for name in flagged}
        wrong = [case((changed[name], 1), else_=0) != case((told.c[f"{name}_mod"], 1), else_=0) for name in flagged]
        said = [told.c[f"{name}_mod"] for name in flagged]
        return select(*history.columns(told), told.c[history.begins], *said).where(or_(*wrong))

    yield from _offenders(connection, history, f"{history.name}: its flags do not say what was changed", build)


def _names_that_do_not_tell(
    connection: Connection, manager: ac.VersioningManager, histories: list[History]
) -> Iterator[str]:
    mappers = {model.__name__: inspect(model) for model in manager.models}
    for history in histories:
        if history.is_link:
            continue
        noted = ac.transaction_class(mappers[history.name].class_).__entity_names__
        if noted is None:
            continue
        # Of a hierarchy's classes the tables alone do not tell which one it was, only that it was one of them.
        root = mappers[history.name].tables[0]
        related = [name for name, mapper in mappers.items() if mapper.tables[0] is root]
        own = [name for name in related if mappers[name].local_table is history.live]
        yield from _names_of_one(connection, history, noted, related, own)


def _names_of_one(
    connection: Connection, history: History, noted: Table, related: list[str], own: list[str]
) -> Iterator[str]:
    points = history.versions.c[history.begins]

    def unnamed() -> Select[Any]:
        named = and_(noted.c.transaction_id == points, noted.c.entity_name.in_(related))
        return select(points).where(~exists().where(named)).distinct()

    def unchanged() -> Select[Any]:
        gone = ~exists().where(points == noted.c.transaction_id)
        return select(noted.c.transaction_id).where(noted.c.entity_name.in_(own), gone)

    problem = f"{history.name}: a transaction that changed it does not name it, or {', '.join(related)}"
    yield from _offenders(connection, history, problem, unnamed)
    problem = f"{history.name}: a transaction names it, by {', '.join(own)}, and did not change it"
    yield from _offenders(connection, history, problem, unchanged)


def _beside(connection: Connection, transaction: Table) -> list[Table]:
    """List what points at transactions by our column's name: versions, links, names, meta, activities."""
    here = tables_in(connection, transaction.schema)
    tables = [table for table in transaction.metadata.tables.values() if table is not transaction]
    return [table for table in tables if table.name in here and "transaction_id" in table.c]


def _beside_no_transaction(connection: Connection, transaction: Table) -> Iterator[str]:
    beside = _beside(connection, transaction)
    if not beside:
        return

    def build() -> Select[Any] | CompoundSelect[Any]:
        columns = {table.fullname: table.c.transaction_id for table in beside}
        return union_all(
            *(
                select(literal(name), points)
                .where(points.is_not(None), ~exists().where(transaction.c.id == points))
                .distinct()
                for name, points in columns.items()
            )
        )

    for name, points_at in connection.execute(_built_once(transaction, ("beside", *beside), build)):
        yield f"(1) {name}: transaction_id {points_at} is no transaction"


# -- 4. no transaction without contents -----------------------------------------------------------------------------


def _empty_transactions(
    connection: Connection, transaction: Table, histories: list[History], allowed_empty: frozenset[int]
) -> Iterator[str]:
    contents = {history.versions: history.versions.c[history.begins] for history in histories}
    # Versions of links, activities, meta data: whatever else points at a transaction by our column's name.
    for table in _beside(connection, transaction):
        if "entity_name" not in table.c:
            contents.setdefault(table, table.c.transaction_id)

    def build() -> Select[Any]:
        return select(transaction.c.id).where(
            *(~exists().where(points == transaction.c.id) for points in contents.values())
        )

    query = _built_once(transaction, ("empty", *contents.values()), build)
    empty = sorted(set(connection.scalars(query)) - allowed_empty)
    if empty:
        yield f"(4) transactions without a version, link, activity or meta row: {empty[:SHOWN]}"

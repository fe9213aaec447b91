"""Ask the database who has what only one row may have: by its own comparison, of expressions and of some rows, too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Index,
    Integer,
    Select,
    Subquery,
    Table,
    TextClause,
    UniqueConstraint,
    and_,
    cast,
    column,
    inspect,
    literal,
    literal_column,
    null,
    select,
    union_all,
    values,
)
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import ColumnElement, FromClause, operators, visitors
from sqlalchemy.sql.elements import UnaryExpression

from async_continuum.revert.plan import Key
from async_continuum.revert.rows import Row
from async_continuum.revert.survey import Survey

_PARAMETERS = 30_000
"""How many of them a statement takes: PostgreSQL counts them in 16 bits."""

_SELECTS = 400
"""How many rows a UNION ALL takes on SQLite: https://www.sqlite.org/limits.html, or rather fewer."""

_UNKNOWN = object()

_ORDERS = (operators.asc_op, operators.desc_op, operators.nulls_first_op, operators.nulls_last_op)


@dataclass(frozen=True, eq=False, slots=True)
class Rule:
    """One thing that only one row of a table may have: a key, a unique constraint or index. Lives for one error."""

    source: Any
    table: Table
    dialect: str
    terms: tuple[Any, ...]
    """What is compared: columns, or expressions of them."""
    where: Any = None
    """Of which rows; None for all."""
    nulls_are_equal: bool = False
    columns: list[Any] = field(init=False)
    """The columns that are compared."""
    needed: list[Any] = field(init=False)
    """The columns that are looked at."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", list(dict.fromkeys(_columns(self.terms))))
        told = [*self.terms, *([] if self.where is None else [self.where])]
        # Which columns a text names is the database's to say.
        every = list(self.table.c) if any(_is_text(each) for each in told) else list(dict.fromkeys(_columns(told)))
        object.__setattr__(self, "needed", every)

    @property
    def is_primary(self) -> bool:
        return self.source is self.table.primary_key

    @property
    def is_plain(self) -> bool:
        return self.where is None and all(isinstance(term, Column) for term in self.terms)


class Clash(NamedTuple):
    """One row that cannot have what it had. Lives for one error."""

    row: Row
    rule: Rule
    holder: Key
    """The row in the way: the columns that were asked for."""
    theirs: Key
    """What that one holds in the columns of the rule."""


def unique_rules(table: Table, dialect: str) -> Iterator[Rule]:
    """List what only one row of a table may have on this database, the primary key first."""
    if table.primary_key.columns:
        yield Rule(table.primary_key, table, dialect, tuple(table.primary_key))
    for each in (*table.constraints, *table.indexes):
        if isinstance(each, UniqueConstraint) or (isinstance(each, Index) and each.unique):
            # Of another database's options this one knows nothing.
            own = {name: each.dialect_kwargs.get(f"{dialect}_{name}") for name in ("where", "nulls_not_distinct")}
            terms: Iterable[Any] = each.columns if isinstance(each, UniqueConstraint) else each.expressions
            yield Rule(each, table, dialect, tuple(map(_plain, terms)), own["where"], bool(own["nulls_not_distinct"]))


async def clashes(survey: Survey, rule: Rule, rows: Sequence[Row], wanted: Sequence[Any]) -> list[Clash]:
    """Find which of these rows of one table would have what a row has that is there; ``wanted`` is told of that one."""
    told = [*wanted, *rule.columns]
    now = _filtered(rule.table, rule.terms, rule.where, told).subquery("ac_now_held")
    found = []
    for batch, then in _batches(rule, rows):
        asked = [then.c.n, *(now.c[f"w{n}"] for n in range(len(told)))]
        for n, *held in await _all(survey, batch[0], select(*asked).where(_same(rule, then, now))):
            found.append(Clash(batch[n], rule, tuple(held[: len(wanted)]), tuple(held[len(wanted) :])))
    return found


async def twins(survey: Survey, rule: Rule, rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Find which of these rows would have the same: where they differed by what history does not hold."""
    if all(column in row.values for row in rows for column in rule.needed):
        return []
    found = []
    for batch, then in _batches(rule, rows):
        other = then.alias("ac_other_then")
        both = select(then.c.n, other.c.n).where(then.c.n < other.c.n, _same(rule, then, other))
        found += [(batch[one], batch[two]) for one, two in await _all(survey, batch[0], both)]
    return found


def _batches(rule: Rule, rows: Sequence[Row]) -> Iterator[tuple[Sequence[Row], Subquery]]:
    """Select what rows would hold; of what nobody can know, the database says what it says."""
    rows = [row for row in rows if not _is_free(rule, row)]
    size = max(1, _PARAMETERS // (len(rule.table.c) + 1)) if rule.dialect == "postgresql" else _SELECTS
    for start in range(0, len(rows), size):
        then = _then(rule, rows[start : start + size])
        if then is not None:
            yield rows[start : start + size], then


def _then(rule: Rule, rows: Sequence[Row]) -> Subquery | None:
    """Select what these rows would hold, numbered; None where nobody can know it."""
    groups: dict[tuple[frozenset[Any], bool], list[int]] = {}
    for n, row in enumerate(rows):
        groups.setdefault((frozenset(row.values).intersection(rule.needed), row.inserted), []).append(n)
    parts: list[Select[Any]] = []
    for g, ((held, inserted), numbers) in enumerate(groups.items()):
        known = [each for each in rule.table.c if each in held]
        identity = [each for each in rows[numbers[0]].identity if each not in held]
        given = _given(f"ac_given_{g}", [*known, *identity], {n: rows[n] for n in numbers}, rule.dialect)
        inner = _filled(rule, given, known, inserted=inserted, identity=rows[numbers[0]].identity)
        if inner is not None:
            moved = {each: inner.c[each.name] for each in rule.needed}
            terms = [_moved(term, moved) for term in rule.terms]
            where = None if rule.where is None else _moved(rule.where, moved)
            parts.append(_filtered(inner, terms, where, [], numbered=inner.c.ac_n))
    return union_all(*parts).subquery("ac_then_held") if parts else None


def _given(name: str, columns: Sequence[Any], rows: dict[int, Row], dialect: str) -> FromClause:
    names = [column("ac_n", Integer), *(column(each.name, each.type) for each in columns)]
    told = [list(zip(names, (n, *row.of(columns)), strict=True)) for n, row in rows.items()]
    if dialect == "postgresql":
        # What a driver sends without a type counts as text there, and compares with few others.
        data = [tuple(cast(value, each.type) for each, value in row) for row in told]
        return values(*names).data(data).alias(name)
    # VALUES in FROM has no names for its columns on SQLite.
    given = (select(*(literal(value, each.type).label(each.name) for each, value in row)) for row in told)
    return union_all(*given).subquery(name)


def _filled(
    rule: Rule, given: FromClause, known: Sequence[Any], *, inserted: bool, identity: Sequence[Any]
) -> Subquery | None:
    """Add what history does not hold: of a row that is there its present values, of another the defaults."""
    there = rule.table.alias("ac_there")
    wanted: dict[str, Any] = {each.name: given.c[each.name] for each in known}
    source = given
    missing = [each for each in rule.needed if each not in known]
    if missing and not inserted:
        source = given.join(there, and_(*(there.c[each.name] == given.c[each.name] for each in identity)))
    for each in missing:
        value = _default(each) if inserted else there.c[each.name]
        if value is _UNKNOWN:
            return None
        wanted[each.name] = value
    labelled = [value.label(name) for name, value in wanted.items()]
    return select(given.c.ac_n, *labelled).select_from(source).subquery()


def _default(column: Any) -> Any:
    if column.default is not None:
        return literal(column.default.arg, column.type) if column.default.is_scalar else _UNKNOWN
    return null() if column.server_default is None and column.computed is None else _UNKNOWN


def _filtered(
    source: FromClause, terms: Sequence[Any], where: Any, told: Sequence[Any], *, numbered: Any = None
) -> Select[Any]:
    compared = [_term(term).label(f"e{n}") for n, term in enumerate(terms)]
    number = [] if numbered is None else [numbered.label("n")]
    statement = select(*number, *compared, *(each.label(f"w{n}") for n, each in enumerate(told))).select_from(source)
    return statement if where is None else statement.where(where)


def _same(rule: Rule, one: FromClause, other: FromClause) -> ColumnElement[bool]:
    pairs = [(one.c[f"e{n}"], other.c[f"e{n}"]) for n in range(len(rule.terms))]
    return and_(*(a.is_not_distinct_from(b) if rule.nulls_are_equal else a == b for a, b in pairs))


def _is_free(rule: Rule, row: Row) -> bool:
    """Say whether NULL lets a row pass: it is never taken."""
    return not rule.nulls_are_equal and any(
        isinstance(term, Column) and term in row.values and row.values[term] is None for term in rule.terms
    )


def _plain(term: Any) -> Any:
    # In which order an index keeps its terms is no matter here.
    while isinstance(term, UnaryExpression) and term.modifier in _ORDERS:
        term = term.element
    return term


def _term(term: Any) -> Any:
    return literal_column(f"({term.text})") if isinstance(term, TextClause) else term


def _moved(term: Any, places: dict[Any, Any]) -> Any:
    def move(element: Any, **_: Any) -> Any:
        return places.get(element) if isinstance(element, Column) else None

    return visitors.replacement_traverse(term, {}, move)


def _is_text(term: Any) -> bool:
    return any(isinstance(each, TextClause) for each in visitors.iterate(term))


def _columns(terms: Iterable[Any]) -> Iterator[Any]:
    for term in terms:
        yield from (each for each in visitors.iterate(term) if isinstance(each, Column))


async def _all(survey: Survey, row: Row, statement: Select[Any]) -> Sequence[Sequence[Any]]:
    mapper: Mapper[Any] = inspect(row.model)
    rows: Sequence[Any] = (await survey.session.execute(statement, bind_arguments={"mapper": mapper})).all()
    return rows

"""Speak of the tables of a joined hierarchy in the functions of one of them: which rows are of one entity."""

from __future__ import annotations

from dataclasses import dataclass

from async_continuum.native.plan import TriggerPlan
from async_continuum.native.text import DIFFERS, EQ, NE, Words, literal, quoted, relation


@dataclass(frozen=True, slots=True)
class ChainedWords(Words):
    """What a table of a hierarchy is called in the functions of any of them."""

    place: int

    @property
    def versions(self) -> str:
        return f"@@versions{self.place}@@"

    @property
    def live(self) -> str:
        return f"@@live{self.place}@@"

    def differs_at_all(self, a: str, b: str) -> str:
        """Two versions that hold something else, what plugins add included."""
        names = (*self.plan.columns, *(flag for _, flag in self.plan.flags))
        return f"ROW({self.of(a, names)})::pg_catalog.record {DIFFERS} ROW({self.of(b, names)})::pg_catalog.record"

    def is_row_of(self, a: str, other: Words, b: str) -> str:
        """A row of this table and one of another, of one entity."""
        pairs = zip(self.plan.key, other.plan.key, strict=True)
        return " AND ".join(f"{a}.{quoted(one)} @@equals{i}@@ {b}.{quoted(two)}" for i, (one, two) in enumerate(pairs))

    def keys_of(self, other: Words, rows: str) -> str:
        """The keys of another table's ``rows``, each once, called as in this one, in their order."""
        named = ", ".join(
            f"r.{quoted(two)} AS {quoted(one)}" for one, two in zip(self.plan.key, other.plan.key, strict=True)
        )
        order = ", ".join(str(place + 1) for place in range(len(self.plan.key)))
        return f"(SELECT DISTINCT {named} FROM {rows} r ORDER BY {order})"


@dataclass(frozen=True, slots=True)
class LeadingWords(ChainedWords):
    """The topmost table, for which an entity differs where it does so in any of its tables."""

    below: tuple[ChainedWords, ...]
    always: bool = False
    """Whether an entity is taken to differ, as where its rows below are about to go."""

    def differs(self, a: str, b: str) -> str:
        """An entity that is stored otherwise than when its version ``a`` was made."""
        if self.always:
            return "true"
        rest = (flag for each in self.below for flag in self._rest_differs(each, a, b))
        return f"({' OR '.join((Words.differs(self, a, b), *rest))})"

    def _rest_differs(self, other: ChainedWords, a: str, b: str) -> tuple[str, str]:
        then = (
            f"(SELECT true AS found, ROW({other.of('t')})::pg_catalog.record AS image FROM ONLY {other.versions} t"
            f" WHERE {other.same('t', 'g')} AND t.{self.begins} {EQ} {a}.{self.begins} AND t.{self.operation} {NE} 2"
            " LIMIT 1) t"
        )
        changed = (
            f"(SELECT true FROM {other.live} g LEFT JOIN LATERAL {then} ON true WHERE {other.is_row_of('g', self, b)}"
            f" AND (t.found IS NULL OR t.image {DIFFERS} ROW({other.of('g')})::pg_catalog.record) LIMIT 1) IS NOT NULL"
        )
        left = (
            f"(SELECT true FROM ONLY {other.versions} t WHERE {other.is_row_of('t', self, b)}"
            f" AND t.{self.begins} {EQ} {a}.{self.begins} AND t.{self.operation} {NE} 2"
            f" AND (SELECT true FROM {other.live} g WHERE {other.same('g', 't')} LIMIT 1) IS NULL LIMIT 1) IS NOT NULL"
        )
        return changed, left


def words_of_chain(plan: TriggerPlan) -> tuple[LeadingWords, tuple[ChainedWords, ...]]:
    """Name the tables of a hierarchy: the topmost one, and those below it."""
    top, *rest = plan.hierarchy
    below = tuple(ChainedWords(each, place + 1) for place, each in enumerate(rest))
    return LeadingWords(top, 0, below), below


def what_tables_are_called(plan: TriggerPlan) -> str:
    """Say what the words for these tables mean where the DDL runs."""
    named = [
        (f"@@{role}{place}@@", literal(relation(name, schema)))
        for place, each in enumerate(plan.chain)
        for role, name, schema in (
            ("live", each.name, each.schema),
            ("versions", each.versions, each.versions_schema),
        )
    ]
    if not named:
        return ""
    pairs = ", ".join(f"({literal(word)}, {name}::pg_catalog.regclass)" for word, name in named)
    return f"""
    SELECT ac_words || pg_catalog.array_agg(
        ARRAY[w.word, quote_ident(n.nspname) || '.' || quote_ident(c.relname)]
    ) INTO ac_words
    FROM (VALUES {pairs}) AS w(word, rel)
    JOIN pg_catalog.pg_class c ON c.oid = w.rel
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace;"""

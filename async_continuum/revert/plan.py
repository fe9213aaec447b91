"""Decide what a revert changes: a pure comparison of what was with what is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Key = tuple[Any, ...]


class Entity(NamedTuple):
    """One object of a revert, named by its model and key."""

    model: type
    key: Key

    def __str__(self) -> str:
        return f"{self.model.__name__} {self.key[0] if len(self.key) == 1 else self.key!r}"


class Link(NamedTuple):
    """One step of a relation: from an object, by a relation's name, to another."""

    parent: Entity
    relation: str
    target: Entity

    def __str__(self) -> str:
        return f"{self.parent}.{self.relation} -> {self.target}"


@dataclass(frozen=True, slots=True)
class RevertPlan:
    """What a revert would do. A value: it prints well, and touches nothing."""

    inserted: tuple[Entity, ...] = ()
    updated: tuple[Entity, ...] = ()
    deleted: tuple[Entity, ...] = ()
    linked: tuple[Link, ...] = ()
    unlinked: tuple[Link, ...] = ()
    relinked: tuple[Link, ...] = ()
    """Links that stay, and whose rows in the association table said something else."""

    def __bool__(self) -> bool:
        return any((self.inserted, self.updated, self.deleted, self.linked, self.unlinked, self.relinked))

    def __str__(self) -> str:
        said = list(self._lines())
        return "\n".join(said) if said else "nothing to do"

    def _lines(self) -> Iterator[str]:
        for word in ("inserted", "updated", "deleted", "linked", "unlinked", "relinked"):
            for each in getattr(self, word):
                yield f"{word:8} {each}"


@dataclass(frozen=True, eq=False, slots=True)
class Present:
    """What an entity of the past is now."""

    live: bool
    """Whether a row lives under its key."""
    differs: bool
    """Whether the row is stored differently."""


@dataclass(frozen=True, eq=False, slots=True)
class Relation:
    """One relation of one object, then and now. Each of its members counts once, however often it is linked."""

    parent: Entity
    name: str
    then: tuple[Entity, ...]
    now: tuple[Entity, ...]
    deletes_orphans: bool
    linked: tuple[Entity, ...] = field(init=False)
    unlinked: tuple[Entity, ...] = field(init=False)

    def __post_init__(self) -> None:
        then, now = dict.fromkeys(self.then), dict.fromkeys(self.now)
        object.__setattr__(self, "linked", tuple(target for target in then if target not in now))
        object.__setattr__(self, "unlinked", tuple(target for target in now if target not in then))


@dataclass(eq=False, slots=True)
class Findings:
    """What was found of a version and its relations, before anything is decided. Lives until the plan is made."""

    entities: dict[Entity, Present] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)
    deleted: list[Entity] = field(default_factory=list)
    relinked: list[Link] = field(default_factory=list)


def make_plan(found: Findings) -> RevertPlan:
    """Decide, from what was and what is, what has to be done."""
    kept = {target for relation in found.relations for target in relation.then}
    orphans = [
        target
        for relation in found.relations
        if relation.deletes_orphans
        for target in relation.unlinked
        if target not in kept
    ]
    deleted = dict.fromkeys([*found.deleted, *orphans])
    return RevertPlan(
        inserted=tuple(each for each, now in found.entities.items() if not now.live),
        updated=tuple(each for each, now in found.entities.items() if now.live and now.differs),
        deleted=tuple(deleted),
        linked=_once(Link(r.parent, r.name, target) for r in found.relations for target in r.linked),
        unlinked=_once(
            Link(r.parent, r.name, target) for r in found.relations for target in r.unlinked if target not in deleted
        ),
        relinked=_once(found.relinked),
    )


def _once(links: Iterable[Link]) -> tuple[Link, ...]:
    # Paths may come by the same relation of the same object twice: ["tags", "tags.articles.tags"].
    return tuple(dict.fromkeys(links))

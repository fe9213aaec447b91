"""Read the relation paths of a revert into a tree, and refuse at once what cannot be followed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, RelationshipProperty

from async_continuum.build import Blueprint, find_blueprint
from async_continuum.errors import RevertError

Paths = dict[str, "Paths"]


def read_paths(version: Any, blueprint: Blueprint, relations: Iterable[str]) -> Paths:
    """Turn ``["tags", "tags.category"]`` into a tree. Raises `RevertError`, naming the class and the path."""
    if isinstance(relations, str):
        raise RevertError(f"relations={relations!r} must be a list of paths, [{relations!r}].", version=version)
    if not isinstance(relations, Iterable):
        raise RevertError(f"relations={relations!r} must be a list of paths; () is none.", version=version)
    tree: Paths = {}
    for path in relations:
        if not isinstance(path, str):
            raise RevertError(
                f"relations holds {path}: give paths by name, as in ['tags', 'tags.category'].", version=version
            )
        at, models = tree, [blueprint]
        for name in path.split("."):
            owners = [owner for model in models for owner in owners_of(model, name)]
            if not owners:
                raise _unknown(version, models, name, path)
            models = [_follow(version, owner, name, path) for owner in owners]
            at = at.setdefault(name, {})
    return tree


def owners_of(blueprint: Blueprint, name: str) -> list[Blueprint]:
    """List whose relation of that name it is: the model's, or that of those classes below it which declare it."""
    owners: list[Blueprint] = []
    mapper: Mapper[Any] = inspect(blueprint.model)
    for below in mapper.self_and_descendants:
        found = find_blueprint(below.class_)
        known = any(issubclass(below.class_, owner.model) for owner in owners)
        if found is not None and not known and name in below.relationships:
            owners.append(found)
    return owners


def _unknown(version: Any, models: Iterable[Blueprint], name: str, path: str) -> RevertError:
    # Here, because who makes no mistake need not wait for its import.
    from difflib import get_close_matches

    mappers: list[Mapper[Any]] = [inspect(each.model) for each in models]
    below = [each for mapper in mappers for each in mapper.self_and_descendants]
    names = sorted({prop.key for each in below for prop in each.relationships})
    close = get_close_matches(name, names, n=1)
    known = f"Did you mean {close[0]!r}?" if close else f"It has: {', '.join(names) or 'none'}."
    model = " or ".join(mapper.class_.__name__ for mapper in mappers)
    return RevertError(f"{model} has no relation {name!r} (path {path!r}). {known}", version=version, path=path)


def _follow(version: Any, blueprint: Blueprint, name: str, path: str) -> Blueprint:
    model = blueprint.model.__name__
    mapper: Mapper[Any] = inspect(blueprint.model)
    prop: RelationshipProperty[Any] = mapper.relationships[name]
    target = find_blueprint(prop.mapper.class_)
    if target is None or target.version_class is None:
        raise RevertError(
            f"{model}.{name} leads to {prop.mapper.class_.__name__}, which keeps no history (path {path!r}).",
            version=version,
            path=path,
        )
    if prop.viewonly:
        raise RevertError(f"{model}.{name} is viewonly: it cannot be set (path {path!r}).", version=version, path=path)
    if not inspect(blueprint.version_class).has_property(name):
        # As the version class itself explains it.
        reason = getattr(vars(blueprint.version_class).get(name), "reason", "its versions do not have it.")
        raise RevertError(f"{model}.{name} has no past (path {path!r}): {reason}", version=version, path=path)
    return target

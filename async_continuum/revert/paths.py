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
    tree: Paths = {}
    for path in relations:
        if not isinstance(path, str):
            raise RevertError(
                f"relations holds {path}: give paths by name, as in ['tags', 'tags.category'].", version=version
            )
        at, model = tree, blueprint
        for name in path.split("."):
            model = _follow(version, model, name, path)
            at = at.setdefault(name, {})
    return tree


def _follow(version: Any, blueprint: Blueprint, name: str, path: str) -> Blueprint:
    mapper: Mapper[Any] = inspect(blueprint.model)
    model = blueprint.model.__name__
    if name not in mapper.relationships:
        # Here, because who makes no mistake need not wait for its import.
        from difflib import get_close_matches

        close = get_close_matches(name, list(mapper.relationships.keys()), n=1)
        known = f"Did you mean {close[0]!r}?" if close else f"It has: {', '.join(sorted(mapper.relationships.keys()))}."
        raise RevertError(f"{model} has no relation {name!r} (path {path!r}). {known}", version=version, path=path)
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

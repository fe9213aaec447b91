"""Let a DELETE version say only that the entity is gone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, null
from sqlalchemy.sql import ColumnElement

from async_continuum.build import TableHistory
from async_continuum.plugins.base import Plugin


class NullDeletePlugin(Plugin):
    """Store NULL in every column of a DELETE version but those of the key; what was last is in the version before."""

    def deleted_value(self, history: TableHistory, column: Column[Any]) -> ColumnElement[Any] | None:
        return null()

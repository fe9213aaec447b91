"""Mended: the data steps of a migration, as SQL constructs that both Alembic and connections take.

A table is a `Table`, a model, or, in a migration that must not depend on today's models, a name with its key:
``op.execute(fill_end_transaction_ids("article_version", key=["id"]))``.
"""

from async_continuum.schema.fill import fill_end_transaction_ids, fill_open_versions, fill_property_mod_flags
from async_continuum.schema.strategy import convert_strategy

__all__ = ["convert_strategy", "fill_end_transaction_ids", "fill_open_versions", "fill_property_mod_flags"]

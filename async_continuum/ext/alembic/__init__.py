"""Joined to Alembic: `import async_continuum.ext.alembic` in ``env.py`` is all; it needs Alembic 1.18 or newer."""

from async_continuum.ext.alembic import compare

__all__ = ["compare"]

"""Reverted: an entity becomes again what a version says it was."""

from async_continuum.revert.apply import revert

__all__ = ["revert"]

"""Reverted: an entity, and its relations, become again what a version says they were."""

from async_continuum.revert.apply import plan_revert, revert
from async_continuum.revert.plan import RevertPlan

__all__ = ["RevertPlan", "plan_revert", "revert"]

"""Read back as it was: a session in the past, in which the user's own queries and models are answered from history."""

from async_continuum.past.changes import ChangesBetween, EntityChange
from async_continuum.past.opening import as_of, object_as_of, opened_as_of
from async_continuum.past.signed import transaction_classes

__all__ = ["ChangesBetween", "EntityChange", "as_of", "object_as_of", "opened_as_of", "transaction_classes"]

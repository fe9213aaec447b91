"""Take a test's Base and manager from its `models`, in the folders whose models come once for each strategy."""

from types import SimpleNamespace

import pytest
from sqlalchemy.orm import DeclarativeBase

from async_continuum import VersioningManager


@pytest.fixture
def base(models: SimpleNamespace) -> type[DeclarativeBase]:
    """What `sessions` creates."""
    return models.Base


@pytest.fixture
def manager(models: SimpleNamespace) -> VersioningManager:
    """What the invariants are proved of."""
    return models.manager

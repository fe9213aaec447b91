"""One Base for all tests of statements."""

import pytest
from sqlalchemy.orm import DeclarativeBase

from async_continuum import VersioningManager
from tests.kit.own import own
from tests.statements import shop

__all__ = ["own"]


@pytest.fixture
def base() -> type[DeclarativeBase]:
    """What `sessions` creates."""
    return shop.Base


@pytest.fixture
def manager() -> VersioningManager:
    """What the invariants are proved of."""
    return shop.manager

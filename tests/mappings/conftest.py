"""The zoo, under each strategy."""

from types import SimpleNamespace

import pytest
from sqlalchemy.orm import DeclarativeBase

from async_continuum import VersioningManager
from tests.kit.own import own
from tests.mappings.zoo import ZOOS

__all__ = ["own"]


@pytest.fixture(params=ZOOS)
def models(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The models under each strategy."""
    return ZOOS[request.param]


@pytest.fixture
def base(models: SimpleNamespace) -> type[DeclarativeBase]:
    """What `sessions` creates."""
    return models.Base


@pytest.fixture
def manager(models: SimpleNamespace) -> VersioningManager:
    """What the invariants are proved of."""
    return models.manager

"""The zoo, under each strategy."""

from types import SimpleNamespace

import pytest

from tests.kit.of_models import base, manager
from tests.kit.own import own
from tests.mappings.zoo import ZOOS

__all__ = ["base", "manager", "own"]


@pytest.fixture(params=ZOOS)
def models(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The models under each strategy."""
    return ZOOS[request.param]

"""Models whose foreign keys have rules of their own, under each strategy."""

from types import SimpleNamespace

import pytest

from tests.cascades.house import HOUSES
from tests.kit.of_models import base, manager
from tests.kit.own import own

__all__ = ["base", "manager", "own"]


@pytest.fixture(params=HOUSES)
def models(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The models under each strategy."""
    return HOUSES[request.param]

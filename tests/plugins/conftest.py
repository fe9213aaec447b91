"""Every test that asks for `models` runs under both strategies."""

from types import SimpleNamespace

import pytest

from tests.kit.of_models import base, manager
from tests.kit.own import own
from tests.plugins.newsroom import NEWSROOMS

__all__ = ["base", "manager", "own"]


@pytest.fixture(params=NEWSROOMS)
def models(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The models under each strategy."""
    return NEWSROOMS[request.param]

"""Every test that asks for `models` runs under both strategies."""

from types import SimpleNamespace

import pytest

from tests.kit.of_models import base, manager
from tests.kit.own import own
from tests.links.magazine import MAGAZINES

__all__ = ["base", "manager", "own"]


@pytest.fixture(params=MAGAZINES)
def models(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The models under each strategy."""
    return MAGAZINES[request.param]


@pytest.fixture
async def article(session, models):
    """Article 1 with the tags 1 and 2; tag 3 is free."""
    tags = [models.Tag(id=number) for number in (1, 2, 3)]
    article = models.Article(id=1, tags=tags[:2])
    session.add_all([article, *tags])
    await session.commit()
    return article

"""Everything here runs on PostgreSQL, on the models of the shop."""

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase

from async_continuum import VersioningManager
from tests.kit.own import own
from tests.native import shop

__all__ = ["own"]

Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture(params=["postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """PostgreSQL alone."""
    from tests.kit import backends

    missing = backends.BACKENDS[request.param].missing
    if missing:
        pytest.skip(f"{request.param}: {missing}")
    return request.param


@pytest.fixture
def base() -> type[DeclarativeBase]:
    return shop.Base


@pytest.fixture
def manager() -> VersioningManager:
    return shop.manager

"""Hand each test its database, its sessions, and a proof at the end that history is whole."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase

from async_continuum import VersioningManager
from tests.kit import backends, mode
from tests.kit.asleep import ASLEEP
from tests.kit.databases import Databases
from tests.kit.leftovers import keep_the_young_apart, leftovers, note_recorders
from tests.kit.places import Place, Places
from tests.kit.servers import Servers
from tests.kit.statements import Statements, count_statements

if not backends.BACKENDS["mariadb"].missing:
    import tests.kit.lengths  # noqa: F401


def pytest_report_header() -> list[str]:
    return backends.header()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run each strategy on one backend, unless `ASYNC_CONTINUUM_TEST_MATRIX=full` asks for all pairs.

    Where triggers record, run what is on PostgreSQL, and not what `mark.sessions_record` keeps out, with its reason.
    """
    if mode.is_native():
        out = [item for item in items if _pair(item)[0] != "postgresql" or item.get_closest_marker("sessions_record")]
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in set(out)]
        return
    if os.environ.get("ASYNC_CONTINUUM_TEST_MATRIX") == "full":
        return
    left_out = [item for item in items if _pair(item) in (("sqlite", "validity"), ("postgresql", "subquery"))]
    # One chosen by name runs, whatever its pair.
    if left_out and len(left_out) < len(items):
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _pair(item: pytest.Item) -> tuple[object, object]:
    params = getattr(getattr(item, "callspec", None), "params", {})
    strategies = [value for value in params.values() if value in ("validity", "subquery")]
    return params.get("backend"), strategies[0] if strategies else None


def pytest_collection_finish() -> None:
    # What is imported by now stays, and need not be looked at again by the collection after each test. Hypothesis
    # has to be there before: it asks the collector who refers to its random generators.
    import hypothesis  # noqa: F401

    note_recorders()
    ASLEEP.send()
    gc.collect()
    keep_the_young_apart()


@pytest.fixture(autouse=True)
def awake(request: pytest.FixtureRequest) -> None:
    """Those managers see sessions whose models this module knows; `database` wakes others."""
    ASLEEP.wake_those_of(request.module)


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Invariant 5, after everything else of the test is gone."""
    yield
    # The test's models are among what its fixtures gave it, and would be alive in the next test.
    request.node.funcargs.clear()
    assert leftovers() == []


@pytest.fixture(autouse=True, scope="module")
def nothing_left_behind_by_a_module() -> Iterator[None]:
    """The same of what several tests had a part in."""
    yield
    assert leftovers(thorough=True) == []
    keep_the_young_apart()


@pytest.fixture(params=backends.DEFAULT_BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of the database that this test runs on."""
    missing = backends.BACKENDS[request.param].missing
    if missing:
        pytest.skip(f"{request.param}: {missing}")
    for mark in request.node.iter_markers("not_on"):
        name, reason = mark.args
        if name == request.param:
            pytest.skip(f"{name}: {reason}")
    return request.param


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """Where databases are made; `async with places.fresh(backend)` gives one more."""
    with Servers() as servers:
        places = Places(tmp_path_factory.mktemp("sqlite"), servers)
        yield places
        asyncio.run(places.close())


@pytest.fixture
async def place(request: pytest.FixtureRequest, backend: str, places: Places) -> AsyncIterator[Place]:
    """This test's own database: empty, or with the tables of `base` where the test asks for `sessions`."""
    metadata = request.getfixturevalue("base").metadata if "base" in request.fixturenames else None
    if "manager" in request.fixturenames:
        ASLEEP.wake(request.getfixturevalue("manager"))
    async with places.fresh(backend, metadata) as place:
        yield place


@pytest.fixture
def engine(place: Place) -> AsyncEngine:
    """The engine of this test's database; `place.engine(...)` opens further ones."""
    return place.usual_engine()


@pytest.fixture
async def database(request: pytest.FixtureRequest, place: Place, engine: AsyncEngine) -> AsyncIterator[Databases]:
    """`sessions = await database(Base, manager)`: tables for a test's own models. Invariants are proved at the end."""
    databases = Databases(place, engine, unaccounted=request.node.get_closest_marker("unaccounted") is not None)
    yield databases
    await databases.assert_invariants()


@pytest.fixture
def base() -> type[DeclarativeBase]:
    """The models of `sessions`: those of the domain, unless a module has a `base` of its own."""
    from tests import domain

    return domain.Base


@pytest.fixture
def manager() -> VersioningManager:
    """The manager that versions `base`."""
    from tests import domain

    return domain.manager


@pytest.fixture
async def sessions(
    database: Databases, base: type[DeclarativeBase], manager: VersioningManager
) -> async_sessionmaker[AsyncSession]:
    """Sessions on the models of `base`."""
    return await database(base, manager)


@pytest.fixture
async def session(sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    """One session on the models of `base`."""
    async with sessions() as session:
        yield session


@pytest.fixture
def statements(engine: AsyncEngine) -> Iterator[Statements]:
    """Everything that this test's engine executes, from here on."""
    with count_statements(engine) as statements:
        yield statements

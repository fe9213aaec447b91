"""Every mapping lives the same life, on every backend, under both strategies; a new mapping is one entry."""

import pytest
from sqlalchemy import text

from tests.mappings import columns, declarations, inheritance, options, tables
from tests.mappings.entry import TABLE, declared
from tests.mappings.life import live, maintain, read_every_way, revert_to_every_version

FILES = (columns, declarations, inheritance, options, tables)


@pytest.fixture(params=list(TABLE))
def entry(request, backend):
    """One mapping of the table."""
    found = TABLE[request.param]
    if backend not in found.backends:
        pytest.skip(f"{found.name}: {found.reason}")
    return found


@pytest.fixture(params=["validity", "subquery"])
def subject(request, entry):
    """It, as it is declared under each strategy."""
    with declared(entry, request.param) as subject:
        yield subject


@pytest.fixture
async def lived(subject, database, engine):
    """Sessions on a database that has the tables of this mapping alone."""
    schemas = sorted({table.schema for table in subject.metadata.tables.values() if table.schema is not None})
    async with engine.begin() as connection:
        extension = subject.entry.extension
        if extension is not None:
            available = text("SELECT 1 FROM pg_available_extensions WHERE name = :name")
            if (await connection.execute(available, {"name": extension})).first() is None:
                pytest.skip(f"{subject.entry.name}: this server does not have the extension {extension!r}")
            await connection.exec_driver_sql(f'CREATE EXTENSION IF NOT EXISTS "{extension}"')
        for schema in schemas:
            await connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    return await database(subject, subject.manager)


async def test_a_mapping_lives(subject, lived):
    states = await live(lived, subject)
    await read_every_way(lived, subject, states)
    await revert_to_every_version(lived, subject, states)
    await maintain(lived, subject)


def test_the_table_has_every_mapping_of_the_documentation():
    assert len(TABLE) >= 60

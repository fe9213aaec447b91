"""Every mapping lives the same life, on every backend, under both strategies; a new mapping is one entry."""

import gc

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.orm import configure_mappers

from async_continuum import version_class, version_table
from tests.mappings import arguments, columns, declarations, inheritance, options, tables, unions
from tests.mappings.entry import TABLE, declared
from tests.mappings.life import live, maintain, read_every_way, revert_to_every_version

FILES = (arguments, columns, declarations, inheritance, options, tables, unions)


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
    schemas = sorted({each.schema for each in subject.metadata.tables.values()} - {None, *subject.entry.translate})
    async with engine.begin() as connection:
        extension = subject.entry.extension
        if extension is not None:
            available = text("SELECT 1 FROM pg_available_extensions WHERE name = :name")
            if (await connection.execute(available, {"name": extension})).first() is None:
                pytest.skip(f"{subject.entry.name}: this server does not have the extension {extension!r}")
            await connection.exec_driver_sql(f'CREATE EXTENSION IF NOT EXISTS "{extension}"')
        for schema in schemas:
            await connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    if subject.entry.translate:
        database.engine = engine.execution_options(schema_translate_map=subject.entry.translate)
    return await database(subject, subject.manager)


async def test_a_mapping_lives(subject, lived):
    states = await live(lived, subject)
    await read_every_way(lived, subject, states)
    await revert_to_every_version(lived, subject, states)
    await maintain(lived, subject)


@pytest.fixture
def every_class_stays():
    """Classes that nothing refers to go with the collector, before make_versioned or after it."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", TABLE)
def test_it_does_not_matter_whether_a_mapping_is_declared_before_make_versioned_or_after(name, every_class_stays):
    shapes = []
    for when in ("before", "after"):
        with declared(TABLE[name], "validity", when=when) as subject:
            configure_mappers()
            tables = {table.fullname: sorted(table.c.keys()) for table in subject.metadata.tables.values()}
            attributes = sorted(inspect(version_class(subject.model)).attrs.keys())
            shapes.append((tables, attributes, sorted(version_table(subject.model).c.keys())))
    assert shapes[0] == shapes[1]


PROMISED = """
    single table: columns of the class below | single table: the class above keeps no history
    single table: a class below keeps no history | joined: a class below keeps no history
    joined: the class above keeps no history | joined: the table above changes | joined: the class's own table changes
    joined: both tables change | joined: three levels | single table: three levels | concrete: three levels
    concrete: ConcreteBase | concrete: AbstractConcreteBase | concrete: a polymorphic_union of the user's own
    single table below joined | joined below single table | polymorphic_on a Column | polymorphic_on a CASE
    polymorphic_on the name of an attribute | polymorphic_on a mapped_column of another name
    joined: with_polymorphic | joined: polymorphic_load inline | joined: polymorphic_load selectin | DeclarativeBase
    MappedAsDataclass on the base | MappedAsDataclass on one class, kw_only | declarative_base() | registry.mapped
    imperative | SQLModel | mixins with declared_attr | an abstract base that is versioned | __table__
    __table__ reflected | column_prefix | version_id_col | eager_defaults | exclude_properties | include_properties
    primary_key in __mapper_args__ | declared after mappers were configured | the same class name in two modules
    user classes called Transaction and Version | a class on a view | a composite of composites | Computed
    Identity(always=True) | Sequence | server defaults | a native Enum shared between tables
    an Enum with a CHECK of its own name | ARRAY | JSONB | HSTORE | a range | INET | TSVECTOR | LargeBinary
    a user type with SQL around it, as PostGIS has | a table name at the identifier limit
    reserved words and mixed case | names that are not ASCII | a column with a key | naming conventions
    a schema on the table | a schema on the MetaData | schema_translate_map | the same table name in two schemas
    indexes and constraints | a partitioned table | storage options | 300 columns | column_property in the key
    versioning False for all but one | base_classes in a hierarchy | table_name | exclude
    include over a global exclude | native_versioning | create_models, for all but one | create_tables
    the names of our columns | a strategy of its own | use_module_name | transaction_table_name | the audit schema
    record_if | past_default | unrecorded | append_only | every option at once
    columns of the user's own called like ours | a user class called like a version class
"""


def test_the_table_has_every_mapping_that_is_promised_by_name():
    assert {name.strip() for line in PROMISED.split("\n") for name in line.split("|")} - {""} - set(TABLE) == set()
    assert len(TABLE) >= 60

"""The recording's statements are compiled once for each engine, and keep no engine alive beyond the first few."""

import gc
import weakref

from sqlalchemy import Column, Integer, MetaData, Table, bindparam, create_engine, event, select
from sqlalchemy.pool import StaticPool

from async_continuum.write import OWN
from async_continuum.write.compiled import Compiled

NUMBER = Table("number", MetaData(), Column("id", Integer, primary_key=True), schema="elsewhere")


def test_each_engine_compiles_a_statement_once_and_only_four_are_kept_alive():
    statement = Compiled(select(bindparam("ac_x", type_=Integer())))
    dialects = []
    for number in range(6):
        engine = create_engine("sqlite://")
        with engine.connect() as connection:
            results = [statement.execute(connection, {"ac_x": 10 * number + turn}) for turn in range(3)]
            assert [result.scalar_one() for result in results] == [10 * number, 10 * number + 1, 10 * number + 2]
            stats = [result.context.cache_hit for result in results]
            assert stats == [engine.dialect.CACHE_MISS, engine.dialect.CACHE_HIT, engine.dialect.CACHE_HIT]
        dialects.append(weakref.ref(engine.dialect))
        engine.dispose()
    del engine, connection, results
    gc.collect()
    assert [reference() is not None for reference in dialects] == [True] * 4 + [False] * 2


def test_a_translated_schema_is_compiled_apart_and_listeners_know_the_statement():
    statement = Compiled(select(NUMBER.c.id).where(NUMBER.c.id == bindparam("ac_x", type_=Integer())))
    engine = create_engine("sqlite://", poolclass=StaticPool)
    seen = []

    @event.listens_for(engine, "before_execute")
    def look(connection, element, many, one, options):
        seen.append(OWN in options)

    with engine.connect() as connection:
        connection.exec_driver_sql("ATTACH ':memory:' AS elsewhere")
        for schema, value in (("elsewhere", 1), ("main", 2)):
            connection.exec_driver_sql(f"CREATE TABLE {schema}.number (id INTEGER PRIMARY KEY)")
            connection.exec_driver_sql(f"INSERT INTO {schema}.number VALUES ({value})")
        for _ in range(2):
            assert statement.execute(connection, {"ac_x": 1}).scalars().all() == [1]
            translated = connection.execution_options(schema_translate_map={"elsewhere": "main"})
            assert statement.execute(translated, {"ac_x": 2}).scalars().all() == [2]
            assert statement.execute(translated, {"ac_x": 1}).scalars().all() == []
            connection = connection.execution_options(schema_translate_map=None)
    engine.dispose()
    assert seen.count(True) == 6

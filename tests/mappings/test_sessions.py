"""Sessions of every kind, and objects that are moved, expunged, merged, refreshed, or routed to several binds."""

import asyncio

import pytest
from sqlalchemy import ForeignKey, select, text
from sqlalchemy.ext.asyncio import (
    AsyncAttrs,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, make_transient, make_transient_to_detached, mapped_column

from async_continuum import (
    Operation,
    Versioned,
    VersioningManager,
    make_versioned,
    transaction_class,
    version_class,
    versions_of,
)


class Base(AsyncAttrs, DeclarativeBase):
    pass


manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None)


class Shop(Versioned, Base):
    __tablename__ = "shop"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    kind: Mapped[str] = mapped_column(default="shop")
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "shop"}


class Bakery(Shop):
    """A joined one, because the rows of two tables move together."""

    __tablename__ = "bakery"
    id: Mapped[int] = mapped_column(ForeignKey("shop.id"), primary_key=True)
    bread: Mapped[str | None]
    __mapper_args__ = {"polymorphic_identity": "bakery"}


class Note(Base):
    """Keeps no history."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)


class Letter(Versioned, Base):
    """Kept in another database than shops, where a test says so."""

    __tablename__ = "letter"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None]


@pytest.fixture
def base():
    return Base


@pytest.fixture(name="manager")
def its_manager():
    return manager


@pytest.fixture
def bakery():
    return Bakery(id=1, name="a", bread="rye")


async def history(sessions):
    """What a new session reads of the bakery."""
    async with sessions() as session:
        return [(each.operation_type, each.name, each.bread) for each in await versions_of(session, Bakery, 1)]


async def test_a_session_on_a_connection_inside_an_outer_transaction(engine, sessions, bakery):
    """The usual fixture of tests: what the session commits, the outer transaction rolls back."""
    async with engine.connect() as connection:
        outer = await connection.begin()
        async with AsyncSession(connection, join_transaction_mode="create_savepoint") as session:
            session.add(bakery)
            await session.commit()
            bakery.bread = "spelt"
            await session.commit()
            assert [each.bread for each in await versions_of(session, Bakery, 1)] == ["rye", "spelt"]
        await outer.rollback()
    assert await history(sessions) == []


async def test_a_session_on_a_connection_that_commits_itself(engine, sessions, bakery):
    async with engine.connect() as connection, connection.begin(), AsyncSession(connection) as session:
        session.add(bakery)
        await session.commit()
        bakery.name = "b"
        await session.flush()
    # Joined to the connection's transaction: the last flush was never committed by the session.
    assert (await history(sessions))[0] == (Operation.INSERT, "a", "rye")


async def test_an_async_scoped_session(sessions, bakery):
    scoped = async_scoped_session(sessions, scopefunc=asyncio.current_task)
    scoped.add(bakery)
    await scoped.commit()
    assert [each.bread for each in await versions_of(scoped, Bakery, 1)] == ["rye"]
    await scoped.remove()


async def test_a_transaction_in_two_phases(backend, place, sessions, bakery):
    if backend == "sqlite":
        pytest.skip("sqlite: has no two-phase transactions")
    engine = place.sync_engine()
    with engine.connect() as connection:
        allowed = connection.execute(text("SHOW max_prepared_transactions")).scalar_one()
    if int(allowed) == 0:
        pytest.skip("postgresql: max_prepared_transactions is 0 on this server")
    with Session(engine, twophase=True) as session:
        session.add(bakery)
        session.commit()
    assert await history(sessions) == [(Operation.INSERT, "a", "rye")]


async def test_an_async_session_in_two_phases(backend, place, sessions, bakery):
    if backend == "sqlite":
        pytest.skip("sqlite: has no two-phase transactions")
    # asyncpg has none either.
    engine = create_async_engine(place.url.set(drivername="postgresql+psycopg"))
    try:
        async with engine.connect() as connection:
            if int((await connection.execute(text("SHOW max_prepared_transactions"))).scalar_one()) == 0:
                pytest.skip("postgresql: max_prepared_transactions is 0 on this server")
        async with AsyncSession(engine, twophase=True) as session:
            session.add(bakery)
            await session.commit()
            bakery = await session.get_one(Bakery, 1)
            bakery.bread = "spelt"
            await session.flush()
            await session.rollback()
    finally:
        await engine.dispose()
    assert await history(sessions) == [(Operation.INSERT, "a", "rye")]


async def test_each_database_that_is_touched_has_a_transaction_row(backend, places, sessions, engine, bakery):
    Transaction = transaction_class(Shop)

    async def counted(bind):
        async with AsyncSession(bind) as session:
            return [
                len((await session.scalars(select(each))).all()) for each in (Transaction, *map(version_class, both))
            ]

    both = (Shop, Letter)
    async with places.fresh(backend, Base.metadata) as other:
        elsewhere = other.engine()
        async with AsyncSession(binds={Shop: engine, Letter: elsewhere}, expire_on_commit=False) as session:
            letter = Letter(id=1, text="a")
            session.add_all([bakery, letter])
            await session.commit()
            assert (await counted(engine), await counted(elsewhere)) == ([1, 1, 0], [1, 0, 1])
            letter.text = "b"
            await session.commit()
            assert (await counted(engine), await counted(elsewhere)) == ([1, 1, 0], [2, 0, 2])
            bakery.bread, letter.text = "spelt", "c"
            await session.flush()
            await session.rollback()
            assert (await counted(engine), await counted(elsewhere)) == ([1, 1, 0], [2, 0, 2])
            versions = await versions_of(session, Letter, 1)
            assert [each.text for each in versions] == ["a", "b"]
            assert (await versions[0].revert(session)).text == "a"
            await session.commit()
        async with AsyncSession(elsewhere) as session:
            assert [each.text for each in await versions_of(session, Letter, 1)] == ["a", "b", "a"]
    assert await history(sessions) == [(Operation.INSERT, "a", "rye")]


async def test_a_flush_of_what_is_not_versioned_never_asks_for_a_bind_of_what_is(sessions, engine):
    async with AsyncSession(binds={Note: engine}) as session:
        session.add(Note(id=1))
        await session.commit()
        await session.delete(await session.get_one(Note, 1))
        await session.commit()
    async with sessions() as session:
        assert (await session.scalars(select(transaction_class(Shop)))).all() == []


async def test_versions_go_where_the_model_goes(backend, places, sessions, engine, bakery):
    """`get_bind` routes by class: a transaction row in each database touched, and none elsewhere."""

    async with places.fresh(backend, Base.metadata) as other:
        elsewhere = other.engine()

        class Routed(Session):
            def get_bind(self, mapper=None, **_):
                assert mapper is not None, "asked for a bind of no class"
                model = mapper.class_
                return (elsewhere if model in (Bakery, Shop) or _is_of_shop(model) else engine).sync_engine

        routed = async_sessionmaker(sync_session_class=Routed)
        async with routed() as session:
            session.add_all([bakery, Note(id=1)])
            await session.commit()
            session.add(Note(id=2))
            await session.commit()
            assert [each.bread for each in await versions_of(session, Bakery, 1)] == ["rye"]
        assert await history(sessions) == []
        assert await history(async_sessionmaker(elsewhere)) == [(Operation.INSERT, "a", "rye")]
        async with AsyncSession(engine) as session:
            assert list(await session.scalars(select(transaction_class(Shop)))) == []
        async with AsyncSession(elsewhere) as session:
            assert len(list(await session.scalars(select(transaction_class(Shop))))) == 1


async def test_autocommit_keeps_history_and_protects_neither_it_nor_the_rows(place, sessions, bakery):
    """Each statement is a transaction of the database's own: a rollback takes back no change and no version."""
    # Not an engine of the kit's: on SQLite that begins transactions itself.
    engine = create_async_engine(place.url, isolation_level="AUTOCOMMIT")
    try:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            session.add(bakery)
            await session.commit()
            bakery.bread = "spelt"
            await session.flush()
            await session.rollback()
    finally:
        await engine.dispose()
    async with sessions() as session:
        assert (await session.get_one(Bakery, 1)).bread == "spelt"
    assert await history(sessions) == [(Operation.INSERT, "a", "rye"), (Operation.UPDATE, "a", "spelt")]


def _is_of_shop(model):
    return model in (version_class(Shop), version_class(Bakery), transaction_class(Shop))


async def test_merge(sessions, bakery):
    async with sessions() as session:
        await session.merge(bakery)
        await session.commit()
        await session.merge(Bakery(id=1, name="a", bread="spelt"))
        await session.commit()
        await session.merge(Bakery(id=1, name="a", bread="spelt"))
        await session.commit()
    assert await history(sessions) == [(Operation.INSERT, "a", "rye"), (Operation.UPDATE, "a", "spelt")]


async def test_an_object_that_moves_to_another_session(sessions, bakery):
    async with sessions(expire_on_commit=False) as session:
        session.add(bakery)
        await session.commit()
        session.expunge(bakery)
    bakery.bread = "spelt"
    async with sessions() as session:
        session.add(bakery)
        await session.commit()
    assert await history(sessions) == [(Operation.INSERT, "a", "rye"), (Operation.UPDATE, "a", "spelt")]


async def test_an_object_that_is_expunged_before_the_flush_is_not_recorded(sessions, bakery):
    async with sessions() as session:
        session.add(bakery)
        session.expunge(bakery)
        await session.commit()
    assert await history(sessions) == []


async def test_make_transient(sessions, bakery):
    """The documentation's way to copy a row: the copy has a history of its own."""
    async with sessions(expire_on_commit=False) as session:
        session.add(bakery)
        await session.commit()
        session.expunge(bakery)
        make_transient(bakery)
        bakery.id = 2
        session.add(bakery)
        await session.commit()
        assert [each.bread for each in await versions_of(session, Bakery, 2)] == ["rye"]
    assert await history(sessions) == [(Operation.INSERT, "a", "rye")]


async def test_make_transient_to_detached(sessions, bakery):
    async with sessions() as session:
        session.add(bakery)
        await session.commit()
    stub = Bakery(id=1)
    make_transient_to_detached(stub)
    async with sessions() as session:
        session.add(stub)
        stub.bread = "spelt"
        await session.commit()
    assert await history(sessions) == [(Operation.INSERT, "a", "rye"), (Operation.UPDATE, "a", "spelt")]


async def test_refresh_takes_back_what_was_set(sessions, bakery):
    async with sessions() as session:
        session.add(bakery)
        await session.commit()
        await session.refresh(bakery)
        with session.no_autoflush:
            bakery.bread = "spelt"
            await session.refresh(bakery)
        await session.commit()
    assert await history(sessions) == [(Operation.INSERT, "a", "rye")]


async def test_schema_translate_map_gives_each_tenant_a_history(backend, engine, sessions, database):
    if backend == "sqlite":
        pytest.skip("sqlite: has no schemas but attached databases")
    counted = {}
    for tenant in ("red", "blue"):
        async with engine.begin() as connection:
            await connection.exec_driver_sql(f"CREATE SCHEMA {tenant}")
            connection = await connection.execution_options(schema_translate_map={None: tenant})
            await connection.run_sync(Base.metadata.create_all)
        of_tenant = async_sessionmaker(engine.execution_options(schema_translate_map={None: tenant}))
        async with of_tenant() as session:
            bakery = Bakery(id=1, name=tenant, bread="rye")
            session.add(bakery)
            await session.commit()
            bakery.bread = "spelt"
            await session.commit()
        counted[tenant] = await history(of_tenant)
    assert counted == {
        tenant: [(Operation.INSERT, tenant, "rye"), (Operation.UPDATE, tenant, "spelt")] for tenant in ("red", "blue")
    }
    assert await history(sessions) == []


async def test_two_writers_of_two_tables_of_one_entity_wait_for_one_another(backend, place, sessions, bakery):
    """One changes the table above, the other the one below: no row lock of theirs would make either wait."""
    if backend == "sqlite":
        pytest.skip("sqlite: has one writer at a time")
    async with sessions() as session:
        session.add(bakery)
        await session.commit()

    async def change(name, value, before_commit):
        async with sessions() as session:
            found = await session.get_one(Bakery, 1)
            setattr(found, name, value)
            await session.flush()
            before_commit.set()
            await asyncio.sleep(0.2)
            await session.commit()

    flushed = asyncio.Event()
    first = asyncio.create_task(change("bread", "spelt", flushed))
    await flushed.wait()
    second = asyncio.create_task(change("name", "b", asyncio.Event()))
    await asyncio.gather(first, second)
    assert await history(sessions) == [
        (Operation.INSERT, "a", "rye"),
        (Operation.UPDATE, "a", "spelt"),
        (Operation.UPDATE, "b", "spelt"),
    ]

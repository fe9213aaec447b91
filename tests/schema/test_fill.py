"""What history should hold and does not is filled by one statement, whatever the number of rows."""

from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column, relationship

from async_continuum import Versioned, VersioningManager, make_versioned, version_class, version_table
from async_continuum.schema import (
    convert_strategy,
    fill_end_transaction_ids,
    fill_open_versions,
    fill_property_mod_flags,
)
from tests.kit.own import new_base
from tests.kit.statements import count_statements


def declare(strategy: Any) -> tuple[Any, Any]:
    """One model with a composite key, and links without a key; the same tables under either strategy."""
    Base = new_base()
    manager = make_versioned(mapper=Base, manager=VersioningManager(), user_cls=None, options={"strategy": strategy})
    link = Table("seat_tag", Base.metadata, Column("hall", String(20)), Column("tag_id", ForeignKey("tag.id")))

    class Tag(Versioned, Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Seat(Versioned, Base):
        __tablename__ = "seat"
        hall: Mapped[str] = mapped_column(String(20), primary_key=True)
        number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        guest: Mapped[str | None] = mapped_column(String(20))
        tags: Mapped[list[Tag]] = relationship(
            secondary=link, primaryjoin=hall == link.c.hall, secondaryjoin=Tag.id == link.c.tag_id
        )

    return Base, manager


VALIDITY, VALIDITY_MANAGER = declare("validity")
SUBQUERY, SUBQUERY_MANAGER = declare("subquery")


def models(base: Any) -> Any:
    return {mapper.class_.__name__: mapper.class_ for mapper in base.registry.mappers}


@pytest.fixture
def base() -> Any:
    return VALIDITY


@pytest.fixture
def manager() -> Any:
    return VALIDITY_MANAGER


async def live(sessions: Any, base: Any, guests: str) -> None:
    """Change seats and links, one transaction for each letter, a delete and a rebirth among them."""
    Seat, Tag = models(base)["Seat"], models(base)["Tag"]
    for guest in guests:
        async with sessions.begin() as session:
            for number in (1, 2):
                seat = await session.get(Seat, ("red", number))
                if guest == "-" and seat is not None:
                    await session.delete(seat)
                    continue
                if seat is None:
                    seat = Seat(hall="red", number=number, tags=[])
                    session.add(seat)
                seat.guest = guest
            if guest != "-":
                tag = await session.get(Tag, 1) or Tag(id=1)
                linked = await session.run_sync(lambda _, seat=seat: seat.tags)
                seat.tags = [] if linked else [tag]


async def ends(connection: Any, rows: Table) -> list[tuple[Any, ...]]:
    names = [name for name in rows.c.keys() if name in ("hall", "number", "tag_id", "id")]  # noqa: SIM118
    order = [rows.c[name] for name in (*names, "transaction_id")]
    return [tuple(row) for row in await connection.execute(select(*order, rows.c.end_transaction_id).order_by(*order))]


WAYS = {
    "by model": lambda: (models(VALIDITY)["Seat"], {}),
    "by table": lambda: (version_table(models(VALIDITY)["Seat"]), {}),
    "by live table": lambda: (models(VALIDITY)["Seat"].__table__, {}),
    "by name": lambda: ("seat_version", {"key": ["hall", "number"]}),
    "links, by table": lambda: (VALIDITY.metadata.tables["seat_tag"], {}),
    "links, by name": lambda: ("seat_tag_version", {"key": ["hall", "tag_id"]}),
}


@pytest.mark.parametrize("way", WAYS)
async def test_every_version_ends_where_the_next_one_begins(sessions, engine, way):
    await live(sessions, VALIDITY, "ab-cd")
    table, options = WAYS[way]()
    rows = VALIDITY.metadata.tables["seat_tag_version" if "links" in way else "seat_version"]
    async with engine.begin() as connection:
        before = await ends(connection, rows)
        await connection.execute(text(f"DROP INDEX uq_{rows.name}_open"))
        # Open, as concurrent writers and association tables are left; closed by a transaction that was rolled back.
        await connection.execute(update(rows).values(end_transaction_id=None))
        newest = select(func.max(rows.c.transaction_id)).scalar_subquery()
        await connection.execute(update(rows).where(rows.c.transaction_id == newest).values(end_transaction_id=99))
        assert await ends(connection, rows) != before
        with count_statements(engine) as statements:
            await connection.execute(fill_end_transaction_ids(table, **options))
        assert len(statements) == 1
        assert await ends(connection, rows) == before
        assert (await connection.execute(fill_end_transaction_ids(table, **options))).rowcount == 0


async def test_flags_say_what_is_stored_otherwise_than_before(engine):
    metadata = MetaData()
    rows = Table(
        "page_version",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("transaction_id", Integer, primary_key=True),
        Column("operation_type", Integer),
        Column("title", String(30, collation="NOCASE" if engine.dialect.name == "sqlite" else None)),
        Column("data", JSON(none_as_null=True)),
        Column("title_mod", Boolean),
        Column("data_mod", Boolean),
    )
    told = [
        # id, transaction, operation, title, data, whether each is flagged
        (1, 1, 0, "a", {"x": 1}, True, True),
        (2, 2, 0, None, None, True, True),
        (1, 3, 1, "A", {"x": 1}, True, False),
        (2, 4, 1, None, None, False, False),
        (2, 5, 1, "b", [], True, True),
        (1, 6, 1, None, None, True, True),
        (1, 7, 2, None, None, True, True),
        (1, 8, 0, None, None, True, True),
        (3, 9, 1, "older than history", {}, True, True),
        (3, 10, 1, "older than history", {"x": None}, False, True),
    ]
    names = ("id", "transaction_id", "operation_type", "title", "data")
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(insert(rows), [dict(zip(names, row, strict=False)) for row in told])
        for table, options in ((rows, {}), ("page_version", {"key": ["id"]})):
            await connection.execute(update(rows).values(title_mod=None, data_mod=None))
            with count_statements(engine) as statements:
                await connection.execute(fill_property_mod_flags(table, ["title", "data"], **options))
            assert len(statements) == 1
            flags = select(rows.c.title_mod, rows.c.data_mod).order_by(rows.c.transaction_id)
            assert [tuple(row) for row in await connection.execute(flags)] == [row[-2:] for row in told]


OPEN = {"by name": (VALIDITY, True), "by model": (VALIDITY, False), "no ends, by name": (SUBQUERY, True)}


@pytest.mark.parametrize(("base", "by_name"), OPEN.values(), ids=OPEN)
async def test_open_versions_take_what_the_live_rows_hold(base, by_name, engine, place):
    sessions = async_sessionmaker(engine)
    await live(sessions, base, "ab")
    Seat = models(base)["Seat"]
    async with sessions.begin() as session:
        await session.delete(await session.get(Seat, ("red", 2)))
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE seat SET guest = 'moved in'"))
        ends_name = "end_transaction_id" if base is VALIDITY else None
        options: Any = {"key": ["hall", "number"], "end_transaction_column_name": ends_name} if by_name else {}
        filled = await connection.execute(fill_open_versions("seat" if by_name else Seat, ["guest"], **options))
        assert filled.rowcount == 1
    async with sessions() as session:
        versions: Any = version_class(Seat)
        found = await session.execute(select(versions.number, versions.guest).order_by(versions.transaction_id))
        assert sorted(found.all()) == [(1, "a"), (1, "moved in"), (2, "a"), (2, "b"), (2, "b")]


async def test_a_strategy_is_converted_there_and_back(database, engine):
    sessions = await database(VALIDITY, VALIDITY_MANAGER)
    await live(sessions, VALIDITY, "ab-c")
    tables = {"seat_version": ["hall", "number"], "tag_version": ["id"], "seat_tag_version": ["hall", "tag_id"]}
    for base, manager, strategy in ((SUBQUERY, SUBQUERY_MANAGER, "subquery"), (VALIDITY, VALIDITY_MANAGER, "validity")):
        async with engine.begin() as connection:
            with count_statements(engine) as statements:
                for name, key in tables.items():
                    for statement in convert_strategy(name, strategy, key=key):
                        await connection.execute(statement)
            assert len(statements) <= 3 * len(tables)
        database.managers = {}
        sessions = await database(base, manager)
        await live(sessions, base, "de-f")
        await database.assert_invariants()
    async with engine.connect() as connection:
        rows = VALIDITY.metadata.tables["seat_version"]
        assert (await connection.scalar(select(func.count()).select_from(rows))) == 24


def test_a_key_that_nobody_names_and_a_strategy_that_is_none_are_refused():
    with pytest.raises(ValueError, match="key="):
        fill_end_transaction_ids("article_version")
    with pytest.raises(ValueError, match="'subquery'"):
        fill_end_transaction_ids(models(SUBQUERY)["Seat"])
    with pytest.raises(ValueError, match="'validty'"):
        convert_strategy("article_version", "validty", key=["id"])  # type: ignore[arg-type]

"""One table for several classes, and the running request, natively: as sessions record them."""

from typing import Any

from sqlalchemy import ForeignKey, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

import async_continuum as ac
from async_continuum.plugins import RequestPlugin, current_request
from tests.kit.history import told
from tests.kit.own import Own

Sessions = async_sessionmaker[AsyncSession]


async def test_classes_of_one_table_have_one_history(sessions: Sessions, engine: AsyncEngine, own: Own) -> None:
    Base, _ = own(
        options={"native_versioning": True, "transaction_table_name": "beast_transaction"}, plugins=[RequestPlugin()]
    )

    class Owner(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "owner"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Beast(ac.Versioned, Base):  # type: ignore[misc, valid-type]
        __tablename__ = "beast"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "beast"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        name: Mapped[str]

    class Dog(Beast):
        __mapper_args__ = {"polymorphic_identity": "dog"}
        tricks: Mapped[int | None] = mapped_column("the tricks")
        owner_id: Mapped[int | None] = mapped_column(ForeignKey("owner.id"))

    class Puppy(Dog):
        __mapper_args__ = {"polymorphic_identity": "puppy"}
        teeth: Mapped[int | None]

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    token = current_request.set({"remote_addr": "10.0.0.9"})
    try:
        async with sessions() as session:
            session.add_all([Owner(id=1), Beast(id=1, name="a")])
            await session.flush()
            session.add_all([Dog(id=2, name="b", tricks=1, owner_id=1), Puppy(id=3, name="c", tricks=0, teeth=4)])
            await session.commit()
            puppy = await session.get_one(Beast, 3)
            puppy.teeth = 5
            await session.commit()
            current_request.set(lambda: {"remote_addr": "10.0.0.10"})
            with ac.versioning_context(remote_addr="10.0.0.11"):
                await session.execute(text("""UPDATE beast SET "the tricks" = 7 WHERE id > 1"""))
                await session.commit()
            await session.delete(await session.get_one(Dog, 2))
            await session.commit()
    finally:
        current_request.reset(token)
    async with sessions() as session:
        await session.execute(text("UPDATE beast SET name = 'z' WHERE id = 1"))
        await session.commit()

    assert await told(sessions, Beast, 1, "name") == [("INSERT", "a"), ("UPDATE", "z")]
    assert await told(sessions, Dog, 2, "name", "tricks", "owner_id") == [
        ("INSERT", "b", 1, 1),
        ("UPDATE", "b", 7, 1),
        ("DELETE", "b", 7, 1),
    ]
    assert await told(sessions, Puppy, 3, "tricks", "teeth") == [("INSERT", 0, 4), ("UPDATE", 0, 5), ("UPDATE", 7, 5)]
    async with sessions() as session:
        found: list[Any] = await ac.versions_of(session, Beast, 3)
        assert {type(version) for version in found} == {ac.version_class(Puppy)}
        await found[0].revert(session)
        await session.commit()
        assert (await session.get_one(Puppy, 3)).teeth == 4
        said = await session.execute(text("SELECT remote_addr FROM beast_transaction ORDER BY id"))
        assert [row[0] for row in said] == ["10.0.0.9", "10.0.0.9", "10.0.0.11", "10.0.0.10", None, None]

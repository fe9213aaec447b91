"""A column may be called like a parameter of the statements that record it."""

from sqlalchemy.orm import Mapped, mapped_column

from async_continuum import Versioned, versioning_context
from tests.kit.history import told
from tests.kit.own import own

__all__ = ["own"]

NAMES = ("tx", "keys", "keys_0", "fresh", "fresh_0", "entity", "tx_remote_addr", "overtaken")


async def test_columns_called_like_parameters_are_recorded(own, database):
    base, manager = own()
    columns = {name: mapped_column(nullable=True) for name in NAMES}
    annotations = {"id": Mapped[int], **dict.fromkeys(NAMES, Mapped[int | None])}
    namespace = {"__tablename__": "row", "id": mapped_column(primary_key=True), **columns}
    Row = type("Row", (Versioned, base), {**namespace, "__annotations__": annotations})
    sessions = await database(base, manager)
    with versioning_context(remote_addr="10.0.0.7"):
        async with sessions() as session:
            rows = [Row(id=number, **dict.fromkeys(NAMES, number)) for number in (1, 2)]
            session.add_all(rows)
            await session.commit()
            for step in (3, 4):
                for row in rows:
                    row.tx = step
                await session.flush()
            await session.commit()
            await session.delete(rows[1])
            await session.commit()
    assert await told(sessions, Row, 1, *NAMES) == [
        ("INSERT", *(1 for _ in NAMES)),
        ("UPDATE", 4, *(1 for _ in NAMES[1:])),
    ]
    assert [version[0] for version in await told(sessions, Row, 2)] == ["INSERT", "UPDATE", "DELETE"]

"""Through PgBouncer in transaction mode, where one connection serves a writer after the other."""

import asyncio
import os
import random
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

from async_continuum import transaction_class, version_class, versioning_context
from tests.native.shop import Item

Sessions = async_sessionmaker[AsyncSession]

PROGRAM = shutil.which("pgbouncer")
WRITERS, TURNS, ROWS = 12, 5, 4

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no pgbouncer on the PATH")


@pytest.fixture
def pooler(engine: AsyncEngine) -> Iterator[int]:
    """The port of a pooler that has three connections to the test's database."""
    url = engine.url
    host, port = url.host or url.query.get("host"), url.port or url.query.get("port") or 5432
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listening: int = free.getsockname()[1]
    folder = Path(mkdtemp())
    settings = folder / "pooler.ini"
    settings.write_text(
        f"[databases]\npooled = host={host} port={port} dbname={url.database} user={url.username}\n"
        f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={listening}\nunix_socket_dir=\nauth_type=any\n"
        "pool_mode=transaction\ndefault_pool_size=3\nmax_client_conn=100\nignore_startup_parameters=extra_float_digits\n"
    )
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        # It does not run as root; whose the server's socket is may open it.
        owner = Path(str(host)).stat().st_uid if str(host).startswith("/") else 0
        who["user"] = owner or "nobody"
        folder.chmod(0o755)
    silent: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    program = subprocess.Popen([str(PROGRAM), str(settings)], **silent, **who)
    try:
        yield listening
    finally:
        program.terminate()
        program.wait(timeout=30)
        shutil.rmtree(folder)


@pytest.fixture
async def pooled(pooler: int) -> AsyncIterator[Sessions]:
    engine = create_async_engine(
        f"postgresql+asyncpg://postgres@127.0.0.1:{pooler}/pooled",
        poolclass=NullPool,
        connect_args={
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": lambda: f"__{uuid4()}__",
        },
    )
    for _ in range(100):
        try:
            async with engine.connect():
                break
        except OSError:
            await asyncio.sleep(0.05)
    yield async_sessionmaker(engine, expire_on_commit=False)
    await engine.dispose()


async def test_who_writes_is_who_signs(sessions: Sessions, pooled: Sessions, pooler: int) -> None:
    """A program that says nothing of itself, in between, is taken for nobody else."""
    async with pooled() as session:
        session.add_all([Item(id=n, name="a") for n in range(ROWS)])
        await session.commit()
    chance, signed = random.Random(1), {}

    async def by_session(writer: int) -> None:
        for turn in range(TURNS):
            name = f"{writer} {turn}"
            with versioning_context(remote_addr=name):
                async with pooled() as session:
                    item = await session.get_one(Item, chance.randrange(ROWS), with_for_update=True)
                    await asyncio.sleep(chance.random() / 200)
                    item.name = name
                    await session.commit()
            signed[name] = name

    async def raw(writer: int) -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=pooler, user="postgres", database="pooled", statement_cache_size=0
        )
        for turn in range(TURNS):
            name = f"raw {writer} {turn}"
            async with connection.transaction():
                await connection.execute(f"UPDATE item SET name = '{name}' WHERE id = {chance.randrange(ROWS)}")
                await asyncio.sleep(chance.random() / 200)
            signed[name] = None
        await connection.close()

    await asyncio.gather(*(write(n) for n in range(WRITERS) for write in (by_session, raw)))

    version: Any = version_class(Item)
    transaction = transaction_class(Item)
    async with sessions() as session:
        told = await session.execute(
            select(version.name, transaction.remote_addr)
            .join(transaction, transaction.id == version.transaction_id)
            .where(version.operation_type == 1)
        )
        assert {each.name: each.remote_addr for each in told} == signed

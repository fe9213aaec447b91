"""The recipe for a task queue: a task signs what it changes with the context that it was sent with."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from async_continuum import transaction_class, version_class
from tests.kit.places import Place

pytest.importorskip("celery", reason="celery is not installed")

from examples import celery_worker

ROOT = Path(__file__).parents[2]


@pytest.fixture
def base() -> Any:
    return celery_worker.Base


@pytest.fixture
def manager() -> Any:
    return celery_worker.manager


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_task_signs_with_the_context_that_it_was_sent_with(session, place: Place):
    url = place.url.set(drivername="postgresql")
    environment = {
        **os.environ,
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "BROKER_URL": "memory://",
        "RESULT_URL": "cache+memory://",
        "PYTHONPATH": str(ROOT),
    }
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.ext.celery_life"),
        env=environment,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await worker.communicate()
    assert worker.returncode == 0, told.decode()

    ArticleVersion: Any = version_class(celery_worker.Article)
    Transaction: Any = transaction_class(celery_worker.Article)
    rows = await session.execute(
        select(ArticleVersion.title, Transaction.user_id, Transaction.remote_addr)
        .join(ArticleVersion.transaction)
        .order_by(ArticleVersion.transaction_id)
    )
    assert rows.all() == [
        ("eager", 5, "10.0.0.5"),
        ("eager, nobody's", None, None),
        ("sent", 6, "10.0.0.6"),
        ("sent, asynchronous", 7, None),
        ("sent, nobody's", None, None),
    ]

"""The FastAPI example does what its documentation says, and knows who it was, also with 200 requests at once."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import selectinload

from async_continuum import transaction_class, version_class
from examples.fastapi_app import create_app
from examples.fastapi_app import models as example
from examples.fastapi_app.articles import article_with
from examples.fastapi_app.database import SignedSession
from tests.kit.places import Place
from tests.kit.statements import count_statements

USERS = 50
REQUESTS = 200

ArticleVersion: Any = version_class(example.Article)
Transaction: Any = transaction_class(example.Article)


@pytest.fixture
def base() -> Any:
    return example.Base


@pytest.fixture
def manager() -> Any:
    return example.manager


@pytest.fixture
async def app(place: Place, sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[FastAPI]:
    async with sessions.begin() as session:
        session.add_all(
            example.User(id=number, name=f"user {number}", token=f"token-{number}") for number in range(1, USERS + 1)
        )
    app = create_app(place.url.render_as_string(hide_password=False), trusted_proxies=["127.0.0.1"])
    yield app
    await app.state.database.close()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def by(user: int, request_id: str = "r", **others: str) -> dict[str, str]:
    """The headers of a user's request, as the proxy passes them on."""
    return {
        "authorization": f"Bearer token-{user}",
        "x-forwarded-for": address_of(user),
        "x-request-id": request_id,
        **others,
    }


def address_of(user: int) -> str:
    return f"203.0.113.{user}"


async def test_history_diff_as_it_was_and_revert(client):
    first = await client.post("/articles", json={"title": "Asyncio", "body": "a", "tags": ["new"]}, headers=by(1))
    assert first.status_code == 201
    article = first.json()
    path = f"/articles/{article['id']}"
    before = datetime.now(UTC).isoformat()
    edit = {"body": "b", "tags": ["old", "new"]}
    assert (await client.patch(path, json=edit, headers=by(2, "request-2"))).json()["tags"] == ["new", "old"]
    assert (await client.post(f"{path}/publish", headers=by(3))).json()["published"] is True
    service = {"x-service-key": "token-4", "x-forwarded-for": address_of(4)}
    assert (await client.post(f"{path}/retract", headers=service)).status_code == 202
    assert (await client.delete(path, headers=by(5))).status_code == 204
    assert (await client.patch(path, json=edit, headers=by(5))).status_code == 404

    history = (await client.get(f"{path}/history", headers=by(6))).json()
    assert [(entry["operation"], entry["user"], entry["address"]) for entry in history] == [
        ("DELETE", "user 5", address_of(5)),
        ("UPDATE", "user 4", address_of(4)),  # in a background task, by a key that a middleware knows
        ("UPDATE", "user 3", address_of(3)),  # in a `def` endpoint and its thread
        ("UPDATE", "user 2", address_of(2)),
        ("INSERT", "user 1", address_of(1)),
    ]
    assert [entry["changes"] for entry in history[1:4]] == [
        {"published": {"old": True, "new": False}},
        {"published": {"old": False, "new": True}},
        {"body": {"old": "a", "new": "b"}},
    ]
    assert history[3]["request_id"] == "request-2"
    ids = [entry["transaction_id"] for entry in reversed(history)]

    diff = await client.get(f"{path}/diff", params={"since": ids[0], "until": ids[2]}, headers=by(6))
    assert diff.json() == {"body": {"old": "a", "new": "b"}, "published": {"old": False, "new": True}}
    assert (await client.get(f"{path}/diff?since=1&until=99999", headers=by(6))).status_code == 422

    then = await client.get(f"{path}/as-it-was", params={"moment": before}, headers=by(6))
    assert then.json() == article
    now = await client.get(f"{path}/as-it-was", params={"moment": datetime.now(UTC).isoformat()}, headers=by(6))
    assert now.status_code == 404

    back = await client.post(f"{path}/revert", json={"transaction_id": ids[1]}, headers=by(6))
    assert back.json() == {**article, "body": "b", "tags": ["new", "old"]}
    newest = (await client.get(f"{path}/history", params={"limit": 1}, headers=by(6))).json()
    assert [(entry["operation"], entry["user"]) for entry in newest] == [("INSERT", "user 6")]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_who_is_not_known_writes_nothing(client):
    draft = {"title": "x"}
    assert (await client.post("/articles", json=draft)).status_code in (401, 403)
    assert (await client.post("/articles", json=draft, headers=by(99))).status_code == 401
    assert (await client.post("/articles/1/publish", headers=by(99))).status_code == 401
    assert (await client.post("/articles/1/retract", headers={"x-service-key": "no"})).status_code == 401
    assert (await client.post("/articles", json=draft, headers=by(1))).status_code == 201
    assert (await client.post("/articles", json=draft, headers=by(1))).status_code == 409


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_page_of_history_takes_a_constant_number_of_statements(client, app):
    article = (await client.post("/articles", json={"title": "x"}, headers=by(1))).json()
    path = f"/articles/{article['id']}"
    needed = []
    for edits in (1, 9):
        for number in range(edits):
            await client.patch(path, json={"body": f"{edits} {number}"}, headers=by(number + 1))
        with count_statements(app.state.database.engine) as statements:
            assert len((await client.get(f"{path}/history", headers=by(2))).json()) == (2 if edits == 1 else 11)
        needed.append(len(statements))
    assert needed[0] == needed[1]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_200_requests_at_once_by_50_users_each_sign_with_their_own_name(app, client, sessions):
    @app.post("/articles/{article_id}/fail")
    async def fail(article_id: int, session: SignedSession) -> None:
        article = await article_with(session, article_id)
        article.body = "never"
        await session.flush()
        raise RuntimeError("after the change was recorded")

    for number in range(1, 11):
        draft = {"title": f"article {number}", "body": f"first-{number}"}
        assert (await client.post("/articles", json=draft, headers=by(number, f"first-{number}"))).status_code == 201

    dice = random.Random(7)
    sent = {f"first-{number}": number for number in range(1, 11)}
    kept: set[str] = {*sent}
    kinds: dict[str, int] = {}

    async def one(number: int) -> None:
        user, request_id = number % USERS + 1, f"request-{number}"
        sent[request_id] = user
        path, headers = f"/articles/{dice.randint(1, 10)}", by(user, request_id)
        kind = dice.choices(["edit", "write", "publish", "retract", "fail", "cancel"], [70, 40, 20, 20, 20, 30])[0]
        kinds[kind] = kinds.get(kind, 0) + 1
        match kind:
            case "edit":
                kept.add(request_id)
                response = await client.patch(path, json={"body": request_id}, headers=headers)
                assert response.status_code == 200
            case "write":
                kept.add(request_id)
                draft = {"title": request_id, "body": request_id, "tags": [request_id]}
                assert (await client.post("/articles", json=draft, headers=headers)).status_code == 201
            case "publish":
                assert (await client.post(f"{path}/publish", headers=headers)).status_code == 200
            case "retract":
                del headers["authorization"]
                headers["x-service-key"] = f"token-{user}"
                assert (await client.post(f"{path}/retract", headers=headers)).status_code == 202
            case "fail":
                sent.pop(request_id)
                assert (await client.post(f"{path}/fail", headers=headers)).status_code == 500
            case "cancel":
                request = asyncio.create_task(client.patch(path, json={"body": request_id}, headers=headers))
                # Somewhere between the first look-up of the user and the commit, and not at the same place twice.
                await asyncio.sleep(dice.random() * 0.8)
                request.cancel()
                await asyncio.gather(request, return_exceptions=True)
                kinds["interrupted"] = kinds.get("interrupted", 0) + request.cancelled()

    async with asyncio.TaskGroup() as group:
        for number in range(REQUESTS):
            group.create_task(one(number))

    assert min(kinds.values()) >= 5, kinds
    assert len(kinds) == 7
    assert app.state.database.engine.pool.checkedout() == 0
    assert app.state.database.sync_engine.pool.checkedout() == 0

    async with sessions() as session:
        loaded = await session.scalars(select(Transaction).options(selectinload(Transaction.meta_relation)))
        transactions = {each.id: each for each in loaded}
        began: dict[str, int] = {}
        for version in await session.scalars(select(ArticleVersion).order_by(ArticleVersion.transaction_id)):
            # Other requests publish and retract what this one has written.
            began.setdefault(version.body, version.transaction_id)
    assert kept <= began.keys() <= sent.keys()
    for request_id, transaction_id in began.items():
        assert transactions[transaction_id].meta == {"request_id": request_id}
    for transaction in transactions.values():
        assert transaction.user_id == sent[transaction.meta["request_id"]]
        assert transaction.remote_addr == address_of(transaction.user_id)
    assert len({transaction.meta["request_id"] for transaction in transactions.values()}) == len(transactions)

    # Nothing of all these stays on the connections, nor in the task that ran them.
    async with app.state.database.sessions() as session:
        session.add(example.Article(title="nobody's", body=""))
        await session.commit()
    async with sessions() as session:
        last = (await session.scalars(select(Transaction).order_by(Transaction.id.desc()).limit(1))).one()
        assert (last.user_id, last.remote_addr, await last.awaitable_attrs.meta) == (None, None, {})

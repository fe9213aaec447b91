"""A request signs its transactions: who, from where, under which id, whatever the framework."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, Session, mapped_column

from async_continuum import (
    ImproperlyConfigured,
    Versioned,
    set_context,
    transaction_class,
    version_class,
    versioning_context,
)
from async_continuum.ext.asgi import VersioningMiddleware
from async_continuum.ext.proxies import TrustedProxies
from async_continuum.plugins import RequestPlugin, TransactionMetaPlugin
from async_continuum.record import context_of, meta_values, transaction_values
from tests.domain import Article
from tests.ext import servers

FRAMEWORKS = {
    "starlette": servers.with_starlette,
    "fastapi": servers.with_fastapi,
    "litestar": servers.with_litestar,
    "quart": servers.with_quart,
}

ArticleVersion: Any = version_class(Article)
Transaction: Any = transaction_class(Article)


def held() -> dict[str, Any]:
    """What a transaction recorded here and now would say."""
    context = context_of(Session())
    return {**transaction_values(context, Transaction.__table__), **meta_values(context, stored=True)}


async def ask(
    *,
    inside: Callable[[], Any] = held,
    headers: Any = (),
    client: Any = ("10.0.0.7", 5),
    kind: str = "http",
    **given: Any,
) -> dict[str, Any]:
    """Send one request through the middleware and give what held inside of it."""
    found = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        found.update(inside())

    scope = {"type": kind, "headers": headers, "client": client, **given.pop("scope", {})}
    await VersioningMiddleware(app, **given)(scope, None, None)  # type: ignore[arg-type]
    assert not context_of(Session()).columns
    assert not context_of(Session()).meta
    return found


async def test_address_and_request_id_are_those_of_the_request():
    found = await ask(headers=[(b"X-Request-ID", b"r-1")])
    assert found == {"remote_addr": "10.0.0.7", "request_id": "r-1"}


async def test_a_request_without_an_id_gets_one_of_its_own():
    ids = [(await ask())["request_id"] for _ in range(3)]
    assert len(set(ids)) == 3
    for unfit in (b"", b"two words", b"x" * 201, b"tab\t", b"\xff"):
        assert (await ask(headers=[(b"x-request-id", unfit)]))["request_id"].encode() != unfit


async def test_the_header_of_the_request_id_is_chosen_or_switched_off():
    headers = [(b"x-request-id", b"no"), (b"x-correlation-id", b"c-1")]
    assert (await ask(headers=headers, request_id_header="X-Correlation-ID"))["request_id"] == "c-1"
    assert "request_id" not in await ask(headers=headers, request_id_header=None)


async def test_a_server_that_tells_of_no_client_gives_no_address():
    assert "remote_addr" not in await ask(client=None)


async def test_lifespan_and_unknown_kinds_of_scopes_pass_untouched():
    assert await ask(kind="lifespan", inside=lambda: dict(context_of(Session()).meta)) == {}


async def test_a_plain_callable_is_called_when_a_transaction_is_recorded():
    calls: list[Any] = []

    def user(given: Any) -> Any:
        calls.append(given)
        return given["user_id"]

    found = {}

    async def app(given: Any, receive: Any, send: Any) -> None:
        assert calls == []
        given["user_id"] = 5  # what an authentication further inside does
        found.update(held())

    await VersioningMiddleware(app, user=user)({"type": "http"}, None, None)  # type: ignore[arg-type]
    assert found["user_id"] == 5
    assert len(calls) == 1


async def asynchronous(scope: Any) -> Any:
    await asyncio.sleep(0)
    return scope["user"]


class Finder:
    async def __call__(self, scope: Any) -> Any:
        return scope["user"]


@pytest.mark.parametrize("user", [asynchronous, Finder(), partial(asynchronous)], ids=["function", "object", "partial"])
async def test_an_async_callable_is_awaited_when_the_request_starts(user):
    assert (await ask(user=user, scope={"user": 5}))["user_id"] == 5
    assert "user_id" not in await ask(user=user, scope={"user": None})


async def test_nobody_is_nobody():
    assert (await ask(user=lambda scope: None))["user_id"] is None
    assert "user_id" not in await ask()


async def test_a_plain_callable_that_gives_a_coroutine_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match="async def"):
        await ask(user=lambda scope: asynchronous(scope), scope={"user": 5})


async def test_an_error_of_the_callable_fails_the_request():
    async def user(scope: Any) -> Any:
        raise LookupError("no such session")

    with pytest.raises(LookupError, match="no such session"):
        await ask(user=user)


async def test_an_inner_context_and_the_session_s_own_win():
    def inside() -> dict[str, Any]:
        with versioning_context(user=6, meta={"reason": "import"}):
            inner = held()
            session = Session()
            set_context(session, user=7)
            own = transaction_values(context_of(session), Transaction.__table__)
        return {"inner": inner, "own": own, "outer": held()}

    headers = [(b"x-request-id", b"r-1")]
    found = await ask(user=lambda scope: 5, inside=inside, headers=headers)
    assert found["inner"] == {"user_id": 6, "remote_addr": "10.0.0.7", "request_id": "r-1", "reason": "import"}
    assert found["own"] == {"user_id": 7, "remote_addr": "10.0.0.7"}
    assert found["outer"] == {"user_id": 5, "remote_addr": "10.0.0.7", "request_id": "r-1"}


async def test_requests_at_the_same_time_do_not_see_each_other():
    async def one(number: int) -> None:
        found = await ask(user=lambda scope: scope["number"], scope={"number": number}, client=(f"10.0.0.{number}", 1))
        assert (found["user_id"], found["remote_addr"]) == (number, f"10.0.0.{number}")

    await asyncio.gather(*(one(number) for number in range(1, 100)))


# -- addresses ------------------------------------------------------------------------------------------------------

PROXIES = ["10.0.0.0/8", "192.168.1.1", "fd00::/8"]
XFF, FORWARDED = "x-forwarded-for", "forwarded"

SENDERS = [
    # client, header read, header lines, address
    ("8.8.8.8", XFF, ["1.1.1.1"], "8.8.8.8"),  # nobody trusts a stranger's word
    ("10.0.0.1", XFF, [], "10.0.0.1"),
    ("10.0.0.1", XFF, ["1.1.1.1"], "1.1.1.1"),
    ("10.0.0.1", XFF, ["6.6.6.6, 1.1.1.1"], "1.1.1.1"),  # what the sender has written itself
    ("10.0.0.1", XFF, ["6.6.6.6, 1.1.1.1, 192.168.1.1"], "1.1.1.1"),
    ("10.0.0.1", XFF, ["6.6.6.6", "1.1.1.1,10.2.2.2"], "1.1.1.1"),
    ("10.0.0.1", XFF, ["10.0.0.9, 10.0.0.8"], "10.0.0.9"),
    ("10.0.0.1", XFF, ["1.1.1.1:4711"], "1.1.1.1"),
    ("10.0.0.1", XFF, ["2001:DB8::1"], "2001:db8::1"),
    ("10.0.0.1", XFF, ["[2001:db8::1]:443"], "2001:db8::1"),
    ("10.0.0.1", XFF, ["1.1.1.1, unknown"], "10.0.0.1"),
    ("10.0.0.1", XFF, ["1.1.1.1, , 10.0.0.2"], "10.0.0.2"),
    ("::ffff:10.0.0.1", XFF, ["::ffff:1.1.1.1"], "1.1.1.1"),
    ("fd00::1", XFF, ["2001:db8::1"], "2001:db8::1"),
    ("10.0.0.1", FORWARDED, ["for=1.1.1.1;proto=https"], "1.1.1.1"),
    ("10.0.0.1", FORWARDED, ['For="[2001:db8::1]:80" ; by=10.0.0.1'], "2001:db8::1"),
    ("10.0.0.1", FORWARDED, ["for=6.6.6.6, for=1.1.1.1", "for=10.0.0.2"], "1.1.1.1"),
    ("10.0.0.1", FORWARDED, ["for=6.6.6.6, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", FORWARDED, ["for=6.6.6.6, proto=https"], "10.0.0.1"),
    ("10.0.0.1", FORWARDED, ['host="a;for=6.6.6.6, for=6.6.6.6";for=1.1.1.1'], "1.1.1.1"),
    ("10.0.0.1", FORWARDED, ['for=6.6.6.6;x=", for="[2001:db8::1]"'], "10.0.0.1"),  # an open quote of the sender's
    ("10.0.0.1", FORWARDED, ['for=6.6.6.6;x=\\, for="[2001:db8::1]"'], "2001:db8::1"),
    ("testclient", XFF, ["1.1.1.1"], "testclient"),
    ("", XFF, ["1.1.1.1"], None),
    (None, XFF, ["1.1.1.1"], None),
]


@pytest.mark.parametrize(("client", "header", "lines", "address"), SENDERS)
def test_the_sender_is_the_first_address_that_no_trusted_proxy_has(client, header, lines, address):
    proxies = TrustedProxies.of(PROXIES, header)
    headers = [(b"other", b"for=9.9.9.9"), *((header.upper().encode(), line.encode()) for line in lines)]
    assert proxies.sender(client, headers) == address


async def test_a_unix_socket_is_trusted_only_by_name():
    headers = [(b"x-forwarded-for", b"1.1.1.1")]
    assert (await ask(client=None, headers=headers, trusted_proxies=["unix"]))["remote_addr"] == "1.1.1.1"
    assert "remote_addr" not in await ask(client=None, headers=headers, trusted_proxies=["10.0.0.0/8"])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"trusted_proxies": ["example.org"]}, "example.org"),
        ({"trusted_proxies": ["10.0.0.1/8"]}, "host bits"),
        ({"trusted_proxies": "10.0.0.1"}, "give a list"),
        ({"forwarded_header": "x-real-ip"}, "x-forwarded-for, forwarded"),
    ],
)
def test_a_network_or_header_that_is_none_is_refused_at_once(options, problem):
    with pytest.raises(ValueError, match=problem):
        VersioningMiddleware(None, **options)  # type: ignore[arg-type]


# -- frameworks -----------------------------------------------------------------------------------------------------


@pytest.fixture
def write(sessions: async_sessionmaker[AsyncSession]) -> servers.Write:
    async def write(name: str) -> None:
        async with sessions() as session:
            session.add(Article(name=name))
            await session.commit()

    return write


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Any:
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return FRAMEWORKS[request.param]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_endpoints_background_tasks_and_websockets_are_signed(framework, write, session):
    def user(scope: Any) -> int | None:
        token = dict(scope["headers"]).get(b"token")
        return None if token is None else int(token)

    app = framework(write, VersioningMiddleware, user=user, trusted_proxies=["127.0.0.1"])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for number, path in enumerate(("now/a", "now/b", "later/c", "later/d"), start=1):
            headers = {"token": str(number), "x-forwarded-for": f"1.1.1.{number}"}
            response = await client.post(f"/{path}", headers=headers)
            assert response.is_success, response.text
        response = await client.post("/now/nobody")
        assert response.is_success
    answers = await servers.talk(app, "e", headers=[(b"token", b"5")], client=("1.1.1.5", 7))
    assert answers[0]["type"] == "websocket.accept"
    # Quart's run beside the response.
    await asyncio.gather(*getattr(app, "background_tasks", ()))

    rows = await session.execute(
        select(ArticleVersion.name, Transaction.user_id, Transaction.remote_addr)
        .join(ArticleVersion.transaction)
        .order_by(ArticleVersion.name)
    )
    signed = [(name, number, f"1.1.1.{number}") for number, name in enumerate("abcde", start=1)]
    assert rows.all() == [*signed, ("nobody", None, "127.0.0.1")]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("plugins", [[], [RequestPlugin()], [RequestPlugin(), TransactionMetaPlugin()]], ids=len)
async def test_the_request_id_is_kept_where_a_plugin_stores_it(own, database, plugins):
    base, manager = own(user_cls="Page", plugins=plugins)

    class Page(Versioned, base):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)

    sessions = await database(base, manager)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with sessions() as session:
            session.add(Page())
            await session.commit()

    scope = {"type": "http", "client": ("1.1.1.1", 5), "headers": [(b"x-request-id", b"r-1")]}
    await VersioningMiddleware(app, user=lambda scope: 5)(scope, None, None)  # type: ignore[arg-type]
    async with sessions() as session:
        signed: Any = (await session.scalars(select(transaction_class(Page)))).one()
        assert (signed.user_id, signed.remote_addr) == (5, "1.1.1.1")
        if len(plugins) == 2:
            assert await signed.awaitable_attrs.meta == {"request_id": "r-1"}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_user_where_transactions_have_none_fails_the_flush(own, database):
    base, manager = own(user_cls=None)

    class Page(Versioned, base):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)

    sessions = await database(base, manager)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with sessions() as session:
            session.add(Page())
            await session.commit()

    with pytest.raises(ImproperlyConfigured, match="user_cls"):
        await VersioningMiddleware(app, user=lambda scope: 5)({"type": "http"}, None, None)  # type: ignore[arg-type]

"""One service in each web framework, and what a server says to it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Write = Callable[[str], Awaitable[None]]
"""Writes an article of this name and commits."""


def with_starlette(write: Write, middleware: Callable[..., Any], **options: Any) -> Any:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.middleware import Middleware
    from starlette.responses import Response
    from starlette.routing import Route, WebSocketRoute

    async def now(request: Any) -> Response:
        await write(request.path_params["name"])
        return Response()

    async def later(request: Any) -> Response:
        return Response(background=BackgroundTask(write, request.path_params["name"]))

    async def socket(websocket: Any) -> None:
        await websocket.accept()
        await write(await websocket.receive_text())
        await websocket.close()

    routes = [
        Route("/now/{name}", now, methods=["POST"]),
        Route("/later/{name}", later, methods=["POST"]),
        WebSocketRoute("/socket", socket),
    ]
    return Starlette(routes=routes, middleware=[Middleware(middleware, **options)])


def with_fastapi(write: Write, middleware: Callable[..., Any], **options: Any) -> Any:
    from fastapi import BackgroundTasks, FastAPI, WebSocket

    app = FastAPI()
    app.add_middleware(middleware, **options)

    @app.post("/now/{name}")
    async def now(name: str) -> None:
        await write(name)

    @app.post("/later/{name}")
    async def later(name: str, tasks: BackgroundTasks) -> None:
        tasks.add_task(write, name)

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await write(await websocket.receive_text())
        await websocket.close()

    return app


def with_litestar(write: Write, middleware: Callable[..., Any], **options: Any) -> Any:
    from litestar import Litestar, Request, Response, WebSocket, post, websocket
    from litestar.background_tasks import BackgroundTask
    from litestar.middleware import DefineMiddleware

    @post("/now/{name:str}")
    async def now(request: Request) -> None:
        await write(request.path_params["name"])

    @post("/later/{name:str}")
    async def later(request: Request) -> Response[None]:
        return Response(None, background=BackgroundTask(write, request.path_params["name"]))

    @websocket("/socket")
    async def listen(socket: WebSocket) -> None:
        await socket.accept()
        await write(await socket.receive_text())
        await socket.close()

    return Litestar(
        [now, later, listen],
        middleware=[DefineMiddleware(middleware, **options)],
        openapi_config=None,
        logging_config=None,
    )


def with_quart(write: Write, middleware: Callable[..., Any], **options: Any) -> Any:
    from quart import Quart, websocket

    app = Quart(__name__)
    app.asgi_app = middleware(app.asgi_app, **options)

    @app.post("/now/<name>")
    async def now(name: str) -> str:
        await write(name)
        return ""

    @app.post("/later/<name>")
    async def later(name: str) -> str:
        app.add_background_task(write, name)
        return ""

    @app.websocket("/socket")
    async def socket() -> None:
        await write(await websocket.receive())

    return app


async def talk(app: Any, *texts: str, headers: Any = (), client: tuple[str, int] | None = None) -> list[dict[str, Any]]:
    """Say these texts to the websocket of an application, as a server does, and give what it answered."""
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    for event in ({"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text} for text in texts)):
        said.put_nowait(event)
    answers = []

    async def send(event: dict[str, Any]) -> None:
        answers.append(event)
        if event["type"] == "websocket.close":
            said.put_nowait({"type": "websocket.disconnect", "code": 1000})

    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/socket",
        "raw_path": b"/socket",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"test"), *headers],
        "client": client,
        "server": ("test", 80),
        "subprotocols": [],
        "state": {},
        "extensions": {},
    }
    await app(scope, said.get, send)
    return answers

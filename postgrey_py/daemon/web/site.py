# SPDX-License-Identifier: GPL-2.0-or-later
"""The web server of `--metrics`: the page, /metrics, /health and /ready, to GET only.

It runs in the server's own event loop. What it answers is made at most once a second, however often it is asked for;
the number of connections and the life of each are bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from postgrey_py.daemon.engine import Engine
from postgrey_py.daemon.health import find_problems
from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.meter import Meter
from postgrey_py.daemon.survey import Survey
from postgrey_py.daemon.web.metrics import Metrics
from postgrey_py.daemon.web.observation import observe
from postgrey_py.daemon.web.page import HEADERS, render
from postgrey_py.greylist.loglines import Level

MOST_CONNECTIONS = 32
CONNECTION_SECONDS = 60.0
FRESH_SECONDS = 1.0

_PLAIN = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """The web server of a server, as long as it serves."""

    def __init__(self, engine: Engine, meter: Meter, survey: Survey, log: Log) -> None:
        self._engine = engine
        self._survey = survey
        self._log = log
        self._metrics = Metrics(engine, meter, survey)
        self._answers: dict[str, tuple[float, tuple[bytes, str]]] = {}
        self._is_stopping = False
        self._runner: web.AppRunner | None = None
        self._servers: list[asyncio.AbstractServer] = []
        # Connections that the library does not count yet.
        self._new: set[asyncio.BaseProtocol] = set()

    async def start(self, listeners: Sequence[socket.socket]) -> None:
        """Begin to accept connections on these sockets."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._guard(request, handler)

        application = web.Application(middlewares=[guard])
        application.router.add_get("/", self._page)
        application.router.add_get("/metrics", self._expose)
        application.router.add_get("/health", self._health)
        application.router.add_get("/ready", self._ready)
        application.on_response_prepare.append(_name_server)
        # What strangers do wrong is no matter for the log.
        silent = logging.getLogger("postgrey.web")
        silent.addHandler(logging.NullHandler())
        silent.propagate = False
        runner = self._runner = web.AppRunner(
            application, handle_signals=False, access_log=None, logger=silent, keepalive_timeout=CONNECTION_SECONDS
        )
        await runner.setup()
        loop = asyncio.get_running_loop()
        self._servers = [await loop.create_server(self._accept, sock=listener) for listener in listeners]

    async def close(self) -> None:
        """Accept nobody any more, and break off what is under way."""
        self._is_stopping = True
        for server in self._servers:
            server.close()
        if self._runner is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._runner.cleanup(), FRESH_SECONDS)

    def _accept(self) -> asyncio.BaseProtocol:
        """Return what talks to a new connection."""
        server = self._runner.server if self._runner is not None else None
        if server is None or len(server.connections) + len(self._new) >= MOST_CONNECTIONS:
            return _Refusal()
        handler = server()
        loop = asyncio.get_running_loop()
        self._new.add(handler)
        loop.call_soon(self._new.discard, handler)
        loop.call_later(CONNECTION_SECONDS, handler.force_close)
        return handler

    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer, with a plain error where that fails."""
        # Older releases of the library take any version.
        if request.version.major != 1:
            return web.Response(status=400, text="HTTP/1.0 or HTTP/1.1, please\n", headers=_PLAIN)
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except MemoryError:
            return web.Response(status=503, text="there is not enough memory now\n", headers=_PLAIN)
        except Exception as error:  # noqa: BLE001 - whatever it is, mail goes on, and the log has it
            self._log.line(Level.CRITICAL, f"a bug, in {request.path!r} of --metrics: {error!r}")
            return web.Response(status=500, text="a bug: the log has more\n", headers=_PLAIN)

    async def _page(self, _: web.Request) -> web.Response:
        body, __ = self._made("page", lambda: (render(observe(self._engine, self._survey)), ""))
        return web.Response(body=body, headers=HEADERS)

    async def _expose(self, request: web.Request) -> web.Response:
        accept = request.headers.get("Accept", "")
        kind = "openmetrics" if "application/openmetrics-text" in accept else "text"
        body, content_type = self._made(kind, lambda: self._metrics.expose(accept))
        return web.Response(body=body, headers={**_PLAIN, "Content-Type": content_type})

    async def _health(self, _: web.Request) -> web.Response:
        problems = find_problems(self._engine)
        text = "".join(f"{problem}\n" for problem in problems) or "healthy\n"
        return web.Response(status=503 if problems else 200, text=text, headers=_PLAIN)

    async def _ready(self, _: web.Request) -> web.Response:
        if self._is_stopping:
            return web.Response(status=503, text="stopping\n", headers=_PLAIN)
        return web.Response(text="ready\n", headers=_PLAIN)

    def _made(self, name: str, make: Callable[[], tuple[bytes, str]]) -> tuple[bytes, str]:
        """Return the answer of this name, which may be a second old."""
        now = asyncio.get_running_loop().time()
        made_at, answer = self._answers.get(name, (float("-inf"), (b"", "")))
        if now - made_at >= FRESH_SECONDS:
            answer = make()
            self._answers[name] = now, answer
        return answer


async def _name_server(_: web.Request, response: web.StreamResponse) -> None:
    """Say no more about the server than its name."""
    response.headers["Server"] = "postgrey"


class _Refusal(asyncio.Protocol):
    """Turns away a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(_REFUSAL)
        transport.close()

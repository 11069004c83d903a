"""The HTTP pages of `leadsquared outbox serve`: `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["metrics_page", "pages", "serving"]

INSTALL = '/metrics needs: pip install "leadsquared_async[prometheus]"\n'
STOP_WITHIN = 1
MOST_CONNECTIONS = 64
"""More would take the open files that delivery needs."""
OTHER_HOST = (
    "These pages are for this machine only: their address is a loopback one, the header Host is not\n"
)


def pages(readiness: Callable[[], tuple[bool, dict[str, Any]]], metrics: Callable[[], Response]) -> Starlette:
    """The application.

    Args:
        readiness: returns whether all files are being delivered, and what `/readyz` shows.
        metrics: makes `/metrics`; it may block, so it is called in a thread.
    """

    async def healthz(_: Request) -> Response:
        return JSONResponse({"alive": True})

    async def readyz(_: Request) -> Response:
        is_ready, shown = readiness()
        # In ASCII, because a file's name need not be UTF-8.
        return Response(json.dumps(shown), 200 if is_ready else 503, media_type="application/json")

    def metrics_of(_: Request) -> Response:
        return metrics()

    routes = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics_of}
    return Starlette(routes=[Route(path, page, methods=["GET"]) for path, page in routes.items()])


def metrics_page() -> Callable[[], Response]:
    """Make `/metrics` and set OpenTelemetry's meter provider; call it before a client is opened."""
    try:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: PLC0415 - optional
        from opentelemetry.metrics import set_meter_provider  # noqa: PLC0415
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest  # noqa: PLC0415
    except ImportError:
        return lambda: PlainTextResponse(INSTALL, 501)
    set_meter_provider(MeterProvider([PrometheusMetricReader()]))
    return lambda: Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@asynccontextmanager
async def serving(application: Starlette, bound: socket.socket) -> AsyncGenerator[None]:
    """Serve an application on a bound socket while the block runs."""
    is_private = is_loopback(bound.getsockname()[0])
    config = Config(
        _OwnHostOnly(application) if is_private else application,
        http=_Protocol,
        backlog=MOST_CONNECTIONS,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_WITHIN,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([bound]), name="leadsquared pages")
    try:
        yield
    finally:
        server.should_exit = True
        await task


def is_loopback(host: str) -> bool:
    """Whether it is localhost or a loopback address."""
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class _OwnHostOnly:
    """Refuses requests to another host: a website whose name resolves to this machine would make them."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = Request(scope).headers.get("host")
        if host is None or _is_own(host):  # browsers always send it
            await self._application(scope, receive, send)
        else:
            await PlainTextResponse(OTHER_HOST, 403)(scope, receive, send)


def _is_own(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


class _Protocol(H11Protocol):
    """uvicorn's protocol; a new connection closes the oldest one when there are too many.

    uvicorn waits for ever for the rest of a request.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.opened_at = self.loop.time()
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            oldest = min(cast("set[_Protocol]", self.connections), key=lambda it: it.opened_at)
            self.connections.discard(oldest)  # others may be accepted before it is lost
            oldest.transport.abort()


class _Server(Server):
    """uvicorn's server, without its signal handlers."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signal handling to the command."""
        yield

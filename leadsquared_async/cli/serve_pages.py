"""The HTTP pages of `leadsquared outbox serve`: `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn import Config, Server

__all__ = ["metrics_page", "pages", "serving"]

INSTALL = '/metrics needs: pip install "leadsquared_async[prometheus]"\n'
STOP_WITHIN = 1


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
        return JSONResponse(shown, 200 if is_ready else 503)

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
    config = Config(
        application,
        http="h11",
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


class _Server(Server):
    """uvicorn's server, without its signal handlers."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signal handling to the command."""
        yield

"""The pages of `leadsquared outbox serve`, without a process."""

from __future__ import annotations

import asyncio
import builtins
import inspect
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse, Response

from leadsquared_async.cli.addresses import Address, listener
from leadsquared_async.cli.serve_pages import MOST_CONNECTIONS, is_loopback, metrics_page, pages, serving
from leadsquared_async.cli.serving import FileDelivery, readiness_of, serve
from leadsquared_async.sandbox import Sandbox
from tests.clients import client_of


def client(*, is_ready: bool = True) -> httpx.AsyncClient:
    def metrics() -> Response:
        return PlainTextResponse("up 1")

    application = pages(lambda: (is_ready, {"ready": is_ready}), metrics)
    return httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://pages")


@pytest.mark.parametrize(("is_ready", "status"), [(True, 200), (False, 503)])
async def test_readiness_is_the_status(is_ready: bool, status: int) -> None:
    """A probe needs no JSON; `/healthz` does not depend on it."""
    async with client(is_ready=is_ready) as http:
        response = await http.get("/readyz")
        assert (response.status_code, response.json()) == (status, {"ready": is_ready})
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/metrics")).text == "up 1"


@asynccontextmanager
async def served(host: str = "127.0.0.1") -> AsyncGenerator[httpx.AsyncClient]:
    """The pages on a real socket."""
    application = pages(lambda: (True, {"ready": True}), lambda: PlainTextResponse("up 1"))
    with listener(Address(host, 0)) as bound:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        async with serving(application, bound), httpx.AsyncClient(base_url=url, timeout=5) as http:
            yield http


async def test_requests_that_do_not_end_take_few_connections() -> None:
    """The oldest are closed: delivery needs the open files, and a probe is answered all the same."""
    async with served() as http:
        halves = [
            await asyncio.open_connection("127.0.0.1", http.base_url.port)
            for _ in range(2 * MOST_CONNECTIONS)
        ]
        for _, writer in halves:
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half:")
        assert (await http.get("/readyz")).status_code == 200
        reading = [asyncio.create_task(reader.read()) for reader, _ in halves]
        closed, _ = await asyncio.wait(reading, timeout=0.5)
        assert len(closed) > MOST_CONNECTIONS
        for _, writer in halves:
            writer.close()
        await asyncio.gather(*reading, return_exceptions=True)


OWN = ("127.0.0.1", "127.0.0.1:8026", "localhost", "LOCALHOST:80", "[::1]:80", "127.0.0.2")
OTHERS = ("evil.example", "evil.example:8026", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "")


@pytest.mark.parametrize("path", ["/readyz", "/healthz", "/metrics"])
async def test_a_page_of_another_site_reads_nothing_on_loopback(path: str) -> None:
    """A name that resolves to this machine is refused (DNS rebinding), on every page."""
    async with served() as http:
        for host in OWN:
            assert (await http.get(path, headers={"Host": host})).status_code == 200, host
        for host in OTHERS:
            response = await http.get(path, headers={"Host": host})
            assert response.status_code == 403, host
            assert "ready" not in response.text


def test_the_default_address_is_loopback() -> None:
    """Nothing listens for other machines unless it is told to."""
    default = inspect.signature(serve).parameters["listen"].default
    assert is_loopback(Address.parse(default).host)


async def test_on_another_address_every_host_is_served() -> None:
    """In a container the name of the service is the host."""
    async with served("0.0.0.0") as http:
        assert (await http.get("/readyz", headers={"Host": "deliverer:8026"})).status_code == 200


@pytest.mark.skipif(os.name != "posix", reason="Windows has file names in Unicode")
async def test_a_file_whose_name_is_not_utf8_is_shown(sandbox: Sandbox) -> None:
    """`/readyz` would answer 500 and say nothing about the other files."""
    async with client_of(sandbox) as lsq:
        path = Path(os.fsdecode(b"leads\xff.db"))
        delivery = FileDelivery(path, lsq, asyncio.Event(), confirm=True)
        application = pages(lambda: readiness_of([delivery]), lambda: PlainTextResponse(""))
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://pages") as http:
            response = await http.get("/readyz")
    assert response.status_code == 503
    assert response.json()["outboxes"][0]["file"] == str(path)


async def test_pages_take_get_only() -> None:
    """Nothing can be changed through them, and there are no other pages."""
    async with client() as http:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await http.post(path)).status_code == 405
        assert (await http.get("/")).status_code == 404


def test_metrics_name_the_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenTelemetry's exporter the page is 501, with the command that installs it."""
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("opentelemetry.exporter"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    response = metrics_page()()
    assert response.status_code == 501
    assert b'pip install "leadsquared_async[prometheus]"' in response.body


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:8026", ("127.0.0.1", 8026)), ("[::1]:0", ("::1", 0)), ("localhost:80", ("localhost", 80))],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    """It is shown as it was written."""
    assert Address.parse(text) == address
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", ["8026", ":8026", "localhost:", "localhost:http", "localhost:65536"])
def test_an_invalid_address_is_refused(text: str) -> None:
    """An empty host is, too: it would be every address of the machine."""
    with pytest.raises(ValueError, match="HOST:PORT"):
        Address.parse(text)

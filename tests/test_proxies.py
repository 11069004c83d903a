"""The environment's proxies are honoured, and never see what is for this machine or what is secret."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from leadsquared_async import ConfigurationError, ConnectionFailed, Delivery, LeadSquared, RetryPolicy
from leadsquared_async.sandbox import Sandbox
from tests.clients import KEYS, LEAD, client_of

ONCE = RetryPolicy(attempts=1)
REGIONAL = "https://asyncapi-in21.leadsquared.com"


@asynccontextmanager
async def refusing_proxy() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy that takes down what it is asked, and refuses it."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def test_calls_go_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY is asked for a tunnel; it sees the host and no key, and nothing counts as sent."""
    async with refusing_proxy() as (url, asked):
        monkeypatch.setenv("HTTPS_PROXY", url)
        async with LeadSquared(**KEYS, host=REGIONAL, retry=ONCE) as lsq:
            with pytest.raises(ConnectionFailed, match="It was not sent") as caught:
                await lsq.leads.capture(LEAD)
    assert caught.value.delivery is Delivery.NOT_SENT
    assert [head.split(b"\r\n")[0] for head in asked] == [
        b"CONNECT asyncapi-in21.leadsquared.com:443 HTTP/1.1"
    ]
    assert not any(key.encode() in asked[0] for key in KEYS.values())


@pytest.mark.parametrize(
    ("environment", "host", "proxy"),
    [
        ({}, REGIONAL, None),
        ({"HTTPS_PROXY": "http://proxy.invalid:3128"}, REGIONAL, "http://proxy.invalid:3128"),
        ({"https_proxy": "http://proxy.invalid:3128"}, REGIONAL, "http://proxy.invalid:3128"),
        ({"ALL_PROXY": "http://proxy.invalid:3128"}, REGIONAL, "http://proxy.invalid:3128"),
        ({"HTTP_PROXY": "http://proxy.invalid:3128"}, REGIONAL, None),
        ({"HTTPS_PROXY": "http://proxy.invalid", "NO_PROXY": "leadsquared.com"}, REGIONAL, None),
        ({"HTTPS_PROXY": "http://proxy.invalid", "NO_PROXY": ".leadsquared.com"}, REGIONAL, None),
        ({"HTTPS_PROXY": "http://proxy.invalid", "no_proxy": "a.invalid, leadsquared.com"}, REGIONAL, None),
        ({"HTTPS_PROXY": "http://proxy.invalid", "NO_PROXY": "*"}, REGIONAL, None),
        (
            {"HTTPS_PROXY": "http://proxy.invalid", "NO_PROXY": "squared.com"},
            REGIONAL,
            "http://proxy.invalid",
        ),
        ({"HTTPS_PROXY": "http://proxy.invalid"}, "https://localhost:8025", None),
        ({"HTTP_PROXY": "http://proxy.invalid"}, "http://127.0.0.1:8025", None),
        ({"ALL_PROXY": "http://proxy.invalid"}, "http://[::1]:8025", None),
    ],
)
async def test_which_proxy_a_host_gets(
    environment: dict[str, str], host: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By scheme, ALL_PROXY as the last resort, NO_PROXY before both, and this machine never."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    chosen: list[Any] = []

    class Noting(httpx.AsyncHTTPTransport):
        def __init__(self, *, proxy: Any = None, **options: Any) -> None:
            chosen.append(proxy)
            super().__init__(**options)

    monkeypatch.setattr(httpx, "AsyncHTTPTransport", Noting)
    async with LeadSquared(**KEYS, host=host):
        assert chosen == [proxy]


async def test_a_call_to_this_machine_never_meets_a_proxy(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every proxy variable set, a sandbox's calls arrive directly."""
    async with refusing_proxy() as (url, asked):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, url)
        async with client_of(sandbox) as lsq:
            await lsq.leads.capture(LEAD)
    assert asked == []


@pytest.mark.parametrize(
    "url", ["socks5://user:hunter22@proxy.invalid", "gopher://user:hunter22@proxy.invalid"]
)
async def test_a_proxy_that_cannot_be_used_is_refused_without_showing_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variables, never the address, and the client stays closed."""
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        await LeadSquared(**KEYS, host=REGIONAL).__aenter__()
    assert "hunter22" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


async def test_a_transport_of_the_callers_ignores_the_environments_proxies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who brings a transport has chosen the way."""
    monkeypatch.setenv("HTTPS_PROXY", "gopher://nowhere.invalid")
    answer = httpx.MockTransport(lambda request: httpx.Response(200, json={"RequestID": "3f0c2c4e"}))
    async with LeadSquared(**KEYS, host=REGIONAL, transport=answer) as lsq:
        assert (await lsq.leads.capture(LEAD)).request_id == "3f0c2c4e"

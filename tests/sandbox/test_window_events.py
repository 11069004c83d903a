"""The live updates of the window: a stream of overviews that ends with the sandbox and needs no memory."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from leadsquared_async.sandbox import Faults, Sandbox, server
from leadsquared_async.sandbox.server import MOST_STREAMS

from .calls import API_KEY, BRET, HEADERS, KEYS

EVENTS = "/_sandbox/window/events"


async def overviews(response: httpx.Response) -> AsyncIterator[dict]:
    """The overviews of a stream, one after another."""
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def client_of(sandbox: Sandbox) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=sandbox.url, trust_env=False, timeout=5)


async def capture(client: httpx.AsyncClient) -> None:
    await client.post(f"/lead/capture?{KEYS}", content=BRET, headers=HEADERS)


async def test_each_change_is_told():
    """The first event has the state of now, the next ones that of each change."""
    async with Sandbox() as sandbox, client_of(sandbox) as client, client.stream("GET", EVENTS) as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["cache-control"] == "no-store"
        events = overviews(response)
        assert (await anext(events))["counts"]["calls"] == 0
        await capture(client)
        assert (await anext(events))["counts"]["calls"] == 1
        async for overview in events:
            if overview["counts"]["leads"] == 1:
                break
        sandbox.faults = Faults(latency=0.01)
        async for overview in events:
            if overview["faults"]["latency"] == 0.01:
                break


async def test_an_update_comes_regularly_even_without_a_change(monkeypatch: pytest.MonkeyPatch):
    """A reader can tell an idle sandbox from a dead one, and the chart moves on."""
    monkeypatch.setattr(server, "UPDATE_ANYWAY", 0.25)
    async with Sandbox() as sandbox, client_of(sandbox) as client, client.stream("GET", EVENTS) as response:
        events = overviews(response)
        first, second = await anext(events), await anext(events)
        assert first["revision"] == second["revision"]
        assert second["now"] - first["now"] > 0.25


async def test_closing_the_sandbox_ends_the_streams_at_once():
    """Whether the window reads them or not."""
    async with Sandbox() as sandbox:
        client = client_of(sandbox)
        response = await client.send(client.build_request("GET", EVENTS), stream=True)
        events = overviews(response)
        await anext(events)
        url = httpx.URL(sandbox.url)
        idle = socket.create_connection((url.host, url.port or 0))
        idle.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        await asyncio.sleep(0.05)
        began = time.monotonic()
    assert time.monotonic() - began < 0.5
    try:
        async for _ in events:
            pass
    except httpx.TransportError:
        pass
    await client.aclose()
    idle.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_reader_that_does_not_read_grows_nothing(monkeypatch: pytest.MonkeyPatch):
    """Events are made when they can be sent: a slow reader gets fewer, and the last one has everything."""
    monkeypatch.setattr(server, "UPDATE_EVERY", 0.001)
    monkeypatch.setattr(server, "UPDATE_ANYWAY", 0.0)
    async with Sandbox(limit=None) as sandbox, client_of(sandbox) as client:
        url = httpx.URL(sandbox.url)
        slow, small = socket.socket(), 4096
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, small)
        slow.connect((url.host, url.port))
        for _ in range(100):
            await asyncio.sleep(0.001)
            if sandbox._server is not None and sandbox._server._state.connections:
                break
        (connection,) = sandbox._server._state.connections
        transport = connection.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, small)
        slow.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        for _ in range(60):
            await capture(client)
        assert 0 < transport.get_write_buffer_size() < 100 * 1024
        reader, writer = await asyncio.open_connection(sock=slow)
        async with asyncio.timeout(5):
            while b'"calls":60' not in await reader.readuntil(b"\n\n"):
                pass
        writer.close()


async def test_a_window_that_closes_leaves_nothing_behind():
    """Its place is free at once, however often it happens."""
    async with Sandbox() as sandbox, client_of(sandbox) as client:
        for _ in range(MOST_STREAMS + 4):
            async with client.stream("GET", EVENTS) as response:
                assert response.status_code == 200
                await anext(overviews(response))
            for _ in range(100):
                if sandbox._server is not None and sandbox._server._streams == 0:
                    break
                await asyncio.sleep(0.01)


async def test_the_number_of_windows_is_bounded():
    """One too many is told so."""
    async with Sandbox() as sandbox:
        clients = [client_of(sandbox) for _ in range(MOST_STREAMS + 1)]
        responses = [
            await client.send(client.build_request("GET", EVENTS), stream=True) for client in clients
        ]
        assert [response.status_code for response in responses] == [200] * MOST_STREAMS + [503]
    for client in clients:
        await client.aclose()


async def test_other_sites_get_no_stream():
    """The rules are those of every page."""
    async with Sandbox() as sandbox, client_of(sandbox) as client:
        for headers in ({"Host": "evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            assert (await client.get(EVENTS, headers=headers)).status_code == 403
        assert API_KEY not in (await client.get("/_sandbox/window/overview")).text

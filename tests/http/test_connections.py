"""Connections are used again while they are usable, and closed otherwise."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

from leadsquared_async import LeadSquared, RetryPolicy
from leadsquared_async.http.connections import KEEPALIVE
from leadsquared_async.sandbox import Faults, Sandbox
from tests.clients import KEYS, LEAD, client_of, own_connections
from tests.http.proxies import TRUSTED, running_server


async def test_a_connection_is_used_again_the_last_used_first(sandbox: Sandbox) -> None:
    """Single calls share one connection after a burst, and idle connections are closed."""
    async with client_of(sandbox) as lsq:
        await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(5)))
        connections = own_connections(lsq, sandbox.url)
        *older, last = connections._idle
        await lsq.leads.capture(LEAD)
        await lsq.leads.capture(LEAD)
        assert list(connections._idle)[-1] is last
        assert set(connections._all) == {*older, last}
        for connection in older:
            connection._connection._expire_at = 0.0
        with mock.patch("leadsquared_async.http.connections.LOOK_EVERY", 0.0):
            await lsq.leads.capture(LEAD)
        assert set(connections._all) == {last}
        assert all(connection.is_closed() for connection in older)


async def test_a_burst_leaves_few_idle_connections(sandbox: Sandbox) -> None:
    """Of its connections, those that calls at a steady rate do not use are closed, but for two."""
    began = time.monotonic()
    now = SimpleNamespace(monotonic=lambda: began)
    with mock.patch("leadsquared_async.http.connections.time", now):
        async with client_of(sandbox) as lsq:
            connections = own_connections(lsq, sandbox.url)
            await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(5)))
            for seconds, kept in ((9.0, 5), (11.0, 2), (30.0, 2)):
                now.monotonic = lambda seconds=seconds: began + seconds
                await lsq.leads.capture(LEAD)
                assert len(connections._all) == len(connections._idle) == kept


@pytest.mark.parametrize("steps", range(4))
async def test_a_cancellation_while_connections_are_trimmed_leaves_none_open(
    steps: int, sandbox: Sandbox
) -> None:
    """Those that are no longer idle are closed: nothing would close them before the client."""
    async with client_of(sandbox) as lsq:
        connections = own_connections(lsq, sandbox.url)
        await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(6)))
        *older, last = connections._idle
        del connections._idle[last]
        for connection in older:
            connection._connection._expire_at = 0.0
        connections._looked = 0.0
        trimming = asyncio.create_task(connections.put_back(last))
        for _ in range(steps):
            await asyncio.sleep(0)
        trimming.cancel()
        with suppress(asyncio.CancelledError):
            await trimming
        assert set(connections._idle) <= {last} if steps else connections._idle
        assert set(connections._all) - set(connections._idle) <= {last}


async def test_a_connection_that_was_idle_for_long_is_not_used_again(sandbox: Sandbox) -> None:
    """The next call goes over a new one."""
    async with client_of(sandbox) as lsq:
        await lsq.leads.capture(LEAD)
        connections = own_connections(lsq, sandbox.url)
        (old,) = connections._idle
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + KEEPALIVE + 1.0)
        with mock.patch("httpcore._async.http11.time", later):
            await lsq.leads.capture(LEAD)
        assert old not in connections._all
        assert old.is_closed()


async def test_a_connection_whose_call_failed_is_not_used_again(sandbox: Sandbox) -> None:
    """A failed call closes its connection, which may be in any state."""
    sandbox.books.faults = Faults(script=("reset",))
    async with client_of(sandbox, retry=RetryPolicy(base=0.0)) as lsq:
        connections = own_connections(lsq, sandbox.url)
        with mock.patch.object(connections, "drop", wraps=connections.drop) as drop:
            assert (await lsq.leads.capture(LEAD)).attempts == 2
        ((failed,),) = (call.args for call in drop.call_args_list)
        assert failed not in connections._all
        assert failed.is_closed()


ANSWER = b'{"Status":"Success","RequestId":"85f9b731-34c5-4650-babc-94cd43291d71"}'


async def test_connections_that_the_server_has_closed_are_closed_here() -> None:
    """The next call closes them all, and is sent once over a new one."""
    asked = 0

    async def answer_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"]")
        asked += 1
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
            ANSWER
        )
        writer.write(head + ANSWER)
        await writer.drain()
        await asyncio.sleep(0.05)

    async with running_server(answer_and_close) as port:
        origin = f"http://127.0.0.1:{port}"
        async with LeadSquared(**KEYS, host=origin, retry=RetryPolicy(attempts=1)) as lsq:
            await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(5)))
            connections = own_connections(lsq, origin)
            assert len(connections._all) == 5
            await asyncio.sleep(0.2)
            with mock.patch("leadsquared_async.http.connections.LOOK_EVERY", 0.0):
                await lsq.leads.capture(LEAD)
            assert len(connections._all) == 1
            assert asked == 6


@pytest.mark.parametrize("certificate", [None, TRUSTED], ids=["plain", "tls"])
@pytest.mark.parametrize("more", ["an answer", "a line", "later"])
async def test_what_follows_an_answer_is_not_the_answer_to_the_next_call(
    certificate: Path | None, more: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection on which more came than one answer is closed; the next call goes over a new one."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TRUSTED))
    asked = 0

    async def answer_twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while True:
            await reader.readuntil(b"]")
            asked += 1
            body = b'{"Status":"Success","RequestId":"own-%d"}' % asked
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            own = head % len(body) + body
            extra = b"\r\n" if more == "a line" else own.replace(b"own", b"bad")
            if more == "later":  # with TLS a record of its own, which comes with that of the answer
                writer.write(own)
                writer.write(extra)
            else:
                writer.write(own + extra)
            await writer.drain()

    async with running_server(answer_twice, certificate) as port:
        origin = f"{'http' if certificate is None else 'https'}://127.0.0.1:{port}"
        async with LeadSquared(**KEYS, host=origin, retry=RetryPolicy(attempts=1)) as lsq:
            receipts = [await lsq.leads.capture(LEAD) for _ in range(3)]
            assert [receipt.request_id for receipt in receipts] == ["own-1", "own-2", "own-3"]
            assert len(own_connections(lsq, origin)._all) <= 1


@pytest.mark.parametrize("how", ["timeout", "cancelled", "closed"])
async def test_a_handshake_that_ends_early_leaves_no_socket(how: str) -> None:
    """The server sees the connection close, whatever ends the TLS handshake."""
    opened, closed = 0, 0

    async def stall(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal opened, closed
        opened += 1
        with suppress(ConnectionError):
            await reader.read()
        closed += 1

    gc.disable()  # which would close them some time
    try:
        async with running_server(stall) as port:
            origin = f"https://127.0.0.1:{port}"
            timeout = 0.1 if how == "timeout" else 30.0
            async with LeadSquared(
                **KEYS, host=origin, timeout=timeout, retry=RetryPolicy(attempts=1)
            ) as lsq:
                captures = [asyncio.create_task(lsq.leads.capture(LEAD)) for _ in range(5)]
                await asyncio.sleep(0.2)
                if how == "cancelled":
                    for capture in captures:
                        capture.cancel()
                if how == "closed":
                    await lsq.aclose(grace=0.0)
                else:
                    await asyncio.wait(captures)
            await asyncio.gather(*captures, return_exceptions=True)
            async with asyncio.timeout(2.0):
                while closed < opened:  # noqa: ASYNC110 - the sockets tell nobody
                    await asyncio.sleep(0.01)
            assert opened
    finally:
        gc.enable()


async def test_a_capture_that_succeeds_leaves_no_work_for_the_garbage_collector(sandbox: Sandbox) -> None:
    """Reference counts free all of its objects, so that collections stay rare however many calls are made."""
    async with client_of(sandbox) as lsq:
        await lsq.leads.capture(LEAD)
        gc.collect()
        gc.disable()
        try:
            await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(10)))
            await lsq.leads.capture(LEAD)
            assert gc.collect() == 0
        finally:
            gc.enable()

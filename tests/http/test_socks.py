"""Calls through a SOCKS proxy, which needs the package socksio."""

from __future__ import annotations

import asyncio
import gc

import pytest

from leadsquared_async import RetryPolicy
from tests.clients import LEAD
from tests.http.proxies import HOST, PASSWORD, TRUSTED, client, join, refused, running_server


class Socks:
    """A SOCKS5 proxy whose tunnels all end at one port of this machine.

    Attributes:
        logins: the users and passwords that came.
        targets: the hosts that were asked for.
        opened: connections that were opened to it.
        closed: those that the client has closed.
        is_silent: whether it answers nothing.
    """

    def __init__(self, target: int, *, is_silent: bool = False) -> None:
        self.logins: list[tuple[bytes, bytes]] = []
        self.targets: list[bytes] = []
        self.opened = self.closed = 0
        self.is_silent = is_silent
        self._target = target

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def text() -> bytes:
            return await reader.readexactly((await reader.readexactly(1))[0])

        self.opened += 1
        await reader.readexactly(1)
        await text()  # the methods that it knows
        if self.is_silent:
            await reader.read()
            self.closed += 1
            return
        writer.write(b"\x05\x02")
        await reader.readexactly(1)
        self.logins.append((await text(), await text()))
        writer.write(b"\x01\x00")
        await reader.readexactly(4)
        self.targets.append(await text())
        await reader.readexactly(2)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await join(reader, writer, await asyncio.open_connection("127.0.0.1", self._target))


async def test_calls_share_a_tunnel(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened once, with the user and password of the URL, and the proxy resolves the host."""
    socks = Socks(server)
    async with running_server(socks.serve) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(TRUSTED))
        monkeypatch.setenv("ALL_PROXY", f"socks5://me:{PASSWORD}@127.0.0.1:{port}")
        async with client() as lsq:
            for _ in range(3):
                await lsq.leads.capture(LEAD)
    assert (socks.opened, socks.logins) == (1, [(b"me", PASSWORD.encode())])
    assert socks.targets == [HOST.removeprefix("https://").encode()]


async def test_a_handshake_that_ends_early_leaves_no_socket(
    server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call was not sent, and the proxy sees the connection close."""
    socks = Socks(server, is_silent=True)
    gc.disable()  # which would close it some time
    try:
        async with running_server(socks.serve) as port:
            monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{port}")
            await refused(timeout=0.1, retry=RetryPolicy(attempts=1))
            async with asyncio.timeout(2.0):
                while socks.closed < socks.opened:  # noqa: ASYNC110 - the sockets tell nobody
                    await asyncio.sleep(0.01)
            assert socks.opened == 1
    finally:
        gc.enable()

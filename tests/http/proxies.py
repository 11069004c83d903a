"""A real proxy and a real TLS server on loopback: what an environment may put before LeadSquared."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import ConnectionFailed, Delivery, LeadSquared, RetryPolicy
from tests.clients import KEYS, LEAD
from tests.leaks import shown

CERTIFICATES = Path(__file__).parent / "certificates"
TRUSTED = CERTIFICATES / "trusted.pem"
"""A certificate of its own authority for 127.0.0.1, localhost and the two hosts below, with its key."""
EXPIRED = CERTIFICATES / "expired.pem"
"""The same, expired."""
HOST = "https://asyncapi.leadsquared.invalid"
SYNC_HOST = "https://api.leadsquared.invalid"
ACCEPTED = b'{"RequestID": "3f0c2c4e"}'

TWICE = RetryPolicy(attempts=2, base=0.0)
PASSWORD = "hunter22-of-the-proxy"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Proxy:
    """A proxy that opens tunnels, all of them to one port of this machine.

    Attributes:
        port: where it listens.
        asked: the targets it was asked for.
        heads: the requests for tunnels as they came.
        opened: tunnels that were opened.
        answers: status lines to refuse with, one a request; then tunnels are opened.
        credentials: the user and password it asks for, as "user:password".
        is_silent: whether it answers nothing.
    """

    port: int = 0
    asked: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    opened: int = 0
    answers: list[bytes] = field(default_factory=list)
    credentials: str | None = None
    is_silent: bool = False

    def url(self, credentials: str | None = None, scheme: str = "http") -> str:
        """Its address, as a variable names it."""
        return f"{scheme}://{f'{credentials}@' if credentials else ''}127.0.0.1:{self.port}"

    def answer_to(self, head: bytes) -> bytes:
        """A refusal, or nothing where it opens the tunnel."""
        if self.credentials is not None:
            wanted = b"Basic " + b64encode(self.credentials.encode())
            if wanted not in head:
                return b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n"
        return b"HTTP/1.1 " + self.answers.pop(0) + b"\r\n" if self.answers else b""


@asynccontextmanager
async def running_proxy(
    target: int, certificate: Path | None = None, **options: object
) -> AsyncIterator[Proxy]:
    """Run a proxy whose tunnels end at a port of this machine.

    Args:
        target: that port.
        certificate: of the proxy itself, which then speaks TLS.
        options: of `Proxy`.
    """
    proxy = Proxy(**options)  # type: ignore[arg-type]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        proxy.heads.append(head)
        proxy.asked.append(head.split(b" ")[1].decode())
        if proxy.is_silent:
            await reader.read()
            return
        answer = proxy.answer_to(head)
        if answer:
            writer.write(answer + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        proxy.opened += 1
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await join(reader, writer, await asyncio.open_connection("127.0.0.1", target))

    async with running_server(serve, certificate) as proxy.port:
        yield proxy


@asynccontextmanager
async def accepting_server(certificate: Path = TRUSTED) -> AsyncIterator[int]:
    """A LeadSquared that speaks TLS and accepts everything; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = (line.partition(b":") for line in head.lower().split(b"\r\n"))
            length = next((int(value) for name, _, value in fields if name == b"content-length"), 0)
            await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(ACCEPTED), ACCEPTED))
            await writer.drain()

    async with running_server(serve, certificate) as port:
        yield port


@asynccontextmanager
async def running_server(serve: Serve, certificate: Path | None = None) -> AsyncIterator[int]:
    """Anything that talks over a socket; yields its port."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    serving: set[asyncio.Task[None]] = set()

    async def watched(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        task.add_done_callback(serving.discard)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        await _end(writer)

    async with AsyncExitStack() as stack:
        server = await asyncio.start_server(watched, "127.0.0.1", 0, ssl=context)
        await stack.enter_async_context(server)
        yield int(server.sockets[0].getsockname()[1])
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def client(**options: Any) -> LeadSquared:
    return LeadSquared(
        **{**KEYS, "host": HOST, "sync_host": SYNC_HOST, "timeout": 5.0, "retry": TWICE, **options}
    )


async def refused(**options: Any) -> ConnectionFailed:
    """The error of a lead that cannot be sent, which shows no password anywhere."""
    async with client(**options) as lsq:
        with pytest.raises(ConnectionFailed, match="Not sent") as caught:
            await lsq.leads.capture(LEAD)
    assert PASSWORD not in shown(caught.value)
    assert caught.value.delivery is Delivery.NOT_SENT
    return caught.value


async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inner: Streams) -> None:
    """Pass on bytes both ways, until one side ends."""
    inner_reader, inner_writer = inner
    ways = [
        asyncio.create_task(_pass_on(reader, inner_writer)),
        asyncio.create_task(_pass_on(inner_reader, writer)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        inner_writer.transport.abort()  # at once: this may be cancelled while it waits
        await asyncio.gather(*ways, return_exceptions=True)
        await _end(inner_writer)


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()

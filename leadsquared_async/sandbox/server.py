"""The sandbox's HTTP server: Starlette's requests and responses on uvicorn's HTTP/1.1 protocol.

It does not use uvicorn's `Server`, which installs signal handlers, configures loggers that other servers in
the process share, and waits for clients that hang. Direct access to the TCP transport makes it possible to
reset, lose, truncate or drip a reply.
"""

import asyncio
import contextlib
import errno
import logging
import re
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, cast

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from leadsquared_async.sandbox.account import LARGEST_BODY, Account
from leadsquared_async.sandbox.answers import HINT, How, Reply, Request, in_eights, one_line
from leadsquared_async.sandbox.books import Books
from leadsquared_async.sandbox.control import answer, is_for_the_control_plane, is_from_a_browser
from leadsquared_async.sandbox.exchanges import Arrival
from leadsquared_async.sandbox.key_checks import shown_path
from leadsquared_async.sandbox.window_pages import EVENTS, PROTECTION, event_of

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

HOST = "127.0.0.1"
KEEP_ALIVE = 75
STOP_WITHIN = 1.0
TICKS_TO_ACCEPT = 3

MOST_STREAMS = 16
"""Windows that get live updates at the same time."""
UPDATE_EVERY = 0.2
"""Seconds between two updates of a window at least, if something has changed."""
UPDATE_ANYWAY = 1.0
"""Seconds between two updates at most."""


class Server:
    """Serves `account` on 127.0.0.1 in the running loop.

    `books` supplies the time and the control plane's data; `on_call` gets a line of text for each call.
    """

    def __init__(
        self, account: Account, books: Books, on_call: Callable[[str], object] | None = None
    ) -> None:
        self._account = account
        self._books = books
        self._on_call = on_call
        self._state = ServerState()
        self._stopping = asyncio.Event()
        self._streams = 0

    async def start(self, port: int) -> int:
        """Start to listen and return the port; raises OSError if it is in use."""
        config = Config(
            self._serve, log_config=None, ws="none", lifespan="off", timeout_keep_alive=KEEP_ALIVE
        )
        config.load()

        def protocol() -> asyncio.Protocol:
            return _Protocol(config, self._state, app=self._serve, stopping=self._stopping)

        try:
            # Two steps: if cancelled in the second one, `create_server` would leave the socket listening.
            self._listener = await asyncio.get_running_loop().create_server(
                protocol, HOST, port, start_serving=False
            )
            try:
                await self._listener.start_serving()
            except BaseException:
                self._listener.close()
                raise
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                message = f"port {port} on {HOST} is in use: choose another one, or 0 for any free port"
                raise OSError(errno.EADDRINUSE, message) from None
            raise
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and abort all connections, within a second."""
        try:
            # On close, asyncio loses connections that are accepted but not yet handed over, and their
            # clients hang (https://github.com/python/cpython/issues/109564).
            for _ in range(TICKS_TO_ACCEPT):
                await asyncio.sleep(0)
        finally:
            self._listener.close()
            for connection in list(self._state.connections):
                connection.transport.abort()
            self._stopping.set()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=STOP_WITHIN)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await _read(scope, receive)
        if request is None:
            return
        if is_for_the_control_plane(request) or is_from_a_browser(request):
            reply = answer(request, self._books)
            if reply.status >= 400 or request.method != "GET":
                self._report(request, reply, None)
        else:
            await self._pause(self._account.transit())
            if self._stopping.is_set():
                return
            reply = self._account.decide(request, self._books.now)
            arrived = reply.how is not How.REFUSED
            self._report(request, reply, self._account.arrivals[-1] if arrived else None)
            await self._pause(reply.delay)
        if reply.headers.get("content-type") == EVENTS:
            await self._stream(reply, scope, receive, send)
        elif reply.how is How.WHOLE:
            await Response(reply.body, reply.status, reply.headers)(scope, receive, send)
        else:
            await self._send_faulty(reply, scope["state"]["transport"], receive)

    async def _stream(self, reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
        """Send updates until the client or the server closes."""
        if self._streams == MOST_STREAMS:
            await Response("Too many windows are open", 503, PROTECTION)(scope, receive, send)
            return
        self._streams += 1
        try:
            await StreamingResponse(self._updates(), reply.status, reply.headers)(scope, receive, send)
        finally:
            self._streams -= 1

    async def _updates(self) -> AsyncIterator[bytes]:
        """The overview whenever the account has changed, and each second.

        Nothing is queued: a slow reader gets fewer updates, and the last one has everything.
        """
        sent_revision, sent_at = -1, -UPDATE_ANYWAY
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            revision, now = self._books.account.revision, loop.time()
            if revision != sent_revision or now - sent_at >= UPDATE_ANYWAY:
                sent_revision, sent_at = revision, now
                yield event_of(self._books)
            await self._pause(UPDATE_EVERY)

    def _report(self, request: Request, reply: Reply, arrival: Arrival | None) -> None:
        if self._on_call is not None:
            self._on_call(line_of(request, reply, arrival))

    async def _pause(self, seconds: float) -> None:
        """Wait, at most until the server stops."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()

    async def _send_faulty(self, reply: Reply, transport: asyncio.Transport, receive: Receive) -> None:
        """Send a reply with a transport fault, and wait until the connection is closed."""
        match reply.how:
            case How.DRIP_HEADERS:
                await self._drip(transport, in_eights(reply.head + reply.body), reply.pace)
            case How.DRIP_BODY:
                await self._drip(transport, [reply.head, *in_eights(reply.body)], reply.pace)
            case How.HALF_BODY:
                await self._drip(transport, [reply.head + reply.body[: len(reply.body) // 2]], 0)
            case How.LOST:
                transport.close()
            case How.RESET | How.REFUSED:
                # An accepted connection can no longer be refused; a reset is closest to that.
                # With a linger time of 0, the kernel sends RST instead of FIN.
                linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                transport.abort()
            case _:
                pass
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _drip(self, transport: asyncio.Transport, pieces: list[bytes], pace: float) -> None:
        for piece in pieces:
            if transport.is_closing():
                return
            transport.write(piece)
            await self._pause(pace)
        transport.close()


async def _read(scope: Scope, receive: Receive) -> Request | None:
    """Return the request; None if the client disconnected before it was complete.

    Read at most one byte more than the largest body, and discard the rest.
    """
    http = HTTPRequest(scope, receive)
    body = bytearray()
    try:
        async for chunk in http.stream():
            body += chunk[: LARGEST_BODY + 1 - len(body)]
    except ClientDisconnect:
        return None
    path = scope["raw_path"].decode("ascii")
    headers: dict[str, str] = {}
    for name, value in http.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Request(http.method, path, scope["query_string"].decode("latin-1"), headers, bytes(body))


class _Protocol(H11Protocol):
    """uvicorn's protocol without its loggers and middleware; a request's `state` holds the TCP transport."""

    def __init__(
        self, config: Config, server_state: ServerState, *, app: ASGIApp, stopping: asyncio.Event
    ) -> None:
        super().__init__(config, server_state, {})
        # An access log would contain the keys in the URLs.
        self.access_log = False
        self.logger = _log
        self.app = cast("ASGI3Application", app)
        self._stopping = stopping

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.app_state = {"transport": transport}
        super().connection_made(transport)
        if self._stopping.is_set():
            # Accepted while the server was stopping, after it had aborted the other connections.
            transport.abort()


_log = logging.getLogger("leadsquared_async.sandbox.server")
_log.addHandler(logging.NullHandler())
_log.setLevel(logging.ERROR)

LONGEST_LINE = 500
NAMES_SHOWN = 8

_ATTRIBUTE = re.compile(rb'"(?:Attribute|SchemaName)"\s*:\s*"((?:[^"\\]|\\.)*)"')
_NAME = re.compile(r"mx_[A-Za-z0-9_]{1,50}|[A-Za-z][A-Za-z_]{0,29}")
"""The schema names to show; keys and most values do not match."""
_REQUEST = re.compile(
    rb'"RequestI[Dd]":"([0-9a-f-]{36})"(?:,"TaskStatus":\{"TaskType":"[^"]*","Status":"([^"]*)")?'
)


def line_of(request: Request, reply: Reply, arrival: Arrival | None) -> str:
    """A call as one short line: method, path, outcome, schema names, RequestID, reason for a rejection.

    It contains no values. `arrival` is None for a request that did not reach the account.
    """
    if arrival is None:
        outcome = How.REFUSED.value if reply.how is How.REFUSED else str(reply.status)
        parts, why = (
            [one_line(request.method, 20), shown_path(request, None), outcome],
            reply.headers.get(HINT),
        )
    else:
        parts, why = [arrival.method, arrival.path, arrival.outcome, _names_of(request.body)], arrival.why
        if found := _REQUEST.search(reply.body):
            parts.append(b" ".join((b"->", *filter(None, found.groups()))).decode("ascii", "replace"))
    line = " ".join(filter(None, parts))
    return one_line(f"{line}: {why}" if why else line, LONGEST_LINE)


def _names_of(body: bytes) -> str:
    """The first schema names in a body."""
    names = list(dict.fromkeys(found.decode("utf-8", "replace") for found in _ATTRIBUTE.findall(body)))
    shown = [name if _NAME.fullmatch(name) else "?" for name in names[:NAMES_SHOWN]]
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{', '.join(shown)}{more}"

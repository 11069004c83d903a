"""Two ways to reach an account: `Sandbox` on a loopback socket, `SandboxTransport` for httpx without one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

import httpx

from leadsquared_async.sandbox.account import Account
from leadsquared_async.sandbox.answers import How, Reply, Request, in_eights
from leadsquared_async.sandbox.assertions import Assertions
from leadsquared_async.sandbox.books import Books
from leadsquared_async.sandbox.checks import check, whole
from leadsquared_async.sandbox.faults import Faults
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY, Options
from leadsquared_async.sandbox.skipping import loop_time, monotonic

if TYPE_CHECKING:
    from leadsquared_async.sandbox.server import Server


class _HasBooks(Assertions):
    """The books of an account, and its faults."""

    __slots__ = ("_books",)
    _books: Books

    @property
    def books(self) -> Books:
        """The records of the account."""
        return self._books

    @property
    def faults(self) -> Faults:
        """The current faults; assign other `Faults` to replace them from the next call on."""
        return self._books.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._books.faults = faults


class Sandbox(_HasBooks):
    """A LeadSquared emulator on 127.0.0.1 that runs in the current loop during an `async with` block.

    `port` 0 selects a free port; the other options are the fields of `Settings`. The sandbox's clock starts
    at 0 when the block is first entered. It follows `clock`, which returns seconds that must not decrease;
    the default is the machine's monotonic clock, even while a test patches `time` or `datetime`. `on_call`
    gets a line of text for each call, with field names but without values. Nothing is stored outside memory.
    `books` can be read after the block; entering again continues with the same account.

    The constructor raises ValueError for an invalid option. Entering raises ImportError without starlette and
    uvicorn, and OSError if the port is in use.
    """

    __slots__ = ("_account", "_asked_port", "_clock", "_on_call", "_server", "_started", "_url")

    access_key = ACCESS_KEY
    secret_key = SECRET_KEY
    api_key = API_KEY

    def __init__(
        self,
        *,
        port: int = 0,
        clock: Callable[[], float] = monotonic,
        on_call: Callable[[str], object] | None = None,
        **options: Unpack[Options],
    ) -> None:
        check("port", whole(0, 65_535), port)
        self._account = Account(**options)
        self._books = Books(self._account, self._now)
        self._clock = clock
        self._on_call = on_call
        self._asked_port = port
        self._started: float | None = None
        self._server: Server | None = None
        self._url: str | None = None

    def __repr__(self) -> str:
        return f"<Sandbox {self._url or 'that is not running'}>"

    @property
    def url(self) -> str:
        """The base URL, `http://127.0.0.1:<port>`; raises RuntimeError outside the block."""
        if self._url is None:
            raise RuntimeError("the sandbox is not running: enter it with `async with`")
        return self._url

    @property
    def window_url(self) -> str:
        """The address of the window, for a browser; raises RuntimeError outside the block."""
        return f"{self.url}/_sandbox/"

    def reset(self) -> None:
        """Delete all records, restore the initial faults and draws, and start the clock at 0 again."""
        if self._started is not None:
            self._started = self._clock()
        self._books.reset()

    async def __aenter__(self) -> Self:
        if self._server is not None:
            raise RuntimeError("the sandbox is already running")
        try:
            from leadsquared_async.sandbox.server import HOST, Server  # noqa: PLC0415 - needs the extra
        except ImportError as error:
            raise ImportError(
                'the sandbox needs starlette and uvicorn: pip install "leadsquared_async[sandbox]"'
            ) from error
        server = Server(self._account, self._books, self._on_call)
        port = await server.start(self._asked_port)
        if self._started is None:
            self._started = self._clock()
        self._server = server
        self._url = f"http://{HOST}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        server, self._server, self._url = self._server, None, None
        if server is not None:
            await server.stop()

    def _now(self) -> float:
        return 0.0 if self._started is None else self._clock() - self._started


class SandboxTransport(_HasBooks, httpx.AsyncBaseTransport):
    """An httpx transport that passes requests to `account` without a socket.

    `clock` returns seconds (default: the running loop's time); `sleep` waits for seconds (default:
    `asyncio.sleep`). A request arrives after half of the round trip, even if its caller has been cancelled by
    then. httpx's own timeouts have no effect: a `hang` lasts until the caller is cancelled. Sending raises
    `httpx.ConnectError` for `refused`, `httpx.ReadError` for `reset` and `httpx.RemoteProtocolError` for
    `lost` and `half-body`. Several transports may share an account.
    """

    def __init__(
        self,
        account: Account,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._account = account
        self._clock = clock or loop_time
        self._sleep = sleep
        self._in_transit: set[asyncio.Task[Reply]] = set()
        self._books = Books(account, self._clock)

    def __setattr__(self, name: str, value: object) -> None:
        # httpx's class has no slots: a misspelt name would be accepted without effect.
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        super().__setattr__(name, value)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path, _, query = request.url.raw_path.partition(b"?")
        message = Request(
            request.method,
            path.decode("ascii"),
            query.decode("ascii"),
            request.headers,
            await request.aread(),
        )
        arriving = asyncio.create_task(self._arrive(message), name="sandbox arrival")
        self._in_transit.add(arriving)
        arriving.add_done_callback(self._in_transit.discard)
        reply = await asyncio.shield(arriving)
        await self._sleep(reply.delay)
        return await self._answer(reply)

    async def aclose(self) -> None:
        """Drop the requests that have not arrived yet."""
        for arriving in self._in_transit:
            arriving.cancel()
        await asyncio.gather(*self._in_transit, return_exceptions=True)

    async def _arrive(self, message: Request) -> Reply:
        await self._sleep(self._account.transit())
        return self._account.decide(message, self._clock())

    async def _answer(self, reply: Reply) -> httpx.Response:
        match reply.how:
            case How.REFUSED:
                raise httpx.ConnectError("All connection attempts failed")
            case How.RESET:
                raise httpx.ReadError("Connection reset by peer")
            case How.LOST:
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
            case How.HANG:
                while True:
                    await self._sleep(3600)
            case How.DRIP_HEADERS:
                for _ in in_eights(reply.head):
                    await self._sleep(reply.pace)
                return _streamed(reply, self._drip(reply))
            case How.DRIP_BODY:
                return _streamed(reply, self._drip(reply))
            case How.HALF_BODY:
                return _streamed(reply, _half(reply))
            case How.WHOLE:
                return httpx.Response(reply.status, headers=reply.headers, content=reply.body)

    async def _drip(self, reply: Reply) -> AsyncIterator[bytes]:
        for piece in in_eights(reply.body):
            await self._sleep(reply.pace)
            yield piece


async def _half(reply: Reply) -> AsyncIterator[bytes]:
    half = reply.body[: len(reply.body) // 2]
    yield half
    raise httpx.RemoteProtocolError(
        "peer closed connection without sending complete message body "
        f"(received {len(half)} bytes, expected {len(reply.body)})"
    )


def _streamed(reply: Reply, pieces: AsyncIterator[bytes]) -> httpx.Response:
    headers = {**reply.headers, "content-length": str(len(reply.body))}
    return httpx.Response(reply.status, headers=headers, content=pieces)

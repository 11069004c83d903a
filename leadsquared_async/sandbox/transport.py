"""`SandboxTransport`: an account behind httpx's interface, without a socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx

from leadsquared_async.sandbox.account import Account
from leadsquared_async.sandbox.answers import How, Reply, Request, in_eights
from leadsquared_async.sandbox.books import Books
from leadsquared_async.sandbox.sandbox import HasBooks
from leadsquared_async.sandbox.skipping import loop_time


class SandboxTransport(HasBooks, httpx.AsyncBaseTransport):
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
        """Pass a request to the account, and its reply back."""
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

"""An httpx transport in front of an account: no socket, so that a test's clock can drive a whole client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx

from leadsquared_async.sandbox.account import Account
from leadsquared_async.sandbox.books import Books
from leadsquared_async.sandbox.faults import Faults
from leadsquared_async.sandbox.messages import How, Reply, Request, in_eights, raw_head


class SandboxTransport(httpx.AsyncBaseTransport):
    """Carries requests to `account` and answers back, as a socket would, in the time of `clock` and `sleep`.

    `clock` returns seconds (default: the running loop's time) and `sleep` waits for some (default:
    `asyncio.sleep`). A request that was sent arrives after half of the round trip even if its sender has
    given up by then. httpx's own timeouts are not played: an answer that hangs does so until the caller is
    cancelled. Raises `httpx.ConnectError` for `refused`, `httpx.ReadError` for `reset` and
    `httpx.RemoteProtocolError` for `lost` and `half-body`. Several transports may share an account.
    """

    def __init__(
        self,
        account: Account,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._account = account
        self._clock = clock or _loop_time
        self._sleep = sleep
        self._on_the_way: set[asyncio.Task[Reply]] = set()
        self._books = Books(account, self._clock)

    def __setattr__(self, name: str, value: object) -> None:
        # httpx's class has no slots, so that a wrong name would be taken and do nothing.
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        super().__setattr__(name, value)

    @property
    def books(self) -> Books:
        """What really arrived."""
        return self._books

    @property
    def faults(self) -> Faults:
        """How the account misbehaves; assign other `Faults` to change it from the next call on."""
        return self._books.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._books.faults = faults

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
        self._on_the_way.add(arriving)
        arriving.add_done_callback(self._on_the_way.discard)
        reply = await asyncio.shield(arriving)
        await self._sleep(reply.delay)
        return await self._answer(reply)

    async def aclose(self) -> None:
        """Drop the requests that are still on their way."""
        for arriving in self._on_the_way:
            arriving.cancel()
        await asyncio.gather(*self._on_the_way, return_exceptions=True)

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
                for _ in in_eights(raw_head(reply)):
                    await self._sleep(reply.pace)
                return self._stream(reply, _Drip(reply, self._sleep))
            case How.DRIP_BODY:
                return self._stream(reply, _Drip(reply, self._sleep))
            case How.HALF_BODY:
                return self._stream(reply, _Half(reply))
            case How.WHOLE:
                return httpx.Response(reply.status, headers=reply.headers, content=reply.body)

    def _stream(self, reply: Reply, stream: httpx.AsyncByteStream) -> httpx.Response:
        headers = {**reply.headers, "content-length": str(len(reply.body))}
        return httpx.Response(reply.status, headers=headers, stream=stream)


class _Drip(httpx.AsyncByteStream):
    def __init__(self, reply: Reply, sleep: Callable[[float], Awaitable[object]]) -> None:
        self._reply = reply
        self._sleep = sleep

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in in_eights(self._reply.body):
            await self._sleep(self._reply.pace)
            yield piece


class _Half(httpx.AsyncByteStream):
    def __init__(self, reply: Reply) -> None:
        self._body = reply.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        half = self._body[: len(self._body) // 2]
        yield half
        raise httpx.RemoteProtocolError(
            "peer closed connection without sending complete message body "
            f"(received {len(half)} bytes, expected {len(self._body)})"
        )


def _loop_time() -> float:
    return asyncio.get_running_loop().time()

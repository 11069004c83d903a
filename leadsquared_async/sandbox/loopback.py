"""A LeadSquared on this machine's loopback interface."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from leadsquared_async.sandbox.account import Account
from leadsquared_async.sandbox.books import Books
from leadsquared_async.sandbox.checks import whole
from leadsquared_async.sandbox.faults import Faults
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY, Options

if TYPE_CHECKING:
    from leadsquared_async.sandbox.server import Server


class Sandbox:
    """A LeadSquared on 127.0.0.1, for the length of an `async with` block, in the running loop.

    `port` 0 takes any that is free; the other options are the fields of `Settings`. Its clock starts at 0
    when the block is first entered and follows `clock`, seconds that never go back. By default that is the
    machine's monotonic clock, even while a test patches `time` or `datetime`. `on_call` gets a line of text
    for each call, with the names of its fields and none of their values. Nothing is kept outside memory, and
    the books can be read after the block; entering again goes on with the same account. Entering raises
    ImportError without starlette and uvicorn, and OSError when the port is in use.
    """

    __slots__ = ("_account", "_asked_port", "_books", "_clock", "_on_call", "_server", "_started", "_url")

    access_key = ACCESS_KEY
    secret_key = SECRET_KEY
    api_key = API_KEY

    def __init__(
        self,
        *,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
        on_call: Callable[[str], object] | None = None,
        **options: Unpack[Options],
    ) -> None:
        whole(0, 65_535)("port", port)
        self._account = Account(**options)
        self._books = Books(self._account, self._now)
        self._clock = clock
        self._on_call = on_call
        self._asked_port = port
        self._started: float | None = None
        self._server: Server | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Where it listens, `http://127.0.0.1:<port>`; raises RuntimeError outside the block."""
        if self._url is None:
            raise RuntimeError("the sandbox is not running: enter it with `async with`")
        return self._url

    @property
    def books(self) -> Books:
        """What really arrived."""
        return self._books

    @property
    def faults(self) -> Faults:
        """How it misbehaves; assign other `Faults` to change it from the next call on."""
        return self._books.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._books.faults = faults

    async def __aenter__(self) -> Self:
        if self._server is not None:
            raise RuntimeError("the sandbox is running already")
        try:
            from leadsquared_async.sandbox.server import HOST, Server  # noqa: PLC0415 - needs the extra
        except ImportError as error:
            raise ImportError(
                'the sandbox needs starlette and uvicorn: pip install "leadsquared_async[sandbox]"'
            ) from error
        server = Server(self._account, self.books, self._now, self._on_call)
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


async def serve(
    *,
    port: int = 8025,
    on_ready: Callable[[Sandbox], object] | None = None,
    on_call: Callable[[str], object] | None = None,
    **options: Unpack[Options],
) -> None:
    """Run a sandbox until cancelled; `on_ready` gets it once it listens, `on_call` a line for each call.

    Raises what `Sandbox` raises.
    """
    async with Sandbox(port=port, on_call=on_call, **options) as sandbox:
        if on_ready is not None:
            on_ready(sandbox)
        await asyncio.Event().wait()

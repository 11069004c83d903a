"""`Sandbox`: an account on a loopback socket."""

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from leadsquared_async.sandbox.account import Account
from leadsquared_async.sandbox.assertions import Assertions
from leadsquared_async.sandbox.books import Books
from leadsquared_async.sandbox.checks import check, whole
from leadsquared_async.sandbox.faults import Faults
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY, Options
from leadsquared_async.sandbox.skipping import monotonic, today

if TYPE_CHECKING:
    from leadsquared_async.sandbox.server import Server


class HasBooks(Assertions):
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


class Sandbox(HasBooks):
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
            self._account.started_on = today()
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
            self._account.started_on = today()
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

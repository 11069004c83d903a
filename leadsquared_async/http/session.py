"""What a client shares with its derived copies: connections, credentials, rate limits and lifecycle."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.clock import clock, running_loop
from leadsquared_async.config import Credentials, CredentialsProvider, RateLimit, Secret
from leadsquared_async.errors import ClientClosed
from leadsquared_async.hosts import Hosts
from leadsquared_async.http.credentials import CredentialsSource
from leadsquared_async.http.in_flight import InFlight
from leadsquared_async.limiter.chained import ChainedLimiters
from leadsquared_async.limiter.interface import Limit, Limiter, LimitSnapshot
from leadsquared_async.logs import ClientEvents

if TYPE_CHECKING:
    import httpx

    from leadsquared_async.events import Event
    from leadsquared_async.http.transport import Transport
    from leadsquared_async.limiter.local_limits import AccountLimits
    from leadsquared_async.limiter.queue import TokenQueue

__all__ = ["Options", "Session", "Snapshot"]

T = TypeVar("T")

CLOSED = "the client was closed before the call ended"


@dataclass(frozen=True, slots=True)
class Options:
    """A client's options, validated."""

    hosts: Hosts
    credentials: Credentials | CredentialsProvider = field(repr=False)
    rate_limit: RateLimit
    bulk_limit: RateLimit
    paths: Mapping[str, str]
    keys_in: Literal["query", "headers"]
    sharing: AccountLimits
    limiter: Limiter | None
    transport: httpx.AsyncBaseTransport | None
    on_event: Callable[[Event], None] | None
    name: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a client at one moment.

    Attributes:
        limit: the state of the rate limit; None before the first call.
        bulk_limit: the same for bulk calls.
        abandoned: calls whose caller was cancelled while they ran; an event has the outcome of each
            submission.
    """

    limit: LimitSnapshot | None
    bulk_limit: LimitSnapshot | None
    abandoned: int


class _State(Enum):
    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"


class Session:
    """Opened once, used in one event loop and one process, closed once.

    Attributes:
        label: the client's name as a prefix for messages.
        events: gets the client's events.
        buckets: the rate limits in use, created with the first call of each kind.
        transport: the connections, created on opening.
    """

    transport: Transport

    def __init__(self, options: Options) -> None:
        self.options = options
        self.events = ClientEvents(options.name)
        if options.on_event is not None:
            self.events.subscribe(options.on_event)
        self.label = f"[{options.name}] " if options.name else ""
        self.credentials = CredentialsSource(options.credentials, self.events)
        self.in_flight = InFlight(self.events)
        self.limits = {Limit.CALLS: options.rate_limit, Limit.BULK: options.bulk_limit}
        self.buckets: dict[Limit, TokenQueue] = {}
        self._credentials: Credentials | None = None
        self._limiters: dict[Limit, TokenQueue | ChainedLimiters] = {}  # with these credentials
        self._joined: dict[tuple[Limit, Secret], TokenQueue] = {}
        self._assumed: list[tuple[float, int | None]] = []
        self._at_closing: set[Callable[[], None]] = set()
        self._state = _State.NEW
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._closed = asyncio.Event()

    def open(self) -> None:
        """Create the connections, in the running loop.

        Raises:
            ClientClosed: it was opened before.
        """
        if self._state is not _State.NEW:
            state = "is already open" if self._state is _State.OPEN else "was closed"
            raise ClientClosed(f"this client {state}: make a new LeadSquared() for another `async with`")
        # Imported here because httpx and anyio are slow to import.
        from leadsquared_async.http.transport import Transport  # noqa: PLC0415

        self.transport = Transport(self.options.hosts, self.options.transport, self.events.log)
        self._loop = self.events.loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._state = _State.OPEN

    def check_usable(self) -> None:
        """Raise ClientClosed, with the reason, if it cannot be used here and now."""
        if self._state is _State.OPEN and self._process == os.getpid() and self._loop is running_loop():
            return
        if self._loop is None:
            raise ClientClosed("this client is not open: use it inside `async with LeadSquared(...) as lsq:`")
        if self._state is _State.CLOSED:
            raise ClientClosed("this client is closed: its `async with` block has ended")
        if self._process != os.getpid():
            raise ClientClosed(
                "this client was opened before a fork: open one in each process, after the fork"
            )
        raise ClientClosed("this client was opened in another event loop: open one in each loop")

    @property
    def is_of_this_process(self) -> bool:
        """Whether it was opened in this process, and not before a fork."""
        return self._process == os.getpid()

    def check_not_closing(self) -> None:
        """Raise ClientClosed if it is closing or closed."""
        if self._state is _State.CLOSED:
            raise ClientClosed(CLOSED)

    def when_closing(self, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` once when the client is closed; the returned function cancels that.

        Raises:
            ClientClosed: it is already closed.
        """
        self.check_not_closing()
        self._at_closing.add(end)
        return partial(self._at_closing.discard, end)

    async def while_open(self, wait: Callable[[], Awaitable[T]]) -> T:
        """Await the result of `wait`, and cancel that when the client is closed.

        Raises:
            ClientClosed: it was closed, before or meanwhile.
        """
        self.check_not_closing()
        timeout = asyncio.timeout(None)
        end = partial(timeout.reschedule, 0.0)
        self._at_closing.add(end)
        try:
            async with timeout:
                return await wait()
        except TimeoutError:
            if not timeout.expired():
                raise
            raise ClientClosed(CLOSED) from None
        finally:
            self._at_closing.discard(end)

    def limiter_for(self, limit: Limit, credentials: Credentials) -> TokenQueue | ChainedLimiters:
        """The limiters of a call: the account's token bucket, and the custom limiter if there is one.

        Args:
            limit: which of the account's limits.
            credentials: identify the account.

        Raises:
            ClientClosed: it is closing or closed.
        """
        self.check_not_closing()
        if self._credentials is not credentials:
            self._credentials = credentials
            self._limiters.clear()
        limiter = self._limiters.get(limit)
        if limiter is None:
            limiter = bucket = self._joined.get((limit, credentials.api_key)) or self._join(
                limit, credentials
            )
            self.buckets[limit] = bucket
            if self.options.limiter is not None and limit is Limit.CALLS:
                limiter = ChainedLimiters(bucket, self.options.limiter, self.while_open)
            self._limiters[limit] = limiter
        return limiter

    def _join(self, limit: Limit, credentials: Credentials) -> TokenQueue:
        bucket = self.options.sharing.join(self.options.hosts.host, credentials, limit, self.limits[limit])
        bucket.attach(self.events)
        self.when_closing(partial(bucket.fail, partial(ClientClosed, CLOSED), self.events))
        self._joined[limit, credentials.api_key] = bucket
        for ended, calls in self._assumed:
            bucket.assume_spent(ended, calls if limit is Limit.CALLS else None)
        if (before := self.buckets.get(limit)) is not None:
            # The new keys may belong to the same account, so calls made with the old ones count.
            state = before.snapshot()
            bucket.assume_spent(clock.now(), state.limit.calls - state.free)
        return bucket

    def assume_spent(self, ended: float, calls: int | None = None) -> None:
        """Count calls of an earlier process on this account, as if they had ended without an answer.

        Args:
            ended: the latest time at which they may have ended, by `clock.now`.
            calls: how many; None for as many as the limit allows. Bulk calls always count as that many.
        """
        self._assumed.append((ended, calls))
        for (limit, _), bucket in self._joined.items():
            bucket.assume_spent(ended, calls if limit is Limit.CALLS else None)

    def snapshot(self) -> Snapshot:
        """The state of the client at this moment.

        Raises:
            ClientClosed: the client is not open here.
        """
        self.check_usable()
        limits = {
            limit: _as_declared(bucket.snapshot(), self.limits[limit])
            for limit, bucket in self.buckets.items()
        }
        return Snapshot(
            limit=limits.get(Limit.CALLS),
            bulk_limit=limits.get(Limit.BULK),
            abandoned=self.in_flight.abandoned,
        )

    async def aclose(self, grace: float, stop: Iterable[Callable[[], Iterable[asyncio.Task[Any]]]]) -> None:
        """Finish calls in flight within `grace` seconds and close; a second call only waits for the first.

        Args:
            grace: seconds.
            stop: functions that cancel tasks of the client, without grace, and return those to wait for.
        """
        if self._state is not _State.OPEN:
            self._state = _State.CLOSED
            if self._loop is asyncio.get_running_loop():
                await self._closed.wait()
            return
        self.check_usable()
        self._state = _State.CLOSED
        ending = [task for cancel in stop for task in cancel()]
        while self._at_closing:
            self._at_closing.pop()()
        try:
            if ending:
                await asyncio.wait(ending)
            await self.in_flight.finish(grace)
        finally:
            try:
                # Close everything even if the caller is cancelled during the wait above.
                await uninterrupted(self._close(ending))
            finally:
                self._closed.set()

    async def _close(self, ending: Collection[asyncio.Task[Any]]) -> None:
        async with AsyncExitStack() as stack:
            for (limit, _), bucket in self._joined.items():
                stack.push_async_callback(self.options.sharing.leave, bucket, self.limits[limit])
                stack.callback(bucket.detach, self.events)
            stack.push_async_callback(self.transport.aclose)
            stack.push_async_callback(self.credentials.aclose)
            await self.in_flight.break_off()
            if ending:
                await asyncio.wait(ending)

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if getattr(self, "_state", None) is _State.OPEN and self._process == os.getpid():
            _warn(
                "a LeadSquared client was left open: use `async with`, or `await lsq.aclose()`",
                ResourceWarning,
                source=self,
            )


def _as_declared(snapshot: LimitSnapshot, declared: RateLimit) -> LimitSnapshot:
    """The state of a shared limit, with what this client declared."""
    ceiling = None if snapshot.limit == declared else snapshot.ceiling
    return replace(snapshot, declared=declared, ceiling=ceiling)

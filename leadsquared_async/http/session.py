"""A client's open connections, and the sender through which everything goes out.

One session belongs to a client and all its derived copies; each has a sender with settings of its own.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from leadsquared_async.config import (
    NOT_GIVEN,
    Credentials,
    CredentialsProvider,
    Hosts,
    KeysIn,
    NotGiven,
    RateLimit,
    seconds,
)
from leadsquared_async.errors import ClientClosed, ConfigurationError
from leadsquared_async.http.call import Call, Host, Settings
from leadsquared_async.http.credentials import Keyring
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.limiter import Limit, Limiter, LimitSnapshot
from leadsquared_async.limiter.local_limits import AccountLimits
from leadsquared_async.logs import ClientLog
from leadsquared_async.operations import Certainty

if TYPE_CHECKING:
    import httpx

    from leadsquared_async.http.run import BeforeSend, Pipeline, Sent

__all__ = ["Background", "Options", "Sender", "Session", "Snapshot"]


@dataclass(frozen=True, slots=True)
class Options:
    """What a client was told, checked."""

    hosts: Hosts
    credentials: Credentials | CredentialsProvider = field(repr=False)
    rate_limit: RateLimit
    bulk_limit: RateLimit
    paths: Mapping[str, str]
    keys_in: KeysIn
    sharing: AccountLimits
    limiter: Limiter | None
    transport: httpx.AsyncBaseTransport | None
    name: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a client is doing at one moment.

    Attributes:
        limit: the state of the rate limit; None before the first call.
        bulk_limit: the same of bulk calls.
        abandoned: calls whose caller left while they were under way; each told its outcome in a log line.
    """

    limit: LimitSnapshot | None
    bulk_limit: LimitSnapshot | None
    abandoned: int


class Background(Protocol):
    """What works for a client in tasks of its own."""

    def stop(self) -> Iterable[asyncio.Task[Any]]:
        """Cancel the tasks; returns those that have to end."""
        ...


class _State(Enum):
    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"


class Session:
    """Opened once, used in one event loop and one process, closed once."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.log = ClientLog(options.name)
        self._state = _State.NEW
        self._pipeline: Pipeline | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._closed = asyncio.Event()

    def open(self) -> None:
        """Build the connections, in the running loop.

        Raises:
            ClientClosed: it was opened before.
        """
        if self._state is not _State.NEW:
            state = "is open already" if self._state is _State.OPEN else "was closed"
            raise ClientClosed(f"this client {state}: make a new LeadSquared() for another `async with`")
        # They bring httpx, tenacity and anyio, slow to import: only for those who open a client.
        from leadsquared_async.http.run import Pipeline  # noqa: PLC0415
        from leadsquared_async.http.transport import Transport  # noqa: PLC0415

        options = self.options
        self._pipeline = Pipeline(
            hosts=options.hosts,
            keyring=Keyring(options.credentials),
            limits={Limit.CALLS: options.rate_limit, Limit.BULK: options.bulk_limit},
            sharing=options.sharing,
            limiter=options.limiter,
            transport=Transport(
                options.hosts,
                options.rate_limit.calls + options.bulk_limit.calls,
                options.transport,
                keys_in=options.keys_in,
                log=self.log,
            ),
            log=self.log,
            name=options.name,
        )
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._state = _State.OPEN

    async def aclose(self, grace: float, background: Iterable[Background]) -> None:
        """Finish what is in flight within `grace` seconds and close; a second time only waits for the first.

        Args:
            grace: seconds.
            background: has tasks of the client, which end first.
        """
        if self._state is not _State.OPEN:
            self._state = _State.CLOSED
            if self._loop is asyncio.get_running_loop():
                await self._closed.wait()
            return
        pipeline = self.pipeline()
        self._state = _State.CLOSED
        ending = [task for those in background for task in those.stop()]
        try:
            await pipeline.aclose(grace, ending)
        finally:
            self._closed.set()

    def pipeline(self) -> Pipeline:
        """The way out, if it may be used here and now.

        Raises:
            ClientClosed: it may not, and why.
        """
        if self._pipeline is None:
            raise ClientClosed("this client is not open: use it inside `async with LeadSquared(...) as lsq:`")
        if self._state is _State.CLOSED:
            raise ClientClosed("this client is closed: its `async with` block has ended")
        if self._process != os.getpid():
            raise ClientClosed(
                "this client was opened before a fork: open one in each process, after the fork"
            )
        if self._loop is not _running_loop():
            raise ClientClosed("this client was opened in another event loop: open one in each loop")
        return self._pipeline

    def snapshot(self) -> Snapshot:
        """What is under way."""
        pipeline = self.pipeline()
        limits = {
            limit: _as_declared(bucket.snapshot(), pipeline.limits[limit])
            for limit, bucket in pipeline.buckets.items()
        }
        return Snapshot(
            limit=limits.get(Limit.CALLS),
            bulk_limit=limits.get(Limit.BULK),
            abandoned=pipeline.in_flight.abandoned,
        )

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if getattr(self, "_state", None) is _State.OPEN and self._process == os.getpid():
            _warn(
                "a LeadSquared client was left open: use `async with`, or `await lsq.aclose()`",
                ResourceWarning,
                source=self,
            )


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _as_declared(snapshot: LimitSnapshot, declared: RateLimit) -> LimitSnapshot:
    """The state of a limit that clients share, beside what one of them declared."""
    ceiling = None if snapshot.limit == declared else snapshot.ceiling
    return replace(snapshot, declared=declared, ceiling=ceiling)


@dataclass(frozen=True, slots=True)
class Sender:
    """A session, and the settings with which calls go through it.

    Attributes:
        session: with the connections.
        settings: of each call.
        recorded: whether an outbox or a task records how submissions end, and logs that.
    """

    session: Session
    settings: Settings
    recorded: bool = False

    @property
    def log(self) -> ClientLog:
        """The client's log."""
        return self.session.log

    async def send(self, call: Call, before_send: BeforeSend | None = None) -> Sent:
        """Make a call.

        Args:
            call: what to send.
            before_send: awaited before each attempt, with the token in hand; if it raises, nothing is sent.

        Raises:
            LeadSquaredError: it did not succeed.
        """
        if call.host is Host.SYNC and self.session.options.hosts.sync_host is None:
            raise ConfigurationError(
                f"{call.operation}: this client knows no synchronous host: pass region= or sync_host="
            )
        path = self.session.options.paths.get(call.operation)
        if path is not None:
            call = replace(call, path=path, certainty=Certainty.GIVEN)
        if self.recorded:
            call = replace(call, recorded=True)
        return await self.session.pipeline().send(call, self.settings, before_send)

    def lane(self, chosen: Lane | None, usual: Lane) -> Lane:
        """The lane of a call: what was chosen for it, else for all calls, else what is usual for it."""
        mine = self.settings.lane if chosen is None else chosen
        if mine is None:
            return usual
        if not isinstance(mine, Lane):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("lane has to be Lane.INTERACTIVE, Lane.BATCH or Lane.STATUS")
        return mine

    async def pause(self, seconds: float) -> None:
        """Sleep between two calls.

        Raises:
            ClientClosed: the client was closed meanwhile.
        """
        await self.session.pipeline().pause(seconds)

    def until(self, deadline: float | NotGiven | None) -> Sender:
        """The same with another deadline in seconds, if one is given."""
        if deadline is NOT_GIVEN:
            return self
        checked = None if deadline is None else seconds("deadline", deadline)
        return replace(self, settings=replace(self.settings, deadline=checked))

"""The limiter interface, and its values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.lanes import Lane

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

__all__ = [
    "AsyncLimiterAdapter",
    "Limit",
    "LimitSnapshot",
    "Limiter",
    "NoTokenInTime",
]


@runtime_checkable
class Limiter(Protocol):
    """A custom limiter: every attempt acquires it before sending, in addition to the account's own limit.

    Each `acquire` that returns is followed by one `release` or `release_unused`, in the same event loop.
    """

    async def acquire(self, lane: Lane, deadline: float | None = None) -> None:
        """Wait until the call may be sent.

        Args:
            lane: the call's priority.
            deadline: the event loop's time by which to send it; None waits without a limit.

        Raises:
            TimeoutError: it cannot be sent before the deadline; the call ends with `DeadlineExceeded`.
        """
        ...

    def release(self, *, counted: bool = True) -> None:
        """End a call.

        Args:
            counted: False if it got no answer, so the server may count it later.
        """
        ...

    def release_unused(self) -> None:
        """Return the token of a call that was never sent."""
        ...

    def on_rate_limited(self, pause: float | None = None, named: tuple[int, float] | None = None) -> None:
        """The server answered 429; `release` still follows.

        Args:
            pause: the pause in seconds that the server requested.
            named: the account's limit (calls, seconds), if the answer states it.
        """
        ...


class AsyncLimiterAdapter:
    """Adapts an `aiolimiter.AsyncLimiter`, which needs no release and has no lanes and no pause."""

    def __init__(self, limiter: AsyncLimiter) -> None:
        self._limiter = limiter

    async def acquire(self, lane: Lane, deadline: float | None = None) -> None:
        del lane, deadline
        await self._limiter.acquire()

    def release(self, *, counted: bool = True) -> None: ...
    def release_unused(self) -> None: ...
    def on_rate_limited(self, pause: float | None = None, named: tuple[int, float] | None = None) -> None: ...


class Limit(Enum):
    """Which of the account's limits a call counts against."""

    CALLS = "calls"
    BULK = "bulk calls"

    @property
    def option(self) -> str:
        """The client option that declares it."""
        return "rate_limit" if self is Limit.CALLS else "bulk_limit"

    def setting(self, limit: RateLimit) -> str:
        """How to declare `limit`, for messages."""
        option = f"{self.option}=RateLimit({limit.calls}, per={limit.per:g})"
        return f"{option} or LEADSQUARED_RATE_LIMIT={limit}" if self is Limit.CALLS else option

    def named_by_server(self, limit: RateLimit, declared: RateLimit) -> str:
        """Why a limit that LeadSquared stated applies, and what to do."""
        return (
            f"LeadSquared states that the account's limit is {limit}; {declared} is tried again after some "
            f"windows without a 429; if the lower limit is right, configure it with {self.setting(limit)}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSnapshot:
    """The state of the rate limit at one moment.

    Attributes:
        limit: the limit in force.
        declared: what was configured.
        ceiling: why `limit` is lower than `declared`; None if it is not.
        free: tokens available now.
        in_flight: calls in flight.
        withdrawn: tokens withdrawn after a 429; each window without a 429 returns one.
        next_due: seconds until the next token returns; None if none is due.
        paused: seconds left of a pause that the server requested.
        waiting: calls waiting for a token, by lane.
        granted: tokens granted so far.
        rate_limited: 429 answers so far.
        processes: with a SharedLimiter, processes that share the limit; None before the store's first reply.
        degraded: whether a SharedLimiter's store is unreachable, so `limit` is this process's share.
    """

    limit: RateLimit
    declared: RateLimit
    ceiling: str | None
    free: int
    in_flight: int
    withdrawn: int
    next_due: float | None
    paused: float
    waiting: dict[Lane, int] = field(default_factory=dict[Lane, int])
    granted: int = 0
    rate_limited: int = 0
    processes: int | None = None
    degraded: bool = False


class NoTokenInTime(TimeoutError):
    """No token is available before the deadline.

    Attributes:
        ahead: calls of the same lane before this one.
        spacing: the shortest time in seconds between two of them.
    """

    def __init__(self, ahead: int, spacing: float) -> None:
        super().__init__(ahead, spacing)
        self.ahead = ahead
        self.spacing = spacing

    def __str__(self) -> str:
        return f"the rate limit ({self.ahead} calls ahead, {1 / self.spacing:.3g} calls/s)"

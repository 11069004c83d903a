"""What a queue asks of the grantor that decides about its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.interface import Limit, LimitSnapshot
from leadsquared_async.limiter.lanes import Lane, Waiting

__all__ = ["Grantor"]

W = TypeVar("W", bound=Waiting)


class Grantor(Protocol):
    """Decides when a token is granted, and to which lane.

    The time is an argument, on the queue's clock; the queue calls every method under its lock.
    """

    @property
    def kind(self) -> Limit:
        """Which of the account's limits it is, for messages."""
        ...

    @property
    def limit(self) -> RateLimit:
        """The limit in force."""
        ...

    @property
    def ceiling(self) -> str | None:
        """Why the limit in force is lower than the declared one; None if it is not."""
        ...

    @property
    def doubted(self) -> RateLimit | None:
        """A limit stated by the server, so low that a second answer must confirm it."""
        ...

    def take_at_once(self, lane: Lane, now: float) -> bool:
        """Spend a token on a caller that finds the queue empty; return False if it must wait."""
        ...

    def settle(self, now: float) -> None:
        """Bring the state up to `now`, before `next`, `next_grant` and `earliest_of`."""
        ...

    def next(self, heads: Sequence[W], now: float) -> W | None:
        """The waiter to grant a token now, or None; `take` spends the token.

        `heads` are the first waiters of the lanes that have waiters, highest lane first.
        """
        ...

    def take(self, now: float, lane: Lane) -> None:
        """Spend a token on a call that starts now."""
        ...

    def release(self, now: float, *, counted: bool) -> None:
        """End a call; without an answer (not `counted`) the server may count it later."""
        ...

    def release_unused(self) -> None:
        """Return the token of a call that was never sent."""
        ...

    def earliest_of(self, lane: Lane, now: float, ahead: int) -> float:
        """The earliest time at which a call could start with `ahead` calls of its lane before it."""
        ...

    def next_grant(self, waiting: Sequence[int], now: float) -> float:
        """When to check again whether a waiter gets a token, given how many wait in each lane."""
        ...

    def declare(self, limit: RateLimit, now: float) -> None:
        """Apply this limit, the smallest that the open clients declare."""
        ...

    def on_rate_limited(self, pause: float | None, named: tuple[int, float] | None, now: float) -> None:
        """Count a 429 and apply the pause in seconds and the limit (calls, seconds) that it states."""
        ...

    def assume_spent(self, now: float, ended: float, calls: int | None) -> None:
        """Count `calls` unknown calls (None: as many as there are tokens) that ended at `ended`."""
        ...

    def snapshot(self, now: float) -> LimitSnapshot:
        """The state of the tokens, without that of the queue."""
        ...

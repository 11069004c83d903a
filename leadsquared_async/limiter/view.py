"""What the store said last of its tokens, as far as one process needs it between two answers."""

from __future__ import annotations

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.redis_messages import Reply
from leadsquared_async.limiter.tokens import NEVER, Tokens

__all__ = ["View"]


class View(Tokens):
    """The store's tokens from afar: `out` are this process's calls in flight, the rest is what was heard.

    Nothing is free here to be taken: the store grants, and `take` only writes down that it did.

    Args:
        limit: to be kept until the store has named one.
        out: calls in flight.
    """

    __slots__ = ("_first",)

    def __init__(self, limit: RateLimit, out: int = 0) -> None:
        super().__init__(limit)
        self.out = out
        self._first = -NEVER

    def hear(self, reply: Reply, now: float) -> None:
        """Take over an answer that came at `now`."""
        self.limit = reply.limit
        self.free = reply.free
        self.withdrawn = reply.withdrawn
        self.paused_until = now + reply.paused
        self._first = now + reply.first

    @property
    def held(self) -> int:
        """Tokens that exist."""
        return self.capacity

    @property
    def next_due(self) -> float:
        """When the first token beyond the free ones may come."""
        return NEVER if self.free >= self.limit.calls else self._first

    def settle(self, now: float) -> None:
        """Nothing changes before the store says so."""

    def take(self, now: float) -> None:
        """The store has granted a token."""
        del now
        self.out += 1

    def untake(self) -> None:
        """A token was not spent; the store learns of it by the number of calls in flight."""
        self.out -= 1

    def give(self, now: float, *, counted: bool) -> None:
        """A call has ended."""
        del now, counted
        self.out -= 1

    def next_change(self) -> float:
        """Waiting alone changes nothing here."""
        return NEVER

    def earliest(self, now: float, ahead: int) -> float:
        """The earliest moment at which a call could start that has `ahead` of its process before it."""
        short = ahead - self.free
        start = now if short < 0 else max(now, self._first + short * self.limit.spacing)
        return max(start, self.paused_until)

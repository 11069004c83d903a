"""The grantor of one process: `Tokens` extended to `Grantor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.interface import Limit, LimitSnapshot
from leadsquared_async.limiter.lanes import Lane, Turns, Waiting
from leadsquared_async.limiter.tokens import NEVER, Tokens

__all__ = ["LocalGrantor"]

W = TypeVar("W", bound=Waiting)


class LocalGrantor(Tokens):
    """Grants the tokens of this process in the order of `Turns`.

    Args:
        limit: the declared limit.
        kind: of limit, for messages.
    """

    __slots__ = ("_turns", "kind")

    def __init__(self, limit: RateLimit, kind: Limit = Limit.CALLS) -> None:
        super().__init__(limit)
        self.kind = kind
        self._turns = Turns()

    def take_at_once(self, lane: Lane, now: float) -> bool:
        self.settle(now)
        if not self.may_take(lane, now):
            return False
        self.take(now, lane)
        return True

    def next(self, heads: Sequence[W], now: float) -> W | None:
        if not heads or not self.may_take(heads[0].lane, now):
            return None
        head, self._turns = self._turns.next(heads, is_poll_due=self.next_poll_at <= now)
        return head

    def next_grant(self, waiting: Sequence[int], now: float) -> float:
        forms, batch, polls = waiting
        if not forms and not batch and not polls:
            return NEVER
        if now < self.paused_until:
            return self.paused_until
        when = self.next_change()
        if not forms:
            when = min(when, self.burst_spared_at(now))
            if not batch:
                when = max(when, self.next_poll_at)
        return when

    @property
    def ceiling(self) -> str:
        if self.learnt is not None:
            return self.kind.named_by_server(self.learnt, self.declared)
        return f"another client of this account declared {self.declared}"

    def declare(self, limit: RateLimit, now: float) -> None:
        try:
            self.settle(now)
        finally:
            self.set_declared(now, limit)

    def on_rate_limited(self, pause: float | None, named: tuple[int, float] | None, now: float) -> None:
        self.settle(now)
        self.count_429(now, pause, None if named is None else RateLimit(*named, self.limit.margin))

    def snapshot(self, now: float) -> LimitSnapshot:
        self.settle(now)
        return LimitSnapshot(
            limit=self.limit,
            declared=self.declared,
            ceiling=self.ceiling,
            free=self.free,
            in_flight=self.out,
            withdrawn=self.withdrawn,
            next_due=None if self.next_due == NEVER else max(0.0, self.next_due - now),
            paused=max(0.0, self.paused_until - now),
        )

"""The grantor of one process: what `queue.Grantor` needs besides the plain arithmetic of `Tokens`."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import TypeVar

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.interface import LimitSnapshot, Notice
from leadsquared_async.limiter.lanes import Lane, Turns, Waiting
from leadsquared_async.limiter.tokens import NEVER, Tokens

__all__ = ["LocalGrantor", "configured", "doubt"]

W = TypeVar("W", bound=Waiting)


class LocalGrantor(Tokens):
    """Grants the tokens of this process in the turns of the lanes.

    Args:
        limit: the declared limit.
        option: the client's option that declares it, for messages.
    """

    __slots__ = ("_option", "_turns")

    def __init__(self, limit: RateLimit, option: str = "rate_limit") -> None:
        super().__init__(limit)
        self._option = option
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
        head, self._turns = self._turns.next(heads, is_poll_due=self.next_poll <= now)
        return head

    def next_grant(self, lanes: Sequence[Sized], now: float) -> float:
        forms, batch, polls = lanes
        if not forms and not batch and not polls:
            return NEVER
        if now < self.paused_until:
            return self.paused_until
        when = self.next_change()
        if not forms:
            when = min(when, self.paced_at(now))
            if not batch:
                when = max(when, self.next_poll)
        return when

    def declare(self, limit: RateLimit, now: float) -> Notice | None:
        try:
            self.settle(now)
        finally:
            before = self.limit
            is_changed = self.keep_to(now, limit)
        if not is_changed:
            return None
        if before.within(self.limit) != before:
            text = "rate limit lowered from %s to %s: %s"
            return Notice(True, text, (before, self.limit, self._why_lower()))
        return Notice(False, "rate limit back from %s to %s", (before, self.limit))

    def on_rate_limited(
        self, pause: float | None, named: tuple[int, float] | None, now: float
    ) -> Notice | None:
        self.settle(now)
        before, doubted = self.limit, self.doubted
        limit = None if named is None else RateLimit(named[0], named[1], before.margin)
        is_lowered = self.count_429(now, pause, limit)
        if limit is None:
            return None
        if not is_lowered:
            return None if self.doubted in {None, doubted} else doubt(limit, self.declared, self._option)
        return Notice(
            True,
            "rate limit lowered from %s to %s: LeadSquared says that the account's limit is %s; %s is tried "
            "again after %g s without a 429; if the lower limit is right, configure it with %s",
            (before, self.limit, limit, self.declared, self.patience, configured(self._option, limit)),
        )

    def snapshot(self, now: float) -> LimitSnapshot:
        self.settle(now)
        return LimitSnapshot(
            limit=self.limit,
            declared=self.declared,
            ceiling=self._why_lower(),
            free=self.free,
            in_flight=self.out,
            withdrawn=self.withdrawn,
            next_due=None if self.next_due == NEVER else max(0.0, self.next_due - now),
            paused=max(0.0, self.paused_until - now),
        )

    def _why_lower(self) -> str:
        if self.learnt is not None:
            return f"LeadSquared says that the account's limit is {self.learnt}"
        return f"another client of this account declared {self.declared}"


def configured(option: str, limit: RateLimit) -> str:
    """How to declare a limit, for messages."""
    text = f"{option}=RateLimit({limit.calls}, per={limit.per:g})"
    return f"{text} or LEADSQUARED_RATE_LIMIT={limit}" if option == "rate_limit" else text


def doubt(named: RateLimit, declared: RateLimit, option: str) -> Notice:
    """What to log about a limit that needs a second answer."""
    return Notice(
        True,
        "LeadSquared says that the account's limit is %s, which is far below %s: it is applied if a "
        "second answer says the same; if it is right, configure it with %s",
        (named, declared, configured(option, named)),
    )

"""The grantor of one process: its tokens, granted in the turns of the lanes."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import TypeVar

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.lanes import Lane, Turns, Waiting
from leadsquared_async.limiter.limiter import LimitSnapshot, Notice
from leadsquared_async.limiter.tokens import NEVER, Tokens

__all__ = ["LocalGrantor", "configured", "doubt"]

W = TypeVar("W", bound=Waiting)


class LocalGrantor:
    """Grants the tokens of this process.

    Args:
        limit: the declared limit.
        option: the client's option that declares it, for messages.
        tokens: the state to begin with; by default all tokens are free.

    Attributes:
        tokens: their state.
    """

    def __init__(self, limit: RateLimit, option: str = "rate_limit", tokens: Tokens | None = None) -> None:
        self.tokens = Tokens(limit) if tokens is None else tokens
        self._option = option
        self._turns = Turns()

    @property
    def limit(self) -> RateLimit:
        """The limit in force."""
        return self.tokens.limit

    def is_idle(self, now: float) -> bool:
        """Whether all tokens are free and nothing was learnt: to forget it loses nothing."""
        return self.tokens.learnt is None and self.tokens.is_full(now)

    def settle(self, now: float) -> None:
        """Bring the tokens up to `now`."""
        self.tokens.settle(now)

    def take_at_once(self, lane: Lane, now: float) -> bool:
        """Spend a token on a caller with nobody before it; return False if it has to wait."""
        tokens = self.tokens
        tokens.settle(now)
        if not tokens.may_take(lane, now):
            return False
        tokens.take(now, lane)
        return True

    def next(self, heads: Sequence[W], now: float) -> W | None:
        """The waiter that is granted a token now, if any; `take` spends it."""
        tokens = self.tokens
        if not heads or not tokens.may_take(heads[0].lane, now):
            return None
        head, self._turns = self._turns.next(heads, is_poll_due=tokens.next_poll <= now)
        return head

    def take(self, lane: Lane, now: float) -> None:
        """Spend a token on a call that starts now."""
        self.tokens.take(now, lane)

    def release(self, now: float, *, counted: bool) -> None:
        """A call has ended; without an answer (not `counted`) the server may count it later."""
        try:
            self.tokens.settle(now)
        finally:
            self.tokens.release(now, counted=counted)

    def release_unused(self, now: float) -> None:
        """A call was never sent."""
        del now
        self.tokens.release_unused()

    def earliest(self, lane: Lane, ahead: int, now: float) -> float:
        """The earliest moment at which a call could start with so many of its lane before it."""
        return self.tokens.earliest_of(lane, now, ahead)

    def next_grant(self, lanes: Sequence[Sized], now: float) -> float:
        """When to look again whether one of the waiters of these lanes gets a token."""
        forms, batch, polls = lanes
        if not forms and not batch and not polls:
            return NEVER
        tokens = self.tokens
        if now < tokens.paused_until:
            return tokens.paused_until
        when = tokens.next_change()
        if not forms:
            when = min(when, tokens.paced_at(now))
            if not batch:
                when = max(when, tokens.next_poll)
        return when

    def declare(self, limit: RateLimit, now: float) -> Notice | None:
        """Keep to this limit, the smallest that is declared, and to what the server named."""
        tokens = self.tokens
        try:
            tokens.settle(now)
        finally:
            before = tokens.limit
            is_changed = tokens.keep_to(now, limit)
        if not is_changed:
            return None
        after = tokens.limit
        if before.within(after) != before:
            return Notice(True, "rate limit lowered from %s to %s: %s", (before, after, self._why_lower()))
        return Notice(False, "rate limit back from %s to %s", (before, after))

    def on_rate_limited(
        self, pause: float | None, named: tuple[int, float] | None, now: float
    ) -> Notice | None:
        """The server answered 429; `release` still has to follow."""
        tokens = self.tokens
        tokens.settle(now)
        before, doubted = tokens.limit, tokens.doubted
        limit = None if named is None else RateLimit(named[0], named[1], before.margin)
        is_lowered = tokens.on_rate_limited(now, pause, limit)
        if limit is None:
            return None
        if is_lowered:
            return Notice(
                True,
                "rate limit lowered from %s to %s: LeadSquared says that the account's limit is %s; %s is "
                "tried again after %g s without a 429; if the lower limit is right, configure it with %s",
                (
                    before,
                    tokens.limit,
                    limit,
                    tokens.declared,
                    tokens.patience,
                    configured(self._option, limit),
                ),
            )
        return None if tokens.doubted in {None, doubted} else doubt(limit, tokens.declared, self._option)

    def assume_spent(self, ended: float, calls: int | None, now: float) -> None:
        """Count so many unknown calls (None: as many as there are tokens) that had ended at `ended`."""
        self.tokens.settle(now)
        self.tokens.assume_spent(now, ended, calls)

    def snapshot(self, now: float) -> LimitSnapshot:
        """The state of the tokens, without that of the queue."""
        tokens = self.tokens
        tokens.settle(now)
        due = tokens.next_due
        return LimitSnapshot(
            limit=tokens.limit,
            declared=tokens.declared,
            ceiling=self._why_lower(),
            free=tokens.free,
            in_flight=tokens.out,
            withdrawn=tokens.withdrawn,
            waiting={},
            next_due=None if due == NEVER else max(0.0, due - now),
            paused=max(0.0, tokens.paused_until - now),
            granted=0,
            rate_limited=0,
        )

    def _why_lower(self) -> str:
        tokens = self.tokens
        if tokens.learnt is not None:
            return f"LeadSquared says that the account's limit is {tokens.learnt}"
        return f"another client of this account declared {tokens.declared}"


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

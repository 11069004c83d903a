"""Who gets the next token: lanes, deadlines, one timer for all who wait.

`aiolimiter.AsyncLimiter(25, 5)` would let 25 calls through and go on at five a second: 49 in the first five
seconds. The arithmetic that avoids it is in `tokens.py`; this is the queue before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from contextvars import Context
from dataclasses import dataclass
from enum import IntEnum

from leadsquared_async.config import RateLimit
from leadsquared_async.sending.tokens import NEVER, Tokens

__all__ = ["Bucket", "Lane", "LimitSnapshot", "NoTokenInTime"]

logger = logging.getLogger("leadsquared_async")

OVERTAKES = 7
"""Grants in a row of forms past an older waiter, or of batches past a poll; the next is that one's."""


class Lane(IntEnum):
    """Who goes first. Within a lane it is the order of arrival."""

    INTERACTIVE = 0
    """Somebody waits for the answer: a form. The only lane that may spend a burst."""
    BATCH = 1
    """Many leads; paced, so that a form that comes alone does not wait behind them."""
    STATUS = 2
    """Polls."""


@dataclass(frozen=True, slots=True)
class LimitSnapshot:
    """The state of the rate limit at one moment.

    Attributes:
        limit: what is kept to.
        declared: what was configured.
        ceiling: why `limit` is lower than `declared`; None when it is not.
        free: tokens that may be spent at once.
        in_flight: calls under way.
        withdrawn: tokens out of use since the server refused calls; one comes back a clean window.
        waiting: calls that wait for a token, by lane.
        next_due: seconds until the next token comes back; None while none is on its way.
        paused: seconds for which nothing is sent, since the server asked for it.
        granted: tokens given out so far.
        refused: calls that the server refused all the same (429).
    """

    limit: RateLimit
    declared: RateLimit
    ceiling: str | None
    free: int
    in_flight: int
    withdrawn: int
    waiting: dict[Lane, int]
    next_due: float | None
    paused: float
    granted: int
    refused: int


class NoTokenInTime(Exception):
    """No token comes before the deadline.

    Attributes:
        ahead: calls of the same lane before this one.
        spacing: seconds between two of them, at best.
    """

    def __init__(self, ahead: int, spacing: float) -> None:
        super().__init__(ahead, spacing)
        self.ahead = ahead
        self.spacing = spacing


class _Waiter:
    __slots__ = ("expiry", "future", "lane", "number")

    def __init__(self, number: int, lane: Lane, future: asyncio.Future[None]) -> None:
        self.number = number
        self.lane = lane
        self.future = future
        self.expiry: asyncio.TimerHandle | None = None


def _number(waiter: _Waiter) -> int:
    return waiter.number


class Bucket:
    """A token bucket for one account and class of endpoint, in one event loop.

    Args:
        declared: the limit to keep to.
        option: the client's option that declares it, for a message.
        tokens: the state to go on from; by default all tokens are free.
        learnt: whether LeadSquared named that state's limit.

    Attributes:
        users: open clients that share it.
        learnt: whether LeadSquared named the limit that is kept to.
    """

    def __init__(
        self,
        declared: RateLimit,
        *,
        option: str = "rate_limit",
        tokens: Tokens | None = None,
        learnt: bool = False,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.declared = declared
        self._option = option
        self.users = 0
        self._tokens = Tokens(declared) if tokens is None else tokens
        self._clock = self.loop.time
        self._ceiling = None if self._tokens.limit == declared else "an earlier event loop learnt it"
        # Ordered dicts, since a waiter may leave from the middle, and a plain dict pops its first in O(n).
        self._lanes: tuple[OrderedDict[int, _Waiter], ...] = tuple(OrderedDict() for _ in Lane)
        self._passed = [0] * len(Lane)
        self._is_polls_turn = False
        self._arrivals = 0
        self._timer: asyncio.TimerHandle | None = None
        self.learnt = learnt
        self._granted = 0
        self._refused = 0

    async def acquire(self, lane: Lane, deadline: float | None = None) -> None:
        """Wait for a token and take it; every `acquire` that returns is followed by one `give` or `untake`.

        Args:
            lane: who goes first.
            deadline: the loop's time after which a token is of no use; None waits as long as it takes.

        Raises:
            NoTokenInTime: even the best case is later than the deadline, or it passed while waiting.
        """
        now = self._clock()
        tokens = self._tokens
        tokens.settle(now)
        if not any(self._lanes) and self._may_take(lane, now):
            tokens.take(now)
            self._granted += 1
            return
        ahead = len(self._lanes[lane])
        if deadline is not None and tokens.earliest(now, ahead) > deadline:
            raise NoTokenInTime(ahead, tokens.limit.spacing)
        self._arrivals += 1
        waiter = _Waiter(self._arrivals, lane, self.loop.create_future())
        self._lanes[lane][waiter.number] = waiter
        if deadline is not None:
            waiter.expiry = self.loop.call_at(deadline, self._expire, waiter, ahead, context=Context())
        self._dispatch(now)
        try:
            await waiter.future
        except asyncio.CancelledError:
            if waiter.future.cancelled():
                self._leave(waiter)
                self._dispatch(self._clock())
            elif waiter.future.exception() is None:
                # Granted and cancelled in the same tick: the token goes to the next.
                self.untake()
            raise
        finally:
            if waiter.expiry is not None:
                waiter.expiry.cancel()

    def give(self, *, counted: bool = True) -> None:
        """The call that took a token has ended.

        Args:
            counted: False if it got no answer, so that the server may count it later than now.
        """
        now = self._clock()
        self._tokens.settle(now)
        self._tokens.give(now, counted=counted)
        if any(self._lanes):
            self._dispatch(now)

    def untake(self) -> None:
        """The call that took a token was never sent."""
        self._tokens.untake()
        self._dispatch(self._clock())

    def refuse(self, pause: float | None = None, told: tuple[int, float] | None = None) -> None:
        """The server refused a call for the rate all the same; `give` still has to follow.

        Args:
            pause: the seconds it asked for.
            told: the account's limit (calls, seconds), where the answer names it.
        """
        now = self._clock()
        self._tokens.settle(now)
        self._refused += 1
        limit = None if told is None else RateLimit(told[0], told[1], self.declared.margin)
        if self._tokens.refuse(now, pause, limit):
            self.learnt = True
            self._ceiling = f"LeadSquared says that the account's limit is {limit}"
            logger.warning(
                "rate limit lowered from %s to %s: %s; configure it with %s=RateLimit(%d, per=%g)%s",
                self.declared,
                self._tokens.limit,
                self._ceiling,
                self._option,
                *(told or (0, 0)),
                f" or LEADSQUARED_RATE_LIMIT={limit}" if self._option == "rate_limit" else "",
            )

    def lower(self, other: RateLimit, why: str) -> None:
        """Keep to `other` too, where it is the smaller."""
        now = self._clock()
        self._tokens.settle(now)
        if self._tokens.lower(now, other):
            self._ceiling = why
            logger.warning("rate limit lowered from %s to %s: %s", self.declared, self._tokens.limit, why)
            self._dispatch(now)

    def recall(self, calls: int | None, ended: float) -> None:
        """Count calls of an earlier process too (None: all), as ended without an answer at `ended`."""
        now = self._clock()
        self._tokens.settle(now)
        self._tokens.recall(calls, now, min(ended, now))
        self._arm(now)

    def is_as_new(self) -> bool:
        """Whether nobody uses it, nothing was learnt and all tokens are back: to forget it loses nothing."""
        return not self.users and not self.learnt and self._tokens.is_full(self._clock())

    def bequeath(self) -> Tokens:
        """The state, for the bucket of the running loop, after this one's loop has ended."""
        loop = asyncio.get_running_loop()
        if type(loop) is type(self.loop):
            self._tokens.orphan(loop.time())
            return self._tokens
        # Another clock: whatever was not free is taken for a call that ends only now.
        return Tokens.spent(self._tokens.limit, self._tokens.limit.calls - self._tokens.free, loop.time())

    def snapshot(self) -> LimitSnapshot:
        """The state at this moment."""
        now = self._clock()
        tokens = self._tokens
        tokens.settle(now)
        due = tokens.next_due
        return LimitSnapshot(
            limit=tokens.limit,
            declared=self.declared,
            ceiling=self._ceiling,
            free=tokens.free,
            in_flight=tokens.out,
            withdrawn=tokens.withdrawn,
            waiting={lane: len(self._lanes[lane]) for lane in Lane},
            next_due=None if due == NEVER else max(0.0, due - now),
            paused=max(0.0, tokens.paused_until - now),
            granted=self._granted,
            refused=self._refused,
        )

    def _may_take(self, lane: Lane, now: float) -> bool:
        tokens = self._tokens
        if not tokens.free or now < tokens.paused_until:
            return False
        return lane is Lane.INTERACTIVE or tokens.paced_at(now) <= now

    def _dispatch(self, now: float) -> None:
        """Give free tokens to those whose turn it is, and set the timer for the next."""
        while (waiter := self._next(now)) is not None:
            self._leave(waiter)
            if not waiter.future.done():  # cancelled in this very tick
                self._tokens.take(now)
                self._granted += 1
                waiter.future.set_result(None)
        self._arm(now)

    def _next(self, now: float) -> _Waiter | None:
        heads = [next(iter(lane.values())) for lane in self._lanes if lane]
        if not heads or not self._may_take(heads[0].lane, now):
            return None
        first = heads[0]
        # Behind a batch that never ends, a poll would be the oldest only once all that is held has gone.
        passed = min(heads, key=_number) if first.lane is Lane.INTERACTIVE else heads[-1]
        if first is passed or self._passed[first.lane] >= OVERTAKES:
            self._passed = [0] * len(Lane)
            if first.lane is Lane.INTERACTIVE and passed.lane is Lane.BATCH:
                # Beside forms without end, batches and polls take turns with what is left.
                self._is_polls_turn = not self._is_polls_turn
                return heads[-1] if self._is_polls_turn else passed
            return passed
        self._passed[first.lane] += 1
        return first

    def _leave(self, waiter: _Waiter) -> None:
        self._lanes[waiter.lane].pop(waiter.number, None)

    def _expire(self, waiter: _Waiter, ahead: int) -> None:
        if not waiter.future.done():
            self._leave(waiter)
            waiter.future.set_exception(NoTokenInTime(ahead, self._tokens.limit.spacing))
            self._dispatch(self._clock())

    def _arm(self, now: float) -> None:
        when = self._next_grant(now)
        if self._timer is not None:
            if self._timer.when() == when:
                return
            self._timer.cancel()
            self._timer = None
        if when < NEVER:
            # An empty context, so that no waiter's context is kept alive by the timer of all.
            self._timer = self.loop.call_at(when, self._wake, context=Context())

    def _next_grant(self, now: float) -> float:
        if not any(self._lanes):
            return NEVER
        tokens = self._tokens
        if now < tokens.paused_until:
            return tokens.paused_until
        change = tokens.next_change()
        return change if self._lanes[Lane.INTERACTIVE] else min(change, tokens.paced_at(now))

    def _wake(self) -> None:
        self._timer = None
        now = self._clock()
        self._tokens.settle(now)
        self._dispatch(now)

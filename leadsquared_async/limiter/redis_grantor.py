"""The bucket whose tokens are in a store: the same queue, and somebody else who says when it moves on.

While the store answers, nothing is granted here: a request tells it how many wait and how many calls are in
flight, its reply says who may go, and when to ask again. While it does not, the process grants by itself,
from its share of the limit, and keeps trying to reach the store.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import Any, TypeVar

from leadsquared_async.config import RateLimit
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.limiter import LimitSnapshot
from leadsquared_async.limiter.protocol import Store, StoreUnavailable
from leadsquared_async.limiter.queue import Alarm, Bucket, Change
from leadsquared_async.limiter.redis_messages import VERSION, End, Incompatible, Known, Reply, Request
from leadsquared_async.limiter.refusal import Refusal
from leadsquared_async.limiter.standing_in import UNKNOWN, share_of, tokens_of_share
from leadsquared_async.limiter.tokens import NEVER, is_far_below
from leadsquared_async.limiter.view import View

__all__ = ["SharedBucket", "SharedLimitSnapshot"]

T = TypeVar("T")

PRESENCE = 30.0
"""Seconds after which a process that is not heard of counts no more, neither its declared limit."""
KEPT = 3600.0
"""Seconds, and a few windows, for which the state is kept when nobody uses it."""
SOON = 0.05
"""Seconds that the end of a call may wait to be told together with other things."""
PARTS = 5
"""Of the wait for an answer."""
UNFORESEEN = "the request could not be made"
FIRST_RETRY, LAST_RETRY = 0.25, 5.0
"""Seconds between two attempts to reach a store that does not answer."""


@dataclass(frozen=True, slots=True)
class SharedLimitSnapshot(LimitSnapshot):
    """The state of a shared limit at one moment, as this process knows it.

    Attributes:
        processes: how many share it; None before the store was heard.
        standing_in: whether the store does not answer, and `limit` is this process's share.
    """

    processes: int | None
    standing_in: bool


class SharedBucket(Bucket):
    """A token bucket for one account and class of endpoint, shared with other processes.

    Args:
        declared: the limit to keep to; the smallest that any present process declares is kept.
        store: where the tokens are.
        key: the account's and class's, in the store.
        option: the client's option that declares the limit, for a message.
        lease: seconds after which the calls of a process that died are taken for ended.
        timeout: seconds for one request to the store.
    """

    def __init__(
        self,
        declared: RateLimit,
        *,
        store: Store,
        key: str,
        option: str = "rate_limit",
        lease: float = 3.0,
        timeout: float = 0.5,
    ) -> None:
        view = View(declared)
        super().__init__(declared, option=option, tokens=view)
        self.loop = asyncio.get_running_loop()
        self._ceiling: str | None = None
        self._view = view
        self._store = store
        self._key = key
        self._lease = lease
        self._timeout = timeout
        self._process = uuid.uuid4().hex
        self._number = 0
        self._mine = declared
        self._shared = declared
        self._processes: int | None = None
        self._is_learnt = False
        self._doubted: RateLimit | None = None
        self._has_told_of_damage = False
        self._known: tuple[Reply, float] | None = None
        self._fault: str | None = None
        self._ends: deque[tuple[float, bool]] = deque()
        self._refusal: Refusal | None = None
        self._recalled: tuple[int | None, float] | None = None
        self._told_of = [False] * len(Lane)
        self._ask_at = NEVER
        self._told_at = -NEVER
        self._is_urgent = False
        self._standing_in = False
        self._all_ends_count = False
        self._retry_at = -NEVER
        self._retry_after = FIRST_RETRY
        self._speaking: asyncio.Task[None] | None = None
        self._next_word = Alarm(self.loop, self._begin_to_speak)
        self._closed = False
        store.listen(key, self._hear_hint)

    @property
    def standing_in(self) -> bool:
        """Whether the store does not answer, and this process keeps to its share by itself."""
        return self._standing_in

    @property
    def learnt(self) -> bool:
        """Whether LeadSquared named the limit that all processes keep to."""
        return self._is_learnt

    async def acquire(self, lane: Lane, deadline: float | None = None) -> None:
        """Wait for a token and take it; every `acquire` that returns is followed by one `give` or `untake`.

        Args:
            lane: who goes first, in all processes.
            deadline: the loop's time after which a token is of no use; None waits as long as it takes.

        Raises:
            NoTokenInTime: even the best case is later than the deadline, or it passed while waiting.
            ConfigurationError: the store's state was written by a version that does not go with this one.
        """
        if self._fault is not None:
            raise ConfigurationError(self._fault)
        await super().acquire(lane, deadline)
        try:
            self._schedule()
        except BaseException:
            self.untake()
            raise

    def give(self, *, counted: bool = True) -> None:
        """The call that took a token has ended.

        Args:
            counted: False if it got no answer, so that the server may count it later than now.
        """
        self._ends.append((self._clock(), counted))
        super().give(counted=counted)
        self._schedule()

    def untake(self) -> None:
        """The call that took a token was never sent."""
        self._is_urgent = True
        super().untake()
        self._schedule()

    def refuse(self, pause: float | None = None, told: tuple[int, float] | None = None) -> None:
        """The server refused a call for the rate all the same; `give` still has to follow.

        Args:
            pause: the seconds it asked for.
            told: the account's limit (calls, seconds), where the answer names it.
        """
        now = self._clock()
        refusal = Refusal.now(now, pause, told)
        self._refusal = refusal if self._refusal is None else self._refusal.then(refusal)
        self._refused += 1
        account = None if told is None else RateLimit(told[0], told[1], self._mine.margin)
        is_doubted = account is not None and account != self._doubted and is_far_below(account, self._mine)
        self._doubted = account or self._doubted
        is_lowered = False
        if self._standing_in:
            self._tokens.settle(now)
            share = None if account is None else share_of(account, self._processes or UNKNOWN)
            is_lowered = self._tokens.refuse(now, pause, share)
            if is_lowered:
                self._ceiling = f"it is a share of {account}, as LeadSquared says"
        else:
            self._view.paused_until = max(
                self._view.paused_until, now + (self._view.limit.spacing if pause is None else pause)
            )
            self._is_urgent = True
        self._schedule()
        if is_lowered:
            self.log.warning("rate limit lowered to %s: %s", self._tokens.limit, self._ceiling)
        if account is not None and is_doubted:
            self._warn_of_doubt(account, self._mine)

    def recall(self, calls: int | None, ended: float) -> None:
        """Count calls of an earlier process too (None: all), as ended without an answer at `ended`.

        The store counts them only if it cannot know of them, since it has begun anew after they ended.
        """
        ended = min(ended, self._clock())
        self._recalled = (calls, ended)
        if self._standing_in:
            super().recall(calls, ended)
        self._is_urgent = True
        self._schedule()

    def is_as_new(self) -> bool:
        """Whether nobody uses it and it has nothing to remember: to forget it loses nothing."""
        return not (self.users or self._standing_in or self._ends or self._tokens.out)

    def snapshot(self) -> SharedLimitSnapshot:
        """The state at this moment; what is free is as old as the store's last answer."""
        local = super().snapshot()
        values = {name: getattr(local, name) for name in LimitSnapshot.__dataclass_fields__}
        return SharedLimitSnapshot(**values, processes=self._processes, standing_in=self._standing_in)

    async def aclose(self) -> None:
        """Tell the store what it does not know yet, and that this process is leaving.

        It takes no longer than a request that was under way and one more. It does not raise: a fault goes to
        the loop's exception handler.
        """
        self._closed = True
        self._cancel_timers()
        try:
            if self._speaking is not None:
                await asyncio.wait([self._speaking])
            if (
                self._number
                and self._fault is None
                and not (self._standing_in and self._retry_at > self._clock())
            ):
                await self._speak()
        except Exception as error:
            self.loop.call_exception_handler({"message": UNFORESEEN, "exception": error})
        finally:
            self._cancel_timers()
            self._store.forget(self._key, self._hear_hint)

    def _declare(self, limit: RateLimit) -> Change | None:
        """Have all processes keep to this, the smallest limit of this one's open clients."""
        before, self._mine = self._mine, limit
        if limit == before:
            return None
        self._is_urgent = True
        change = None
        if before.within(limit) != before:
            # What a higher one comes to, the store has to say: others may keep to less.
            self._shared = self._shared.within(limit)
            self._ceiling = f"another client of this account declared {limit}"
            change = Change(before, limit, self._ceiling)
            if self._standing_in:
                self._keep_to_share()
            else:
                self._view.limit = self._shared
        self._schedule()
        return change

    def _keep_to_share(self) -> None:
        if (change := self._keep_to(self._share())) is not None:
            change.write_to(self.log)

    def _why_lower(self) -> str | None:
        return self._ceiling

    # When to speak ----------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Set the timer for the next request, which is made at once if there is reason to."""
        if self._speaking is not None or self._closed:
            return  # once it is answered this is looked at again
        try:
            self._next_word.set(self._when_to_speak(), self._clock())
        except BaseException:
            self.loop.call_soon(self._schedule, context=Context())  # else nobody would speak any more
            raise

    def _when_to_speak(self) -> float:
        in_use = bool(self._tokens.out or any(self._lanes) or self._ends)
        if self._standing_in or self._fault is not None:
            return self._retry_at if in_use or self.users else NEVER
        if self._is_urgent or any(bool(self._lanes[lane]) != self._told_of[lane] for lane in Lane):
            return self._told_at  # long ago: at once
        return min(
            self._ask_at if any(self._told_of) else NEVER,
            self._ends[0][0] + SOON if self._ends else NEVER,
            self._told_at + self._lease / 3 if self._tokens.out else NEVER,
            self._told_at + PRESENCE / 3 if self.users and self._number else NEVER,
        )

    def _begin_to_speak(self) -> None:
        try:
            self._speaking = self._task(self._speak(), "leadsquared_async shared limit")
        except BaseException:
            self._stand_in(UNFORESEEN)
            raise
        self._speaking.add_done_callback(self._end_of_speaking)

    def _end_of_speaking(self, task: asyncio.Task[None]) -> None:
        self._speaking = None
        self._schedule()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error  # a fault of this package: the loop reports it

    def _hear_hint(self, seconds: float) -> None:
        self._ask_at = min(self._ask_at, self._clock() + seconds)
        self._schedule()

    # What is said -----------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        """One request and what follows from it."""
        self._told_at = self._clock()
        self._is_urgent = False
        refusal, recalled = self._refusal, self._recalled
        why: str | None = UNFORESEEN
        is_heard = False
        try:
            request = self._request()
            self._refusal = self._recalled = None
            reply = await self._answer_to(request)
            if not reply.stale:
                self._hear(request, reply)
                is_heard = True
        except TimeoutError:
            why = f"no answer within {self._timeout:g} s"
        except StoreUnavailable as error:
            why = str(error)
        except Incompatible as error:
            why = None
            self._refuse_all(error)
        except asyncio.CancelledError:
            why = None  # the loop is ending
            raise
        finally:
            # Whatever it was, calls go on; an error that nobody foresaw is reported by the loop as well.
            if not is_heard:
                if refusal is not None and self._refusal is not refusal:
                    self._refusal = refusal.then(self._refusal)
                self._recalled = self._recalled or recalled
                if why is not None:
                    self._stand_in(why)

    async def _answer_to(self, request: Request) -> Reply:
        """What the store answers within `timeout`, without the time for which this process stood still.

        After a second in which other code blocked the loop, a timer would come before the answer that has
        long been there. So it is waited for in parts, of which such a second uses up one.
        """
        exchange = self._task(
            self._store.exchange(self._key, request), "leadsquared_async shared limit request"
        )
        try:
            for _ in range(PARTS):
                done, _ = await asyncio.wait([exchange], timeout=self._timeout / PARTS)
                if exchange.cancelled():
                    raise StoreUnavailable("the request was cancelled")
                if done:
                    return exchange.result()
            raise TimeoutError
        finally:
            if not exchange.done():
                exchange.cancel()
                await asyncio.gather(exchange, return_exceptions=True)

    def _task(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        try:
            return self.loop.create_task(work, name=name, context=Context())
        except BaseException:
            work.close()
            raise

    def _request(self) -> Request:
        now = self._clock()
        window = 2 * self._shared.per
        while self._ends and self._ends[0][0] < now - window:
            self._ends.popleft()
        known = None
        if self._known is not None:
            reply, asked = self._known
            known = Known(reply.born, reply.steps, reply.at + now - asked)
        refusal = self._refusal
        self._number += 1
        return Request(
            process=self._process,
            number=self._number,
            channel=self._store.channel,
            declared=self._mine,
            lease=self._lease,
            presence=max(PRESENCE, 2 * self._lease),
            keep=KEPT + 4 * self._shared.per + max(0.0, self._view.paused_until - now),
            held=self._tokens.out,
            waiting=(len(self._lanes[0]), len(self._lanes[1]), len(self._lanes[2])),
            ends=tuple(End(now - ended, counted) for ended, counted in self._ends),
            all_ends_count=self._standing_in or self._all_ends_count,
            refused=refusal is not None,
            pause=None if refusal is None else refusal.left(now),
            told=None if refusal is None else refusal.told,
            recalled=None if self._recalled is None else (self._recalled[0], now - self._recalled[1]),
            known=known,
            leaving=self._closed,
        )

    # What is heard ----------------------------------------------------------------------------------------

    def _hear(self, request: Request, reply: Reply) -> None:
        now = self._clock()
        self._known = (reply, self._told_at)
        self._fault = None
        self._processes = reply.processes
        knew, self._is_learnt = self._is_learnt, reply.learnt
        # Calls that began and ended on this process's own account while the answer was under way count too.
        self._all_ends_count = self._standing_in
        for _ in range(min(len(request.ends), len(self._ends))):
            self._ends.popleft()
        self._view.hear(reply, now)
        if self._standing_in:
            self._come_back()
        self._tell_of_limit(reply, knew=knew)
        self._told_of = [
            waiting > granted for waiting, granted in zip(request.waiting, reply.granted, strict=True)
        ]
        self._ask_at = NEVER if reply.again is None else now + reply.again
        for lane in Lane:
            self._grant(lane, reply.granted[lane], now)

    def _grant(self, lane: Lane, tokens: int, now: float) -> None:
        queue = self._lanes[lane]
        while tokens and queue:
            waiter = next(iter(queue.values()))
            if not waiter.future.done():  # else it was cancelled in this very tick
                self._serve(waiter, now)
                tokens -= 1
            self._leave(waiter)
        if tokens:
            self._is_urgent = True  # whoever waited for them has left: they are for others

    def _tell_of_limit(self, reply: Reply, *, knew: bool) -> None:
        if reply.was_damaged and not self._has_told_of_damage:
            self._has_told_of_damage = True
            self.log.warning(
                "the store of the rate limit held a state that leadsquared_async did not write: it was "
                "replaced, and all tokens count as spent just now; make sure that nobody else writes to keys "
                "that begin with SharedLimiter's prefix"
            )
        elif reply.begun_as_spent:
            self.log.info("the store of the rate limit has begun anew: all tokens count as spent just now")
        if _is_same(reply.limit, self._shared):
            return
        before, self._shared = self._shared, reply.limit
        if _is_same(reply.limit, self._mine):
            self._ceiling = None
            self.log.info("rate limit back from %s to %s", before, reply.limit)
            return
        self._ceiling = f"another process of this account declared {reply.limit}"
        if reply.learnt and not knew:
            self._ceiling = (
                f"LeadSquared says that the account's limit is {reply.limit}; {self._mine} is tried "
                "again after some windows without a 429; if the lower limit is right, configure it with "
                + self._configured(reply.limit)
            )
        self.log.warning("rate limit changed from %s to %s: %s", before, reply.limit, self._ceiling)

    def _refuse_all(self, error: Incompatible) -> None:
        found = f"version {error.version}" if error.version else "something that is no state of a rate limit"
        self._fault = (
            f"the store of the rate limit holds {found} where this process needs version {VERSION}: "
            "run one version of leadsquared_async, or give SharedLimiter another prefix"
        )
        for queue in self._lanes:
            for waiter in list(queue.values()):
                self._leave(waiter)
                if not waiter.future.done():
                    waiter.future.set_exception(ConfigurationError(self._fault))
        self._retry_at = self._clock() + LAST_RETRY

    # Standing in ------------------------------------------------------------------------------------------

    def _share(self) -> RateLimit:
        return share_of(self._shared, self._processes or UNKNOWN)

    def _stand_in(self, why: str) -> None:
        """Go on without the store, or go on going on."""
        now = self._clock()
        self._retry_at = now + self._retry_after * random.uniform(0.75, 1.25)
        self._retry_after = min(LAST_RETRY, self._retry_after * 2)
        if self._standing_in or self._closed:
            return
        self._standing_in = True
        self._told_of = [False] * len(Lane)
        share = self._share()
        free = share.calls if self._processes is None else self._view.free // self._processes
        self._tokens = tokens_of_share(
            share, now, held=self._view.out, free=free, phase=random.uniform(0.5, 1.5)
        )
        self._tokens.silence(self._view.paused_until)
        self.log.warning(
            "the store of the rate limit cannot be reached (%s): this process keeps to its share, %s, "
            "and goes on trying",
            why,
            share,
        )
        self._dispatch(now)

    def _come_back(self) -> None:
        self._view.out = self._tokens.out
        self._tokens = self._view
        self._standing_in = False
        self._retry_after = FIRST_RETRY
        self._stop_alarms()
        self.log.warning("the store of the rate limit answers again: %s for all processes", self._view.limit)

    # The queue before it ----------------------------------------------------------------------------------

    def _may_take(self, lane: Lane, now: float) -> bool:
        return self._standing_in and super()._may_take(lane, now)

    def _dispatch(self, now: float) -> None:
        if self._standing_in:
            super()._dispatch(now)
        self._schedule()

    def _arm(self, now: float) -> None:
        if self._standing_in:
            super()._arm(now)

    def _cancel_timers(self) -> None:
        self._next_word.cancel()
        self._stop_alarms()


def _is_same(one: RateLimit, other: RateLimit) -> bool:
    """Whether they differ by no more than the rounding on the way to the store and back."""
    return (
        one.calls == other.calls and abs(one.per - other.per) < 1e-5 and abs(one.margin - other.margin) < 1e-5
    )

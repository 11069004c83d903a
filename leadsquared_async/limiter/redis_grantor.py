"""The grantor of tokens that many processes share in a store.

A request reports this process's waiting callers and calls in flight; the store's reply grants tokens to each
lane and says when to ask again. While the store does not answer, the process grants from its share of the
limit (degraded mode) and retries.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import deque
from collections.abc import Coroutine, Sequence
from contextvars import Context
from dataclasses import replace
from typing import Any, TypeVar

from leadsquared_async.clock import clock
from leadsquared_async.config import RateLimit
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.events import StoreBack, StoreLost
from leadsquared_async.limiter.event_loops import LoopTimer, real_later
from leadsquared_async.limiter.interface import Limit, LimitSnapshot
from leadsquared_async.limiter.lanes import Lane, Waiting
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.limiter.redis_messages import (
    CALLS_BEFORE,
    VERSION,
    Incompatible,
    StoreReply,
    StoreRequest,
    StoreUnavailable,
)
from leadsquared_async.limiter.redis_store import RedisStore
from leadsquared_async.limiter.shares import share_of, spend_of_share
from leadsquared_async.limiter.tokens import NEVER, is_far_below, spacing_of

__all__ = ["RedisGrantor"]

T = TypeVar("T")
W = TypeVar("W", bound=Waiting)

STORE = "limit store"
PRESENCE = 30.0
"""Seconds without a request after which a process and its declared limit no longer count."""
KEPT = 3600.0
"""Seconds, plus a few windows, to keep a state after its last request."""
SOON = 0.05
"""The most seconds until the end of a call is reported, so that one request can report several."""
PARTS = 5
"""How many parts the wait for an answer has."""
UNEXPECTED = "the request could not be made"
FIRST_RETRY, LAST_RETRY = 0.25, 5.0
"""The shortest and the longest time in seconds between attempts to reach the store."""
RETRY_WINDOWS = 0.7
"""The longest time between them in windows. A new state frees its first token after one window, and every
process must have reported its calls by then; jitter makes an attempt up to a quarter later."""
NO_WAITERS = (False, False, False)
"""No lane has a waiter known to the store."""
MOST_429S = 100
"""The most 429 answers kept for the store; an outage may bring more."""


class RedisGrantor:
    """Grants the tokens that the store granted to this process.

    Args:
        declared: the declared limit; the smallest of all present processes applies.
        store: keeps the tokens.
        key: of the state in the store.
        kind: of limit, for messages.
        lease: seconds after which a dead process's calls in flight count as ended.
        timeout: seconds for one request to the store.
        share: of a former grantor of this process that closed while the store did not answer.

    Attributes:
        queue: the queue that it grants tokens to.
    """

    def __init__(
        self,
        declared: RateLimit,
        *,
        store: RedisStore,
        key: str,
        kind: Limit = Limit.CALLS,
        lease: float = 3.0,
        timeout: float = 0.5,
        share: LocalGrantor | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock.of(self._loop)
        self._store = store
        self._key = key
        self.kind = kind
        self._lease = lease
        self._timeout = timeout
        self._process = uuid.uuid4().hex
        self._number = 0
        # The limit of this process, that of all, why it is lower, and a limit that was stated only once.
        self._mine = declared
        self._shared = declared
        self.ceiling: str | None = None
        self.doubted: RateLimit | None = None
        # The last reply of the store.
        self._reply: StoreReply | None = None
        self._reply_requested_at = self._replied_at = -NEVER
        self._paused_until = -NEVER
        self._assumed_until = -NEVER
        self._granted = [0] * len(Lane)
        self._has_warned_of_damage = False
        self._fault: str | None = None
        # What the store does not know yet.
        self._out = 0
        self._last_poll = -NEVER
        self._ends: deque[tuple[float, bool]] = deque()
        self._all_ends_count = False
        self._answers_of_429: deque[tuple[float | None, tuple[int, float] | None]] = deque(maxlen=MOST_429S)
        self._reported = NO_WAITERS
        # When to ask the store.
        self._ask_at = NEVER
        self._asked_at = -NEVER
        self._is_urgent = False
        self._asking: asyncio.Task[None] | None = None
        self._request_timer = LoopTimer(self._loop, self._start_ask, real_later)
        self._closed = False
        # While the store does not answer.
        self._share: LocalGrantor | None = None
        self._former_share = share
        self._retry_at = -NEVER
        self._retry_after = FIRST_RETRY
        self.queue = TokenQueue(self)
        store.listen(key, self._on_hint)

    @property
    def limit(self) -> RateLimit:
        """The limit in force."""
        return self._shared if self._share is None else self._share.limit

    @property
    def share(self) -> LocalGrantor | None:
        """What it grants from while the store does not answer; None while it answers."""
        return self._share

    async def aclose(self) -> None:
        """Report pending changes to the store, and that this process is leaving.

        It takes at most as long as two requests. Errors go to the loop's exception handler.
        """
        self._closed = True
        self.stop()
        try:
            if self._asking is not None:
                await asyncio.wait([self._asking])
            is_out_of_reach = self._share is not None and self._retry_at > self._clock()
            if self._number and self._fault is None and not is_out_of_reach:
                await self._ask()
        except Exception as error:
            self._loop.call_exception_handler({"message": UNEXPECTED, "exception": error})
        finally:
            self.stop()
            self._store.forget(self._key, self._on_hint)

    def stop(self) -> None:
        """Cancel all timers."""
        self._request_timer.cancel()
        self.queue.stop()

    # For the queue ----------------------------------------------------------------------------------------

    def take_at_once(self, lane: Lane, now: float) -> bool:
        """Spend a token of the share, if any; the store's tokens must be requested.

        Raises:
            ConfigurationError: the state in the store was written by an incompatible version.
        """
        if self._fault is not None:
            raise ConfigurationError(self._fault)
        if self._share is None or not self._share.take_at_once(lane, now):
            return False
        self._out += 1
        try:
            self._schedule()
        except BaseException:
            self.release_unused()
            raise
        return True

    def settle(self, now: float) -> None:
        if self._share is not None:
            self._share.settle(now)

    def next(self, heads: Sequence[W], now: float) -> W | None:
        if self._share is not None:
            return self._share.next(heads, now)
        return next((head for head in heads if self._granted[head.lane]), None)

    def take(self, now: float, lane: Lane) -> None:
        if self._share is not None:
            self._share.take(now, lane)
        else:
            self._granted[lane] -= 1
        self._out += 1
        if lane is Lane.STATUS:
            self._last_poll = now

    def release(self, now: float, *, counted: bool) -> None:
        self._ends.append((now, counted))
        self._out -= 1
        if self._share is not None:
            self._share.release(now, counted=counted)
        self._schedule()

    def release_unused(self) -> None:
        """Reported to the store through the number of calls in flight."""
        self._out -= 1
        if self._share is not None:
            self._share.release_unused()
        self._ask_soon()

    def earliest_of(self, lane: Lane, now: float, ahead: int) -> float:
        if self._share is not None:
            return self._share.earliest_of(lane, now, ahead)
        short = ahead - self._free
        first = -NEVER if self._reply is None else self._replied_at + self._reply.first
        start = now if short < 0 else max(now, first + short * self._shared.spacing)
        start = max(start, self._paused_until)
        if lane is not Lane.STATUS:
            return start
        apart = spacing_of(lane, self._shared)
        return max(start, max(now, self._last_poll + apart) + ahead * apart)

    def next_grant(self, waiting: Sequence[int], now: float) -> float:
        self._schedule()
        return NEVER if self._share is None else self._share.next_grant(waiting, now)

    def declare(self, limit: RateLimit, now: float) -> None:
        """Report the smallest limit that this process's clients declare."""
        before, self._mine = self._mine, limit
        if limit == before:
            return
        if before.within(limit) != before:
            # The store decides on a higher limit: other processes may declare less.
            self._shared = self._shared.within(limit)
            self.ceiling = f"another client of this account declared {limit}"
            if self._share is not None:
                self._share.declare(share_of(self._shared, self._processes), now)
        self._ask_soon()

    def on_rate_limited(self, pause: float | None, named: tuple[int, float] | None, now: float) -> None:
        """Count a 429; the store reports it to all processes."""
        self._answers_of_429.append((None if pause is None else now + pause, named))
        account = None if named is None else RateLimit(*named, self._mine.margin)
        if account is not None and is_far_below(account, self._mine):
            self.doubted = account
        if self._share is None:
            until = now + (self._shared.spacing if pause is None else pause)
            self._paused_until = max(self._paused_until, until)
        else:
            share = None if account is None else share_of(account, self._processes)
            self._share.settle(now)
            if self._share.count_429(now, pause, share):
                self.ceiling = f"it is a share of {account}, the limit that LeadSquared states"
        self._ask_soon()

    def assume_spent(self, now: float, ended: float, calls: int | None) -> None:
        """The store counts such calls itself, or counts all tokens as spent if its state is new."""
        self._assumed_until = max(self._assumed_until, ended + 2 * self._mine.per)
        if self._share is not None:
            self._share.assume_spent(now, ended, calls)

    def snapshot(self, now: float) -> LimitSnapshot:
        """The state; `free` is as old as the store's last reply."""
        if self._share is not None:
            return replace(
                self._share.snapshot(now),
                ceiling=self.ceiling,
                in_flight=self._out,
                processes=self._processes,
                degraded=True,
            )
        reply = self._reply
        is_all_free = reply is None or self._free >= self._shared.calls
        return LimitSnapshot(
            limit=self._shared,
            declared=self._mine,
            ceiling=self.ceiling,
            free=self._free,
            in_flight=self._out,
            withdrawn=0 if reply is None else reply.withdrawn,
            next_due=None if is_all_free or reply is None else max(0.0, self._replied_at + reply.first - now),
            paused=max(0.0, self._paused_until - now),
            processes=self._processes,
        )

    @property
    def _free(self) -> int:
        return self._shared.calls if self._reply is None else self._reply.free

    @property
    def _processes(self) -> int | None:
        return None if self._reply is None else self._reply.processes

    # When to ask the store --------------------------------------------------------------------------------

    def _ask_soon(self) -> None:
        self._is_urgent = True
        self._schedule()

    def _schedule(self) -> None:
        """Set the timer for the next request, or make it at once if it is due."""
        if self._asking is not None or self._closed:
            return  # `_on_ask_done` calls this again
        try:
            self._request_timer.set(self._when_to_ask(), self._clock())
        except BaseException:
            self._loop.call_soon(
                self._schedule, context=Context()
            )  # otherwise the store would not be asked again
            raise

    def _when_to_ask(self) -> float:
        waiting, users = self.queue.waiting, self.queue.users
        if self._share is not None or self._fault is not None:
            is_in_use = bool(self._out or any(waiting) or self._ends or users)
            return self._retry_at if is_in_use else NEVER
        forms, batch, polls = waiting
        if self._is_urgent or (forms > 0, batch > 0, polls > 0) != self._reported:
            return self._asked_at  # in the past: at once
        return min(
            self._ask_at if self._reported != NO_WAITERS else NEVER,
            self._ends[0][0] + SOON if self._ends else NEVER,
            self._asked_at + self._lease / 3 if self._out else NEVER,
            self._asked_at + PRESENCE / 3 if users and self._number else NEVER,
        )

    def _start_ask(self) -> None:
        try:
            self._asking = self._task(self._ask(), "leadsquared_async shared limit")
        except BaseException:
            self._degrade(UNEXPECTED)
            raise
        self._asking.add_done_callback(self._on_ask_done)

    def _on_ask_done(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        self._schedule()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error  # a bug in this package: the loop reports it

    def _on_hint(self, seconds: float) -> None:
        """Ask earlier than the store's last reply said, because this process's turn comes sooner."""
        self._ask_at = min(self._ask_at, self._clock() + seconds)
        self._schedule()

    # Requests ---------------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        """Make one request and apply its reply. After any error, calls continue in degraded mode."""
        self._asked_at = self._clock()
        self._is_urgent = False
        why: str | None = UNEXPECTED
        try:
            request = self._request()
            answers_of_429 = len(self._answers_of_429)
            reply = await self._reply_to(request)
            if not reply.stale:
                for _ in range(answers_of_429):
                    self._answers_of_429.popleft()
                self._on_reply(request, reply)
                why = None
        except TimeoutError:
            why = f"no answer within {self._timeout:g} s"
        except StoreUnavailable as error:
            why = str(error)
        except Incompatible as error:
            why = None
            self._fail_all(error)
        except asyncio.CancelledError:
            why = None  # the loop is ending
            raise
        finally:
            if why is not None:
                self._degrade(why)

    async def _reply_to(self, request: StoreRequest) -> StoreReply:
        """Wait `timeout` seconds for the store's reply, not counting time in which the loop was blocked.

        After a blockage, a timer fires before an answer that arrived during it is read. So the wait has
        several parts, and a blockage uses up only one of them.
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
            return self._loop.create_task(work, name=name, context=Context())
        except BaseException:
            work.close()
            raise

    def _request(self) -> StoreRequest:
        now, reply = self._clock(), self._reply
        while self._ends and self._ends[0][0] < now - 2 * self._shared.per:
            self._ends.popleft()
        pauses = [max(0.0, until - now) for until, _ in self._answers_of_429 if until is not None]
        named = [limit for _, limit in self._answers_of_429 if limit is not None]
        known = (CALLS_BEFORE if now < self._assumed_until else 0, 0, 0.0)
        if reply is not None:
            known = (reply.born, reply.steps, reply.at + now - self._reply_requested_at)
        self._number += 1
        return StoreRequest(
            process=self._process,
            number=self._number,
            channel=self._store.channel,
            declared=self._mine,
            lease=self._lease,
            presence=max(PRESENCE, 2 * self._lease),
            keep=KEPT + 4 * self._shared.per + max(0.0, self._paused_until - now),
            held=self._out,
            waiting=self.queue.waiting,
            ends=tuple((now - ended, counted) for ended, counted in self._ends),
            all_ends_count=self._share is not None or self._all_ends_count,
            rate_limited=bool(self._answers_of_429),
            pause=max(pauses, default=None),
            named=named[-1] if named else None,
            known=known,
            leaving=self._closed,
        )

    def _on_reply(self, request: StoreRequest, reply: StoreReply) -> None:
        now = self._clock()
        was_learnt = self._reply is not None and self._reply.learnt
        self._reply, self._reply_requested_at, self._replied_at = reply, self._asked_at, now
        self._paused_until = now + reply.paused
        self._fault = None
        # Calls that began and ended in degraded mode before this answer arrived count too.
        self._all_ends_count = self._share is not None
        for _ in range(min(len(request.ends), len(self._ends))):
            self._ends.popleft()
        if self._share is not None:
            self._share = None
            self._retry_after = FIRST_RETRY
            self.queue.events.emit(StoreBack(store=STORE))
        self._tell_limit(reply, was_learnt=was_learnt)
        forms, batch, polls = map(int.__gt__, request.waiting, reply.granted)
        self._reported = (forms, batch, polls)
        self._ask_at = NEVER if reply.again is None else now + reply.again
        self._granted = list(reply.granted)
        self.queue.grant()
        if any(self._granted):
            self._is_urgent = True  # their waiters have left: return the tokens for others
            self._granted = [0] * len(Lane)

    def _tell_limit(self, reply: StoreReply, *, was_learnt: bool) -> None:
        log = self.queue.events.log
        if reply.was_damaged and not self._has_warned_of_damage:
            self._has_warned_of_damage = True
            log.warning(
                "the rate limit's store held a state that leadsquared_async did not write. The state was "
                "replaced, and all tokens count as just spent: make sure that no other program writes to "
                "keys that begin with SharedLimiter's prefix"
            )
        elif reply.begun_as_spent:
            log.info("the rate limit's store had no state: all tokens count as just spent")
        if _is_same(reply.limit, self._shared):
            return
        before, self._shared = self._shared, reply.limit
        if _is_same(reply.limit, self._mine):
            self._shared, self.ceiling = self._mine, None
        elif reply.learnt and not was_learnt:
            self.ceiling = self.kind.named_by_server(reply.limit, self._mine)
        else:
            self.ceiling = f"another process of this account declared {reply.limit}"
        self.queue.tell_limit(before)

    def _fail_all(self, error: Incompatible) -> None:
        found = f"a state of version {error.version}" if error.version else "data of another program"
        fault = self._fault = (
            f"the rate limit's store has {found}, but this process needs version {VERSION}: "
            "run one version of leadsquared_async, or give SharedLimiter another prefix"
        )
        self._retry_at = self._clock() + LAST_RETRY
        self.queue.fail(lambda: ConfigurationError(fault))

    # Degraded mode ----------------------------------------------------------------------------------------

    def _degrade(self, why: str) -> None:
        """Grant from this process's share, until the store answers again."""
        now = self._clock()
        self._retry_at = now + self._retry_after * random.uniform(0.75, 1.25)
        longest = min(LAST_RETRY, max(FIRST_RETRY, RETRY_WINDOWS * self._shared.per))
        self._retry_after = min(longest, self._retry_after * 2)
        if self._share is not None or self._closed:
            return
        self._reported = NO_WAITERS
        self._granted = [0] * len(Lane)
        limit = share_of(self._shared, self._processes)
        if self._former_share is not None and self._processes is None:
            self._share = self._former_share  # its calls count still
            self._share.declare(limit, now)
        else:
            free = limit.calls if self._processes is None else self._free // self._processes
            self._share = LocalGrantor(limit, self.kind)
            spend_of_share(self._share, now, held=self._out, free=free, phase=random.uniform(0.5, 1.5))
        self._share.pause(self._paused_until)
        reason = f"{why}: this process uses its share, {limit}, and retries"
        self.queue.events.emit(StoreLost(store=STORE, reason=reason))
        self.queue.grant()


def _is_same(one: RateLimit, other: RateLimit) -> bool:
    """Whether they are equal, apart from rounding in the store's messages."""
    return (
        one.calls == other.calls and abs(one.per - other.per) < 1e-5 and abs(one.margin - other.margin) < 1e-5
    )

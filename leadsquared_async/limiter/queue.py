"""The queue for tokens: lanes, deadlines, and one timer for all waiters of an event loop.

A queue's grantor decides when a token is granted and to which lane. It grants the tokens of this process
(`local_grantor.py`), or those that processes share in a store (`redis_grantor.py`).

One queue serves all event loops and threads of a process. Its state changes under one lock; futures and
timers are used in their own loop only.

`aiolimiter.AsyncLimiter(25, 5)` is no substitute: it lets 25 calls through and then five a second, 49 in the
first five seconds. It also works in one event loop only, and could not pace the polls of all loops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

from leadsquared_async.clock import Wait, clock, running_loop
from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.event_loops import LoopClosed, LoopUse, LoopUses, real_later
from leadsquared_async.limiter.grantor import Grantor
from leadsquared_async.limiter.interface import LimitSnapshot, NoTokenInTime
from leadsquared_async.limiter.lanes import Lane, Lanes
from leadsquared_async.limiter.lock import LOCK
from leadsquared_async.limiter.tokens import NEVER, spacing_of
from leadsquared_async.logs import ClientEvents

__all__ = ["TokenQueue"]

CHECK_LOOPS_AFTER = 1.0
"""Seconds between checks whether another loop has ended with calls in flight."""
THROTTLED_AGAIN_AFTER = 60.0
"""Seconds without a 429 after which the next one is an event again."""


class TokenQueue:
    """The callers of one account and class of endpoint. An event loop joins it before it acquires.

    Args:
        grantor: decides when a token is granted.
        time_now: `clock.now`, the same in all loops that use it; by default the running loop's, and then no
            test skips a wait.

    Attributes:
        declared: the limit it was created with.
        users: open clients that share it.
    """

    def __init__(self, grantor: Grantor, *, time_now: Callable[[], float] | None = None) -> None:
        self.declared = grantor.limit
        self.users = 0
        self._nobody = ClientEvents(None)
        self._grantor = grantor
        self._clock = clock.of(asyncio.get_running_loop()) if time_now is None else time_now
        self._loops = LoopUses(self._dispatch_here, real_later if time_now is None else clock.call_later)
        self._lanes = Lanes[_Waiter]()
        self._arrivals = 0
        self._granted = 0
        self._answers_of_429 = 0
        self._last_429 = -NEVER
        self._limit_told: RateLimit | None = None  # set once it has changed

    @property
    def limit(self) -> RateLimit:
        """The limit in force."""
        return self._grantor.limit

    def join(self, limit: RateLimit) -> None:
        """Add a client of the running loop that declares this limit; the smallest limit applies."""
        with self._changing():
            self._use_here().declared.append(limit)
            if not self.users:
                self._limit_told = None
            self.users += 1
            try:
                self._declare_smallest()
            except BaseException:
                self.leave(limit)
                raise

    def leave(self, limit: RateLimit) -> None:
        """Remove a client of the running loop and the limit that it declared."""
        with self._changing():
            self._use_here().declared.remove(limit)
            self.users -= 1
            self._declare_smallest()

    def attach(self, events: ClientEvents) -> None:
        """Add the events of a client of the running loop that has joined."""
        self._use_here().events.append(events)

    def detach(self, events: ClientEvents) -> None:
        """Remove the events of a client of the running loop that is about to leave."""
        self._use_here().events.remove(events)

    @property
    def events(self) -> ClientEvents:
        """Those of the first open client: an event about the limit goes to one client of the account."""
        return self._loops.events() or self._nobody

    def tell_limit(self, before: RateLimit) -> None:
        """Tell of a change of the limit, without the lock, because log handlers may run any code."""
        limit = self.limit
        if limit == before:
            return
        from leadsquared_async.limiter.limit_events import changed  # noqa: PLC0415 - slow to import

        self._limit_told = limit
        self.events.emit(changed(self._grantor, before, limit))

    async def acquire(self, lane: Lane, deadline: float | None = None, client: object = None) -> None:
        """Wait for a token and take it; each return is followed by one `release` or `release_unused`.

        Args:
            lane: the call's priority.
            deadline: the time by `clock.now` until which a token is needed; None waits without a limit.
            client: whose call it is, for `fail`.

        Raises:
            NoTokenInTime: the deadline passed, or is before the earliest possible token.
            ConfigurationError: the state in the store was written by an incompatible version.
        """
        waiter = self._enter(lane, deadline, client)
        if waiter is None:
            return
        try:
            await waiter.future
        except BaseException:  # includes GeneratorExit, when the coroutine is closed
            self._withdraw(waiter)
            raise
        finally:
            if waiter.expiry is not None:
                waiter.expiry.cancel()

    def release(self, *, counted: bool = True) -> None:
        """End the call that took a token.

        Args:
            counted: False if it got no answer, so the server may count it later.
        """
        former = None
        with LOCK:  # not self._changing(), as in `_enter`
            try:
                now = self._clock()
                use = self._loops.only or self._loops.here()
                if use is not None and use.end_call():
                    self._grantor.release(now, counted=counted)
                if self._lanes:
                    self._dispatch(now)
                if self._limit_told is not None and self._limit_told != self.limit:
                    former, self._limit_told = self._limit_told, self.limit  # a lower limit has expired
            except BaseException:
                self._loops.dispatch_soon()
                raise
        if former is not None:
            self.tell_limit(former)

    def release_unused(self) -> None:
        """Return the token of a call that was never sent."""
        with self._changing():
            self._return_unused(self._loops.only or self._loops.here())
            self._dispatch(self._clock())

    def on_rate_limited(self, pause: float | None = None, named: tuple[int, float] | None = None) -> None:
        """The server answered 429; `release` must still follow.

        Args:
            pause: the pause in seconds that the server requested.
            named: the account's limit (calls, seconds), if the answer states it.
        """
        grantor = self._grantor
        with self._changing():
            now = self._clock()
            is_first = now - self._last_429 > THROTTLED_AGAIN_AFTER
            self._last_429 = now
            self._answers_of_429 += 1
            before, doubted = grantor.limit, grantor.doubted
            grantor.on_rate_limited(pause, named, now)
            now_doubted = grantor.doubted
        from leadsquared_async.limiter import limit_events  # noqa: PLC0415 - slow to import

        if is_first:
            self.events.emit(limit_events.throttled(grantor.kind, before, pause))
        self.tell_limit(before)
        if now_doubted is not None and now_doubted != doubted:
            self.events.emit(limit_events.doubted(grantor.kind, before, now_doubted))

    def assume_spent(self, ended: float, calls: int | None = None) -> None:
        """Count calls made outside this queue, as if they had ended without an answer.

        Args:
            ended: the latest time at which they may have ended, by `clock.now`.
            calls: how many; None for as many as the limit allows.
        """
        with self._changing():
            now = self._clock()
            ago = max(0.0, clock.now() - ended)
            self._grantor.assume_spent(now, now - ago, calls)
            self._dispatch(now)

    def fail(self, error: Callable[[], Exception], client: object = None) -> None:
        """Raise an error in the waiters of a client; by default in all."""
        with self._changing():
            for waiter in [it for it in self._lanes if client is None or it.client is client]:
                self._leave(waiter)
                if not waiter.future.done():
                    waiter.future.set_exception(error())
            self._dispatch(self._clock())

    def snapshot(self) -> LimitSnapshot:
        """The state at this moment."""
        with self._changing():
            state = self._grantor.snapshot(self._clock())
            return replace(
                state,
                declared=self.declared,
                ceiling=None if state.limit == self.declared else state.ceiling,
                waiting=dict(zip(Lane, self._lanes.counts, strict=True)),
                granted=self._granted,
                rate_limited=self._answers_of_429,
            )

    # For local_limits -------------------------------------------------------------------------------

    def forget_ended_loops(self) -> None:
        """Count the calls of stopped loops as ended now without an answer."""
        with self._changing():
            for use in self._loops:
                if use.loop.is_closed():
                    self._forget(use)
                elif use.out and not use.loop.is_running():
                    self._end_unanswered(use)  # it may run again; until then its waiters are skipped

    def forget_loops(self) -> None:
        """Forget the parent's loops in the child of a fork; the calls they sent still count."""
        self._lanes.clear()
        for use in self._loops.clear():
            self._end_unanswered(use)
        self.users = 0

    # For a grantor with its own tasks ----------------------------------------------------------------------

    @property
    def waiting(self) -> tuple[int, int, int]:
        """The number of waiters in each lane."""
        return self._lanes.counts

    def grant(self) -> None:
        """Grant available tokens."""
        with self._changing():
            self._dispatch(self._clock())

    def stop(self) -> None:
        """Cancel all timers."""
        self._loops.stop()

    @contextmanager
    def _changing(self) -> Generator[None]:
        """Hold the lock for one change of the state; if it fails, waiters still get a timer."""
        with LOCK:
            try:
                yield
            except BaseException:
                self._loops.dispatch_soon()
                raise

    # Event loops ------------------------------------------------------------------------------------------

    def _use_here(self) -> LoopUse:
        use = self._loops.here()
        if use is None:
            self.forget_ended_loops()
            use = self._loops.add()
        return use

    def _forget(self, use: LoopUse) -> None:
        self._loops.remove(use)
        for waiter in [it for it in self._lanes if it.use is use]:
            self._lanes.remove(waiter)
        self._end_unanswered(use)
        if use.declared:
            self.users -= len(use.declared)
            self._declare_smallest()

    def _end_unanswered(self, use: LoopUse) -> None:
        now = self._clock()
        for _ in range(use.out):
            self._grantor.release(now, counted=False)
        use.lost += use.out
        use.out = 0

    def _declare_smallest(self) -> None:
        """Apply the smallest limit of the open clients; without any, keep the previous one."""
        smallest = self._loops.smallest_limit()
        if smallest is None:
            return
        before = self._grantor.limit
        try:
            self._grantor.declare(smallest, self._clock())
        finally:
            if self._grantor.limit != before:
                self._loops.dispatch_soon()

    # Waiters ----------------------------------------------------------------------------------------------

    def _enter(self, lane: Lane, deadline: float | None, client: object) -> _Waiter | None:
        """Take a token at once and return None, or join the queue."""
        with LOCK:  # not self._changing(), which costs more than the rest if the queue is empty
            try:
                now = self._clock()
                use = self._loops.only or self._use_here()
                if not self._lanes and self._grantor.take_at_once(lane, now):
                    use.out += 1
                    self._granted += 1
                    return None
                return self._wait(use, lane, deadline, client, now)
            except NoTokenInTime:
                raise
            except BaseException:
                self._loops.dispatch_soon()
                raise

    def _wait(self, use: LoopUse, lane: Lane, deadline: float | None, client: object, now: float) -> _Waiter:
        """Join the queue; if this fails, no waiter stays in it and no token is taken."""
        ahead = self._lanes.counts[lane]
        if deadline is not None:
            self._grantor.settle(now)
            if self._grantor.earliest_of(lane, now, ahead) - now > deadline - clock.now():
                raise NoTokenInTime(ahead, spacing_of(lane, self._grantor.limit))
        self._arrivals += 1
        waiter = _Waiter(self._arrivals, lane, use, client)
        self._lanes.add(waiter)
        use.waiting += 1
        try:
            if deadline is not None:
                left, expire = deadline - clock.now(), partial(self._expire, waiter, ahead)
                waiter.expiry = use.call_later(left, expire, use.context)
            if not ahead or self._loops.only is None:
                self._dispatch(now)  # behind others of its lane, it changes nothing
        except BaseException:
            if waiter.expiry is not None:
                waiter.expiry.cancel()
            self._remove(waiter)
            raise
        return waiter

    def _leave(self, waiter: _Waiter) -> bool:
        if not self._lanes.remove(waiter):
            return False
        waiter.use.waiting -= 1
        return True

    def _remove(self, waiter: _Waiter) -> bool:
        """Remove a waiter or return its granted token; return whether it did either."""
        if waiter.granted:
            waiter.granted = False
            self._return_unused(waiter.use)
            return True
        return self._leave(waiter)

    def _withdraw(self, waiter: _Waiter) -> None:
        with self._changing():
            if self._remove(waiter):
                self._dispatch(self._clock())

    def _return_unused(self, use: LoopUse | None) -> None:
        if use is not None and use.end_call():
            self._grantor.release_unused()

    def _expire(self, waiter: _Waiter, ahead: int) -> None:
        with self._changing():
            if waiter.granted or waiter.future.done():
                return
            self._leave(waiter)
            waiter.future.set_exception(NoTokenInTime(ahead, spacing_of(waiter.lane, self._grantor.limit)))
            self._dispatch(self._clock())

    # Grants -----------------------------------------------------------------------------------------------

    def _dispatch(self, now: float) -> None:
        """Grant tokens in turn, and set the timer for the next grant."""
        grantor = self._grantor
        grantor.settle(now)
        while (waiter := grantor.next(self._heads(), now)) is not None:
            if not waiter.future.done():  # otherwise it was cancelled in this tick
                self._grant_to(waiter, now)
            self._leave(waiter)
        self._set_timers(now)

    def _heads(self) -> list[_Waiter]:
        """The first waiter of each lane that may get a token."""
        if self._loops.only is not None:
            return self._lanes.heads()
        return self._lanes.heads(lambda waiter: waiter.use.may_be_granted)

    def _grant_to(self, waiter: _Waiter, now: float) -> None:
        use = waiter.use
        self._grantor.take(now, waiter.lane)
        use.out += 1
        self._granted += 1
        waiter.granted = True
        try:
            if use is self._loops.only or use.loop is running_loop():
                waiter.wake()
                return
            use.call_soon(partial(self._wake_here, waiter))
            use.has_pending_grant = True
        except BaseException as error:
            waiter.granted = False
            self._return_unused(use)
            if not isinstance(error, LoopClosed):
                raise

    def _wake_here(self, waiter: _Waiter) -> None:
        """Wake a waiter in its loop; the next waiter of that loop may then get a token."""
        with self._changing():
            waiter.use.has_pending_grant = False
            waiter.wake()
            if self._lanes:
                self._dispatch(self._clock())

    def _set_timers(self, now: float) -> None:
        """Set the timer of each loop with waiters; other loops are asked to set their own."""
        when = self._grantor.next_grant(self._lanes.counts, now)
        only = self._loops.only
        if only is not None:
            only.timer.set(when if only.waiting else NEVER, now)
            return
        if self._lanes:
            # A stopped loop returns no tokens.
            when = min(when, now + CHECK_LOOPS_AFTER)
        here = running_loop()
        for use in self._loops:
            at = when if use.waiting else NEVER
            if use.loop is here:
                use.timer.set(at, now)
            elif at < min(use.timer.at, use.asked_at):
                with suppress(LoopClosed):
                    use.dispatch_soon()
                    use.asked_at = at

    def _dispatch_here(self, use: LoopUse) -> None:
        """Grant available tokens, in that loop."""
        with self._changing():
            use.asked_at = NEVER
            if self._loops.only is None:
                self.forget_ended_loops()
            self._dispatch(self._clock())


class _Waiter:
    __slots__ = ("client", "expiry", "future", "granted", "lane", "number", "use")

    def __init__(self, number: int, lane: Lane, use: LoopUse, client: object) -> None:
        self.number = number
        self.lane = lane
        self.use = use
        self.client = client
        self.future: asyncio.Future[None] = use.loop.create_future()
        self.expiry: Wait | None = None
        self.granted = False

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

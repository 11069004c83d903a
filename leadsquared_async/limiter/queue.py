"""Who gets the next token: lanes, deadlines, one timer for all who wait in an event loop.

`aiolimiter.AsyncLimiter(25, 5)` would let 25 calls through and go on at five a second: 49 in the first five
seconds. The arithmetic that avoids it is in `tokens.py`; this is the queue before it.

One bucket serves all event loops of a process, in whichever threads. Its state is pure and changes under one
lock; a future and a timer are touched in their own loop only.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from functools import partial, reduce
from types import TracebackType

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.limiter import LimitSnapshot, NoTokenInTime
from leadsquared_async.limiter.tokens import NEVER, Tokens
from leadsquared_async.logs import ClientLog

__all__ = ["LOCK", "Alarm", "Bucket", "Change"]

OVERTAKES = 7
"""Grants in a row of forms past an older waiter, or of batches past a poll; the next is that one's."""
POLLS_APART = 2
"""Spacings between two polls, at least: they take half of the rate at most, without a burst."""
LOOK_AFTER = 1.0
"""Seconds after which a loop whose callers wait looks whether other loops have ended with calls in flight."""
LOCK = threading.RLock()
"""Held while the state of any bucket changes; reentrant, since a signal handler may ask for a snapshot."""


@dataclass(frozen=True, slots=True)
class Change:
    """Of the limit that is kept to."""

    before: RateLimit
    after: RateLimit
    why: str | None

    def write_to(self, log: ClientLog) -> None:
        """Not while the bucket's lock is held: a log handler is other people's code."""
        if self.before.within(self.after) != self.before:
            log.warning("rate limit lowered from %s to %s: %s", self.before, self.after, self.why)
        else:
            log.info("rate limit back from %s to %s", self.before, self.after)


class Alarm:
    """One timer of a loop. It keeps for itself when it rings: not every loop's handle knows its time.

    Args:
        loop: whose timer.
        ring: what to call.

    Attributes:
        at: the moment for which it is set, on the clock of whoever sets it; `NEVER` while it is not.
    """

    __slots__ = ("_handle", "_loop", "_ring", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.Handle | None = None
        self.at = NEVER

    def set(self, at: float, now: float) -> None:
        """Ring at that moment only; if the loop refuses, an earlier setting stays."""
        if at == self.at:
            return
        handle = None
        if at < NEVER:
            # An empty context, so that no waiter's context is kept alive by the timer of all.
            handle = self._loop.call_later(max(0.0, at - now), self._rung, context=Context())
        self.cancel()
        self._handle, self.at = handle, at

    def cancel(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self.at = None, NEVER

    def _rung(self) -> None:
        self._handle, self.at = None, NEVER
        self._ring()


class _Home:
    """What one event loop has of a bucket.

    Attributes:
        declared: the limits of its open clients.
        waiting: its callers that wait.
        out: its calls in flight.
        lost: calls that were taken for ended while the loop did not run; their tokens are given back.
        alarm: when its waiters are looked after.
        asked_at: the moment for which another loop has asked it to set its alarm.
        is_handed: whether another loop has granted a token that this one has not noticed yet.
    """

    __slots__ = ("alarm", "asked_at", "declared", "is_handed", "loop", "lost", "out", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, look_after: Callable[[_Home], None]) -> None:
        self.loop = loop
        self.declared: list[RateLimit] = []
        self.waiting = 0
        self.out = 0
        self.lost = 0
        self.alarm = Alarm(loop, partial(look_after, self))
        self.asked_at = NEVER
        self.is_handed = False

    @property
    def is_served(self) -> bool:
        """Whether it may have a token. Code that blocks a loop is not to gather the tokens of the others."""
        return self.loop.is_running() and not self.is_handed


class _Waiter:
    __slots__ = ("expiry", "future", "granted", "home", "lane", "number")

    def __init__(self, number: int, lane: Lane, home: _Home) -> None:
        self.number = number
        self.lane = lane
        self.home = home
        self.future: asyncio.Future[None] = home.loop.create_future()
        self.expiry: asyncio.Handle | None = None
        self.granted = False

    def go(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


def _number(waiter: _Waiter) -> int:
    return waiter.number


class Bucket:
    """A token bucket for one account and class of endpoint.

    Args:
        declared: the limit to keep to until a client joins.
        option: the client's option that declares it, for a message.
        tokens: the state to begin with; by default all tokens are free.
        clock: seconds that go by alike in all loops that use it; by default the running loop's time.

    Attributes:
        declared: the limit that it was made with.
        users: open clients that share it.
        log: of the first of them.
    """

    def __init__(
        self,
        declared: RateLimit,
        *,
        option: str = "rate_limit",
        tokens: Tokens | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.declared = declared
        self.users = 0
        self._step = _Step(self)
        self._option = option
        self.log = ClientLog(None)
        self._tokens = Tokens(declared) if tokens is None else tokens
        self._clock = asyncio.get_running_loop().time if clock is None else clock
        self._homes: dict[asyncio.AbstractEventLoop, _Home] = {}
        self._only: _Home | None = None  # the one of them: to ask which loop runs is slow in Python 3.11
        # Ordered dicts, since a waiter may leave from the middle, and a plain dict pops its first in O(n).
        self._lanes: tuple[OrderedDict[int, _Waiter], ...] = tuple(OrderedDict() for _ in Lane)
        self._passed = [0] * len(Lane)
        self._is_polls_turn = False
        self._last_poll = -NEVER
        self._arrivals = 0
        self._granted = 0
        self._refused = 0

    def join(self, limit: RateLimit) -> Change | None:
        """A client of the running loop uses it from now on, and declares this limit; the smallest is kept."""
        with self._step:
            self._home().declared.append(limit)
            self.users += 1
            try:
                change = self._follow_clients()
            except BaseException:
                self.leave(limit)
                raise
            return change if self.users > 1 else None  # the only one gets what it declares

    def leave(self, limit: RateLimit) -> Change | None:
        """A client of the running loop uses it no more; what it declared is forgotten."""
        with self._step:
            self._home().declared.remove(limit)
            self.users -= 1
            return self._follow_clients()

    async def acquire(self, lane: Lane, deadline: float | None = None) -> None:
        """Wait for a token and take it; every `acquire` that returns is followed by one `give` or `untake`.

        Args:
            lane: who goes first.
            deadline: the loop's time after which a token is of no use; None waits as long as it takes.

        Raises:
            NoTokenInTime: even the best case is later than the deadline, or it passed while waiting.
        """
        with LOCK:  # not self._step, which costs more than all the rest where nobody waits
            try:
                now = self._clock()
                self._tokens.settle(now)
                home = self._homes.get(asyncio.get_running_loop()) or self._home()
                if not any(self._lanes) and self._may_take(lane, now):
                    self._take(home, lane, now)
                    return
                waiter = self._wait(home, lane, deadline, now)
            except NoTokenInTime:
                raise
            except BaseException:
                self.look_soon()
                raise
        try:
            await waiter.future
        except BaseException:  # a coroutine that is closed leaves as well
            self._withdraw(waiter)
            raise
        finally:
            if waiter.expiry is not None:
                waiter.expiry.cancel()

    def give(self, *, counted: bool = True) -> None:
        """The call that took a token has ended.

        Args:
            counted: False if it got no answer, so that the server may count it later than now.
        """
        with LOCK:  # as above
            now = self._clock()
            try:
                try:
                    self._tokens.settle(now)
                finally:
                    if self._end_call(self._only or self._here()):
                        self._tokens.give(now, counted=counted)
                if any(self._lanes):
                    self._dispatch(now)
            except BaseException:
                self.look_soon()
                raise

    def untake(self) -> None:
        """The call that took a token was never sent."""
        with self._step:
            self._put_back(self._here())
            self._dispatch(self._clock())

    def refuse(self, pause: float | None = None, told: tuple[int, float] | None = None) -> None:
        """The server refused a call for the rate all the same; `give` still has to follow.

        Args:
            pause: the seconds it asked for.
            told: the account's limit (calls, seconds), where the answer names it.
        """
        with self._step:
            now = self._clock()
            self._tokens.settle(now)
            self._refused += 1
            tokens = self._tokens
            before, doubted = tokens.limit, tokens.doubted
            limit = None if told is None else RateLimit(told[0], told[1], before.margin)
            is_lowered = tokens.refuse(now, pause, limit)
            is_doubted = tokens.doubted not in (None, doubted)
            after, declared, patience = tokens.limit, tokens.declared, tokens.patience
        if limit is None:
            return
        if is_lowered:
            self.log.warning(
                "rate limit lowered from %s to %s: LeadSquared says that the account's limit is %s; %s is "
                "tried again after %g s without a 429; if the lower limit is right, configure it with %s",
                before,
                after,
                limit,
                declared,
                patience,
                self._configured(limit),
            )
        elif is_doubted:
            self._warn_of_doubt(limit, declared)

    def _warn_of_doubt(self, limit: RateLimit, declared: RateLimit) -> None:
        self.log.warning(
            "LeadSquared says that the account's limit is %s, which is far below %s: it is applied if a "
            "second answer says the same; if it is right, configure it with %s",
            limit,
            declared,
            self._configured(limit),
        )

    def _configured(self, limit: RateLimit) -> str:
        option = f"{self._option}=RateLimit({limit.calls}, per={limit.per:g})"
        return f"{option} or LEADSQUARED_RATE_LIMIT={limit}" if self._option == "rate_limit" else option

    def recall(self, calls: int | None, ended: float) -> None:
        """Count calls of an earlier process too, as ended without an answer.

        Args:
            calls: how many; None for as many as the limit allows.
            ended: the running loop's time at which they had ended, at the latest.
        """
        with self._step:
            now = self._clock()
            self._tokens.settle(now)
            self._tokens.recall(calls, now, min(now, self._on_our_clock(ended, now)))
            self._arm(now)

    def is_as_new(self) -> bool:
        """Whether nobody uses it, nothing was learnt and all tokens are back: to forget it loses nothing."""
        with self._step:
            self._forget_ended_loops()
            tokens = self._tokens
            return not self.users and tokens.learnt is None and tokens.is_full(self._clock())

    def forget_loops(self) -> None:
        """In the child of a fork: the loops are the parent's; what they had sent still counts."""
        homes = list(self._homes.values())
        self._homes.clear()
        self._only = None
        for lane in self._lanes:
            lane.clear()
        for home in homes:
            self._lose(home)
        self.users = 0

    def snapshot(self) -> LimitSnapshot:
        """The state at this moment."""
        with self._step:
            now = self._clock()
            tokens = self._tokens
            tokens.settle(now)
            due = tokens.next_due
            return LimitSnapshot(
                limit=tokens.limit,
                declared=self.declared,
                ceiling=None if tokens.limit == self.declared else self._why_lower(),
                free=tokens.free,
                in_flight=tokens.out,
                withdrawn=tokens.withdrawn,
                waiting={lane: len(self._lanes[lane]) for lane in Lane},
                next_due=None if due == NEVER else max(0.0, due - now),
                paused=max(0.0, tokens.paused_until - now),
                granted=self._granted,
                refused=self._refused,
            )

    # What the limit is ------------------------------------------------------------------------------------

    def _follow_clients(self) -> Change | None:
        """Keep to the smallest limit of the open clients; while none is open, to the one before."""
        # Sorted as in the script of a shared limit, so that the order in which clients came changes nothing.
        declared = sorted(
            (limit for home in self._homes.values() for limit in home.declared),
            key=lambda limit: (-limit.per, limit.calls, limit.margin),
        )
        return self._declare(reduce(RateLimit.within, declared)) if declared else None

    def _declare(self, limit: RateLimit) -> Change | None:
        """Keep to this, the smallest limit of the open clients, and to what LeadSquared said."""
        return self._keep_to(limit)

    def _keep_to(self, limit: RateLimit) -> Change | None:
        now = self._clock()
        tokens = self._tokens
        try:
            tokens.settle(now)
        finally:
            before = tokens.limit
            is_changed = tokens.keep_to(now, limit)
            if is_changed:
                self.look_soon()
        return Change(before, tokens.limit, self._why_lower()) if is_changed else None

    def _why_lower(self) -> str | None:
        tokens = self._tokens
        if tokens.learnt is not None:
            return f"LeadSquared says that the account's limit is {tokens.learnt}"
        return f"another client of this account declared {tokens.declared}"

    # Which loops use it -----------------------------------------------------------------------------------

    def _here(self) -> _Home | None:
        """What the running loop has of it; None without one, as where a coroutine is thrown away."""
        loop = _running_loop()
        return None if loop is None else self._homes.get(loop)

    def _home(self) -> _Home:
        loop = asyncio.get_running_loop()
        home = self._homes.get(loop)
        if home is None:
            self._forget_ended_loops()
            home = self._homes[loop] = _Home(loop, self._look_after)
            self._only = home if len(self._homes) == 1 else None
        return home

    def _forget_ended_loops(self) -> None:
        """Count the calls of loops that do not run any more as ended now without an answer."""
        for home in list(self._homes.values()):
            if home.loop.is_closed():
                self._forget(home)
            elif home.out and not home.loop.is_running():
                self._lose(home)  # it may be run again: its waiters stay, and are passed over until then

    def _forget(self, home: _Home) -> None:
        del self._homes[home.loop]
        self._only = next(iter(self._homes.values())) if len(self._homes) == 1 else None
        for lane in self._lanes:
            for number in [number for number, waiter in lane.items() if waiter.home is home]:
                del lane[number]
        self._lose(home)
        if home.declared:
            self.users -= len(home.declared)
            self._follow_clients()

    def _lose(self, home: _Home) -> None:
        now = self._clock()
        self._tokens.settle(now)
        for _ in range(home.out):
            self._tokens.give(now, counted=False)
        home.lost += home.out
        home.out = 0

    @staticmethod
    def _end_call(home: _Home | None) -> bool:
        """Whether the token of a call that ended there is still to come back."""
        if home is None:
            return False  # its loop was closed: all its calls were counted as ended then
        if home.lost:
            home.lost -= 1
            return False
        if not home.out:
            return False
        home.out -= 1
        return True

    def _on_our_clock(self, moment: float, now: float) -> float:
        """A moment of the running loop's time."""
        return moment - asyncio.get_running_loop().time() + now

    # The queue --------------------------------------------------------------------------------------------

    def _wait(self, home: _Home, lane: Lane, deadline: float | None, now: float) -> _Waiter:
        """Stand in line: whatever fails here leaves nobody in it, and no token taken."""
        ahead = len(self._lanes[lane])
        if deadline is not None and self._earliest(lane, ahead, now) > self._on_our_clock(deadline, now):
            raise NoTokenInTime(ahead, self._spacing(lane))
        self._arrivals += 1
        waiter = _Waiter(self._arrivals, lane, home)
        self._lanes[lane][waiter.number] = waiter
        home.waiting += 1
        try:
            if deadline is not None:
                waiter.expiry = home.loop.call_at(deadline, self._expire, waiter, ahead, context=Context())
            self._dispatch(now)
        except BaseException:
            if waiter.expiry is not None:
                waiter.expiry.cancel()
            self._stand_down(waiter)
            raise
        return waiter

    def _stand_down(self, waiter: _Waiter) -> bool:
        """It waits no more, and gives back what it was granted; returns whether it did either."""
        if waiter.granted:
            waiter.granted = False
            self._put_back(waiter.home)
            return True
        return self._leave(waiter)

    def _withdraw(self, waiter: _Waiter) -> None:
        with self._step:
            if self._stand_down(waiter):
                self._dispatch(self._clock())

    def _take(self, home: _Home, lane: Lane, now: float) -> None:
        self._tokens.take(now)
        home.out += 1
        self._granted += 1
        if lane is Lane.STATUS:
            self._last_poll = now

    def _put_back(self, home: _Home | None) -> None:
        if self._end_call(home):
            self._tokens.untake()

    def _spacing(self, lane: Lane) -> float:
        spacing = self._tokens.limit.spacing
        return POLLS_APART * spacing if lane is Lane.STATUS else spacing

    def _next_poll(self) -> float:
        return self._last_poll + self._spacing(Lane.STATUS)

    def _earliest(self, lane: Lane, ahead: int, now: float) -> float:
        earliest = self._tokens.earliest(now, ahead)
        if lane is not Lane.STATUS:
            return earliest
        return max(earliest, max(now, self._next_poll()) + ahead * self._spacing(lane))

    def _may_take(self, lane: Lane, now: float) -> bool:
        tokens = self._tokens
        if not tokens.free or now < tokens.paused_until:
            return False
        if lane is Lane.INTERACTIVE:
            return True
        return tokens.paced_at(now) <= now and (lane is not Lane.STATUS or self._next_poll() <= now)

    def _dispatch(self, now: float) -> None:
        """Give free tokens to those whose turn it is, and set the timer for the next."""
        while (waiter := self._next(now)) is not None:
            if not waiter.future.done():  # else it was cancelled in this very tick
                self._serve(waiter, now)
            self._leave(waiter)
        self._arm(now)

    def look_soon(self) -> None:
        """Have all who wait looked after in a moment."""
        for home in self._homes.values():
            if home.waiting:
                with suppress(_LoopClosed):
                    _do_in(home.loop, partial(self._look_after, home))

    def _serve(self, waiter: _Waiter, now: float) -> None:
        self._take(waiter.home, waiter.lane, now)
        waiter.granted = True
        try:
            if waiter.home.loop is _running_loop():
                waiter.go()
                return
            _do_in(waiter.home.loop, partial(self._hand_over, waiter))
            waiter.home.is_handed = True
        except BaseException as error:
            waiter.granted = False
            self._put_back(waiter.home)
            if not isinstance(error, _LoopClosed):
                raise

    def _hand_over(self, waiter: _Waiter) -> None:
        """In the loop of a waiter: it goes, and the next of that loop may have a token."""
        with self._step:
            waiter.home.is_handed = False
            waiter.go()
            if any(self._lanes):
                now = self._clock()
                self._tokens.settle(now)
                self._dispatch(now)

    def _next(self, now: float) -> _Waiter | None:
        heads = [waiter for lane in self._lanes if lane and (waiter := _first(lane)) is not None]
        if not heads or not self._may_take(heads[0].lane, now):
            return None
        first = heads[0]
        # Behind a batch that never ends, a poll would be the oldest only once all that is held has gone.
        passed = min(heads, key=_number) if first.lane is Lane.INTERACTIVE else heads[-1]
        is_its_turn = self._passed[first.lane] >= OVERTAKES and self._is_due(passed, now)
        if first is passed or is_its_turn:
            self._passed = [0] * len(Lane)
            if first.lane is Lane.INTERACTIVE and passed.lane is Lane.BATCH:
                # Beside forms without end, batches and polls take turns with what is left.
                self._is_polls_turn = not self._is_polls_turn
                return heads[-1] if self._is_polls_turn and self._is_due(heads[-1], now) else passed
            return passed
        self._passed[first.lane] += 1
        return first

    def _is_due(self, waiter: _Waiter, now: float) -> bool:
        return waiter.lane is not Lane.STATUS or self._next_poll() <= now

    def _leave(self, waiter: _Waiter) -> bool:
        if self._lanes[waiter.lane].pop(waiter.number, None) is None:
            return False
        waiter.home.waiting -= 1
        return True

    def _expire(self, waiter: _Waiter, ahead: int) -> None:
        with self._step:
            if waiter.granted or waiter.future.done():
                return
            self._leave(waiter)
            waiter.future.set_exception(NoTokenInTime(ahead, self._spacing(waiter.lane)))
            self._dispatch(self._clock())

    def _arm(self, now: float) -> None:
        """Set the timer of each loop whose callers wait; another loop sets its own when it is asked to."""
        when = self._next_grant(now)
        here = _running_loop()
        for home in self._homes.values():
            at = when if home.waiting else NEVER
            if home.loop is here:
                home.alarm.set(at, now)
            elif at < min(home.alarm.at, home.asked_at):
                with suppress(_LoopClosed):
                    _do_in(home.loop, partial(self._look_after, home))
                    home.asked_at = at

    def _stop_alarms(self) -> None:
        for home in self._homes.values():
            home.alarm.cancel()

    def _next_grant(self, now: float) -> float:
        if not any(self._lanes):
            return NEVER
        tokens = self._tokens
        when = tokens.next_change()
        if now < tokens.paused_until:
            when = tokens.paused_until
        elif not self._lanes[Lane.INTERACTIVE]:
            when = min(when, tokens.paced_at(now))
            if not self._lanes[Lane.BATCH]:
                when = max(when, self._next_poll())
        # Calls in flight of a loop that ends never end themselves.
        return when if len(self._homes) <= 1 else min(when, now + LOOK_AFTER)

    def _look_after(self, home: _Home) -> None:
        """In that loop: grant what there is to grant."""
        with self._step:
            home.asked_at = NEVER
            now = self._clock()
            self._forget_ended_loops()
            self._tokens.settle(now)
            self._dispatch(now)


class _Step:
    """The lock around one change of a bucket. After one that failed nobody is left to wait for ever."""

    __slots__ = ("_bucket",)

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def __enter__(self) -> None:
        LOCK.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None and kind is not NoTokenInTime:
                self._bucket.look_soon()
        finally:
            LOCK.release()


class _LoopClosed(Exception):
    """Nothing can be done in that loop any more."""


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _do_in(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    """Call it in another loop, in a moment.

    Raises:
        _LoopClosed: that loop was closed.
    """
    try:
        loop.call_soon_threadsafe(what, context=Context())
    except RuntimeError as error:
        raise _LoopClosed from error


def _first(lane: OrderedDict[int, _Waiter]) -> _Waiter | None:
    """The first that may have a token."""
    for waiter in lane.values():
        if waiter.home.is_served:
            return waiter
    return None

"""The arithmetic of the token bucket: which tokens are free, when others return, and what a 429 costs.

Pure: the time is an argument, in seconds of any monotonic clock. There are `limit.calls` tokens; each call
spends one. A token returns `limit.per` seconds after its call ended, because the server counted the call at
some moment between its start and its end. It also returns at least about `limit.spacing` after the previous
token, because a server that weighs two windows (as most proxies do) rejects calls that come in bunches. So at
most `calls` calls arrive in any `per` seconds, whatever the network does.

The limit may change at any time. Returns follow from the limit in force and from when the last calls ended,
so a limit that was lowered for a while leaves no trace.
"""

from __future__ import annotations

import time
from bisect import insort
from collections import deque

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.lanes import Lane

__all__ = ["NEVER", "Tokens", "is_far_below", "spacing_of"]

NEVER = float("inf")
LATENESS = 0.1
"""How late a token may be, in spacings, before it delays later ones. At 0, 40 ms of jitter cost 0.3 % of the
rate; from 0.2 on, a sliding counter starts to answer 429."""
CLEAN_WINDOWS, MOST_CLEAN_WINDOWS = 12, 768
"""Windows without a 429 after which the declared limit is tried again; each failed attempt doubles their
number. The window is the learnt limit's, at most a minute, or the declared one's if that is longer."""
FAR_BELOW = 10
"""A stated limit with a rate this many times below the declared one needs a second answer."""
SPACINGS_BETWEEN_POLLS = 2
"""The minimum between two polls, in spacings: they use at most half of the rate, without a burst."""
REMEMBERED = 5.0
"""The longest, in seconds, that earlier calls count when the window becomes shorter: LeadSquared's window."""
LONG_WINDOW = 60.0
"""Seconds; a stated window longer than this and than the declared one needs a second answer, too."""
# Seconds added to the window: floats round, and by a coarse clock a call may end before it arrived.
_ROUNDING = max(1e-6, time.get_clock_info("monotonic").resolution)


def is_far_below(named: RateLimit, declared: RateLimit) -> bool:
    """Whether a limit stated by the server needs a second answer to confirm it."""
    is_slower = named.calls * FAR_BELOW * declared.per < declared.calls * named.per
    return is_slower or named.per > max(LONG_WINDOW, declared.per)


def spacing_of(lane: Lane, limit: RateLimit) -> float:
    """The shortest time in seconds between two calls of a busy lane."""
    return SPACINGS_BETWEEN_POLLS * limit.spacing if lane is Lane.STATUS else limit.spacing


class Tokens:
    """The state of one bucket.

    Attributes:
        declared: the limit that the clients declare.
        learnt: a lower limit that the server stated, or None; it applies as well.
        doubted: a limit that the server stated once, too far below the declared one to apply yet.
        limit: the limit in force, which follows from `declared` and `learnt`.
        free: tokens available now.
        out: tokens of calls in flight.
        paused_until: no token is spent before this time.
        withdrawn: tokens withdrawn after 429s.
    """

    __slots__ = (
        "_asked_until",
        "_clean_since",
        "_clean_windows",
        "_due",
        "_ends",
        "_last_429",
        "_last_poll",
        "_last_taken",
        "_last_withdrawal",
        "_late",
        "_on_trial_until",
        "_slot",
        "_spacing",
        "_window_since",
        "declared",
        "doubted",
        "free",
        "learnt",
        "limit",
        "out",
        "paused_until",
        "withdrawn",
    )

    def __init__(self, limit: RateLimit) -> None:
        self.declared: RateLimit = limit
        self.learnt: RateLimit | None = None
        self.doubted: RateLimit | None = None
        self.limit: RateLimit = limit
        self._spacing = limit.spacing  # of `limit`; it is computed at every call
        self.free: int = limit.calls
        self.out = 0
        self.paused_until = -NEVER
        self._asked_until = -NEVER
        self.withdrawn = 0
        # When the last calls ended, as many as there are tokens under the largest limit so far, in order.
        self._ends = deque([-NEVER] * limit.calls)
        self._due: deque[float] = deque()
        self._late: deque[float] = deque()
        self._slot = -NEVER
        self._window_since = -NEVER
        self._last_taken = -NEVER
        self._last_poll = -NEVER
        self._last_withdrawal = -NEVER
        self._last_429 = -NEVER
        self._on_trial_until = -NEVER
        self._clean_since = -NEVER
        self._clean_windows = CLEAN_WINDOWS

    @property
    def capacity(self) -> int:
        """The limit's calls less the withdrawn tokens."""
        return self.limit.calls - self.withdrawn

    @property
    def held(self) -> int:
        """All tokens: free, in flight, and due to return."""
        return self.free + self.out + len(self._due) + len(self._late)

    @property
    def next_due(self) -> float:
        """When the next token returns; `NEVER` if none is due."""
        return self._due[0] if self._due else NEVER

    def is_idle(self, now: float) -> bool:
        """Whether all tokens are free and no limit is learnt, so that forgetting the state loses nothing."""
        self.settle(now)
        return self.free == self.limit.calls and now >= self.paused_until and self.learnt is None

    @property
    def tried_again_at(self) -> float:
        """When the declared limit is tried again without another 429; `NEVER` if it is in force.

        It is also `NEVER` while the account is idle, so that calls do not resume with a burst.
        """
        is_idle = not (self.out or self._due or self._late)
        return NEVER if self.learnt is None or is_idle else self._last_429 + self.patience

    @property
    def patience(self) -> float:
        """Seconds without a 429 after which the declared limit is tried again."""
        return self._clean_windows * max(self.declared.per, min(self.limit.per, LONG_WINDOW))

    def settle(self, now: float) -> None:
        """Bring the state up to `now`."""
        late, due = self._late, self._due
        while late and late[0] <= now:
            self._return(late.popleft())
        while self.withdrawn and now >= self._clean_since + self.limit.per:
            self.withdrawn -= 1
            self._clean_since += self.limit.per
            if self.held < self.capacity:
                self._queue(self._clean_since)
        if due and due[0] <= now:
            self._free_those_due(now)
        if self.learnt is not None and now >= self.tried_again_at:
            self._on_trial_until = now + self.patience
            self.learnt = None
            self._apply(now)

    def _free_those_due(self, now: float) -> None:
        while self._due and self._due[0] <= now:
            self._due.popleft()
            self.free += 1

    def may_take(self, lane: Lane, now: float) -> bool:
        """Whether a call of that lane may take a token now: only forms may burst, and polls are paced."""
        if not self.free or now < self.paused_until:
            return False
        if lane is Lane.INTERACTIVE:
            return True
        if lane is Lane.STATUS and now < self.next_poll_at:
            return False
        return self.burst_spared_at(now) <= now

    def take(self, now: float, lane: Lane = Lane.INTERACTIVE) -> None:
        """Spend a free token on a call that starts now."""
        self.free -= 1
        self.out += 1
        self._last_taken = now
        if lane is Lane.STATUS:
            self._last_poll = now

    def release_unused(self) -> None:
        """Return the token of a call that was never sent."""
        self.out -= 1
        self.free += 1
        self._drop_surplus()

    def release(self, now: float, *, counted: bool) -> None:
        """End the call that spent a token.

        Args:
            now: the time.
            counted: False if it got no answer; the server may then count it for another `per` seconds.
        """
        try:
            if self._late:
                self.settle(now)  # the calls whose tokens it returns ended before this one
        finally:
            self.out -= 1
            if counted:
                self._return(now)
            else:
                self._late.append(now + self.limit.per)

    def _return(self, end: float) -> None:
        ends = self._ends
        ends.popleft()
        if ends and ends[-1] > end:
            insort(ends, end)
        else:
            ends.append(end)
        self._queue(end)
        if self.free + self.out + len(self._due) + len(self._late) > self.limit.calls - self.withdrawn:
            self._drop_surplus()

    def _queue(self, end: float) -> None:
        """Schedule the return of the token of a call that ended at `end`."""
        due = end + self.limit.per + _ROUNDING
        # A slightly late token keeps its slot; otherwise it would delay all later tokens.
        slot = self._slot + self._spacing
        if slot < due:
            slot = max(slot, due - LATENESS * self._spacing)
        self._slot = slot
        self._due.append(max(due, slot))

    def _drop_surplus(self) -> None:
        """Drop tokens beyond the capacity, the earliest first, so that the latest calls still count."""
        surplus = max(0, self.held - self.capacity)
        from_free = min(surplus, self.free)
        self.free -= from_free
        if surplus > from_free and self._due:
            # Later tokens move up; otherwise each dropped token would still delay them.
            left = max(0, len(self._due) - (surplus - from_free))
            self._slot = self._due[0] - self.limit.spacing
            self._due.clear()
            for place in range(len(self._ends) - left, len(self._ends)):
                self._queue(self._ends[place])

    @property
    def next_poll_at(self) -> float:
        """When the next poll may be sent."""
        return self._last_poll + spacing_of(Lane.STATUS, self.limit)

    def burst_spared_at(self, now: float) -> float:
        """When a batch call or poll may take a token without spending the burst that forms need.

        The free tokens, spent at one per spacing, must last until the next one is due. If none is due because
        calls are in flight, the wait ends `per` seconds after the last one started.
        """
        if not self.free:
            return self.next_due
        if self._due:
            return self._due[0] - self.free * self.limit.spacing - _ROUNDING
        if self.out or self._late:
            return self._last_taken + self.limit.per
        return now

    def next_change(self) -> float:
        """When tokens or the limit next change without a call."""
        return min(
            self.next_due,
            self._late[0] if self._late else NEVER,
            self._clean_since + self.limit.per if self.withdrawn else NEVER,
            self.tried_again_at,
        )

    def earliest(self, now: float, ahead: int) -> float:
        """The earliest time at which a call with `ahead` others before it could get a token."""
        short = ahead - self.free
        if short < 0:
            start = now
        elif short < len(self._due):
            start = self._due[short]
        else:
            first = max(now + self.limit.per, self._slot + self.limit.spacing)
            start = first + (short - len(self._due)) * self.limit.spacing
        return max(min(start, self.tried_again_at), now, self.paused_until)

    def earliest_of(self, lane: Lane, now: float, ahead: int) -> float:
        """The earliest time at which a call of that lane could start, ignoring other lanes."""
        earliest = self.earliest(now, ahead)
        if lane is not Lane.STATUS:
            return earliest
        return max(earliest, max(now, self.next_poll_at) + ahead * spacing_of(lane, self.limit))

    def count_429(self, now: float, pause: float | None, named: RateLimit | None) -> bool:
        """Count a 429; return whether the limit was lowered.

        No token is spent for `pause` seconds, by default one spacing (at most a minute). A lower limit in
        `named` applies until the declared one is tried again; if it is far below that, a second answer must
        state it first. Otherwise another program uses the account, and one token is withdrawn: at most one
        per spacing, never the last. Each window without a 429 returns one.
        """
        if now >= self._last_429 + self.patience:
            self.doubted = None
        if pause is None:
            self.paused_until = max(self.paused_until, now + min(self.limit.spacing, LONG_WINDOW))
        else:
            self.pause(now + pause)
        self._clean_since = self._last_429 = now
        if named is not None and self._is_believed(named) and self._learn(now, named):
            return True
        if self.capacity > 1 and now >= self._last_withdrawal + self.limit.spacing:
            self.withdrawn += 1
            self._last_withdrawal = now
            self._drop_surplus()
        return False

    def pause(self, until: float) -> None:
        """Spend no token before `until`."""
        self._asked_until = max(self._asked_until, until)
        self.paused_until = max(self.paused_until, until)

    def _is_believed(self, named: RateLimit) -> bool:
        is_repeated = self.doubted is not None and (self.doubted.calls, self.doubted.per) == (
            named.calls,
            named.per,
        )
        if is_repeated or not is_far_below(named, self.declared):
            return True
        self.doubted = named
        return False

    def _learn(self, now: float, named: RateLimit) -> bool:
        if self.limit.within(named) == self.limit:
            return False
        if self.learnt is None:
            # The declared limit was tried again and failed: the next attempt comes later.
            failed = now < self._on_trial_until
            self._clean_windows = (
                min(2 * self._clean_windows, MOST_CLEAN_WINDOWS) if failed else CLEAN_WINDOWS
            )
        self.learnt = named if self.learnt is None else self.learnt.within(named)
        return self._apply(now)

    def set_declared(self, now: float, declared: RateLimit) -> bool:
        """Apply another declared limit, smaller or larger; return whether `limit` changed.

        Earlier calls count from their end for one window of the new limit. If that is shorter than both
        `REMEMBERED` and the former window, no token is spent until calls made under the former one no longer
        count. Added tokens become free one per spacing, not in a burst.
        """
        self.declared = declared
        return self._apply(now)

    def _apply(self, now: float) -> bool:
        limit = self.declared if self.learnt is None else self.declared.within(self.learnt)
        if limit == self.limit:
            return False
        former, longer = self.limit.per, limit.per - self.limit.per
        self.limit = limit
        self._spacing = limit.spacing
        self.paused_until = min(self.paused_until, max(self._asked_until, now + limit.spacing))
        self.withdrawn = min(self.withdrawn, limit.calls - 1)
        if limit.per < min(former, REMEMBERED):
            self._wait_for_longer_window(now, min(former, REMEMBERED))
        if longer:
            self._window_since = now
        self._late = deque(end + longer for end in self._late)
        # Unknown earlier calls ended no later than the oldest known one.
        self._ends.extendleft([self._ends[0]] * (limit.calls - len(self._ends)))
        usable = max(0, self.capacity - self.out - len(self._late))
        free = min(self.free, usable - len(self._due))
        self.free = 0
        self._due.clear()
        self._slot = now - limit.spacing
        for place in range(len(self._ends) - usable, len(self._ends)):
            end = self._ends[place]
            if self.free < free and end + limit.per + _ROUNDING <= now:
                self.free += 1
            else:
                self._queue(end)
        self._free_those_due(now)
        return True

    def _wait_for_longer_window(self, now: float, window: float) -> None:
        """Spend no token until calls made under the longer window no longer count."""
        last = now if self.out else self._ends[-1]
        if self._late:
            last = max(last, min(self._late[-1], now + window))
        if last >= self._window_since:
            self.pause(last + window + _ROUNDING)

    def assume_spent(self, now: float, ended: float, calls: int | None = None) -> None:
        """Spend free tokens on unknown calls (None: all tokens) that ended at `ended` without an answer."""
        self.settle(now)
        for _ in range(self.free if calls is None else min(calls, self.free)):
            self.take(now)
            self.release(ended, counted=False)
        self._late = deque(sorted(self._late))
        self.settle(now)

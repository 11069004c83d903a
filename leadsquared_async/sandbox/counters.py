"""Six algorithms that count calls against a limit.

LeadSquared does not document how it counts, so a client must be safe under each of them.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import floor, inf

_ROUNDING = 1e-9
"""Tolerated rounding error of many additions, so that a call exactly on time is admitted."""


@dataclass(eq=False)
class Counter(ABC):
    """Admits `calls` calls in `per` seconds, and rejects others.

    `phase` shifts the windows by that many seconds. With `count_refused`, a rejected call costs as much as an
    admitted one. Raises ValueError for a limit that admits nothing.
    """

    calls: int
    per: float
    phase: float = 0.0
    count_refused: bool = False
    _now: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.calls < 1 or self.per <= 0:
            message = (
                f"a limit must be at least 1 call in more than 0 seconds, not {self.calls} in {self.per}"
            )
            raise ValueError(message)

    def admit(self, now: float) -> bool:
        """Count a call at `now` (seconds, which must not decrease); return whether it is admitted."""
        self._now = now
        admitted = self._has_room()
        if admitted or self.count_refused:
            self._count()
        return admitted

    @abstractmethod
    def _has_room(self) -> bool: ...

    @abstractmethod
    def _count(self) -> None: ...


@dataclass(eq=False)
class SlidingLog(Counter):
    """At most `calls` in any half-open window of `per` seconds; it stores the time of each counted call."""

    _log: deque[float] = field(default_factory=deque[float], init=False)

    def _has_room(self) -> bool:
        while self._log and self._now - self._log[0] >= self.per:
            self._log.popleft()
        return len(self._log) < self.calls

    def _count(self) -> None:
        self._log.append(self._now)


@dataclass(eq=False)
class FixedWindow(Counter):
    """At most `calls` in each window `[phase + n * per, phase + (n + 1) * per)`."""

    _window: int = field(default=0, init=False)
    _previous: int = field(default=0, init=False)
    _current: int = field(default=0, init=False)
    _share: float = field(default=1.0, init=False)
    """The part of the previous window that a sliding window still covers."""

    def _has_room(self) -> bool:
        position = (self._now - self.phase) / self.per
        window = floor(position)
        if window != self._window:
            self._previous = self._current if window == self._window + 1 else 0
            self._current = 0
            self._window = window
        self._share = 1 - (position - window)
        return self._carried_over() + self._current + 1 <= self.calls

    def _count(self) -> None:
        self._current += 1

    def _carried_over(self) -> float:
        """The number of calls of the previous window that still count."""
        return 0.0


class SlidingCounter(FixedWindow):
    """Two fixed windows, the previous one weighted; the estimate is rounded down, as in most proxies."""

    def _carried_over(self) -> float:
        return floor(self._previous * self._share)


class StrictSlidingCounter(FixedWindow):
    """A sliding counter whose estimate is not rounded."""

    def _carried_over(self) -> float:
        return self._previous * self._share


@dataclass(eq=False)
class TokenBucket(Counter):
    """`calls` tokens, full at first, refilled evenly at `calls / per` a second; a call spends one.

    With `count_refused`, a rejected call spends the remaining fraction of a token.
    """

    _spent: float = field(default=0.0, init=False)
    _refilled_at: float = field(default=0.0, init=False)

    def _has_room(self) -> bool:
        refill = (self._now - self._refilled_at) * self.calls / self.per
        self._spent, self._refilled_at = max(0.0, self._spent - refill), self._now
        return self._spent + 1 <= self.calls + _ROUNDING

    def _count(self) -> None:
        self._spent = min(self.calls, self._spent + 1)


@dataclass(eq=False)
class GCRA(Counter):
    """The generic cell rate algorithm: a call every `per / calls` seconds, with a burst of up to `calls`.

    With `count_refused`, rejected calls delay the schedule by no more than a full burst does.
    """

    _scheduled: float = field(default=-inf, init=False)

    def _has_room(self) -> bool:
        self._scheduled = max(self._scheduled, self._now)
        return self._scheduled - self._now <= self.per - self.per / self.calls + _ROUNDING

    def _count(self) -> None:
        self._scheduled = min(self._scheduled + self.per / self.calls, self._now + self.per)


COUNTERS: Mapping[str, type[Counter]] = {
    "sliding-log": SlidingLog,
    "fixed-window": FixedWindow,
    "sliding-counter": SlidingCounter,
    "sliding-counter-strict": StrictSlidingCounter,
    "token-bucket": TokenBucket,
    "gcra": GCRA,
}
"""The counters, by their names in `Settings.counting`."""

COUNTER_TEXTS: Mapping[str, str] = {
    "sliding-log": "At most the limit in any sliding window",
    "fixed-window": "At most the limit in each window; two bursts may meet at a boundary",
    "sliding-counter": "The current window plus a weighted share of the previous one, rounded down",
    "sliding-counter-strict": "Like sliding-counter, but not rounded",
    "token-bucket": "Each call takes a token; tokens refill evenly",
    "gcra": "Calls at even intervals, with a burst of up to the limit",
}
"""Each counter in a line."""


def most_in_any_window(times: Iterable[float], per: float) -> int:
    """The most of `times` (ascending, in seconds) within any half-open window of `per` seconds."""
    window: deque[float] = deque()
    most = 0
    for time in times:
        window.append(time)
        while time - window[0] >= per:
            window.popleft()
        most = max(most, len(window))
    return most

"""Ways of counting calls against a limit.

Which of them LeadSquared uses is not documented, so a client has to be safe under all. Each counter takes the
time of a call, in seconds that never go back, and says whether the call is admitted; `COUNTERS` holds them by
name.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from math import floor
from typing import Protocol

_ROUNDING = 1e-9
"""Keeps the rounding error of many additions from refusing a call that is exactly on time."""


class Counter(Protocol):
    """Says of each call whether the limit admits it."""

    def admit(self, now: float) -> bool:
        """Count a call at `now` (seconds) and say whether it is admitted."""
        ...


class CounterFactory(Protocol):
    """Makes a counter for `calls` in `per` seconds.

    `phase` moves the edges of windows by that many seconds; with `count_refused` a refused call costs as much
    as an admitted one, so that hammering keeps the door shut.
    """

    def __call__(
        self, calls: int, per: float, phase: float = 0.0, count_refused: bool = False
    ) -> Counter: ...


class _Declared:
    __slots__ = ("calls", "count_refused", "per", "phase")

    def __init__(self, calls: int, per: float, phase: float = 0.0, count_refused: bool = False) -> None:
        if calls < 1 or per <= 0:
            raise ValueError(f"a limit is at least 1 call in more than 0 seconds, not {calls} in {per}")
        self.calls = calls
        self.per = per
        self.phase = phase
        self.count_refused = count_refused


class SlidingLog(_Declared):
    """At most `calls` in any half-open window of `per` seconds: the time of every counted call is kept."""

    __slots__ = ("_log",)

    def __init__(self, calls: int, per: float, phase: float = 0.0, count_refused: bool = False) -> None:
        super().__init__(calls, per, phase, count_refused)
        self._log: deque[float] = deque()

    def admit(self, now: float) -> bool:
        log = self._log
        while log and now - log[0] >= self.per:
            log.popleft()
        admitted = len(log) < self.calls
        if admitted or self.count_refused:
            log.append(now)
        return admitted


class FixedWindow(_Declared):
    """At most `calls` in each window `[phase + n * per, phase + (n + 1) * per)`."""

    __slots__ = ("_count", "_window")

    def __init__(self, calls: int, per: float, phase: float = 0.0, count_refused: bool = False) -> None:
        super().__init__(calls, per, phase, count_refused)
        self._window = 0
        self._count = 0

    def admit(self, now: float) -> bool:
        window = floor((now - self.phase) / self.per)
        if window != self._window:
            self._window = window
            self._count = 0
        admitted = self._count < self.calls
        if admitted or self.count_refused:
            self._count += 1
        return admitted


class SlidingCounter(_Declared):
    """Two fixed windows, the previous one weighted by the share that a sliding window would still cover.

    The estimate is rounded down before it is compared, as most proxies do.
    """

    __slots__ = ("_current", "_previous", "_window")

    def __init__(self, calls: int, per: float, phase: float = 0.0, count_refused: bool = False) -> None:
        super().__init__(calls, per, phase, count_refused)
        self._window = 0
        self._previous = 0
        self._current = 0

    def admit(self, now: float) -> bool:
        position = (now - self.phase) / self.per
        window = floor(position)
        if window != self._window:
            self._previous = self._current if window == self._window + 1 else 0
            self._current = 0
            self._window = window
        admitted = self._has_room(self._previous * (1 - (position - window)) + self._current)
        if admitted or self.count_refused:
            self._current += 1
        return admitted

    def _has_room(self, estimate: float) -> bool:
        return floor(estimate) + 1 <= self.calls


class StrictSlidingCounter(SlidingCounter):
    """A sliding counter whose estimate is not rounded."""

    __slots__ = ()

    def _has_room(self, estimate: float) -> bool:
        return estimate + 1 <= self.calls


class TokenBucket(_Declared):
    """`calls` tokens, one spent by each call, refilled evenly at `calls / per` a second; full at first.

    With `count_refused` a refused call spends the fraction of a token that was there.
    """

    __slots__ = ("_at", "_tokens")

    def __init__(self, calls: int, per: float, phase: float = 0.0, count_refused: bool = False) -> None:
        super().__init__(calls, per, phase, count_refused)
        self._tokens = float(calls)
        self._at: float | None = None

    def admit(self, now: float) -> bool:
        if self._at is not None:
            self._tokens = min(self.calls, self._tokens + (now - self._at) * self.calls / self.per)
        self._at = now
        admitted = self._tokens >= 1 - _ROUNDING
        if admitted or self.count_refused:
            self._tokens = max(0.0, self._tokens - 1)
        return admitted


class GCRA(_Declared):
    """The generic cell rate algorithm: one call each `per / calls` seconds, a burst of `calls` tolerated.

    With `count_refused` a refused call sets the schedule back as far as a full burst does.
    """

    __slots__ = ("_arrival",)

    def __init__(self, calls: int, per: float, phase: float = 0.0, count_refused: bool = False) -> None:
        super().__init__(calls, per, phase, count_refused)
        self._arrival: float | None = None

    def admit(self, now: float) -> bool:
        interval = self.per / self.calls
        arrival = now if self._arrival is None else max(self._arrival, now)
        admitted = arrival - now <= self.per - interval + _ROUNDING
        if admitted or self.count_refused:
            self._arrival = min(arrival + interval, now + self.per)
        return admitted


COUNTERS: Mapping[str, CounterFactory] = {
    "sliding-log": SlidingLog,
    "fixed-window": FixedWindow,
    "sliding-counter": SlidingCounter,
    "sliding-counter-strict": StrictSlidingCounter,
    "token-bucket": TokenBucket,
    "gcra": GCRA,
}
"""The counters by the names that `Sandbox(counting=...)` takes."""


def most_in_any_window(times: Iterable[float], per: float) -> int:
    """The most of `times` (ascending, seconds) that lie in any half-open window of `per` seconds."""
    window: deque[float] = deque()
    most = 0
    for time in times:
        window.append(time)
        while time - window[0] >= per:
            window.popleft()
        most = max(most, len(window))
    return most

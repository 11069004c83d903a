"""When to sweep next: often while LeadSquared finishes requests, rarely while it finishes none. Pure."""

from __future__ import annotations

__all__ = ["SweepPause"]

FIRST_PAUSE = 1.0
GROWTH = 1.6
LONGEST_PAUSE = 15.0
"""Seconds between two sweeps that found nothing: the first, the growth factor, the longest."""
LONGEST_STALL = 60.0
"""The most seconds between two sweeps while the queue is stalled or LeadSquared does not answer."""
SHARE_OF_STALL = 0.1
"""A pause is this share of the time for which nothing was found, between the two bounds above."""
FRUITLESS_SWEEPS = 8
"""Consecutive sweeps without a finished request after which the queue counts as stalled."""


class SweepPause:
    """The pauses between sweeps.

    Attributes:
        pause: seconds until the next sweep.
        fruitless: consecutive sweeps that found nothing finished.
    """

    def __init__(self) -> None:
        self.pause = FIRST_PAUSE
        self.fruitless = 0
        self._quiet = 0.0
        self._rate: float | None = None
        self._last_found: float | None = None

    @property
    def is_stalled(self) -> bool:
        """Whether the queue seems to be stalled."""
        return self.fruitless >= FRUITLESS_SWEEPS

    @property
    def backoff(self) -> float:
        """Seconds before a request that has been polled many times is polled again."""
        return SHARE_OF_STALL * self._quiet

    def restart(self) -> None:
        """Start over: earlier sweeps do not show the speed of the queue."""
        self.pause = FIRST_PAUSE
        self.fruitless = 0
        self._quiet = 0.0
        self._last_found = None

    def expected(self, now: float) -> float:
        """How many requests should have finished since the last sweep that found any."""
        if self._last_found is None:
            self._last_found = now - self.pause
        return (self._rate or 0.0) * (now - self._last_found)

    def found(self, count: int, now: float, worth: int) -> None:
        """A sweep found `count` finished requests; the next comes when `worth` more should be finished."""
        self.fruitless = 0
        self._quiet = 0.0
        if self._last_found is not None and now > self._last_found:
            rate = count / (now - self._last_found)
            self._rate = rate if self._rate is None else 0.7 * self._rate + 0.3 * rate
        self._last_found = now
        pause = FIRST_PAUSE if self._rate is None else worth / self._rate
        self.pause = max(FIRST_PAUSE, min(pause, LONGEST_PAUSE))

    def found_nothing(self, *, beyond_stragglers: bool) -> None:
        """A sweep found nothing finished; `beyond_stragglers`: whether it polled more than stragglers."""
        self.fruitless += beyond_stragglers
        self._quiet += self.pause
        longest = min(LONGEST_STALL, max(LONGEST_PAUSE, self.backoff))
        self.pause = min(self.pause * GROWTH, longest)

    def got_no_answer(self) -> None:
        """LeadSquared did not answer, so the state of the queue is unknown: poll less often."""
        self.fruitless += 1
        self.pause = min(self.pause * GROWTH, LONGEST_STALL)

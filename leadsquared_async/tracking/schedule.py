"""When to sweep next: as often as LeadSquared finishes requests, and seldom while it finishes none. Pure."""

from __future__ import annotations

__all__ = ["Pace"]

FIRST_PAUSE = 1.0
GROWTH = 1.6
LONGEST_PAUSE = 15.0
"""Seconds between two sweeps that found nothing; at first, by which factor more, and at most."""
LONGEST_STALL = 60.0
"""Seconds between two sweeps at most while the queue stands still, or LeadSquared does not answer."""
SHARE_OF_STALL = 0.1
"""Of the time for which nothing was found: so long is a pause then, between the two bounds above."""
PATIENCE = 8
"""Sweeps in a row that find nothing, from which on the queue is taken to stand still."""


class Pace:
    """The pauses between the sweeps of a line.

    Attributes:
        pause: seconds until the next sweep.
        fruitless: sweeps in a row that found nothing.
    """

    def __init__(self) -> None:
        self.pause = FIRST_PAUSE
        self.fruitless = 0
        self._quiet = 0.0
        self._rate: float | None = None
        self._last_found: float | None = None

    @property
    def stands_still(self) -> bool:
        """Whether the queue does not move at all, as far as is known."""
        return self.fruitless >= PATIENCE

    @property
    def backoff(self) -> float:
        """Seconds for which it makes no sense to ask again for what has been asked for many times."""
        return SHARE_OF_STALL * self._quiet

    def restart(self) -> None:
        """Begin anew: the time before tells nothing of how fast the queue is."""
        self.pause = FIRST_PAUSE
        self.fruitless = 0
        self._quiet = 0.0
        self._last_found = None

    def expected(self, now: float) -> float:
        """How many should be finished since the last sweep that found any."""
        if self._last_found is None:
            self._last_found = now - self.pause
        return (self._rate or 0.0) * (now - self._last_found)

    def found(self, count: int, now: float, worth: int) -> None:
        """A sweep found so many finished; the next is to come when `worth` more should be."""
        self.fruitless = 0
        self._quiet = 0.0
        if self._last_found is not None and now > self._last_found:
            rate = count / (now - self._last_found)
            self._rate = rate if self._rate is None else 0.7 * self._rate + 0.3 * rate
        self._last_found = now
        pause = FIRST_PAUSE if self._rate is None else worth / self._rate
        self.pause = max(FIRST_PAUSE, min(pause, LONGEST_PAUSE))

    def nothing(self, *, of_many: bool) -> None:
        """A sweep found nothing finished; `of_many`: though it asked for more than stragglers."""
        self.fruitless += of_many
        self._quiet += self.pause
        longest = min(LONGEST_STALL, max(LONGEST_PAUSE, self.backoff))
        self.pause = min(self.pause * GROWTH, longest)

    def stall(self) -> None:
        """Nobody answered: nothing is concluded but to ask less often."""
        self.fruitless += 1
        self.pause = min(self.pause * GROWTH, LONGEST_STALL)

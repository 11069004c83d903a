"""Whether anything may be sent at present, or else when to try with one. Pure."""

from __future__ import annotations

from leadsquared_async.errors import Fault

__all__ = ["Gate"]

FIRST_PAUSE = {Fault.ACCOUNT: 30.0, Fault.SERVER: 1.0}
"""Seconds to the first probe: somebody has to act before keys work again, LeadSquared may be back at once."""
LONGEST_PAUSE = 900.0
SPREAD = 0.1
WORTH_TELLING = 4.0
"""Seconds to the next probe, from which on it is no mere hiccup."""


class Gate:
    """Open while leads get through. Closed, one probe at a time may pass, at growing pauses.

    Attributes:
        reason: why it is closed; None while it is open.
        fault: whose fault that is; None while it is open.
        probe_at: when the next probe may go.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.fault: Fault | None = None
        self.probe_at = 0.0
        self._pause = 0.0
        self._opened_at: float | None = None
        self._is_told = False

    @property
    def has_failed(self) -> bool:
        """Whether it is closed since something failed here, not on mere suspicion."""
        return self.reason is not None and self._pause > 0.0

    @property
    def is_slow(self) -> bool:
        """Whether it failed so often that the pauses grow no more."""
        return self.has_failed and self._pause >= LONGEST_PAUSE

    def close(self, reason: str, fault: Fault, now: float, chance: float) -> bool:
        """Something was held up that would hold up everything; returns whether that is to be told.

        Args:
            reason: in words that hold nothing personal.
            fault: whose.
            now: the time in seconds, of any monotonic clock.
            chance: a number from 0 to 1, evenly drawn.
        """
        if now < self.probe_at:
            return False  # one that was under way already when it closed
        if self._opened_at is not None and now - self._opened_at > self._pause:
            self._pause = 0.0  # it went well for a while
        self._opened_at = None
        self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE[fault], 2 * self._pause))
        self.reason, self.fault = reason, fault
        self.probe_at = now + min(LONGEST_PAUSE, self._pause * (1 + SPREAD * chance))
        is_news = not self._is_told and self._pause >= WORTH_TELLING
        self._is_told |= is_news
        return is_news

    def suspect(self, reason: str, fault: Fault, now: float) -> None:
        """Let one probe pass at once, and the others only if that gets through."""
        self.reason, self.fault = reason, fault
        self.probe_at = now
        self._pause = 0.0
        self._opened_at = None

    def try_again(self, now: float) -> None:
        """Let everything pass, since there is nothing to probe with; if that fails, pauses go on growing."""
        self.reason = self.fault = None
        self._opened_at = now

    def open(self) -> bool:
        """Something got through; returns whether that is to be told."""
        is_news, self._is_told = self._is_told, False
        self.reason = self.fault = None
        self.probe_at = self._pause = 0.0
        self._opened_at = None
        return is_news

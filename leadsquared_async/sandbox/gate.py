"""The limits of an account: calls in seconds, bulk calls in seconds, calls a day."""

from leadsquared_async.sandbox.answers import over_limit
from leadsquared_async.sandbox.limits import COUNTERS, Counter
from leadsquared_async.sandbox.messages import Reply
from leadsquared_async.sandbox.settings import Settings

DAY = 86_400.0
DEFAULT_LIMIT = (25, 5.0)
DEFAULT_BULK_LIMIT = (1, 5.0)
"""What a scripted 429 quotes where there is no limit."""


class Gate:
    """Counts each call, and refuses what is too much."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._counter = self._make(settings.limit)
        self._bulk_counter = self._make(settings.bulk_limit)
        self._day = 0
        self._calls_today = 0

    def admits(self, name: str, now: float) -> bool:
        """Count a call named so against its limit."""
        counter = self._bulk_counter if name == "bulk" else self._counter
        return counter is None or counter.admit(now)

    def has_quota(self, now: float) -> bool:
        """Count a call against the day's quota, whatever it is named."""
        if self._settings.daily_quota is None:
            return True
        day = int(now // DAY)
        if day != self._day:
            self._day = day
            self._calls_today = 0
        self._calls_today += 1
        return self._calls_today <= self._settings.daily_quota

    def over_limit(self, name: str) -> Reply:
        """The refusal of a call named so, with the numbers of its limit."""
        settings = self._settings
        if name == "bulk":
            calls, per = settings.bulk_limit or DEFAULT_BULK_LIMIT
        else:
            calls, per = settings.limit or DEFAULT_LIMIT
        return over_limit(calls, per, settings.refusal, settings.retry_after)

    def _make(self, limit: tuple[int, float] | None) -> Counter | None:
        if limit is None:
            return None
        settings = self._settings
        make = COUNTERS[settings.counting]
        return make(*limit, phase=settings.phase, count_refused=settings.count_refused)

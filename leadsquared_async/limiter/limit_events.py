"""The events of a limit. Imported when the first one is emitted, because `events` is slow to import."""

from __future__ import annotations

from leadsquared_async.config import RateLimit
from leadsquared_async.events import LimitDoubted, LimitLowered, LimitRaised, Throttled
from leadsquared_async.limiter.grantor import Grantor
from leadsquared_async.limiter.interface import Limit

__all__ = ["changed", "doubted", "throttled"]


def changed(grantor: Grantor, before: RateLimit, limit: RateLimit) -> LimitRaised | LimitLowered:
    """The event after a change of the limit in force."""
    what = grantor.kind.value
    if before.within(limit) == before:
        return LimitRaised(what=what, before=before, limit=limit)
    return LimitLowered(what=what, before=before, limit=limit, reason=grantor.ceiling or "")


def throttled(kind: Limit, limit: RateLimit, pause: float | None) -> Throttled:
    """The event after the first 429 for some time, with the limit then in force."""
    return Throttled(what=kind.value, limit=limit, pause=pause)


def doubted(kind: Limit, limit: RateLimit, stated: RateLimit) -> LimitDoubted:
    """The event after a 429 that stated a limit too low to be believed at once."""
    return LimitDoubted(what=kind.value, limit=limit, stated=stated, setting=kind.setting(stated))

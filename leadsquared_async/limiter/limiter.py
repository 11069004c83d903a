"""The limits of an account, their state, and the error of a token that does not come in time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.logs import ClientLog

__all__ = ["Limit", "LimitSnapshot", "NoTokenInTime", "Notice"]


class Limit(Enum):
    """Which of the account's limits a call counts against."""

    CALLS = "calls"
    BULK = "bulk calls"

    @property
    def option(self) -> str:
        """The client's option that declares it."""
        return "rate_limit" if self is Limit.CALLS else "bulk_limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSnapshot:
    """The state of the rate limit at one moment.

    Attributes:
        limit: the limit in force.
        declared: what was configured.
        ceiling: why `limit` is lower than `declared`; None when it is not.
        free: tokens that may be spent at once.
        in_flight: calls under way.
        withdrawn: tokens out of use since the server answered 429; each clean window brings one back.
        waiting: calls that wait for a token, by lane.
        next_due: seconds until the next token comes back; None while none is on its way.
        paused: seconds for which nothing is sent, since the server asked for it.
        granted: tokens given out so far.
        refused: answers of 429 so far.
        processes: with a SharedLimiter, processes that share the limit; None before the store was heard.
        degraded: whether a SharedLimiter's store does not answer, and `limit` is this process's share.
    """

    limit: RateLimit
    declared: RateLimit
    ceiling: str | None
    free: int
    in_flight: int
    withdrawn: int
    waiting: dict[Lane, int]
    next_due: float | None
    paused: float
    granted: int
    refused: int
    processes: int | None = None
    degraded: bool = False


class NoTokenInTime(TimeoutError):
    """No token comes before the deadline.

    Attributes:
        ahead: calls of the same lane before this one.
        spacing: seconds between two of them, at best.
    """

    def __init__(self, ahead: int, spacing: float) -> None:
        super().__init__(ahead, spacing)
        self.ahead = ahead
        self.spacing = spacing

    def __str__(self) -> str:
        return f"{self.ahead} calls of its lane are ahead, at {1 / self.spacing:.3g} a second"


class Notice(NamedTuple):
    """What to log about a limit, once no lock is held: a log handler is other people's code.

    Attributes:
        is_warning: whether it is a warning; else it is information.
        message: with a placeholder for each argument.
        arguments: limits, numbers and texts.
    """

    is_warning: bool
    message: str
    arguments: tuple[object, ...]

    def write_to(self, log: ClientLog) -> None:
        """Log it."""
        (log.warning if self.is_warning else log.info)(self.message, *self.arguments)

"""The limits of an account, their state, and the error of a token that does not come in time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.lanes import Lane

__all__ = ["Limit", "LimitSnapshot", "NoTokenInTime"]


class Limit(Enum):
    """Which of the account's limits a call counts against."""

    CALLS = "calls"
    BULK = "bulk calls"

    @property
    def option(self) -> str:
        """The client's option that declares it."""
        return "rate_limit" if self is Limit.CALLS else "bulk_limit"


@dataclass(frozen=True, slots=True)
class LimitSnapshot:
    """The state of the rate limit at one moment.

    Attributes:
        limit: what is kept to.
        declared: what was configured.
        ceiling: why `limit` is lower than `declared`; None when it is not.
        free: tokens that may be spent at once.
        in_flight: calls under way.
        withdrawn: tokens out of use since the server refused calls; one comes back a clean window.
        waiting: calls that wait for a token, by lane.
        next_due: seconds until the next token comes back; None while none is on its way.
        paused: seconds for which nothing is sent, since the server asked for it.
        granted: tokens given out so far.
        refused: calls that the server refused all the same (429).
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


class NoTokenInTime(Exception):
    """No token comes before the deadline.

    Attributes:
        ahead: calls of the same lane before this one.
        spacing: seconds between two of them, at best.
    """

    def __init__(self, ahead: int, spacing: float) -> None:
        super().__init__(ahead, spacing)
        self.ahead = ahead
        self.spacing = spacing

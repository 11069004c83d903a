"""How a row is sent, and what may be done with it afterwards."""

from __future__ import annotations

from dataclasses import replace

from leadsquared_async.config import RetryPolicy
from leadsquared_async.errors import Delivery, Fault, LeadSquaredError, Scope
from leadsquared_async.http.sender import Sender
from leadsquared_async.operations import Endpoint, Idempotency

__all__ = [
    "ATTEMPTS",
    "FIRST_PAUSE",
    "LONGEST_PAUSE",
    "ROUNDS",
    "HeldError",
    "UnforeseenError",
    "is_of_the_row",
    "may_repeat",
    "patient",
    "pause_after",
    "reason_of",
]

ATTEMPTS = 3
"""Of one call, before the other rows are held too."""
ROUNDS = 3
"""How often a row is tried that fails by what may well be its own fault, without LeadSquared saying so."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 900.0
"""Seconds for which a row that failed waits while others go on."""


class HeldError(Exception):
    """The row is not to be sent now."""


class UnforeseenError(LeadSquaredError):
    """Sending a row raised what no call raises."""

    def __init__(self, error: Exception, operation: str, *, may_have_arrived: bool) -> None:
        super().__init__(
            f"{operation}: sending failed with {type(error).__name__}"
            f"{'. It may have arrived' if may_have_arrived else ''}",
            delivery=Delivery.UNKNOWN if may_have_arrived else Delivery.NOT_SENT,
            fault=Fault.SERVER,
            scope=Scope.LEAD,
            operation=operation,
        )


def patient(sender: Sender, attempts: int) -> Sender:
    """For rows: so many attempts at most, and no deadline, since a row waits as long as it takes."""
    policy = sender.settings.retry
    retry = replace(policy, attempts=min(attempts, policy.attempts))
    settings = replace(sender.settings, deadline=None, lane=None, retry=retry)
    return Sender(sender.session, settings, recorded=True)


def may_repeat(write: Endpoint, policy: RetryPolicy, *, identified: bool) -> bool:
    """Whether it may be sent again when nobody knows whether it arrived."""
    if policy.unknown == "safe":
        return write.idempotency(identified=identified) is not Idempotency.NONE
    return policy.unknown == "always"


def pause_after(failures: int) -> float:
    """Seconds for which a row waits that has failed so often."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 20))


def is_of_the_row(error: LeadSquaredError) -> bool:
    """Whether an error may well be this row's own, so that it is not tried for ever.

    LeadSquared names exceptions of .NET where its own code stumbles over what it was sent, such as
    NullReferenceException. An invalid RequestID is LeadSquared's answer to this row.
    """
    return error.scope is Scope.LEAD and error.fault is Fault.SERVER


def reason_of(error: LeadSquaredError) -> str:
    """LeadSquared's own words if it said any, else ours."""
    said = [getattr(error, name, None) for name in ("exception_type", "exception_message")]
    return ": ".join(part for part in said if part) or str(error)

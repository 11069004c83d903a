"""How an item is sent, and whether an error is retried or final. Pure."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from leadsquared_async.errors import APIError, Delivery, Fault, LeadSquaredError, Scope
from leadsquared_async.http.sender import Sender

__all__ = [
    "ATTEMPTS",
    "ROUNDS",
    "HeldError",
    "ItemState",
    "UnforeseenError",
    "final_state",
    "is_of_the_item",
    "patient",
    "pause_after",
]

ATTEMPTS = 3
"""Attempts of one call before the other items are held too."""
ROUNDS = 3
"""Calls for an item whose errors may be its own fault, though LeadSquared does not say so."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 900.0
"""Seconds that a failed item waits while others are sent."""


class ItemState(StrEnum):
    """The state of an item in an outbox."""

    PENDING = "pending"
    """On disk, to be sent."""
    SENDING = "sending"
    """Being sent: LeadSquared may have it."""
    ACCEPTED = "accepted"
    """LeadSquared returned a RequestID, and will process it."""
    CONFIRMED = "confirmed"
    """LeadSquared has processed it; its values are erased."""
    REJECTED = "rejected"
    """LeadSquared rejected it, and says why: fix it and requeue it."""
    UNKNOWN = "unknown"
    """It may have arrived; sending it again could create a duplicate: check LeadSquared, then requeue or
    purge."""


class HeldError(Exception):
    """The item must not be sent now."""


class UnforeseenError(LeadSquaredError):
    """Sending an item raised an unexpected exception."""

    def __init__(self, error: Exception, operation: str, *, may_have_arrived: bool) -> None:
        super().__init__(
            f"{operation}: sending failed with {type(error).__name__}"
            f"{'. It may have arrived' if may_have_arrived else ''}",
            delivery=Delivery.UNKNOWN if may_have_arrived else Delivery.NOT_SENT,
            fault=Fault.SERVER,
            scope=Scope.LEAD,
            operation=operation,
        )


def final_state(error: LeadSquaredError, rounds: int, *, may_be_repeated: bool) -> ItemState | None:
    """The state in which an item ends after this error; None if it is retried.

    Args:
        error: of the last call.
        rounds: how many calls failed with an error that may be this item's own, this one included.
        may_be_repeated: whether sending it again cannot create a duplicate.
    """
    if error.fault is Fault.LEAD:
        return ItemState.REJECTED
    is_given_up = is_of_the_item(error) and rounds >= ROUNDS
    is_named = isinstance(error, APIError) and error.exception_type is not None
    if is_given_up and (is_named or error.delivery is not Delivery.UNKNOWN):
        return ItemState.REJECTED  # LeadSquared reported a failure each time
    if error.delivery is Delivery.UNKNOWN and (is_given_up or not may_be_repeated):
        return ItemState.UNKNOWN
    return None


def is_of_the_item(error: LeadSquaredError) -> bool:
    """Whether an error may be this item's own, so that it is retried a few times only.

    Examples are an invalid RequestID, and an exception of .NET such as NullReferenceException.
    """
    return error.scope is Scope.LEAD and error.fault is Fault.SERVER


def pause_after(failures: int) -> float:
    """Seconds that an item waits after so many failures."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 20))


def patient(sender: Sender, attempts: int) -> Sender:
    """A sender for items: at most `attempts`, and no deadline, since an item may wait for days."""
    policy = sender.settings.retry
    retry = replace(policy, attempts=min(attempts, policy.attempts))
    settings = replace(sender.settings, deadline=None, lane=None, retry=retry)
    return Sender(sender.session, settings, recorded=True)

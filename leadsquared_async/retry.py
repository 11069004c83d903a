"""Decides whether a call is retried. Pure.

`http/run.py` asks after each attempt; the outbox and tasks ask about a row with unknown delivery.
"""

from __future__ import annotations

from dataclasses import replace

from leadsquared_async.config import RetryPolicy
from leadsquared_async.errors import Delivery, Fault, Rejected, Scope
from leadsquared_async.operations import Idempotency
from leadsquared_async.protocol import Outcome, RetryHint

__all__ = ["are_attempts_used_up", "may_repeat", "may_retry", "without_attempts_left"]

DOTNET_ATTEMPTS = 3
"""Attempts when LeadSquared fails with a .NET exception."""
LONGEST_RETRY_AFTER = 60.0
"""Seconds. A longer Retry-After ends the call, unless it comes with a 429, so that the caller can act."""


def may_retry(outcome: Outcome, repeat: Idempotency, policy: RetryPolicy) -> bool:
    """Whether another attempt can succeed and is allowed, regardless of the number of attempts.

    Only a write with unknown delivery can create a duplicate: `unknown` and the operation decide.
    """
    if outcome.retry is RetryHint.NO:
        return False
    if outcome.delivery is not Delivery.UNKNOWN or repeat is Idempotency.READ:
        return True
    if outcome.retry is RetryHint.IF_REPEATABLE:
        return may_repeat(repeat, policy)
    return policy.unknown != "never"


def may_repeat(repeat: Idempotency, policy: RetryPolicy) -> bool:
    """Whether a call that may have arrived may be repeated."""
    if policy.unknown == "safe":
        return repeat is not Idempotency.NONE
    return policy.unknown == "always"


def are_attempts_used_up(outcome: Outcome, counted: int, exceptions: int, policy: RetryPolicy) -> bool:
    """Whether this outcome used the last attempt; a 429 neither counts nor ends a call.

    Args:
        outcome: of the last attempt.
        counted: attempts so far, without those that got a 429.
        exceptions: those of them that failed with a .NET exception.
        policy: bounds the attempts.
    """
    if outcome.throttled:
        return False
    too_many = outcome.retry is RetryHint.A_FEW_TIMES and exceptions >= DOTNET_ATTEMPTS
    return too_many or counted >= policy.attempts or (outcome.pause or 0.0) > LONGEST_RETRY_AFTER


def without_attempts_left(outcome: Outcome, exceptions: int) -> Outcome:
    """The outcome of a write's last attempt: a .NET exception that persists is a rejection."""
    if outcome.retry is not RetryHint.A_FEW_TIMES or exceptions < DOTNET_ATTEMPTS:
        return outcome
    return replace(
        outcome,
        delivery=Delivery.REJECTED,
        fault=Fault.LEAD,
        scope=Scope.LEAD,
        retry=RetryHint.NO,
        error=Rejected,
        summary=f"LeadSquared failed to process it each time ({outcome.status_code})",
    )

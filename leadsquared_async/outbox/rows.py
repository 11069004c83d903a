"""A row as what is to be sent, how it is sent, and what may be done with it afterwards."""

from __future__ import annotations

from dataclasses import replace

from leadsquared_async.config import RetryPolicy
from leadsquared_async.encoding import EncodedSubmission, encoded
from leadsquared_async.errors import LeadSquaredError
from leadsquared_async.operations import Repeat
from leadsquared_async.outbox.records import Claim, submission_in
from leadsquared_async.sending.session import Sender

__all__ = [
    "ATTEMPTS",
    "FIRST_PAUSE",
    "LONGEST_PAUSE",
    "HeldError",
    "may_repeat",
    "patient",
    "pause_after",
    "reason_of",
    "submission_of",
]

ATTEMPTS = 3
"""Of one call, before the other rows are held too."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 900.0
"""Seconds for which a row that failed waits while others go on."""


class HeldError(Exception):
    """The row is not to be sent now."""


def submission_of(row: Claim) -> EncodedSubmission:
    """What a row that has its values submits."""
    assert row.content is not None  # a pending row has its values
    return encoded(submission_in(row.operation, row.content, row.query, row.suffix, row.reference))


def patient(sender: Sender, attempts: int) -> Sender:
    """The same way out, with so many attempts at most and without a deadline: a row waits as long as it
    takes."""
    policy = sender.settings.retry
    retry = replace(policy, attempts=min(attempts, policy.attempts))
    return Sender(sender.session, replace(sender.settings, deadline=None, lane=None, retry=retry))


def may_repeat(submission: EncodedSubmission, policy: RetryPolicy) -> bool:
    """Whether it may be sent again when nobody knows whether it arrived."""
    if policy.unknown == "safe":
        return submission.operation.repeat(identified=submission.identified) is not Repeat.NEVER
    return policy.unknown == "always"


def pause_after(failures: int) -> float:
    """Seconds for which a row waits that has failed so often."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 20))


def reason_of(error: LeadSquaredError) -> str:
    """LeadSquared's own words if it said any, else ours."""
    said = [getattr(error, name, None) for name in ("exception_type", "exception_message")]
    return ": ".join(part for part in said if part) or str(error)

"""What a task has with it in the store, and what is told at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.encoding import decode, encode
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.operations import OPERATIONS, Operation
from leadsquared_async.submissions import Submission

__all__ = ["Given", "Payload", "TaskOutcome", "operation_of", "outcome_of", "payload_of", "submission_of"]


class Payload(dict[str, Any]):
    """What a task is given, as JSON has it; it stands in taskiq's debug log, so its repr shows no value."""

    def __repr__(self) -> str:
        return f"<{self.get('operation')}, reference {self.get('reference')}>"


Given = Mapping[str, Any]
"""The same, as a worker finds it in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutcome:
    """How a submission ended.

    Attributes:
        operation: what it was submitted to, such as "leads.capture".
        state: CONFIRMED, REJECTED or UNKNOWN; ACCEPTED where outcomes are not followed, or cannot be.
        reference: as it was given.
        request_id: the RequestID, once it was accepted.
        lead_id: the lead it made or changed, once it was confirmed.
        activity_id: the activity it posted, if it did.
        opportunity_id: the opportunity it made or found, if it did.
        reason: why it was rejected or is unknown; LeadSquared's words, which may hold personal data.
        submission: what was submitted, its values in `lead` and `details`, if it was rejected or is unknown
            and `keep_payload` was asked for.
    """

    operation: str
    state: ItemState
    reference: str | None = None
    request_id: str | None = None
    lead_id: str | None = None
    activity_id: str | None = None
    opportunity_id: str | None = None
    reason: str | None = field(default=None, repr=False)
    submission: Submission | None = field(default=None, repr=False)


def payload_of(submission: Submission) -> Payload:
    """Check a submission, and write it down.

    Raises:
        InvalidLead: naming what cannot be sent.
        ConfigurationError: it is none, or for bulk calls, which tasks do not make.
    """
    if not isinstance(submission, Submission):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(
            "submission has to be made by a function of leadsquared_async.submissions, such as "
            "capture_lead({...})"
        )
    if not isinstance(submission.operation, Operation):
        raise ConfigurationError(
            f"{submission.operation.name}: leads for bulk calls go by lsq.bulk, or through an outbox",
            operation=submission.operation.name,
            reference=submission.reference,
        )
    written = encode(submission)
    return Payload(
        operation=submission.operation.name,
        content=written.content.decode(),
        query=written.query,
        suffix=written.suffix,
        reference=submission.reference,
    )


def submission_of(payload: Given) -> Submission:
    """The submission that was written down."""
    return decode(
        operation_of(payload["operation"]),
        payload["content"].encode(),
        [(name, value) for name, value in payload["query"]],
        payload["suffix"],
        payload["reference"],
    )


def outcome_of(end: Given) -> TaskOutcome:
    """The end that was written down."""
    submission = end["submission"]
    return TaskOutcome(
        operation=end["operation"],
        state=ItemState(end["state"]),
        reference=end["reference"],
        request_id=end["request_id"],
        lead_id=end.get("lead_id"),
        activity_id=end.get("activity_id"),
        opportunity_id=end.get("opportunity_id"),
        reason=end.get("reason"),
        submission=None if submission is None else submission_of(submission),
    )


def operation_of(name: str) -> Operation:
    """The operation of this name.

    Raises:
        ConfigurationError: a task of a later version names one that this version does not know.
    """
    operation = OPERATIONS.get(name)
    if operation is None:
        raise ConfigurationError(f"{name} is not known to this version: upgrade the workers")
    return operation

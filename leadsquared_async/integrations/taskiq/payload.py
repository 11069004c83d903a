"""The contents of a task in the store, and the outcome passed to callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.encoding import decode, encode
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.operations import OPERATIONS, Operation
from leadsquared_async.submissions import Submission

__all__ = ["Given", "Payload", "TaskOutcome", "outcome_of", "payload_of", "submission_of"]


class Payload(dict[str, Any]):
    """A task's argument as JSON. taskiq logs it at DEBUG, so its repr shows no values."""

    def __repr__(self) -> str:
        return f"<{self.get('operation')}, reference {self.get('reference')}>"


Given = Mapping[str, Any]
"""A payload as a worker reads it from the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutcome:
    """The final outcome of a submission.

    Attributes:
        operation: the operation, such as "leads.capture".
        state: CONFIRMED, REJECTED or UNKNOWN; ACCEPTED if outcomes are not or cannot be followed.
        reference: the submission's reference.
        request_id: the RequestID, if it was accepted.
        lead_id: the lead that was created or changed, if it is confirmed.
        activity_id: the activity that was posted, if any.
        opportunity_id: the opportunity that was created or found, if any.
        reason: why it is rejected or unknown; LeadSquared's words, which may hold personal data.
        submission: the submission, with its values in `lead` and `details`; only with `keep_payload`, and
            only if it is rejected or unknown.
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
    """Check and encode a submission.

    Raises:
        InvalidLead: names what is invalid.
        ConfigurationError: it is not a submission, or is for bulk calls, which tasks do not support.
    """
    if not isinstance(submission, Submission):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(
            "submission must be made by a function of leadsquared_async.submissions, such as "
            "capture_lead({...})"
        )
    if not isinstance(submission.operation, Operation):
        raise ConfigurationError(
            f"{submission.operation.name}: send leads in bulk calls with lsq.bulk or an outbox",
            operation=submission.operation.name,
            reference=submission.reference,
        )
    encoded = encode(submission)
    return Payload(
        operation=submission.operation.name,
        content=encoded.content.decode(),
        query=encoded.query,
        suffix=encoded.suffix,
        reference=submission.reference,
    )


def submission_of(payload: Given) -> Submission:
    """Decode a submission."""
    return decode(
        OPERATIONS[payload["operation"]],
        payload["content"].encode(),
        [(name, value) for name, value in payload["query"]],
        payload["suffix"],
        payload["reference"],
    )


def outcome_of(end: Given) -> TaskOutcome:
    """Decode the outcome in a report's payload."""
    fields: dict[str, Any] = {**end, "state": ItemState(end["state"])}
    if end["submission"] is not None:
        fields["submission"] = submission_of(end["submission"])
    return TaskOutcome(**fields)

"""What LeadSquared answers, as frozen values: a receipt, a status, the state of the queue.

Keys are read without regard to case, since the API spells them differently from page to page.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

__all__ = ["QueueMetrics", "Receipt", "RequestState", "RequestStatus"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """LeadSquared has accepted a request and will process it.

    Attributes:
        request_id: the RequestID to ask for the outcome with.
        attempts: how many attempts it took.
        waited: seconds spent waiting for a token of the limit and between attempts.
        reference: the caller's own id, as it was passed.
        operation: what was accepted, such as "leads.capture".
        dropped: attributes that the account does not have and that were left out, with `validate="drop"`.
    """

    request_id: str
    attempts: int
    waited: float
    reference: str | None = None
    operation: str = "leads.capture"
    dropped: tuple[str, ...] = ()


class RequestState(StrEnum):
    """Where an accepted request is."""

    QUEUED = "queued"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OTHER = "other"
    """A word that LeadSquared has not documented: treated as not finished."""


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """One look at an accepted request.

    Attributes:
        request_id: the request that was asked for.
        state: QUEUED, SUCCEEDED, FAILED or OTHER.
        raw_state: LeadSquared's own word, such as "In-Queue".
        is_final: whether it will not change any more.
        reason: LeadSquared's own words on it; may hold personal data.
        lead_id: the lead it made or changed, once it succeeded (the answer's RelatedId).
        activity_id: the activity it posted, once it succeeded (the answer's Id).
        opportunity_id: the opportunity it made or found, once it succeeded (CreatedOpportunityId, else
            ConflictedOpportunityId, else the Id in the answer to an opportunity).
        created: whether the lead is new; None while that is not known.
        task_type: LeadSquared's name of the operation.
        message: the decoded answer of the processing; may hold personal data.
        request_body: the request as LeadSquared kept it; holds personal data.
    """

    request_id: str
    state: RequestState
    raw_state: str
    is_final: bool
    reason: str | None = field(default=None, repr=False)
    lead_id: str | None = None
    activity_id: str | None = None
    opportunity_id: str | None = None
    created: bool | None = None
    task_type: str | None = None
    message: Any = field(default=None, repr=False)
    request_body: str | None = field(default=None, repr=False)

    @property
    def succeeded(self) -> bool:
        """Whether LeadSquared has done what was asked."""
        return self.state is RequestState.SUCCEEDED

    @classmethod
    def read(cls, data: object, request_id: str) -> RequestStatus | None:
        """The status in an answer; None when the answer knows nothing of the request (yet)."""
        task = field_of(data, "TaskStatus")
        raw_state = _text(field_of(task, "Status"))
        if raw_state is None:
            return None
        message = _decoded(field_of(task, "Message"))
        reason = _text(field_of(task, "StatusReason"))
        state = _STATES.get(raw_state.strip().lower(), RequestState.OTHER)
        # The outer word says that processing ran; the answer inside may still be a refusal.
        refused = _is_error(field_of(message, "Status")) or field_of(message, "ExceptionType") is not None
        if state is RequestState.SUCCEEDED and refused:
            state, reason = RequestState.FAILED, _refusal(message) or reason
        answer = _answer(message) if state is RequestState.SUCCEEDED else None
        created = field_of(answer, "IsCreated")
        task_type = _text(field_of(task, "TaskType"))
        # Whether the answer of an opportunity is wrapped as others are is not known; then Id is its own.
        is_of_opportunity = (task_type or "").lower().startswith("opportunity")
        answer_id = _text(field_of(answer, "Id"))
        failed_for_good = state is RequestState.FAILED and _settled(raw_state, reason)
        return cls(
            request_id=request_id,
            state=state,
            raw_state=raw_state,
            is_final=state is RequestState.SUCCEEDED or failed_for_good,
            reason=reason,
            lead_id=_text(field_of(answer, "RelatedId")) or _text(field_of(answer, "RelatedProspectId")),
            activity_id=None if is_of_opportunity else answer_id,
            opportunity_id=_text(field_of(answer, "CreatedOpportunityId"))
            or _text(field_of(answer, "ConflictedOpportunityId"))
            or (answer_id if is_of_opportunity else None),
            created=created if isinstance(created, bool) else None,
            task_type=task_type,
            message=message,
            request_body=_text(field_of(task, "RequestBody")),
        )


_STATES = {
    "in-queue": RequestState.QUEUED,
    "success": RequestState.SUCCEEDED,
    "failure": RequestState.FAILED,
    "error": RequestState.FAILED,
}


def _answer(message: object) -> object:
    """What the synchronous API would have answered; that of opportunities is not wrapped as others are."""
    inner = field_of(message, "Message")
    return cast("object", inner) if isinstance(inner, dict) else message


def _settled(raw_state: str, reason: str | None) -> bool:
    """Whether a failed state is final.

    No page tells FAILURE from ERROR. Application errors, whose names start with MX, are never tried again;
    an ERROR of another kind may be a system error, which LeadSquared retries for about nine hours.
    """
    return not _is_error(raw_state) or (reason or "").lstrip().upper().startswith("MX")


def _is_error(word: object) -> bool:
    return isinstance(word, str) and word.strip().lower() == "error"


def _refusal(message: object) -> str | None:
    parts = [_text(field_of(message, name)) for name in ("ExceptionType", "ExceptionMessage")]
    return ": ".join(part for part in parts if part) or None


@dataclass(frozen=True, slots=True)
class QueueMetrics:
    """How long LeadSquared's queue is, approximately.

    Attributes:
        pending: requests that wait to be processed.
        max_delay: the longest wait among them, in seconds.
        rate_per_minute: requests processed a minute, over the last ten minutes.
    """

    pending: int
    max_delay: float
    rate_per_minute: float

    @classmethod
    def read(cls, data: object) -> QueueMetrics | None:
        """The metrics in an answer; None when they are not in it."""
        names = ("PendingMessages", "MaxDelayInSeconds", "ProcessingRatePerMinute")
        try:
            pending, max_delay, rate = (float(field_of(data, name)) for name in names)
        except (TypeError, ValueError, OverflowError):
            return None
        if not all(map(math.isfinite, (pending, max_delay, rate))):
            return None
        return cls(pending=int(pending), max_delay=max_delay, rate_per_minute=rate)


def field_of(data: object, name: str) -> Any:
    """The value under `name`, however LeadSquared capitalised it there; None if there is none."""
    if not isinstance(data, dict):
        return None
    fields = cast("dict[str, Any]", data)
    if name in fields:
        return fields[name]
    wanted = name.lower()
    return next((value for key, value in fields.items() if key.lower() == wanted), None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _decoded(value: object) -> Any:
    """JSON inside JSON, decoded; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value

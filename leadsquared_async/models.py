"""LeadSquared's answers as frozen values: a receipt, a status, the metrics of a queue.

Keys are case-insensitive, since the API's pages spell them differently. Ids, numbers and text are validated
here.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, fields
from enum import Enum, StrEnum
from typing import Any, Self, cast

from leadsquared_async.printable import one_line

__all__ = [
    "QueueMetrics",
    "Receipt",
    "Refusal",
    "RequestState",
    "RequestStatus",
    "ShortRepr",
    "decoded",
    "field_of",
    "has_field",
    "id_in",
    "read_metrics",
    "read_status",
    "text_in",
]


class ShortRepr:
    """A dataclass repr that omits defaults and fields with `repr=False`."""

    __slots__ = ()

    def __repr__(self) -> str:
        values = {it.name: getattr(self, it.name) for it in fields(self) if it.repr}  # type: ignore[arg-type]
        defaults = {it.name: it.default for it in fields(self)}  # type: ignore[arg-type]
        shown = (
            f"{name}={(value.value if isinstance(value, Enum) else value)!r}"
            for name, value in values.items()
            if value != defaults[name]
        )
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, slots=True, repr=False)
class Receipt(ShortRepr):
    """LeadSquared has accepted a request and will process it.

    Attributes:
        request_id: the RequestID, for asking for the outcome.
        attempts: how many attempts it took.
        waited: seconds spent waiting for the rate limit and between attempts.
        reference: the caller's own id, as it was passed.
        operation: what was accepted, such as "leads.capture".
        dropped: attributes that the account does not have, left out by `validate="drop"`.
    """

    request_id: str
    attempts: int
    waited: float
    reference: str | None = None
    operation: str = "leads.capture"
    dropped: tuple[str, ...] = ()


class RequestState(StrEnum):
    """The state of an accepted request."""

    QUEUED = "queued"
    """LeadSquared has not processed it yet."""
    SUCCEEDED = "succeeded"
    """LeadSquared has processed it."""
    FAILED = "failed"
    """LeadSquared failed to process it, and may try it again unless `is_final`."""
    OTHER = "other"
    """A state that LeadSquared does not document: treated as not finished."""


@dataclass(frozen=True, slots=True, repr=False)
class RequestStatus(ShortRepr):
    """The status of an accepted request at one moment.

    Attributes:
        request_id: the request; "" in the result of a bulk call, which has none.
        state: QUEUED, SUCCEEDED, FAILED or OTHER.
        raw_state: LeadSquared's own word, such as "In-Queue".
        is_final: whether it will not change again.
        reason: LeadSquared's StatusReason; may contain personal data.
        lead_id: the lead that it created or updated, once it succeeded (the answer's RelatedId).
        activity_id: the activity that it posted, once it succeeded (the answer's Id).
        opportunity_id: the opportunity that it created or found, once it succeeded
            (CreatedOpportunityId, else ConflictedOpportunityId, else the Id in the answer to an opportunity).
        created: whether the lead is new; None if not known.
        task_type: LeadSquared's name of the operation.
        message: the decoded answer of the processing; may contain personal data.
        request_body: the request as LeadSquared stored it; contains personal data.
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
        """Whether LeadSquared has processed the request successfully."""
        return self.state is RequestState.SUCCEEDED


def read_status(data: object, request_id: str) -> RequestStatus | None:
    """The status in an answer; None if LeadSquared does not know the request (yet)."""
    task = field_of(data, "TaskStatus")
    raw_state = _text(field_of(task, "Status"))
    if raw_state is None:
        return None
    raw_state = raw_state[:LONGEST_NAME]
    message = _decoded(field_of(task, "Message"))
    reason = text_in(field_of(task, "StatusReason"))
    state = _STATES.get(raw_state.strip().lower(), RequestState.OTHER)
    # The outer state says only that processing ran; the inner answer may be a rejection.
    refusal = Refusal.read(message)
    if state is RequestState.SUCCEEDED and refusal is not None:
        state, reason = RequestState.FAILED, refusal.words or reason
    answer = _answer(message) if state is RequestState.SUCCEEDED else None
    created = field_of(answer, "IsCreated")
    task_type = _name(field_of(task, "TaskType"))
    # It is not known whether the answer to an opportunity is wrapped like the others; if not, Id is its own.
    is_of_opportunity = (task_type or "").lower().startswith("opportunity")
    answer_id = id_in(field_of(answer, "Id"))
    failed_for_good = state is RequestState.FAILED and _settled(raw_state, reason)
    return RequestStatus(
        request_id=request_id,
        state=state,
        raw_state=raw_state,
        is_final=state is RequestState.SUCCEEDED or failed_for_good,
        reason=reason,
        lead_id=id_in(field_of(answer, "RelatedId")) or id_in(field_of(answer, "RelatedProspectId")),
        activity_id=None if is_of_opportunity else answer_id,
        opportunity_id=id_in(field_of(answer, "CreatedOpportunityId"))
        or id_in(field_of(answer, "ConflictedOpportunityId"))
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
    """The answer of the synchronous API; for opportunities it is not wrapped like the others."""
    inner = field_of(message, "Message")
    return cast("object", inner) if isinstance(inner, dict) else message


def _settled(raw_state: str, reason: str | None) -> bool:
    """Whether a failed state is final.

    No page explains the difference between FAILURE and ERROR. Application errors, whose names start with MX,
    are never retried; any other ERROR may be a system error, which LeadSquared retries for about nine hours.
    """
    return not _is_error(raw_state) or (reason or "").lstrip().upper().startswith("MX")


def _is_error(status: object) -> bool:
    return isinstance(status, str) and status.strip().lower() == "error"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rejection in an answer: its Status is Error, or it names an exception.

    The same rule applies to every answer and every row, whatever the HTTP status.

    Attributes:
        exception_type: LeadSquared's name of the exception.
        exception_message: LeadSquared's message; may contain personal data.
        is_mx: whether it is one of LeadSquared's own exceptions, which are final.
    """

    exception_type: str | None
    exception_message: str | None = field(repr=False)
    is_mx: bool

    @classmethod
    def read(cls, data: object) -> Self | None:
        """The refusal in a decoded answer, or in one of its rows; None if there is none."""
        exception_type = _name(field_of(data, "ExceptionType"))
        is_mx = (exception_type or "").upper().startswith("MX") or field_of(data, "IsMXException") is True
        if not (is_mx or exception_type or _is_error(field_of(data, "Status"))):
            return None
        # The rows of bulk calls have ErrorMessage (observed).
        words = text_in(field_of(data, "ExceptionMessage")) or text_in(field_of(data, "ErrorMessage"))
        return cls(exception_type, words, is_mx)

    @property
    def words(self) -> str | None:
        """The exception's name and message, if it has any; may contain personal data."""
        return ": ".join(part for part in (self.exception_type, self.exception_message) if part) or None


@dataclass(frozen=True, slots=True)
class QueueMetrics:
    """The approximate state of LeadSquared's queue.

    Attributes:
        pending: requests waiting to be processed.
        max_delay: the longest wait among them, in seconds.
        rate_per_minute: requests processed per minute, over the last ten minutes.
    """

    pending: int
    max_delay: float
    rate_per_minute: float


def read_metrics(data: object) -> QueueMetrics | None:
    """The metrics in an answer; None if there are none."""
    names = ("PendingMessages", "MaxDelayInSeconds", "ProcessingRatePerMinute")
    pending, max_delay, rate = (_quantity(field_of(data, name)) for name in names)
    if pending is None or max_delay is None or rate is None:
        return None
    return QueueMetrics(pending=int(pending), max_delay=max_delay, rate_per_minute=rate)


def _quantity(value: object) -> float | None:
    """A number, or one written as text; None for anything else, or an implausible number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 <= number <= MOST else None


MOST = 1e12
LONGEST_NAME = 200
"""Characters of an exception's name, a state or a task's type."""
LONGEST_TEXT = 10_000
"""Characters of a message."""
DEEPEST = 64
"""Levels of JSON: decoded values are pickled and encoded again, deeper in the stack."""


def field_of(data: object, name: str) -> Any:
    """The value of a key, whatever its case; None if there is none."""
    if not isinstance(data, dict):
        return None
    fields = cast("dict[str, Any]", data)
    if name in fields:
        return fields[name]
    wanted = name.lower()
    return next((value for key, value in fields.items() if key.lower() == wanted), None)


def has_field(data: object, name: str) -> bool:
    """Whether there is such a key, whatever its case."""
    return isinstance(data, dict) and name.lower() in {key.lower() for key in cast("dict[str, Any]", data)}


_ID = re.compile(r"[A-Za-z0-9{][A-Za-z0-9._~:+/=@{}-]{0,99}")


def id_in(value: object) -> str | None:
    """A RequestID or another id, stripped; None if it is invalid.

    LeadSquared's ids are GUIDs. Any id that fits in a URL, a file's cell and a log line is accepted.
    """
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        return None
    text = value.strip()
    return text if _ID.fullmatch(text) else None


def text_in(value: object) -> str | None:
    """A message, truncated; None if there is none."""
    text = _text(value)
    return text[:LONGEST_TEXT] if text is not None and text.strip() else None


def _name(value: object) -> str | None:
    return (one_line(value, LONGEST_NAME) or None) if isinstance(value, str) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _decoded(value: object) -> Any:
    """JSON inside JSON, decoded; anything else unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return decoded(value)
    except ValueError:
        return value


def decoded(text: str) -> Any:
    """Decode JSON to values that can be stored, pickled and encoded again.

    Raises:
        ValueError: it is not JSON, repeats a key, contains NaN or Infinity, or is nested too deeply.
    """
    try:
        data = json.loads(
            text.removeprefix("\ufeff"),  # a byte order mark, which is not valid JSON
            object_pairs_hook=_object,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if text.count("[") + text.count("{") > DEEPEST:
        _check_depth(data)
    return _without_surrogates(data) if _SURROGATE.search(text) else data


TOO_DEEP = "nested too deeply"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is repeated")
    return fields


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def _check_depth(data: object) -> None:
    level: list[object] = [data]
    for _ in range(DEEPEST):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return
    raise ValueError(TOO_DEEP)


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


def _without_surrogates(value: object) -> object:
    """Replace unpaired surrogates, as in a truncated emoji, with U+FFFD: UTF-8 cannot encode them."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(inner) for inner in cast("list[object]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return {_without_surrogates(key): _without_surrogates(inner) for key, inner in fields.items()}
    return value

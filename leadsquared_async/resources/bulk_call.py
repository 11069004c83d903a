"""One bulk call: up to 25 leads out, and what became of each.

The answer is a bare array of rows: RowNumber, LeadId, LeadCreated, LeadUpdated, AffectedRows
(apidocs.leadsquared.com, "Create or Update Leads in Bulk"). How a row looks that failed stands on no page:
integrations have met an ExceptionType and an ErrorMessage in it, and an empty LeadId; the bulk calls of
activities say ExceptionMessage, and wrap their rows in an object. All of these are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import (
    APIError,
    AuthenticationFailed,
    Delivery,
    Facts,
    Fault,
    LeadSquaredError,
    RateLimited,
    Rejected,
    ServerError,
)
from leadsquared_async.models import field_of
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, Repeat
from leadsquared_async.sending.bucket import Lane
from leadsquared_async.sending.call import Call, Host, Limit
from leadsquared_async.sending.replies import Expect
from leadsquared_async.sending.sealing import sealed
from leadsquared_async.sending.session import Sender
from leadsquared_async.sending.wording import masked

if TYPE_CHECKING:
    from leadsquared_async.sending.pipeline import BeforeSend, Sent

__all__ = ["RowOutcome", "read_rows", "send_rows"]


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of one row of a call.

    Attributes:
        attempts: of the call.
        lead_id: of the lead that it made or changed.
        created: whether that is new; None if LeadSquared did not say.
        updated: whether LeadSquared says that it changed a lead which it had.
        error: why it failed.
    """

    attempts: int
    lead_id: str | None = None
    created: bool | None = None
    updated: bool | None = None
    error: LeadSquaredError | None = field(default=None, repr=False)


@sealed
async def send_rows(
    sender: Sender, rows: Sequence[EncodedSubmission], lane: Lane, before_send: BeforeSend | None = None
) -> list[RowOutcome]:
    """Send rows in one call, and return what became of each, in their order.

    It is repeated on an unknown delivery only if LeadSquared can match every lead in it.

    Raises:
        LeadSquaredError: the call failed as a whole.
    """
    write = BULK_CREATE_OR_UPDATE
    repeats = {write.repeat(identified=row.identified) for row in rows}
    call = Call(
        operation=write.name,
        method="POST",
        path=write.submit.text,
        certainty=write.submit.certainty,
        content=b"[" + b",".join(row.content for row in rows) + b"]",
        private=tuple(value for row in rows for value in row.private),
        host=Host.SYNC,
        limit=Limit.BULK,
        keys=write.keys,
        expect=Expect.JSON,
        repeat=Repeat.NEVER if Repeat.NEVER in repeats else Repeat.SAFE,
        lane=lane,
    )
    sent = await sender.send(call, before_send)
    answers = read_rows(sent.outcome.data, len(rows))
    name = sender.session.options.name
    label = f"[{name}] {write.name}: " if name else f"{write.name}: "
    return [
        _outcome(f"{label}row {number} of the call: ", row, answers.get(number), sent)
        for number, row in enumerate(rows, start=1)
    ]


def read_rows(data: object, count: int) -> dict[int, object]:
    """The rows of an answer to so many leads, by their number, from 1.

    A number that stands there twice belongs to nobody for certain. If one is out of range, as when they are
    counted from 0, none is to be trusted: an id under the wrong lead is worse than no id.
    """
    rows: object = data
    if isinstance(data, dict):
        wrapped = cast("dict[str, object]", data).values()
        rows = next((value for value in wrapped if _is_list(value)), None)
    if not _is_list(rows):
        return {}
    found: dict[int, object] = {}
    twice: set[int] = set()
    for row in rows:
        number = _number(field_of(row, "RowNumber"))
        if number is None:
            continue
        if not 1 <= number <= count:
            return {}
        if number in found:
            twice.add(number)
        found[number] = row
    return {number: row for number, row in found.items() if number not in twice}


def _outcome(label: str, row: EncodedSubmission, answer: object, sent: Sent) -> RowOutcome:
    kind = _text(field_of(answer, "ExceptionType"))
    words = _text(field_of(answer, "ErrorMessage")) or _text(field_of(answer, "ExceptionMessage"))
    lead_id = _text(field_of(answer, "LeadId"))
    created, updated = _flag(field_of(answer, "LeadCreated")), _flag(field_of(answer, "LeadUpdated"))
    facts = Facts(
        attempts=sent.attempts,
        waited=sent.waited,
        operation=BULK_CREATE_OR_UPDATE.name,
        reference=row.reference,
    )
    status_code = sent.outcome.status_code
    body = None if answer is None else json.dumps(answer, ensure_ascii=False)
    status = _text(field_of(answer, "Status"))
    if kind or words or _is_failure(status):
        error, what, found = _refusal(kind, words or status, identified=row.identified)
        said = masked(": ".join(part for part in (kind, words) if part), row.private)
        arrived = "It was not taken" if found.get("delivery") is Delivery.REJECTED else "It may have arrived"
        refused = error(
            f"{label}{what}{f': {said}' if said else ''}. {arrived}.",
            exception_type=kind,
            exception_message=words,
            status_code=status_code,
            body=body,
            **(facts | found),
        )
        return RowOutcome(sent.attempts, error=refused)
    if lead_id is None and not created and not updated:
        why = "it is missing from LeadSquared's answer"
        if answer is not None:
            why = "LeadSquared's answer names neither its lead nor what is wrong with it"
        unknown = ServerError(
            f"{label}{why}. It may have arrived.",
            status_code=status_code,
            body=body,
            **(facts | Facts(delivery=Delivery.UNKNOWN, fault=Fault.SERVER, retryable=row.identified)),
        )
        return RowOutcome(sent.attempts, error=unknown)
    return RowOutcome(sent.attempts, lead_id, created, updated)


def _refusal(kind: str | None, words: str | None, *, identified: bool) -> tuple[type[APIError], str, Facts]:
    """What a row's exception means: as for a whole call, only an MX exception is the lead's own fault."""
    name = (kind or "").lower()
    if name == "mxapiratelimitexceededexception":
        facts = Facts(delivery=Delivery.REJECTED, fault=None, retryable=True)
        return RateLimited, "the account is over its rate limit", facts
    if name.startswith("mx") and "auth" in name:
        facts = Facts(delivery=Delivery.REJECTED, fault=Fault.ACCOUNT)
        return AuthenticationFailed, "LeadSquared does not accept the keys", facts
    # Integrations have met words without a type, which were about the lead.
    if name.startswith("mx") or (not kind and words):
        return Rejected, "LeadSquared refuses the lead", Facts(delivery=Delivery.REJECTED, fault=Fault.LEAD)
    facts = Facts(delivery=Delivery.UNKNOWN, fault=Fault.SERVER, retryable=identified)
    return ServerError, "LeadSquared failed at this lead", facts


def _is_failure(status: str | None) -> bool:
    """Whether a row's own Status, which no page has, says that it failed."""
    return status is not None and status.strip().lower() not in {"success", "succeeded", "ok"}


def _number(value: Any) -> int | None:
    """A whole number, or one written as text."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,9}\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _flag(value: object) -> bool | None:
    """A bool, or one written as text."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None

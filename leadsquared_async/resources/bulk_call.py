"""One bulk call: up to 25 leads, and the outcome of each.

The answer is a bare array of rows: RowNumber, LeadId, LeadCreated, LeadUpdated, AffectedRows
(apidocs.leadsquared.com, "Create or Update Leads in Bulk"). The form of a failed row is not documented:
integrations have seen an ExceptionType, an ErrorMessage and an empty LeadId; the bulk calls of activities use
ExceptionMessage, and wrap their rows in an object. All of these are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from leadsquared_async.encoding import EncodedSubmission, private_values
from leadsquared_async.errors import (
    APIError,
    Delivery,
    Facts,
    Fault,
    LeadSquaredError,
    Scope,
    ServerError,
)
from leadsquared_async.http.call import Call, Host
from leadsquared_async.http.error_messages import DELIVERY_SENTENCES
from leadsquared_async.http.redaction import masked, without_locals
from leadsquared_async.http.sender import Sender
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import Refusal, RequestState, RequestStatus, field_of, id_in, text_in
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, Idempotency
from leadsquared_async.protocol import ExpectedBody, RetryHint, classify_refusal

if TYPE_CHECKING:
    from leadsquared_async.http.run import BeforeSend, Sent

__all__ = ["RowOutcome", "read_rows", "send_rows"]


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """The outcome of one row, and the attempts of its call; its status has no RequestID."""

    attempts: int
    status: RequestStatus | None = None
    error: LeadSquaredError | None = field(default=None, repr=False)


@without_locals
async def send_rows(
    sender: Sender, rows: Sequence[EncodedSubmission], lane: Lane, before_send: BeforeSend | None = None
) -> list[RowOutcome]:
    """Send rows in one call, and return the outcome of each, in their order.

    With an unknown delivery the call is retried only if LeadSquared can match every lead in it.

    Raises:
        LeadSquaredError: the call failed as a whole.
    """
    write = BULK_CREATE_OR_UPDATE
    repeats = {write.idempotency(identified=row.identified) for row in rows}
    call = Call(
        operation=write.name,
        method="POST",
        path=write.submit.text,
        certainty=write.submit.certainty,
        content=b"[" + b",".join(row.content for row in rows) + b"]",
        host=Host.SYNC,
        limit=Limit.BULK,
        keys=write.keys,
        expect=ExpectedBody.JSON,
        repeat=Idempotency.NONE if Idempotency.NONE in repeats else Idempotency.MATCHED,
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
    """The rows of the answer to `count` leads, by their number, from 1.

    A number that occurs twice is ignored. If one is out of range, as when rows are counted from 0, all are
    ignored: a wrong lead's id is worse than none.
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
    lead_id = id_in(field_of(answer, "LeadId"))
    created, updated = _flag(field_of(answer, "LeadCreated")), _flag(field_of(answer, "LeadUpdated"))
    facts = Facts(
        attempts=sent.attempts,
        waited=sent.waited,
        operation=BULK_CREATE_OR_UPDATE.name,
        reference=row.reference,
    )
    status_code = sent.outcome.status_code
    body = None if answer is None else json.dumps(answer, ensure_ascii=False)
    refusal = _refusal(answer)
    if refusal is not None:
        verdict = classify_refusal(refusal)
        assert verdict.error is not None
        assert issubclass(verdict.error, APIError)
        facts |= Facts(delivery=verdict.delivery, fault=verdict.fault, scope=verdict.scope)
        is_again = row.identified if verdict.delivery is Delivery.UNKNOWN else verdict.retry is RetryHint.YES
        facts["safe_to_retry"] = is_again
        facts["summary"] = verdict.summary
        said = masked(refusal.words or "", private_values(row.content))
        refused = verdict.error(
            f"{label}{verdict.summary}{f': {said}' if said else ''}. {DELIVERY_SENTENCES[verdict.delivery]}",
            exception_type=refusal.exception_type,
            exception_message=refusal.exception_message,
            status_code=status_code,
            body=body,
            **facts,
        )
        return RowOutcome(sent.attempts, error=refused)
    if lead_id is None and not created and not updated:
        why = "it is missing from LeadSquared's answer"
        if answer is not None:
            why = "LeadSquared's answer contains neither an id nor an error for it"
        unknown = ServerError(
            f"{label}{why}. It may have arrived.",
            status_code=status_code,
            body=body,
            **(
                facts
                | Facts(
                    delivery=Delivery.UNKNOWN,
                    fault=Fault.SERVER,
                    scope=Scope.OPERATION,
                    safe_to_retry=row.identified,
                )
            ),
        )
        return RowOutcome(sent.attempts, error=unknown)
    status = RequestStatus(
        request_id="",
        state=RequestState.SUCCEEDED,
        raw_state="",
        is_final=True,
        lead_id=lead_id,
        created=created,
        message=answer,
    )
    return RowOutcome(sent.attempts, status)


def _refusal(answer: object) -> Refusal | None:
    """The refusal in a row: as in a whole answer, or an ErrorMessage or Status that is not documented."""
    refusal = Refusal.read(answer)
    if refusal is not None:
        return refusal
    words = text_in(field_of(answer, "ErrorMessage")) or text_in(field_of(answer, "ExceptionMessage"))
    status = text_in(field_of(answer, "Status"))
    if words is None and (status is None or status.strip().lower() in {"success", "succeeded", "ok"}):
        return None
    return Refusal(None, words, is_mx=False)


def _number(value: Any) -> int | None:
    """A whole number, or one written as text."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,9}\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _flag(value: object) -> bool | None:
    """A bool, or one written as text."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None

"""What is handed over for processing: checked, encoded, ready to be sent now or to be kept until later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from leadsquared_async.errors import InvalidLead
from leadsquared_async.lead import encode, update_behavior_query
from leadsquared_async.models import Receipt
from leadsquared_async.operations import CAPTURE_LEADS, Operation
from leadsquared_async.sending.bucket import Lane
from leadsquared_async.sending.call import Call
from leadsquared_async.sending.sealing import sealed
from leadsquared_async.sending.session import Sender

if TYPE_CHECKING:
    from leadsquared_async.sending.pipeline import BeforeSend

__all__ = ["Submission", "UpdateBehavior", "capture", "submit"]

UpdateBehavior = Literal["DoNotUpdate", "UpdateOnlyEmptyFields", "DoNotUpdateUniqueFields"]


@dataclass(frozen=True, slots=True)
class Submission:
    """An operation's body and query; holds personal data, and shows none.

    Attributes:
        operation: what it is submitted to.
        content: the JSON body.
        query: pairs beside the keys.
        identified: whether LeadSquared can match it, so that sending it twice does no harm.
        identity: whose it is, as schema name and value; None if nobody's.
        private: every value in it, to be masked where LeadSquared repeats them.
        reference: the caller's own id; never sent.
    """

    operation: Operation
    content: bytes = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(repr=False)
    identified: bool
    identity: tuple[str, str] | None = field(repr=False)
    private: tuple[str, ...] = field(repr=False)
    reference: str | None = None


def capture(
    lead: Mapping[str, Any],
    search_by: str | None = None,
    update_behavior: str | None = None,
    reference: str | None = None,
) -> Submission:
    """A lead to be captured.

    Raises:
        InvalidLead: naming the attribute that cannot be encoded.
        ConfigurationError: `update_behavior` is none of LeadSquared's words.
    """
    try:
        encoded = encode(lead, search_by=search_by)
    except InvalidLead as error:
        error.operation, error.reference = CAPTURE_LEADS.name, reference
        raise
    return Submission(
        operation=CAPTURE_LEADS,
        content=encoded.content,
        query=update_behavior_query(update_behavior),
        identified=encoded.identified,
        identity=encoded.identity,
        private=encoded.values,
        reference=reference,
    )


@sealed
async def submit(
    sender: Sender, submission: Submission, lane: Lane, before_send: BeforeSend | None = None
) -> Receipt:
    """Send it, and return LeadSquared's receipt.

    Raises:
        LeadSquaredError: it did not succeed; `delivery` says whether it may have arrived.
    """
    operation = submission.operation
    call = Call(
        operation=operation.name,
        method="POST",
        path=operation.submit.text,
        query=submission.query,
        content=submission.content,
        private=submission.private,
        repeat=operation.repeat(identified=submission.identified),
        lane=lane,
        reference=submission.reference,
    )
    sent = await sender.send(call, before_send)
    assert sent.outcome.request_id is not None  # an accepted submission has one
    return Receipt(
        request_id=sent.outcome.request_id,
        attempts=sent.attempts,
        waited=sent.waited,
        reference=submission.reference,
    )

"""Submissions on their way out: one, or many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from leadsquared_async.batch import CaptureResult, Held, Results, Source, SubmissionResult
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import ConfigurationError, Delivery, LeadSquaredError
from leadsquared_async.http.call import Call
from leadsquared_async.http.redaction import sealed
from leadsquared_async.http.session import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import Receipt
from leadsquared_async.operations import Operation
from leadsquared_async.resources.prepare import Door
from leadsquared_async.submissions import Submission

if TYPE_CHECKING:
    from leadsquared_async.http.run import BeforeSend

__all__ = ["CONCURRENCY", "send_encoded", "submit", "submit_many", "unsent_error"]

CONCURRENCY = 32
"""Submissions held at once: more than the limit lets through in the time of a slow answer is of no use."""

R = TypeVar("R", CaptureResult, SubmissionResult)


@sealed
async def submit(
    sender: Sender, door: Door, submission: Submission, lane: Lane, before_send: BeforeSend | None = None
) -> Receipt:
    """Check it, send it, and return LeadSquared's receipt.

    Raises:
        InvalidLead: naming what cannot be sent; nothing was.
        LeadSquaredError: it did not succeed; `delivery` says whether it may have arrived.
    """
    try:
        sender.session.pipeline()  # raises here if it may not be used
        clock = asyncio.get_running_loop().time
        began, deadline = clock(), sender.settings.deadline
        admitted = await door.admit(submission, within=deadline)
        # A wait for the account's fields counts; what the check itself takes is not worth telling.
        if deadline is not None and (gone := round(clock() - began, 2)):
            sender = sender.until(max(0.001, deadline - gone))
        return await send_encoded(sender, admitted, lane, before_send)
    except LeadSquaredError as error:
        if isinstance(submission, Submission):  # pyright: ignore[reportUnnecessaryIsInstance]
            error.operation = error.operation or submission.operation.name
            error.reference = error.reference or submission.reference
        raise


@sealed
async def send_encoded(
    sender: Sender, submission: EncodedSubmission, lane: Lane, before_send: BeforeSend | None = None
) -> Receipt:
    """Send what was checked, and return LeadSquared's receipt.

    Raises:
        ConfigurationError: it has no RequestID, and goes another way.
        LeadSquaredError: it did not succeed; `delivery` says whether it may have arrived.
    """
    operation = submission.operation
    if not isinstance(operation, Operation):
        raise ConfigurationError(
            f"{operation.name}: leads for bulk calls go by lsq.bulk, or through an outbox",
            operation=operation.name,
            reference=submission.reference,
        )
    call = Call(
        operation=operation.name,
        method="POST",
        path=operation.submit.text,
        suffix=submission.suffix,
        certainty=operation.submit.certainty,
        query=submission.query,
        content=submission.content,
        private=submission.private,
        keys=operation.keys,
        repeat=operation.idempotency(identified=submission.identified),
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
        operation=operation.name,
        dropped=submission.dropped,
    )


def submit_many(
    sender: Sender,
    door: Door,
    source: Source[Any],
    *,
    submission: Callable[[Any], Submission],
    result: Callable[[int, Any, Receipt | None, LeadSquaredError | None], R],
    lane: Lane,
    concurrency: int,
    name: str,
) -> Results[R]:
    """Send what a source yields, as it comes.

    Args:
        sender: its deadline does not count: waiting for the limit is what many do.
        door: checks each.
        source: of items.
        submission: makes one of an item.
        result: of index, item, receipt and error.
        lane: of all of them.
        concurrency: items held at most.
        name: for errors and log lines.

    Raises:
        ConfigurationError: an argument cannot be right.
    """
    patient = sender.until(None)

    @sealed
    async def send(held: Held[Any]) -> Receipt:
        return await submit(patient, door, submission(held.item), lane, held.about_to_send)

    async def work(held: Held[Any]) -> R:
        try:
            receipt = await send(held)
        except LeadSquaredError as error:
            return result(held.index, held.item, None, error)
        return result(held.index, held.item, receipt, None)

    def unsent(held: Held[Any], error: LeadSquaredError) -> R:
        return result(held.index, held.item, None, unsent_error(name, error, held.item))

    return Results(source, work, unsent, session=sender.session, concurrency=concurrency, name=name)


def unsent_error(name: str, error: LeadSquaredError, item: object = None) -> LeadSquaredError:
    """The error of an item that is not sent, since `error` met another and would meet it too."""
    kind, meant = type(error).__name__, error.operation or name
    return type(error)(
        f"{name}: not sent, since all of {meant} would fail like one of them ({kind})",
        delivery=Delivery.NOT_SENT,
        fault=error.fault,
        scope=error.scope,
        operation=error.operation,
        reference=item.reference if isinstance(item, Submission) else None,
    )

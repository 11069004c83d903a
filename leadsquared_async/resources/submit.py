"""Submits one submission or many, and follows accepted requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from leadsquared_async.batch import Batch, Pending
from leadsquared_async.clock import clock
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import ConfigurationError, Delivery, InvalidLead, LeadSquaredError
from leadsquared_async.http.call import Call
from leadsquared_async.http.redaction import without_locals
from leadsquared_async.http.sender import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import Receipt, RequestStatus
from leadsquared_async.operations import Endpoint, Operation, operation_named
from leadsquared_async.resources.prepare import Preparer
from leadsquared_async.results import Result, Results
from leadsquared_async.source import Source
from leadsquared_async.submissions import Submission
from leadsquared_async.tracking import Tracker, Trackers

if TYPE_CHECKING:
    from leadsquared_async.http.run import BeforeSend, Sent
    from leadsquared_async.resources.field_cache import FieldCache

__all__ = [
    "CONCURRENCY",
    "Parts",
    "Resource",
    "outcome",
    "send_encoded",
    "submission_of",
    "submit",
    "submit_many",
]

CONCURRENCY = 32
"""Submissions pending at once: enough to use the whole limit even with slow answers."""

T = TypeVar("T")


class Parts(NamedTuple):
    """What the resources of a client share."""

    sender: Sender
    trackers: Trackers
    preparer: Preparer
    fields: FieldCache


class Resource:
    """A resource of a client, such as `lsq.leads`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def __repr__(self) -> str:
        host = self._parts.sender.session.options.hosts.host
        return f"<{type(self).__name__} of LeadSquared(host={host!r})>"


async def submit(
    parts: Parts,
    submission: Submission,
    *,
    deadline: float | Literal["client"] | None = "client",
    lane: Lane = Lane.INTERACTIVE,
    before_send: BeforeSend | None = None,
) -> Receipt:
    """Check a submission, send it, and return LeadSquared's receipt.

    The caller must be `without_locals`: the frames of an error hold the submission.

    Raises:
        InvalidLead: the submission is invalid. Nothing was sent.
        LeadSquaredError: the call failed; `delivery` says whether it may have arrived.
    """
    try:
        sender, encoded = await _prepared(parts, submission, deadline)
        call, dropped = _call(encoded, sender.lane(None, lane)), encoded.dropped
        sending = sender.send(call, before_send)
    except LeadSquaredError as error:
        if isinstance(submission, Submission):  # pyright: ignore[reportUnnecessaryIsInstance]
            error.operation = error.operation or submission.operation.name
            error.reference = error.reference or submission.reference
        raise
    del submission, encoded  # not to be held while the call waits for the limit
    return _receipt(call, await sending, dropped)


async def _prepared(
    parts: Parts, submission: Submission, deadline: float | Literal["client"] | None
) -> tuple[Sender, EncodedSubmission]:
    """The encoded submission, and a sender with what is left of the deadline."""
    sender = parts.sender.until(deadline)
    sender.session.check_usable()  # raises if the client may not be used here
    began, seconds = clock.now(), sender.settings.deadline
    encoded = await parts.preparer.prepare(submission, within=seconds)
    # Waiting for the account's lead fields counts; the check itself takes almost no time.
    if seconds is not None and (gone := round(clock.now() - began, 2)):
        sender = sender.until(max(0.001, seconds - gone))
    return sender, encoded


async def send_encoded(
    sender: Sender, submission: EncodedSubmission, lane: Lane, before_send: BeforeSend | None = None
) -> Receipt:
    """Send a checked submission, and return its receipt; the caller must be `without_locals`.

    Raises:
        ConfigurationError: the operation returns no RequestID.
        LeadSquaredError: the call failed; `delivery` says whether it may have arrived.
    """
    call = _call(submission, lane)
    return _receipt(call, await sender.send(call, before_send), submission.dropped)


def _call(submission: EncodedSubmission, lane: Lane) -> Call:
    operation = submission.operation
    if not isinstance(operation, Operation):
        raise ConfigurationError(
            f"{operation.name}: send leads for bulk calls with lsq.bulk or an outbox",
            operation=operation.name,
            reference=submission.reference,
        )
    return Call(
        operation=operation.name,
        method="POST",
        path=operation.submit.text,
        suffix=submission.suffix,
        certainty=operation.submit.certainty,
        query=submission.query,
        content=submission.content,
        keys=operation.keys,
        repeat=operation.idempotency(identified=submission.identified),
        lane=lane,
        reference=submission.reference,
    )


def _receipt(call: Call, sent: Sent, dropped: tuple[str, ...]) -> Receipt:
    assert sent.outcome.request_id is not None  # an accepted submission has one
    return Receipt(
        request_id=sent.outcome.request_id,
        attempts=sent.attempts,
        waited=sent.waited,
        reference=call.reference,
        operation=call.operation,
        dropped=dropped,
    )


def submit_many(
    parts: Parts,
    source: Source[T],
    make: Callable[[T], Submission],
    *,
    name: str,
    concurrency: int,
    follow: bool,
    mixed: bool = False,
) -> Results[T]:
    """Submit the items of a source as they come.

    Args:
        parts: the deadline bounds following only, since many submissions wait for the limit.
        source: the items.
        make: makes the submission of an item.
        name: for errors and log lines.
        concurrency: maximum pending submissions.
        follow: whether to follow accepted items to their outcome.
        mixed: whether the submissions are of several operations.

    Raises:
        ConfigurationError: an argument is invalid.
    """
    patient = parts._replace(sender=parts.sender.until(None))
    seconds = parts.sender.settings.deadline

    @without_locals
    def send(pending: Pending[T]) -> Awaitable[Receipt]:
        return submit(patient, make(pending.item), lane=Lane.BATCH, before_send=pending.about_to_send)

    async def work(pending: Pending[T]) -> Sequence[Result[T]]:
        status = None
        try:
            pending.receipt = receipt = await send(pending)
            if follow:
                await pending.follow()
                status = await outcome(
                    parts.trackers.of(operation_named(receipt.operation)), receipt, seconds
                )
        except LeadSquaredError as error:
            return [pending.result(error=error)]
        return [pending.result(status=status)]

    return Batch(source, work, session=parts.sender.session, concurrency=concurrency, name=name, mixed=mixed)


def submission_of(item: object, operation: Endpoint, make: Callable[[Any], Submission]) -> Submission:
    """The item if it is a submission of the operation, else one made from it.

    Raises:
        InvalidLead: it is a submission of another operation.
    """
    if not isinstance(item, Submission):
        return make(item)
    if item.operation is not operation:
        error = InvalidLead(
            f"expected a lead or a submission of {operation.name}, not one of {item.operation.name}"
        )
        error.operation, error.reference = operation.name, item.reference
        raise error
    return item


async def outcome(tracker: Tracker, request: Receipt | str, deadline: float | None) -> RequestStatus:
    """Follow a request until its status is final.

    Raises:
        StillProcessing: it is not final within `deadline` seconds.
        LeadSquaredError: an account-level error, or LeadSquared does not know the RequestID. With a receipt,
            the delivery is ACCEPTED, and it is not safe to submit again.
    """
    if not isinstance(request, Receipt):
        return await tracker.wait(request, deadline)
    try:
        return await tracker.wait(request.request_id, deadline, request.reference)
    except LeadSquaredError as error:
        error.delivery, error.safe_to_retry = Delivery.ACCEPTED, False
        error.reference = error.reference or request.reference
        raise

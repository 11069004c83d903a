"""The events of a call. Imported when the first one is emitted, because `events` is slow to import."""

from __future__ import annotations

from leadsquared_async.errors import Delivery, LeadSquaredError, exception_in, kind_of_error
from leadsquared_async.events import Abandoned, AttemptFailed, CallEnded, DeadLetter, Retried, Sent
from leadsquared_async.http.call import Call
from leadsquared_async.protocol import Outcome

__all__ = ["attempt_failed", "call_ended", "left", "retried", "sent"]


def sent(call: Call, attempt: int, waited: float) -> Sent:
    """The event before an attempt."""
    return Sent(operation=call.operation, reference=call.reference, attempts=attempt, waited=waited)


def attempt_failed(call: Call, outcome: Outcome) -> AttemptFailed:
    """The event after a failed attempt, whose outcome this is."""
    return AttemptFailed(
        operation=call.operation,
        reference=call.reference,
        delivery=outcome.delivery,
        fault=outcome.fault,
        kind=_kind_of(outcome),
        status_code=outcome.status_code,
    )


def retried(call: Call, outcome: Outcome, *, attempts: int, waited: float, delay: float) -> Retried:
    """The event after a failed attempt, whose outcome this is."""
    return Retried(
        operation=call.operation,
        reference=call.reference,
        attempts=attempts,
        waited=waited,
        delay=delay,
        delivery=outcome.delivery,
        fault=outcome.fault,
        kind=_kind_of(outcome),
        status_code=outcome.status_code,
        reason=outcome.summary,
    )


def call_ended(
    call: Call,
    last: Outcome | None,
    error: LeadSquaredError | None,
    *,
    attempts: int,
    waited: float,
    waited_for_limit: float,
    duration: float,
) -> CallEnded:
    """The event at the end of a call.

    Args:
        call: the call.
        last: the outcome of its last attempt, if there was one.
        error: what is raised; None if it succeeded.
        attempts: how many were made.
        waited: seconds, as in the event.
        waited_for_limit: seconds, as in the event.
        duration: seconds, as in the event.
    """
    return CallEnded(
        operation=call.operation,
        lane=call.lane.name.lower(),
        reference=call.reference,
        request_id=None if last is None else last.request_id,
        delivery=Delivery.ACCEPTED if error is None else error.delivery,
        fault=None if error is None else error.fault,
        kind=None if error is None else kind_of_error(error),
        attempts=attempts,
        waited=waited,
        waited_for_limit=waited_for_limit,
        duration=duration,
        status_code=None if last is None else last.status_code,
    )


def left(
    call: Call, delivery: Delivery, outcome: Outcome | None, failure: BaseException | None
) -> Abandoned | DeadLetter:
    """The event of a submission whose caller has left.

    Args:
        call: the call.
        delivery: whether it arrived, over all attempts.
        outcome: of the last attempt; None if that was cancelled or failed.
        failure: why there is no outcome; None if it was cancelled.
    """
    request_id = None if outcome is None else outcome.request_id
    if call.recorded or delivery not in {Delivery.UNKNOWN, Delivery.REJECTED}:
        return Abandoned(
            operation=call.operation, reference=call.reference, request_id=request_id, delivery=delivery
        )
    if outcome is None or outcome.error is None:
        kind = "CancelledError" if failure is None else type(failure).__name__
        reason = "the attempt was cancelled" if failure is None else "the attempt failed"
    else:
        kind, reason = _kind_of(outcome), outcome.summary
    return DeadLetter(
        owner="call",
        item=None,
        state=delivery.value,
        operation=call.operation,
        reference=call.reference,
        request_id=request_id,
        delivery=delivery,
        kind=kind,
        reason=reason,
    )


def _kind_of(failed: Outcome) -> str:
    """As `kind_of_error` of its error."""
    assert failed.error is not None
    return exception_in(failed.exception_type) or failed.error.__name__

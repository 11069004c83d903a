"""Records a client's events as metrics, and adds its retries to the spans of their calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from opentelemetry import trace

from leadsquared_async.errors import Delivery, Fault
from leadsquared_async.events import (
    Abandoned,
    AttemptFailed,
    CallEnded,
    DeadLetter,
    Event,
    Processed,
    Retried,
)
from leadsquared_async.telemetry import operation_kind
from leadsquared_async.telemetry.metrics import (
    CLIENT,
    ERROR,
    KIND,
    LANE,
    OPERATION,
    OUTCOME,
    OWNER,
    STATE,
    STATUS,
    Attributes,
    Instruments,
)

__all__ = ["MetricsRecorder", "add_retry_to_span"]

A_WAIT = 0.02
"""Seconds from which a call counts as having waited: a free token takes microseconds, but a busy machine may
stop the process for some milliseconds meanwhile."""
ABANDONED = "CancelledError"
"""The error type of a call whose caller has left."""


class MetricsRecorder:
    """A subscriber that records the events of one client.

    Args:
        instruments: record the metrics.
        client: the client's name.
    """

    def __init__(self, instruments: Instruments, client: str | None) -> None:
        self._client: Attributes = () if client is None else ((CLIENT, client),)
        self._add = instruments.add
        self._kind = instruments.kind
        self._with_the_next_batch = instruments.record
        self._duration = instruments.histograms["leadsquared.call.duration"]
        self._wait = instruments.histograms["leadsquared.limit.wait"]
        self._lag = instruments.histograms["leadsquared.follow.lag"]
        self._record: dict[type[Event], Callable[[Any], None]] = {
            AttemptFailed: self._attempt_failed,
            CallEnded: self._call_ended,
            Abandoned: self._abandoned,
            DeadLetter: self._dead_letter,
            Processed: self._processed,
        }
        # Prometheus sees no increase in a series that starts at 1.
        self._add("leadsquared.throttled", 0, self._client)

    def __call__(self, event: Event) -> None:
        record = self._record.get(type(event))
        if record is not None:
            self._with_the_next_batch(partial(record, event))

    def _attempt_failed(self, event: AttemptFailed) -> None:
        self._attempt(event.operation, event.status_code, event.kind)
        if event.fault is Fault.LIMIT:
            self._add("leadsquared.throttled", 1, self._client)

    def _attempt(self, operation: str, status_code: int | None, kind: str | None) -> None:
        attributes: Attributes = ((OPERATION, operation_kind(operation)), *self._client)
        if status_code is not None:
            attributes = (*attributes, (STATUS, status_code))
        elif kind is not None:
            attributes = (*attributes, (ERROR, self._kind(kind)))
        self._add("leadsquared.attempts", 1, attributes)

    def _call_ended(self, event: CallEnded) -> None:
        outcome = self._outcome(event.operation, event.delivery, event.kind)
        self._add("leadsquared.calls", 1, outcome)
        if event.kind is None:  # the last attempt succeeded
            self._attempt(event.operation, event.status_code, None)
        self._duration.record(event.duration, dict(outcome))
        if event.waited_for_limit >= A_WAIT:
            self._wait.record(event.waited_for_limit, {LANE: event.lane, **dict(self._client)})

    def _abandoned(self, event: Abandoned) -> None:
        if event.item is not None:
            return  # its call has ended, and the result was not read
        self._add("leadsquared.calls", 1, self._outcome(event.operation, event.delivery, ABANDONED))
        if event.delivery is Delivery.ACCEPTED:
            self._attempt(event.operation, None, None)  # the event does not have its status

    def _dead_letter(self, event: DeadLetter) -> None:
        if event.owner == "call":
            self._add("leadsquared.calls", 1, self._outcome(event.operation, event.delivery, ABANDONED))
        attributes: Attributes = (
            (OPERATION, operation_kind(event.operation)),
            (STATE, event.state),
            (KIND, self._kind(event.kind)),
            (OWNER, event.owner),
            *self._client,
        )
        self._add("leadsquared.dead_letters", 1, attributes)

    def _processed(self, event: Processed) -> None:
        outcome = "confirmed" if event.succeeded else "rejected"
        self._lag.record(event.waited, {OPERATION: event.operation, OUTCOME: outcome, **dict(self._client)})

    def _outcome(self, operation: str, delivery: str, kind: str | None) -> Attributes:
        attributes: Attributes = (
            (OPERATION, operation_kind(operation)),
            (OUTCOME, str(delivery)),
            *self._client,
        )
        return attributes if kind is None else (*attributes, (ERROR, self._kind(kind)))


def add_retry_to_span(event: Event) -> None:
    """A subscriber that adds a retry to the current span, which is that of the call."""
    if isinstance(event, Retried) and (span := trace.get_current_span()).is_recording():
        status = {} if event.status_code is None else {STATUS: event.status_code}
        span.add_event("retry", {ERROR: event.kind, "leadsquared.delay": event.delay, **status})

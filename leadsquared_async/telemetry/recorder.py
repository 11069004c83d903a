"""Records a client's events as metrics, and adds its retries to the spans of their calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import trace

from leadsquared_async.events import (
    Abandoned,
    AttemptEnded,
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
    Instruments,
)

__all__ = ["MetricsRecorder", "add_retry_to_span"]

Attributes = dict[str, str | int]
ABANDONED = "CancelledError"
"""The error of a call whose caller has left."""


class MetricsRecorder:
    """A subscriber that records the events of one client.

    Args:
        instruments: record the metrics.
        client: the client's name.
    """

    def __init__(self, instruments: Instruments, client: str | None) -> None:
        self._names: Attributes = {} if client is None else {CLIENT: client}
        self._calls = instruments.counters["leadsquared.calls"]
        self._attempts = instruments.counters["leadsquared.attempts"]
        self._throttled = instruments.counters["leadsquared.throttled"]
        self._dead_letters = instruments.counters["leadsquared.dead_letters"]
        self._duration = instruments.histograms["leadsquared.call.duration"]
        self._wait = instruments.histograms["leadsquared.limit.wait"]
        self._lag = instruments.histograms["leadsquared.follow.lag"]
        self._record: dict[type[Event], Callable[[Any], None]] = {
            AttemptEnded: self._attempt_ended,
            CallEnded: self._call_ended,
            Abandoned: self._abandoned,
            DeadLetter: self._dead_letter,
            Processed: self._processed,
        }
        # Prometheus sees no increase in a series that begins with 1.
        self._throttled.add(0, self._names)

    def __call__(self, event: Event) -> None:
        record = self._record.get(type(event))
        if record is not None:
            record(event)

    def _attempt_ended(self, event: AttemptEnded) -> None:
        answer: Attributes = {} if event.kind is None else {ERROR: event.kind}
        if event.status_code is not None:
            answer = {STATUS: event.status_code}
        self._attempts.add(1, {OPERATION: operation_kind(event.operation), **answer, **self._names})
        if event.throttled:
            self._throttled.add(1, self._names)

    def _call_ended(self, event: CallEnded) -> None:
        outcome = self._outcome(event.operation, event.delivery, event.kind)
        self._calls.add(1, outcome)
        self._duration.record(event.duration, outcome)
        self._wait.record(event.waited_for_limit, {LANE: event.lane, **self._names})

    def _abandoned(self, event: Abandoned) -> None:
        if event.item is None:  # else its call has ended, and the result was not read
            self._calls.add(1, self._outcome(event.operation, event.delivery, ABANDONED))

    def _dead_letter(self, event: DeadLetter) -> None:
        if event.owner == "call":
            self._calls.add(1, self._outcome(event.operation, event.delivery, ABANDONED))
        self._dead_letters.add(
            1,
            {
                OPERATION: operation_kind(event.operation),
                STATE: event.state,
                KIND: event.kind,
                OWNER: event.owner,
                **self._names,
            },
        )

    def _processed(self, event: Processed) -> None:
        outcome = "confirmed" if event.succeeded else "rejected"
        self._lag.record(event.waited, {OPERATION: event.operation, OUTCOME: outcome, **self._names})

    def _outcome(self, operation: str, delivery: str, kind: str | None) -> Attributes:
        error: Attributes = {} if kind is None else {ERROR: kind}
        return {OPERATION: operation_kind(operation), OUTCOME: str(delivery), **error, **self._names}


def add_retry_to_span(event: Event) -> None:
    """A subscriber that adds a retry to the current span, which is that of the call."""
    if isinstance(event, Retried) and (span := trace.get_current_span()).is_recording():
        status = {} if event.status_code is None else {STATUS: event.status_code}
        span.add_event("retry", {ERROR: event.kind, "leadsquared.delay": event.delay, **status})

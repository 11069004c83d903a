"""A client's metrics. Imported only in programs that have set up OpenTelemetry's metrics."""

from __future__ import annotations

from collections.abc import Iterator

from leadsquared_async.http.session import Session
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.telemetry.gauges import Reading, watch
from leadsquared_async.telemetry.metrics import CLIENT, LANE, LIMIT, OPERATION, instruments
from leadsquared_async.telemetry.recorder import MetricsRecorder
from leadsquared_async.tracking import Trackers

__all__ = ["record"]


def record(session: Session, trackers: Trackers) -> None:
    """Record the metrics of an open client until it is closed."""
    session.events.subscribe(MetricsRecorder(instruments(), session.options.name))
    for stop in (
        watch(session, {"leadsquared.limit.tokens": _tokens, "leadsquared.limit.waiters": _waiters}),
        watch(trackers, {"leadsquared.follow.waiting": _followed}),
    ):
        session.when_closing(stop)


def _tokens(session: Session) -> Iterator[Reading]:
    for limit, bucket in _buckets(session):
        yield Reading(
            bucket.snapshot().free, bucket, {LIMIT: limit.name.lower(), CLIENT: session.options.name}
        )


def _waiters(session: Session) -> Iterator[Reading]:
    for limit, bucket in _buckets(session):
        for lane, waiting in bucket.snapshot().waiting.items():
            attributes = {LIMIT: limit.name.lower(), LANE: lane.name.lower(), CLIENT: session.options.name}
            yield Reading(waiting, bucket, attributes)


def _buckets(session: Session) -> list[tuple[Limit, TokenQueue]]:
    return list(session.buckets.items()) if session.is_of_this_process else []


def _followed(trackers: Trackers) -> Iterator[Reading]:
    for operation, waiting in trackers.waiting().items():
        yield Reading(waiting, trackers, {OPERATION: operation, CLIENT: trackers.client})

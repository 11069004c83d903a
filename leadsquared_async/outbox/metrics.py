"""An outbox's gauges. Imported only in programs that have set up OpenTelemetry's metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from leadsquared_async.outbox.service import Service
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.printable import one_line
from leadsquared_async.telemetry.gauges import Reading, watch
from leadsquared_async.telemetry.metrics import CLIENT, OUTBOX, SCOPE, STATE, instruments

__all__ = ["watch_delivery"]

Names = dict[str, str | None]


def watch_delivery(service: Service, writer: Writer, client: str | None) -> Callable[[], None]:
    """Read the gauges of an outbox until the returned function is called.

    Only the process that delivers reads them, so each file is counted once.

    Args:
        service: delivers.
        writer: gives access to the file.
        client: the client's name.
    """
    instruments()
    names: Names = {OUTBOX: one_line(writer.path.name), CLIENT: client}
    return watch(
        service,
        {
            "leadsquared.outbox.items": partial(_items, writer, names),
            "leadsquared.outbox.oldest.age": partial(_ages, writer, names),
            "leadsquared.held": partial(_held, names),
        },
    )


def _items(writer: Writer, names: Names, service: Service) -> Iterator[Reading]:
    counts = writer.read_at_once(Store.counts) if service.delivers else None
    for state, count in (counts or {}).items():
        yield Reading(count, service, {STATE: state.value, **names})


def _ages(writer: Writer, names: Names, service: Service) -> Iterator[Reading]:
    now = time.time()
    oldest = writer.read_at_once(Store.oldest_by_state) if service.delivers else None
    for state, put_at in (oldest or {}).items():
        yield Reading(max(0.0, now - put_at), service, {STATE: state.value, **names})


def _held(names: Names, service: Service) -> Iterator[Reading]:
    if service.delivers:
        for scope, is_held in service.scopes().items():
            yield Reading(is_held, service, {SCOPE: scope, **names})

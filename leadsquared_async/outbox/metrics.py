"""An outbox's gauges. Imported only in programs that have set up OpenTelemetry's metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from leadsquared_async.outbox.service import Service
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.telemetry.gauges import Reading, watch
from leadsquared_async.telemetry.metrics import CLIENT, OUTBOX, SCOPE, STATE, instruments

__all__ = ["watch_outbox"]

Names = dict[str, str | None]


def watch_outbox(writer: Writer, service: Service | None, client: str | None) -> Callable[[], None]:
    """Read the gauges of an open outbox until the returned function is called.

    Args:
        writer: gives access to the file.
        service: delivers; None if this process only puts.
        client: the client's name.
    """
    instruments()
    names: Names = {OUTBOX: writer.path.name, CLIENT: client}
    stop_items = watch(
        writer,
        {
            "leadsquared.outbox.items": partial(_items, names),
            "leadsquared.outbox.oldest.age": partial(_ages, names),
        },
    )
    stop_holds = None if service is None else watch(service, {"leadsquared.held": partial(_held, names)})

    def stop() -> None:
        stop_items()
        if stop_holds is not None:
            stop_holds()

    return stop


def _items(names: Names, writer: Writer) -> Iterator[Reading]:
    for state, count in (writer.read_at_once(Store.counts) or {}).items():
        yield Reading(count, writer.path, {STATE: state.value, **names})


def _ages(names: Names, writer: Writer) -> Iterator[Reading]:
    now = time.time()
    for state, put_at in (writer.read_at_once(Store.oldest_by_state) or {}).items():
        yield Reading(max(0.0, now - put_at), writer.path, {STATE: state.value, **names})


def _held(names: Names, service: Service) -> Iterator[Reading]:
    if service.delivers:
        for scope, is_held in service.scopes().items():
            yield Reading(is_held, service, {SCOPE: scope, **names})

"""What do events, spans and metrics cost?

CPU of `leads.capture` with a callback for events, a span and metrics, compared with the same capture without
them. Then in a program in which a library has imported OpenTelemetry's API and nobody has set it up. Spans
are dropped by their processor, because the cost of exporting them is not the client's.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from benchmarks.accounts import LEAD, client
from benchmarks.capture_cost import NO_LIMIT
from benchmarks.figures import Figure
from benchmarks.processes import Process
from leadsquared_async import Event, LeadSquared

ON, OFF = 1.25, 1.03
CALLS = 200
PAIRS = 61


def measure() -> Iterator[Figure]:
    """The ratios with everything on, and with OpenTelemetry imported by somebody else."""
    with Process("benchmarks.acceptor") as server:
        yield from asyncio.run(_measure(server.hello["url"]))


async def _measure(url: str) -> list[Figure]:
    tracers = TracerProvider()
    tracers.add_span_processor(SpanProcessor())  # drops each span: what exporting costs is not ours
    meters = MeterProvider([InMemoryMetricReader()])
    counted = 0

    def count(_: Event) -> None:
        nonlocal counted
        counted += 1

    @contextmanager
    def providers() -> Iterator[None]:
        before = trace.get_tracer_provider, metrics.get_meter_provider
        trace.get_tracer_provider, metrics.get_meter_provider = lambda: tracers, lambda: meters
        try:
            yield
        finally:
            trace.get_tracer_provider, metrics.get_meter_provider = before

    @contextmanager
    def nothing_imported() -> Iterator[None]:
        hidden = {name: sys.modules.pop(f"opentelemetry.{name}") for name in ("trace", "metrics")}
        try:
            yield
        finally:
            sys.modules.update({f"opentelemetry.{name}": module for name, module in hidden.items()})

    with providers():
        watched = client(url, rate_limit=NO_LIMIT, on_event=count)
        await watched.__aenter__()
    async with client(url, rate_limit=NO_LIMIT) as plain:
        try:
            on: list[tuple[float, float]] = []
            off: list[tuple[float, float]] = []
            await _cpu(plain)
            for _ in range(PAIRS):
                with providers():
                    with_all = await _cpu(watched)
                imported = await _cpu(plain)
                with nothing_imported():
                    without = await _cpu(plain)
                on.append((with_all, without))
                off.append((imported, without))
        finally:
            await watched.aclose()
    tracers.shutdown()
    meters.shutdown()
    assert counted >= 2 * CALLS * PAIRS  # sent, and the end
    return [
        _figure("capture with events, spans and metrics / without", on, ON),
        _figure("OpenTelemetry imported, not set up / not imported", off, OFF),
    ]


def _figure(what: str, pairs: list[tuple[float, float]], most: float) -> Figure:
    with_it, without = (statistics.median(side) * 1e6 for side in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    return Figure(what, ratio, most=most, note=f"{with_it:.0f} / {without:.0f} us of CPU a call")


async def _cpu(lsq: LeadSquared) -> float:
    """Seconds of this process's CPU for one call."""
    before = time.process_time()
    for _ in range(CALLS):
        await lsq.leads.capture(LEAD)
    return (time.process_time() - before) / CALLS

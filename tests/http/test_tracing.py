"""A span for each call, where the program traces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from leadsquared_async import Rejected
from leadsquared_async.sandbox import Faults, Sandbox
from tests.clients import LEAD, client_of


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What a program that traces exports."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def facts_of(span: ReadableSpan) -> dict[str, object]:
    return {name: value for name, value in (span.attributes or {}).items() if name != "leadsquared.waited"}


async def test_a_call_is_one_span_however_many_attempts_it_took(
    sandbox: Sandbox, spans: InMemorySpanExporter
) -> None:
    """A capture that failed once is one span, with its attempts, delivery, RequestID and reference."""
    sandbox.books.faults = Faults(script=("503",))
    async with client_of(sandbox) as lsq:
        receipt = await lsq.leads.capture(LEAD, reference="form-1")
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind) == ("leads.capture", trace.SpanKind.CLIENT)
    assert facts_of(span) == {
        "leadsquared.reference": "form-1",
        "leadsquared.delivery": "accepted",
        "leadsquared.attempts": 2,
        "leadsquared.request_id": receipt.request_id,
    }


async def test_a_failed_call_says_so_without_the_exception(
    sandbox: Sandbox, spans: InMemorySpanExporter
) -> None:
    """The span of a rejected lead has the error's name and delivery, and no recorded exception."""
    sandbox.books.faults = Faults(script=("500-mx",))
    async with client_of(sandbox) as lsq:
        with pytest.raises(Rejected):
            await lsq.leads.capture(LEAD)
    (span,) = spans.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, "Rejected")
    assert facts_of(span) == {"leadsquared.delivery": "rejected", "leadsquared.attempts": 1}
    assert not span.events

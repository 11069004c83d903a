"""A span for each call, where the program traces."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from leadsquared_async import LeadSquared, Rejected
from leadsquared_async.sandbox import Faults, Sandbox
from tests.clients import LEAD, client_of


def facts_of(span: ReadableSpan) -> dict[str, Any]:
    return {name: value for name, value in (span.attributes or {}).items() if name != "leadsquared.waited"}


def request_to(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": int(sandbox.url.rpartition(":")[2]),
        "url.template": "/lead/capture",
        "leadsquared.operation": "leads.capture",
    }


async def test_a_call_is_one_span_however_many_attempts_it_took(
    sandbox: Sandbox, spans: InMemorySpanExporter
) -> None:
    """A capture that failed once is one span, with its request, attempts, delivery, RequestID and names."""
    sandbox.books.faults = Faults(script=("503",))
    async with client_of(sandbox, name="acme") as lsq:
        receipt = await lsq.leads.capture(LEAD, reference="form-1")
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind) == ("leads.capture", trace.SpanKind.CLIENT)
    assert facts_of(span) == request_to(sandbox) | {
        "http.request.resend_count": 1,
        "http.response.status_code": 200,
        "leadsquared.client": "acme",
        "leadsquared.reference": "form-1",
        "leadsquared.delivery": "accepted",
        "leadsquared.attempts": 2,
        "leadsquared.request_id": receipt.request_id,
    }


async def test_a_failed_call_says_so_without_the_exception(
    sandbox: Sandbox, spans: InMemorySpanExporter
) -> None:
    """The span of a rejected lead has LeadSquared's name of the error, and no recorded exception."""
    sandbox.books.faults = Faults(script=("500-mx",))
    async with client_of(sandbox) as lsq:
        with pytest.raises(Rejected):
            await lsq.leads.capture(LEAD)
    (span,) = spans.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (
        trace.StatusCode.ERROR,
        "MXDuplicateEntryException",
    )
    assert facts_of(span) == request_to(sandbox) | {
        "error.type": "MXDuplicateEntryException",
        "http.response.status_code": 500,
        "leadsquared.delivery": "rejected",
        "leadsquared.attempts": 1,
    }
    assert "exception" not in {event.name for event in span.events}


async def test_a_path_that_may_hold_an_id_names_no_span(
    sandbox: Sandbox, spans: InMemorySpanExporter
) -> None:
    """A call of `lsq.request` is named "request" and has no url.template, since both must stay few."""
    async with client_of(sandbox) as lsq:
        await lsq.request("GET", "/lead/capture/metrics", keys="api_key")
    (span,) = spans.get_finished_spans()
    assert span.name == "request"
    assert span.attributes is not None
    assert span.attributes["leadsquared.operation"] == "GET /lead/capture/metrics"
    assert "url.template" not in span.attributes


@pytest.mark.usefixtures("polls_soon")
async def test_a_call_belongs_to_the_current_span_and_a_poll_to_none(
    sandbox: Sandbox, spans: InMemorySpanExporter
) -> None:
    """A capture is a child of the caller's span; a poll serves all waiters, so it begins a trace."""
    tracer = trace.get_tracer_provider().get_tracer("test")
    async with client_of(sandbox) as lsq:
        with tracer.start_as_current_span("form") as form:
            await lsq.leads.wait(await lsq.leads.capture(LEAD))
    by_name = {span.name: span for span in spans.get_finished_spans()}
    assert by_name["leads.capture"].parent == form.get_span_context()
    assert by_name["leads.capture status"].parent is None


async def test_a_span_processor_that_fails_harms_no_call(
    sandbox: Sandbox, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    """The lead was accepted, so its caller gets the receipt; the log has the error."""

    class Failing(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            raise OSError

    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(Failing())
    async with client_of(sandbox) as lsq:
        await lsq.leads.capture(LEAD)
    assert caplog.messages == ["leads.capture: ending the span failed with OSError"]


async def leave(lsq: LeadSquared) -> None:
    task = asyncio.create_task(lsq.leads.capture(LEAD))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])


async def close_the_coroutine(lsq: LeadSquared) -> None:
    call = lsq.leads.capture(LEAD)
    call.send(None)
    call.close()


@pytest.mark.parametrize(
    ("act", "error"), [(leave, "CancelledError"), (close_the_coroutine, "GeneratorExit")]
)
async def test_the_span_of_a_call_whose_caller_leaves_is_ended(
    act: Callable[[LeadSquared], Awaitable[None]], error: str, sandbox: Sandbox, spans: InMemorySpanExporter
) -> None:
    """It is exported, with the reason, and is no longer the current span."""
    sandbox.books.faults = Faults(latency=0.2)
    async with client_of(sandbox) as lsq:
        await act(lsq)
        assert not trace.get_current_span().get_span_context().is_valid
        (span,) = spans.get_finished_spans()
        assert span.attributes is not None
        assert span.attributes["error.type"] == error
        assert span.status.status_code is trace.StatusCode.ERROR


async def test_spans_alone_create_no_event_for_a_call_that_succeeds(
    sandbox: Sandbox, spans: InMemorySpanExporter
) -> None:
    """They need retries only, and an event costs a call more than the span's attributes."""
    async with client_of(sandbox) as lsq:
        events = lsq._session.events
        assert (events.wants(logging.DEBUG), events.wants(logging.INFO)) == (False, True)


def test_a_program_without_opentelemetry_imports_none_of_it() -> None:
    """Making a call does not import OpenTelemetry, whose import takes longer than the client's."""
    code = """
import asyncio, sys
from leadsquared_async.sandbox import Sandbox
from leadsquared_async.testing import client_of
async def main():
    async with Sandbox() as sandbox, client_of(sandbox) as lsq:
        await lsq.leads.capture({"FirstName": "Bret"})
asyncio.run(main())
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"

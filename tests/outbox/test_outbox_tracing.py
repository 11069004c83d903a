"""The span of a delivery is linked to the span in which its lead was put."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from leadsquared_async import Outbox, submissions
from leadsquared_async.sandbox import Sandbox
from tests.clients import client_of

PHONES = [f"+91-99887766{number:02}" for number in range(3)]


def deliveries(spans: InMemorySpanExporter, name: str) -> list[set[int]]:
    """The spans that each delivery's span is linked to, by their ids; each delivery begins a trace."""
    found = [span for span in spans.get_finished_spans() if span.name == name]
    assert all(span.parent is None for span in found)
    return [{link.context.span_id for link in span.links} for span in found]


async def test_a_delivery_is_linked_to_the_put(
    sandbox: Sandbox, spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    """Each delivery begins a trace of its own, even in an outbox opened within a span."""
    tracer = trace.get_tracer_provider().get_tracer("test")
    causes: list[set[int]] = []
    with tracer.start_as_current_span("start"):
        async with client_of(sandbox) as lsq, Outbox(tmp_path / "leads.db", lsq, confirm=False) as outbox:
            for phone in PHONES:
                with tracer.start_as_current_span("form") as form:
                    await outbox.put({"Phone": phone})
                causes.append({form.get_span_context().span_id})
            await outbox.drained()
    assert sorted(map(sorted, deliveries(spans, "leads.capture"))) == sorted(map(sorted, causes))


async def test_a_bulk_call_is_linked_to_every_put(
    sandbox: Sandbox, spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    """One call that carries several rows has a link for each."""
    tracer = trace.get_tracer_provider().get_tracer("test")
    causes: set[int] = set()
    async with client_of(sandbox) as lsq:
        async with Outbox(tmp_path / "leads.db") as outbox:
            for phone in PHONES:
                with tracer.start_as_current_span("row") as row:
                    await outbox.put(submissions.bulk_lead({"Phone": phone}))
                causes.add(row.get_span_context().span_id)
        async with Outbox(tmp_path / "leads.db", lsq) as outbox:
            await outbox.drained()
    assert deliveries(spans, "bulk.create_or_update") == [causes]


@pytest.mark.parametrize("text", ["", "00-1-2-3", "é" * 55, f"00-{'0' * 32}-{'0' * 16}-01", None])
async def test_a_damaged_context_is_no_link(
    sandbox: Sandbox, spans: InMemorySpanExporter, tmp_path: Path, text: str | None
) -> None:
    """A row whose context is missing or not valid is delivered, and its span has no link."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put({"Phone": PHONES[0]})
    file = sqlite3.connect(tmp_path / "leads.db")
    with file:
        assert file.execute("SELECT traceparent FROM items").fetchall() == [(None,)]
        file.execute("UPDATE items SET traceparent = ?", (text,))
    file.close()
    async with client_of(sandbox) as lsq, Outbox(tmp_path / "leads.db", lsq, confirm=False) as outbox:
        await outbox.drained()
    assert deliveries(spans, "leads.capture") == [set()]

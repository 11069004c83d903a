"""What a client's events become: counters, histograms, and events of spans."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from leadsquared_async import Delivery, Lane, LeadSquaredError, Outbox, RateLimit, Rejected, RetryPolicy
from leadsquared_async.events import Abandoned, AttemptFailed
from leadsquared_async.sandbox import Faults, Sandbox
from leadsquared_async.telemetry import metrics as table
from leadsquared_async.telemetry.metrics import METRICS
from leadsquared_async.telemetry.recorder import MetricsRecorder
from tests.clients import LEAD, client_of
from tests.collected import Collected

QUICK = RetryPolicy(attempts=3, base=0.001)
NAMED: dict[str, Any] = {"name": "acme", "retry": QUICK}


async def test_a_call_is_counted_with_its_outcome(sandbox: Sandbox, collected: Collected) -> None:
    """A success, a rejection with LeadSquared's exception and an unknown delivery are told apart."""
    sandbox.books.faults = Faults(script=("ok", "500-mx", "lost", "lost", "lost"))
    async with client_of(sandbox, **NAMED) as lsq:
        await lsq.leads.capture(LEAD)
        with pytest.raises(Rejected):
            await lsq.leads.capture(LEAD)
        with pytest.raises(LeadSquaredError):
            await lsq.leads.capture(LEAD, search_by="EmailAddress")
    calls = {
        ("acme", "leads.capture", "accepted"): 1,
        ("MXDuplicateEntryException", "acme", "leads.capture", "rejected"): 1,
        ("ConnectionFailed", "acme", "leads.capture", "unknown"): 1,
    }
    assert collected.points("leadsquared.calls") == calls
    assert collected.points("leadsquared.call.duration") == calls
    assert collected.points("leadsquared.limit.wait") == {}


async def test_a_wait_is_recorded_if_there_was_one(sandbox: Sandbox, collected: Collected) -> None:
    """In the call's lane; a call that finds a free token has not waited."""
    async with client_of(sandbox, **NAMED, rate_limit=RateLimit(1, per=0.05)) as lsq:
        await lsq.leads.capture(LEAD)
        await lsq.with_options(lane=Lane.BATCH).leads.capture(LEAD)
    assert collected.points("leadsquared.limit.wait") == {("acme", "batch"): 1}


async def test_each_attempt_is_counted_by_its_answer(sandbox: Sandbox, collected: Collected) -> None:
    """By status, or by error without an answer, whether it is retried or the last one; 429s as well."""
    sandbox.books.faults = Faults(script=("503", "429", "ok", "lost", "ok"))
    async with client_of(sandbox, **NAMED) as lsq:
        await lsq.leads.capture(LEAD)
        await lsq.leads.capture(LEAD, search_by="EmailAddress")
    attempts = collected.points("leadsquared.attempts")
    assert attempts == {
        ("200", "acme", "leads.capture"): 2,
        ("429", "acme", "leads.capture"): 1,
        ("503", "acme", "leads.capture"): 1,
        ("ConnectionFailed", "acme", "leads.capture"): 1,
    }
    assert collected.points("leadsquared.throttled") == {("acme",): 1}


async def test_a_call_whose_caller_leaves_is_counted(sandbox: Sandbox, collected: Collected) -> None:
    """Its outcome comes later; the error says that nobody waited for it."""
    sandbox.books.faults = Faults(latency=0.1)
    async with client_of(sandbox, **NAMED) as lsq:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(lsq.leads.capture(LEAD), 0.05)
    calls = {("CancelledError", "acme", "leads.capture", "accepted"): 1}
    assert collected.points("leadsquared.calls") == calls
    assert collected.points("leadsquared.attempts") == {("acme", "leads.capture"): 1}


@pytest.mark.parametrize(
    ("fault", "outcome", "status"),
    [
        ("500-mx", "rejected", "500"),
        ("lost", "unknown", "ConnectionFailed"),
    ],
)
@pytest.mark.parametrize("leaves", [False, True])
async def test_a_call_that_fails_is_counted_once(
    sandbox: Sandbox, collected: Collected, fault: str, outcome: str, status: str, *, leaves: bool
) -> None:
    """And so is its attempt, whether its caller gets the error or has left before."""
    sandbox.books.faults = Faults(probabilities={fault: 1.0}, latency=0.1)
    async with client_of(sandbox, name="acme", retry=RetryPolicy(attempts=1)) as lsq:
        with pytest.raises((LeadSquaredError, TimeoutError)):
            await asyncio.wait_for(lsq.leads.capture(LEAD), 0.03 if leaves else 20)
    calls = collected.points("leadsquared.calls")
    assert {(keys[-1], count) for keys, count in calls.items()} == {(outcome, 1)}
    assert {"CancelledError" in keys for keys in calls} == {leaves}
    assert collected.points("leadsquared.attempts") == {(status, "acme", "leads.capture"): 1}


def test_the_failed_attempt_of_a_caller_that_left_is_counted_once(collected: Collected) -> None:
    """`attempt_failed` has told it; the end of a call that was never sent counts the call only."""
    left = Abandoned(operation="leads.capture", reference=None, request_id=None, delivery=Delivery.NOT_SENT)
    MetricsRecorder(table.instruments(), None)(left)
    assert collected.points("leadsquared.attempts") == {}
    assert collected.points("leadsquared.calls") == {("CancelledError", "leads.capture", "not_sent"): 1}


def test_a_result_that_was_not_read_is_no_second_call(collected: Collected) -> None:
    """Its call has ended before its batch was left."""
    left = Abandoned(
        operation="leads.capture", reference=None, request_id="1", delivery=Delivery.ACCEPTED, item=3
    )
    MetricsRecorder(table.instruments(), None)(left)
    assert collected.points("leadsquared.calls") == {}


async def test_a_path_that_may_hold_an_id_is_no_attribute(sandbox: Sandbox, collected: Collected) -> None:
    """All calls of `lsq.request` are one operation."""
    async with client_of(sandbox, **NAMED) as lsq:
        await lsq.request("GET", "/lead/capture/metrics", keys="api_key")
    assert collected.points("leadsquared.calls") == {("acme", "request", "accepted"): 1}
    assert collected.points("leadsquared.attempts") == {("200", "acme", "request"): 1}


def test_errors_have_a_bounded_number_of_names(collected: Collected, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that invents names fills no memory, nothing goes uncounted, and no client loses its series."""
    monkeypatch.setattr(table, "MOST_KINDS", 2)
    for number, client in ((1, "a"), (2, "a"), (3, "a"), (4, "b"), (1, "b")):
        failed = AttemptFailed(
            operation="leads.capture",
            reference=None,
            delivery=Delivery.REJECTED,
            fault=None,
            kind=f"MX{number}Exception",
            status_code=None,
        )
        MetricsRecorder(table.instruments(), client)(failed)
    assert collected.points("leadsquared.attempts") == {
        ("MX1Exception", "a", "leads.capture"): 1,
        ("MX2Exception", "a", "leads.capture"): 1,
        ("_OTHER", "a", "leads.capture"): 1,
        ("_OTHER", "b", "leads.capture"): 1,
        ("MX1Exception", "b", "leads.capture"): 1,
    }


def test_many_accounts_have_series_of_their_own(collected: Collected) -> None:
    """An agency's 300 clients and more: none disappears in a common series."""
    for number in range(1200):
        table.instruments().add("leadsquared.calls", 1, (("leadsquared.client", str(number)),))
    assert len(collected.points("leadsquared.calls")) == 1200


@pytest.mark.usefixtures("polls_soon")
async def test_a_processed_request_has_a_lag(sandbox: Sandbox, collected: Collected) -> None:
    """Once for each request, with what became of it."""
    async with client_of(sandbox, **NAMED) as lsq:
        receipt = await lsq.leads.capture(LEAD)
        await asyncio.gather(lsq.leads.wait(receipt), lsq.leads.wait(receipt))
    assert collected.points("leadsquared.follow.lag") == {("acme", "leads.capture", "confirmed"): 1}


async def test_a_dead_letter_is_counted_with_its_reason(
    sandbox: Sandbox, collected: Collected, tmp_path: Path
) -> None:
    """By operation, state, LeadSquared's exception and who had it."""
    sandbox.books.faults = Faults(script=("500-mx",))
    async with client_of(sandbox, **NAMED) as lsq, Outbox(tmp_path / "leads.db", lsq) as outbox:
        await outbox.put(LEAD)
        await outbox.drained()
    assert collected.points("leadsquared.dead_letters") == {
        ("acme", "MXDuplicateEntryException", "leads.capture", "outbox", "rejected"): 1
    }
    assert list(collected.points("leadsquared.calls").values()) == [1]


async def test_the_points_have_the_attributes_that_the_table_says(
    sandbox: Sandbox, collected: Collected, tmp_path: Path
) -> None:
    """No metric has an attribute that is not listed, and none has a value of a lead, a reference or an id."""
    sandbox.books.faults = Faults(script=("503", "500-mx", "ok"))
    async with (
        client_of(sandbox, **NAMED, rate_limit=RateLimit(1000, per=1)) as lsq,
        Outbox(tmp_path / "leads.db", lsq, confirm=False) as outbox,
    ):
        for _ in range(3):
            await outbox.put(LEAD, reference="form-4711", key=None)
        await outbox.drained()
        receipt = await lsq.leads.capture(LEAD, reference="form-4711")
        found = list(collected.metrics())
    table = {metric.name: set(metric.attributes) for metric in METRICS}
    for metric in found:
        for point in metric.data.data_points:
            assert set(point.attributes or {}) <= table[metric.name], metric.name
            shown = str(point.attributes)
            for secret in (*LEAD.values(), "form-4711", receipt.request_id):
                assert secret not in shown
    assert {metric.name for metric in found} >= {
        name
        for name in table
        if "follow" not in name and name not in {"leadsquared.limit.wait", "leadsquared.outbox.oldest.age"}
    }


async def test_a_retry_is_an_event_of_the_span(sandbox: Sandbox, spans: InMemorySpanExporter) -> None:
    """It has the error, the status and the pause before the next attempt."""
    sandbox.books.faults = Faults(script=("503", "ok"))
    async with client_of(sandbox, **NAMED) as lsq:
        await lsq.leads.capture(LEAD)
    (span,) = spans.get_finished_spans()
    (event,) = span.events
    assert event.name == "retry"
    assert event.attributes is not None
    facts = dict(event.attributes)
    assert 0.0 <= float(str(facts.pop("leadsquared.delay"))) <= 0.001
    assert facts == {"error.type": "ServerError", "http.response.status_code": 503}

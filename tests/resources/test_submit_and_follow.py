"""Many submissions sent and followed in one loop, and waits for requests that a batch left."""

from __future__ import annotations

import asyncio
import itertools
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from leadsquared_async import (
    ClientClosed,
    Delivery,
    Forbidden,
    InvalidLead,
    LeadSquared,
    LeadSquaredError,
    NoSuchPath,
    QuotaExceeded,
    Result,
    RetryPolicy,
    StillProcessing,
    Submission,
    batch,
    submissions,
)
from leadsquared_async.sandbox import Books, Faults
from tests.batches import WIDE, leads, read, taken
from tests.clients import LEAD, play

NEVER = 0.001
"""Requests processed a minute: none in the time of a test."""


def assert_accepted(result: Result[Any], error: type[LeadSquaredError]) -> None:
    """LeadSquared has the lead, and the result says so although following it failed."""
    assert result.receipt is not None
    assert type(result.error) is error
    assert (result.error.delivery, result.error.safe_to_retry) == (Delivery.ACCEPTED, False)
    assert result.error.reference == result.receipt.reference
    assert (result.ok, result.status) == (False, None)


def test_each_result_has_its_receipt_and_its_outcome() -> None:
    """An invalid lead has an error; a lead that LeadSquared fails to process has a FAILED status."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        rows: list[Any] = [*leads(40)]
        rows[3], rows[5] = {"Tags": ["x"]}, {**LEAD, "mx_Typo": "x"}
        done = await taken(lsq.leads.capture_many(rows, follow=True))
        assert [result.item for result in done] == rows
        assert [result.index for result in done if not result.ok] == [3, 5]
        assert isinstance(done[3].error, InvalidLead)
        assert (done[3].receipt, done[3].status) == (None, None)
        assert done[5].status is not None
        assert "mx_Typo" in str(done[5].status.reason)
        for result in done[:3] + done[6:]:
            assert result.receipt is not None
            assert result.status is not None
            assert result.status.request_id == result.receipt.request_id
            assert result.status.lead_id in books.leads
        assert pickle.loads(pickle.dumps(done[4:])) == done[4:]
        asked = sum(arrival.operation == "status" for arrival in books.arrivals)
        assert asked <= 2 * len(rows)  # the sweeps are shared

    play(send, attributes={"EmailAddress", "FirstName"}, processing_rate=300)


def test_outcomes_come_as_they_complete_while_others_are_sent() -> None:
    """The first outcome comes long before the last lead is sent; results follow the queue's order."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        indices, accepted = [], []
        async with lsq.leads.capture_many(leads(200), follow=True, concurrency=4) as results:
            async for result in results:
                indices.append(result.index)
                accepted.append(books.accepted)
        assert accepted[0] < 30
        assert sorted(indices) == list(range(200))
        assert sum(later < earlier for earlier, later in itertools.pairwise(indices)) < 20

    play(send, processing_rate=600)


def test_what_is_followed_keeps_nothing_from_being_sent() -> None:
    """All are accepted at the limit's rate, and each unprocessed one gets `StillProcessing` at its
    deadline."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        start = books.now
        done = []
        async with lsq.leads.capture_many(
            (submissions.capture_lead(lead, reference=lead["EmailAddress"]) for lead in leads(300)),
            follow=True,
            concurrency=4,
        ) as results:
            async for result in results:
                done.append(result)
                assert_accepted(result, StillProcessing)
        accepted = [arrival.time - start for arrival in books.arrivals if arrival.operation == "capture"]
        assert len(accepted) == 300
        assert accepted[-1] < 1.15 * 300 / 5 * 2  # status calls take half of the rate at most
        assert books.now - start < accepted[-1] + 102.0
        assert {result.reference for result in done} == {lead["EmailAddress"] for lead in leads(300)}

    play(send, options={"deadline": 100.0}, processing_rate=NEVER)


def test_no_more_are_held_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing is processed, the source is read until the followed requests reach their limit."""
    monkeypatch.setattr(batch, "FOLLOWED", 10)
    pulled = 0

    def counted() -> Iterator[dict[str, str]]:
        nonlocal pulled
        for pulled, lead in enumerate(leads(1000), start=1):  # noqa: B007
            yield lead

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(counted(), follow=True, concurrency=3) as results:
            await asyncio.sleep(200.0)
            assert (pulled, books.accepted) == (13, 13)
            books.faults = Faults()
            for count in range(1, 30):
                await anext(results)
                assert pulled <= 13 + count

    play(send, options={"deadline": 1000.0, "rate_limit": WIDE}, processing_rate=1, limit=None)


@pytest.mark.parametrize("many", [True, False])
def test_a_status_path_that_does_not_exist_stops_nothing(many: bool) -> None:
    """The path may be inferred: leads are still sent, and each result has receipt and error."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        if many:
            done = await taken(lsq.submit_many(map(submissions.capture_lead, leads(60)), follow=True))
        else:
            done = await taken(lsq.leads.capture_many(leads(60), follow=True))
        assert len(done) == books.accepted == 60
        for result in done:
            assert_accepted(result, NoSuchPath)

    play(send, paths={"capture status": "/moved"})


def test_an_account_error_of_a_status_call_stops_the_batch() -> None:
    """The keys are rejected: pulling stops, accepted leads have receipts, and the error is raised."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        done = await taken(lsq.leads.capture_many(leads(), follow=True, concurrency=2), Forbidden)
        accepted = [result for result in done if result.receipt is not None]
        assert len(accepted) == books.accepted > 0
        for result in accepted:
            assert_accepted(result, Forbidden)
        left = [result.error for result in done if result.receipt is None]
        assert all(error is not None and error.delivery is Delivery.NOT_SENT for error in left)

    play(send, Faults(latency=0.1, probabilities={"403": 1.0}, operations=("status",)))


def test_an_account_error_lets_what_was_accepted_be_followed() -> None:
    """The quota stops sending; outcomes of accepted leads still come, then the error is raised."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        many = lsq.leads.capture_many(leads(100), follow=True, concurrency=2)
        done = await taken(many, QuotaExceeded)
        assert [result.ok for result in done if result.receipt is not None] == [True] * 10
        assert books.accepted == 10

    script = (*["ok"] * 10, *["quota"] * 20)
    play(send, Faults(latency=0.1, script=script, operations=("capture",)), processing_rate=60)


def test_leaving_a_batch_that_follows_is_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """No RequestID is lost: each was read or is logged, with its reference."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        made = (submissions.capture_lead(lead, reference=f"row-{n}") for n, lead in enumerate(leads(20)))
        async with lsq.leads.capture_many(made, follow=True):
            await asyncio.sleep(30.0)
            start = books.now
        assert books.now - start < 0.1
        lines = [vars(record) for record in caplog.records if vars(record).get("event") == "abandoned"]
        logged = {line["request_id"]: line["reference"] for line in lines}
        assert logged.keys() == {request["request_id"] for request in books.requests}
        assert set(logged.values()) == {f"row-{n}" for n in range(20)}

    play(send, processing_rate=NEVER)


def test_an_outcome_that_nobody_read_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A success is a warning, a failed lead an error; no line has a value of a lead."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        rows = [LEAD, {**LEAD, "mx_Typo": "planted"}]
        async with lsq.leads.capture_many(rows, follow=True):
            await asyncio.sleep(60.0)

    play(send, attributes={"EmailAddress", "FirstName"})
    lines = [vars(record) for record in caplog.records if "item" in vars(record)]
    assert sorted((line["levelname"], line["event"], line.get("kind")) for line in lines) == [
        ("ERROR", "dead_letter", "MXUnknownAttributeException"),
        ("WARNING", "abandoned", None),
    ]
    assert all(line["request_id"] for line in lines)
    assert "planted" not in caplog.text


def test_a_client_that_is_closed_while_it_follows_loses_no_receipt() -> None:
    """Each accepted lead has its receipt and ClientClosed."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(leads(20), follow=True) as results:
            await asyncio.sleep(30.0)
            await lsq.aclose()
            done = await read(results, ClientClosed)
        assert len(done) == books.accepted == 20
        for result in done:
            assert_accepted(result, ClientClosed)

    play(send, processing_rate=NEVER)


@pytest.mark.parametrize("ends", [True, False])
def test_what_is_accepted_while_the_client_closes_has_its_receipt(*, ends: bool) -> None:
    """The calls in flight end within the grace; they are not followed."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        source = leads(8 if ends else None)
        async with lsq.leads.capture_many(source, follow=True, concurrency=8) as results:
            await asyncio.sleep(1.0)
            closing = asyncio.create_task(lsq.aclose())
            done = await read(results, ClientClosed)
            await closing
        assert books.accepted >= 5
        accepted = [result for result in done if result.receipt is not None]
        assert len(accepted) == books.accepted
        for result in accepted:
            assert_accepted(result, ClientClosed)

    play(send, Faults(latency=2.0), {"rate_limit": WIDE}, limit=None)


def test_submissions_of_several_operations_are_followed_at_their_own_paths() -> None:
    """Each gets its own outcome."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        rows = [
            submissions.capture_lead(LEAD, reference="lead"),
            submissions.log_call("key", {"SourceNumber": "1"}, reference="call"),
        ]
        done = await taken(lsq.submit_many(rows, follow=True))
        assert [(result.reference, result.ok) for result in done] == [("lead", True), ("call", True)]
        assert done[0].status is not None
        assert done[0].status.lead_id in books.leads

    play(send)


# wait_many


def test_results_of_a_batch_are_waited_for() -> None:
    """The batch itself is a source: accepted leads are followed, others keep their errors, and final ones are
    not polled again."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        rows: list[Any] = [LEAD, {"Tags": ["x"]}, {"EmailAddress": "b1@example.com"}]
        async with lsq.leads.capture_many(rows) as captured:
            outcomes = await taken(lsq.wait_many(captured))
        by_row = {outcome.item.index: outcome for outcome in outcomes}
        assert [by_row[row].ok for row in range(3)] == [True, False, True]
        assert by_row[1].error is by_row[1].item.error
        assert isinstance(by_row[1].error, InvalidLead)
        assert by_row[0].receipt is by_row[0].item.receipt
        asked = len(books.arrivals)
        again = await taken(lsq.wait_many(outcomes))
        assert [outcome.status for outcome in again] == [outcome.status for outcome in outcomes]
        assert len(books.arrivals) == asked

    play(send)


def test_an_error_that_is_passed_through_stops_no_wait() -> None:
    """Not even an account-level error that another batch raised."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        receipt = await lsq.leads.capture(LEAD)
        refused: Result[Any] = Result(0, LEAD, error=Forbidden(delivery=Delivery.REJECTED))
        refused.error.scope = batch.Scope.ACCOUNT  # type: ignore[union-attr]
        outcomes = await taken(lsq.wait_many([refused, receipt, refused, receipt.request_id]))
        assert [outcome.ok for outcome in outcomes] == [False, True, False, True]

    play(send)


def test_a_wait_that_ran_out_is_taken_up_again() -> None:
    """A result with a receipt is followed again, whatever error its last wait had."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        (late,) = await taken(lsq.with_options(deadline=5).leads.capture_many([LEAD], follow=True))
        assert_accepted(late, StillProcessing)
        (outcome,) = await taken(lsq.wait_many([late]))
        assert outcome.ok
        assert outcome.item is late

    play(send, processing_rate=6)


def test_ids_receipts_and_results_of_any_iterable() -> None:
    """An asynchronous source may mix all three."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        receipt = await lsq.leads.capture(LEAD, reference="form-1")
        (result,) = await taken(lsq.leads.capture_many([LEAD]))

        async def source() -> AsyncIterator[Any]:
            for item in (receipt, receipt.request_id, result):
                yield item

        outcomes = await taken(lsq.wait_many(source()))
        assert all(outcome.ok for outcome in outcomes)
        assert [outcome.reference for outcome in outcomes] == ["form-1", None, None]

    play(send)


async def delivery_of(wait: Awaitable[object]) -> Delivery:
    with pytest.raises(LeadSquaredError) as caught:
        await wait
    return caught.value.delivery


def test_a_receipt_is_proof_that_it_was_accepted() -> None:
    """An error of its wait says ACCEPTED; for a bare RequestID never seen the delivery is unknown."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        receipt = await lsq.leads.capture(LEAD, reference="form-1")
        assert await delivery_of(lsq.wait(receipt, deadline=0.5)) is Delivery.ACCEPTED
        assert await delivery_of(lsq.wait(receipt.request_id, deadline=0.5)) is Delivery.UNKNOWN

    play(send, processing_rate=NEVER)


# Rows with options of their own


@pytest.mark.parametrize("how", ["capture_many", "bulk"])
def test_a_row_may_be_a_submission_with_a_reference(how: str) -> None:
    """Mixed with plain mappings; one of another operation has its error, and does not stop the others."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        is_capture = how == "capture_many"
        make: Callable[..., Submission] = submissions.capture_lead if is_capture else submissions.bulk_lead
        rows: list[Any] = [
            make({"FirstName": "Bret", "Phone": "+91-9988776655"}, search_by="Phone", reference="row-1"),
            LEAD,
            submissions.log_call("key", {"SourceNumber": "1"}, reference="row-3"),
        ]
        many = lsq.leads.capture_many(rows) if is_capture else lsq.bulk.create_or_update(rows)
        first, second, third = await taken(many)
        assert (first.ok, second.ok, third.ok) == (True, True, False)
        assert [result.reference for result in (first, second, third)] == ["row-1", None, "row-3"]
        assert isinstance(third.error, InvalidLead)
        assert third.error.reference == "row-3"
        assert "calls.log" in str(third.error)
        if is_capture:
            assert first.receipt is not None
            assert first.receipt.reference == "row-1"
        await asyncio.sleep(60.0)
        assert {lead.attributes.get("Phone") for lead in books.leads.values()} == {"+91-9988776655", None}

    play(send, options={"retry": RetryPolicy(attempts=1)})

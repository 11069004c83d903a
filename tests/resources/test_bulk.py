"""Leads in calls of 25: the requests, failed calls, and the limit beside captures."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest
import respx

from leadsquared_async import (
    AuthenticationFailed,
    ClientClosed,
    ConfigurationError,
    Delivery,
    Fault,
    InvalidLead,
    LeadSquared,
    RateLimit,
    Rejected,
    RetryPolicy,
    ServerError,
    Timeout,
    submissions,
)
from leadsquared_async.sandbox import COUNTERS, Books, Faults
from tests import clients
from tests.batches import ONCE, SYNC, WIDE, facts, lead, lead_id, leads, row, taken
from tests.clients import KEYS, answering

URL = "https://api-in21.leadsquared.com/v2/LeadManagement.svc/Lead/Bulk/CreateOrUpdate"


def play(what: Callable[[LeadSquared, Books], Awaitable[Any]], *args: Any, **account: Any) -> Any:
    """As `clients.play`, and no call was over the limit or had a key in the wrong place."""

    async def use(lsq: LeadSquared, books: Books) -> Any:
        result = await what(lsq, books)
        await lsq.aclose()
        assert books.over_limit == 0
        assert not books.misplaced_keys
        return result

    return clients.play(use, *args, **account)


# What goes out


async def test_a_bulk_call_is_sent_to_the_letter(respx_mock: respx.MockRouter) -> None:
    """It is a POST to the synchronous host with the keys in the query and an array of arrays."""
    route = respx_mock.post(URL).respond(json=[])
    async with LeadSquared(**KEYS, region="in21") as lsq:
        await taken(
            lsq.bulk.create_or_update(
                [
                    {"EmailAddress": "email0@gmail.com", "FirstName": "F0Name", "mx_City": "C0Name"},
                    {"EmailAddress": "email1@gmail.com", "mx_KYC": {"Status": "Pending"}},
                ],
                search_by="EmailAddress",
            )
        )
    request = route.calls.last.request
    assert request.url.query == (
        b"accessKey=u%24r0123456789abcdef0123456789abcdef&secretKey=fedcba9876fedcba9876fedcba9876fedcba9876"
    )
    assert request.headers["content-type"] == "application/json"
    assert request.content.decode() == (
        '[[{"Attribute":"EmailAddress","Value":"email0@gmail.com"},'
        '{"Attribute":"FirstName","Value":"F0Name"},{"Attribute":"mx_City","Value":"C0Name"},'
        '{"Attribute":"SearchBy","Value":"EmailAddress"}],'
        '[{"Attribute":"EmailAddress","Value":"email1@gmail.com"},'
        '{"Attribute":"mx_KYC","Value":"","Fields":[{"Attribute":"Status","Value":"Pending"}]},'
        '{"Attribute":"SearchBy","Value":"EmailAddress"}]]'
    )


async def test_the_path_can_be_another_one() -> None:
    """`paths` takes the bulk call by its name."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return httpx.Response(200, json=[row(1)])

    async with answering(answer, **SYNC, paths={"bulk.create_or_update": "/v3/bulk"}) as lsq:
        await taken(lsq.bulk.create_or_update([lead(0)]))
    assert seen == ["/v3/bulk"]


async def paced(count: int) -> AsyncIterator[dict[str, str]]:
    for item in leads(count):
        await asyncio.sleep(0.01)
        yield item


@pytest.mark.parametrize("source", [list, iter, tuple, "asynchronous"])
@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (25, [25]), (26, [25, 1]), (60, [25, 25, 10])]
)
def test_any_number_of_leads_goes_in_calls_of_25(source: Any, count: int, sizes: list[int]) -> None:
    """Each lead of any kind of source has a result with its index and the lead."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        items = paced(count) if source == "asynchronous" else source(list(leads(count)))
        results = await taken(lsq.bulk.create_or_update(items))
        assert [len(json.loads(body)) for body in books.attempts] == sizes
        assert [result.index for result in results] == list(range(count))
        assert [result.item for result in results] == list(leads(count))
        assert all(result.ok and facts(result)[1] for result in results)
        assert {lead_id(result) for result in results} == set(books.leads)
        assert [arrival.operation for arrival in books.arrivals] == ["bulk"] * len(sizes)

    play(send)


def test_a_lead_that_is_there_is_updated() -> None:
    """The second call returns the same id, not as created."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        (first,) = await taken(lsq.bulk.create_or_update([lead(1)]))
        (second,) = await taken(lsq.bulk.create_or_update([lead(1, mx_City="Pune")]))
        assert facts(first)[1:] == (True, False)
        assert facts(second)[1:] == (False, True)
        assert lead_id(first) == lead_id(second)
        assert books.requests == []

    play(send)


# What fails


async def test_a_lead_that_cannot_be_sent_leaves_the_others_their_call() -> None:
    """Invalid leads are not sent; the answer's row numbers count the sent leads only."""
    bodies: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json=[row(number) for number in range(1, len(bodies[-1]) + 1)])

    source: list[Any] = [lead(0), {"Tags": ["x"]}, lead(2), 7, None, {}, lead(6)]
    async with answering(answer, **SYNC) as lsq:
        results = await taken(lsq.bulk.create_or_update(source))
        assert [type(result.error) for result in results if result.error] == [InvalidLead] * 4
        assert [lead_id(result) for result in results if not result.error] == ["lead-1", "lead-2", "lead-3"]
        assert [result.item for result in results] == source
        await taken(lsq.bulk.create_or_update([{}, {}]))  # nothing is left: no call
    assert [len(body) for body in bodies] == [3]


def test_normalize_and_validate_are_the_clients() -> None:
    """Bulk leads are prepared as captures are: normalised, checked, with dropped attributes named."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        results = await taken(
            lsq.bulk.create_or_update([lead(1, mx_Nope="x"), {"EmailAddress": " B2@example.com "}])
        )
        assert [result.dropped for result in results] == [("mx_Nope",), ()]
        assert {known.attributes["EmailAddress"] for known in books.leads.values()} == {
            "b1@example.com",
            "b2@example.com",
        }

    def tidy(values: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**values, "EmailAddress": values["EmailAddress"].strip().lower()}

    play(send, options={"normalize": tidy, "validate": "drop"}, attributes=["EmailAddress"])


@pytest.mark.parametrize(
    ("status", "body", "kind", "fault"),
    [
        (500, {"Status": "Error", "ExceptionType": "MXInvalidInputException"}, Rejected, Fault.LEAD),
        (200, {"Status": "Error", "ExceptionType": "MXInvalidInputException"}, Rejected, Fault.LEAD),
        (503, {"message": "Service Unavailable"}, ServerError, Fault.SERVER),
        (200, None, ServerError, Fault.SERVER),
    ],
)
async def test_a_call_that_fails_gives_its_error_to_each_of_its_leads(
    status: int, body: object, kind: type[Exception], fault: Fault
) -> None:
    """The next calls are sent."""
    count = itertools.count()

    def answer(request: httpx.Request) -> httpx.Response:
        if next(count) == 0:
            content = json.dumps(body) if body is not None else "<html>"
            return httpx.Response(status, text=content)
        rows = range(1, len(json.loads(request.content)) + 1)
        return httpx.Response(200, json=[row(number) for number in rows])

    async with answering(answer, **SYNC, bulk_limit=WIDE, retry=ONCE) as lsq:
        results = await taken(lsq.bulk.create_or_update(leads(40), concurrency=1))
    failed = [result for result in results if result.error is not None]
    assert [result.index for result in failed] == list(range(25))
    assert all(isinstance(result.error, kind) and result.error.fault is fault for result in failed)


@pytest.mark.parametrize("waits", [False, True])
def test_an_account_fault_stops_the_pulling(waits: bool) -> None:
    """Pulled but unsent leads, waiting ones included, are NOT_SENT, and the iteration raises the error."""
    pulled: list[int] = []

    async def source() -> AsyncIterator[dict[str, str]]:
        for number in itertools.count():
            pulled.append(number)
            yield lead(number)
            if waits and number == 29:
                await asyncio.sleep(1000.0)

    async def send(lsq: LeadSquared, books: Books) -> None:
        results = await taken(lsq.bulk.create_or_update(source()), AuthenticationFailed)
        assert sorted(result.index for result in results) == pulled
        kinds = [(type(result.error), result.error.delivery) for result in results if result.error]
        assert kinds.count((AuthenticationFailed, Delivery.REJECTED)) == 25
        assert kinds.count((AuthenticationFailed, Delivery.NOT_SENT)) == len(pulled) - 25
        assert len(books.arrivals) == 1

    play(send, Faults(latency=0.1, probabilities={"401": 1.0}))


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        ([lead(0), lead(1)], 3),
        ([lead(0), {"FirstName": "Bret"}], 1),
        ([lead(0), {"ProspectID": "5a4d"}], 1),  # its page does not say that a lead is looked for by it
    ],
)
async def test_a_call_is_repeated_only_if_every_lead_in_it_is_matched(source: Any, calls: int) -> None:
    """After a lost answer, one unidentified lead prevents a retry of the whole call."""
    count = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        raise httpx.ReadTimeout("")

    retry = RetryPolicy(attempts=3, base=0.0)
    async with answering(answer, **SYNC, retry=retry, bulk_limit=WIDE) as lsq:
        results = await taken(lsq.bulk.create_or_update(source))
    assert count == calls
    assert all(isinstance(result.error, Timeout) for result in results)
    assert {result.error.delivery for result in results if result.error} == {Delivery.UNKNOWN}


def test_what_a_source_gave_before_it_failed_is_sent() -> None:
    """A chunk cut short by the source's error is still sent; then the iteration raises the error."""

    async def failing() -> AsyncIterator[dict[str, str]]:
        for item in leads(30):
            yield item
        await asyncio.sleep(1.0)
        raise ZeroDivisionError

    async def send(lsq: LeadSquared, books: Books) -> None:
        results = await taken(lsq.bulk.create_or_update(failing()), ZeroDivisionError)
        assert sorted(result.index for result in results) == list(range(30))
        assert all(result.error is None for result in results)
        assert len(books.leads) == 30

    play(send)


def test_only_a_few_chunks_are_held() -> None:
    """The source is read only as far as calls may be pending, even with a slow consumer."""
    pulled = itertools.count()
    ahead: list[int] = []

    async def send(lsq: LeadSquared, books: Books) -> None:
        last = 0

        def source() -> Iterator[dict[str, str]]:
            nonlocal last
            for number in range(2_000):
                last = next(pulled)
                yield lead(number)

        async with lsq.bulk.create_or_update(source(), concurrency=3) as many:
            async for result in many:
                await asyncio.sleep(0.01)
                ahead.append(last - result.index)
        assert len(ahead) == 2_000

    play(send, options={"bulk_limit": WIDE}, bulk_limit=None)
    assert max(ahead) <= 4 * 25


def test_leaving_early_sends_nothing_more_and_logs_what_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    """The call in flight is awaited; each unread lead of it has a log line with its id."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.bulk.create_or_update({"EmailAddress": f"{n}@x.example"} for n in range(200)) as many:
            async for _ in many:
                await asyncio.sleep(5.05)  # the second call is in flight
                break
        assert len(books.arrivals) == 2

    with caplog.at_level(logging.WARNING, "leadsquared_async"):
        play(send, Faults(latency=0.2))
    records = [vars(record) for record in caplog.records]
    assert len(records) == 24 + 25
    assert all(record["event"] == "abandoned" and record["lead_id"] for record in records)
    assert all(f", lead {record['lead_id']}" in record["message"] for record in records)


async def test_invalid_arguments_are_rejected_at_once() -> None:
    """Zero concurrency, a missing synchronous host, and a bulk lead in `submit` raise."""
    async with answering(lambda _: httpx.Response(200), **SYNC) as lsq:
        with pytest.raises(ConfigurationError, match="concurrency"):
            lsq.bulk.create_or_update([], concurrency=0)
        with pytest.raises(ConfigurationError, match=r"lsq\.bulk"):
            await lsq.submit(submissions.bulk_lead(lead(1)))
    with pytest.raises(ClientClosed):
        await taken(lsq.bulk.create_or_update([lead(1)]))
    async with answering(lambda _: httpx.Response(200)) as lsq:
        with pytest.raises(ConfigurationError, match="synchronous host"):
            lsq.bulk.create_or_update([lead(1)])


# Beside captures


# A sliding counter that does not round takes one call in two windows where it allows one in each.
@pytest.mark.slow
@pytest.mark.parametrize("counting", sorted(COUNTERS.keys() - {"sliding-counter-strict"}))
@pytest.mark.parametrize("bulk_limit", [RateLimit(1, per=5.0), RateLimit(5, per=5.0)])
def test_bulk_calls_and_captures_have_a_limit_each(bulk_limit: RateLimit, counting: str) -> None:
    """A thousand leads each way at once get no 429, each way as fast as alone."""

    async def send(lsq: LeadSquared, books: Books) -> tuple[float, float]:
        start = books.now

        async def bulk() -> float:
            source = ({"EmailAddress": f"bulk{number}@x.example"} for number in range(1000))
            assert all(result.error is None for result in await taken(lsq.bulk.create_or_update(source)))
            return books.now - start

        async def capture() -> float:
            source = ({"EmailAddress": f"one{number}@x.example"} for number in range(1000))
            async with lsq.leads.capture_many(source) as results:
                assert all([result.error is None async for result in results])
            return books.now - start

        in_bulk, captured = await asyncio.gather(bulk(), capture())
        await asyncio.sleep(60.0)  # the queue of captures
        assert len(books.leads) == 2000
        assert books.by_outcome == {"200": 1040}
        return in_bulk, captured

    in_bulk, captured = play(
        send,
        Faults(latency=0.04, tail=0.04),
        options={"bulk_limit": bulk_limit},
        counting=counting,
        bulk_limit=(bulk_limit.calls, bulk_limit.per),
    )
    assert 1000 / captured > 0.93 * 25 / 5.0
    assert 1000 / in_bulk > 0.93 * 25 * bulk_limit.calls / bulk_limit.per

"""Leads in calls of 25: the requests, and the outcome of each row."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest
import respx
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async import (
    APIError,
    AuthenticationFailed,
    ClientClosed,
    ConfigurationError,
    Delivery,
    Fault,
    InvalidLead,
    LeadSquared,
    RateLimit,
    RateLimited,
    Rejected,
    RetryPolicy,
    ServerError,
    Timeout,
    submissions,
)
from leadsquared_async.batch import Pending
from leadsquared_async.models import field_of
from leadsquared_async.resources.bulk_call import read_rows
from leadsquared_async.results import Result
from leadsquared_async.sandbox import COUNTERS, Books, Faults
from tests import clients
from tests.batches import WIDE, lead, leads, taken
from tests.clients import KEYS, answering
from tests.leaks import PERSON, assert_nothing_secret, shown

URL = "https://api-in21.leadsquared.com/v2/LeadManagement.svc/Lead/Bulk/CreateOrUpdate"
SYNC = {"sync_host": "https://api.sandbox.invalid"}
ONCE = RetryPolicy(attempts=1)


def row(number: object, **other: object) -> dict[str, object]:
    """A row of the answer as documented."""
    known = {"LeadId": f"lead-{number}", "LeadCreated": True, "LeadUpdated": False, "AffectedRows": 1}
    return {"RowNumber": number, **known, **other}


def lead_id(result: Result[Any]) -> str | None:
    return None if result.status is None else result.status.lead_id


def facts(result: Result[Any]) -> tuple[str | None, bool | None, bool | None]:
    """The lead's id, whether it is new, and whether LeadSquared says that it was updated."""
    if result.status is None:
        return None, None, None
    assert result.status.succeeded
    assert result.status.is_final
    return (
        result.status.lead_id,
        result.status.created,
        result.status.message and field_of(result.status.message, "LeadUpdated"),
    )


async def sent(answer: object, source: Any = None, status: int = 200, **options: Any) -> list[Result[Any]]:
    """The results of leads whose single call gets this answer."""
    options = {**SYNC, "bulk_limit": WIDE, "retry": ONCE, **options}
    async with answering(lambda _: httpx.Response(status, json=answer), **options) as lsq:
        return await taken(lsq.bulk.create_or_update(list(leads(2)) if source is None else source))


def play(what: Callable[[LeadSquared, Books], Awaitable[Any]], *args: Any, **account: Any) -> Any:
    """The same; in the end no call was over the limit, and none had a key in the wrong place."""

    async def use(lsq: LeadSquared, books: Books) -> Any:
        result = await what(lsq, books)
        await lsq.aclose()
        assert books.over_limit == 0
        assert not books.misplaced_keys
        return result

    return clients.play(use, *args, **account)


# What goes out


async def test_a_bulk_call_is_sent_to_the_letter(respx_mock: respx.MockRouter) -> None:
    """POST Lead/Bulk/CreateOrUpdate on the synchronous host, the keys in the query, an array of arrays."""
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
    """From any kind of source; each lead has a result, with its index and the lead."""

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
    """The second time the same id comes back, not as created."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        (first,) = await taken(lsq.bulk.create_or_update([lead(1)]))
        (second,) = await taken(lsq.bulk.create_or_update([lead(1, mx_City="Pune")]))
        assert facts(first)[1:] == (True, False)
        assert facts(second)[1:] == (False, True)
        assert lead_id(first) == lead_id(second)
        assert books.requests == []

    play(send)


# What comes back


async def test_an_answer_is_read_to_the_letter() -> None:
    """RowNumber, LeadId, LeadCreated, LeadUpdated and AffectedRows of the documentation."""
    first, second = await sent(
        [
            {
                "RowNumber": 1,
                "LeadId": "9a19a6a2-3d5f-11e6-8ec6-22000aa4133b",
                "LeadCreated": True,
                "LeadUpdated": False,
                "AffectedRows": 1,
            },
            {
                "RowNumber": 2,
                "LeadId": "0c0ea2b4-3d60-11e6-8ec6-22000aa4133b",
                "LeadCreated": False,
                "LeadUpdated": True,
                "AffectedRows": 1,
            },
        ]
    )
    assert (first.index, first.item, first.receipt, first.error) == (0, lead(0), None, None)
    assert facts(first) == ("9a19a6a2-3d5f-11e6-8ec6-22000aa4133b", True, False)
    assert (second.index, second.item, second.receipt, second.error) == (1, lead(1), None, None)
    assert facts(second) == ("0c0ea2b4-3d60-11e6-8ec6-22000aa4133b", False, True)


REFUSED = "MXDuplicateEntryException"
WORDS = "A Lead with same Email already exists."
NOTHING_DONE = {"LeadId": "", "LeadCreated": False, "LeadUpdated": False, "AffectedRows": 0}


@pytest.mark.parametrize(
    ("kind", "error", "delivery", "fault", "safe_to_retry"),
    [
        ("SqlException", ServerError, Delivery.UNKNOWN, Fault.SERVER, True),
        ("MXAPIRateLimitExceededException", RateLimited, Delivery.REJECTED, Fault.LIMIT, True),
        ("MXUnAuthorizedAccessException", AuthenticationFailed, Delivery.REJECTED, Fault.ACCOUNT, False),
    ],
)
async def test_a_row_is_not_rejected_for_an_error_that_is_not_its_own(
    kind: str, error: type[APIError], delivery: Delivery, fault: Fault | None, safe_to_retry: bool
) -> None:
    """As for a whole call, only an MX exception is the lead's fault, except about limit and keys."""
    answer = [{"RowNumber": 1, "ExceptionType": kind, "ErrorMessage": "Rerun the transaction."}]
    raised = error if error is AuthenticationFailed else None  # it is the account's
    async with answering(lambda request: httpx.Response(200, json=answer), **SYNC) as lsq:
        (result,) = await taken(lsq.bulk.create_or_update([lead(0)]), raised)
    assert result.error is not None
    assert type(result.error) is error
    assert (result.error.delivery, result.error.fault) == (delivery, fault)
    assert result.error.safe_to_retry is safe_to_retry


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({**NOTHING_DONE, "ExceptionType": REFUSED, "ErrorMessage": WORDS}, REFUSED, WORDS),
        ({**NOTHING_DONE, "ExceptionType": REFUSED, "ExceptionMessage": WORDS}, REFUSED, WORDS),
        ({"exceptiontype": REFUSED, "errormessage": WORDS, "leadid": None}, REFUSED, WORDS),
        ({"ExceptionType": REFUSED}, REFUSED, None),
        ({"LeadId": None, "ErrorMessage": WORDS}, None, WORDS),
        ({"Status": "Error"}, None, None),
        ({"Status": "Failed", "LeadId": "lead-2"}, None, None),
        ({"LeadId": "lead-2", "ExceptionType": REFUSED, "ExceptionMessage": WORDS}, REFUSED, WORDS),
    ],
)
async def test_a_row_that_failed_is_rejected(
    answer: dict[str, object], kind: str | None, words: str | None
) -> None:
    """Every known spelling is read, with LeadSquared's words; the other rows are unaffected."""
    good, bad = await sent([row(1), {"RowNumber": 2, **answer}])
    assert good.error is None
    error = bad.error
    assert isinstance(error, Rejected)
    assert (error.exception_type, error.exception_message) == (kind, words)
    assert (error.delivery, error.fault, error.safe_to_retry) == (Delivery.REJECTED, Fault.LEAD, False)
    assert (error.operation, error.attempts, error.status_code) == ("bulk.create_or_update", 1, 200)
    assert str(error).startswith("bulk.create_or_update: row 2 of the call: LeadSquared rejected the lead")
    assert str(error).endswith(". Not accepted.")
    assert (bad.ok, bad.status, bad.receipt) == (False, None, None)


@pytest.mark.parametrize("number", [2, "2", " 2 ", 2.0])
@pytest.mark.parametrize("name", ["RowNumber", "rownumber", "ROWNUMBER"])
@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"Response": rows}])
async def test_rows_are_matched_by_their_number(number: object, name: str, wrap: Any) -> None:
    """Rows may come in any order, case and type, bare or wrapped."""
    answer = wrap([{name: number, "leadid": "second"}, {name: 1, "LEADID": "first"}])
    assert [lead_id(result) for result in await sent(answer)] == ["first", "second"]


@pytest.mark.parametrize(
    "answer",
    [
        [row(1)],
        [row(1), row(2), row(2, LeadId="another")],
        [row(1), {"RowNumber": 2, **NOTHING_DONE}],
        [row(1), {"LeadId": "of whom?"}],
        [row(1), "row 2", None, 2, [2], {"RowNumber": True}, {"RowNumber": None}, {"RowNumber": 1.5}],
    ],
)
async def test_a_row_that_is_missing_may_have_arrived(answer: object) -> None:
    """A lead without a row of its own has an unknown delivery, and the message says so."""
    good, bad = await sent(answer)
    assert lead_id(good) == "lead-1"
    assert isinstance(bad.error, ServerError)
    assert (bad.error.delivery, bad.error.fault) == (Delivery.UNKNOWN, Fault.SERVER)
    assert bad.error.safe_to_retry  # it is identified
    assert "row 2 of the call" in str(bad.error)
    assert str(bad.error).endswith(". It may have arrived.")


@pytest.mark.parametrize("numbers", [(0, 1), (1, 3), (-1, 2), (2, 10**400)])
async def test_an_answer_that_counts_otherwise_gives_nobody_anothers_id(numbers: tuple[int, int]) -> None:
    """If one number is out of range, all are unknown: a wrong lead's id is worse than none."""
    results = await sent([row(number) for number in numbers])
    assert [result.status for result in results] == [None, None]
    assert all(result.error is not None and result.error.delivery is Delivery.UNKNOWN for result in results)


@pytest.mark.parametrize("answer", [None, {}, [], "", 7, {"Status": "Success", "Message": []}, [[]]])
async def test_an_answer_without_rows_leaves_all_unknown(answer: object) -> None:
    """HTTP 200 without rows does not count as delivered."""
    errors = [result.error for result in await sent(answer)]
    assert [error is not None and error.delivery for error in errors] == [Delivery.UNKNOWN] * 2


ROW = st.dictionaries(
    st.sampled_from(
        ["RowNumber", "rowNumber", "LeadId", "LeadCreated", "ExceptionType", "ErrorMessage", "Status"]
    ),
    st.one_of(st.none(), st.booleans(), st.integers(-2, 30), st.floats(), st.text(max_size=5), st.just("1")),
)
ANSWER = st.recursive(
    st.one_of(st.none(), st.text(max_size=3), ROW),
    lambda inner: st.one_of(st.lists(inner, max_size=8), st.dictionaries(st.text(max_size=3), inner)),
    max_leaves=12,
)


@pytest.mark.slow
@given(ANSWER, st.integers(1, 25))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_each_lead_has_one_outcome(answer: object, count: int) -> None:
    """Any answer can be read, and a lead has an id only from the one row with its number."""
    rows = read_rows(answer, count)
    assert all(1 <= number <= count for number in rows)

    async def send(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answer)

    try:
        json.dumps(answer, allow_nan=False)
    except ValueError:
        return  # httpx would not send it
    results = asyncio.run(sent(answer, list(leads(count))))
    assert [result.index for result in results] == list(range(count))
    for number, result in enumerate(results, start=1):
        assert (result.error is None) == (lead_id(result) is not None or any(facts(result)[1:]))
        if result.error is None:
            assert isinstance(rows[number], Mapping)


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
    """The next calls continue."""
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
    """It would hit every lead: pulled but unsent leads are NOT_SENT, also those that wait for a full call,
    and the iteration raises the error."""
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
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 24 + 25
    assert all("result not read" in line and "is lead " in line for line in lines)


async def test_invalid_arguments_are_rejected_at_once() -> None:
    """Zero concurrency, no synchronous host; and a bulk lead has no RequestID to wait for."""
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


# What shows


async def test_a_row_shows_no_person() -> None:
    """LeadSquared quotes values; message and repr contain none, only the body does."""
    words = f"{PERSON['EmailAddress']} of {PERSON['FirstName']} exists"
    (result,) = await sent([{"RowNumber": 1, "ExceptionType": "MXEcho", "ErrorMessage": words}], [PERSON])
    assert isinstance(result.error, Rejected)
    pending = Pending(0, [PERSON], 0.0, asyncio.Semaphore(1), asyncio.Semaphore(1))
    assert_nothing_secret(f"{result!r} {result.error} {result.error!r} {pending!r}")
    assert words in str(result.error.exception_message)
    assert words in str(result.error.body)
    refused, unknown = await sent([], [{**PERSON, "Tags": ["x"]}, PERSON])
    for each in (refused.error, unknown.error, result.error):
        assert each is not None
        assert_nothing_secret(shown(each))


async def test_a_result_survives_pickling_and_does_not_change() -> None:
    """A worker can pass it on."""
    good, bad = await sent([row(1)])
    assert pickle.loads(pickle.dumps(good)) == good
    assert str(pickle.loads(pickle.dumps(bad)).error) == str(bad.error)
    with pytest.raises(AttributeError):
        good.status = None  # type: ignore[misc]


# Beside captures


# A sliding counter that does not round takes one call in two windows where it allows one in each.
@pytest.mark.slow
@pytest.mark.parametrize("counting", sorted(COUNTERS.keys() - {"sliding-counter-strict"}))
@pytest.mark.parametrize("bulk_limit", [RateLimit(1, per=5.0), RateLimit(5, per=5.0)])
def test_bulk_calls_and_captures_have_a_limit_each(bulk_limit: RateLimit, counting: str) -> None:
    """A thousand leads each way at once on one account: no 429, and each way as fast as it is alone."""

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

"""The outcome of each lead of a bulk call, as the rows of the answer state it."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async import (
    APIError,
    AuthenticationFailed,
    Delivery,
    Fault,
    RateLimited,
    Rejected,
    ServerError,
)
from leadsquared_async.batch import Pending
from leadsquared_async.resources.bulk_call import read_rows
from leadsquared_async.results import Result
from tests.batches import ONCE, SYNC, WIDE, facts, lead, lead_id, leads, row, taken
from tests.clients import answering
from tests.leaks import PERSON, assert_nothing_secret, shown


async def sent(answer: object, source: Any = None, status: int = 200, **options: Any) -> list[Result[Any]]:
    """The results of leads whose single call gets this answer."""
    options = {**SYNC, "bulk_limit": WIDE, "retry": ONCE, **options}
    async with answering(lambda _: httpx.Response(status, json=answer), **options) as lsq:
        return await taken(lsq.bulk.create_or_update(list(leads(2)) if source is None else source))


async def test_an_answer_is_read_to_the_letter() -> None:
    """The documented RowNumber, LeadId, LeadCreated, LeadUpdated and AffectedRows are read."""
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
    """Only an MX exception is the lead's fault, except about limit and keys, as for a whole call."""
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
async def test_a_row_number_out_of_range_leaves_all_unknown(numbers: tuple[int, int]) -> None:
    """No lead gets the id of another one."""
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
def test_each_lead_of_any_answer_has_one_outcome(answer: object, count: int) -> None:
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

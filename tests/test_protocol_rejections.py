"""A rejection is raised as one under any HTTP status, by every call that reads an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from leadsquared_async import (
    AuthenticationFailed,
    Delivery,
    Fault,
    LeadSquared,
    LeadSquaredError,
    Rejected,
    RequestState,
    RetryPolicy,
    ServerError,
)
from leadsquared_async.client import parts_of
from leadsquared_async.models import read_status
from leadsquared_async.resources.account_report import examine
from tests.clients import LEAD, answering

STATUSES = [200, 201, 202, 204, 400, 500, 502, 503]
GUID = "5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4"
SYNC: dict[str, Any] = {"sync_host": "https://sync.invalid"}

# What each reader takes for a success when it stands alone.
SUCCESS = {
    "RequestID": GUID,
    "TaskStatus": {"Status": "Success"},
    "PendingMessages": 1,
    "MaxDelayInSeconds": 0,
    "ProcessingRatePerMinute": 1,
    "Id": GUID,
    "Rows": [{"RowNumber": 1, "LeadId": GUID, "LeadCreated": True}],
}


async def rows(lsq: LeadSquared) -> Any:
    async with lsq.bulk.create_or_update([LEAD]) as results:
        async for result in results:
            if result.error is not None:
                raise result.error


async def verify(lsq: LeadSquared) -> Any:
    checks = (await examine(parts_of(lsq), [])).checks
    keys = next(check for check in checks if check.name == "keys")
    if keys.error is not None:
        assert (keys.verdict == "wrong") is (keys.error.fault is Fault.ACCOUNT)
        raise keys.error
    return keys


READERS: dict[str, Callable[[LeadSquared], Awaitable[Any]]] = {
    "capture": lambda lsq: lsq.leads.capture(LEAD),
    "activity": lambda lsq: lsq.activities.create(GUID, event=1),
    "status": lambda lsq: lsq.leads.status(GUID),
    "metrics": lambda lsq: lsq.leads.metrics(),
    "fields": lambda lsq: lsq.fields.list(),
    "request": lambda lsq: lsq.request("GET", "/v2/Any.svc/Thing"),
    "post": lambda lsq: lsq.request("POST", "/v2/Any.svc/Thing", json={}),
    "bulk": rows,
    "verify": verify,
}
WRITERS = {"capture", "activity", "post", "bulk"}


def rejection(**said: Any) -> dict[str, Any]:
    return {**SUCCESS, **said}


BODIES: dict[str, tuple[dict[str, Any], type[LeadSquaredError]]] = {
    "an error without a type": (
        rejection(Status="Error", ExceptionMessage="Delete is not enabled"),
        Rejected,
    ),
    "an error without a word": (rejection(status="ERROR"), Rejected),
    "an MX exception": (rejection(Status="Error", ExceptionType="MXNewException"), Rejected),
    "an MX exception by its flag": (rejection(IsMXException=True), Rejected),
    "the keys' user": (
        rejection(Status="Error", ExceptionMessage="Invalid User Details!"),
        AuthenticationFailed,
    ),
    "keys": (rejection(Status="Error", ExceptionType="MXUnAuthorizedAccessException"), AuthenticationFailed),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("reader", READERS)
async def test_every_reader_sees_a_rejection_under_any_status(reader: str, body: str) -> None:
    """Nothing else in the answer makes it a success or another error."""
    content, error = BODIES[body]
    for status in STATUSES:
        answer = httpx.Response(status, json=content)
        async with answering(lambda _, answer=answer: answer, retry=RetryPolicy(attempts=1), **SYNC) as lsq:
            with pytest.raises(error) as caught:
                await READERS[reader](lsq)
        assert caught.value.delivery is Delivery.REJECTED, status


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("NullReferenceException", 200),
        ("NullReferenceException", 500),
        ("System.ArgumentNullException", 202),
        ("System.ArgumentNullException", 504),
    ],
)
@pytest.mark.parametrize("reader", READERS)
async def test_an_exception_that_stays_ends_with_its_name(reader: str, kind: str, status: int) -> None:
    """After three attempts a write is rejected, and a read raises ServerError."""
    calls = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += "Authentication" in request.url.path or reader != "verify"
        return httpx.Response(status, json=rejection(Status="Error", ExceptionType=kind))

    policy = RetryPolicy(attempts=6, base=0.001)
    async with answering(answer, retry=policy, **SYNC) as lsq:
        with pytest.raises(Rejected if reader in WRITERS else ServerError, match=kind) as caught:
            await READERS[reader](lsq)
    assert calls == 3
    assert caught.value.safe_to_retry is (reader not in WRITERS)
    if reader in WRITERS:
        assert (caught.value.delivery, caught.value.fault) == (Delivery.REJECTED, Fault.LEAD)


async def test_an_exception_that_passes_is_no_rejection() -> None:
    """The next attempt is accepted, even of a lead that LeadSquared could not match."""
    answers = [
        httpx.Response(500, json={"Status": "Error", "ExceptionType": "NullReferenceException"}),
        httpx.Response(200, json={"RequestID": GUID}),
    ]
    async with answering(lambda _: answers.pop(0), retry=RetryPolicy(base=0.001), **SYNC) as lsq:
        assert (await lsq.leads.capture({"FirstName": "Bret"})).attempts == 2


@pytest.mark.parametrize("body", BODIES)
def test_a_status_is_read_by_the_same_rule(body: str) -> None:
    """The same answer inside a status makes that status FAILED."""
    content, _ = BODIES[body]
    status = read_status({"TaskStatus": {"Status": "Success", "Message": content}}, GUID)
    assert status is not None
    assert (status.state, status.is_final, status.lead_id) == (RequestState.FAILED, True, None)


@pytest.mark.parametrize(
    "body", [None, {}, [], {"Id": ""}, {"Id": " "}, {"Id": None}, {"Name": "N"}, {"Id": 7}]
)
async def test_keys_are_ok_once_a_user_was_seen(body: Any) -> None:
    """An answer without a user's id says nothing about the keys."""
    async with answering(lambda _: httpx.Response(200, json=body), **SYNC) as lsq:
        checks = (await examine(parts_of(lsq), [])).checks
    assert {check.name: check.verdict for check in checks}["keys"] == "unknown"

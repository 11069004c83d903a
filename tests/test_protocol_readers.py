"""Anything at any place of any answer: a well-formed result or an error of the package, quickly."""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadsquared_async import (
    LeadSquared,
    LeadSquaredError,
    QueueMetrics,
    Receipt,
    RequestStatus,
    Result,
    RetryPolicy,
)
from leadsquared_async.client import parts_of
from leadsquared_async.fields import LeadField
from leadsquared_async.models import id_in
from leadsquared_async.resources.account_report import AccountReport, examine
from tests import virtual
from tests.clients import LEAD, answering

GUID = "5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4"


async def rows(lsq: LeadSquared) -> Any:
    async with lsq.bulk.create_or_update([LEAD]) as results:
        found = [result async for result in results]
    # The status of a bulk call has no RequestID.
    return [result.status and replace(result.status, request_id=GUID) for result in found] + [*found]


READERS: dict[str, tuple[Callable[[LeadSquared], Awaitable[Any]], Any]] = {
    "capture": (lambda lsq: lsq.leads.capture(LEAD), {"Status": "Request accepted", "RequestID": GUID}),
    "status": (
        lambda lsq: lsq.leads.status(GUID),
        {
            "RequestId": GUID,
            "TaskStatus": {
                "TaskType": "Lead Capture",
                "Status": "Success",
                "StatusReason": "",
                "RequestBody": "[]",
                "Message": {
                    "Status": "Success",
                    "Message": {"Id": GUID, "RelatedId": GUID, "IsCreated": True},
                },
            },
        },
    ),
    "metrics": (
        lambda lsq: lsq.leads.metrics(),
        {"PendingMessages": 1, "MaxDelayInSeconds": 0, "ProcessingRatePerMinute": 24.8},
    ),
    "fields": (
        lambda lsq: lsq.fields.list(),
        [
            {"SchemaName": "EmailAddress", "DisplayName": "E", "DataType": "Email", "MaxLength": "50"},
            {"SchemaName": "mx_A", "IsMandatory": True, "RangeMin": 1, "Options": [{"Value": "a"}]},
        ],
    ),
    "bulk": (rows, [{"RowNumber": 1, "LeadId": GUID, "LeadCreated": True, "AffectedRows": 1}]),
    "verify": (
        lambda lsq: examine(parts_of(lsq), ["EmailAddress"]),
        {"Id": GUID, "LSQCommonServiceURLs": {"api": "api-in21.leadsquared.com"}},
    ),
    "request": (lambda lsq: lsq.request("POST", "/x", json={}), {"Status": "Success", "Rows": [{"a": 1}]}),
}

ODD = st.sampled_from(
    [
        "a b",
        "\ud800",
        "a\nb",
        "\x1b[2J",
        "\u202e",
        "x" * 5000,
        "",
        " ",
        "Error",
        "NaN",
        "1e999",
        "-5",
        "9" * 4000,
        int("9" * 4000),
        -1,
        2**64,
        1.5,
        True,
        None,
        [],
        {},
        "=1+1",
    ]
)
ANYTHING = st.recursive(
    ODD | st.text(st.characters(), max_size=5) | st.integers() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Status", "RequestID", "ExceptionType", "message", "Id", "RowNumber"])
            | st.text(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def places(data: Any) -> Iterator[tuple[Any, ...]]:
    """The paths to every value."""
    yield ()
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield from ((key, *rest) for rest in places(value))


def with_at(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The data with another value at a place."""
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = with_at(data[path[0]], path[1:], value)
    return copy


def assert_well_formed(result: Any) -> None:
    """Of its declared types, within bounds, and fit to be pickled and stored."""
    pickle.dumps(result)
    for name in ("request_id", "lead_id", "activity_id", "opportunity_id"):
        found = getattr(result, name, None)
        assert found is None or id_in(found) == found
    match result:
        case QueueMetrics():
            assert type(result.pending) is int
            assert all(map(math.isfinite, (result.pending, result.max_delay, result.rate_per_minute)))
        case RequestStatus():
            assert type(result.is_final) is bool
            assert result.created is None or type(result.created) is bool
        case LeadField():
            assert type(result.max_length) in {int, type(None)}
            assert type(result.range_min) in {Decimal, type(None)}
            assert all(type(option) is str for option in result.options)
        case Receipt() | Result() | AccountReport():
            pass
        case list() | tuple():
            for one in result:
                assert_well_formed(one)
        case _:
            assert not is_dataclass(result)
            json.dumps(result, allow_nan=False)
    if is_dataclass(result):
        for field in fields(result):
            value = getattr(result, field.name)
            if isinstance(value, str):
                value.encode()


def read(reader: str, content: str, status: int) -> None:
    call, _ = READERS[reader]

    async def ask() -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(status, content=content.encode("utf-8", "surrogatepass"))

        options: dict[str, Any] = {"sync_host": "https://sync.invalid", "retry": RetryPolicy(attempts=1)}
        async with answering(answer, deadline=1.0, **options) as lsq:
            try:
                result = await call(lsq)
            except LeadSquaredError as error:
                result = error
        if isinstance(result, LeadSquaredError):
            assert f"{result} {result!r}".isprintable()
            pickle.loads(pickle.dumps(result))
        else:
            assert_well_formed(result)

    began = time.process_time()
    virtual.run(ask)
    assert time.process_time() - began < 1.0


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize("reader", READERS)
def test_anything_at_any_place_of_an_answer(reader: str, data: st.DataObject) -> None:
    """One value of a good answer is another; nothing but our errors comes of it."""
    good = READERS[reader][1]
    place = data.draw(st.sampled_from(list(places(good))))
    body = with_at(good, place, data.draw(ANYTHING))
    read(reader, json.dumps(body), data.draw(st.sampled_from([200, 500])))


BODIES = {
    "deep": "[" * 200_000,
    "deep and whole": "[" * 500 + "]" * 500,
    "deep inside": '{"Status":' * 900 + "1" + "}" * 900,
    "long numbers": "[" + ",".join(["9" * 5000] * 100) + "]",
    "many lists": "[" + ",".join(["[]"] * 60_000) + "]",
    "a key twice": '{"RequestID":"a","RequestID":"b","Id":"a","Id":"b"}',
    "no number": '{"PendingMessages":NaN,"MaxDelayInSeconds":Infinity,"Id":1e999}',
    "halves": '["' + "\\ud800" * 150_000 + '"]',
    "no UTF-8": "\udcff" * 10,
    "nothing": "",
    "a number": "1e400",
    "an unfinished string": '"' + "\\" * 900_001,
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("reader", READERS)
def test_a_body_made_to_break_a_parser(reader: str, body: str) -> None:
    """It counts as unreadable, and costs little."""
    read(reader, BODIES[body], 200)
    if reader == "capture":  # the body of an error is read in one place for all
        read(reader, BODIES[body], 500)

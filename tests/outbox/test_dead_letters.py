"""Each item that ends rejected or unknown is one log record at ERROR."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from leadsquared_async import Outbox, Receipt, submissions
from leadsquared_async.outbox import ItemState
from leadsquared_async.outbox import deliver as deliver_module
from leadsquared_async.sandbox import Faults
from leadsquared_async.sandbox.answers import Reply
from tests.outbox.machine import Machine, by_state, items, lead, played

ATTRIBUTES = ["EmailAddress", "FirstName"]
PERSON = "Zqplanted"
SYNC = {"sync_host": "https://sandbox.invalid"}


def answering(machine: Machine, status: int, body: dict[str, Any], *, at: str = "") -> None:
    """From now on every submission whose body holds these words is answered so."""
    inner = machine._transport

    class Answering(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "POST" and at in (await request.aread()).decode():
                return httpx.Response(status, json=body, request=request)
            return await inner.handle_async_request(request)

    machine._transport = Answering()  # type: ignore[assignment]


def deaths(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The records about items, with what was added to them."""
    names = (
        "state",
        "owner",
        "item",
        "operation",
        "reference",
        "kind",
        "request_id",
        "delivery",
        "levelname",
    )
    found = [record for record in caplog.records if getattr(record, "event", "") == "dead_letter"]
    assert all(PERSON not in str(vars(record)) for record in found)
    return [{name: getattr(record, name) for name in names} for record in found]


async def refused_at_once(machine: Machine) -> None:
    refusal = {"Status": "Error", "ExceptionType": "MXFooException", "ExceptionMessage": PERSON}
    answering(machine, 500, refusal)
    await put_and_drain(machine)


async def refused_later(machine: Machine) -> None:
    await put_and_drain(machine, mx_Nope="x")


async def refused_in_bulk(machine: Machine) -> None:
    row = {"RowNumber": 1, "ExceptionType": "MXDuplicateEntryException", "ErrorMessage": PERSON}
    answering(machine, 200, [row])  # type: ignore[arg-type]
    async with machine.process(SYNC) as outbox:
        await outbox.put(submissions.bulk_lead({"FirstName": PERSON, "Phone": "1"}, reference="form-1"))
        await outbox.drained()


async def failed_at_again_and_again(machine: Machine) -> None:
    named = {"Status": "Error", "ExceptionType": "NullReferenceException", "ExceptionMessage": PERSON}
    answering(machine, 500, named)
    await put_and_drain(machine)


async def lost_without_an_answer(machine: Machine) -> None:
    async with machine.process() as outbox:
        await outbox.put({"FirstName": PERSON}, reference="form-1")
        await outbox.drained()


async def lost_by_a_crash(machine: Machine) -> None:
    async with machine.crashing() as outbox:
        await outbox.put({"FirstName": PERSON}, reference="form-1")
        await machine.arrival_of(PERSON)
    async with machine.process() as outbox:
        await outbox.drained()


async def accepted_and_never_heard_of(machine: Machine) -> None:
    answering(machine, 200, {"RequestID": "nobody-knows-it"})
    await put_and_drain(machine)


async def unreadable(machine: Machine) -> None:
    async with Outbox(machine.path) as outbox:
        await outbox.put({"FirstName": PERSON, "Phone": "1"}, reference="form-1")
    with closing(sqlite3.connect(machine.path)) as connection:
        connection.execute("UPDATE items SET content = substr(content, 3)")
        connection.commit()
    async with machine.process() as outbox:
        await outbox.drained()


async def put_and_drain(machine: Machine, **more: str) -> None:
    async with machine.process() as outbox:
        await outbox.put({"FirstName": PERSON, "EmailAddress": "a@example.com", **more}, reference="form-1")
        await outbox.drained()


@dataclass(frozen=True)
class Way:
    """How an item ends badly, and what the record says of it."""

    end: Callable[[Machine], Awaitable[None]]
    event: str
    kind: str
    delivery: str
    faults: Faults | None = None


WAYS = [
    Way(refused_at_once, "rejected", "MXFooException", "rejected"),
    Way(refused_later, "rejected", "MXUnknownAttributeException", "accepted"),
    Way(refused_in_bulk, "rejected", "MXDuplicateEntryException", "rejected"),
    Way(failed_at_again_and_again, "rejected", "NullReferenceException", "rejected"),
    Way(lost_without_an_answer, "unknown", "ConnectionFailed", "unknown", Faults(script=("reset",))),
    Way(lost_by_a_crash, "unknown", "ConnectionFailed", "unknown", Faults(latency=5.0)),
    Way(accepted_and_never_heard_of, "unknown", "NotFound", "unknown"),
    Way(unreadable, "rejected", "UnreadableRowError", "not_sent"),
]


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, marks=[pytest.mark.slow] if way.end is accepted_and_never_heard_of else [])
        for way in WAYS
    ],
    ids=lambda way: way.end.__name__,
)
@played(look_every=2.0, attributes=ATTRIBUTES, processing_rate=60_000)
async def test_every_way_to_end_badly_is_logged_once(
    machine: Machine, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    """The record has what an alert needs and no value; a restart adds none, a second end adds one."""
    caplog.set_level(logging.DEBUG)
    if way.faults is not None:
        machine.books.faults = way.faults
    await way.end(machine)
    async with machine.process(SYNC) as outbox:  # a restart
        (item,) = await items(outbox)
        assert item.state.value == way.event
        assert item.reason
        counts = (await outbox.snapshot()).counts
        assert counts[ItemState(way.event)] == 1
        (death,) = deaths(caplog)
        assert death == {
            "state": way.event,
            "owner": "outbox",
            "item": item.id,
            "operation": item.operation,
            "reference": "form-1",
            "kind": way.kind,
            "request_id": item.request_id,
            "delivery": way.delivery,
            "levelname": "ERROR",
        }
        await outbox.requeue(item)
        await outbox.drained()
        (item,) = await items(outbox)
        assert len(deaths(caplog)) == 1 + (item.state.value in {"rejected", "unknown"})


@played(attributes=ATTRIBUTES, processing_rate=60_000)
async def test_it_is_logged_though_the_outbox_closes_meanwhile(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that comes during the close is stored and logged."""
    async with machine.process() as outbox:
        for number in range(20):
            await outbox.put(lead(number, mx_Nope="x"))
        await machine.arrival_of("p7@")
    before = len(deaths(caplog))
    async with machine.process() as outbox:
        await outbox.drained()
        assert {item.state for item in await items(outbox)} == {ItemState.REJECTED}
        assert before <= len(deaths(caplog)) == 20
        assert {death["item"] for death in deaths(caplog)} == set(range(1, 21))


@pytest.mark.parametrize("bulk", [False, True])
@played(processing_rate=60_000)
async def test_an_exception_with_a_name_is_not_retried_for_ever(machine: Machine, bulk: bool) -> None:
    """The row is rejected after three rounds with the exception's name."""
    named = {"Status": "Error", "ExceptionType": "ArgumentNullException", "ExceptionMessage": "x"}
    answering(machine, 500, named, at="p3@")
    async with machine.process(SYNC) as outbox:
        for number in range(8):
            await outbox.put(submissions.bulk_lead(lead(number)) if bulk else lead(number))
        await outbox.drained()
        states = {item.id: item for item in await items(outbox)}
        assert [states[number].state.value for number in range(1, 9)] == [
            "rejected" if number == 4 else "confirmed" for number in range(1, 9)
        ]
        assert str(states[4].reason).startswith("ArgumentNullException")


@pytest.mark.parametrize("is_sent", [False, True])
@played(processing_rate=60_000)
async def test_what_no_call_raises_ends_the_item_after_a_few_rounds(
    machine: Machine, is_sent: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug that affects one row is logged once; the row ends rejected, or unknown if it was sent."""
    unbroken = deliver_module.send_encoded

    async def send(sender: Any, submission: Any, lane: Any, before_send: Any) -> Receipt:
        if b"p3@" not in submission.content:
            return await unbroken(sender, submission, lane, before_send)
        if is_sent:
            await before_send()
        raise TypeError(PERSON)

    monkeypatch.setattr(deliver_module, "send_encoded", send)
    async with machine.process() as outbox:
        for number in range(8):
            await outbox.put(lead(number))
        await outbox.drained()
        (item,) = await items(outbox, "unknown" if is_sent else "rejected")
        assert item.id == 4
        assert "TypeError" in str(item.reason)
        assert len(await items(outbox, "confirmed")) == 7
    assert sum("row 4 failed with TypeError" in record.getMessage() for record in caplog.records) == 1
    assert len(deaths(caplog)) == 1


@played()
async def test_one_exception_in_an_outage_rejects_no_probe(machine: Machine) -> None:
    """A probe has one attempt, and only an exception that persists is the row's own."""
    true, asked = machine.account._answer, 0

    def answer(*call: Any) -> Reply:
        nonlocal asked
        asked += 1
        if asked < 8:
            return Reply(503)
        named = {"Status": "Error", "ExceptionType": "NullReferenceException", "ExceptionMessage": "x"}
        return Reply(500, body=json.dumps(named).encode()) if asked == 8 else true(*call)

    machine.account._answer = answer  # type: ignore[method-assign]
    async with machine.process() as outbox:
        await outbox.put({"EmailAddress": "bret@example.com"})
        await outbox.drained()
        assert asked > 8
        assert await by_state(outbox) == {"confirmed": 1}


@pytest.mark.parametrize("outage", [1, 7, 9])
@played()
async def test_an_exception_that_persists_after_an_outage_rejects(machine: Machine, outage: int) -> None:
    """Probes, with one attempt each, count as rounds too."""
    asked = 0

    def answer(*call: Any) -> Reply:
        nonlocal asked
        asked += 1
        named = {"Status": "Error", "ExceptionType": "NullReferenceException", "ExceptionMessage": "x"}
        return Reply(503) if asked <= outage else Reply(500, body=json.dumps(named).encode())

    machine.account._answer = answer  # type: ignore[method-assign]
    async with machine.process() as outbox:
        await outbox.put({"FirstName": "Bret"})
        await outbox.drained()
        (item,) = await items(outbox)
        assert (item.state, item.reason) == (ItemState.REJECTED, "NullReferenceException: x")
    assert asked > outage + 2

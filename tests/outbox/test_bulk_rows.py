"""Rows that share a bulk call: each ends on its own, and none is lost, duplicated or overtaken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from leadsquared_async import (
    AuthenticationFailed,
    Delivery,
    Fault,
    KeyReused,
    LeadSquaredError,
    Outbox,
    RateLimited,
    RetryPolicy,
    Scope,
    ServerError,
)
from leadsquared_async.outbox import OutboxItem
from leadsquared_async.outbox import deliver as deliver_module
from leadsquared_async.resources.bulk_call import RowOutcome, send_rows
from leadsquared_async.sandbox import Faults
from leadsquared_async.submissions import Submission, bulk_lead
from tests.outbox.machine import Machine, by_state, items, lead, play, played, until, until_state

SYNC = {"sync_host": "https://sandbox.invalid"}
SLOW = Faults(latency=2.0)


def row(number: int, **more: str) -> Submission:
    return bulk_lead(lead(number, **more))


def rows(count: int, first: int = 0) -> list[Submission]:
    return [row(number) for number in range(first, first + count)]


def nobody(number: int) -> Submission:
    """A lead that LeadSquared cannot match: twice makes two."""
    return bulk_lead({"FirstName": f"Bret {number}"})


def sizes(machine: Machine) -> list[int]:
    """How many rows the bulk calls had that were taken or could have been."""
    bodies = (json.loads(body) for body in machine.books.attempts.elements())
    return [len(body) for body in bodies if isinstance(body[0], list)]


def deliver(
    folder: Path,
    what: Callable[[Machine], Any],
    faults: Any = None,
    options: dict[str, Any] | None = None,
    **account: Any,
) -> Any:
    """Play on a machine whose clients know the synchronous host; neither limit ever refuses a call."""

    async def watched(machine: Machine) -> Any:
        result = await what(machine)
        assert machine.books.over_limit == 0
        assert machine.books.most_arrivals(operation="bulk") <= 1
        return result

    return play(folder, watched, faults, {**SYNC, **(options or {})}, **account)


class Picky(httpx.AsyncBaseTransport):
    """Answers every bulk call that holds a word with a failure as a whole."""

    def __init__(self, inner: httpx.AsyncBaseTransport, word: str, status: int, answer: object) -> None:
        self.inner, self.word, self.status, self.answer = inner, word, status, answer
        self.refused: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = (await request.aread()).decode()
        if self.word in body and "Bulk" in request.url.path:
            self.refused.append(len(json.loads(body)))
            await asyncio.sleep(0.1)
            return httpx.Response(self.status, json=self.answer)
        return await self.inner.handle_async_request(request)


# Each row's own fate


@played(by=deliver)
async def test_rows_go_25_in_a_call_and_are_final_with_its_answer(machine: Machine) -> None:
    """They are confirmed with their lead's id, erased, reported to callbacks, and not polled."""
    told: list[OutboxItem] = []
    async with machine.process() as outbox:
        outbox.on_final(told.append)
        await outbox.put_many(rows(60))
        await outbox.drained()
        found = await items(outbox)
    assert {item.state for item in found} == {"confirmed"}
    assert all((item.lead, item.request_id, item.attempts) == (None, None, 1) for item in found)
    assert all(item.created and item.operation == "bulk.create_or_update" for item in found)
    assert {item.lead_id for item in found} == set(machine.books.leads)
    assert sorted(item.id for item in told) == [item.id for item in found]
    assert all(item.lead is not None for item in told)
    assert machine.operations == {"bulk": 3}
    assert sorted(sizes(machine)) == [10, 25, 25]


@played(attributes=["EmailAddress"], by=deliver)
async def test_a_rejected_bulk_row_can_be_corrected(machine: Machine) -> None:
    """It is rejected with LeadSquared's words, and a requeued row goes in bulk again."""
    async with machine.process() as outbox:
        await outbox.put_many([*rows(10), row(10, mx_Nope="x"), *rows(10, 11)])
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 20, "rejected": 1}
        (rejected,) = await items(outbox, "rejected")
        assert rejected.reason == "MXUnknownAttributeException: Attribute(s) does not exist - mx_Nope."
        assert (rejected.attempts, rejected.request_id) == (1, None)
        await outbox.requeue(rejected, drop=["mx_Nope"])
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 21}
    assert machine.operations == {"bulk": 2}


@pytest.mark.parametrize(
    "error",
    [
        RateLimited("limit", delivery=Delivery.REJECTED, safe_to_retry=True),
        AuthenticationFailed("keys", delivery=Delivery.REJECTED, fault=Fault.ACCOUNT, scope=Scope.ACCOUNT),
        ServerError(
            "deadlock",
            delivery=Delivery.UNKNOWN,
            fault=Fault.SERVER,
            scope=Scope.OPERATION,
            safe_to_retry=True,
        ),
    ],
    ids=lambda error: type(error).__name__,
)
@played(by=deliver)
async def test_a_row_that_fails_for_no_fault_of_its_own_is_sent_again(
    machine: Machine, error: LeadSquaredError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that failed by the limit, the keys or a deadlock is retried, and none is rejected."""
    failures = [2]

    async def sometimes(sender: Any, rows: Any, lane: Any, before_send: Any) -> list[RowOutcome]:
        outcomes = await send_rows(sender, rows, lane, before_send)
        if failures[0]:
            failures[0] -= 1
            outcomes[0] = RowOutcome(1, error=error)
        return outcomes

    monkeypatch.setattr(deliver_module, "send_rows", sometimes)
    async with machine.process() as outbox:
        await outbox.put_many(rows(30))
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 30}
    assert failures == [0]


@played(Faults(latency=0.04, missing_rows=1.0), by=deliver)
async def test_a_missing_row_is_sent_again_a_few_times_and_is_unknown_then(machine: Machine) -> None:
    """It is retried if LeadSquared can match it, else unknown at once; the others are confirmed."""
    async with machine.process() as outbox:
        await outbox.put_many([*rows(3), nobody(0)])
        await until(lambda: has_calls(machine, 1))
        machine.books.faults = Faults(latency=0.04)
        await outbox.drained()
        found = await items(outbox)
        assert [(item.state, item.attempts) for item in found] == [("confirmed", 2)] * 3 + [("unknown", 1)]
        assert "row 4 of the call: it is missing from LeadSquared's answer" in str(found[3].reason)
        machine.books.faults = Faults(latency=0.04, missing_rows=1.0)
        await outbox.put(row(9))
        await outbox.drained()
        *_, last = await items(outbox)
        assert (last.state, last.attempts) == ("unknown", 3)
    assert len(machine.books.leads) == 5
    assert machine.books.duplicates == 0


async def has_calls(machine: Machine, count: int) -> bool:
    return machine.operations["bulk"] >= count


@pytest.mark.parametrize(
    ("fault", "unknown", "unmatched", "matched"),
    [
        ("lost", "safe", ("unknown", 1), ("confirmed", 2)),
        ("504", "safe", ("unknown", 1), ("confirmed", 2)),
        ("503", "safe", ("confirmed", 2), ("confirmed", 2)),
        ("refused", "safe", ("confirmed", 2), ("confirmed", 2)),
        ("lost", "never", ("unknown", 1), ("unknown", 1)),
        ("lost", "always", ("confirmed", 2), ("confirmed", 2)),
    ],
)
def test_a_call_of_unknown_delivery_is_decided_row_by_row(
    fault: str, unknown: str, unmatched: tuple[str, int], matched: tuple[str, int], tmp_path: Path
) -> None:
    """Rows that LeadSquared can match are retried, the others are unknown."""

    async def send(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put_many([*rows(2), nobody(0)])
            await outbox.drained()
            states = [(item.state, item.attempts) for item in await items(outbox)]
            assert states == [matched, matched, unmatched]
        # Asked to, it makes the second lead of the one that nobody can match.
        assert len(machine.books.leads) <= (4 if unknown == "always" else 3)

    policy = RetryPolicy(unknown=unknown)  # type: ignore[arg-type]
    deliver(tmp_path, send, Faults(latency=0.04, script=(fault,)), {"retry": policy})


@pytest.mark.parametrize(
    ("status", "answer", "state"),
    [
        (500, {"Status": "Error", "ExceptionType": "MXInvalidInputException"}, "rejected"),
        (413, {"message": "Request Too Long"}, "rejected"),
        (503, {"message": "Service Unavailable"}, "pending"),
    ],
)
@played(by=deliver)
async def test_one_row_that_fails_its_whole_call_is_found(
    machine: Machine, status: int, answer: dict[str, str], state: str
) -> None:
    """The rows of a failing call go in smaller calls until that row is alone."""
    picky = Picky(machine._transport, "p7@", status, answer)
    machine._transport = picky  # type: ignore[assignment]
    async with machine.process() as outbox:
        await outbox.put_many(rows(60))

        await until_state(outbox, "confirmed", 59, within=3600.0)
        if state == "rejected":
            await outbox.drained()
            assert picky.refused == [25, 12, 6, 3, 1]
        (odd,) = [item for item in await items(outbox) if item.state != "confirmed"]
        assert (odd.lead or {})["EmailAddress"] == "p7@example.com"
        assert odd.state == state or (state, odd.state) == ("pending", "sending")


# Order


@played(by=deliver)
async def test_rows_of_one_lead_keep_their_order_whichever_way_they_go(machine: Machine) -> None:
    """One call never has two of them, and a capture keeps its place between them."""
    async with machine.process() as outbox:
        for number in range(6):
            values = lead(1, mx_N=str(number))
            await outbox.put_many([bulk_lead(values) if number % 2 else values, *rows(3, 10 * number)])
        await outbox.drained()
    bodies = [json.loads(body) for body in machine.books.attempts]
    calls = [body if isinstance(body[0], list) else [body] for body in bodies]
    order = [
        pair["Value"] for call in calls for entry in call for pair in entry if pair["Attribute"] == "mx_N"
    ]
    assert order == ["0", "1", "2", "3", "4", "5"]
    assert max(json.dumps(call).count('"p1@') for call in calls) == 1
    known = next(
        each for each in machine.books.leads.values() if each.attributes["EmailAddress"] == "p1@example.com"
    )
    assert known.attributes["mx_N"] == "5"


@played(by=deliver)
async def test_a_form_does_not_wait_behind_the_file_that_holds_its_lead(machine: Machine) -> None:
    """Older rows of the form's lead go in the next bulk call."""
    async with Outbox(machine.path) as outbox:
        await outbox.put_many(rows(200))
    start = machine.now
    async with machine.process() as outbox:
        await outbox.put(lead(199, mx_N="form"))
        await machine.arrival_of('"form"')
        assert machine.now - start < 12.0
        assert len(machine.books.leads) <= 75
        await outbox.put(bulk_lead(lead(500)))  # a form of its own
        await machine.arrival_of("p500@")
        assert len(machine.books.leads) <= 125


@played(by=deliver)
async def test_a_bulk_call_that_waits_delays_no_form(machine: Machine) -> None:
    """A form is sent at once while a bulk call waits for its token."""
    async with machine.process() as outbox:
        await outbox.put_many([*rows(250), *(lead(number) for number in range(1000, 1200))])
        await asyncio.sleep(7.0)
        start = machine.now
        await outbox.put(lead(9999))
        await machine.arrival_of("p9999@", within=1.0)
        assert machine.now - start < 0.35
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 451}
    assert machine.operations["bulk"] == 10
    assert machine.books.most_arrivals() <= 25


@played(by=deliver)
async def test_a_key_is_one_row_of_one_kind(machine: Machine) -> None:
    """A repeated bulk lead with its key adds no row; the same lead as a capture raises KeyReused."""
    async with Outbox(machine.path) as outbox:
        first = await outbox.put(row(1), key="a")
        assert (await outbox.put(row(1), key="a")).id == first.id
        with pytest.raises(KeyReused):
            await outbox.put(lead(1), key="a")
        (item,) = await items(outbox)
        assert (item.operation, item.lead) == ("bulk.create_or_update", lead(1))


# Holding


@pytest.mark.parametrize(("fault", "account"), [("401", True), ("503", False)])
@played(by=deliver)
async def test_a_fault_of_bulk_calls_holds_bulk_rows_only(
    machine: Machine, fault: str, account: bool
) -> None:
    """The hold is logged, one row probes, no row is lost, and captures are sent as usual."""
    machine.books.faults = Faults(latency=0.04, probabilities={fault: 1.0}, operations=("bulk",))
    async with machine.process() as outbox:
        await outbox.put_many(rows(100))
        await asyncio.sleep(60.0)
        snapshot = await outbox.snapshot()
        assert snapshot.blocked is not None
        assert snapshot.blocked.startswith("bulk.create_or_update: ")
        assert snapshot.next_probe is not None
        assert (snapshot.fault == "account") == account
        start = machine.now
        await outbox.put(lead(1000))
        await machine.arrival_of("p1000@", within=1.0)
        assert machine.now - start < 0.35
        await asyncio.sleep(600.0)
        calls = machine.operations["bulk"]
        assert calls < (12 if account else 45)
        assert max(sizes(machine)[1:]) <= (1 if account else 25)
        machine.books.faults = Faults(latency=0.04)
        await outbox.drained()
        assert (await outbox.snapshot()).blocked is None
        assert await by_state(outbox) == {"confirmed": 101}
    assert len(machine.books.leads) == 101


@played(by=deliver)
async def test_without_a_synchronous_host_bulk_rows_are_held_and_it_is_said(machine: Machine) -> None:
    """They stay stored until a client has a synchronous host."""
    async with machine.process({"sync_host": None}) as outbox:
        await outbox.put_many([*rows(3), lead(9)])
        await asyncio.sleep(30.0)
        assert await by_state(outbox) == {"confirmed": 1, "pending": 3}
        assert "no synchronous host" in str((await outbox.snapshot()).blocked)
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 4}


@played(SLOW, by=deliver)
async def test_a_row_that_is_forgotten_before_its_call_goes_is_not_sent(machine: Machine) -> None:
    """Its call goes without it; a row under way is erased."""
    async with machine.process() as outbox:
        await outbox.put_many(rows(40))
        await until(lambda: has_calls(machine, 1), every=0.01)
        assert await outbox.forget(EmailAddress="p3@example.com") == 1  # on its way
        assert await outbox.forget(EmailAddress="p30@example.com") == 1  # waits for the next token
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 39}
    emails = {known.attributes["EmailAddress"] for known in machine.books.leads.values()}
    assert "p30@example.com" not in emails
    assert len(emails) == 39


# Ends and beginnings


@played(SLOW, by=deliver)
async def test_closing_finishes_the_call_on_its_way_and_keeps_the_rest(machine: Machine) -> None:
    """The next process sends no row twice."""
    async with machine.process() as outbox:
        await outbox.put_many(rows(60))
        await until(lambda: has_calls(machine, 1), every=0.01)
    async with Outbox(machine.path) as outbox:
        assert await by_state(outbox) == {"confirmed": 25, "pending": 35}
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 60}
    assert max(machine.books.attempts.values()) == 1
    assert sum(sizes(machine)) == 60


@played(SLOW, by=deliver)
async def test_a_kill_in_the_middle_repeats_what_was_on_its_way_and_no_more(machine: Machine) -> None:
    """Of those 25 rows, the matchable ones are retried and the others are unknown."""
    async with machine.crashing() as outbox:
        await outbox.put_many([*rows(20), *map(nobody, range(5)), *rows(35, 20)])
        await until(lambda: has_calls(machine, 1), every=0.01)
        assert await by_state(outbox) == {"pending": 35, "sending": 25}
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 55, "unknown": 5}
        unknown = await items(outbox, "unknown")
        assert all("check whether it arrived" in str(item.reason) for item in unknown)
    assert sum(sizes(machine)) == 60 + 20
    assert len(machine.books.leads) == 60
    assert machine.books.duplicates == 0


@pytest.mark.parametrize("is_killed", [False, True])
@played(Faults(latency=0.3, jitter=0.6), counting="sliding-log", by=deliver)
async def test_a_restart_never_exceeds_the_bulk_limit(machine: Machine, is_killed: bool) -> None:
    """The former process may have made bulk calls only."""
    chance = Random(5)
    for life in range(8):
        kind = machine.crashing if is_killed else machine.process
        async with kind() as outbox:
            await outbox.put_many(rows(50, 50 * life))
            await asyncio.sleep(chance.uniform(0.0, 14.0))
        await asyncio.sleep(chance.choice([0.0, 0.5, 4.0]))
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 400}
    assert machine.operations.keys() == {"bulk"}


@pytest.mark.parametrize("seed", range(6))
@played(
    Faults(
        latency=0.2,
        tail=0.2,
        probabilities=dict.fromkeys(("lost", "504", "503", "reset", "refused", "half-body"), 0.04),
        missing_rows=0.05,
    ),
    by=deliver,
)
async def test_through_kills_and_faults_nothing_is_lost_or_doubled(machine: Machine, seed: int) -> None:
    """After crashes, faults and missing rows, each lead exists once and has its last values."""
    chance = Random(seed)
    people, last = 40, dict[int, str]()

    def some(count: int) -> list[Any]:
        found: list[Any] = []
        for _ in range(count):
            number, value = chance.randrange(people), str(chance.random())
            last[number] = value
            values = lead(number, mx_N=value)
            found.append(bulk_lead(values) if chance.random() < 0.6 else values)
        return found

    for _ in range(8):
        kind = machine.crashing if chance.random() < 0.7 else machine.process
        async with kind() as outbox:
            for _ in range(chance.randrange(4)):
                await outbox.put_many(some(chance.randrange(1, 30)))
                await asyncio.sleep(chance.uniform(0.0, 9.0))
    machine.books.faults = Faults(latency=0.04)
    async with machine.process() as outbox:
        await outbox.drained()
        counts = await by_state(outbox)
        assert counts.keys() <= {"confirmed", "unknown"}
        unknown = {(item.lead or {})["EmailAddress"] for item in await items(outbox, "unknown")}
    found = {known.attributes["EmailAddress"]: known for known in machine.books.leads.values()}
    assert machine.books.duplicates == 0
    for number, value in last.items():
        email = lead(number)["EmailAddress"]
        if email not in unknown:  # of one whose row was missing three times nobody knows
            assert found[email].attributes["mx_N"] == value

"""Items are listed, sent again and discarded while the outbox delivers."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from leadsquared_async import InvalidLead, Outbox, OutboxError
from leadsquared_async.errors import Fault
from leadsquared_async.outbox import ItemState, OutboxItem
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, by_state, items, lead, played

KNOWN = ["EmailAddress", "Phone", "mx_N"]


@played(attributes=KNOWN)
async def test_a_rejected_row_is_sent_again_as_it_was_corrected(machine: Machine) -> None:
    """It is sent unchanged, with other values, another SearchBy, or without attributes; its key stays."""
    bad = {"mx_Nope": "x", "mx_Nope2": "y"}
    async with machine.process() as outbox:
        for number in range(4):
            await outbox.put(lead(number, Phone=f"{number}", **bad), key=f"{number}", reference=f"r{number}")
        await outbox.drained()
        rows = await items(outbox, "rejected")
        assert len(rows) == 4
        await outbox.requeue(rows[0], drop=["mx_Nope", "mx_Nope2"])
        await outbox.requeue(rows[1].id, drop=["mx_Nope", "mx_Nope2"], search_by="Phone")
        await outbox.requeue(rows[2], lead=lead(22))
        await outbox.requeue(rows[3])
        await outbox.drained()
        final = await items(outbox)
    assert [item.state for item in final] == ["confirmed"] * 3 + ["rejected"]
    assert [item.attempts for item in final] == [2] * 4
    assert [(item.key, item.reference) for item in final] == [(f"{n}", f"r{n}") for n in range(4)]
    bodies = list(machine.books.attempts)
    assert '"Value":"p0@example.com"},{"Attribute":"Phone","Value":"0"}]' in bodies[4]
    assert '{"Attribute":"SearchBy","Value":"Phone"}' in bodies[5]
    assert bodies[6] == '[{"Attribute":"EmailAddress","Value":"p22@example.com"}]'


@played(processing_rate=10.0)
async def test_only_what_ended_badly_is_sent_again(machine: Machine) -> None:
    """Requeueing a pending, accepted, confirmed or deleted row raises and names its state."""
    async with machine.process() as outbox:
        ticket = await outbox.put(lead(1))
        await asyncio.sleep(1.0)
        with pytest.raises(OutboxError, match="row 1 is accepted: only rejected and unknown rows"):
            await outbox.requeue(ticket.id)
        await outbox.drained()
        with pytest.raises(OutboxError, match="row 1 is confirmed"):
            await outbox.requeue(ticket.id, lead=lead(2))
        with pytest.raises(OutboxError, match="row 7 is missing"):
            await outbox.requeue(7)
        machine.books.faults = Faults(outage=(0.0, 1e12))
        await outbox.put(lead(1))
        await asyncio.sleep(100.0)
        with pytest.raises(OutboxError, match="row 2 is pending"):
            await outbox.requeue(2)
    assert len(machine.books.leads) == 1


@played(attributes=KNOWN)
async def test_an_invalid_correction_changes_nothing(machine: Machine) -> None:
    """The row stays rejected, with its values."""
    async with machine.process() as outbox:
        await outbox.put(lead(1, mx_Nope="x"), search_by="EmailAddress")
        await outbox.drained()
        (before,) = await items(outbox)
        for wrong in (
            {"lead": {}},
            {"lead": {"EmailAddress": ["a"]}},
            {"search_by": "Phone"},
            {"drop": ["EmailAddress"]},
            {"drop": ["EmailAddress", "mx_Nope", "SearchBy"]},
        ):
            with pytest.raises(InvalidLead):
                await outbox.requeue(before, **wrong)
        assert await items(outbox) == [before]


@played(attributes=KNOWN, processing_rate=20.0)
async def test_a_requeued_row_waits_for_the_open_ones_of_its_new_lead(machine: Machine) -> None:
    """Its new values decide which lead it belongs to, and two rows of one lead are never under way
    together."""
    async with machine.process() as outbox:
        await outbox.put(lead(1, mx_Nope="x"))
        await outbox.drained()
        await outbox.put(lead(2, mx_N="first"))
        await asyncio.sleep(1.0)
        await outbox.requeue(1, lead=lead(2, mx_N="second"))
        await asyncio.sleep(1.0)
        assert await by_state(outbox) == {"accepted": 1, "pending": 1}
        await outbox.put(lead(2, mx_N="third"))
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 3}
    (known,) = machine.books.leads.values()
    assert known.attributes["mx_N"] == "third"


@played(attributes=KNOWN, processing_rate=20.0)
async def test_discard_takes_what_is_not_on_its_way(machine: Machine) -> None:
    """Pending, rejected and unknown rows are deleted with their keys; others stay, and it says so."""
    async with machine.process() as outbox:
        await outbox.put(lead(1), key="one")
        await outbox.put(lead(2, mx_Nope="x"), key="two")
        await asyncio.sleep(1.0)
        assert not await outbox.discard(1)
        await outbox.drained()
        assert [await outbox.discard(row) for row in (1, 2, 2, 99)] == [False, True, False, False]
        assert (await outbox.put(lead(2), key="two")).is_new


@played()
async def test_items_lists_more_than_500_rows_while_rows_change(machine: Machine) -> None:
    """Each row that exists all the time is listed once, in order."""
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(1300))
        seen: list[int] = []
        async for item in outbox.items():
            seen.append(item.id)
            if item.id % 100 == 0:
                await asyncio.sleep(2.0)
                await outbox.discard(item.id + 50)
                await outbox.put(lead(2000 + item.id))
        assert seen == sorted(set(seen))
        assert set(range(1, 501)) <= set(seen)
        missed = set(range(1, 1301)) - set(seen)
        assert missed <= {row + 50 for row in range(100, 1301, 100)}
        pending = [item.id async for item in outbox.items(ItemState.PENDING)]
        assert 500 < len(pending) < 1300


@played()
async def test_an_item_says_all_there_is_to_know(machine: Machine) -> None:
    """It has what was put, when, and its outcome; times are aware, in UTC."""

    def wall() -> datetime:
        return datetime.fromtimestamp(1.8e9 + machine.now, UTC)

    async with machine.process() as outbox:
        before = wall()
        await outbox.put(lead(1), key="form-1", reference="r1", search_by="EmailAddress")
        (item,) = await items(outbox)
        assert item == OutboxItem(
            id=1,
            key="form-1",
            reference="r1",
            operation="leads.capture",
            state=ItemState.PENDING,
            lead={**lead(1), "SearchBy": "EmailAddress"},
            details=None,
            is_erased=False,
            put_at=before,
            changed_at=before,
            attempts=0,
            request_id=None,
            lead_id=None,
            created=None,
            reason=None,
        )
        await outbox.drained()
        (item,) = await items(outbox)
        (request,) = machine.books.requests
        (known,) = machine.books.leads
        assert (item.state, item.lead, item.attempts) == ("confirmed", None, 1)
        assert (item.request_id, item.lead_id, item.created) == (request["request_id"], known, True)
        assert before < item.changed_at <= wall()
        assert item.put_at == before


@played(look_every=1.0)
async def test_a_snapshot_says_how_it_is(machine: Machine) -> None:
    """It has counts by state, the age of the oldest open row, what blocks delivery until when, and the
    size."""
    async with Outbox(machine.path, max_bytes=10_000_000) as outbox:
        empty = await outbox.snapshot()
        assert dict(empty.counts) == dict.fromkeys(ItemState, 0)
        assert (empty.oldest, empty.blocked, empty.fault, empty.next_probe) == (None, None, None, None)
        assert (empty.delivers, empty.max_bytes) == (False, 10_000_000)
        await outbox.put_many(lead(number, Notes="x" * 1000) for number in range(100))
        await asyncio.sleep(100.0)
        full = await outbox.snapshot()
        assert full.counts[ItemState.PENDING] == 100
        assert full.oldest == pytest.approx(100.0, abs=1.0)
        assert full.size > empty.size + 100_000
    machine.books.faults = Faults(outage=(0.0, machine.now + 1000.0), outage_fault="401")
    async with machine.process() as outbox:
        await asyncio.sleep(20.0)
        held = await outbox.snapshot()
        assert "does not accept the keys" in str(held.blocked)
        assert held.fault is Fault.ACCOUNT
        assert held.next_probe is not None
        assert 0.0 < held.next_probe <= 33.0
        assert held.delivers
        await asyncio.sleep(2500.0)
        going = await outbox.snapshot()
        assert (going.blocked, going.fault, going.next_probe) == (None, None, None)
        await outbox.drained()
        done = await outbox.snapshot()
        assert (done.oldest, done.counts[ItemState.CONFIRMED]) == (None, 100)


@played()
async def test_drained_waits_for_rows_that_are_put_while_it_waits(machine: Machine) -> None:
    """It returns when every row is final."""
    async with machine.process() as outbox:
        await outbox.put(lead(0))
        waiting = asyncio.create_task(outbox.drained())
        for number in range(1, 20):
            await asyncio.sleep(0.4)
            assert not waiting.done()
            await outbox.put(lead(number))
        await waiting
        assert await by_state(outbox) == {"confirmed": 20}


@played(Faults(latency=0.04, script=("lost", "lost")))
async def test_whether_a_changed_row_may_be_sent_twice_is_decided_anew(machine: Machine) -> None:
    """A lead without an identifier is not repeated once its answer is lost, and one with an identifier is."""
    async with Outbox(machine.path) as outbox:
        await outbox.put(lead(1))
        await outbox.put({"FirstName": "Bret"})
    with closing(sqlite3.connect(machine.path)) as connection:
        connection.execute("UPDATE items SET state = 'rejected', is_open = 0")
        connection.commit()
    async with Outbox(machine.path) as outbox:
        await outbox.requeue(1, lead={"FirstName": "Asha"})
        await outbox.requeue(2, lead=lead(2))
    async with machine.process() as outbox:
        await outbox.drained()
        assert [item.state.value for item in await items(outbox)] == ["unknown", "confirmed"]

"""`on_final` callbacks are called at least once for each final item."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

import pytest

from leadsquared_async import Outbox
from leadsquared_async.outbox import OutboxItem
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, items, lead, played

KNOWN = ["EmailAddress"]
NOBODY = {"FirstName": "Bret"}


@played(attributes=KNOWN)
async def test_each_final_item_is_reported_once(machine: Machine) -> None:
    """Every callback is called once for each final item, after the state is on disk."""
    heard: list[OutboxItem] = []
    also: list[int] = []
    client = machine.client()
    outbox = Outbox(machine.path, client)

    @outbox.on_final
    def note(item: OutboxItem) -> None:
        heard.append(item)

    @outbox.on_final
    async def look(item: OutboxItem) -> None:
        await asyncio.sleep(0.1)
        (on_disk,) = [row for row in await items(outbox) if row.id == item.id]
        assert (on_disk.state, on_disk.reason) == (item.state, item.reason)
        also.append(item.id)

    async with client, outbox:
        await outbox.put(lead(1))
        await outbox.drained()
        await outbox.put(lead(2, mx_Nope="x"))
        await outbox.drained()
        machine.books.faults = Faults(latency=0.04, script=("504",))
        await outbox.put(NOBODY)
        await outbox.drained()
        await asyncio.sleep(1.0)
    assert [(item.id, item.state) for item in heard] == [(1, "confirmed"), (2, "rejected"), (3, "unknown")]
    assert also == [1, 2, 3]
    assert [item.lead for item in heard] == [lead(1), {**lead(2), "mx_Nope": "x"}, NOBODY]
    again: list[int] = []
    async with machine.process(on_final=lambda item: again.append(item.id)) as outbox:
        await asyncio.sleep(60.0)
    assert again == []


@played(look_every=1.0)
async def test_a_callback_that_fails_is_called_again_at_the_next_start(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """It is retried at each start until it succeeds; others are called, and the log shows no lead."""
    heard: Counter[int] = Counter()

    async def life(failing: bool, rows: int) -> None:
        async def note(item: OutboxItem) -> None:
            heard[item.id] += 1
            if failing and item.id % 2:
                raise ZeroDivisionError(str(item.lead))

        async with machine.process(on_final=note) as outbox:
            await outbox.put_many(lead(number + 1000 * failing) for number in range(rows))
            await outbox.drained()
            await asyncio.sleep(30.0)

    caplog.set_level(logging.DEBUG)
    await life(True, 120)
    assert heard == dict.fromkeys(range(1, 121), 1)
    await life(True, 0)
    assert heard == {row: 1 + row % 2 for row in range(1, 121)}
    await life(False, 0)
    await life(False, 0)
    assert heard == {row: 1 + 2 * (row % 2) for row in range(1, 121)}
    failures = [record for record in caplog.records if getattr(record, "event", None) == "callback_failed"]
    assert len(failures) == 120
    assert "example.com" not in caplog.text


@played()
async def test_a_crash_before_or_in_a_callback_repeats_it(machine: Machine) -> None:
    """The next start calls it, for a crash between commit and callback and within it."""
    begun: list[int] = []

    async def slow(item: OutboxItem) -> None:
        begun.append(item.id)
        await asyncio.sleep(1000.0)

    async with machine.crashing() as outbox:
        outbox.on_final(slow)
        await outbox.put(lead(1))
        await outbox.drained()
        await asyncio.sleep(1.0)
    assert begun == [1]
    heard: list[OutboxItem] = []
    async with machine.process(on_final=heard.append):
        await asyncio.sleep(1.0)
    assert [(item.id, item.state) for item in heard] == [(1, "confirmed")]


@played()
async def test_a_slow_callback_delays_no_lead(machine: Machine) -> None:
    """Other leads are sent and confirmed while it runs."""
    async with machine.process(on_final=lambda item: asyncio.sleep(5000.0)) as outbox:
        await outbox.put_many(lead(number) for number in range(100))
        async with asyncio.timeout(300.0):
            await outbox.drained()


@played()
async def test_rows_that_ended_without_a_callback_are_not_reported_later(machine: Machine) -> None:
    """A callback that is registered later is called for new ends only."""
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(120))
        await outbox.drained()
    heard: list[OutboxItem] = []
    async with machine.process(on_final=heard.append):
        await asyncio.sleep(10.0)
    assert heard == []


@played()
async def test_a_callback_may_close_the_outbox(machine: Machine) -> None:
    """The close does not wait for that callback, and the next process delivers."""
    client = machine.client()
    outbox = Outbox(machine.path, client)

    @outbox.on_final
    async def close(_item: OutboxItem) -> None:
        await outbox.aclose()

    async with client:
        await outbox.open()
        await outbox.put(lead(1))
        await asyncio.sleep(10.0)
    async with machine.process() as again:
        await asyncio.sleep(1.0)
        assert (await again.snapshot()).delivers


@played()
async def test_a_callback_that_cancels_itself_keeps_nothing_from_the_others(machine: Machine) -> None:
    """Its CancelledError counts as any error, and the other callbacks are called."""
    heard: list[int] = []

    def fail_first(item: OutboxItem) -> None:
        if item.id == 1:
            raise asyncio.CancelledError
        heard.append(item.id)

    for _ in range(2):
        async with machine.process(on_final=fail_first) as outbox:
            await outbox.put_many([lead(1), lead(2), lead(3)] if not heard else [])
            await outbox.drained()
            await asyncio.sleep(1.0)
    assert sorted(heard) == [2, 3]

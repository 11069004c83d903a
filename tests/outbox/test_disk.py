"""Nothing is sent while the disk is full; then delivery resumes."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from leadsquared_async import OutboxError, Submission, submissions
from leadsquared_async.outbox import ItemState, OutboxItem
from leadsquared_async.outbox.store import Store
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, by_state, items, lead, played

LEAD_ID = "00000000-0000-4000-8000-000000000000"


@contextmanager
def full_disk() -> Iterator[None]:
    """No transaction that writes can be begun."""

    def refuse(self: Store) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "begin", refuse)
        yield


@pytest.mark.parametrize("latency", [0.04, 2.0])
@played()
async def test_what_was_answered_is_written_when_there_is_room_again(
    machine: Machine, latency: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers are stored later, nothing is sent meanwhile or twice, and each change is logged once."""
    caplog.set_level(logging.WARNING)
    machine.books.faults = Faults(latency=latency)
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(100))
        await asyncio.sleep(4.0)
        with full_disk():
            sent = machine.operations["capture"]
            await asyncio.sleep(2 * latency)
            assert machine.operations["capture"] - sent <= 25
            sent = machine.operations["capture"]
            with pytest.raises(OutboxError, match="free disk space"):
                await outbox.put(lead(100))
            await asyncio.sleep(600.0)
            assert machine.operations["capture"] == sent
            assert "free disk space" in str((await outbox.snapshot()).blocked)
        await outbox.drained()
        assert (await outbox.snapshot()).blocked is None
        assert await by_state(outbox) == {"confirmed": 100}
    assert machine.books.repeated == 0
    said = [record.message for record in caplog.records]
    assert (
        sum(
            "outbox file cannot be used: nothing is sent because it cannot be written" in line
            for line in said
        )
        == 1
    )
    assert sum("the outbox file can be used again" in line for line in said) == 1


@played()
async def test_an_outbox_whose_disk_is_full_at_its_start_delivers_when_there_is_room(
    machine: Machine,
) -> None:
    """It opens, `blocked` says why, and it sends nothing; the former process's calls still count."""
    async with machine.crashing() as outbox:
        await asyncio.sleep(0.05)
        await asyncio.gather(*(outbox.put(lead(number)) for number in range(60)))
        await asyncio.sleep(0.2)
    before = machine.operations["capture"]
    assert before == 25
    with full_disk():
        process = machine.process()
        outbox = await process.__aenter__()
        await asyncio.sleep(30.0)
        assert "free disk space" in str((await outbox.snapshot()).blocked)
        assert machine.operations["capture"] == before
    await outbox.drained()
    assert await by_state(outbox) == {"confirmed": 60}
    await process.__aexit__(None, None, None)
    assert machine.books.most_arrivals() <= 25


@played(Faults(latency=2.0))
async def test_closing_while_the_disk_is_full_takes_no_longer_than_the_grace(machine: Machine) -> None:
    """Answers are lost then, and those rows, which identify their leads, are sent again."""
    process = machine.process()
    outbox = await process.__aenter__()
    await outbox.put_many(lead(number) for number in range(60))
    await asyncio.sleep(4.0)
    with full_disk():
        await asyncio.sleep(5.0)
        start = machine.now
        await process.__aexit__(None, None, None)
        assert machine.now - start <= 9.0
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 60}
    assert machine.books.repeated <= 25
    assert len(machine.books.leads) == 60


@played(Faults(latency=0.5))
async def test_a_crash_while_the_disk_is_full_loses_nothing(machine: Machine) -> None:
    """The next process finds the earlier rows, and retries those under way."""
    async with machine.crashing() as outbox:
        await outbox.put_many(lead(number) for number in range(60))
        await asyncio.sleep(4.0)
        disk = full_disk()
        disk.__enter__()
        await asyncio.sleep(5.0)
    disk.__exit__(None, None, None)
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 60}
    assert machine.books.repeated <= 25


@pytest.mark.parametrize("reading", ["next_rows", "of_unknown_operations", "in_state", "last_id"])
@played()
async def test_that_the_file_cannot_be_read_is_logged_once(
    machine: Machine, reading: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One record is logged, `blocked` says why, and delivery resumes."""

    def damaged(self: Store, *args: object, **options: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    caplog.set_level(logging.WARNING)
    async with machine.process() as outbox:
        await asyncio.sleep(2.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, reading, damaged)
            async with machine.process() as other:  # one that begins, and one that delivers already
                await outbox.put(lead(1))
                for _ in range(100):
                    await asyncio.sleep(5.97)
                    if reading != "in_state":  # by which only those that begin read
                        assert "malformed" in str((await outbox.snapshot()).blocked)
                assert not (await other.snapshot()).delivers
        await outbox.drained()
        await asyncio.sleep(1.0)
        assert (await outbox.snapshot()).blocked is None
    async with machine.process() as outbox:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, reading, damaged)
            await outbox.put(lead(2))
            await asyncio.sleep(600.0)
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 2}
    told = [(record.__dict__.get("event"), record.__dict__.get("store")) for record in caplog.records]
    times = {"in_state": 1}.get(reading, 2)
    assert told == [("store_lost", "outbox file"), ("store_back", "outbox file")] * times
    assert "nothing is sent because it cannot be read: " in caplog.text


@pytest.mark.parametrize("kind", ["lead", "activity", "bulk"])
@played()
async def test_a_commit_that_took_place_after_all_changes_nothing(machine: Machine, kind: str) -> None:
    """After any commit of unknown outcome, rows end as LeadSquared answered and are sent once."""
    real = Store.is_there

    def put(number: int) -> dict[str, str] | Submission:
        if kind == "activity":
            return submissions.create_activity(LEAD_ID, event=201, note=f"n{number}")
        return submissions.bulk_lead(lead(number)) if kind == "bulk" else lead(number)

    number, was_reached, commits = 0, True, 0

    def is_there(store: Store) -> bool:
        nonlocal commits
        task = asyncio.current_task()
        looks_only = task is not None and task.get_name().endswith(" files")
        if looks_only or store.connection.in_transaction:  # not after a commit
            return real(store)
        commits += 1
        return real(store) and commits != number

    told: list[OutboxItem] = []
    async with machine.process({"sync_host": "https://sandbox.invalid"}) as outbox:
        outbox.on_final(told.append)
        await outbox.put(put(0))
        await outbox.drained()
        while was_reached:
            number += 1
            assert number < 60
            with pytest.MonkeyPatch.context() as patch:
                await outbox.put(put(number), key=f"{number}")
                commits = 0
                patch.setattr(Store, "is_there", is_there)
                async with asyncio.timeout(600.0):
                    await outbox.drained()
                await asyncio.sleep(1.0)
                was_reached = commits >= number
        ended = await items(outbox)
        assert len(ended) == len(told) == number + 1
        for item, heard in zip(ended, told, strict=True):
            assert (
                item.state
                is heard.state
                is (ItemState.REJECTED if kind == "activity" else ItemState.CONFIRMED)
            )
            assert kind == "activity" or (item.lead_id and item.lead_id == heard.lead_id)
            assert heard.lead or heard.details
    assert sum(machine.books.attempts.values()) == number + 1

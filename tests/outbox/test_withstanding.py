"""What a hostile or careless neighbour does to an outbox: it loses nothing, and stops nobody else."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import ConfigurationError, Outbox, OutboxError, RateLimit, Submission, submissions
from leadsquared_async.outbox import OutboxItem, store
from leadsquared_async.outbox.files import DeliveryLock
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, by_state, items, lead, play

SYNC: dict[str, Any] = {"sync_host": "https://sandbox.invalid", "rate_limit": RateLimit(40, per=1.0)}


def test_one_file_is_delivered_once_whichever_link_it_is_named_by(tmp_path: Path) -> None:
    """Two outboxes on one file, one of them through a symbolic link: only one delivers."""

    async def deliver(machine: Machine) -> None:
        link = machine.path.with_name("current.db")
        async with machine.process() as outbox:
            link.symlink_to(machine.path.name)
            client = machine.client()
            async with client, Outbox(link, client) as other:
                await asyncio.sleep(2.0)
                assert (await outbox.snapshot()).delivers
                assert not (await other.snapshot()).delivers

    play(tmp_path, deliver)


async def test_a_file_that_is_gone_takes_no_lead(tmp_path: Path) -> None:
    """Deleted or replaced under an open outbox: put says so, and does not return."""
    path = tmp_path / "leads.db"
    async with Outbox(path) as outbox:
        await outbox.put(lead(1))
        path.rename(tmp_path / "moved.db")
        with pytest.raises(OutboxError, match="deleted or moved"):
            await outbox.put(lead(2))
        path.touch(0o600)
        with pytest.raises(OutboxError, match="deleted or moved"):
            await outbox.put(lead(3))


@pytest.mark.parametrize("rubbish", [{}, 7, "", "x" * 501, "\ud800", b"form"])
async def test_one_callers_rubbish_stops_nobody_elses_puts(rubbish: Any, tmp_path: Path) -> None:
    """A key or reference that cannot be kept is refused at the door, beside puts that go on."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        bad = [outbox.put(lead(1), **{name: rubbish}) for name in ("key", "reference")]
        good = [outbox.put(lead(number)) for number in range(20)]
        answers = await asyncio.gather(*bad, *good, return_exceptions=True)
        assert [type(answer) for answer in answers[:2]] == [ConfigurationError] * 2
        assert len(await items(outbox)) == 20


async def test_a_value_that_identifies_nobody_forgets_nobody(tmp_path: Path) -> None:
    """A phone number without a digit is nobody's: whoever has none either is not erased."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put({"FirstName": "Bret", "Phone": "not given"})
        await outbox.put({"FirstName": "Asha", "Phone": ""})
        assert await outbox.forget(Phone="n/a") == 0
        assert len(await items(outbox)) == 2


async def test_the_log_is_bounded_where_nobody_delivers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that only puts empties the write-ahead log now and then, if nobody else may be at it."""
    monkeypatch.setattr(store, "LONG_LOG", 200_000)
    path = tmp_path / "leads.db"
    async with Outbox(path) as outbox:
        for number in range(200):
            await outbox.put(lead(number))
            assert Path(f"{path}-wal").stat().st_size < 300_000


async def test_only_the_process_that_has_the_lock_empties_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as somebody delivers, processes that only put leave the log to that one, however long it is and
    whatever they erase; SQLite itself empties it for none of them, but when the last one closes."""
    monkeypatch.setattr(store, "LONG_LOG", 0)
    path = tmp_path / "leads.db"
    log = Path(f"{path}-wal")
    delivering = DeliveryLock(path)
    assert delivering.acquire()
    async with Outbox(path) as outbox:
        async with Outbox(path) as other:
            sizes = [log.stat().st_size]
            for number in range(100):
                await (outbox if number % 2 else other).put(
                    lead(number, Phone=f"{number}", Notes="x" * 20_000)
                )
                sizes.append(log.stat().st_size)
            assert await outbox.forget(Phone="7") == 1
            assert await other.purge(0.0) == 0
            sizes.append(log.stat().st_size)
        sizes.append(log.stat().st_size)  # it closed, and is not the last
        assert sizes == sorted(sizes)
        assert sizes[-1] > 1000 * 4096  # from where on SQLite by default checkpoints
        delivering.release()
        await outbox.put(lead(100))
        await outbox.snapshot()
        assert log.stat().st_size == 0
    assert not log.exists()


@pytest.mark.slow
def test_a_form_takes_the_older_rows_of_its_lead_with_it(tmp_path: Path) -> None:
    """The same person stands far behind in a file: the form does not wait for the whole file."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put_many(lead(number) for number in range(3000))
            await asyncio.sleep(10.0)
            began = machine.now
            await outbox.put(lead(2900, FirstName="Bret"))
            await machine.arrival_of("Bret", within=300.0)
            assert machine.now - began < 200.0  # once the row before it is final; the file takes 600 s

    play(tmp_path, deliver, processing_rate=60_000)


def test_updates_that_are_searched_for_by_another_field_keep_their_order(tmp_path: Path) -> None:
    """Two rows with the same SearchBy value are one lead: the second goes when the first is final."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            for value in ("old", "new"):
                await outbox.put({"mx_Id": "7", "FirstName": value}, search_by="mx_Id")
            await outbox.drained()
        (known,) = machine.books.leads.values()
        assert known.attributes["FirstName"] == "new"

    play(tmp_path, deliver, Faults(latency=0.04, script=("429",)))


def test_no_two_rows_of_a_lead_are_on_their_way_at_once(tmp_path: Path) -> None:
    """A row that is taken out from behind releases nobody while an earlier one is being processed."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put(lead(1, mx_Nope="x"))
            await outbox.drained()
            await outbox.put(lead(1, FirstName="second"))
            await machine.arrival_of("second")
            await asyncio.sleep(0.5)
            await outbox.requeue(1, drop=["mx_Nope"])
            third = await outbox.put(lead(1, FirstName="third"))
            await outbox.discard(third.id)
            await asyncio.sleep(2.0)
            assert await by_state(outbox) == {"pending": 1, "accepted": 1}

    play(tmp_path, deliver, attributes=["EmailAddress", "FirstName"], processing_rate=6)


def test_a_callback_may_close_the_outbox(tmp_path: Path) -> None:
    """It does not wait for itself, and the next process delivers."""

    async def deliver(machine: Machine) -> None:
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

    play(tmp_path, deliver)


def test_a_callback_that_cancels_itself_keeps_nothing_from_the_others(tmp_path: Path) -> None:
    """A CancelledError of the callback's own is an error like any other: the rest is told."""

    async def deliver(machine: Machine) -> None:
        heard: list[int] = []

        def fail_first(item: OutboxItem) -> None:
            if item.id == 1:
                raise asyncio.CancelledError
            heard.append(item.id)

        for _ in range(2):
            client = machine.client()
            outbox = Outbox(machine.path, client)
            outbox.on_final(fail_first)
            async with client, outbox:
                await outbox.put_many([lead(1), lead(2), lead(3)] if not heard else [])
                await outbox.drained()
                await asyncio.sleep(1.0)
        assert sorted(heard) == [2, 3]

    play(tmp_path, deliver)


def test_a_wall_clock_that_jumps_brings_no_second_burst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour later by the wall clock, a moment later in truth: the calls of the process before count."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await asyncio.gather(*(outbox.put(lead(number)) for number in range(25)))
            await asyncio.sleep(0.5)
        before = time.time
        monkeypatch.setattr(time, "time", lambda: before() + 3600.0)
        async with machine.process() as outbox:
            await asyncio.gather(*(outbox.put(lead(100 + number)) for number in range(25)))
            await outbox.drained()
        assert machine.books.most_arrivals() <= 25
        assert machine.books.over_limit == 0

    play(tmp_path, deliver, counting="sliding-log")


def test_closing_that_is_cancelled_again_and_again_leaves_the_lock_free(tmp_path: Path) -> None:
    """Whatever cancels a close, the next process delivers."""

    async def deliver(machine: Machine) -> None:
        for turns in range(6):
            client = machine.client()
            async with client:
                outbox = Outbox(machine.path, client)
                await outbox.open()
                await outbox.put(lead(turns))
                closing = asyncio.create_task(outbox.aclose())
                for _ in range(turns):
                    await asyncio.sleep(0)
                    closing.cancel()
                await asyncio.wait([closing])
            async with machine.process() as again:
                await asyncio.sleep(0.5)
                assert (await again.snapshot()).delivers
                await again.drained()

    play(tmp_path, deliver)


def test_a_lock_file_that_is_deleted_ends_the_delivering_that_held_it(tmp_path: Path) -> None:
    """Another process takes a new lock file and delivers; the first says so, and sends nothing more."""

    async def deliver(machine: Machine) -> None:
        client = machine.client()
        async with client, Outbox(machine.path, client) as outbox:
            await outbox.put_many(lead(number) for number in range(100))
            await asyncio.sleep(2.0)
            Path(f"{machine.path}.lock").unlink()
            await asyncio.sleep(2.0)
            assert "lock file was deleted" in str((await outbox.snapshot()).blocked)
            before = len(machine.books.arrivals)
            await asyncio.sleep(20.0)
            assert machine.operations["capture"] == len(
                [call for call in machine.books.arrivals[:before] if call.operation == "capture"]
            )
        async with machine.process() as other:
            await other.drained()
            assert await by_state(other) == {"confirmed": 100}

    play(tmp_path, deliver)


@pytest.mark.parametrize("bulk", [False, True], ids=["single", "bulk"])
def test_a_lead_is_sent_once_also_while_two_deliver(bulk: bool, tmp_path: Path) -> None:
    """Somebody deletes the lock file, and for up to a second two processes deliver the same rows: what
    LeadSquared cannot match arrives once, and each row ends."""

    def nobodys(number: int) -> Submission:
        values = {"FirstName": f"n{number}."}
        return submissions.bulk_lead(values) if bulk else submissions.capture_lead(values)

    async def deliver(machine: Machine) -> None:
        one, two = machine.client(**SYNC), machine.client(**SYNC)
        async with one, Outbox(machine.path, one) as outbox:
            await asyncio.sleep(0.5)
            async with two, Outbox(machine.path, two) as other:
                await asyncio.sleep(0.6)  # the second looks for the lock half a second before the first
                await outbox.put_many(nobodys(number) for number in range(100))
                await asyncio.sleep(0.1)
                Path(f"{machine.path}.lock").unlink()
                await asyncio.sleep(0.5)
                assert (await outbox.snapshot()).delivers
                assert (await other.snapshot()).delivers
                async with asyncio.timeout(600.0):
                    await other.drained()
        firsts = Counter(lead.attributes.get("FirstName") for lead in machine.books.leads.values())
        assert max(firsts.values()) == 1
        async with Outbox(machine.path) as outbox:
            assert set(await by_state(outbox)) <= {"confirmed", "unknown"}

    play(tmp_path, deliver, Faults(latency=0.3, jitter=0.3), limit=None)

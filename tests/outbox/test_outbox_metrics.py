"""The gauges of an outbox, in a program that has set up OpenTelemetry."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path

import pytest

from leadsquared_async import Outbox
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.sandbox import Faults, Sandbox
from tests.clients import client_of
from tests.collected import Collected

ITEMS, AGE, HELD = "leadsquared.outbox.items", "leadsquared.outbox.oldest.age", "leadsquared.held"


def nonzero(points: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    return {attributes: value for attributes, value in points.items() if value}


async def test_items_are_counted_by_state(sandbox: Sandbox, collected: Collected, tmp_path: Path) -> None:
    """All states have a count, with the file's name and the client's; a closed outbox has none."""
    sandbox.books.faults = Faults(script=("500-mx",))
    async with (
        client_of(sandbox, name="acme") as lsq,
        Outbox(tmp_path / "leads.db", lsq, confirm=False) as outbox,
    ):
        for number in range(3):
            await outbox.put({"Phone": f"+91-998877665{number}"})
        await outbox.drained()
        counts = await asyncio.to_thread(collected.points, ITEMS)
    assert len(counts) == 6
    assert nonzero(counts) == {("acme", "leads.db", "accepted"): 2, ("acme", "leads.db", "rejected"): 1}
    assert collected.points(ITEMS) == collected.points(HELD) == {}


async def test_the_oldest_open_item_has_an_age(
    sandbox: Sandbox, collected: Collected, tmp_path: Path
) -> None:
    """It is the time since the put of the oldest item of each state that is not final."""
    sandbox.books.faults = Faults(probabilities={"403": 1.0})
    async with client_of(sandbox) as lsq, Outbox(tmp_path / "leads.db", lsq) as outbox:
        assert collected.points(AGE) == {}
        await outbox.put({"Phone": "+91-9988776655"})
        await outbox.put({"Phone": "+91-9988776656"})
        file = sqlite3.connect(tmp_path / "leads.db")
        with file:
            file.execute("UPDATE items SET put_at = ? WHERE id = 1", (time.time() - 3600,))
        file.close()
        ages = collected.points(AGE)
    assert max(ages.values()) == pytest.approx(3600, abs=60)
    assert set(ages) <= {("leads.db", "pending"), ("leads.db", "sending")}


async def test_a_hold_shows_while_it_lasts(sandbox: Sandbox, collected: Collected, tmp_path: Path) -> None:
    """The gauge is 0 while leads are delivered, and 1 for the scope that is on hold."""
    async with client_of(sandbox) as lsq, Outbox(tmp_path / "leads.db", lsq, confirm=False) as outbox:
        await outbox.put({"Phone": "+91-9988776655"})
        await outbox.drained()
        quiet = collected.points(HELD)
        assert {scope for _, scope in quiet} >= {"all", "file", "leads.capture"}
        assert nonzero(quiet) == {}
        sandbox.books.faults = Faults(probabilities={"403": 1.0})
        await outbox.put({"Phone": "+91-9988776656"})
        async with asyncio.timeout(10):
            while not (await outbox.snapshot()).blocked:  # noqa: ASYNC110 - no event says so
                await asyncio.sleep(0.01)
        assert nonzero(collected.points(HELD)) == {("leads.db", "all"): 1}


async def test_only_the_process_that_delivers_reports(
    sandbox: Sandbox, collected: Collected, tmp_path: Path
) -> None:
    """A file that others put into has one count, from the one that has its lock."""
    async with (
        client_of(sandbox) as lsq,
        Outbox(tmp_path / "leads.db") as putting,
        Outbox(tmp_path / "leads.db", lsq, confirm=False),
        Outbox(tmp_path / "leads.db", lsq, confirm=False),
    ):
        await putting.put({"Phone": "+91-9988776655"})
        await putting.drained()
        assert nonzero(collected.points(ITEMS)) == {("leads.db", "accepted"): 1}


async def test_a_disk_that_does_not_answer_delays_no_collection_for_long(
    sandbox: Sandbox, collected: Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts are missing while the file's thread is busy, and the collector goes on."""
    is_free = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with (
        client_of(sandbox) as lsq,
        Outbox(tmp_path / "leads.db", lsq, confirm=False) as outbox,
    ):
        await outbox.put({"Phone": "+91-9988776655"})
        await outbox.drained()
        assert isinstance(outbox._lifecycle.writer, Writer)
        outbox._lifecycle.writer._thread.run(
            lambda: asyncio.run_coroutine_threadsafe(is_free.wait(), loop).result()
        )
        with monkeypatch.context() as patch:
            patch.setattr("leadsquared_async.outbox.writer.LONGEST_READ", 0.01)
            assert await asyncio.to_thread(collected.points, ITEMS) == {}
        is_free.set()
        await outbox.snapshot()  # it is free
        assert nonzero(collected.points(ITEMS)) == {("leads.db", "accepted"): 1}


@pytest.mark.skipif(os.name != "posix", reason="Windows has file names in Unicode")
async def test_every_label_can_be_written_as_utf8(
    sandbox: Sandbox, collected: Collected, tmp_path: Path
) -> None:
    """A file's name and a client's may have other bytes; Prometheus's page would fail as a whole."""
    path = tmp_path / os.fsdecode(b"leads\xff.db")
    async with client_of(sandbox, name="ac\udcffme") as lsq, Outbox(path, lsq, confirm=False) as outbox:
        await outbox.put({"Phone": "+91-9988776655"})
        await outbox.drained()
        counts = await asyncio.to_thread(collected.points, ITEMS)
    assert nonzero(counts) == {("ac me", "leads .db", "accepted"): 1}

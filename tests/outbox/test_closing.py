"""Leaving the block: what is on its way ends within the grace, the rest stays, nothing is lost or runs on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from leadsquared_async import ClientClosed, Outbox, OutboxError, RateLimit
from leadsquared_async.outbox import OutboxItem
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, by_state, lead, play


@pytest.mark.parametrize("latency", [0.04, 3.0])
def test_what_is_on_its_way_is_finished_and_the_rest_is_kept(latency: float, tmp_path: Path) -> None:
    """Nothing is "sending" after a close within the grace, and each row is either accepted or pending."""

    async def deliver(machine: Machine) -> None:
        start = machine.now
        async with machine.process() as outbox:
            await outbox.put_many(lead(number) for number in range(200))
            await asyncio.sleep(2.0)
            start = machine.now
        assert machine.now - start <= latency + 0.1
        async with Outbox(machine.path) as outbox:
            counts = await by_state(outbox)
        assert counts.keys() <= {"accepted", "pending", "confirmed"}
        assert sum(counts.values()) == 200
        sent = machine.operations["capture"]
        assert counts["pending"] == 200 - sent
        async with machine.process() as outbox:
            await outbox.drained()
        assert machine.books.repeated == 0
        assert len(machine.books.leads) == 200

    play(tmp_path, deliver, Faults(latency=latency))


def test_what_takes_longer_than_the_grace_is_left_to_the_next_process(tmp_path: Path) -> None:
    """Closing takes eight seconds at most, and rows without an answer are sent again at the next start."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put_many(lead(number) for number in range(40))
            await asyncio.sleep(1.0)
            start = machine.now
        assert 8.0 <= machine.now - start < 8.0 + 2.0
        machine.books.faults = Faults(latency=0.04)
        async with machine.process() as outbox:
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 40}
        assert machine.books.repeated <= 25

    # An outbox's client closes after it, with a grace of its own for the exchanges that are left.
    play(tmp_path, deliver, Faults(probabilities={"hang+taken": 1.0}), options={"timeout": 9.5})


def test_closing_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    """However short processes live, all rows are confirmed in the end; none but those on their way twice."""

    async def deliver(machine: Machine) -> None:
        chance = Random(11)
        async with Outbox(machine.path) as outbox:
            await outbox.put_many(lead(number) for number in range(150))
        for _ in range(25):
            async with machine.process() as outbox:
                await asyncio.sleep(
                    chance.choice([0.0, 0.001, chance.uniform(0.0, 0.3), chance.uniform(0.0, 6.0)])
                )
        async with machine.process() as outbox:
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 150}
        assert machine.books.repeated == 0
        assert machine.books.most_arrivals() <= 25

    play(tmp_path, deliver, Faults(latency=0.3, jitter=0.2))


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.0, 0.05, 1.0, 30.0])
def test_a_client_that_is_closed_first_does_no_harm(moment: float, tmp_path: Path) -> None:
    """The outbox says why it delivers no more, `drained` ends with that, and closes; all rows are kept."""

    async def deliver(machine: Machine) -> None:
        client = machine.client()
        async with client:
            outbox = Outbox(machine.path, client)
            await outbox.open()
            await outbox.put_many(lead(number) for number in range(300))
            await asyncio.sleep(moment)
        await asyncio.sleep(1.0)
        assert "closed" in str((await outbox.snapshot()).blocked)
        with pytest.raises(OutboxError, match=r"delivery has stopped with items still pending: .*closed"):
            await outbox.drained()
        ticket = await outbox.put(lead(300))
        assert ticket.is_new
        await outbox.aclose()
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("leadsquared")]
        async with machine.process() as outbox:
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 301}
        assert machine.books.repeated == 0

    play(tmp_path, deliver, Faults(latency=0.3))


@pytest.mark.parametrize("how", ["task", "scope"])
def test_a_block_that_is_cancelled_closes_all_the_same(how: str, tmp_path: Path) -> None:
    """Whoever cancels it, nothing runs on and the file can be opened again."""

    async def deliver(machine: Machine) -> None:
        async def live() -> None:
            async with machine.process() as outbox:
                await outbox.put_many(lead(number) for number in range(100))
                await outbox.drained()

        if how == "task":
            task = asyncio.create_task(live())
            await asyncio.sleep(5.0)
            task.cancel()
            await asyncio.sleep(0.1)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        else:
            with anyio.move_on_after(5.0):
                await live()
        async with machine.process() as outbox:
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 100}

    play(tmp_path, deliver, Faults(latency=1.0))


class Slow:
    """A callback that takes its time, and may refuse to be cut short."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun = self.done = 0

    async def __call__(self, item: OutboxItem) -> None:
        self.begun += 1
        await asyncio.sleep(self.seconds)
        self.done += 1


@pytest.mark.parametrize(("seconds", "done"), [(2.0, 25), (1e6, 0)])
def test_callbacks_under_way_get_what_is_left_of_the_grace(seconds: float, done: int, tmp_path: Path) -> None:
    """Those that do not end are broken off before the outbox is closed, and called again at the next
    start."""

    async def deliver(machine: Machine) -> None:
        slow = Slow(seconds)
        client = machine.client()
        outbox = Outbox(machine.path, client, confirm=False)
        outbox.on_final(slow)
        async with client:
            async with outbox:
                await outbox.put_many(lead(number) for number in range(25))
                await asyncio.sleep(0.5)
                assert slow.begun == 25
                start = machine.now
            assert machine.now - start < 8.001
            assert not [task for task in asyncio.all_tasks() if "on_final" in task.get_name()]
        assert slow.done == done
        told: list[int] = []
        again = Outbox(machine.path, client := machine.client(), confirm=False)
        again.on_final(lambda item: told.append(item.id))
        async with client, again:
            await asyncio.sleep(1.0)
        assert len(told) == 25 - done

    play(tmp_path, deliver, options={"rate_limit": RateLimit(1000, per=1.0)}, limit=None)


def test_putting_ends_when_the_outbox_closes_under_it(tmp_path: Path) -> None:
    """A long put_many says that the outbox is closed; what it had put by then is counted and kept."""

    async def deliver(machine: Machine) -> None:
        pulled = 0

        async def rows() -> Any:
            nonlocal pulled
            for number in range(5000):
                pulled += 1
                yield lead(number)
                await asyncio.sleep(0.001)

        async with Outbox(machine.path) as outbox:
            task = asyncio.create_task(outbox.put_many(rows()))
            forgetting = asyncio.create_task(outbox.forget(Phone="1"))
            await asyncio.sleep(1.7)
        with pytest.raises(ClientClosed):
            await task
        with suppress(ClientClosed):
            await forgetting
        async with Outbox(machine.path) as outbox:
            assert await by_state(outbox) == {
                "pending": pulled // 500 * 500 - (500 if pulled % 500 == 0 else 0)
            }

    play(tmp_path, deliver)

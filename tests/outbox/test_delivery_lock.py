"""Only the process that holds a file's lock delivers it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import Outbox, RateLimit, Submission, submissions
from leadsquared_async.outbox import why_stopped
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, by_state, lead, played

SYNC: dict[str, Any] = {"sync_host": "https://sandbox.invalid", "rate_limit": RateLimit(40, per=1.0)}


@played()
async def test_one_file_is_delivered_once_whichever_link_it_is_named_by(machine: Machine) -> None:
    """Of two outboxes on one file, one of them through a symbolic link, one delivers."""
    link = machine.path.with_name("current.db")
    async with machine.process() as outbox:
        link.symlink_to(machine.path.name)
        client = machine.client()
        async with client, Outbox(link, client) as other:
            await asyncio.sleep(2.0)
            assert (await outbox.snapshot()).delivers
            assert not (await other.snapshot()).delivers


@played()
async def test_a_lock_file_that_is_deleted_ends_the_delivering_that_held_it(machine: Machine) -> None:
    """The process that held it stops sending and says so; another one delivers."""
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


@played()
async def test_a_file_that_is_moved_ends_its_delivery(machine: Machine) -> None:
    """Nobody else would notice: other processes put into a new file, which the next opening delivers."""
    client = machine.client()
    async with client, Outbox(machine.path, client) as outbox:
        await asyncio.sleep(2.0)
        machine.path.rename(f"{machine.path}.old")
        await asyncio.sleep(2.0)
        assert "file was deleted or moved" in str((await outbox.snapshot()).blocked)
        assert why_stopped(outbox) is not None
    async with machine.process() as other:
        await other.put(lead(1))
        await other.drained()
        assert await by_state(other) == {"confirmed": 1}


@pytest.mark.parametrize("bulk", [False, True], ids=["single", "bulk"])
@played(Faults(latency=0.3, jitter=0.3), limit=None)
async def test_a_lead_is_sent_once_also_while_two_deliver(machine: Machine, bulk: bool) -> None:
    """After the lock file is deleted, two processes deliver for a second: no lead is duplicated."""

    def nobodys(number: int) -> Submission:
        values = {"FirstName": f"n{number}."}
        return submissions.bulk_lead(values) if bulk else submissions.capture_lead(values)

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


@played()
async def test_another_process_takes_over_when_the_delivering_one_ends(machine: Machine) -> None:
    """It takes over within two seconds, and only one delivers at any time."""
    async with AsyncExitStack() as stack:
        first_client = await stack.enter_async_context(machine.client())
        second_client = await stack.enter_async_context(machine.client())
        second = Outbox(machine.path, second_client)
        async with Outbox(machine.path, first_client) as first:
            await stack.enter_async_context(second)
            await first.put_many(lead(number) for number in range(100))
            await asyncio.sleep(8.0)
            assert [(await box.snapshot()).delivers for box in (first, second)] == [True, False]
        await asyncio.sleep(2.0)
        assert (await second.snapshot()).delivers
        await second.drained()
        assert await by_state(second) == {"confirmed": 100}
        await second.aclose()
    assert machine.books.repeated == 0

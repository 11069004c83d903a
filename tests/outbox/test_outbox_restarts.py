"""The limit holds across processes: the next one counts the calls of the one before."""

from __future__ import annotations

import asyncio
import time
from random import Random
from types import SimpleNamespace

import pytest

from leadsquared_async import Outbox
from leadsquared_async.outbox import service
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, by_state, lead, played


async def forms(outbox: Outbox, first: int, count: int) -> None:
    """So many at once, which spend a burst if there is one."""
    await asyncio.gather(*(outbox.put(lead(number)) for number in range(first, first + count)))


@pytest.mark.parametrize(
    "latency", [pytest.param(0.02, marks=pytest.mark.slow), 0.4, pytest.param(3.0, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("is_killed", [False, True])
@played(counting="sliding-log")
async def test_a_restart_never_exceeds_the_limit(machine: Machine, is_killed: bool, latency: float) -> None:
    """After a clean close and after a crash, no 5 seconds hold more than 25 arrivals."""
    machine.books.faults = Faults(latency=latency, jitter=latency)
    chance = Random(2)
    for life in range(8):
        kind = machine.crashing if is_killed else machine.process
        async with kind() as outbox:
            await asyncio.sleep(chance.choice([0.0, 0.05]))
            await forms(outbox, 40 * life, 40)
            await asyncio.sleep(chance.uniform(0.0, 12.0))
        await asyncio.sleep(chance.choice([0.0, 0.3, 4.0]))
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 320}
    assert machine.books.most_arrivals() <= 25
    assert machine.books.over_limit == 0


@played(counting="sliding-log")
async def test_the_clients_own_calls_count_too(machine: Machine) -> None:
    """A capture beside the outbox waits like a row right after the opening."""
    async with machine.crashing() as outbox:
        await asyncio.sleep(0.05)
        await forms(outbox, 0, 25)
        await asyncio.sleep(0.2)
    client = machine.client()
    async with client, Outbox(machine.path, client) as outbox:
        await asyncio.gather(*(client.leads.capture(lead(100 + number)) for number in range(25)))
        await outbox.drained()
    client = machine.client()
    async with client, Outbox(machine.path, client):
        await asyncio.gather(*(client.leads.capture(lead(200 + number)) for number in range(25)))
    assert machine.books.most_arrivals() <= 25


@played(counting="sliding-log")
async def test_a_process_that_sends_nothing_does_not_make_the_one_before_forgotten(machine: Machine) -> None:
    """Its end counts like that of a process that spent the whole limit."""
    async with machine.crashing() as outbox:
        await asyncio.sleep(0.05)
        await forms(outbox, 0, 25)
        await asyncio.sleep(0.2)
        assert machine.operations["capture"] == 25
    # LeadSquared has them, and nothing is left to be sent.
    async with Outbox(machine.path) as outbox:
        for number in range(25):
            await outbox.forget(**lead(number))
    for _ in range(2):
        async with machine.process(confirm=False):
            await asyncio.sleep(0.5)
    async with machine.process() as outbox:
        await asyncio.sleep(0.05)
        await forms(outbox, 100, 25)
        await outbox.drained()
    assert machine.books.most_arrivals() <= 25


@played(counting="sliding-log")
async def test_a_few_calls_before_a_clean_end_delay_no_other(machine: Machine) -> None:
    """The next process counts them, and sends the rest of the burst at once."""
    async with machine.process(confirm=False) as outbox:
        await forms(outbox, 0, 5)
        await outbox.drained()
    async with machine.process(confirm=False) as outbox:
        await asyncio.sleep(0.05)
        await forms(outbox, 100, 15)
        await asyncio.sleep(0.3)
        assert machine.operations["capture"] == 20


@pytest.mark.parametrize("is_client_closed_first", [False, True])
@played()
async def test_a_restart_long_after_a_clean_close_sends_at_once(
    machine: Machine, is_client_closed_first: bool
) -> None:
    """A burst of 25 leaves at once a minute after a clean close."""
    client = machine.client()
    await client.__aenter__()
    outbox = Outbox(machine.path, client)
    await outbox.open()
    await forms(outbox, 0, 40)
    await outbox.drained()
    if is_client_closed_first:
        await client.aclose()
    await outbox.aclose()
    await client.aclose()
    async with machine.process():
        pass  # one that is closed at once leaves no wrong word either
    await asyncio.sleep(60.0)
    before = len(machine.books.arrivals)
    async with machine.process() as outbox:
        await asyncio.sleep(0.05)
        await forms(outbox, 100, 25)
        await asyncio.sleep(0.2)
        assert len(machine.books.arrivals) - before == 25
        await outbox.drained()
    assert machine.books.most_arrivals() <= 25


@played()
async def test_after_a_crash_the_first_call_waits_for_two_windows_and_no_longer(machine: Machine) -> None:
    """It waits ten seconds, since the time of the last call is unknown."""
    async with machine.crashing() as outbox:
        await asyncio.sleep(1.0)
    await asyncio.sleep(100.0)
    start = machine.now
    async with machine.process() as outbox:
        await asyncio.sleep(0.1)
        await outbox.put(lead(1))
        await outbox.drained()
    first = machine.books.arrivals[0].time - start
    assert 9.9 <= first <= 10.5


@played(counting="sliding-log")
async def test_a_process_that_was_forked_off_does_not_pass_for_its_parent(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child does not know the calls that its parent made after the fork."""
    async with machine.process() as outbox:
        await asyncio.sleep(0.05)
        await forms(outbox, 0, 25)
        await asyncio.sleep(0.2)
    parent = service._process
    client = machine.client()  # with a bucket that has seen nothing
    service._process = parent
    monkeypatch.setattr(service, "os", SimpleNamespace(getpid=lambda: 1))
    async with client, Outbox(machine.path, client) as outbox:
        await asyncio.sleep(0.05)
        await forms(outbox, 100, 25)
        await outbox.drained()
    assert machine.books.most_arrivals() <= 25


@played(processing_rate=1.0)
async def test_a_second_outbox_in_the_same_process_need_not_wait(machine: Machine) -> None:
    """The process remembers its own calls, so closing and opening cost no time."""
    client = machine.client()
    async with client:
        for life in range(3):
            async with Outbox(machine.path, client) as outbox:
                await asyncio.sleep(0.05)
                await forms(outbox, 5 * life, 5)
                await asyncio.sleep(0.2)
                assert machine.operations["capture"] == 5 * (life + 1)


@played(counting="sliding-log")
async def test_a_wall_clock_that_jumps_brings_no_second_burst(machine: Machine) -> None:
    """The former process's calls count although the wall clock moved by an hour."""
    async with machine.process() as outbox:
        await asyncio.gather(*(outbox.put(lead(number)) for number in range(25)))
        await asyncio.sleep(0.5)
    before = time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: before() + 3600.0)
        async with machine.process() as outbox:
            await asyncio.gather(*(outbox.put(lead(100 + number)) for number in range(25)))
            await outbox.drained()
    assert machine.books.most_arrivals() <= 25
    assert machine.books.over_limit == 0

"""Status calls of all processes together take half of the account's rate at most, in any second."""

from __future__ import annotations

import asyncio
import math
import random
from itertools import pairwise

import pytest

from leadsquared_async import Credentials, Lane, RateLimit, SharedLimiter
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.limiter.tokens import spacing_of
from leadsquared_async.sandbox import most_in_any_window
from tests import virtual
from tests.limiter.valkey import Valkey
from tests.limiter.world import DEFAULT, Server, World, kill, leave

FAST = RateLimit(20, per=1.0)
POLLS = 120
BESIDE: dict[str, list[Lane]] = {
    "alone": [],
    "beside forms": [Lane.INTERACTIVE],
    "beside a batch": [Lane.BATCH],
    "beside both": [Lane.INTERACTIVE, Lane.BATCH],
}


async def poll(bucket: TokenQueue, times: list[float], *, answered: bool = True) -> None:
    await bucket.acquire(Lane.STATUS)
    times.append(asyncio.get_running_loop().time())
    await asyncio.sleep(0.01)
    bucket.release(counted=answered)


def assert_half(times: list[float], limit: RateLimit) -> None:
    half = limit.calls / limit.per / 2
    times.sort()
    assert most_in_any_window(times, 1.0) <= math.ceil(half)
    assert most_in_any_window(times, 10.0) <= math.ceil(10 * half)
    assert min(later - time for time, later in pairwise(times)) >= spacing_of(Lane.STATUS, limit) - 1e-3


@pytest.mark.parametrize("processes", [1, 2, 8])
@pytest.mark.parametrize("limit", [FAST, DEFAULT], ids=str)
@pytest.mark.parametrize("beside", BESIDE)
def test_polls_of_all_processes_take_half_of_the_rate(processes: int, limit: RateLimit, beside: str) -> None:
    """They take at most half in any second, exactly half when alone, and each process has its part."""

    async def main() -> None:
        world = World(Server(), limit=limit, account=(limit.calls, limit.per))
        buckets = [world.join() for _ in range(processes)]
        for lane in BESIDE[beside]:
            world.flood(world.join(), lane, 4 * POLLS)
        times: list[list[float]] = [[] for _ in buckets]
        async with asyncio.TaskGroup() as group:
            for bucket, mine in zip(buckets, times, strict=True):
                for _ in range(POLLS // processes):
                    group.create_task(poll(bucket, mine))
        together = sorted(time for mine in times for time in mine)
        assert_half(together, limit)
        if not BESIDE[beside]:
            assert len(together) / (together[-1] - together[0]) >= 0.95 * limit.calls / limit.per / 2
            middle = together[len(together) // 2]
            shares = [sum(time <= middle for time in mine) for mine in times]
            assert max(shares) - min(shares) <= 2, shares
        await world.close()

    virtual.run(main)


async def test_polls_of_processes_on_a_real_store_take_half_of_the_rate(valkey: Valkey) -> None:
    """24 polls of four processes take the time of half of 20 calls a second."""
    limit = RateLimit(40, per=1.0)
    limiters = [SharedLimiter(valkey.url, prefix="polls") for _ in range(4)]
    account = ("host", Credentials("access", "secret", "key"), Limit.CALLS, limit)
    buckets = [limiter.join(*account) for limiter in limiters]
    times: list[float] = []
    await asyncio.gather(*(poll(bucket, times) for bucket in buckets for _ in range(6)))
    for limiter, bucket in zip(limiters, buckets, strict=True):
        await limiter.leave(bucket, limit)
    times.sort()
    assert times[-1] - times[0] >= 23 * spacing_of(Lane.STATUS, limit) - 0.1
    assert most_in_any_window(times, 0.5) <= 12  # 10, and the machine may be late


@pytest.mark.parametrize("seed", range(12))
def test_polls_keep_to_half_while_processes_come_go_and_fail(seed: int) -> None:
    """Processes join, leave, hang or are killed: the others poll at half of the rate and little less."""

    async def main() -> None:
        chance = random.Random(seed)
        world = World(Server(latency=chance.choice([0.001, 0.03])), seed=seed)
        limit, times = world.limit, list[float]()
        patient = [world.join() for _ in range(2)]
        others: list[TokenQueue] = []
        steady = [asyncio.create_task(poll(bucket, times)) for bucket in patient for _ in range(100)]
        tasks: list[asyncio.Task[None]] = []
        start = world.loop.time()
        for _ in range(60):
            await asyncio.sleep(chance.uniform(0.0, 0.8))
            kind = chance.choice(["join", "join", "poll", "poll", "cancel", "leave", "kill"])
            if kind == "join" or not others:
                others.append(world.join())
            bucket = chance.choice(others)
            if kind in ("join", "poll"):
                answered = chance.random() < 0.9
                tasks += [
                    asyncio.create_task(poll(bucket, times, answered=answered))
                    for _ in range(chance.randint(1, 4))
                ]
            elif kind == "cancel" and tasks:
                chance.choice(tasks).cancel()
            elif kind in ("leave", "kill"):
                others.remove(bucket)
                if kind == "leave":
                    await leave(bucket)
                else:
                    kill(bucket)
        end = world.loop.time()
        used = sum(start <= time <= end for time in times)
        assert used >= 0.75 * (end - start) * limit.calls / limit.per / 2
        await asyncio.gather(*steady)
        assert_half(times, limit)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await world.close()

    virtual.run(main)


def test_a_poll_beside_batches_of_other_processes_gets_the_eighth_grant() -> None:
    """It gets the eighth grant behind any number of batches, right after another poll."""

    async def main() -> None:
        world = World(Server())
        for _ in range(3):
            world.flood(world.join(), Lane.BATCH, 200)
        bucket, times = world.join(), list[float]()
        await asyncio.sleep(12.0)
        asked = world.loop.time()
        await asyncio.gather(*(poll(bucket, times) for _ in range(6)))
        waits = [later - time for time, later in pairwise([asked, *times])]
        assert max(waits) <= 9 * DEFAULT.spacing
        await world.close()

    virtual.run(main)

"""Clients of one process on a shared limit: what they declare, and how fast they poll."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from leadsquared_async import Lane, RateLimit
from leadsquared_async.sandbox import most_in_any_window
from tests.limiter.test_queue import in_virtual_time
from tests.limiter.world import Server, World, grantor_of

NARROW = RateLimit(5, per=5.0)


@in_virtual_time
async def test_a_client_that_closes_takes_its_smaller_limit_with_it() -> None:
    """All processes keep to it while it is open, and go back when it closes."""
    world = World(Server())
    mine, others = world.join(), world.join()
    mine.join(NARROW)
    grantor_of(others)._is_urgent = True
    await asyncio.gather(*(world.call(bucket) for bucket in (mine, others)))
    await asyncio.sleep(60.0)
    assert [str(bucket.snapshot().limit) for bucket in (mine, others)] == ["5/5", "5/5"]
    mine.leave(NARROW)
    await asyncio.sleep(60.0)
    assert [str(bucket.snapshot().limit) for bucket in (mine, others)] == ["25/5", "25/5"]
    assert mine.snapshot().ceiling is None
    await world.close()


@pytest.mark.parametrize("down", [False, True])
def test_polls_of_one_process_take_half_of_its_rate(down: bool) -> None:
    """Whether the store answers or the process keeps to its share: two spacings apart, and used."""

    @in_virtual_time
    async def play() -> None:
        world = World(Server())
        bucket = world.join()
        if down:
            world.server.down = True
        polls = world.flood(bucket, Lane.STATUS, 40)
        await asyncio.sleep(5.0)
        spacing = bucket.snapshot().limit.spacing
        times = sorted(await asyncio.gather(*polls))
        assert min(later - time for time, later in pairwise(times[3:])) >= 1.9 * spacing
        assert times[-1] - times[3] <= 36 * 2.2 * spacing
        assert most_in_any_window(times, 1.0) <= 3
        await world.close()

    play()

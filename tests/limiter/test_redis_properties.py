"""The limit holds while many processes cancel, time out, hang and die."""

from __future__ import annotations

import asyncio
import random

import pytest

from leadsquared_async.limiter.interface import NoTokenInTime
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.sandbox import most_in_any_window
from tests import virtual
from tests.limiter.world import Server, World, grantor_of, is_killed, kill

PER = 5.0


class Chaos(World):
    """Calls of every kind, and when they arrived."""

    async def any_call(self, bucket: TokenQueue) -> None:
        chance = self.chance
        if is_killed(bucket):
            return  # killed in this very tick
        deadline = None if chance.random() < 0.7 else self.loop.time() + chance.uniform(0, 20)
        lane = chance.choice([Lane.INTERACTIVE, *Lane])
        try:
            await bucket.acquire(lane, deadline)
        except NoTokenInTime:
            assert deadline is not None
            return
        assert deadline is None or self.loop.time() <= deadline + 1e-6
        if chance.random() < 0.05:
            bucket.release_unused()
            return
        await asyncio.shield(asyncio.create_task(self.exchange(bucket)))

    async def exchange(self, bucket: TokenQueue) -> None:
        chance = self.chance
        if chance.random() < 0.8:
            await asyncio.sleep(chance.uniform(0, 0.8))
            self.arrivals.append(self.loop.time())
            await asyncio.sleep(chance.uniform(0, 0.8))
            bucket.release()
        else:
            await asyncio.sleep(chance.uniform(0, 4))
            self.arrivals.append(self.loop.time() + chance.uniform(0, PER))
            bucket.release(counted=False)

    def kill(self, bucket: TokenQueue) -> None:
        """Its calls in flight continue, and it makes no more requests."""
        kill(bucket)
        for waiter in bucket._lanes:
            waiter.future.cancel()


@pytest.mark.parametrize("kills", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_never_over_the_limit_and_nothing_forgotten(seed: int, kills: bool) -> None:
    """At most 25 arrivals in any 5 s; in the end all tokens are free and no caller waits."""

    async def main() -> None:
        world = Chaos(Server(latency=random.Random(seed).choice([0.001, 0.05, 0.3])), seed=seed)
        chance = world.chance
        for _ in range(6):
            world.join()
        tasks: list[asyncio.Task[None]] = []
        for _ in range(400):
            await asyncio.sleep(chance.choice([0.0, 0.0, 0.0, 0.1, 0.2, 0.5]))
            alive = [bucket for bucket in world.buckets if not is_killed(bucket)]
            task = asyncio.create_task(world.any_call(chance.choice(alive)))
            tasks.append(task)
            if chance.random() < 0.2:
                world.loop.call_later(chance.uniform(0, 6), task.cancel)
            if kills and chance.random() < 0.02:
                world.kill(chance.choice(alive))
                world.join()
        await asyncio.gather(*tasks, return_exceptions=True)
        failures = [task.exception() for task in tasks if not task.cancelled()]
        assert not any(failures), failures
        await asyncio.sleep(3.0 + 3 * PER + 25 * 0.204)
        assert most_in_any_window(sorted(world.arrivals), PER - 1e-6) <= 25
        alive = [bucket for bucket in world.buckets if not is_killed(bucket)]
        await asyncio.sleep(30.0)
        await world.call(alive[0])
        state = world.server.state()
        assert state["held"] == 25
        assert state["free"] >= 24
        assert not any(sum(process["waiting"]) for process in state["processes"].values())
        assert state["processes"].keys() == {each._process for each in map(grantor_of, alive) if each._number}
        await world.close()
        assert world.server.state()["out"] == 0

    virtual.run(main)

"""Many calls through one bucket against a server that counts, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from leadsquared_async import Lane, RateLimit
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.sandbox import COUNTERS
from tests import virtual

ACCOUNT = (25, 5.0)

# Seconds of a round trip.
PROFILES: dict[str, Callable[[random.Random], float]] = {
    "LAN": lambda chance: chance.uniform(0.0005, 0.002),
    "WAN": lambda chance: 0.040 + chance.expovariate(1 / 0.040),
    "wild": lambda chance: chance.uniform(0.020, 0.800),
}


@dataclass
class Result:
    """What the server saw."""

    arrivals: list[float] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0


def simulate(
    counting: str,
    profile: str,
    seed: int,
    limit: RateLimit,
    *,
    leads: int = 1000,
    lane: Lane = Lane.INTERACTIVE,
    stops: float = 0.0,
) -> Result:
    """Send leads as fast as the bucket lets them, a refused one again, until all are taken.

    Args:
        counting: how the server counts.
        profile: of the network.
        seed: of all that is random.
        limit: what the bucket keeps to.
        leads: how many.
        lane: of all of them.
        stops: seconds for which the loop stands still, every ten seconds or so.
    """
    chance = random.Random(f"{profile} {seed}")
    round_trip = PROFILES[profile]
    result = Result()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        counter = COUNTERS[counting](*ACCOUNT, phase=chance.uniform(0, ACCOUNT[1]))
        bucket = TokenQueue(LocalGrantor(limit))
        start = loop.time()

        async def capture() -> None:
            taken = False
            while not taken:
                await bucket.acquire(lane)
                seconds = round_trip(chance)
                there = seconds / 2
                await asyncio.sleep(there)
                taken = counter.admit(loop.time())
                result.arrivals.append(loop.time())
                await asyncio.sleep(seconds - there)
                if not taken:
                    result.refused += 1
                    bucket.on_rate_limited()
                bucket.release()

        async def stand_still() -> None:
            while True:
                await asyncio.sleep(chance.uniform(8.0, 13.0))
                virtual.stand_still(stops)

        standing = [asyncio.create_task(stand_still())] if stops else []
        await asyncio.gather(*(capture() for _ in range(leads)))
        result.seconds = loop.time() - start
        for task in standing:
            task.cancel()

    virtual.run(main)
    return result

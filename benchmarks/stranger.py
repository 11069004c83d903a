"""Beside a stranger who sends 2 calls a second on the same account, in virtual time: what is left to us?"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figures import Figure
from leadsquared_async import Lane, RateLimit
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.sandbox import COUNTERS
from tests import virtual

ACCOUNT = (25, 5.0)
STRANGERS_RATE = 2.0
LEFT = ACCOUNT[0] / ACCOUNT[1] - STRANGERS_RATE
"""Calls a second that are left to us."""
SETTLED, END = 60.0, 660.0
SEEDS = 5
SENDERS = 40
"""More than can ever be in flight, so that a lead is always waiting."""
LEAST_KEPT = 85.0
MOST_REFUSED = 8.0


def measure() -> Iterator[Figure]:
    """For each way of counting the share of the rate left that we use, and of our calls that is refused."""
    for counting in COUNTERS:
        runs = [_simulate(counting, seed) for seed in range(SEEDS)]
        kept = [run.accepted / (LEFT * (END - SETTLED)) * 100 for run in runs]
        refused = [run.refused / (run.accepted + run.refused) * 100 for run in runs]
        theirs = [run.strangers_refused / run.strangers * 100 for run in runs]
        yield Figure(
            f"{counting}: of the rate left, kept",
            statistics.median(kept),
            " %",
            least=LEAST_KEPT,
            note=f"of the stranger's calls, {statistics.median(theirs):.1f} % refused",
        )
        yield Figure(
            f"{counting}: of our calls, refused", statistics.median(refused), " %", most=MOST_REFUSED
        )


@dataclass
class _Run:
    accepted: int = 0
    refused: int = 0
    strangers: int = 0
    strangers_refused: int = 0


def _simulate(counting: str, seed: int) -> _Run:
    """Ten minutes of both, once they are used to each other."""
    chance = random.Random(seed)
    run = _Run()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        counter = COUNTERS[counting](*ACCOUNT, phase=chance.uniform(0, ACCOUNT[1]))
        strict = counting == "sliding-counter-strict"
        limit = RateLimit(24, per=5.0, margin=0.04) if strict else RateLimit(*ACCOUNT)
        bucket = TokenQueue(LocalGrantor(limit))
        start = loop.time()

        async def stranger() -> None:
            while loop.time() < start + END:
                taken = counter.admit(loop.time())
                if loop.time() >= start + SETTLED:
                    run.strangers += 1
                    run.strangers_refused += not taken
                await asyncio.sleep(chance.uniform(0.5, 1.5) / STRANGERS_RATE)

        async def sender() -> None:
            while loop.time() < start + END:
                await bucket.acquire(Lane.INTERACTIVE)
                seconds = 0.040 + chance.expovariate(1 / 0.040)
                await asyncio.sleep(seconds / 2)
                taken = counter.admit(loop.time())
                if loop.time() >= start + SETTLED:
                    run.accepted += taken
                    run.refused += not taken
                await asyncio.sleep(seconds / 2)
                if not taken:
                    bucket.on_rate_limited(named=ACCOUNT)
                bucket.release()

        await asyncio.gather(stranger(), *(sender() for _ in range(SENDERS)))

    virtual.run(main)
    return run

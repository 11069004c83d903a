"""What does it cost to take a token and give it back?

CPU of the local bucket, with nobody waiting and with 1,000 others waiting.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator

from benchmarks.figures import Figure
from leadsquared_async import Lane, RateLimit
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue

BUDGET = 6.0
BUDGET_CONTENDED = 60.0
ROUNDS = 7
TOKENS = 20_000
WAITERS = 1_000
WIDE = RateLimit(10_000, per=0.01)
NARROW = RateLimit(100, per=0.001)


def measure() -> Iterator[Figure]:
    """Microseconds a token, with nobody and with a thousand before it."""
    for what, once, budget in (
        ("uncontended", _uncontended, BUDGET),
        (f"with {WAITERS:,} waiting", _contended, BUDGET_CONTENDED),
    ):
        rounds = [asyncio.run(_cpu(once)) for _ in range(ROUNDS)]
        yield Figure(f"take and give a token, {what}", statistics.median(rounds), " us", most=budget)


async def _cpu(once: Callable[[], Awaitable[None]]) -> float:
    before = time.process_time()
    await once()
    return (time.process_time() - before) / TOKENS * 1e6


async def _uncontended() -> None:
    bucket = TokenQueue(LocalGrantor(WIDE))
    deadline = asyncio.get_running_loop().time() + 600.0
    for _ in range(TOKENS):
        await bucket.acquire(Lane.INTERACTIVE, deadline)
        bucket.release()


async def _contended() -> None:
    bucket = TokenQueue(LocalGrantor(NARROW))
    deadline = asyncio.get_running_loop().time() + 600.0

    async def worker() -> None:
        for _ in range(TOKENS // WAITERS):
            await bucket.acquire(Lane.INTERACTIVE, deadline)
            bucket.release()

    await asyncio.gather(*(worker() for _ in range(WAITERS)))

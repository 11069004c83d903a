"""What does a capture cost while it waits for the limit?

100 to 100,000 captures at once, in a process of its own, over a transport without a socket. The memory is
what the process has grown by when all have begun to wait; the CPU is for beginning and for cancelling.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Iterator

import httpx

from benchmarks.accounts import LEAD, client
from benchmarks.figures import Figure, Plot, Result, Table
from benchmarks.many_accounts import memory
from benchmarks.processes import Process, say
from leadsquared_async import LeadSquared, RateLimit

WAITERS = (100, 1_000, 10_000, 100_000)
MOST_BYTES = 9_000
SLOW = RateLimit(1, per=3600.0)


def measure() -> Iterator[Result]:
    """The memory and the CPU of a waiting capture, for each number of them."""
    runs = {}
    for waiters in WAITERS:
        with Process("benchmarks.waiting_cost", str(waiters)) as process:
            runs[waiters] = process.hello
    yield Table(
        "A waiting capture",
        ("waiting", "bytes", "CPU to begin", "CPU to cancel"),
        [
            [f"{waiters:,}", f"{run['bytes']:,.0f}", f"{run['begin']:.0f} us", f"{run['cancel']:.0f} us"]
            for waiters, run in runs.items()
        ],
    )
    yield Plot(
        "waiting_cost",
        "CPU of a capture that waits for the limit, by how many wait",
        "captures that wait",
        "microseconds",
        {
            "to begin": [(waiters, run["begin"]) for waiters, run in runs.items()],
            "to cancel": [(waiters, run["cancel"]) for waiters, run in runs.items()],
        },
        is_log=True,
    )
    yield Figure("memory of a waiting capture", runs[WAITERS[-1]]["bytes"], " bytes", most=MOST_BYTES)


async def wait(waiters: int) -> None:
    """In the child: begin them all, and cancel them."""

    async def hang(request: httpx.Request) -> httpx.Response:
        del request
        await asyncio.Event().wait()
        raise AssertionError

    options = {"rate_limit": SLOW, "deadline": None, "transport": httpx.MockTransport(hang)}
    async with client("https://sandbox.invalid", **options) as lsq:
        first = asyncio.create_task(_capture(lsq, 0))
        await asyncio.sleep(0.05)
        gc.collect()
        before, cpu = memory(), time.process_time()
        tasks = [asyncio.create_task(_capture(lsq, number)) for number in range(1, waiters + 1)]
        await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in tasks)
        begun, held = time.process_time() - cpu, memory() - before
        cpu = time.process_time()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        cancelled = time.process_time() - cpu
        assert all(task.cancelled() for task in tasks)
        say(
            {
                "bytes": held * 1e6 / waiters,
                "begin": begun * 1e6 / waiters,
                "cancel": cancelled * 1e6 / waiters,
            }
        )
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def _capture(lsq: LeadSquared, number: int) -> None:
    await lsq.leads.capture({**LEAD, "EmailAddress": f"w{number}@example.com"})


if __name__ == "__main__":
    asyncio.run(wait(int(sys.argv[1])))

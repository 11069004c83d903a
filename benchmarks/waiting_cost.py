"""What does a capture cost while it waits for the limit?

100 to 100,000 captures begin at once, in a process of their own, over a transport without a socket. The
memory is what the process has grown by when all of them wait. The CPU is for beginning and for cancelling.
The memory includes the caller's own task and lead: the rows of tasks that await a future or an aiolimiter
show how much that is.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
from aiolimiter import AsyncLimiter

from benchmarks.accounts import LEAD, client
from benchmarks.figures import Figure, Plot, Result, Table
from benchmarks.many_accounts import memory
from benchmarks.processes import Process, say
from leadsquared_async import RateLimit

WAITERS = (100, 1_000, 10_000, 100_000)
MOST_BYTES = 4_000
SLOW = RateLimit(1, per=3600.0)


Wait = Callable[[dict[str, str]], Awaitable[object]]


def measure() -> Iterator[Result]:
    """The memory and the CPU of a waiting capture, for each number of them, and of what else may wait."""
    runs = {waiters: run("capture", waiters) for waiters in WAITERS}
    others = {name: run(name, WAITERS[-1]) for name in WAITS if name != "capture"}
    yield Table(
        "A waiting capture",
        ("waiting", "bytes", "objects", "CPU to begin", "CPU to cancel"),
        [
            *(_row(f"{waiters:,} captures", run) for waiters, run in runs.items()),
            *(_row(f"{WAITERS[-1]:,} tasks that await {name}", run) for name, run in others.items()),
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


def run(name: str, waiters: int) -> dict[str, float]:
    with Process("benchmarks.waiting_cost", name, str(waiters)) as process:
        hello: dict[str, float] = process.hello
        return hello


def _row(name: str, run: dict[str, float]) -> list[str]:
    numbers = (
        f"{run['bytes']:,.0f}",
        f"{run['objects']:.0f}",
        f"{run['begin']:.0f} us",
        f"{run['cancel']:.0f} us",
    )
    return [name, *numbers]


@asynccontextmanager
async def _captures() -> AsyncGenerator[Wait]:
    async def hang(request: httpx.Request) -> httpx.Response:
        del request
        await asyncio.Event().wait()
        raise AssertionError

    options = {"rate_limit": SLOW, "deadline": None, "transport": httpx.MockTransport(hang)}
    async with client("https://sandbox.invalid", **options) as lsq:
        yield lambda lead: lsq.leads.capture(lead)  # noqa: PLW0108 - each call makes an `lsq.leads`, as users do


@asynccontextmanager
async def _futures() -> AsyncGenerator[Wait]:
    loop = asyncio.get_running_loop()
    yield lambda _: loop.create_future()


@asynccontextmanager
async def _aiolimiter() -> AsyncGenerator[Wait]:
    limiter = AsyncLimiter(SLOW.calls, SLOW.per)
    yield lambda _: limiter.acquire()


WAITS = {"capture": _captures, "a future": _futures, "an aiolimiter": _aiolimiter}


async def wait(name: str, waiters: int) -> None:
    """In the child: begin them all, and cancel them."""
    async with WAITS[name]() as begin:
        first = asyncio.create_task(_wait(begin, 0))
        await asyncio.sleep(0.05)
        gc.collect()
        before, objects, cpu = memory(), len(gc.get_objects()), time.process_time()
        tasks = [asyncio.create_task(_wait(begin, number)) for number in range(1, waiters + 1)]
        await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in tasks)
        begun, held = time.process_time() - cpu, memory() - before
        tracked = len(gc.get_objects()) - objects
        cpu = time.process_time()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        cancelled = time.process_time() - cpu
        assert all(task.cancelled() for task in tasks)
        say(
            {
                "bytes": held * 1e6 / waiters,
                "objects": tracked / waiters,
                "begin": begun * 1e6 / waiters,
                "cancel": cancelled * 1e6 / waiters,
            }
        )
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def _wait(begin: Wait, number: int) -> None:
    lead = {**LEAD, "EmailAddress": f"w{number}@example.com"}
    await begin(lead)


if __name__ == "__main__":
    asyncio.run(wait(sys.argv[1], int(sys.argv[2])))

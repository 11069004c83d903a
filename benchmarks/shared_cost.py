"""What does a token of the shared store cost, compared with one of the local bucket?

A token of a `SharedLimiter` from a Valkey on this machine: CPU in the process and in the store, the wait, and
the requests to the store. Then eight processes, in each of which 1,000 calls wait.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.figures import Figure
from leadsquared_async import Lane, RateLimit
from leadsquared_async.config import Credentials
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.limiter.redis_limits import SharedLimiter
from tests.limiter.processes import Workers
from tests.limiter.valkey import Valkey

BUDGET_CPU = 1500.0
BUDGET_TIME = 3.0
BUDGET_REQUESTS = 60.0
TOKENS = 1_000
WIDE = RateLimit(25, per=0.005)
"""As many tokens as usual, and always one there for a caller that makes one call after the other."""
PROCESSES = 8
WAITERS = 1_000
SECONDS = 15.0


def measure() -> Iterator[Figure]:
    """CPU and wait of a token, alone; requests a second of eight processes that all have much to do."""
    with tempfile.TemporaryDirectory() as folder:
        server = Valkey(Path(folder))
        server.start()
        try:
            yield from _of_one_token(server)
            yield from _of_many_processes(server)
        finally:
            server.stop()


def _of_one_token(server: Valkey) -> Iterator[Figure]:
    local, _ = asyncio.run(_local())
    cpu, waits, requests, store_cpu = asyncio.run(_shared(server))
    yield Figure("a token of the local bucket, CPU", local, " us")
    yield Figure("a token of the store, CPU of the process", cpu, " us", most=BUDGET_CPU)
    yield Figure("a token of the store, CPU of the store", store_cpu, " us")
    yield Figure("a token of the store, wait", statistics.median(waits) * 1e3, " ms", most=BUDGET_TIME)
    yield Figure("requests a token", requests, note="one asks, and tells of the call before it")


async def _local() -> tuple[float, list[float]]:
    return await _cost(TokenQueue(LocalGrantor(WIDE)))


async def _shared(server: Valkey) -> tuple[float, list[float], float, float]:
    async with _joined(server) as (limiter, bucket):
        requests, before = limiter.requests, _cpu_of(server)
        cpu, waits = await _cost(bucket)
        store_cpu = (_cpu_of(server) - before) / TOKENS * 1e6
        return cpu, waits, (limiter.requests - requests) / TOKENS, store_cpu


async def _cost(bucket: TokenQueue) -> tuple[float, list[float]]:
    waits: list[float] = []
    before = time.process_time()
    for _ in range(TOKENS):
        asked = time.perf_counter()
        await bucket.acquire(Lane.INTERACTIVE)
        waits.append(time.perf_counter() - asked)
        bucket.release()
    return (time.process_time() - before) / TOKENS * 1e6, waits


@asynccontextmanager
async def _joined(server: Valkey) -> AsyncIterator[tuple[SharedLimiter, TokenQueue]]:
    limiter = SharedLimiter(server.url)
    bucket = limiter.join("host", Credentials("a", "s", "key"), Limit.CALLS, WIDE)
    await asyncio.sleep(0.1)  # a store that has just started begins with nothing
    yield limiter, bucket
    await limiter.leave(bucket)


def _of_many_processes(server: Valkey) -> Iterator[Figure]:
    """At LeadSquared's own limit, each process with a thousand calls that wait."""
    server.command("FLUSHALL")
    before = _cpu_of(server)
    with Workers(server.url, calls=25, per=5.0) as workers:
        for _ in range(PROCESSES):
            workers.add("BATCH", WAITERS)
        workers.start()
        began = time.monotonic()
        time.sleep(SECONDS)
        seconds = time.monotonic() - began
        workers.stop()
    ends = [worker.end for worker in workers.all if worker.end is not None]
    requests = sum(end[1] for end in ends) / seconds
    tokens = sum(end[0] for end in ends)
    yield Figure(
        f"requests a second, {PROCESSES} processes, {WAITERS:,} waiting in each",
        requests,
        most=BUDGET_REQUESTS,
        note=f"{requests * seconds / tokens:.1f} a token",
    )
    yield Figure("CPU of all processes", sum(end[2] for end in ends) / seconds * 100, " %")
    yield Figure("CPU of the store", (_cpu_of(server) - before) / seconds * 100, " %")


def _cpu_of(server: Valkey) -> float:
    lines = server.command("INFO", "cpu").decode().splitlines()
    values = dict(line.split(":") for line in lines if ":" in line)
    return float(values["used_cpu_user"]) + float(values["used_cpu_sys"])


if __name__ == "__main__":
    for figure in measure():
        print(figure, flush=True)

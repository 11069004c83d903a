"""Real processes on one limit, and what they wrote down.

`python -m tests.limiter.processes URL LANE WAITERS CALLS PER` is one of them: it prints "ready", waits for a
line, and from then on makes calls until it gets another one. Each call is a line: when it was asked
for, sent, and arrived, in seconds of the clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from leadsquared_async.config import Credentials, RateLimit
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.redis_limits import SharedLimiter

ROOT = Path(__file__).parent.parent.parent
END_WITHIN = 10.0


@dataclass
class Worker:
    """One of them.

    Attributes:
        calls: when each was asked for, sent, and arrived.
        end: tokens it was granted, requests it made, its seconds of CPU; None if it was killed.
    """

    child: subprocess.Popen[str]
    calls: list[tuple[float, float, float]] = field(default_factory=list)
    end: tuple[int, int, float] | None = None

    def __post_init__(self) -> None:
        self.is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def tell(self) -> None:
        """Start it, or have it end."""
        assert self.child.stdin is not None
        self.child.stdin.write("\n")
        self.child.stdin.flush()

    def wait(self) -> None:
        self.child.wait(END_WITHIN)
        self._reader.join()
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            kind, *rest = line.split()
            if kind == "ready":
                self.is_ready.set()
            elif kind == "call":
                self.calls.append((float(rest[0]), float(rest[1]), float(rest[2])))
            else:
                self.end = (int(rest[0]), int(rest[1]), float(rest[2]))
        self.is_ready.set()  # one that ended keeps nobody waiting


class Workers:
    """Workers for the length of a `with` block; those that are still there then are killed."""

    def __init__(self, url: str, *, calls: int = 25, per: float = 0.5) -> None:
        self._arguments = (url, calls, per)
        self.all: list[Worker] = []

    def add(self, lane: str, waiters: int) -> Worker:
        """Start one more; it waits for a line."""
        url, calls, per = self._arguments
        words = (url, lane, waiters, calls, per)
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.limiter.processes", *map(str, words)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        worker = Worker(child)
        self.all.append(worker)
        return worker

    def start(self) -> None:
        """Tell all to begin, once all are ready."""
        for worker in self.all:
            assert worker.is_ready.wait(30.0)
            assert worker.child.poll() is None
        for worker in self.all:
            worker.tell()

    def stop(self) -> None:
        """Tell all to end, and wait until they have."""
        for worker in self.all:
            if worker.child.poll() is None:
                worker.tell()
        for worker in self.all:
            worker.wait()
            assert worker.child.returncode in {0, -9}

    @property
    def arrivals(self) -> list[float]:
        """Of all of them, in order."""
        return sorted(arrived for worker in self.all for _, _, arrived in worker.calls)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.all:
            if worker.child.poll() is None:
                worker.child.kill()
            worker.wait()


ROUND_TRIP = (0.002, 0.012)


async def main(url: str, lane: Lane, waiters: int, limit: RateLimit) -> None:
    limiter = SharedLimiter(url, lease=1.5)
    bucket = limiter.join("host", Credentials("a", "s", "the-key"), Limit.CALLS, limit)
    await bucket.acquire(lane)
    bucket.release()
    loop = asyncio.get_running_loop()
    say("ready", os.getpid())
    await loop.run_in_executor(None, sys.stdin.readline)
    stopped = loop.run_in_executor(None, sys.stdin.readline)
    chance = random.Random(os.getpid())

    async def call() -> None:
        asked = time.monotonic()
        await bucket.acquire(lane)
        sent = time.monotonic()
        seconds = chance.uniform(*ROUND_TRIP)
        await asyncio.sleep(seconds / 2)
        say("call", asked, sent, time.monotonic())
        await asyncio.sleep(seconds / 2)
        bucket.release()

    async def wait_and_call() -> None:
        while True:
            if waiters == 1:
                await asyncio.sleep(chance.uniform(0.1, 0.4))
            await call()

    tasks = [asyncio.create_task(wait_and_call()) for _ in range(waiters)]
    before, cpu = bucket.snapshot().granted, time.process_time()
    requests = limiter.requests
    await stopped
    say("end", bucket.snapshot().granted - before, limiter.requests - requests, time.process_time() - cpu)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await limiter.leave(bucket)
    assert len(asyncio.all_tasks()) == 1


def say(*words: object) -> None:
    print(*words, flush=True)


if __name__ == "__main__":
    url, lane, waiters, calls, per = sys.argv[1:]
    asyncio.run(main(url, Lane[lane], int(waiters), RateLimit(int(calls), per=float(per))))

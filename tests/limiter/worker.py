"""One process of many: `python -m tests.limiter.worker URL LANE WAITERS CALLS PER`, told what to do by lines.

It says "ready", waits for a line, and from then on makes calls until it hears another one. Each call is a
line: when it was asked for, sent, and arrived, in seconds of the clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time

from leadsquared_async.config import Credentials, RateLimit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.limiter import Limit
from leadsquared_async.limiter.redis_limits import SharedLimiter

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

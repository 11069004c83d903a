"""What the workers of the benchmark `tasks` run: `taskiq worker benchmarks.tasks_worker:broker`."""

from __future__ import annotations

import os

from redis.asyncio import Redis

from benchmarks.accounts import client
from leadsquared_async import LeadSquared, RateLimit, SharedLimiter
from leadsquared_async.integrations.taskiq import LeadSquaredTasks, StreamBroker, TaskOutcome

CALLS, PER = 25, 0.5
LEASE = 3.0
STORE = os.environ.get("TASKS_STORE", "redis://127.0.0.1:6379")
OUTCOMES = "outcomes"


def account() -> LeadSquared:
    """A client of the benchmark's sandbox."""
    return client(
        os.environ["TASKS_SANDBOX"], rate_limit=RateLimit(CALLS, per=PER), limiter=SharedLimiter(STORE)
    )


broker = StreamBroker(STORE, lease=LEASE)
tasks = LeadSquaredTasks(broker, account)


@tasks.on_final
async def ended(outcome: TaskOutcome) -> None:
    """Note it where the benchmark finds it."""
    async with Redis.from_url(STORE) as redis:
        await redis.rpush(OUTCOMES, f"{outcome.reference} {outcome.state}")

"""What workers in processes of their own run: `taskiq worker tests.integrations.app:broker`."""

from __future__ import annotations

import os

from redis.asyncio import Redis

from leadsquared_async import LeadSquared
from leadsquared_async.integrations.taskiq import LeadSquaredTasks, StreamBroker, TaskOutcome

STORE = os.environ["TASKS_STORE"]

broker = StreamBroker(
    STORE, os.environ["TASKS_QUEUE"], lease=float(os.environ["TASKS_LEASE"]), xread_block=50
)
tasks = LeadSquaredTasks(broker, LeadSquared)


@tasks.on_final
async def ended(outcome: TaskOutcome) -> None:
    """Where the test finds it."""
    async with Redis.from_url(STORE) as redis:
        await redis.rpush(f"{broker.queue_name}:outcomes", f"{outcome.reference} {outcome.state}")

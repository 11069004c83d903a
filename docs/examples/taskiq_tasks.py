"""Leads as tasks of taskiq: any process puts them into a stream of Valkey, and workers send them.

pip install "leadsquared_async[taskiq]"
export VALKEY_URL=redis://127.0.0.1:6379/0           # and LEADSQUARED_..., which only workers need
taskiq worker taskiq_tasks:broker --workers 3 --wait-tasks-timeout 10 --shutdown-timeout 10
python taskiq_tasks.py 100                           # puts a hundred leads
"""

import asyncio
import logging
import os
import sys

from leadsquared_async import LeadSquared, SharedLimiter, submissions
from leadsquared_async.integrations.taskiq import LeadSquaredTasks, StreamBroker, TaskOutcome

logger = logging.getLogger(__name__)

VALKEY = os.environ["VALKEY_URL"]


def account() -> LeadSquared:
    """Each worker's client; all of them share one limit."""
    return LeadSquared(limiter=SharedLimiter(VALKEY))


broker = StreamBroker(VALKEY)
tasks = LeadSquaredTasks(broker, account)


@tasks.on_final
async def ended(outcome: TaskOutcome) -> None:
    """Store each outcome in your own database, by your reference. May be called twice for one task."""
    logger.info("%s is %s, lead %s", outcome.reference, outcome.state, outcome.lead_id)


async def put(count: int) -> None:
    """Submit tasks, as a web process does: it needs neither keys nor a client."""
    await broker.startup()
    try:
        for number in range(count):
            lead = {"FirstName": "Bret", "EmailAddress": f"visitor-{number}@example.com"}
            await tasks.submit(submissions.capture_lead(lead, reference=f"form-{number}"))
    finally:
        await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(put(int(sys.argv[1])))

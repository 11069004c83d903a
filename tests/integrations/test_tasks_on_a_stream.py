"""Held operations and failing callbacks, with a real stream and a real sandbox."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from leadsquared_async import ItemState, RetryPolicy, submissions
from leadsquared_async.integrations.taskiq import TaskOutcome
from leadsquared_async.integrations.taskiq.payload import Payload
from leadsquared_async.sandbox import Faults, Sandbox
from tests.clients import LEAD
from tests.integrations.workers import Workers, until, working
from tests.limiter.valkey import Valkey

CAPTURE = submissions.capture_lead(LEAD, reference="form-1")
LEAD_ID = "00000000-0000-4000-8000-000000000000"
ACTIVITIES = [
    submissions.create_activity(
        "00000000-0000-4000-8000-000000000000", event=201, reference=f"visit-{number}"
    )
    for number in range(60)
]
ACTIVITIES_FAIL = Faults(probabilities={"503": 1.0}, operations=("activity",))
QUICK = RetryPolicy(base=0.3, cap=0.3)


async def test_an_operation_that_fails_takes_no_place_from_others(valkey: Valkey) -> None:
    """Its tasks wait in the store, even if they are more than a worker's places."""
    async with Sandbox(limit=None, faults=ACTIVITIES_FAIL) as sandbox:
        workers = Workers(valkey, "places", sandbox, retry=QUICK)
        await workers.put(*ACTIVITIES, CAPTURE)
        async with workers.one(lease=60.0, most=10):
            await until(lambda: len(workers.outcomes) == 1, within=15)
        assert workers.outcomes[0].reference == "form-1"
        assert workers.left == len(ACTIVITIES)


async def test_an_activity_that_waited_for_its_second_attempt_at_a_stop_is_not_unknown(
    valkey: Valkey,
) -> None:
    """The next worker sends it."""
    async with Sandbox(limit=None, faults=Faults(script=("503",))) as sandbox:
        workers = Workers(valkey, "second", sandbox, retry=RetryPolicy(base=100.0, cap=100.0))
        await workers.put(ACTIVITIES[0])
        async with workers.one(lease=60.0):
            await until(lambda: workers.arrived == 1)
            await asyncio.sleep(0.1)
        async with workers.one(lease=60.0):
            await until(lambda: len(workers.outcomes) == 1)
        assert workers.outcomes[0].state is ItemState.REJECTED


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
async def test_a_callback_that_ends_by_no_mere_error_is_called_again(
    valkey: Valkey, error: type[BaseException]
) -> None:
    """A living worker calls it again."""
    async with Sandbox(limit=None) as sandbox:
        workers = Workers(valkey, f"exits {error.__name__}", sandbox)
        await workers.put(CAPTURE)
        broker, tasks = workers.tasks(0.5)
        tries: list[TaskOutcome] = []

        @tasks.on_final
        def fails_at_first(outcome: TaskOutcome) -> None:
            tries.append(outcome)
            if len(tries) == 1:
                raise error

        async with working(broker):
            await until(lambda: len(tries) == 2)


async def test_a_worker_that_stops_hands_back_all_that_it_follows(valkey: Valkey) -> None:
    """Another worker polls any number of them at once."""
    async with Sandbox(limit=None, processing_rate=0.001) as sandbox:
        workers = Workers(valkey, "follows", sandbox)
        broker, tasks = workers.tasks(60.0)
        async with working(broker):
            for _ in range(1200):
                given = Payload(
                    operation="leads.capture", reference=None, request_id=LEAD_ID, submission=None
                )
                await tasks._following.kiq(given)
            # If the machine stalls, an answer of the store is lost, and its task comes after the lease.
            await until(lambda: len(tasks._followed) == 1200, within=90.0)
        free = valkey.command("XPENDING", "follows", "taskiq", "IDLE", "60000", "-", "+", "2000")
        assert free.startswith(b"*1200")


async def test_marks_do_not_pile_up(valkey: Valkey) -> None:
    """Marks last a week only while their task exists."""
    async with Sandbox(limit=None) as sandbox:
        workers = Workers(valkey, "marks", sandbox)
        await workers.put(ACTIVITIES[0])
        async with workers.one():
            await until(lambda: len(workers.outcomes) == 1 and workers.left == 0)
        key = valkey.command("KEYS", "marks:sent:*").split(b"\r\n")[2].decode()
        assert int(valkey.command("TTL", key).strip(b":\r\n")) <= 3600


async def test_the_failures_of_a_task_count_in_all_workers(valkey: Valkey) -> None:
    """Deliveries do not, and nothing is left of the count when the task has ended."""
    async with Sandbox(limit=None) as sandbox:
        workers = Workers(valkey, "failures", sandbox)
        await workers.put(CAPTURE)
        (broker, _), (other, _) = workers.tasks(), workers.tasks()
        async with Redis.from_url(valkey.url) as redis:
            ((_, row),) = await redis.xrange("failures")
        task_id = broker.formatter.loads(row[b"data"]).task_id
        assert [await one.count_failure(task_id) for one in (broker, other, broker)] == [1, 2, 3]
        assert b":failures:" in valkey.command("KEYS", "failures:failures:*")
        async with working(broker):
            await until(lambda: len(workers.outcomes) == 1 and workers.left == 0)
        assert valkey.command("KEYS", "failures:failures:*") == b"*0\r\n"
        await other.connection_pool.disconnect()

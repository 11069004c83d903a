"""What another worker does with the tasks of one that was killed, or stops: processes, a stream, calls."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from leadsquared_async import Submission, submissions
from leadsquared_async.integrations.taskiq import LeadSquaredTasks, StreamBroker
from leadsquared_async.sandbox import Faults, Sandbox
from tests.clients import LEAD, client_of
from tests.examples.programs import Program, running
from tests.integrations.workers import until
from tests.limiter.valkey import Valkey

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
LEAD_ID = "00000000-0000-4000-8000-000000000000"
SILENT = Faults(script=("hang+taken",))
"""The first submission arrives, and no answer comes."""


class Queue:
    """Workers of one stream and sandbox."""

    def __init__(self, store: Valkey, name: str, sandbox: Sandbox) -> None:
        self._store = store
        self._name = name
        self._sandbox = sandbox

    async def put(self, *wanted: Submission) -> None:
        broker = StreamBroker(self._store.url, self._name)
        tasks = LeadSquaredTasks(broker, lambda: client_of(self._sandbox))
        await broker.startup()
        for submission in wanted:
            await tasks.submit(submission)
        await broker.shutdown()

    def worker(self, *, lease: float = 1.0, **env: str) -> AbstractAsyncContextManager[Program]:
        command = "taskiq worker tests.integrations.app:broker --workers 1 --log-level WARNING"
        env |= {"TASKS_STORE": self._store.url, "TASKS_QUEUE": self._name, "TASKS_LEASE": str(lease)}
        return running(*command.split(), sandbox=self._sandbox, folder=ROOT, **env)

    @property
    def told(self) -> set[str]:
        """The references and states that were told; none is left in the stream."""
        answer = self._store.command("LRANGE", f"{self._name}:told", "0", "-1").split(b"\r\n")
        return {line.decode() for line in answer[2::2]}

    @property
    def arrived(self) -> int:
        """Submissions that reached the sandbox."""
        return sum(it.operation in {"capture", "activity"} for it in self._sandbox.books.arrivals)


async def test_a_capture_on_its_way_at_a_kill_is_sent_again(valkey: Valkey) -> None:
    """LeadSquared matches it: one lead."""
    async with Sandbox(faults=SILENT) as sandbox:
        queue = Queue(valkey, "again", sandbox)
        await queue.put(submissions.capture_lead(LEAD, reference="form-1"))
        async with queue.worker() as victim:
            await until(lambda: queue.arrived == 1, within=30)
            victim.kill()
        async with queue.worker():
            await until(lambda: queue.told == {"form-1 confirmed"}, within=30)
        assert queue.arrived == 2
        assert len(sandbox.books.leads) == 1


async def test_an_activity_on_its_way_at_a_kill_is_unknown_and_one_that_waited_is_sent(
    valkey: Valkey,
) -> None:
    """Nobody can tell whether the first arrived, and it must not be posted twice."""
    async with Sandbox(faults=SILENT) as sandbox:
        queue = Queue(valkey, "unknown", sandbox)
        await queue.put(
            *(
                submissions.create_activity(LEAD_ID, event=201, reference=reference)
                for reference in ("visit-1", "visit-2")
            )
        )
        async with queue.worker(LEADSQUARED_RATE_LIMIT="1/600") as victim:
            await until(lambda: queue.arrived == 1, within=30)
            victim.kill()
        async with queue.worker():
            await until(lambda: len(queue.told) == 2, within=30)
        assert queue.told == {"visit-1 unknown", "visit-2 rejected"}  # there is no such lead
        assert queue.arrived == 2


async def test_a_worker_that_stops_finishes_what_is_on_its_way_and_hands_back_the_rest(
    valkey: Valkey,
) -> None:
    """At once, so that another one need not wait for the lease."""
    async with Sandbox(faults=Faults(latency=1.0)) as sandbox:
        queue = Queue(valkey, "stops", sandbox)
        await queue.put(
            *(
                submissions.capture_lead(
                    {"EmailAddress": f"p{number}@example.com"}, reference=f"form-{number}"
                )
                for number in range(6)
            )
        )
        async with queue.worker(lease=600, LEADSQUARED_RATE_LIMIT="1/600") as first:
            await until(lambda: queue.arrived == 1, within=30)
            assert await first.stopped() == 0
        assert len(sandbox.books.leads) == 1
        sandbox.books.faults = Faults()
        async with queue.worker(lease=600):
            await until(lambda: len(queue.told) == 6, within=30)
        assert queue.arrived == 6

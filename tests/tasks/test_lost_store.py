"""A store that goes away under tasks: a real stream, a real sandbox."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from leadsquared_async import ConnectionFailed, Delivery, ItemState, submissions
from leadsquared_async.integrations.taskiq import LeadSquaredTasks, StreamBroker, TaskOutcome
from leadsquared_async.sandbox import Faults, Sandbox
from tests.clients import LEAD, client_of
from tests.shared.valkey import Valkey
from tests.tasks.workers import Worker, until, working

CAPTURE = submissions.capture_lead(LEAD, reference="form-1")


class Workers:
    """Workers of one stream and sandbox, and what they were told."""

    def __init__(self, store: Valkey, name: str, sandbox: Sandbox, **client: Any) -> None:
        self._store = store
        self._name = name
        self._sandbox = sandbox
        self._client = client
        self.told: list[TaskOutcome] = []

    def one(self, *, lease: float = 1.0, **options: Any) -> AbstractAsyncContextManager[Worker]:
        """One more."""
        return working(self._tasks(lease)[0], **options)

    async def put(self, *wanted: submissions.Submission) -> None:
        """Submit as a web process does."""
        broker, tasks = self._tasks(1.0)
        await broker.startup()
        for submission in wanted:
            await tasks.submit(submission)
        await broker.shutdown()

    def _tasks(self, lease: float) -> tuple[StreamBroker, LeadSquaredTasks]:
        broker = StreamBroker(self._store.url, self._name, lease=lease, xread_block=50)
        tasks = LeadSquaredTasks(broker, lambda: client_of(self._sandbox, **self._client))
        tasks.on_final(self.told.append)
        return broker, tasks

    @property
    def arrived(self) -> int:
        """Submissions that reached the sandbox."""
        return sum(it.operation in {"capture", "activity"} for it in self._sandbox.books.arrivals)

    @property
    def left(self) -> int:
        return int(self._store.command("XLEN", self._name).strip(b":\r\n"))


async def test_what_was_accepted_while_the_store_went_away_is_not_sent_again(own_valkey: Valkey) -> None:
    """The worker remembers, and goes on when there is a store again, empty as it may be."""
    async with Sandbox(limit=None, faults=Faults(latency=1.0)) as sandbox:
        workers = Workers(own_valkey, "away", sandbox)
        await workers.put(CAPTURE)
        async with workers.one():
            await until(lambda: workers.arrived == 1)
            own_valkey.stop()
            await asyncio.sleep(1.0)
            own_valkey.start()
            sandbox.books.faults = Faults()
            await until(lambda: len(workers.told) == 1, within=20)
        assert workers.told[0].state is ItemState.CONFIRMED
        assert workers.arrived == 1


async def test_a_store_that_does_not_answer_is_said_where_one_submits(own_valkey: Valkey) -> None:
    """Whether it has the task is not known."""
    async with Sandbox(limit=None) as sandbox:
        workers = Workers(own_valkey, "down", sandbox)
        broker, tasks = workers._tasks(1.0)
        await broker.startup()
        own_valkey.stop()
        with pytest.raises(ConnectionFailed, match="store") as caught:
            await tasks.submit(CAPTURE)
        assert (caught.value.delivery, caught.value.reference) == (Delivery.UNKNOWN, "form-1")
        await broker.shutdown()

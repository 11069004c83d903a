"""A new operation needs one row of the table and a method of a few lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadsquared_async import LeadSquared, NotFound, Outbox, QueueMetrics, Receipt, Submission
from leadsquared_async.client import parts_of
from leadsquared_async.operations import OPERATIONS, Certainty, Operation
from leadsquared_async.operations import Path as At
from leadsquared_async.resources.accepted_requests import Requests
from leadsquared_async.resources.submit import submit
from tests import virtual
from tests.clients import answering
from tests.outbox.machine import by_state, items
from tests.outboxes import virtual_files

TASKS_CREATE = Operation(
    name="tasks.create",
    task_type="Task Create",
    submit=At("/task/create"),
    status=At("/task/create/status", Certainty.INFERRED),
    metrics=At("/task/create/metrics", Certainty.INFERRED),
    integers=frozenset({"TaskType"}),
)


class Tasks(Requests):
    """The made-up resource: a method of a few lines."""

    _usual = TASKS_CREATE

    async def create(self, task: Mapping[str, Any]) -> Receipt:
        """Hand over a task."""
        return await submit(self._parts, Submission(operation=TASKS_CREATE, details=task))


class TaskServer:
    """A LeadSquared that knows tasks: accepted, then finished, the one named "bad" refused."""

    def __init__(self) -> None:
        self.tasks: dict[str, Any] = {}
        self.paths: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        path = request.url.path
        self.paths.append(path)
        if path == "/task/create":
            request_id = f"id-{len(self.tasks)}"
            self.tasks[request_id] = json.loads(request.content)
            return httpx.Response(200, json={"RequestID": request_id})
        if path == "/task/create/status":
            task = self.tasks.get(request.url.params["RequestID"])
            if task is None:
                return httpx.Response(404, json={"message": "Not Found"})
            is_bad = task.get("Name") == "bad"
            state = {"Status": "FAILURE" if is_bad else "Success", "StatusReason": "MXTask: no" * is_bad}
            return httpx.Response(200, json={"TaskStatus": state})
        assert path == "/task/create/metrics"
        measured = {"PendingMessages": 2, "MaxDelayInSeconds": 1, "ProcessingRatePerMinute": 3}
        return httpx.Response(200, json=measured)


@pytest.fixture(autouse=True)
def _the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATIONS, TASKS_CREATE.name, TASKS_CREATE)


def test_it_is_submitted_followed_and_measured() -> None:
    """It works at its own paths, with its own rules, by name or by receipt."""
    server = TaskServer()

    async def use() -> None:
        async with answering(server) as lsq:
            tasks = Tasks(parts_of(lsq))
            receipt = await tasks.create({"TaskType": 3, "Name": "ring"})
            assert receipt.operation == "tasks.create"
            assert (await tasks.wait(receipt)).succeeded
            assert await tasks.metrics() == QueueMetrics(2, 1.0, 3.0)
            with pytest.raises(ValueError, match="TaskType"):
                await tasks.create({"TaskType": "three"})
            with pytest.raises(NotFound, match=r'paths=\{"tasks.create status"'):
                await tasks.status("nobody")
        async with answering(server, paths={"tasks.create status": "/task/create/status"}):
            pass

    virtual.run(use)
    assert set(server.paths) == {"/task/create", "/task/create/status", "/task/create/metrics"}


def test_it_is_batched() -> None:
    """An invalid item stops no other, and all share the account's limit."""

    async def source() -> AsyncIterator[Submission]:
        for number in range(40):
            yield Submission(operation=TASKS_CREATE, details={"TaskType": number or "none"})

    async def use() -> None:
        async with answering(TaskServer()) as lsq:
            async with lsq.submit_many(source()) as results:
                done = [result async for result in results]
            receipts = [result.receipt for result in done if result.receipt is not None]
            assert (len(done), len(receipts)) == (40, 39)
            async with lsq.wait_many(receipts) as waits:
                outcomes = [wait.status async for wait in waits]
            assert sum(outcome is not None and outcome.succeeded for outcome in outcomes) == 39
            limit = lsq.snapshot().limit
            assert limit is not None
            assert limit.rate_limited == 0

    virtual.run(use)


def test_it_is_kept_in_an_outbox(tmp_path: Path) -> None:
    """An item is put without a client, delivered, confirmed, rejected, corrected and requeued."""

    async def use() -> None:
        async with Outbox(tmp_path / "leads.db") as outbox:
            for name in ("ring", "bad"):
                await outbox.put(Submission(operation=TASKS_CREATE, details={"TaskType": 1, "Name": name}))
        async with client() as lsq, Outbox(tmp_path / "leads.db", lsq) as outbox:
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 1, "rejected": 1}
            (row,) = await items(outbox, "rejected")
            assert (row.operation, row.reason, row.details) == (
                "tasks.create",
                "MXTask: no",
                {"TaskType": 1, "Name": "bad"},
            )
            await outbox.requeue(row, drop=["Name"])
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 2}

    def client() -> LeadSquared:
        return answering(TaskServer())

    with virtual_files():
        virtual.run(use)

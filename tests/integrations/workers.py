"""Workers of taskiq in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from taskiq import AsyncBroker
from taskiq.receiver import Receiver

from leadsquared_async import Submission
from leadsquared_async.integrations.taskiq import LeadSquaredTasks, StreamBroker, TaskOutcome
from leadsquared_async.sandbox import Sandbox
from tests.clients import client_of
from tests.examples.programs import Program, running
from tests.limiter.valkey import Valkey

ROOT = Path(__file__).parents[2]


class Worker:
    """One that runs the tasks of a broker."""

    def __init__(self, broker: AsyncBroker, most: int, patience: float | None) -> None:
        broker.is_worker_process = True
        self._broker = broker
        self._stop = asyncio.Event()
        receiver = Receiver(broker, max_async_tasks=most, wait_tasks_timeout=patience)
        self._task = asyncio.create_task(receiver.listen(self._stop))

    async def stop(self) -> None:
        """End it as SIGTERM does."""
        self._stop.set()
        await self._task
        await self._broker.shutdown()

    async def vanish(self) -> None:
        """End it as a kill does: its leases are neither released nor renewed."""
        if isinstance(self._broker, StreamBroker) and self._broker._renewing is not None:
            self._broker._renewing.cancel()
        self._task.cancel()
        await asyncio.wait([self._task])
        if isinstance(self._broker, StreamBroker):
            await self._broker.connection_pool.disconnect()


@asynccontextmanager
async def working(
    broker: AsyncBroker, *, most: int = 100, patience: float | None = None
) -> AsyncIterator[Worker]:
    """A worker for the length of a block."""
    worker = Worker(broker, most, patience)
    try:
        yield worker
    finally:
        if not worker._task.done():
            await worker.stop()


class Workers:
    """Workers of one stream and sandbox, and the outcomes that their callbacks got."""

    def __init__(self, store: Valkey, name: str, sandbox: Sandbox, **client: Any) -> None:
        self._store = store
        self._name = name
        self._sandbox = sandbox
        self._client = client
        self.outcomes: list[TaskOutcome] = []

    def one(self, *, lease: float = 1.0, **options: Any) -> AbstractAsyncContextManager[Worker]:
        """One more."""
        return working(self.tasks(lease)[0], **options)

    async def put(self, *wanted: Submission) -> None:
        """Submit as a web process does."""
        broker, tasks = self.tasks()
        await broker.startup()
        for submission in wanted:
            await tasks.submit(submission)
        await broker.shutdown()

    def tasks(self, lease: float = 1.0) -> tuple[StreamBroker, LeadSquaredTasks]:
        """As a process of its own has them."""
        broker = StreamBroker(self._store.url, self._name, lease=lease, xread_block=50, socket_timeout=1.0)
        tasks = LeadSquaredTasks(broker, lambda: client_of(self._sandbox, **self._client))
        tasks.on_final(self.outcomes.append)
        return broker, tasks

    def process(self, *, lease: float = 1.0, **env: str) -> AbstractAsyncContextManager[Program]:
        """A worker in a process of its own; what its callback gets is in the store."""
        command = "taskiq worker tests.integrations.app:broker --workers 1 --log-level WARNING"
        env |= {"TASKS_STORE": self._store.url, "TASKS_QUEUE": self._name, "TASKS_LEASE": str(lease)}
        return running(*command.split(), sandbox=self._sandbox, folder=ROOT, **env)

    @property
    def ends(self) -> set[str]:
        """The references and states that processes of their own reported."""
        answer = self._store.command("LRANGE", f"{self._name}:outcomes", "0", "-1").split(b"\r\n")
        return {line.decode() for line in answer[2::2]}

    @property
    def arrived(self) -> int:
        """Submissions that reached the sandbox."""
        return sum(it.operation in {"capture", "activity"} for it in self._sandbox.books.arrivals)

    @property
    def left(self) -> int:
        """Tasks in the stream."""
        return int(self._store.command("XLEN", self._name).strip(b":\r\n"))


async def until(condition: Callable[[], bool], within: float = 10.0, every: float = 0.005) -> None:
    """Wait for something to be so."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - a test may poll
            await asyncio.sleep(every)

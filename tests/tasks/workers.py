"""Workers of taskiq in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from taskiq import AsyncBroker
from taskiq.receiver import Receiver

from leadsquared_async.integrations.taskiq import StreamBroker


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
        """End it as a kill does: whatever it has in hand stays so, and its leases are renewed no more."""
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


async def until(condition: Callable[[], bool], within: float = 10.0, every: float = 0.005) -> None:
    """Wait for something to be so."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - a test may poll
            await asyncio.sleep(every)

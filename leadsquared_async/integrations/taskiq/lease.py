"""One delivery of a task to a worker: it ends done or released, and is marked while it may be sent."""

from __future__ import annotations

import asyncio

from taskiq import Context, InMemoryBroker

from leadsquared_async.integrations.taskiq.broker import DELIVERIES, STREAM_ID, StreamBroker

__all__ = ["Lease"]

FAILURES = "leadsquared_failures"
"""The label that counts the failures of a task of an `InMemoryBroker`."""


class Lease:
    """A task that this worker holds. With an `InMemoryBroker`, most methods do nothing.

    Attributes:
        task_id: the task's id.
        deliveries: how often the task was delivered to a worker, including this time.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._message = context.message
        self._is_marked = False
        self.task_id = self._message.task_id
        self.deliveries = int(self._message.labels.get(DELIVERIES, 1))

    @property
    def _stream(self) -> StreamBroker | None:
        broker = self._context.broker
        if isinstance(broker, InMemoryBroker):
            return None
        assert isinstance(broker, StreamBroker)
        return broker

    async def done(self) -> None:
        """Delete the task once it has ended or its next step is in the store."""
        if self._stream is not None:
            await self._context.ack()

    async def release(self, after: float = 0.0) -> None:
        """Let any worker take the task after `after` seconds."""
        if self._stream is not None:
            await self._stream.release(self._message.labels[STREAM_ID].encode(), after=after)
            return
        await asyncio.sleep(after)
        self._message.labels[DELIVERIES] = self.deliveries + 1
        broker = self._context.broker
        await broker.kick(broker.formatter.dumps(self._message))

    async def count_failure(self) -> int:
        """Count one more failure that may be the task's own fault, in whichever worker; returns how many."""
        if self._stream is not None:
            return await self._stream.count_failure(self.task_id)
        self._message.labels[FAILURES] = count = int(self._message.labels.get(FAILURES, 0)) + 1
        return count

    async def mark(self) -> None:
        """Mark in the store that it is about to be sent."""
        if self._stream is not None:
            self._is_marked = True  # even if the store does not answer
            await self._stream.mark(self.task_id)

    async def unmark(self) -> None:
        """Remove the mark, because it did not arrive."""
        if self._is_marked and self._stream is not None:
            await self._stream.unmark(self.task_id)
            self._is_marked = False

    async def was_marked(self) -> bool:
        """Whether an earlier worker marked it as about to be sent and did not remove the mark."""
        return self._stream is not None and self.deliveries > 1 and await self._stream.is_marked(self.task_id)

"""A task that a worker has in hand: done with, handed back, or marked as sent."""

from __future__ import annotations

import asyncio

from taskiq import Context, InMemoryBroker

from leadsquared_async.integrations.taskiq.broker import DELIVERIES, STREAM_ID, StreamBroker

__all__ = ["Hand"]


class Hand:
    """One delivery of a task to this worker.

    Attributes:
        deliveries: how often the task was given to a worker, this time included.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._message = context.message
        self.deliveries = int(self._message.labels.get(DELIVERIES, 1))
        self._is_marked = False

    @property
    def task_id(self) -> str:
        """The task's own id."""
        return self._message.task_id

    @property
    def _stream(self) -> StreamBroker:
        assert isinstance(self._context.broker, StreamBroker)
        return self._context.broker

    @property
    def _is_in_memory(self) -> bool:
        return isinstance(self._context.broker, InMemoryBroker)

    async def done(self) -> None:
        """It has ended, or its next step is in the store."""
        if not self._is_in_memory:
            await self._context.ack()

    async def hand_back(self, after: float = 0.0) -> None:
        """Any worker may have it after so many seconds."""
        if not self._is_in_memory:
            await self._stream.hand_back(self._message.labels[STREAM_ID].encode(), after=after)
            return
        await asyncio.sleep(after)
        self._message.labels[DELIVERIES] = self.deliveries + 1
        broker = self._context.broker
        await broker.kick(broker.formatter.dumps(self._message))

    async def mark(self) -> None:
        """It is about to be sent."""
        if not self._is_in_memory:
            self._is_marked = True  # also if no answer comes
            await self._stream.mark(self._message.task_id)

    async def unmark(self) -> None:
        """It did not arrive."""
        if self._is_marked:
            await self._stream.unmark(self._message.task_id)
            self._is_marked = False

    async def was_marked(self) -> bool:
        """Whether a worker that died was about to send it, or did."""
        return (
            self.deliveries > 1
            and not self._is_in_memory
            and await self._stream.is_marked(self._message.task_id)
        )

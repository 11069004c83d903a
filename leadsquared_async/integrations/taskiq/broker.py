"""A stream of Redis or Valkey whose tasks a killed worker does not take with it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, cast

from pydantic import Field
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from taskiq import AckableMessage
from taskiq.formatters.proxy_formatter import ProxyFormatter
from taskiq.message import TaskiqMessage
from taskiq_redis import RedisStreamBroker

from leadsquared_async.config import seconds

__all__ = ["DELIVERIES", "STREAM_ID", "StreamBroker"]

logger = logging.getLogger("leadsquared_async")

STREAM_ID = "leadsquared_stream_id"
"""The label under which a worker finds where a task stands in the stream."""
DELIVERIES = "leadsquared_deliveries"
"""The label that counts how often it was given to a worker."""
LOOK_EVERY = 1.0
"""Seconds between two looks for what other workers left behind."""
FEW = 10
"""Tasks taken over at once."""
AT_ONCE = 500
"""Leases renewed by one command."""
MARKED_FOR = 7 * 86_400


_Row = tuple[bytes, dict[bytes, bytes]]


class _Entry(NamedTuple):
    """A task as it stands in the stream."""

    id: bytes
    data: bytes
    deliveries: int


class StreamBroker(RedisStreamBroker):
    """taskiq-redis' broker on a stream, with a safe keeping of what is in a worker's hands.

    A task is leased to its worker and the lease renewed while that lives, so that a slow task is not run
    twice, and a killed worker's tasks go to another one, whether new ones come or not. Tasks are fetched when
    there is room for them, and not ahead. What is done is deleted, so that no lead stays in the store. What
    was put before the first worker started is not passed over. While the store does not answer, a worker
    waits. The values of a task stand in no repr, and so not in taskiq's debug log.

    Needs Redis 6.2 or later, or Valkey; Cluster and Sentinel are not supported.

    Args:
        url: redis://, rediss:// or unix://.
        queue_name: the stream's; forms in one of their own do not wait behind batches.
        lease: seconds after which another worker takes over what a killed one had in hand.
        options: of `RedisStreamBroker`, such as `consumer_group_name`.

    Attributes:
        stopping: set as soon as this process, a worker, takes no more tasks.

    Raises:
        ConfigurationError: the lease cannot be right.
    """

    def __init__(
        self, url: str, queue_name: str = "leadsquared", *, lease: float = 60.0, **options: Any
    ) -> None:
        self.lease = seconds("lease", lease)
        options = {"socket_timeout": 10.0, "socket_connect_timeout": 5.0, **options}
        super().__init__(url, queue_name, consumer_id="0", **options)
        self.formatter = _QuietFormatter(self)
        self.stopping = asyncio.Event()
        self._held: set[bytes] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._look_at = -math.inf
        self._is_down = False

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Tasks as there is room for them: what others left behind, then new ones."""
        self._renewing = asyncio.create_task(self._renew(), name="leadsquared_async leases")
        try:
            while True:
                entries = await self._next()
                if not entries and _is_cancelled():
                    raise asyncio.CancelledError
                self._held.update(entry.id for entry in entries)
                for entry in entries:
                    yield AckableMessage(data=self._labelled(entry), ack=partial(self._done, entry.id))
        finally:
            self.stopping.set()

    async def shutdown(self) -> None:
        """Renew no lease any more, and close."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        await super().shutdown()

    async def hand_back(self, entry: bytes, after: float = 0.0) -> None:
        """Let another worker have a task, or this one once more, after so many seconds, the lease at most."""
        self._held.discard(entry)
        idle = max(0, round((self.lease - after) * 1000))
        with suppress(RedisError):  # then its lease runs out
            async with self._redis() as redis:
                await redis.xclaim(
                    self.queue_name,
                    self.consumer_group_name,
                    self.consumer_name,
                    0,
                    [entry],
                    idle=idle,
                    justid=True,
                )

    async def hand_all_back(self) -> None:
        """Let others have all that is in hand."""
        for entry in list(self._held):
            await self.hand_back(entry)

    async def mark(self, task_id: str) -> None:
        """Note that a task is about to do what must not be done twice."""
        async with self._redis() as redis:
            await redis.set(self._mark(task_id), b"", ex=MARKED_FOR)

    async def unmark(self, task_id: str) -> None:
        """Note that it did not."""
        async with self._redis() as redis:
            await redis.delete(self._mark(task_id))

    async def is_marked(self, task_id: str) -> bool:
        """Whether a task was about to do that, or did it."""
        async with self._redis() as redis:
            return bool(await redis.exists(self._mark(task_id)))

    # The stream

    async def _next(self) -> list[_Entry]:
        """What there is, or nothing after a while."""
        try:
            async with self._redis() as redis:
                entries = await self._left_behind(redis) or await self._new(redis)
        except (RedisError, OSError) as error:
            await self._not_answered(error)
            return []
        if self._is_down:
            self._is_down = False
            logger.warning("tasks: the store answers again", extra={"event": "unblocked"})
        return entries

    async def _new(self, redis: Redis) -> list[_Entry]:
        found = await redis.xreadgroup(
            self.consumer_group_name,
            self.consumer_name,
            {self.queue_name: ">"},
            count=1,
            block=self.block,
        )
        streams = cast("list[tuple[bytes, list[_Row]]]", found)
        return [_Entry(entry, fields.get(b"data", b""), 1) for _, rows in streams for entry, fields in rows]

    async def _left_behind(self, redis: Redis) -> list[_Entry]:
        """What is in nobody's hands any more."""
        now = asyncio.get_running_loop().time()
        if now < self._look_at:
            return []
        self._look_at = now + LOOK_EVERY
        lease = round(self.lease * 1000)
        group = (self.queue_name, self.consumer_group_name)
        pending: Any = await redis.xpending_range(*group, "-", "+", FEW, idle=lease)
        if not pending:
            return []
        deliveries: dict[bytes, int] = {row["message_id"]: row["times_delivered"] for row in pending}
        # Another worker may have been faster: the store looks at the lease once more.
        claimed = await redis.xclaim(*group, self.consumer_name, lease, [*deliveries])
        return [
            _Entry(entry, fields.get(b"data", b""), deliveries[entry] + 1)
            for entry, fields in cast("list[_Row]", claimed)
            if fields  # else it was deleted by hand
        ]

    async def _done(self, entry: bytes) -> None:
        """Forget a task, and the lead in it."""
        async with self._redis() as redis, redis.pipeline(transaction=True) as pipe:
            pipe.xack(self.queue_name, self.consumer_group_name, entry)
            pipe.xdel(self.queue_name, entry)
            await pipe.execute()
        self._held.discard(entry)

    async def _renew(self) -> None:
        """Keep what is in hand, as long as this process lives."""
        while not _is_cancelled():
            await asyncio.sleep(self.lease / 3)
            held = list(self._held)
            with suppress(RedisError, OSError):
                async with self._redis() as redis:
                    for start in range(0, len(held), AT_ONCE):
                        await redis.xclaim(
                            self.queue_name,
                            self.consumer_group_name,
                            self.consumer_name,
                            round(
                                self.lease * 1000 / 6
                            ),  # what another one has just taken over stays its own
                            [*held[start : start + AT_ONCE]],
                            justid=True,
                        )

    async def _not_answered(self, error: Exception) -> None:
        """Wait a little for a store that is down; one that is back, and empty, has no group any more."""
        if isinstance(error, ResponseError) and str(error).startswith("NOGROUP"):
            with suppress(RedisError, OSError):
                async with self._redis() as redis:
                    await redis.xgroup_create(
                        self.queue_name, self.consumer_group_name, id="0", mkstream=True
                    )
            return
        if not self._is_down:
            self._is_down = True
            logger.warning(
                "tasks: the store does not answer, and is tried again each second: %s",
                type(error).__name__,
                extra={"event": "blocked"},
            )
        await asyncio.sleep(LOOK_EVERY)

    def _labelled(self, entry: _Entry) -> bytes:
        """The task, with where it stands and how often it was delivered."""
        try:
            message = self.formatter.loads(entry.data)
        except Exception:
            return entry.data  # no task: taskiq says so, and drops it
        message.labels |= {STREAM_ID: entry.id.decode(), DELIVERIES: entry.deliveries}
        return self.formatter.dumps(message).message

    def _redis(self) -> Redis:
        return Redis(connection_pool=self.connection_pool)

    def _mark(self, task_id: str) -> str:
        return f"{self.queue_name}:sent:{task_id}"


def _is_cancelled() -> bool:
    """Whether a cancellation got lost: Python 3.11's wait_for, with which redis-py sends, can swallow one."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _QuietMessage(TaskiqMessage):
    """A task whose repr does not show what it was given."""

    args: list[Any] = Field(repr=False)
    kwargs: dict[str, Any] = Field(repr=False)


class _QuietFormatter(ProxyFormatter):
    """Reads tasks as such; they are written as ever."""

    def loads(self, message: bytes) -> TaskiqMessage:
        return _QuietMessage.model_validate(self.broker.serializer.loadb(message))

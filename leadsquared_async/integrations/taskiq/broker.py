"""A broker on a Redis or Valkey stream that keeps the tasks of a killed worker."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, cast

from pydantic import Field
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, ResponseError
from taskiq import AckableMessage
from taskiq.formatters.proxy_formatter import ProxyFormatter
from taskiq.message import BrokerMessage, TaskiqMessage
from taskiq_redis import RedisStreamBroker

from leadsquared_async.cleanup import is_cancelled, uninterrupted
from leadsquared_async.config import seconds
from leadsquared_async.events import StoreBack, StoreLost
from leadsquared_async.limiter.redis_store import check_url
from leadsquared_async.logs import ClientEvents

__all__ = ["DELIVERIES", "KEY", "STORE", "STREAM_ID", "StreamBroker"]

STREAM_ID = "leadsquared_stream_id"
"""The label for a task's id in the stream."""
DELIVERIES = "leadsquared_deliveries"
"""The label that counts how often a task was delivered to a worker."""
KEY = "leadsquared_key"
"""The label for the deduplication key of a task."""
STORE = "task store"
"""Its name in events."""
CONNECT_WITHIN = 5.0
CONNECTIONS = 64
"""The most connections of one process: many followed tasks may end at the same time."""
LOOK_EVERY = 1.0
"""Seconds between searches for expired leases."""
TAKEN_OVER = 32
"""The most tasks taken over at once."""
CLAIMED = 500
"""Leases renewed or released by one command."""
MOST = 100_000
"""The most leases of one worker."""
WEEK = 7 * 86_400
"""Seconds to keep a key, the mark of a task that may have been sent, and the count of its failures."""
MARKED_AFTER = 3600
"""Seconds to keep the mark of a finished task, for a worker that took the task over meanwhile."""
PUT_ONCE = """
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('XADD', KEYS[2], '*', 'data', ARGV[1])
  redis.call('SET', KEYS[1], '', 'EX', ARGV[2])
end
"""
"""Adds the task first: a failed script is not rolled back, and a key without its task would lose the lead."""


class _Entry(NamedTuple):
    """A task in the stream."""

    id: bytes
    data: bytes
    deliveries: int


class StreamBroker(RedisStreamBroker):
    """taskiq-redis' stream broker, with a lease on each task that a worker has.

    A worker renews its leases, so a slow task does not run twice. The leases of a killed worker expire, and
    other workers take its tasks over, even without new tasks. Tasks are fetched when a worker has room for
    them, and deleted when they are done. Tasks put before the first worker started are delivered. After a
    store outage, tasks are taken over once every worker has had time to renew its leases. Tasks that this
    process does not know or cannot read stay. taskiq's debug log shows no values of a task.

    Needs Redis 6.2 or later, or Valkey; Cluster and Sentinel are not supported.

    Args:
        url: redis://, rediss:// or unix://.
        queue_name: name of the stream. Give forms their own stream, so that they do not wait behind batches.
        lease: seconds after which another worker takes over the tasks of a killed one.
        options: options of `RedisStreamBroker` or the connection, such as `max_connection_pool_size`.

    Attributes:
        stopping: set when this worker stops taking tasks.
        at_end: functions called at shutdown, even if that is cancelled.
        clients: the events of this worker's clients; the first is told about the store.

    Raises:
        ConfigurationError: the url or the lease is invalid.
    """

    def __init__(
        self, url: str, queue_name: str = "leadsquared", *, lease: float = 60.0, **options: Any
    ) -> None:
        check_url("StreamBroker", url, CONNECT_WITHIN)
        self.lease = seconds("lease", lease)
        options = {"max_connection_pool_size": CONNECTIONS, **options}
        options = {"socket_timeout": 10.0, "socket_connect_timeout": CONNECT_WITHIN, **options}
        super().__init__(url, queue_name, consumer_id="0", **options)
        # Options in the url may change the format of answers.
        self.connection_pool.connection_kwargs |= {"decode_responses": False, "protocol": 2}
        self.formatter = _QuietFormatter(self)
        self.stopping = asyncio.Event()
        self.at_end: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._leased: set[bytes] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._look_at = -math.inf
        self._look_from = "-"
        self.clients: list[ClientEvents] = []
        self._nobody = ClientEvents(None)
        self._logged: set[str] = set()
        self._is_down = False

    async def startup(self) -> None:
        """Start, even if the store is down: a worker creates its group as soon as it can."""
        await super(RedisStreamBroker, self).startup()
        with suppress(RedisError, OSError):
            await self._declare_consumer_group()

    async def kick(self, message: BrokerMessage) -> None:
        """Put a task into the stream; a task with a known key is not added."""
        key = message.labels.get(KEY)
        if key is None:
            await super().kick(message)
            return
        async with self._redis() as redis:
            known = f"{self.queue_name}:key:{key}"
            running: Any = redis.eval(PUT_ONCE, 2, known, self.queue_name, message.message, WEEK)
            await running

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Yield tasks when there is room for them: those with expired leases, then new ones."""
        self._renewing = asyncio.create_task(self._renew(), name="leadsquared_async leases")
        try:
            while True:
                entries = await self._next()
                # redis-py uses wait_for, which can swallow a cancellation in Python 3.11.
                if not entries and is_cancelled():
                    raise asyncio.CancelledError
                self._leased.update(entry.id for entry in entries)
                for entry in entries:
                    message = self._read(entry)
                    if message is None:
                        self._leased.discard(entry.id)  # so that its lease expires
                        continue
                    data = self.formatter.dumps(message).message
                    yield AckableMessage(data=data, ack=partial(self._done, entry.id, message.task_id))
        finally:
            self.stopping.set()

    async def shutdown(self) -> None:
        """Close and release every lease, even if this is cancelled."""
        try:
            await super().shutdown()
        finally:
            await uninterrupted(self._end())

    async def _end(self) -> None:
        self.stopping.set()
        try:
            for finish in self.at_end:
                await finish()
        finally:
            if self._renewing is not None:
                await self._release_all()
                self._renewing.cancel()
                await asyncio.wait([self._renewing])
            await self.connection_pool.disconnect()

    async def release(self, *entries: bytes, after: float = 0.0) -> None:
        """Let any worker take these tasks after `after` seconds, at most the length of the lease."""
        self._leased.difference_update(entries)
        idle = max(0, round((self.lease - after) * 1000))
        with suppress(RedisError, OSError):  # then the leases expire
            await self._claim(entries, 0, idle=idle)

    async def _release_all(self) -> None:
        """Release every lease of this worker, including any from its cancelled fetch."""
        group = (self.queue_name, self.consumer_group_name)
        with suppress(RedisError, OSError):
            async with self._redis() as redis:
                pending: Any = await redis.xpending_range(*group, "-", "+", MOST, self.consumer_name)
            await self.release(*(row["message_id"] for row in pending))

    async def mark(self, task_id: str) -> None:
        """Mark a task that may have been sent."""
        async with self._redis() as redis:
            await redis.set(self._mark(task_id), b"", ex=WEEK)

    async def unmark(self, task_id: str) -> None:
        """Remove the mark of a task that was not sent, once the store answers."""
        await self._persistently(lambda pipe: pipe.delete(self._mark(task_id)))

    async def is_marked(self, task_id: str) -> bool:
        """Whether a task may have been sent."""
        async with self._redis() as redis:
            return bool(await redis.exists(self._mark(task_id)))

    async def count_failure(self, task_id: str) -> int:
        """Count one more failure of a task that may be its own fault; 1 if the store does not answer."""
        key = self._failures(task_id)
        try:
            async with self._redis() as redis, redis.pipeline(transaction=True) as pipe:
                await pipe.incr(key)
                await pipe.expire(key, WEEK)
                count, _ = await pipe.execute()
        except (RedisError, OSError):
            return 1  # one call more is better than a lead rejected too early
        return int(count)

    # The stream

    async def _next(self) -> list[_Entry]:
        """The next tasks to run; empty after a while without any."""
        try:
            async with self._redis() as redis:
                entries = await self._expired(redis) or await self._new(redis)
        except (RedisError, OSError) as error:
            await self._not_answered(error)
            return []
        if self._is_down:
            self._is_down = False
            self._events.emit(StoreBack(store=STORE))
        return entries

    async def _new(self, redis: Redis) -> list[_Entry]:
        streams: Any = await redis.xreadgroup(
            self.consumer_group_name, self.consumer_name, {self.queue_name: ">"}, count=1, block=self.block
        )
        return [_Entry(entry, fields.get(b"data", b""), 1) for _, rows in streams for entry, fields in rows]

    async def _expired(self, redis: Redis) -> list[_Entry]:
        """Take over tasks whose lease has expired."""
        now = asyncio.get_running_loop().time()
        if now < self._look_at:
            return []
        self._look_at = now + LOOK_EVERY
        lease = round(self.lease * 1000)
        group = (self.queue_name, self.consumer_group_name)
        pending: Any = await redis.xpending_range(*group, self._look_from, "+", TAKEN_OVER, idle=lease)
        # The next search continues from there: tasks that keep expiring must not hide the others.
        self._look_from = "(" + pending[-1]["message_id"].decode() if len(pending) == TAKEN_OVER else "-"
        deliveries: dict[bytes, int] = {
            row["message_id"]: row["times_delivered"]
            for row in pending
            if row["message_id"] not in self._leased  # its own lease expired while the store was down
        }
        if not deliveries:
            return []
        # The store checks the lease again: another worker may have been faster.
        claimed = await redis.xclaim(*group, self.consumer_name, lease, [*deliveries])
        return [
            _Entry(entry, fields.get(b"data", b""), deliveries[entry] + 1)
            for entry, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", claimed)
            if fields  # it may have been deleted by hand
        ]

    async def _done(self, entry: bytes, task_id: str) -> None:
        """Delete a task and the lead in it, once the store answers."""

        def delete(pipe: Pipeline) -> None:
            pipe.xack(self.queue_name, self.consumer_group_name, entry)
            pipe.xdel(self.queue_name, entry)
            pipe.expire(self._mark(task_id), MARKED_AFTER)
            pipe.delete(self._failures(task_id))

        await self._persistently(delete)
        self._leased.discard(entry)

    async def _persistently(self, commands: Callable[[Pipeline], object]) -> None:
        """Retry commands until the store has run them: otherwise the task would be sent again."""
        while True:
            try:
                async with self._redis() as redis, redis.pipeline(transaction=True) as pipe:
                    commands(pipe)
                    await pipe.execute()
            except (RedisError, OSError) as error:
                await self._not_answered(error)
            else:
                return

    async def _renew(self) -> None:
        while not is_cancelled():
            await asyncio.sleep(self.lease / 3)
            try:
                async with self._redis() as redis:
                    await redis.exists(self.queue_name)  # fails if the store is down, even without leases
                # The minimum idle time leaves tasks that another worker has just taken over.
                await self._claim(self._leased, round(self.lease * 1000 / 6))
            except Exception:  # no error may end the renewals
                # Other workers could not renew their leases either: give them time before taking tasks over.
                self._look_at = asyncio.get_running_loop().time() + self.lease

    async def _claim(self, entries: Collection[bytes], min_idle: int, **options: Any) -> None:
        ids = [*entries]
        group = (self.queue_name, self.consumer_group_name, self.consumer_name)
        async with self._redis() as redis:
            for start in range(0, len(ids), CLAIMED):
                some: Any = ids[start : start + CLAIMED]
                await redis.xclaim(*group, min_idle, some, justid=True, **options)

    async def _not_answered(self, error: Exception) -> None:
        """Wait before the next attempt; recreate the group if the store came back empty."""
        if isinstance(error, ResponseError) and str(error).startswith("NOGROUP"):
            with suppress(RedisError, OSError):
                await self._declare_consumer_group()
        if not self._is_down:
            self._is_down = True
            reason = f"{type(error).__name__}; retrying every second"
            self._events.emit(StoreLost(store=STORE, reason=reason))
        await asyncio.sleep(LOOK_EVERY)

    def _read(self, entry: _Entry) -> TaskiqMessage | None:
        """The task, with its id and deliveries as labels; None if this process cannot run it.

        taskiq would delete such a task and log the contents of unreadable ones. It may belong to a later
        version, an account that is not imported here, or another serializer.
        """
        try:
            message = self.formatter.loads(entry.data)
            what = None if self.find_task(message.task_name) else message.task_name
        except Exception as error:
            what = f"an unreadable task ({type(error).__name__})"
        else:
            if what is None:
                message.labels |= {STREAM_ID: entry.id.decode(), DELIVERIES: entry.deliveries}
                return message
        if what not in self._logged:
            self._logged.add(what)
            log = self._events.log
            log.error("tasks: %s stays in %s: this worker does not know it", what, self.queue_name)
        return None

    @property
    def _events(self) -> ClientEvents:
        return next(iter(self.clients), self._nobody)

    def _redis(self) -> Redis:
        return Redis(connection_pool=self.connection_pool)

    def _mark(self, task_id: str) -> str:
        return f"{self.queue_name}:sent:{task_id}"

    def _failures(self, task_id: str) -> str:
        return f"{self.queue_name}:failures:{task_id}"


class _QuietMessage(TaskiqMessage):
    """A task whose repr shows none of its arguments."""

    args: list[Any] = Field(repr=False)
    kwargs: dict[str, Any] = Field(repr=False)


class _QuietFormatter(ProxyFormatter):
    def loads(self, message: bytes) -> TaskiqMessage:
        return _QuietMessage.model_validate(self.broker.serializer.loadb(message))

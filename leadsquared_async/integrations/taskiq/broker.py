"""A stream of Redis or Valkey whose tasks a killed worker does not take with it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Coroutine
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

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.config import seconds
from leadsquared_async.limiter.redis_store import check_url
from leadsquared_async.logs import ClientLog

__all__ = ["DELIVERIES", "KEY", "STREAM_ID", "StreamBroker", "is_cancelled"]

STREAM_ID = "leadsquared_stream_id"
"""The label under which a worker finds where a task stands in the stream."""
DELIVERIES = "leadsquared_deliveries"
"""The label that counts how often it was given to a worker."""
KEY = "leadsquared_key"
"""The label with which a task is put once only, however often it is put."""
CONNECT_WITHIN = 5.0
CONNECTIONS = 64
"""Of one process, at most: all that is followed may want to be told at once."""
LOOK_EVERY = 1.0
"""Seconds between two looks for what other workers left behind."""
FEW = 32
"""Tasks taken over at one look: no account lets that many through in its time."""
AT_ONCE = 500
"""Leases renewed, or given up, by one command."""
KEPT = 7 * 86_400
"""Seconds for which a key is known."""
PUT_ONCE = """
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('XADD', KEYS[2], '*', 'data', ARGV[1])
  redis.call('SET', KEYS[1], '', 'EX', ARGV[2])
end
"""
"""The task first: a script that fails is not undone, and a key without its task would lose the lead."""
MARKED_FOR = 7 * 86_400
"""Seconds for which it is known what a worker that died had on its way."""
MARKED_AFTER = 3600
"""The same of what was done, for one that took it over from a worker that was cut off from the store."""


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
    waits, and takes nothing over until all had time to renew their leases. A task that this process does not
    know, or cannot read, stays. The values of a task stand in no repr, and so not in taskiq's debug log.

    Needs Redis 6.2 or later, or Valkey; Cluster and Sentinel are not supported.

    Args:
        url: redis://, rediss:// or unix://.
        queue_name: the stream's; forms in one of their own do not wait behind batches.
        lease: seconds after which another worker takes over what a killed one had in hand.
        options: of `RedisStreamBroker` or the connection, such as `max_connection_pool_size`.

    Attributes:
        stopping: set as soon as this process, a worker, takes no more tasks.
        at_end: called last in a shutdown, however that is cancelled; twice is no harm to them.

    Raises:
        ConfigurationError: the url or the lease cannot be right.
    """

    def __init__(
        self, url: str, queue_name: str = "leadsquared", *, lease: float = 60.0, **options: Any
    ) -> None:
        check_url("StreamBroker", url, CONNECT_WITHIN)
        self.lease = seconds("lease", lease)
        options = {"max_connection_pool_size": CONNECTIONS, **options}
        options = {"socket_timeout": 10.0, "socket_connect_timeout": CONNECT_WITHIN, **options}
        super().__init__(url, queue_name, consumer_id="0", **options)
        # Whatever the url asks for: other answers have another shape.
        self.connection_pool.connection_kwargs |= {"decode_responses": False, "protocol": 2}
        self.formatter = _QuietFormatter(self)
        self.stopping = asyncio.Event()
        self.at_end: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._held: set[bytes] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._look_at = -math.inf
        self._look_from = "-"
        self._log = ClientLog(None)  # clients of several accounts may share the store
        self._strange: set[str] = set()
        self._is_down = False

    async def startup(self) -> None:
        """Begin, also without the store: a worker makes its group as soon as it can."""
        await super(RedisStreamBroker, self).startup()
        with suppress(RedisError, OSError):
            await self._declare_consumer_group()

    async def kick(self, message: BrokerMessage) -> None:
        """Put a task into the stream; one with a key that is known adds nothing."""
        key = message.labels.get(KEY)
        if key is None:
            await super().kick(message)
            return
        async with self._redis() as redis:
            known = f"{self.queue_name}:key:{key}"
            running: Any = redis.eval(PUT_ONCE, 2, known, self.queue_name, message.message, KEPT)
            await running

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Tasks as there is room for them: what others left behind, then new ones."""
        self._renewing = asyncio.create_task(self._renew(), name="leadsquared_async leases")
        try:
            while True:
                entries = await self._next()
                if not entries and is_cancelled():
                    raise asyncio.CancelledError
                self._held.update(entry.id for entry in entries)
                for entry in entries:
                    message = self._read(entry)
                    if message is None:
                        self._held.discard(entry.id)  # to come again when its lease has run out
                        continue
                    data = self.formatter.dumps(message).message
                    yield AckableMessage(data=data, ack=partial(self._done, entry.id, message.task_id))
        finally:
            self.stopping.set()

    async def shutdown(self) -> None:
        """Close, and renew no lease any more; whatever cancels this, nothing is left open."""
        try:
            await super().shutdown()
        finally:
            await uninterrupted(self._end())

    async def _end(self) -> None:
        try:
            for finish in self.at_end:  # their handlers may not have been reached
                await finish()
        finally:
            if self._renewing is not None:
                self._renewing.cancel()
                await asyncio.wait([self._renewing])
            await self.connection_pool.disconnect()

    async def hand_back(self, *entries: bytes, after: float = 0.0) -> None:
        """Let another worker have tasks, or this one once more, after so many seconds, the lease at most."""
        self._held.difference_update(entries)
        idle = max(0, round((self.lease - after) * 1000))
        group = (self.queue_name, self.consumer_group_name, self.consumer_name)
        with suppress(RedisError, OSError):  # then their lease runs out
            async with self._redis() as redis:
                for start in range(0, len(entries), AT_ONCE):
                    some = entries[start : start + AT_ONCE]
                    await redis.xclaim(*group, 0, [*some], idle=idle, justid=True)

    async def hand_all_back(self) -> None:
        """Let others have all that is in hand, and what was given while the wait for it was cancelled."""
        given: Any = []
        with suppress(RedisError, OSError):
            async with self._redis() as redis:
                given = await redis.xpending_range(
                    self.queue_name, self.consumer_group_name, "-", "+", AT_ONCE, self.consumer_name
                )
        await self.hand_back(*self._held | {row["message_id"] for row in given})

    async def mark(self, task_id: str) -> None:
        """Note that a task is about to do what must not be done twice."""
        async with self._redis() as redis:
            await redis.set(self._mark(task_id), b"", ex=MARKED_FOR)

    async def unmark(self, task_id: str) -> None:
        """Note that it did not, however long the store does not answer."""
        await self._patiently(lambda pipe: pipe.delete(self._mark(task_id)))

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
            self._log.warning("tasks: the store answers again", extra={"event": "unblocked"})
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
        pending: Any = await redis.xpending_range(*group, self._look_from, "+", FEW, idle=lease)
        # On from there the next time: old ones that come again and again are not to hide the others.
        self._look_from = "(" + pending[-1]["message_id"].decode() if len(pending) == FEW else "-"
        deliveries: dict[bytes, int] = {
            row["message_id"]: row["times_delivered"]
            for row in pending
            if row["message_id"] not in self._held  # its lease ran out while the store was away
        }
        if not deliveries:
            return []
        # Another worker may have been faster: the store looks at the lease once more.
        claimed = await redis.xclaim(*group, self.consumer_name, lease, [*deliveries])
        return [
            _Entry(entry, fields.get(b"data", b""), deliveries[entry] + 1)
            for entry, fields in cast("list[_Row]", claimed)
            if fields  # else it was deleted by hand
        ]

    async def _done(self, entry: bytes, task_id: str) -> None:
        """Forget a task, and the lead in it, however long the store does not answer."""

        def forget(pipe: Pipeline) -> None:
            pipe.xack(self.queue_name, self.consumer_group_name, entry)
            pipe.xdel(self.queue_name, entry)
            pipe.expire(self._mark(task_id), MARKED_AFTER)

        await self._patiently(forget)
        self._held.discard(entry)

    async def _patiently(self, commands: Callable[[Pipeline], object]) -> None:
        """Have the store do something as soon as it answers: else what was done would be done again."""
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
        """Keep what is in hand, as long as this process lives."""
        while not is_cancelled():
            await asyncio.sleep(self.lease / 3)
            held = [*self._held]
            untouched = round(self.lease * 1000 / 6)  # what another one has just taken over stays its own
            group = (self.queue_name, self.consumer_group_name, self.consumer_name)
            try:
                async with self._redis() as redis:
                    await redis.exists(self.queue_name)
                    for start in range(0, len(held), AT_ONCE):
                        await redis.xclaim(*group, untouched, [*held[start : start + AT_ONCE]], justid=True)
            except Exception:  # whatever it is, it must not end all leases
                # Others could not renew theirs either: they come first.
                self._look_at = asyncio.get_running_loop().time() + self.lease

    async def _not_answered(self, error: Exception) -> None:
        """Wait a little for a store that is down; one that is back, and empty, has no group any more."""
        if isinstance(error, ResponseError) and str(error).startswith("NOGROUP"):
            with suppress(RedisError, OSError):
                await self._declare_consumer_group()
        if not self._is_down:
            self._is_down = True
            self._log.warning(
                "tasks: the store cannot be used, and is tried again each second: %s",
                type(error).__name__,
                extra={"event": "blocked"},
            )
        await asyncio.sleep(LOOK_EVERY)

    def _read(self, entry: _Entry) -> TaskiqMessage | None:
        """The task, with where it stands and how often it was delivered; None if it is none of ours.

        taskiq would delete such a one, though it may be a lead of a later version, of an account that is not
        imported here, or of another serializer; and would log all of what it cannot read.
        """
        try:
            message = self.formatter.loads(entry.data)
        except Exception as error:
            self._tell_strange(f"what cannot be read ({type(error).__name__})")
            return None
        if self.find_task(message.task_name) is None:
            self._tell_strange(message.task_name)
            return None
        message.labels |= {STREAM_ID: entry.id.decode(), DELIVERIES: entry.deliveries}
        return message

    def _tell_strange(self, what: str) -> None:
        if what not in self._strange:
            self._strange.add(what)
            self._log.error("tasks: %s stays in %s, since no worker here knows it", what, self.queue_name)

    def _redis(self) -> Redis:
        return Redis(connection_pool=self.connection_pool)

    def _mark(self, task_id: str) -> str:
        return f"{self.queue_name}:sent:{task_id}"


def is_cancelled() -> bool:
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

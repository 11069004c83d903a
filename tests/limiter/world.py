"""Many processes, one store and a server that counts, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.limiter.redis_grantor import RedisGrantor
from leadsquared_async.limiter.redis_messages import Reply, Request, StoreUnavailable
from leadsquared_async.sandbox import COUNTERS
from tests.limiter.reference import State
from tests.limiter.simulation import PROFILES

DEFAULT = RateLimit(25, per=5.0)


class Server:
    """What the processes connect to: states by key, and how well it is.

    Attributes:
        requests: how many it answered.
        down: whether it refuses connections.
        frozen: whether it takes requests and answers none.
        clock: its clock less the loop's.
    """

    def __init__(self, *, latency: float = 0.001, just_started: bool = False) -> None:
        self.loop = asyncio.get_running_loop()
        self.latency = latency
        self.states: dict[str, State] = {}
        self.requests = 0
        self.hints = 0
        self.down = False
        self.frozen = False
        self.clock = 1_700_000_000.0
        self.just_started = just_started
        self.ears: dict[str, Callable[[float], None]] = {}

    def restart_empty(self) -> None:
        self.states.clear()
        self.just_started = True

    def run(self, key: str, request: Request) -> Reply:
        self.requests += 1
        wall = self.loop.time() + self.clock
        state = self.states.get(key)
        if state is None:
            state = self.states[key] = State(wall, request, just_started=self.just_started)
        reply = state.run(wall, request)
        for channel, delay in state.hints:
            self.hints += 1
            self.loop.call_later(self.latency / 2, self.ears[f"{channel} {key}"], delay)
        return reply


class Connection:
    """One process's way to the server."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.channel = name
        self.cut = False

    async def exchange(self, key: str, request: Request) -> Reply:
        server = self.server
        await asyncio.sleep(server.latency / 2)
        if server.frozen:
            await asyncio.Event().wait()
        if server.down or self.cut:
            raise StoreUnavailable("ConnectionError")
        reply = server.run(key, request)
        await asyncio.sleep(server.latency / 2)
        return reply

    def listen(self, key: str, on_hint: Callable[[float], None]) -> None:
        self.server.ears[f"{self.channel} {key}"] = on_hint

    def forget(self, key: str, on_hint: Callable[[float], None]) -> None:
        """The server may still speak."""


def joined(grantor: RedisGrantor) -> TokenQueue:
    """The queue of a process that has just joined, with one client."""
    grantor.queue.join(grantor.limit)
    return grantor.queue


def grantor_of(queue: TokenQueue) -> RedisGrantor:
    grantor = queue._grantor
    assert isinstance(grantor, RedisGrantor)
    return grantor


async def leave(queue: TokenQueue) -> None:
    """The last client of a process leaves."""
    if queue.users:
        queue.leave(queue.declared)
    await grantor_of(queue).aclose()


def kill(queue: TokenQueue) -> None:
    """The process is not heard of any more."""
    store = grantor_of(queue)._store
    assert isinstance(store, Connection)
    store.cut = True
    grantor_of(queue)._closed = True
    grantor_of(queue).stop()


def is_killed(queue: TokenQueue) -> bool:
    return grantor_of(queue)._closed


@dataclass
class World:
    """The processes of one account, and the arrivals at LeadSquared.

    Attributes:
        limit: what each process declares.
        counting: how the server counts.
        profile: seconds of a round trip.
    """

    server: Server
    counting: str = "sliding-log"
    profile: str = "WAN"
    limit: RateLimit = DEFAULT
    account: tuple[int, float] = (25, 5.0)
    seed: int = 0
    arrivals: list[float] = field(default_factory=list)
    sent: dict[int, list[float]] = field(default_factory=dict)
    refused: int = 0
    calls: set[asyncio.Task[float]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.profile} {self.seed}")
        calls, per = self.account
        self.counter = COUNTERS[self.counting](calls, per, phase=self.chance.uniform(0, per))
        self.loop = asyncio.get_running_loop()
        self.buckets: list[TokenQueue] = []

    def join(self, limit: RateLimit | None = None) -> TokenQueue:
        """One more process."""
        connection = Connection(self.server, f"process {len(self.buckets)}")
        bucket = joined(RedisGrantor(limit or self.limit, store=connection, key="account"))
        self.sent[len(self.buckets)] = []
        self.buckets.append(bucket)
        return bucket

    def cut(self, bucket: TokenQueue, *, cut: bool = True) -> None:
        store = grantor_of(bucket)._store
        assert isinstance(store, Connection)
        store.cut = cut

    async def call(
        self, bucket: TokenQueue, lane: Lane = Lane.INTERACTIVE, deadline: float | None = None
    ) -> float:
        """One call until it is taken; returns when that attempt was sent."""
        place = self.buckets.index(bucket)
        while True:
            await bucket.acquire(lane, deadline)
            sent = self.loop.time()
            seconds = PROFILES[self.profile](self.chance)
            await asyncio.sleep(seconds / 2)
            taken = self.counter.admit(self.loop.time())
            self.arrivals.append(self.loop.time())
            await asyncio.sleep(seconds / 2)
            if not taken:
                self.refused += 1
                bucket.on_rate_limited()
            bucket.release()
            if taken:
                self.sent[place].append(sent)
                return sent

    def flood(self, bucket: TokenQueue, lane: Lane, calls: int) -> list[asyncio.Task[float]]:
        """Calls that all wait at once."""
        tasks = [asyncio.create_task(self.call(bucket, lane)) for _ in range(calls)]
        self.calls.update(tasks)
        return tasks

    async def close(self) -> None:
        """Cancel what is under way and have every process leave."""
        for task in self.calls:
            task.cancel()
        await asyncio.gather(*self.calls, return_exceptions=True)
        for bucket in self.buckets:
            await leave(bucket)

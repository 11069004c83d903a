"""Many processes, one store and a server that counts, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.protocol import StoreUnavailable
from leadsquared_async.limiter.redis_grantor import SharedBucket
from leadsquared_async.limiter.redis_messages import Reply, Request
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

    def listen(self, key: str, hear: Callable[[float], None]) -> None:
        self.server.ears[f"{self.channel} {key}"] = hear

    def forget(self, key: str, hear: Callable[[float], None]) -> None:
        """The server may still speak."""


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
        self.buckets: list[SharedBucket] = []

    def join(self, limit: RateLimit | None = None) -> SharedBucket:
        """One more process."""
        connection = Connection(self.server, f"process {len(self.buckets)}")
        bucket = SharedBucket(limit or self.limit, store=connection, key="account")
        bucket.users = 1
        self.sent[len(self.buckets)] = []
        self.buckets.append(bucket)
        return bucket

    def cut(self, bucket: SharedBucket, *, cut: bool = True) -> None:
        store = bucket._store
        assert isinstance(store, Connection)
        store.cut = cut

    async def call(
        self, bucket: SharedBucket, lane: Lane = Lane.INTERACTIVE, deadline: float | None = None
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
                bucket.refuse()
            bucket.give()
            if taken:
                self.sent[place].append(sent)
                return sent

    def flood(self, bucket: SharedBucket, lane: Lane, calls: int) -> list[asyncio.Task[float]]:
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
            bucket.users = 0
            await bucket.aclose()

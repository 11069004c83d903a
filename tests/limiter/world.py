"""One process or many with one store, and a server that counts, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import redis

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.limiter.redis_grantor import RedisGrantor
from leadsquared_async.limiter.redis_messages import StoreReply, StoreRequest, StoreUnavailable
from leadsquared_async.limiter.redis_store import script
from leadsquared_async.sandbox import COUNTERS
from tests import virtual

DEFAULT = RateLimit(25, per=5.0)
# Seconds of a round trip.
PROFILES: dict[str, Callable[[random.Random], float]] = {
    "LAN": lambda chance: chance.uniform(0.0005, 0.002),
    "WAN": lambda chance: 0.040 + chance.expovariate(1 / 0.040),
    "wild": lambda chance: chance.uniform(0.020, 0.800),
}


TIME = "redis.call('TIME')"
PUBLISH = "redis.pcall('PUBLISH', process.channel, message)"
STATE = """
local raw = redis.call('GET', KEYS[1])
return cjson.encode(cmsgpack.unpack(raw:sub(#raw:match('^[^\\n]*\\n') + 1)))
"""


class Script:
    """The script in a real Valkey, with the server's clock in the test's hand.

    Attributes:
        hints: that the last run published: channels, and keys with microseconds.
    """

    def __init__(self, client: redis.Redis) -> None:
        source = script()
        for changed, to in (
            (TIME, "cjson.decode(ARGV[#ARGV])"),
            (PUBLISH, "publish(process.channel, message)"),
            ("ipairs(ARGV)", "ipairs({unpack(ARGV, 1, #ARGV - 1)})"),
            ("'INFO'", "'NONE'"),  # as of a server that has been up for long
        ):
            assert source.count(changed) == 1, changed
            source = source.replace(changed, to)
        publish = "local hints = {} local function publish(c, m) hints[#hints + 1] = {c, m} return 1 end "
        self._run = client.register_script(
            f"{publish} local function run() {source} end return {{run(), hints}}"
        )
        self.hints: list[tuple[str, float]] = []

    def run(self, key: str, wall: float, request: StoreRequest) -> StoreReply:
        micro = round(wall * 1e6)
        time = f"[{micro // 1_000_000}, {micro % 1_000_000}]"
        answer: Any = self._run(keys=[key], args=[*request.arguments(), time])
        hints: list[list[bytes]] = answer[1]
        self.hints = [(channel.decode(), int(hint.split()[-1]) / 1e6) for channel, hint in hints]
        return StoreReply.read(answer[0])


class Server:
    """What the processes connect to: the script in a real Valkey, in virtual time, and how well it is.

    Attributes:
        client: of a Valkey, for all servers.
        requests: how many it answered.
        down: whether it refuses connections.
        frozen: whether it takes requests and answers none.
        clock: its clock less the loop's.
    """

    client: redis.Redis
    _numbers = itertools.count()

    def __init__(self, *, latency: float = 0.001) -> None:
        self.loop = asyncio.get_running_loop()
        self.latency = latency
        self.requests = 0
        self.down = False
        self.frozen = False
        self.clock = 1_700_000_000.0
        self.ears: dict[str, Callable[[float], None]] = {}
        self._prefix = f"world {next(self._numbers)} "
        self._script = Script(self.client)

    def restart_empty(self) -> None:
        for key in self.client.scan_iter(f"{self._prefix}*"):
            self.client.delete(key)

    def copy(self, key: str = "account") -> bytes:
        """The stored state, for `put_back`."""
        return cast("bytes", self.client.get(self._prefix + key))

    def put_back(self, copied: bytes, key: str = "account") -> None:
        self.client.set(self._prefix + key, copied)

    def state(self, key: str = "account") -> dict[str, Any]:
        """The state, and the tokens that exist as `held`."""
        encoded: Any = self.client.eval(STATE, 1, self._prefix + key)
        state: dict[str, Any] = json.loads(encoded)
        state["held"] = state["free"] + state["out"] + len(state["due"]) + len(state["late"])
        return state

    def run(self, key: str, request: StoreRequest) -> StoreReply:
        self.requests += 1
        reply = self._script.run(self._prefix + key, virtual.exact_time() + self.clock, request)
        for channel, delay in self._script.hints:
            self.loop.call_later(self.latency / 2, self.ears[f"{channel} {key}"], delay)
        return reply


class Connection:
    """One process's way to the server."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.channel = name
        self.cut = False

    async def exchange(self, key: str, request: StoreRequest) -> StoreReply:
        server = self.server
        await virtual.exchange(server.latency / 2)
        if server.frozen:
            await asyncio.Event().wait()
        if server.down or self.cut:
            raise StoreUnavailable("ConnectionError")
        reply = server.run(key, request)
        await virtual.exchange(server.latency / 2)
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
        shared: whether the processes keep their tokens in the server; else each has its own.
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
    shared: bool = True
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
        if self.shared:
            connection = Connection(self.server, f"process {len(self.buckets)}")
            bucket = joined(RedisGrantor(limit or self.limit, store=connection, key="account"))
        else:
            bucket = TokenQueue(LocalGrantor(limit or self.limit))
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
            await virtual.exchange(seconds / 2)
            self.arrivals.append(virtual.exact_time())
            taken = self.counter.admit(self.arrivals[-1])
            await virtual.exchange(seconds / 2)
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


def simulate(
    counting: str,
    profile: str,
    seed: int,
    limit: RateLimit,
    *,
    leads: int = 1000,
    lane: Lane = Lane.INTERACTIVE,
    stops: float = 0.0,
    loop: type[virtual.VirtualLoop] = virtual.VirtualLoop,
) -> tuple[World, float]:
    """Send leads by one process as fast as it may; returns the seconds that it took.

    Its loop stands still for `stops` seconds, every ten seconds or so.
    """

    async def main() -> tuple[World, float]:
        world = World(Server(), counting, profile, limit, seed=seed, shared=False)
        start = world.loop.time()

        async def stand_still() -> None:
            while True:
                await asyncio.sleep(world.chance.uniform(8.0, 13.0))
                virtual.stand_still(stops)

        standing = [asyncio.create_task(stand_still())] if stops else []
        await asyncio.gather(*world.flood(world.join(), lane, leads))
        for task in standing:
            task.cancel()
        return world, world.loop.time() - start

    return virtual.run(main, loop)

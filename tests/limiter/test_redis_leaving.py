"""The last user of a SharedLimiter closes its connections once, even if it is cancelled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial

import anyio
import pytest

from leadsquared_async.config import Credentials, RateLimit
from leadsquared_async.limiter import redis_limits as module
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.limiter.redis_limits import SharedLimiter
from leadsquared_async.limiter.redis_messages import StoreReply, StoreRequest
from tests import virtual
from tests.limiter.valkey import Valkey
from tests.limiter.world import DEFAULT, Connection, Server

STORES: list[Closable] = []


class Closable(Connection):
    """A store that writes down when it is asked and closed.

    Attributes:
        seconds: of a request; None hangs.
        closing: seconds until it is closed.
    """

    seconds: Callable[[], float | None] = staticmethod(lambda: 0.01)
    closing = 0.05

    def __init__(self, url: str, *, prefix: str, timeout: float) -> None:
        super().__init__(Server(), prefix)
        self.timeout = timeout
        self.requests = 0
        self.closed = 0
        self.asked_when_closed = False
        STORES.append(self)

    async def exchange(self, key: str, request: StoreRequest) -> StoreReply:
        self.requests += 1
        seconds = self.seconds()
        await (asyncio.Event().wait() if seconds is None else asyncio.sleep(seconds))
        self.asked_when_closed |= bool(self.closed)
        return self.server.run(key, request)

    async def aclose(self) -> None:
        self.closed += 1
        await asyncio.sleep(self.closing)


@pytest.fixture(autouse=True)
def stores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    STORES.clear()
    if "valkey" not in request.node.name:
        monkeypatch.setattr(module, "RedisStore", Closable)


def join(limiter: SharedLimiter, account: int = 0) -> TokenQueue:
    return limiter.join("host", Credentials("access", "secret", f"key-{account}"), Limit.CALLS, DEFAULT)


async def call(bucket: TokenQueue) -> None:
    await bucket.acquire(Lane.INTERACTIVE)
    bucket.release()


async def settled(limiter: SharedLimiter) -> None:
    """Every task but the test's own has ended."""
    await asyncio.sleep(20)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not limiter._states
    assert [store.closed for store in STORES] == [1] * len(STORES)
    assert not any(store.asked_when_closed for store in STORES)


@pytest.mark.parametrize("seed", range(20))
def test_clients_that_come_and_go_at_once_close_each_store_once(seed: int) -> None:
    """A store is closed after its last user has left, cancelled or not, and gets no request after that."""

    async def main() -> None:
        chance = random.Random(seed)
        limiter = SharedLimiter("redis://127.0.0.1:1")
        Closable.seconds = staticmethod(lambda: chance.choice([0.0, 0.01, 0.3, None]))

        async def user() -> None:
            for _ in range(chance.randrange(1, 4)):
                bucket = join(limiter, chance.randrange(3))
                await call(bucket)
                await asyncio.sleep(chance.choice([0.0, 0.02, 0.5]))
                leaving = asyncio.ensure_future(limiter.leave(bucket))
                if chance.random() < 0.3:
                    await asyncio.sleep(chance.choice([0.0, 0.01, 0.2]))
                    leaving.cancel()
                await asyncio.wait([leaving])

        await asyncio.gather(*(user() for _ in range(5)))
        await settled(limiter)

    virtual.run(main)


@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize("how", ["native", "twice", "scope", "scope before"])
@pytest.mark.parametrize("after", [0.0, 0.005, 0.03, 0.3])
def test_leaving_that_is_cancelled_closes_nevertheless(how: str, after: float, hangs: bool) -> None:
    """However it is cancelled, all connections are closed when it raises, within a few timeouts."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        Closable.seconds = staticmethod(lambda: 0.01)
        limiter = SharedLimiter("redis://127.0.0.1:1")
        bucket = join(limiter)
        await call(bucket)
        if hangs:
            Closable.seconds = staticmethod(lambda: None)
        start = loop.time()
        if how.startswith("scope"):
            with anyio.move_on_after(after) as scope:
                if how == "scope before":
                    scope.cancel()
                await limiter.leave(bucket)
        else:
            leaving = asyncio.create_task(limiter.leave(bucket))
            for _ in range(2 if how == "twice" else 1):
                await asyncio.sleep(after)
                leaving.cancel()
            await asyncio.wait([leaving])
        assert loop.time() - start < 2.0
        if after or how.startswith("scope"):
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert STORES[0].closed == 1

    virtual.run(main)


def test_a_user_that_joins_while_the_store_is_closed_gets_another() -> None:
    """A store that is closing is not given to a new user."""

    async def main() -> None:
        Closable.seconds = staticmethod(lambda: 0.01)
        limiter = SharedLimiter("redis://127.0.0.1:1")
        bucket = join(limiter)
        await call(bucket)
        leaving = asyncio.create_task(limiter.leave(bucket))
        while not STORES[0].closed:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        successor = join(limiter)
        await call(successor)
        await leaving
        await limiter.leave(successor)
        assert len(STORES) == 2
        await settled(limiter)

    virtual.run(main)


def test_asking_for_the_number_of_requests_leaves_nothing_behind() -> None:
    """Reading the number creates no store."""

    async def main() -> None:
        limiter = SharedLimiter("redis://127.0.0.1:1")
        assert limiter.requests == 0
        assert not limiter._states

    virtual.run(main)


def connections(valkey: Valkey) -> int:
    return valkey.command("CLIENT", "LIST").count(b"id=") - 1


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("how", ["at once", "native", "scope"])
async def test_no_connection_to_a_valkey_is_left(own_valkey: Valkey, how: str, frozen: bool) -> None:
    """Three accounts that leave together leave no client at the store, even if it hangs."""
    limiter = SharedLimiter(own_valkey.url, lease=1.5, timeout=0.2)
    buckets = [
        limiter.join("host", Credentials("a", "s", f"key-{n}"), Limit.CALLS, RateLimit(25, per=0.5))
        for n in range(3)
    ]
    await asyncio.gather(*map(call, buckets))
    assert connections(own_valkey) >= 2
    if frozen:
        own_valkey.freeze()
    leave = [partial(limiter.leave, bucket) for bucket in buckets]
    if how == "scope":
        with anyio.move_on_after(0.001):
            async with anyio.create_task_group() as group:
                for each in leave:
                    group.start_soon(each)
    else:
        leaving = asyncio.gather(*(each() for each in leave), return_exceptions=True)
        if how == "native":
            await asyncio.sleep(0.001)
            leaving.cancel()
        await asyncio.wait([leaving])
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not limiter._states
    if frozen:
        own_valkey.thaw()
    for _ in range(50):
        if connections(own_valkey) == 0:
            break
        await asyncio.sleep(0.02)
    assert connections(own_valkey) == 0

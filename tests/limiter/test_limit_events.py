"""The events about an account's limit and its store, as the queue tells them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from leadsquared_async import Event, Lane, RateLimit
from leadsquared_async.events import (
    LimitDoubted,
    LimitLowered,
    LimitRaised,
    StoreBack,
    StoreLost,
    Throttled,
)
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import THROTTLED_AGAIN_AFTER, TokenQueue
from leadsquared_async.limiter.redis_grantor import RedisGrantor
from leadsquared_async.logs import ClientEvents
from tests import virtual
from tests.limiter.world import Connection, Server, joined
from tests.recorded import Recorded, recording

DECLARED = RateLimit(25)
Act = Callable[[TokenQueue], Awaitable[None]]


async def refused(bucket: TokenQueue, *answers: tuple[float | None, tuple[int, float] | None]) -> None:
    for pause, named in answers:
        await bucket.acquire(Lane.INTERACTIVE)
        bucket.on_rate_limited(pause, named)
        bucket.release()


async def many_429s(bucket: TokenQueue) -> None:
    for _ in range(10):
        await refused(bucket, (1.0, None))
        await asyncio.sleep(10.0)
    await asyncio.sleep(THROTTLED_AGAIN_AFTER + 1.0)
    await refused(bucket, (None, None))


async def a_lower_limit(bucket: TokenQueue) -> None:
    await refused(bucket, (None, (10, 5.0)), (None, (10, 5.0)))


async def a_lower_limit_that_expires(bucket: TokenQueue) -> None:
    await refused(bucket, (None, (10, 5.0)))
    for _ in range(200):
        await bucket.acquire(Lane.INTERACTIVE)
        bucket.release()
        await asyncio.sleep(1.0)


async def an_odd_limit(bucket: TokenQueue) -> None:
    await refused(bucket, (None, (1, 3600.0)))


TOO_LOW, STATED = RateLimit(1, per=3600.0), RateLimit(10)
OF_CALLS = {"what": "calls"}
LOWERED = LimitLowered(
    **OF_CALLS, before=DECLARED, limit=STATED, reason=Limit.CALLS.named_by_server(STATED, DECLARED)
)
CASES: dict[str, tuple[Act, list[Event]]] = {
    "the first 429 of a minute": (
        many_429s,
        [
            Throttled(**OF_CALLS, limit=DECLARED, pause=1.0),
            Throttled(**OF_CALLS, limit=DECLARED, pause=None),
        ],
    ),
    "a lower limit, once": (
        a_lower_limit,
        [
            Throttled(**OF_CALLS, limit=DECLARED, pause=None),
            LOWERED,
        ],
    ),
    "a lower limit that expires": (
        a_lower_limit_that_expires,
        [
            Throttled(**OF_CALLS, limit=DECLARED, pause=None),
            LOWERED,
            LimitRaised(**OF_CALLS, before=STATED, limit=DECLARED),
        ],
    ),
    "an odd limit": (
        an_odd_limit,
        [
            Throttled(**OF_CALLS, limit=DECLARED, pause=None),
            LimitDoubted(**OF_CALLS, limit=DECLARED, stated=TOO_LOW, setting=Limit.CALLS.setting(TOO_LOW)),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_happens_to_a_limit_is_told_in_order(case: tuple[Act, list[Event]]) -> None:
    """To the client that has joined first, and their records agree."""
    act, expected = case

    async def main() -> None:
        bucket = TokenQueue(LocalGrantor(DECLARED))
        bucket.join(DECLARED)
        client = ClientEvents(None)
        client.subscribe(recorded)
        bucket.attach(client)
        await act(bucket)

    with recording() as recorded:
        virtual.run(main)
    assert recorded.events == expected
    recorded.assert_records_agree()


def test_a_store_that_is_lost_and_back_is_told_once_each() -> None:
    """However often the process tries to reach it meanwhile."""
    recorded = Recorded()

    async def main() -> None:
        server = Server()
        bucket = joined(RedisGrantor(DECLARED, store=Connection(server, "p"), key="k"))
        client = ClientEvents(None)
        client.subscribe(recorded)
        bucket.attach(client)
        for server.down in (False, True, False):
            for _ in range(5):
                await bucket.acquire(Lane.INTERACTIVE)
                bucket.release()
                await asyncio.sleep(10.0)
        bucket.stop()

    virtual.run(main)
    lost, back = recorded.events
    assert isinstance(lost, StoreLost)
    assert lost.store == "limit store"
    assert back == StoreBack(store="limit store")

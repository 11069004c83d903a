"""The client learns the limit of an account that allows less than was declared, and seldom exceeds it."""

from __future__ import annotations

import asyncio
import logging
import random
from functools import partial

import pytest

from leadsquared_async import Lane, RateLimit
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.limiter.redis_grantor import RedisGrantor
from leadsquared_async.sandbox import COUNTERS
from tests import virtual
from tests.limiter.world import Connection, Server, joined, leave

DECLARED = RateLimit(25, per=5.0)
HOUR = 3600.0


class Account:
    """A server that allows so many calls, and callers that never stop.

    Attributes:
        refused: when it refused a call.
        taken: when it took one.
    """

    def __init__(self, counting: str, calls: int, per: float, seed: int = 0) -> None:
        self.chance = random.Random(seed)
        self.counting = counting
        self.loop = asyncio.get_running_loop()
        self.refused: list[float] = []
        self.taken: list[float] = []
        self.allow(calls, per)

    def allow(self, calls: int, per: float) -> None:
        self.named = (calls, per)
        self.counter = COUNTERS[self.counting](calls, per, phase=self.chance.uniform(0, per))

    async def use(self, bucket: TokenQueue, seconds: float, senders: int = 8) -> None:
        end = self.loop.time() + seconds

        async def sender() -> None:
            while self.loop.time() < end:
                await bucket.acquire(Lane.INTERACTIVE)
                round_trip = 0.040 + self.chance.expovariate(1 / 0.040)
                await asyncio.sleep(round_trip / 2)
                taken = self.counter.admit(self.loop.time())
                (self.taken if taken else self.refused).append(self.loop.time())
                await asyncio.sleep(round_trip / 2)
                if not taken:
                    bucket.on_rate_limited(named=self.named)
                bucket.release()

        await asyncio.gather(*(sender() for _ in range(senders)))


def test_an_account_with_a_lower_limit_answers_few_429s_an_hour() -> None:
    """At 10 in 5 s instead of 25 there are at most 20 answers of 429 in the first hour, 3 in a later one."""

    async def main() -> None:
        account, bucket = Account("sliding-log", 10, 5.0), TokenQueue(LocalGrantor(DECLARED))
        start = account.loop.time()
        await account.use(bucket, 2 * HOUR, senders=4)
        first = sum(at < start + HOUR for at in account.refused)
        assert first <= 20
        assert len(account.refused) - first <= 3
        assert len(account.taken) >= 0.95 * 2 * HOUR * 2

    virtual.run(main)


@pytest.mark.parametrize("shared", [False, True])
def test_a_limit_that_is_raised_again_is_used_again(shared: bool) -> None:
    """The next attempt at the declared limit succeeds after the account has raised its own."""

    async def main() -> None:
        account = Account("sliding-log", 10, 5.0)
        if shared:
            bucket = joined(RedisGrantor(DECLARED, store=Connection(Server(), "p"), key="k"))
        else:
            bucket = TokenQueue(LocalGrantor(DECLARED))
        await account.use(bucket, 100)
        assert bucket.snapshot().limit.calls == 10
        account.allow(25, 5.0)
        await account.use(bucket, 120)
        snapshot = bucket.snapshot()
        assert (snapshot.limit, snapshot.ceiling) == (DECLARED, None)
        before = len(account.taken)
        await account.use(bucket, 20)
        assert len(account.taken) - before >= 0.9 * 20 * 5
        if shared:
            await leave(bucket)

    virtual.run(main)


def test_one_odd_answer_changes_nothing_but_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """One answer that names 1 call in 3,600 s is logged and does not change the rate."""

    async def main(bucket: TokenQueue) -> None:
        account = Account("sliding-log", 25, 5.0)
        await bucket.acquire(Lane.INTERACTIVE)
        bucket.on_rate_limited(None, (1, 3600.0))
        bucket.release()
        await account.use(bucket, 60)
        assert len(account.taken) >= 0.9 * 60 * 5
        assert bucket.snapshot().limit == DECLARED

    async def shared() -> None:
        bucket = joined(RedisGrantor(DECLARED, store=Connection(Server(), "p"), key="k"))
        await main(bucket)
        await leave(bucket)

    async def local() -> None:
        await main(TokenQueue(LocalGrantor(DECLARED)))

    for each in (local, shared):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "leadsquared_async"):
            virtual.run(each)
        throttled, message = caplog.messages
        assert "over its rate limit" in throttled
        assert "far below 25/5" in message
        assert "LEADSQUARED_RATE_LIMIT=1/3600" in message


@pytest.mark.parametrize("told", [(1, 3600.0), (10, 5.0)])
def test_a_wrong_limit_that_is_named_twice_is_given_up(told: tuple[int, float]) -> None:
    """Two answers that name the same limit are believed; the declared rate returns within a quarter hour."""

    async def main(calls: int, per: float) -> None:
        account, bucket = Account("sliding-log", 25, 5.0), TokenQueue(LocalGrantor(DECLARED))
        for _ in range(2):
            await bucket.acquire(Lane.INTERACTIVE)
            bucket.on_rate_limited(None, (calls, per))
            bucket.release()
        assert bucket.snapshot().limit == RateLimit(calls, per)
        await account.use(bucket, 900)
        assert bucket.snapshot().limit == DECLARED

    virtual.run(partial(main, *told))

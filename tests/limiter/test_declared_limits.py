"""The limit in force: the smallest that an open client declares, or a lower one that LeadSquared named."""

from __future__ import annotations

import asyncio
import logging
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async import Lane, LimitSnapshot, RateLimit
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.sandbox import Account, Faults, most_in_any_window
from tests import virtual
from tests.clients import LEAD, virtual_client

WIDE, NARROW = RateLimit(25, per=5.0), RateLimit(5, per=5.0)
LIMITS = [WIDE, NARROW, RateLimit(1, per=600.0), RateLimit(10, per=1.0), RateLimit(100, per=60.0)]


async def spend(bucket: TokenQueue, arrivals: list[float]) -> None:
    await bucket.acquire(Lane.INTERACTIVE)
    arrivals.append(asyncio.get_running_loop().time())
    bucket.release()


def test_a_client_that_closes_takes_its_smaller_limit_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """The other clients return to their own limit when it has closed, without a second burst."""

    def limit_of(snapshot: LimitSnapshot | None) -> tuple[str, str, bool]:
        assert snapshot is not None
        return str(snapshot.limit), str(snapshot.declared), snapshot.ceiling is None

    async def main() -> None:
        account = Account(faults=Faults(latency=0.002))
        wide, transport = virtual_client(account, rate_limit=WIDE)
        narrow, _ = virtual_client(account, rate_limit=NARROW, transport=transport)
        async with wide:
            await asyncio.gather(*(wide.leads.capture(LEAD) for _ in range(20)))
            async with narrow:
                await narrow.leads.capture(LEAD)
                assert limit_of(wide.snapshot().limit) == ("5/5", "25/5", False)
                assert limit_of(narrow.snapshot().limit) == ("5/5", "5/5", True)
            assert limit_of(wide.snapshot().limit) == ("25/5", "25/5", True)
            await asyncio.gather(*(wide.leads.capture(LEAD) for _ in range(60)))
            assert transport.books.over_limit == 0
            await asyncio.sleep(20.0)
            state = wide.snapshot().limit
            assert state is not None
            assert state.free == 25

    with caplog.at_level(logging.INFO, "leadsquared_async"):
        virtual.run(main)
    said = [record.getMessage() for record in caplog.records if "rate limit" in record.getMessage()]
    assert said == [
        "rate limit lowered from 25/5 to 5/5: another client of this account declared 5/5",
        "rate limit raised from 5/5 to 25/5",
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(LIMITS), st.integers(0, 3)), min_size=1, max_size=12))
def test_the_limit_is_the_smallest_of_the_open_clients_at_each_moment(
    steps: list[tuple[RateLimit, int]],
) -> None:
    """Clients come and go: no more calls go out than the open clients declare, and all tokens come back."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        bucket = TokenQueue(LocalGrantor(WIDE))
        bucket.join(WIDE)
        open_ones = [WIDE]
        arrivals: list[float] = []
        callers: list[asyncio.Task[None]] = []
        for limit, leaves in steps:
            bucket.join(limit)
            open_ones.append(limit)
            callers += [asyncio.create_task(spend(bucket, arrivals)) for _ in range(15)]
            await asyncio.sleep(0.7)
            for one in open_ones[1 : 1 + leaves]:
                bucket.leave(one)
                open_ones.remove(one)
            by_window = sorted(open_ones, key=lambda limit: (-limit.per, limit.calls))
            assert bucket.snapshot().limit == reduce(RateLimit.within, by_window)
            await asyncio.sleep(0.7)
        for one in open_ones[1:]:
            bucket.leave(one)
        left = clock()
        async with asyncio.timeout(15 * len(callers)):
            await asyncio.gather(*callers)
        assert most_in_any_window(sorted(arrivals), WIDE.per - 1e-6) <= WIDE.calls
        # Once the clients with long windows have gone, theirs hold nothing back.
        waited = max([time for time in arrivals if time > left], default=left) - left
        assert waited <= 2 * WIDE.per + len(callers) * WIDE.spacing
        await asyncio.sleep(3 * WIDE.per)
        state = bucket.snapshot()
        assert (state.limit, state.free, state.in_flight) == (WIDE, 25, 0)

    virtual.run(main)


def test_a_client_after_another_one_does_not_burst_behind_its_burst() -> None:
    """A second client sends no burst after the 25 calls of a closed one."""

    async def main() -> None:
        account = Account(faults=Faults(latency=0.002))
        first, transport = virtual_client(account, rate_limit=WIDE)
        async with first:
            await asyncio.gather(*(first.leads.capture(LEAD) for _ in range(25)))
        second, _ = virtual_client(account, rate_limit=RateLimit(5, per=1.0), transport=transport)
        async with second:
            await asyncio.gather(*(second.leads.capture(LEAD) for _ in range(40)))
        assert transport.books.over_limit == 0

    virtual.run(main)


def test_a_limit_that_leadsquared_named_stays_when_clients_come_and_go() -> None:
    """A learnt limit of 10 in 5 s applies again after a client that declared 5 in 5 s has closed."""

    async def main() -> None:
        bucket = TokenQueue(LocalGrantor(WIDE))
        bucket.join(WIDE)
        await bucket.acquire(Lane.INTERACTIVE)
        bucket.on_rate_limited(None, (10, 5.0))
        bucket.release()
        bucket.join(NARROW)
        assert str(bucket.snapshot().limit) == "5/5"
        bucket.leave(NARROW)
        assert str(bucket.snapshot().limit) == "10/5"
        assert bucket.snapshot().ceiling is not None

    virtual.run(main)

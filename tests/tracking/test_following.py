"""The cost and delay of following many requests through the whole client."""

from __future__ import annotations

import asyncio

import pytest

from leadsquared_async import LeadSquared, RateLimit
from leadsquared_async.sandbox import Account, Faults
from tests import virtual
from tests.clients import virtual_client
from tests.tracking.following import follow

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [0, 1])
def test_a_thousand_in_order_cost_little_more_than_a_call_each(seed: int) -> None:
    """25 a minute, 2 % held back: at most 1.4 calls a lead, 95 % known within 20 s of being ready."""
    faults = Faults(latency=0.1, jitter=0.1, system_error=0.02)
    result = follow(1000, faults, processing_rate=25.0, seed=seed)
    assert result.calls <= 1.4
    assert result.share_within(20.0) >= 0.95


@pytest.mark.parametrize("seed", [0, 1])
def test_a_thousand_out_of_order_cost_two_calls_each(seed: int) -> None:
    """Outcomes up to 60 s before or after their turn: at most 2 calls a lead, 95 % within 60 s."""
    result = follow(1000, Faults(latency=0.1), processing_rate=25.0, disorder=60.0, seed=seed)
    assert result.calls <= 2.0
    assert result.share_within(60.0) >= 0.95


def test_a_fast_queue_is_kept_up_with_over_a_slow_network() -> None:
    """At 6,000 a minute and round trips of a second, over two outcomes a second are known, with a call
    each."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        account = Account(faults=Faults(latency=1.0), limit=None, processing_rate=6000.0)
        lsq, transport = virtual_client(account, rate_limit=RateLimit(100, per=5.0), deadline=None)
        async with lsq:
            leads = ({"Phone": f"{number:010d}"} for number in range(300))
            receipts = await asyncio.gather(*(lsq.leads.capture(lead) for lead in leads))
            start = clock()
            async with lsq.leads.wait_many(receipt.request_id for receipt in receipts) as results:
                assert len([result async for result in results]) == 300
            assert 300 / (clock() - start) > 2.0
            assert sum(call.operation == "status" for call in transport.books.arrivals) <= 310

    virtual.run(main)


def test_polls_leave_captures_half_of_the_limit() -> None:
    """While captures wait, following a backlog takes at most half of the tokens, and at least some."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        lsq, transport = virtual_client(Account(), deadline=None)
        async with lsq:
            backlog = [(await lsq.leads.capture({"Phone": f"{n:010d}"})).request_id for n in range(200)]
            start = clock()
            capturing = asyncio.create_task(capture_all(lsq))
            async with lsq.leads.wait_many(backlog) as results:
                assert len([result async for result in results]) == 200
            await capturing
            during = [call for call in transport.books.arrivals if start <= call.time < start + 60.0]
            share = sum(call.operation == "status" for call in during) / len(during)
            assert 0.0 < share <= 0.5
            assert len(during) >= 250
            assert transport.books.over_limit == 0

    virtual.run(main)


async def capture_all(lsq: LeadSquared) -> None:
    leads = ({"EmailAddress": f"b{number}@example.com"} for number in range(400))
    async with lsq.leads.capture_many(leads) as results:
        async for result in results:
            assert result.error is None


def test_polls_alone_take_half_of_the_limit() -> None:
    """A backlog of finished requests is polled at half of the declared rate, after a short burst."""

    async def main() -> None:
        lsq, transport = virtual_client(Account(), deadline=None)
        async with lsq:
            backlog = [(await lsq.leads.capture({"Phone": f"{n:010d}"})).request_id for n in range(100)]
            async with lsq.leads.wait_many(backlog) as results:
                assert len([result async for result in results]) == 100
        times = [call.time for call in transport.books.arrivals if call.operation == "status"]
        assert times[99] - times[20] == pytest.approx(79 / 2.5, rel=0.1)

    virtual.run(main)

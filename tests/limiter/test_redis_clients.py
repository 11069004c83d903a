"""Clients with a SharedLimiter, in front of the sandbox and several in one process."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from leadsquared_async import ConfigurationError, Lane, LeadSquared, RateLimit, SharedLimiter
from leadsquared_async.limiter.interface import LimitSnapshot
from leadsquared_async.sandbox import Sandbox, most_in_any_window
from tests.clients import KEYS, LEAD, client_of
from tests.limiter.valkey import Valkey
from tests.limiter.world import Server, World, grantor_of
from tests.virtual import in_virtual_time

LIMIT = RateLimit(25, per=1.0)


async def test_clients_that_know_nothing_of_each_other_keep_to_one_limit(valkey: Valkey) -> None:
    """Clients with a limiter each get no 429 and leave no task behind."""
    async with Sandbox(limit=(25, 1.0)) as sandbox:

        async def work(lsq: LeadSquared) -> int:
            async with lsq:
                calls = (
                    lsq.with_options(lane=Lane.BATCH, deadline=60).leads.capture(LEAD) for _ in range(40)
                )
                receipts = await asyncio.gather(*calls)
                limit = lsq.snapshot().limit
                assert isinstance(limit, LimitSnapshot)
                assert (limit.rate_limited, limit.degraded) == (0, False)
                return len(receipts)

        clients = [client_of(sandbox, limiter=SharedLimiter(valkey.url), rate_limit=LIMIT) for _ in range(3)]
        assert await asyncio.gather(*map(work, clients)) == [40] * 3
        assert (sandbox.books.over_limit, sandbox.books.most_arrivals()) == (0, 25)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_bulk_has_a_shared_limit_of_its_own(valkey: Valkey) -> None:
    """Bulk calls of two clients share one limit and take no token of their captures."""
    leads = [{"EmailAddress": f"p{number}@example.com"} for number in range(50)]
    async with Sandbox(limit=(25, 1.0), bulk_limit=(1, 0.5)) as sandbox:

        async def work(lsq: LeadSquared) -> int:
            async with lsq, lsq.bulk.create_or_update(leads) as results:
                done = [result.error async for result in results]
                await lsq.leads.capture(LEAD)
                return done.count(None)

        options = {"rate_limit": LIMIT, "bulk_limit": RateLimit(1, per=0.5)}
        clients = [client_of(sandbox, limiter=SharedLimiter(valkey.url), **options) for _ in range(2)]
        assert await asyncio.gather(*map(work, clients)) == [50, 50]
        assert sandbox.books.over_limit == 0


async def test_one_limiter_serves_many_accounts(own_valkey: Valkey) -> None:
    """Each account has a bucket of its own in the store, under a name without its key."""
    limiter = SharedLimiter(own_valkey.url)
    async with (
        Sandbox(limit=None) as one,
        Sandbox(limit=None) as other,
        client_of(one, limiter=limiter) as first,
        client_of(other, limiter=limiter) as second,
    ):
        await asyncio.gather(first.leads.capture(LEAD), second.leads.capture(LEAD))
        names = own_valkey.command("KEYS", "*")
    assert names.count(b"leadsquared:limit:") == 2
    assert not any(key.encode() in names for key in KEYS.values())


def test_a_limiter_of_another_kind_is_rejected() -> None:
    """The message names the kinds that exist."""
    with pytest.raises(ConfigurationError, match=r"SharedLimiter, an aiolimiter\.AsyncLimiter, or a Limiter"):
        LeadSquared(**KEYS, region="in21", limiter=7)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="redis://"):
        SharedLimiter("http://127.0.0.1")
    assert "secret" not in repr(SharedLimiter("redis://user:secret@127.0.0.1/0"))


# Clients of one process

NARROW = RateLimit(5, per=5.0)


@in_virtual_time
async def test_a_client_that_closes_takes_its_smaller_limit_with_it() -> None:
    """All processes keep to its limit while it is open, and return to theirs when it closes."""
    world = World(Server())
    mine, others = world.join(), world.join()
    mine.join(NARROW)
    grantor_of(others)._is_urgent = True
    await asyncio.gather(*(world.call(bucket) for bucket in (mine, others)))
    await asyncio.sleep(60.0)
    assert [str(bucket.snapshot().limit) for bucket in (mine, others)] == ["5/5", "5/5"]
    mine.leave(NARROW)
    await asyncio.sleep(60.0)
    assert [str(bucket.snapshot().limit) for bucket in (mine, others)] == ["25/5", "25/5"]
    assert mine.snapshot().ceiling is None
    await world.close()


@pytest.mark.parametrize("down", [False, True])
def test_polls_of_one_process_take_half_of_its_rate(down: bool) -> None:
    """Polls are two spacings apart, with the store and in degraded mode."""

    @in_virtual_time
    async def play() -> None:
        world = World(Server())
        bucket = world.join()
        if down:
            world.server.down = True
        polls = world.flood(bucket, Lane.STATUS, 40)
        await asyncio.sleep(5.0)
        spacing = bucket.snapshot().limit.spacing
        times = sorted(await asyncio.gather(*polls))
        assert min(later - time for time, later in pairwise(times[3:])) >= 1.9 * spacing
        assert times[-1] - times[3] <= 36 * 2.2 * spacing
        assert most_in_any_window(times, 1.0) <= 3
        await world.close()

    play()

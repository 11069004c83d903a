"""Many processes on one limit, in virtual time: never over it, little under it, and a form goes first."""

from __future__ import annotations

import asyncio

import pytest

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.sandbox import COUNTERS, most_in_any_window
from tests import virtual
from tests.limiter.world import DEFAULT, Server, World, kill, leave
from tests.virtual import in_virtual_time

STRICT = RateLimit(24, per=5.0, margin=0.04)
LEADS = 1000
OPTIMUM = (LEADS / 25 - 1) * 5.0


def limit_for(counting: str) -> RateLimit:
    return STRICT if counting == "sliding-counter-strict" else DEFAULT


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 4, 8])
@pytest.mark.parametrize("profile", ["LAN", "WAN"])
@pytest.mark.parametrize("counting", COUNTERS)
def test_many_processes_draw_no_refusal_however_the_server_counts(
    counting: str, profile: str, processes: int
) -> None:
    """1,000 leads by 1, 4 or 8 processes: no 429, the time of one alone, even shares, few requests."""
    for seed in range(2):

        async def main(seed: int = seed) -> tuple[World, float]:
            world = World(Server(), counting, profile, limit_for(counting), seed=seed)
            start = world.loop.time()
            calls = [
                call
                for _ in range(processes)
                for call in world.flood(world.join(), Lane.INTERACTIVE, LEADS // processes)
            ]
            await asyncio.gather(*calls)
            seconds = world.loop.time() - start
            # The burst at the start is whose asks first; after it, while all have work, each gets the same.
            half = {
                place: sum(5.0 < when - start < seconds / 2 for when in sent)
                for place, sent in world.sent.items()
            }
            assert max(half.values()) <= 1.2 * min(half.values()) + 1, half
            assert world.server.requests / seconds < 60
            await world.close()
            return world, seconds

        world, seconds = virtual.run(main)
        assert world.refused == 0
        assert most_in_any_window(sorted(world.arrivals), 5.0) <= 25
        if counting != "sliding-counter-strict":
            assert seconds / OPTIMUM <= 1.065


@in_virtual_time
async def test_a_lone_form_goes_before_the_batches_of_all_others() -> None:
    """A form is sent within 0.5 s beside 300 batch calls in each of seven processes."""
    world = World(Server())
    forms = world.join()
    for _ in range(7):
        world.flood(world.join(), Lane.BATCH, 300)
    await asyncio.sleep(10)
    waits = []
    for _ in range(40):
        await asyncio.sleep(1.03)
        asked = world.loop.time()
        waits.append(await world.call(forms) - asked)
    assert max(waits) <= 0.25
    assert world.refused == 0
    requests, start = world.server.requests, world.loop.time()
    await asyncio.sleep(20)
    assert (world.server.requests - requests) / (world.loop.time() - start) < 60
    await world.close()


@in_virtual_time
async def test_polls_in_one_process_get_their_turn_beside_forms_in_all_others() -> None:
    """Seven forms, and those that waited before it, may pass a poll of another process."""
    world = World(Server())
    for _ in range(3):
        world.flood(world.join(), Lane.INTERACTIVE, 300)
    polls = world.flood(world.join(), Lane.STATUS, 5)
    batch = world.flood(world.join(), Lane.BATCH, 5)
    asked = world.loop.time()
    await asyncio.gather(*polls, *batch)
    assert world.loop.time() - asked < 5.0 + 10 * (8 + 3) * DEFAULT.spacing
    await world.close()


@in_virtual_time
async def test_an_idle_limit_lets_a_burst_of_one_process_go_with_few_requests() -> None:
    """25 forms of one process are sent at once, for one request to the store."""
    world = World(Server())
    for _ in range(4):
        await world.call(world.join())
    await asyncio.sleep(20)
    before, start = world.server.requests, world.loop.time()
    sent = await asyncio.gather(*world.flood(world.buckets[2], Lane.INTERACTIVE, 25))
    assert max(sent) - start < 0.01
    assert world.server.requests - before <= 4
    await world.close()


@in_virtual_time
async def test_a_killed_process_gives_its_tokens_back_after_its_lease_and_two_windows() -> None:
    """25 calls in flight at a kill are free after lease + 2 x per, and not before."""
    world = World(Server())
    killed, other = world.join(), world.join()
    for _ in range(25):
        await killed.acquire(Lane.INTERACTIVE)
    died = world.loop.time()
    kill(killed)
    first = await world.call(other)
    assert 10.0 <= first - died <= 3.0 + 10.0 + 0.1
    await asyncio.sleep(6.0)
    assert (await asyncio.gather(*world.flood(other, Lane.INTERACTIVE, 20)))[-1] <= died + 20.0
    await world.close()


@in_virtual_time
async def test_the_smallest_declared_limit_is_kept_while_its_process_is_there() -> None:
    """A rolling change from 25 to 20 and back causes no 429 and exceeds no declared limit."""
    world = World(Server(), account=(20, 5.0))
    for _ in range(4):
        world.flood(world.join(RateLimit(20, per=5.0)), Lane.BATCH, 400)
    await asyncio.sleep(10)
    for _ in range(4):
        world.flood(world.join(), Lane.BATCH, 400)
    await asyncio.sleep(20)
    assert world.buckets[7].snapshot().limit.calls == 20
    assert "declared 20/5" in (world.buckets[7].snapshot().ceiling or "")
    assert world.refused == 0
    assert most_in_any_window(sorted(world.arrivals), 5.0) <= 20
    for bucket in world.buckets[:4]:
        bucket._lanes.clear()
        bucket.leave(bucket.declared)
        await asyncio.sleep(1.0)
        await leave(bucket)
    await asyncio.sleep(1.0)
    assert world.buckets[7].snapshot().limit.calls == 25
    assert world.buckets[7].snapshot().ceiling is None
    await world.close()


@in_virtual_time
async def test_a_429_in_one_process_applies_to_all() -> None:
    """Its Retry-After pauses all processes, and the limit that it names applies to all."""
    world = World(Server())
    buckets = [world.join() for _ in range(3)]
    for bucket in buckets:
        await world.call(bucket)
    start = world.loop.time()
    await buckets[0].acquire(Lane.INTERACTIVE)
    buckets[0].on_rate_limited(3.0, (10, 5.0))
    buckets[0].release()
    await asyncio.sleep(0.01)
    sent = await asyncio.gather(
        *(call for bucket in buckets for call in world.flood(bucket, Lane.INTERACTIVE, 10))
    )
    assert min(sent) - start >= 3.0
    assert most_in_any_window(sorted(world.arrivals), 5.0) <= 10
    assert all("LeadSquared states" in (bucket.snapshot().ceiling or "") for bucket in buckets)
    await world.close()

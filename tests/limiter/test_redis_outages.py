"""No call hangs and no lead is lost while the store is down, frozen, empty or failed over."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise
from pathlib import Path

import pytest

from leadsquared_async import DeadlineExceeded, SharedLimiter
from leadsquared_async.config import RateLimit
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.limiter.interface import NoTokenInTime
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.redis_grantor import RedisGrantor
from leadsquared_async.limiter.redis_messages import Incompatible, StoreReply, StoreRequest, StoreUnavailable
from leadsquared_async.sandbox import Sandbox, most_in_any_window
from tests.clients import LEAD, client_of
from tests.limiter.world import DEFAULT, Connection, Server, World, joined, leave
from tests.virtual import in_virtual_time

STORE = "the limit store"


async def under_load(world: World, processes: int, calls: int) -> list[asyncio.Task[float]]:
    """Processes that all have work, for ten seconds."""
    tasks = [call for _ in range(processes) for call in world.flood(world.join(), Lane.INTERACTIVE, calls)]
    await asyncio.sleep(10)
    return tasks


@pytest.mark.parametrize("how", ["down", "frozen"])
@pytest.mark.parametrize("empty", [True, False])
def test_every_call_goes_through_an_outage(how: str, empty: bool, caplog: pytest.LogCaptureFixture) -> None:
    """All calls are made, each process keeps to its share and then returns, and both are logged once."""

    @in_virtual_time
    async def main() -> None:
        world = World(Server())
        tasks = await under_load(world, 4, 100)
        before = len(world.arrivals)
        setattr(world.server, how, True)
        await asyncio.sleep(20)
        assert all(bucket.snapshot().degraded for bucket in world.buckets)
        assert {bucket.snapshot().limit.calls for bucket in world.buckets} == {6}
        during = len(world.arrivals) - before
        assert during >= 0.8 * 20 * 5 * 24 / 25
        setattr(world.server, how, False)
        if empty:
            world.server.restart_empty()
        await asyncio.sleep(7)
        assert not any(bucket.snapshot().degraded for bucket in world.buckets)
        await asyncio.gather(*tasks)
        assert len(world.arrivals) - world.refused == 400
        assert world.refused == 0
        assert most_in_any_window(sorted(world.arrivals), 5.0) <= 25
        await world.close()

    with caplog.at_level(logging.INFO, "leadsquared_async"):
        main()
    said = [message for message in caplog.messages if STORE in message]
    assert sum("cannot be used" in message for message in said) == 4
    assert sum("can be used again" in message for message in said) == 4


@pytest.mark.parametrize("per", [0.5, 1.0, 5.0])
def test_a_degraded_process_asks_the_store_once_in_every_window(
    per: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state that begins frees its first token after a window: by then all processes report their calls."""

    @in_virtual_time
    async def main() -> None:
        world = World(Server(), limit=RateLimit(25, per=per))
        asked: list[float] = []

        async def refuse(*_: object) -> StoreReply:
            asked.append(world.loop.time())
            raise StoreUnavailable("ConnectionError")

        monkeypatch.setattr(Connection, "exchange", refuse)
        bucket = world.join()
        world.flood(bucket, Lane.INTERACTIVE, 100)
        await asyncio.sleep(60)
        assert len(asked) > 10
        assert max(after - before for before, after in pairwise(asked)) <= 0.9 * per
        await world.close()

    monkeypatch.setattr("random.uniform", lambda low, high: high)
    main()


@in_virtual_time
async def test_a_process_that_never_reached_the_store_takes_a_sixteenth() -> None:
    """Its first form goes at once, and then one in each window."""
    world = World(Server())
    world.server.down = True
    bucket = world.join()
    start = world.loop.time()
    sent = await asyncio.gather(*world.flood(bucket, Lane.INTERACTIVE, 3))
    assert [round(when - start) for when in sent] == [0, 5, 10]
    assert bucket.snapshot().processes is None
    world.server.down = False
    await asyncio.sleep(6)
    assert not bucket.snapshot().degraded
    await world.close()


@in_virtual_time
async def test_no_call_waits_past_its_deadline_for_a_frozen_store() -> None:
    """A call gets a token of the share or fails in time."""
    world = World(Server())
    bucket = world.join()
    await world.call(bucket)
    world.server.frozen = True
    start = world.loop.time()
    results = await asyncio.gather(
        *(world.call(bucket, deadline=start + 2.0) for _ in range(60)), return_exceptions=True
    )
    assert world.loop.time() - start < 2.5
    failed = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(error, NoTokenInTime) for error in failed)
    assert len(results) - len(failed) >= 24
    await world.close()


@in_virtual_time
async def test_a_lost_reply_costs_no_token() -> None:
    """Tokens of a lost reply are free again after the next request."""
    world = World(Server())
    bucket = world.join()
    await world.call(bucket)
    world.server.latency = 1.5  # longer than the process waits
    waiting = world.flood(bucket, Lane.INTERACTIVE, 3)
    await asyncio.sleep(1.2)
    world.server.latency = 0.001
    await asyncio.gather(*waiting)
    await asyncio.sleep(30)
    state = world.server.state()
    assert (state["free"], state["out"]) == (25, 0)
    await world.close()


@in_virtual_time
async def test_calls_made_in_degraded_mode_count_when_it_ends() -> None:
    """A process that was cut off reports its calls, and the store counts them."""
    world = World(Server())
    alone, other = world.join(), world.join()
    await world.call(alone)
    await world.call(other)
    await asyncio.sleep(10)
    world.cut(alone)
    await asyncio.gather(*world.flood(alone, Lane.INTERACTIVE, 10))
    assert alone.snapshot().degraded
    assert world.server.state()["free"] == 25
    world.cut(alone, cut=False)
    await asyncio.sleep(3)
    assert not alone.snapshot().degraded
    assert world.server.state()["free"] <= 15
    await asyncio.gather(*world.flood(other, Lane.INTERACTIVE, 60))
    assert most_in_any_window(sorted(world.arrivals), 5.0) <= 25
    await world.close()


@pytest.mark.parametrize("leap", [-3600.0, -2.0, 2.0, 3600.0])
def test_a_clock_that_moves_brings_no_second_burst_and_no_stop(leap: float) -> None:
    """A leap of the server's clock neither exceeds the limit nor slows calls."""

    @in_virtual_time
    async def main() -> None:
        world = World(Server())
        tasks = await under_load(world, 4, 150)
        world.server.clock += leap
        before = len(world.arrivals)
        await asyncio.sleep(20)
        assert len(world.arrivals) - before >= 85
        await asyncio.gather(*tasks)
        assert most_in_any_window(sorted(world.arrivals), 5.0) <= 25
        assert world.refused == 0
        await world.close()

    main()


@in_virtual_time
async def test_a_failover_that_lost_the_last_writes_brings_no_second_burst() -> None:
    """Free tokens of an older copy of the state count as spent."""
    world = World(Server())
    bucket, other = world.join(), world.join()
    await world.call(bucket)
    await world.call(other)
    await asyncio.sleep(15)
    copied = world.server.copy()
    await asyncio.gather(*world.flood(bucket, Lane.INTERACTIVE, 25))
    world.server.put_back(copied)
    await asyncio.gather(*world.flood(bucket, Lane.INTERACTIVE, 30))
    assert most_in_any_window(sorted(world.arrivals), 5.0) <= 25
    assert world.refused == 0
    await world.close()


@in_virtual_time
async def test_a_state_of_another_version_raises_until_it_is_gone() -> None:
    """Waiting and later calls raise ConfigurationError until the state can be read."""

    class Foreign:
        channel = "c"
        foreign = True

        def __init__(self, server: Server) -> None:
            self.server = server

        async def exchange(self, key: str, request: StoreRequest) -> StoreReply:
            if self.foreign:
                raise Incompatible(2)
            return self.server.run(key, request)

        def listen(self, key: str, on_hint: object) -> None: ...
        def forget(self, key: str, on_hint: object) -> None: ...

    store = Foreign(Server())
    bucket = joined(RedisGrantor(DEFAULT, store=store, key="k"))
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="version 2"):
            await bucket.acquire(Lane.INTERACTIVE)
    store.foreign = False
    await asyncio.sleep(10)
    await bucket.acquire(Lane.INTERACTIVE)
    bucket.release()
    await leave(bucket)


async def test_a_client_that_is_opened_again_in_an_outage_keeps_to_the_same_share(tmp_path: Path) -> None:
    """Its first token is not new: the former client's calls count still."""
    limiter = SharedLimiter(f"unix://{tmp_path / 'nothing.sock'}")
    async with Sandbox(limit=None) as sandbox:
        async with client_of(sandbox, limiter=limiter) as lsq:
            await lsq.leads.capture(LEAD)
        async with client_of(sandbox, limiter=limiter) as lsq:
            with pytest.raises(DeadlineExceeded, match="rate limit"):
                await lsq.leads.capture(LEAD, deadline=1.0)
        assert len(sandbox.books.arrivals) == 1

"""A clock that ticks every 15.6 ms, as Windows' does before Python 3.13, draws no 429."""

from __future__ import annotations

import asyncio

import pytest

from leadsquared_async import Lane, RateLimit
from leadsquared_async.limiter import tokens
from leadsquared_async.sandbox import COUNTERS, most_in_any_window
from tests import virtual
from tests.limiter.world import DEFAULT, Server, World, simulate

LEADS = 300
SEEDS = 3
STRICT = RateLimit(24, per=5.0, margin=0.04)


@pytest.fixture(autouse=True)
def _resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the module sets by the clock's resolution; `tests/test_on_windows.py` tests that it does."""
    monkeypatch.setattr(tokens, "_ROUNDING", virtual.STEP)


@pytest.mark.parametrize("lane", [Lane.INTERACTIVE, Lane.BATCH])
@pytest.mark.parametrize("profile", ["LAN", "WAN"])
@pytest.mark.parametrize("counting", COUNTERS)
def test_no_call_gets_a_429_by_a_coarse_clock(counting: str, profile: str, lane: Lane) -> None:
    """300 leads, three phases and seeds: no 429, and at most 2 % of the time more than by a fine clock."""
    limit = STRICT if counting == "sliding-counter-strict" else DEFAULT
    for seed in range(SEEDS):
        coarse, seconds = simulate(
            counting, profile, seed, limit, leads=LEADS, lane=lane, loop=virtual.CoarseLoop
        )
        assert coarse.refused == 0
        assert most_in_any_window(coarse.arrivals, 5.0) <= limit.calls
        _, fine = simulate(counting, profile, seed, limit, leads=LEADS, lane=lane)
        assert seconds <= 1.02 * fine


def test_processes_with_a_shared_limit_and_coarse_clocks_get_no_429() -> None:
    """Three processes with full queues, whose store has a fine clock."""

    async def main() -> World:
        world = World(Server())
        floods = [world.flood(world.join(), Lane.INTERACTIVE, 100) for _ in range(3)]
        await asyncio.gather(*(task for flood in floods for task in flood))
        await world.close()
        return world

    for _ in range(SEEDS):
        world = virtual.run(main, virtual.CoarseLoop)
        assert world.refused == 0
        assert most_in_any_window(world.arrivals, 5.0) <= 25


@pytest.mark.parametrize(("longer", "refused"), [(virtual.STEP, 0), (0.0, 1)])
def test_windows_are_longer_by_a_tick(monkeypatch: pytest.MonkeyPatch, longer: float, refused: int) -> None:
    """Otherwise a call that comes a little less than a window after a burst would seem to be in time."""
    monkeypatch.setattr(tokens, "_ROUNDING", longer)

    async def main() -> int:
        world = World(Server(), profile="LAN", shared=False)
        bucket, start = world.join(), virtual.exact_time()
        await asyncio.gather(*world.flood(bucket, Lane.INTERACTIVE, 25))
        await virtual.exchange(start + 5.0 - virtual.STEP / 4 - virtual.exact_time())
        await world.call(bucket)
        return world.refused

    assert virtual.run(main, virtual.CoarseLoop) == refused

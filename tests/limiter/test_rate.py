"""A thousand leads never exceed the limit under any way of counting, and use most of it."""

from __future__ import annotations

import pytest

from leadsquared_async import Lane, RateLimit
from leadsquared_async.sandbox import COUNTERS, most_in_any_window
from tests.limiter.world import PROFILES, simulate

pytestmark = pytest.mark.slow

LEADS = 1000
SEEDS = 20
OPTIMUM = (LEADS / 25 - 1) * 5.0
DEFAULT = RateLimit(25, per=5.0)
# A sliding counter that does not round its estimate down sees more than 25 where a log would not.
STRICT = RateLimit(24, per=5.0, margin=0.04)


def limit_for(counting: str) -> RateLimit:
    return STRICT if counting == "sliding-counter-strict" else DEFAULT


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("counting", COUNTERS)
def test_no_call_gets_a_429_however_the_server_counts(counting: str, profile: str) -> None:
    """1,000 leads, 20 phases and seeds: no 429; at most 2 where a rounding counter meets wild latencies."""
    results = [simulate(counting, profile, seed, limit_for(counting), leads=LEADS) for seed in range(SEEDS)]
    refused = [world.refused for world, _ in results]
    assert max(refused) <= (2 if (counting, profile) == ("sliding-counter", "wild") else 0)
    assert max(most_in_any_window(world.arrivals, 5.0) for world, _ in results) <= 25 + max(refused)
    if profile != "wild" and counting != "sliding-counter-strict":
        assert max(seconds for _, seconds in results) / OPTIMUM <= 1.06


@pytest.mark.parametrize("lane", [Lane.INTERACTIVE, Lane.BATCH])
@pytest.mark.parametrize("stops", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("counting", ["sliding-log", "fixed-window", "token-bucket", "gcra"])
def test_a_blocked_loop_does_not_exceed_the_limit(counting: str, stops: float, lane: Lane) -> None:
    """Calls that became due meanwhile go out together within the limit; only a counter that assumes an even
    window may reject a few."""
    for seed in range(3):
        world, _ = simulate(counting, "WAN", seed, limit_for(counting), leads=300, lane=lane, stops=stops)
        assert world.refused == 0
        assert most_in_any_window(world.arrivals, 5.0) <= 25


def test_a_batch_is_paced_from_the_start_and_loses_little_by_it() -> None:
    """It spends no burst, and still takes at most 7 % over the optimum."""
    world, seconds = simulate("sliding-log", "WAN", 0, DEFAULT, leads=LEADS, lane=Lane.BATCH)
    assert world.refused == 0
    assert most_in_any_window(world.arrivals, 0.150) <= 3
    assert seconds / OPTIMUM <= 1.07


def test_polls_take_half_of_the_rate_and_no_less() -> None:
    """Polls alone are two spacings apart, within 1 %."""
    world, seconds = simulate("sliding-log", "WAN", 0, DEFAULT, leads=200, lane=Lane.STATUS)
    assert world.refused == 0
    assert seconds / (199 * 2 * DEFAULT.spacing) == pytest.approx(1.0, abs=0.01)


def test_the_simulation_can_fail() -> None:
    """With half the window the same simulation gets 429s."""
    assert simulate("sliding-log", "WAN", 0, RateLimit(25, per=2.5), leads=200)[0].refused > 0

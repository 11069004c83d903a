"""A thousand requests followed to their outcomes, in virtual time: calls for each, and how late."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.figures import Figure
from leadsquared_async.sandbox import Faults
from tests.tracking.following import Followed, follow

REQUESTS = 1000
PROCESSED_A_MINUTE = 25.0
DISORDER = 60.0
SEEDS = 3


def measure() -> Iterator[Figure]:
    """In order with 2 % held back, and with outcomes up to a minute before or after their turn."""
    faults = Faults(latency=0.1, jitter=0.1)
    held_back = Faults(latency=0.1, jitter=0.1, system_error=0.02)
    yield from _figures("in order", [_follow(held_back, 0.0, seed) for seed in range(SEEDS)], 1.4, 20.0)
    yield from _figures("out of order", [_follow(faults, DISORDER, seed) for seed in range(SEEDS)], 2.0, 60.0)


def _follow(faults: Faults, disorder: float, seed: int) -> Followed:
    return follow(REQUESTS, faults, processing_rate=PROCESSED_A_MINUTE, disorder=disorder, seed=seed)


def _figures(what: str, runs: list[Followed], calls: float, within: float) -> Iterator[Figure]:
    lags = sorted(lag for run in runs for lag in run.lags)
    yield Figure(f"{what}: status calls a lead", statistics.mean(run.calls for run in runs), most=calls)
    yield Figure(
        f"{what}: known later than ready, 95 % within",
        lags[int(0.95 * len(lags))],
        " s",
        most=within,
        note=f"half within {statistics.median(lags):.1f} s",
    )

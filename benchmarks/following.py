"""How many status calls does it take to know every outcome?

1,000 requests in virtual time, of which 25 are processed a minute. "In order": first in, first out, and
LeadSquared's own retries hold back 2 %. "Out of order": each outcome comes up to a minute before or after its
turn. For comparison: polling each request every 15 seconds until its outcome is there. The plot shows 10 to
3,000 requests in order, without LeadSquared's retries.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from benchmarks.figures import Figure, Plot, Result
from leadsquared_async.sandbox import Faults
from tests.tracking.following import Followed, follow

REQUESTS = 1000
SIZES = (10, 30, 100, 300, 1000, 3000)
PROCESSED_A_MINUTE = 25.0
DISORDER = 60.0
SEEDS = 3


ACCEPTED_A_SECOND = 5.0
POLL_EVERY = 15.0
MOST_IN_ORDER = 1.4


def measure() -> Iterator[Result]:
    """In order with 2 % held back, with outcomes up to a minute before or after their turn, and by size."""
    faults = Faults(latency=0.1, jitter=0.1)
    held_back = Faults(latency=0.1, jitter=0.1, system_error=0.02)
    yield Figure(
        f"polling each every {POLL_EVERY:g} s: status calls a lead",
        statistics.mean(_polls(number) for number in range(REQUESTS)),
        note="computed; 5 calls a second are too few to send them",
    )
    yield from _figures(
        "in order", [run(held_back, disorder=0.0, seed=seed) for seed in range(SEEDS)], MOST_IN_ORDER, 20.0
    )
    yield from _figures(
        "out of order", [run(faults, disorder=DISORDER, seed=seed) for seed in range(SEEDS)], 2.0, 60.0
    )
    yield Plot(
        "following",
        "Status calls until every outcome is known, by how many requests are followed",
        "requests",
        "status calls a request",
        {
            "leadsquared_async": [
                (size, follow(size, faults, processing_rate=PROCESSED_A_MINUTE, disorder=0.0, seed=0).calls)
                for size in SIZES
            ],
            f"polling each every {POLL_EVERY:g} s": [
                (size, statistics.mean(map(_polls, range(size)))) for size in SIZES
            ],
        },
        is_log=True,
    )


def _polls(number: int) -> int:
    """Calls for the request at this place of the queue, if it is asked for at a fixed interval."""
    waits = number * 60 / PROCESSED_A_MINUTE - number / ACCEPTED_A_SECOND
    return max(1, math.ceil(waits / POLL_EVERY))


def run(faults: Faults, *, disorder: float, seed: int) -> Followed:
    """Follow all requests once."""
    return follow(REQUESTS, faults, processing_rate=PROCESSED_A_MINUTE, disorder=disorder, seed=seed)


def _figures(what: str, runs: list[Followed], calls: float, within: float) -> Iterator[Figure]:
    lags = sorted(lag for run in runs for lag in run.lags)
    yield Figure(f"{what}: status calls a lead", statistics.mean(run.calls for run in runs), most=calls)
    yield Figure(
        f"{what}: known after it was ready, 95 % within",
        lags[int(0.95 * len(lags))],
        " s",
        most=within,
        note=f"half within {statistics.median(lags):.1f} s",
    )

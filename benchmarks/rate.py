"""Does a client keep to the limit in every way of counting, compared with other clients?

Each client sends 1,000 leads at once to an account with 25 calls in 5 seconds, in virtual time, at ten
offsets of the server's windows, with round trips of 40 to 120 ms. 429s, lost leads and time are means over
the offsets; the most calls in any 5 seconds is the worst of them. The optimum is a burst every 5 seconds. Our
client spaces its calls with a margin of 2 %, and counts a call until 5 seconds after its answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from statistics import mean

from benchmarks.figures import Figure, Plot, Result
from benchmarks.peers import CALLS, CLIENTS, OURS, PER
from benchmarks.rate_cells import STRICT, Arrivals, Cell, Sent, cell, opening, optimum, send_all, tables
from benchmarks.virtual_account import VirtualAccount, run
from leadsquared_async.sandbox import COUNTERS

LEADS, PHASES = 1000, 10
SLOW, FEW_PHASES = ("throttled-py, sliding window", "tenacity alone"), 2
"""The first wakes every waiting call for each that it lets pass; the second makes six times the calls. They
take most of the CPU, and are measured at fewer offsets."""
ROUND_TRIP, LONG_ROUND_TRIP = (0.040, 0.120), (0.010, 0.300)
WITHIN = 5 * optimum(LEADS)
"""Virtual seconds after which a batch is stopped."""
MOST_OVER, MOST_OVER_STRICT = 1.06, 1.12
DRAWN = (
    OURS,
    "pyrate-limiter",
    "aiolimiter (25, 5)",
    "aiolimiter (1, 0.2)",
    "limits, moving window",
    *SLOW,
)
DRAWN_COUNTINGS = {"sliding-log": "arrivals", "sliding-counter": "arrivals_sliding_counter"}
DRAWN_LEADS = 200


def measure() -> Iterator[Result]:
    """The tables, the arrivals of one way of counting, and the budgets of our cells."""
    names = [(client, counting) for client in CLIENTS for counting in COUNTERS]
    drawn = [(client, counting) for client in DRAWN for counting in DRAWN_COUNTINGS]
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        runs = dict(zip(names, processes.map(_in_virtual_time, names), strict=True))
        far = list(processes.map(_far_away, COUNTERS))
        arrivals = dict(zip(drawn, processes.map(_arrivals, drawn), strict=True))
    yield from tables(f"{LEADS:,} leads in virtual time", list(COUNTERS), runs)
    for counting, name in DRAWN_COUNTINGS.items():
        yield Plot(
            name,
            f"Calls in the last {PER:g} s at a server that allows {CALLS} ({counting}): {DRAWN_LEADS} leads",
            "seconds",
            "",
            {client: arrivals[client, counting] for client in DRAWN},
        )
    for counting in COUNTERS:
        ours = runs[OURS, counting]
        yield Figure(f"{counting}: our 429s, all offsets", sum(one.refused for one in ours), most=0)
        yield Figure(f"{counting}: our lost leads, all offsets", sum(one.lost for one in ours), most=0)
        yield Figure(
            f"{counting}: our time over the optimum",
            mean(one.over for one in ours),
            most=MOST_OVER_STRICT if counting == STRICT else MOST_OVER,
        )
    shortest, longest = LONG_ROUND_TRIP
    yield Figure(
        f"our 429s with round trips of {shortest * 1e3:.0f} to {longest * 1e3:.0f} ms, all countings",
        sum(one.refused for cells in far for one in cells),
        most=0,
        note=f"time over the optimum {mean(one.over for cells in far for one in cells):.3f}",
    )


def _in_virtual_time(named: tuple[str, str]) -> list[Cell]:
    phases = range(0, PHASES, PHASES // FEW_PHASES) if named[0] in SLOW else range(PHASES)
    return [batch(*named, phase, ROUND_TRIP)[0] for phase in phases]


def _far_away(counting: str) -> list[Cell]:
    return [batch(OURS, counting, phase, LONG_ROUND_TRIP)[0] for phase in range(PHASES)]


def _arrivals(named: tuple[str, str]) -> Arrivals:
    _, arrivals = batch(*named, 0, ROUND_TRIP, leads=DRAWN_LEADS)
    first = arrivals[0][0]
    return [(round(moment - first, 3), is_admitted) for moment, is_admitted in arrivals]


def batch(
    client: str, counting: str, number: int, round_trip: tuple[float, float], *, leads: int = LEADS
) -> tuple[Cell, Arrivals]:
    """One batch, at this number's offset of the server's windows."""
    phase = number / PHASES * PER
    account = VirtualAccount(counting, CALLS, PER, phase=phase, round_trip=round_trip, seed=number)

    async def main() -> Sent:
        return await send_all(opening(client, counting), "https://sandbox.invalid", account, leads, WITHIN)

    return cell(run(main), account.arrivals, leads), account.arrivals

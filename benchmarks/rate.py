"""Does a client keep to the limit in every way of counting, beside the clients one would use in its place?

Each client sends all leads at once to an account of 25 calls in 5 seconds. In virtual time, 1,000 leads at 20
offsets of the server's windows, with round trips of 40 to 120 ms; then 100 leads in real time over sockets,
with round trips of 10 to 300 ms.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import mean
from typing import Any

import httpx

from benchmarks.figures import Figure, Plot, Result, Table
from benchmarks.peers import CALLS, CLIENTS, OURS, OURS_STRICT, PER, Open
from benchmarks.processes import Process
from benchmarks.virtual_account import VirtualAccount, run
from leadsquared_async.sandbox import COUNTERS
from leadsquared_async.sandbox.counters import most_in_any_window

LEADS, PHASES = 1000, 20
SLOW, FEW_PHASES = "throttled-py, sliding window", 2
"""It wakes every waiting call for each one that it lets pass, and takes 30 times the CPU of the others."""
ROUND_TRIP, LONG_ROUND_TRIP = (0.040, 0.120), (0.010, 0.300)
REAL_LEADS = 100
MOST_OVER, MOST_OVER_STRICT = 1.06, 1.12
"""The second for a server that does not round its estimate down, for which 24 calls are declared."""
STRICT = "sliding-counter-strict"
DRAWN = (OURS, "pyrate-limiter", "aiolimiter (25, 5)", "httpx-limiter, aiolimiter", "tenacity alone")


@dataclass(frozen=True)
class Cell:
    """One batch: refused calls, lost leads, time over the optimum, the most calls in any 5 seconds."""

    refused: int
    lost: int
    over: float
    densest: int


def measure() -> Iterator[Result]:
    """The two tables, the budgets of our cells, and the arrivals of one way of counting."""
    names = [(client, counting) for client in CLIENTS for counting in COUNTERS]
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        runs = dict(zip(names, processes.map(_in_virtual_time, names), strict=True))
        far = list(processes.map(_far_away, COUNTERS))
    yield Table(
        f"{LEADS:,} leads in virtual time, mean of {PHASES} offsets: 429s, lost leads, time over the optimum",
        ("client", *COUNTERS),
        [[client, *(_words(runs[client, counting]) for counting in COUNTERS)] for client in CLIENTS],
    )
    for counting in COUNTERS:
        ours = runs[OURS, counting]
        yield Figure(f"{counting}: our 429s, all offsets", sum(cell.refused for cell in ours), most=0)
        yield Figure(f"{counting}: our lost leads, all offsets", sum(cell.lost for cell in ours), most=0)
        over = mean(cell.over for cell in ours)
        yield Figure(
            f"{counting}: our time over the optimum",
            over,
            most=MOST_OVER_STRICT if counting == STRICT else MOST_OVER,
        )
    shortest, longest = LONG_ROUND_TRIP
    yield Figure(
        f"our 429s with round trips of {shortest * 1e3:.0f} to {longest * 1e3:.0f} ms, all countings",
        sum(cell.refused for cells in far for cell in cells),
        most=0,
        note=f"time over the optimum {mean(cell.over for cells in far for cell in cells):.3f}",
    )
    yield from _in_real_time()


def _open(client: str, counting: str) -> Open:
    return OURS_STRICT if client == OURS and counting == STRICT else CLIENTS[client]


def _optimum(leads: int) -> float:
    """Seconds that the leads take at least: a full window at once, then at the rate."""
    return (leads - CALLS) / CALLS * PER


def _words(cells: Sequence[Cell]) -> str:
    refused, lost = (mean(getattr(cell, name) for cell in cells) for name in ("refused", "lost"))
    return f"{refused:.3g}, {lost:.3g}, {mean(cell.over for cell in cells):.2f}"


def _in_virtual_time(named: tuple[str, str]) -> list[Cell]:
    phases = range(0, PHASES, PHASES // FEW_PHASES) if named[0] == SLOW else range(PHASES)
    return [_cell(*named, phase, ROUND_TRIP) for phase in phases]


def _far_away(counting: str) -> list[Cell]:
    return [_cell(OURS, counting, phase, LONG_ROUND_TRIP) for phase in range(PHASES)]


def _cell(client: str, counting: str, number: int, round_trip: tuple[float, float]) -> Cell:
    phase = number / PHASES * PER
    account = VirtualAccount(counting, CALLS, PER, phase=phase, round_trip=round_trip, seed=number)

    async def main() -> tuple[int, float]:
        return await _send_all(_open(client, counting), "https://sandbox.invalid", account, LEADS)

    lost, seconds = run(main)
    times = [moment for moment, _ in account.arrivals]
    refused = sum(not is_admitted for _, is_admitted in account.arrivals)
    return Cell(refused, lost, seconds / _optimum(LEADS), most_in_any_window(times, PER))


async def _send_all(
    opened: Open, url: str, transport: httpx.AsyncBaseTransport, leads: int
) -> tuple[int, float]:
    """The number of lost leads, and the seconds until the last is answered."""
    start = asyncio.get_running_loop().time()
    async with opened(url, transport) as sender:
        sends = (sender.send(f"r{number}@example.com") for number in range(leads))
        sent = await asyncio.gather(*sends, return_exceptions=True)
    return sum(isinstance(outcome, Exception) for outcome in sent), asyncio.get_running_loop().time() - start


def _in_real_time() -> Iterator[Result]:
    """The same over sockets; whoever sends without a limiter comes after the others, whom it would slow."""
    alone = "tenacity alone"
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for clients in ([client for client in CLIENTS if client != alone], [alone]):
        found |= _over_sockets([(client, counting) for client in clients for counting in COUNTERS])
    yield Table(
        f"{REAL_LEADS} leads in real time, over sockets: 429s, lost leads, time over the optimum, "
        f"the most calls in any {PER:g} s",
        ("client", *COUNTERS),
        [[client, *(_real_words(found[client, counting]) for counting in COUNTERS)] for client in CLIENTS],
    )
    for counting in COUNTERS:
        ours = found[OURS, counting]
        yield Figure(f"{counting}: our 429s over sockets", ours["over_limit"], most=0)
        yield Figure(f"{counting}: our densest {PER:g} s over sockets", ours["most_arrivals"], most=CALLS)
    yield Plot(
        "arrivals",
        f"When {REAL_LEADS} leads arrive, at {CALLS} calls in {PER:g} s counted by a sliding log",
        "seconds",
        "",
        {
            client: [
                (moment - min(found[client, "sliding-log"]["times"]), float(not is_refused))
                for moment, is_refused in zip(
                    found[client, "sliding-log"]["times"],
                    found[client, "sliding-log"]["refused"],
                    strict=True,
                )
            ]
            for client in DRAWN
        },
    )


def _real_words(cell: dict[str, Any]) -> str:
    return f"{cell['over_limit']}, {cell['lost']}, {cell['over']:.2f}, {cell['most_arrivals']}"


def _over_sockets(names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Any]]:
    shortest, longest = LONG_ROUND_TRIP
    faults = {"latency": shortest, "jitter": longest - shortest}
    options = {f"{client}/{counting}": {"counting": counting, "faults": faults} for client, counting in names}
    with Process("benchmarks.sandboxes", json.dumps(options)) as server:
        urls = server.hello
        sent = asyncio.run(_send_over_sockets(names, urls))
        books = server.end()
    return {
        (client, counting): {
            **books[f"{client}/{counting}"],
            "lost": lost,
            "over": seconds / _optimum(REAL_LEADS),
        }
        for (client, counting), (lost, seconds) in zip(names, sent, strict=True)
    }


async def _send_over_sockets(
    names: Sequence[tuple[str, str]], urls: dict[str, str]
) -> list[tuple[int, float]]:
    async def send(client: str, counting: str) -> tuple[int, float]:
        transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=None))
        url = urls[f"{client}/{counting}"]
        return await _send_all(_open(client, counting), url, transport, REAL_LEADS)

    return await asyncio.gather(*(send(*named) for named in names))

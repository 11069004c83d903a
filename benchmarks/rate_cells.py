"""One batch of one client against one server, within a bound: the cells of `rate` and `rate_sockets`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import NamedTuple

import httpx

from benchmarks.figures import Table
from benchmarks.peers import CALLS, CLIENTS, OURS, OURS_STRICT, PER, Open
from leadsquared_async.sandbox import most_in_any_window

STRICT = "sliding-counter-strict"
"""A server that does not round its estimate down, for which our client declares 24 calls."""
NO_CELL = "not installed"

Arrivals = list[tuple[float, bool]]
"""Of each call, when it arrived (loop seconds) and whether it was admitted."""


@dataclass(frozen=True)
class Cell:
    """One batch.

    Attributes:
        refused: calls that were answered with 429.
        lost: leads that the client gave up.
        unfinished: leads that were neither sent nor given up when the time was over.
        over: its time over the optimum.
        densest: the most calls in any 5 seconds.
    """

    refused: int
    lost: int
    unfinished: int
    over: float
    densest: int


class Sent(NamedTuple):
    """What became of a batch: leads that are lost and unfinished, and the seconds that it took."""

    lost: int
    unfinished: int
    seconds: float


def opening(client: str, server: str) -> Open:
    """How this client is opened for this server."""
    return OURS_STRICT if client == OURS and server == STRICT else CLIENTS[client]


async def send_all(
    opened: Open, url: str, transport: httpx.AsyncBaseTransport, leads: int, within: float
) -> Sent:
    """Send a batch, and stop it after so many seconds."""
    now = asyncio.get_running_loop().time
    async with opened(url, transport) as sender:
        start = now()
        sends = [asyncio.ensure_future(sender.send(f"r{number}@example.com")) for number in range(leads)]
        done, unfinished = await asyncio.wait(sends, timeout=within)
        seconds = now() - start
        for send in unfinished:
            send.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
    return Sent(sum(send.exception() is not None for send in done), len(unfinished), seconds)


def cell(sent: Sent, arrivals: Arrivals, leads: int) -> Cell:
    """The cell of a batch that was sent."""
    refused = sum(not is_admitted for _, is_admitted in arrivals)
    densest = most_in_any_window(sorted(moment for moment, _ in arrivals), PER)
    return Cell(refused, sent.lost, sent.unfinished, sent.seconds / optimum(leads), densest)


def optimum(leads: int) -> float:
    """Seconds that the leads take at least: a full window at once, then at the rate."""
    return (leads - CALLS) / CALLS * PER


def tables(
    what: str, servers: Sequence[str], cells: Mapping[tuple[str, str], Sequence[Cell]]
) -> tuple[Table, Table]:
    """Refusals and lost leads, then time and density, by client and server."""
    return (
        Table(f"429s; leads lost, if any ({what})", *_rows(servers, cells, _refusals)),
        Table(
            f"Time over the optimum; the most calls in any {PER:g} s ({what})", *_rows(servers, cells, _pace)
        ),
    )


def _rows(
    servers: Sequence[str],
    cells: Mapping[tuple[str, str], Sequence[Cell]],
    words: Callable[[Sequence[Cell]], str],
) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            client,
            *(words(cells[client, server]) if (client, server) in cells else NO_CELL for server in servers),
        ]
        for client in CLIENTS
    ]
    return ["client", *servers], rows


def _refusals(cells: Sequence[Cell]) -> str:
    refused, lost, unfinished = (
        mean(getattr(one, name) for one in cells) for name in ("refused", "lost", "unfinished")
    )
    return "; ".join(
        (
            f"{refused:.4g}",
            *([f"{lost:.3g} lost"] if lost else []),
            *([f"**{unfinished:.3g} not done**"] if unfinished else []),
        )
    )


def _pace(cells: Sequence[Cell]) -> str:
    return f"{mean(one.over for one in cells):.2f}; {max(one.densest for one in cells)}"

"""CPU of `leads.capture`, against httpx alone posting the same bytes to the same server.

"Own": what a capture takes beyond the same post by httpx's client through connections like the capture's.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator

import httpx

from benchmarks.accounts import KEYS, LEAD, client
from benchmarks.figures import Figure
from benchmarks.processes import Process
from leadsquared_async import RateLimit
from leadsquared_async.http.connections import Connections

BUDGETS = {1: 0.8, 25: 0.25, 200: 0.05}
"""By calls in flight: the most of a post that a capture may take."""
OWN = 150.0
"""Microseconds."""
CALLS = 200
NO_LIMIT = RateLimit(10_000, per=0.1)
"""So wide that nobody ever waits for a token."""
CONNECTIONS = NO_LIMIT.calls + 8
LIMITS = httpx.Limits(
    max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=60.0
)
CONTENT = json.dumps(
    [{"Attribute": name, "Value": value} for name, value in LEAD.items()], separators=(",", ":")
).encode()
QUERY = {"accessKey": KEYS["access_key"], "secretKey": KEYS["secret_key"]}
FIXED_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "keep-alive",
    "User-Agent": "httpx",
}
HEADERS = {"Content-Type": "application/json", "x-api-key": KEYS["api_key"]}

Send = Callable[[], Awaitable[object]]


def measure() -> Iterator[Figure]:
    """The ratio at 1, 25 and 200 calls in flight; the own cost at 25."""
    with Process("benchmarks.acceptor") as server:
        yield from asyncio.run(_measure(server.hello["url"]))


async def _measure(url: str) -> list[Figure]:
    figures: list[Figure] = []
    for concurrency, budget in BUDGETS.items():
        # A post at 200 takes a hundred times as long.
        ours, theirs = await _compare(url, None, concurrency, rounds=3 if concurrency > 100 else 41)
        figures.append(
            Figure(
                f"capture / httpx post, {concurrency} in flight",
                statistics.median(mine / its for mine, its in zip(ours, theirs, strict=True)),
                most=budget,
                note=f"{_microseconds(ours):.0f} / {_microseconds(theirs):.0f} us of CPU a call",
            )
        )
    ours, theirs = await _compare(url, Connections([url]), 25, rounds=41)
    own = statistics.median(mine - its for mine, its in zip(ours, theirs, strict=True)) * 1e6
    return [*figures, Figure("own cost, 25 in flight", own, " us", most=OWN)]


def _microseconds(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1e6


async def _compare(
    url: str, transport: httpx.AsyncBaseTransport | None, concurrency: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of CPU for a capture and for a post by httpx's client, in interleaved rounds."""
    bare = httpx.AsyncClient(
        base_url=url,
        headers=FIXED_HEADERS,
        limits=LIMITS,
        timeout=30.0,
        trust_env=False,
        transport=transport,
    )
    async with bare, client(url, rate_limit=NO_LIMIT) as lsq:

        async def post() -> None:
            response = await bare.post("/lead/capture", params=QUERY, content=CONTENT, headers=HEADERS)
            assert response.status_code == 200

        async def capture() -> None:
            await lsq.leads.capture(LEAD)

        for warm_up in (post, capture):
            await _cpu(warm_up, concurrency)
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(rounds):
            ours.append(await _cpu(capture, concurrency))
            theirs.append(await _cpu(post, concurrency))
        return ours, theirs


async def _cpu(send: Send, concurrency: int) -> float:
    """Seconds of this process's CPU for one call."""

    async def worker() -> None:
        for _ in range(calls):
            await send()

    calls = max(1, CALLS // concurrency)
    before = time.process_time()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return (time.process_time() - before) / (calls * concurrency)

"""What does a capture cost, beside a bare `httpx.AsyncClient.post` of the same bytes to the same server?

CPU of the client's process with 1 to 200 calls in flight, on asyncio's own loop and on uvloop: medians of
interleaved pairs. The server runs in another process. The post uses httpx's own pool of the same size. "Own
cost" is what a capture takes beyond a post by httpx's client that uses connections like the capture's, with
25 calls in flight.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping

import httpx
import uvloop

from benchmarks.accounts import KEYS, LEAD, client
from benchmarks.figures import Figure, Plot, Result, Table
from benchmarks.processes import Process, say
from leadsquared_async import RateLimit
from leadsquared_async.http.connections import Connections

BUDGETS = {1: 0.8, 25: 0.25, 100: 0.1, 200: 0.05}
"""The most that a capture may cost, as a share of a bare post, by calls in flight."""
FLAT = 1.5
"""The most that a capture may cost at 200 in flight, over that at 25."""
OWN = 150.0
"""The most microseconds of it."""
PAIRS = {1: 21, 25: 21, 100: 3, 200: 2}
CALLS = 200
LOOPS = ("asyncio", "uvloop")
NO_LIMIT = RateLimit(10_000, per=0.1)
"""So wide that nobody ever waits for a token."""
CONNECTIONS = NO_LIMIT.calls + 8
LIMITS = httpx.Limits(
    max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=600.0
)
"""The server answers so fast that few of 200 connections are in use at a time. With a real one all are, so
none may expire during the run."""
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


def measure() -> Iterator[Result]:
    """For each loop and number of calls in flight the ratio, with the microseconds behind it."""
    found, own = {}, {}
    for loop in LOOPS:
        found[loop], own[loop] = of(loop, PAIRS)
    yield Table(
        "Microseconds of CPU a call: capture / bare post",
        ("in flight", *LOOPS),
        [[str(at), *("{:.0f} / {:.0f}".format(*found[loop][at][1:]) for loop in LOOPS)] for at in BUDGETS],
    )
    yield Plot(
        "capture_cost",
        "CPU of a call, by calls in flight",
        "calls in flight",
        "microseconds of CPU",
        {
            "capture": [(at, found["asyncio"][at][1]) for at in BUDGETS],
            "bare httpx post": [(at, found["asyncio"][at][2]) for at in BUDGETS],
        },
        is_log=True,
    )
    for loop in LOOPS:
        for at, budget in BUDGETS.items():
            yield Figure(f"{loop}: capture / post, {at} in flight", found[loop][at][0], most=budget)
        flat = found[loop][200][1] / found[loop][25][1]
        yield Figure(f"{loop}: capture at 200 / at 25 in flight", flat, most=FLAT)
        yield Figure(f"{loop}: own cost, 25 in flight", own[loop], " us", most=OWN)


def of(loop: str, pairs: Mapping[int, int]) -> tuple[dict[int, tuple[float, float, float]], float]:
    """By calls in flight the ratio and the microseconds of each; and the own cost.

    Args:
        loop: one of `LOOPS`.
        pairs: how many are measured, by calls in flight.
    """
    with (
        Process("benchmarks.acceptor") as server,
        Process("benchmarks.capture_cost", loop, server.hello["url"], json.dumps(pairs)) as process,
    ):
        measured = {int(at): tuple(one) for at, one in process.hello["pairs"].items()}
        return measured, process.hello["own"]


async def compare(url: str, pairs: Mapping[int, int]) -> None:
    """In the child: capture and post in turns, at each number in flight; then the own cost."""
    measured = {at: await _compare(url, at, number, None) for at, number in pairs.items()}
    _, ours, theirs = await _compare(url, 25, pairs[25], Connections([url]))
    say({"pairs": measured, "own": ours - theirs})


async def _compare(
    url: str, concurrency: int, pairs: int, transport: httpx.AsyncBaseTransport | None
) -> tuple[float, float, float]:
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

        return await _pairs(capture, post, concurrency, pairs)


async def _pairs(capture: Send, post: Send, concurrency: int, number: int) -> tuple[float, float, float]:
    for warm_up in (post, capture):
        await _cpu(warm_up, concurrency)
    pairs = [(await _cpu(capture, concurrency), await _cpu(post, concurrency)) for _ in range(number)]
    ours, theirs = (statistics.median(side) * 1e6 for side in zip(*pairs, strict=True))
    return statistics.median(capture / post for capture, post in pairs), ours, theirs


async def _cpu(send: Send, concurrency: int) -> float:
    """Seconds of this process's CPU for one call."""

    async def worker() -> None:
        for _ in range(CALLS // concurrency):
            await send()

    before = time.process_time()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return (time.process_time() - before) / CALLS


if __name__ == "__main__":
    (uvloop.run if sys.argv[1] == "uvloop" else asyncio.run)(
        compare(sys.argv[2], {int(at): number for at, number in json.loads(sys.argv[3]).items()})
    )

"""CPU of `leads.capture`, against httpx alone posting the same bytes to the same server."""

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

BUDGET = 1.1
CALLS = 200
PAIRS = 41
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
    """The ratio at 1 and at 25 calls in flight."""
    with Process("benchmarks.acceptor") as server:
        yield from asyncio.run(_measure(server.hello["url"]))


async def _measure(url: str) -> list[Figure]:
    bare = httpx.AsyncClient(
        base_url=url, headers=FIXED_HEADERS, limits=LIMITS, timeout=30.0, trust_env=False
    )
    async with bare, client(url, rate_limit=NO_LIMIT) as lsq:

        async def post() -> None:
            response = await bare.post("/lead/capture", params=QUERY, content=CONTENT, headers=HEADERS)
            assert response.status_code == 200

        async def capture() -> None:
            await lsq.leads.capture(LEAD)

        return [await _compare(capture, post, concurrency) for concurrency in (1, 25)]


async def _compare(capture: Send, post: Send, concurrency: int) -> Figure:
    for warm_up in (post, capture):
        await _cpu(warm_up, concurrency)
    pairs = [(await _cpu(capture, concurrency), await _cpu(post, concurrency)) for _ in range(PAIRS)]
    ours, theirs = (statistics.median(side) * 1e6 for side in zip(*pairs, strict=True))
    return Figure(
        f"capture / httpx post, {concurrency} in flight",
        statistics.median(capture / post for capture, post in pairs),
        most=BUDGET,
        note=f"{ours:.0f} / {theirs:.0f} us of CPU a call",
    )


async def _cpu(send: Send, concurrency: int) -> float:
    """Seconds of this process's CPU for one call."""

    async def worker() -> None:
        for _ in range(CALLS // concurrency):
            await send()

    before = time.process_time()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return (time.process_time() - before) / CALLS

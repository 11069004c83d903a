"""Real time, real sockets, the true limit: is any call refused, however the server counts?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from benchmarks.accounts import LEAD, client
from benchmarks.figures import Figure
from benchmarks.processes import Process
from leadsquared_async import RateLimit

LEADS = 60
LIMIT = RateLimit(25, per=5.0)
STRICT = RateLimit(24, per=5.0, margin=0.04)
"""For a sliding counter that does not round its estimate down."""


def measure() -> Iterator[Figure]:
    """For each way of counting the refusals, and the most calls that arrived in any 5 seconds."""
    with Process("benchmarks.sandboxes") as server:
        urls = server.hello
        seconds = asyncio.run(_capture_everywhere(urls))
        books = server.end()
    for counting, summary in books.items():
        assert summary["accepted"] == LEADS
        yield Figure(f"{counting}: 429s for {LEADS} leads", summary["over_limit"], most=0)
        yield Figure(
            f"{counting}: most arrivals in any 5 s",
            summary["most_arrivals"],
            most=LIMIT.calls,
            note=f"{seconds[counting]:.1f} s in all",
        )


async def _capture_everywhere(urls: dict[str, str]) -> dict[str, float]:
    seconds = await asyncio.gather(*(_capture_all(counting, url) for counting, url in urls.items()))
    return dict(zip(urls, seconds, strict=True))


async def _capture_all(counting: str, url: str) -> float:
    limit = STRICT if counting == "sliding-counter-strict" else LIMIT
    start = time.monotonic()
    async with client(url, rate_limit=limit) as lsq:
        await asyncio.gather(*(lsq.leads.capture(LEAD, reference=str(n)) for n in range(LEADS)))
    return time.monotonic() - start

"""How many connections do 200 captures open?

They go through the default limit, in real time. The server counts the connections that it accepts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from benchmarks.accounts import LEAD, client
from benchmarks.figures import Figure
from benchmarks.processes import Process

CAPTURES = 200
BUDGET = 26


def measure() -> Iterator[Figure]:
    """How many connections the server accepted."""
    with Process("benchmarks.acceptor") as server:
        seconds = asyncio.run(_capture_all(server.hello["url"]))
        accepted = server.end()["accepted"]
    yield Figure(
        f"connections for {CAPTURES} captures at 25 in 5 s", accepted, most=BUDGET, note=f"in {seconds:.1f} s"
    )


async def _capture_all(url: str) -> float:
    start = time.monotonic()
    async with client(url) as lsq:
        await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(CAPTURES)))
    return time.monotonic() - start

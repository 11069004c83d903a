"""How many leads of a generator does `capture_many` hold?

60,000 leads, in a process of their own, with a limit for which no call waits. Measured are the growth of the
process's peak memory after the first 2,000 leads, and how far the source is ahead of its consumer.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
import sys
import time
from collections.abc import Iterator

import httpx

from benchmarks.accounts import LEAD, client
from benchmarks.figures import Figure
from benchmarks.processes import Process, say
from leadsquared_async import RateLimit

LEADS = 60_000
WARMED_UP = 2_000
CONCURRENCY = 32
BUDGET = 10.0


def measure() -> Iterator[Figure]:
    """How far memory grows after the first 2,000, and how far the source is ahead of its consumer."""
    with Process("benchmarks.batch_memory") as process:
        measured = process.hello
    yield Figure(
        f"memory that {LEADS:,} leads take beyond {WARMED_UP:,}",
        measured["growth"],
        " MB",
        most=BUDGET,
        note=f"{measured['seconds'] / LEADS * 1e6:.0f} us a lead",
    )
    yield Figure("leads pulled and not taken", measured["ahead"], most=CONCURRENCY)


async def main() -> None:
    """In the child: send them all to a transport that accepts everything at once."""
    pulled = taken = ahead = 0
    before = 0.0

    def leads() -> Iterator[dict[str, str]]:
        nonlocal pulled, ahead
        for number in itertools.islice(itertools.count(), LEADS):
            pulled += 1
            ahead = max(ahead, pulled - taken)
            yield {**LEAD, "EmailAddress": f"b{number}@example.com"}

    def accept(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"RequestID": "5f0d6f0c-9f4e-4d5f-8a31-3a6f8a2f2f10"})

    start = time.monotonic()
    wide, transport = RateLimit(10_000, per=0.001), httpx.MockTransport(accept)
    async with (
        client("https://sandbox.invalid", rate_limit=wide, transport=transport) as lsq,
        lsq.leads.capture_many(leads(), concurrency=CONCURRENCY) as results,
    ):
        async for result in results:
            assert result.receipt is not None
            taken += 1
            if taken == WARMED_UP:
                before = _peak()
    say({"growth": _peak() - before, "ahead": ahead, "seconds": time.monotonic() - start})


def _peak() -> float:
    """The most memory that the process has had, in MB."""
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return kibibytes / 1024


if __name__ == "__main__":
    asyncio.run(main())

"""What does an outbox spend on a lead, from the put until it is confirmed?

The sandbox is another process. For comparison, the same leads are followed to their outcome without an
outbox. Each lead takes two calls, so their CPU is the least that an outbox can take. "Own": what the outbox
takes beyond them. LeadSquared has no status call for several requests, so a lead takes two calls. Reading
both answers takes 33 us of their CPU. Sending head and body in one packet instead of two saves nothing.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.accounts import LEAD, client
from benchmarks.figures import Figure
from benchmarks.processes import Process
from leadsquared_async import ItemState, LeadSquared, Outbox, RateLimit

ROUNDS, ROWS, TOGETHER = 5, 1_000, 100
"""Rounds, leads in each, and how many are put at once."""
NO_LIMIT = RateLimit(10_000, per=0.5)
MOST_OVER = 1.5
"""CPU from the put to confirmed, over that of the two calls without an outbox."""


class Cost(NamedTuple):
    """Microseconds of this process for each lead.

    Attributes:
        put: while leads were put.
        total: until they were confirmed.
        calls: the same leads without an outbox.
    """

    put: float
    total: float
    calls: float


def measure() -> Iterator[Figure]:
    """CPU for each lead, with and without an outbox."""
    sandbox = {"one": {"limit": None, "processing_rate": 1e6}}
    with (
        Process("benchmarks.sandboxes", json.dumps(sandbox)) as process,
        tempfile.TemporaryDirectory(dir=Path.cwd()) as folder,
    ):
        costs = asyncio.run(_costs(process.hello["one"], Path(folder) / "leads.db"))
    put, total, calls = (statistics.median(numbers) for numbers in zip(*costs, strict=True))
    yield Figure("CPU of a put", put, " us", note=f"{TOGETHER} at a time, while others are sent")
    yield Figure("CPU from the put to confirmed", total, " us", note="two calls a lead")
    yield Figure("CPU of the two calls without an outbox", calls, " us")
    yield Figure("own", statistics.median(cost.total - cost.calls for cost in costs), " us")
    over = statistics.median(cost.total / cost.calls for cost in costs)
    yield Figure("from the put to confirmed, over the two calls", over, "x", most=MOST_OVER)


async def _costs(url: str, path: Path) -> list[Cost]:
    async with client(url, rate_limit=NO_LIMIT) as lsq, Outbox(path, lsq) as outbox:
        costs = [await _cost(lsq, outbox, number) for number in range(ROUNDS)]
        counts = (await outbox.snapshot()).counts
    assert counts[ItemState.CONFIRMED] == ROUNDS * ROWS
    return costs


async def _cost(lsq: LeadSquared, outbox: Outbox, number: int) -> Cost:
    leads = [{**LEAD, "EmailAddress": f"b{number}-{row}@example.com"} for row in range(ROWS)]
    began = time.process_time()
    for first in range(0, ROWS, TOGETHER):
        await asyncio.gather(
            *(outbox.put(lead, key=lead["EmailAddress"]) for lead in leads[first : first + TOGETHER])
        )
    put = time.process_time()
    await outbox.drained()
    drained = time.process_time()
    async with lsq.leads.capture_many(leads, follow=True, concurrency=TOGETHER) as results:
        async for result in results:
            assert result.status is not None
            assert result.status.succeeded
    followed = time.process_time()
    microseconds = 1e6 / ROWS
    return Cost(
        (put - began) * microseconds, (drained - began) * microseconds, (followed - drained) * microseconds
    )

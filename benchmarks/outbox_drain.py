"""What an outbox spends on a lead from the put until it is confirmed; the sandbox is another process."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.accounts import LEAD, client
from benchmarks.figures import Figure
from benchmarks.processes import Process
from leadsquared_async import ItemState, Outbox, RateLimit

ROWS, TOGETHER = 3_000, 100
"""Leads, and how many are put at once."""
NO_LIMIT = RateLimit(10_000, per=0.5)
MOST = 2_000.0
"""Microseconds; two thirds of it are the two calls."""


def measure() -> Iterator[Figure]:
    """CPU for each lead."""
    sandbox = {"one": {"limit": None, "processing_rate": 1e6}}
    with (
        Process("benchmarks.sandboxes", json.dumps(sandbox)) as process,
        tempfile.TemporaryDirectory(dir=Path.cwd()) as folder,
    ):
        put, sent = asyncio.run(_drain(process.hello["one"], Path(folder) / "leads.db"))
    yield Figure("CPU of a put", put, " us", note=f"{TOGETHER} at a time, while others are sent")
    yield Figure("CPU from the put to confirmed", put + sent, " us", most=MOST, note="two calls a lead")


async def _drain(url: str, path: Path) -> tuple[float, float]:
    """Microseconds of this process for each lead: while they were put, and after that."""
    async with client(url, rate_limit=NO_LIMIT) as lsq, Outbox(path, lsq) as outbox:
        began = time.process_time()
        for first in range(0, ROWS, TOGETHER):
            await asyncio.gather(
                *(
                    outbox.put({**LEAD, "EmailAddress": f"b{number}@example.com"}, key=f"form-{number}")
                    for number in range(first, first + TOGETHER)
                )
            )
        put = time.process_time()
        await outbox.drained()
        drained = time.process_time()
        counts = (await outbox.snapshot()).counts
    assert counts[ItemState.CONFIRMED] == ROWS
    return (put - began) / ROWS * 1e6, (drained - put) / ROWS * 1e6

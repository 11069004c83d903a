"""Real time, a real socket and disk, the true limit: how long a form waits while all else is busy."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

from benchmarks.accounts import LEAD, client
from benchmarks.figures import Figure
from leadsquared_async import LeadSquared, Outbox
from leadsquared_async.sandbox import Sandbox

ROWS, BATCH, FORMS = 50_000, 400, 20
WARM_UP = 12.0
BUDGET = 250.0
LOOK_EVERY = 0.001


def measure() -> Iterator[Figure]:
    """Milliseconds from the call to the arrival, of captures and of puts."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        waits, summary, polls = asyncio.run(_send_forms(Path(folder) / "leads.db"))
    beside = f"beside capture_many of {BATCH} and {ROWS:,} rows pending"
    for what, times in waits.items():
        slowest = max(times) * 1e3
        yield Figure(
            f"slowest of {len(times)} {what}s, to its arrival", slowest, " ms", most=BUDGET, note=beside
        )
    yield Figure("status calls meanwhile", polls, least=1)
    yield Figure("most arrivals in any 5 s", summary["most_arrivals"], most=25)
    yield Figure("429s", summary["over_limit"], most=0)


async def _send_forms(path: Path) -> tuple[dict[str, list[float]], dict[str, int], int]:
    chance = Random(6)
    waits: dict[str, list[float]] = {"capture": [], "put": []}
    async with Sandbox() as sandbox, client(sandbox.url) as lsq, Outbox(path, lsq) as outbox:
        await outbox.put_many({**LEAD, "EmailAddress": f"r{n}@example.com"} for n in range(ROWS))
        batch = asyncio.create_task(_capture_all(lsq))
        await asyncio.sleep(WARM_UP)
        for number in range(FORMS):
            await asyncio.sleep(1.0 + chance.random())
            lead = {**LEAD, "EmailAddress": f"form{number}@example.com"}
            start = sandbox.books.now
            is_put = number % 2 == 1
            sending = asyncio.create_task(_put(outbox, lead) if is_put else _capture(lsq, lead))
            while not any(lead["EmailAddress"] in body for body in sandbox.books.attempts):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_EVERY)
            waits["put" if is_put else "capture"].append(sandbox.books.now - start)
            await sending
        polls = sum(arrival.operation == "status" for arrival in sandbox.books.arrivals)
        batch.cancel()
        with suppress(asyncio.CancelledError):
            await batch
        return waits, sandbox.books.summary(), polls


async def _capture_all(lsq: LeadSquared) -> None:
    leads = ({**LEAD, "EmailAddress": f"b{number}@example.com"} for number in range(BATCH))
    async with lsq.leads.capture_many(leads) as results:
        async for _ in results:
            pass


async def _capture(lsq: LeadSquared, lead: dict[str, str]) -> None:
    await lsq.leads.capture(lead)


async def _put(outbox: Outbox, lead: dict[str, str]) -> None:
    await outbox.put(lead)

"""Is any lead lost when processes are killed while they put and deliver?

50 processes are killed at random moments. Others are ended, stopped for a while, or have a full disk. The
limit is 25 calls in 0.4 s. A lead counts if its `put` had returned. SQLite checks the file after each death.
Linux only.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from tests.outbox.crashes import CALLS, Crashes, Toll

KILLS, ENDS, STOPS, FULL_DISKS = 50, 5, 3, 3
PER = 0.4
"""Seconds of the limit's window. At the true 5 a process would wait 10 s after each kill."""
PUTS = 25.0
"""Leads that each process puts in a second."""
SEED = 4


def measure() -> Iterator[Figure]:
    """What was promised against what arrived, and what arrived twice."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        toll, deaths = asyncio.run(_live_and_die(Path(folder)))
    seconds = time.monotonic() - start
    note = f"{KILLS} kills, {ENDS} SIGTERM, {STOPS} stops, {FULL_DISKS} full disks; {seconds:.0f} s"
    yield Figure("puts that returned", len(toll.promised), least=500, note=note)
    yield Figure("of those not confirmed in the end", len(toll.missing), most=0)
    yield Figure(
        "taken twice, for each death",
        toll.repeated / deaths,
        most=CALLS,
        note=f"{toll.repeated} in all; on their way at a death: {max(toll.sending)} at most",
    )
    yield Figure("most arrivals in a window", toll.most, most=CALLS, note="restarts included")
    yield Figure("429s", toll.refused, most=0)
    yield Figure("files that SQLite finds fault with", len(toll.unsound), most=0)
    yield Figure("puts refused while the disk was full", toll.failed.total(), least=1)


async def _live_and_die(folder: Path) -> tuple[Toll, int]:
    crashes = Crashes(folder, per=PER, seed=SEED, puts=PUTS)
    rest = [*[crashes.terminated] * ENDS, *[crashes.stopped] * STOPS, *[crashes.starved] * FULL_DISKS]
    every = KILLS // len(rest)
    async with crashes.sandbox:
        for number in range(KILLS):
            await crashes.killed()
            if number % every == 0 and rest:
                await rest.pop()()
        return await crashes.drain(), KILLS + STOPS + FULL_DISKS

"""Real processes, a real socket and a real disk: what `put` returned for is delivered."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.outbox.crashes import CALLS, Crashes, Toll

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="signals and limits as on Linux"),
]

KILLS = 9


def check(toll: Toll, deaths: int) -> None:
    assert toll.promised
    assert toll.missing == set()
    assert toll.unsound == []
    assert toll.most <= CALLS
    assert toll.refused == 0
    assert max(toll.sending) <= CALLS
    assert toll.repeated <= sum(toll.sending) <= CALLS * deaths


async def test_processes_that_are_killed_lose_no_lead(tmp_path: Path) -> None:
    """Puts that returned are delivered, few are sent twice, the limit is kept, the file is intact."""
    crashes = Crashes(tmp_path, per=0.4, seed=1, puts=12.0)
    async with crashes.sandbox:
        for _ in range(KILLS):
            await crashes.killed()
        check(await crashes.drain(), KILLS)


async def test_a_full_disk_a_stop_and_an_orderly_end_lose_no_lead(tmp_path: Path) -> None:
    """A full disk only fails puts, a stopped process keeps the limit, a clean end leaves nothing sending."""
    crashes = Crashes(tmp_path, per=0.4, seed=2, puts=12.0)
    async with crashes.sandbox:
        await crashes.starved()
        await crashes.stopped()
        await crashes.terminated()
        toll = await crashes.drain()
    assert toll.failed
    check(toll, 3)

"""A capture and a put, cancelled at every one of their awaits, one by one, in every way."""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from leadsquared_async import Credentials, LeadSquaredError, RateLimit, RetryPolicy
from leadsquared_async.sandbox import Account, Faults
from tests import virtual
from tests.clients import KEYS, LEAD, virtual_client
from tests.interruptions import WAYS, Way, interrupted, no_complaints
from tests.outbox.machine import Machine, items, lead, play

SCRIPTS: list[tuple[str, ...]] = [
    (),
    ("503",),
    ("401",),
    ("429",),
    ("lost",),
    ("reset", "503"),
    ("drip-headers",),
    ("drip-body", "401"),
    ("half-body",),
    ("hang",),
]
"""The faults that a cancelled capture meets."""


async def cancelled_capture(script: Sequence[str], way: Way, k: int, *, spent: bool) -> int:
    """Cancel a capture at its k-th await; returns how many awaits it reached.

    Args:
        script: the faults that it meets.
        way: how it is cancelled.
        k: at which await.
        spent: whether it has to wait for a token.
    """
    case = f"{script}, {way}, await {k}, {'no token' if spent else 'a token'}"
    account = Account(faults=Faults(latency=0.1, drip=0.05, script=tuple(script)), processing_rate=60_000.0)

    async def keys() -> Credentials:
        await asyncio.sleep(0.01)
        return Credentials(**KEYS)

    lsq, transport = virtual_client(
        account,
        **dict.fromkeys(KEYS),
        credentials=keys,
        timeout=2.0,
        rate_limit=RateLimit(2, per=5.0),
        retry=RetryPolicy(base=0.5),
    )

    async def use() -> None:
        with suppress(LeadSquaredError):
            await lsq.leads.capture(LEAD)

    async with no_complaints(), lsq:
        if spent:
            account.set_faults(Faults(latency=0.1), transport.books.now)
            await asyncio.gather(lsq.leads.capture(LEAD), lsq.leads.capture(LEAD))
            account.set_faults(
                Faults(latency=0.1, drip=0.05, script=tuple(script)), asyncio.get_running_loop().time()
            )
        count, _ = await interrupted(use(), way, k)
        account.set_faults(Faults(), asyncio.get_running_loop().time())
        await asyncio.sleep(60.0)
        assert (await lsq.leads.capture(LEAD)).attempts == 1, case
        await asyncio.sleep(60.0)
        limit = lsq.snapshot().limit
        assert limit is not None
        assert (limit.free, limit.in_flight, limit.withdrawn) == (2, 0, 0), case
        assert not any(limit.waiting.values()), case
        assert transport.books.over_limit == 0, case
    return count


def cancelled_put(way: Way, k: int) -> int:
    """Cancel a put at its k-th await, and put the lead again: it is one item, sent once."""

    async def main(machine: Machine) -> int:
        async with machine.process() as outbox:

            async def use() -> None:
                await outbox.put(lead(1), key="one")

            count, _ = await interrupted(use(), way, k)
            await outbox.put(lead(1), key="one")
            await outbox.put(lead(2), key="two")
            await outbox.drained()
            found = await items(outbox)
            assert [(it.key, it.state) for it in found] == [("one", "confirmed"), ("two", "confirmed")], k
        assert machine.books.accepted == 2
        return count

    with tempfile.TemporaryDirectory() as folder:
        return play(Path(folder), main)


def captures(scripts: Sequence[Sequence[str]], ways: Sequence[Way], until: float) -> int:
    """Cancel captures at every await in turn, until a time; returns how many were cancelled."""
    cancelled = 0
    for script in scripts:
        for way in ways:
            for spent in (False, True):
                for k in itertools.count(1):
                    main = partial(cancelled_capture, script, way, k, spent=spent)
                    if time.monotonic() >= until or virtual.run(main) < k:
                        break
                    cancelled += 1
    return cancelled


def puts(ways: Sequence[Way], until: float) -> int:
    """Cancel puts at every await in turn, until a time; returns how many were cancelled."""
    cancelled = 0
    for way in ways:
        for k in itertools.count(1):
            if time.monotonic() >= until or cancelled_put(way, k) < k:
                break
            cancelled += 1
    return cancelled


def run(seconds: float, seed: int) -> str:
    """Captures for most of the time, puts for the rest."""
    end = time.monotonic() + seconds
    chance, scripts, ways = random.Random(seed), [*SCRIPTS], [*WAYS.values()]
    chance.shuffle(scripts)
    chance.shuffle(ways)
    put = puts(ways, time.monotonic() + seconds / 3)
    return f"{put} cancelled puts, {captures(scripts, ways, end)} cancelled captures"

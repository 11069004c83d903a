"""How long does a visitor's form wait while a batch runs?

In virtual time, compared with limiters that serve callers in order of arrival: 15 forms during a batch of 300
leads, at 25 calls in 5 seconds and a round trip of 100 ms, 20 times each. The forms come at random, at least
a second apart. Then in real time, while 50,000 rows are pending in an outbox. The wait ends when the server
has the form.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from statistics import median

from benchmarks.accounts import LEAD, client
from benchmarks.figures import Figure, Plot, Result, Table
from benchmarks.peers import CALLS, CLIENTS, OURS, PER
from benchmarks.virtual_account import VirtualAccount, run
from leadsquared_async import LeadSquared, Outbox
from leadsquared_async.sandbox import Sandbox

BESIDE = ("aiolimiter (25, 5)", "aiolimiter (1, 0.2)", "pyrate-limiter", "throttled-py, sliding window")
SEEDS, LEADS, ROUND_TRIP = 20, 300, 0.1
EACH, EVERY, APART = 15, 3.4, 1.0
"""Forms in a batch: one in every so many seconds, the last of which are free of it."""
BUDGET = 0.25
"""Seconds beyond the network."""
ROWS, BATCH, FORMS = 50_000, 400, 20
WARM_UP = 12.0
LOOK_EVERY = 0.001


def measure() -> Iterator[Result]:
    """The distribution beside the peers, then the slowest captures and puts in real time."""
    waits = {name: sorted(w for seed in range(SEEDS) for w in _waits(name, seed)) for name in (OURS, *BESIDE)}
    yield Table(
        "Seconds from the call to the arrival of a form beside a batch",
        ("client", "median", "95 %", "worst"),
        [
            [name, f"{median(of):.2f}", f"{of[int(0.95 * len(of))]:.2f}", f"{of[-1]:.2f}"]
            for name, of in waits.items()
        ],
    )
    yield Plot(
        "forms",
        "How long a form waits beside a batch",
        "percent of the forms",
        "seconds to the server",
        {name: [(100 * at / len(of), wait) for at, wait in enumerate(of, 1)] for name, of in waits.items()},
    )
    yield Figure("worst form beside a batch", waits[OURS][-1] - ROUND_TRIP / 2, " s", most=BUDGET)
    yield from _in_real_time()


def _waits(name: str, seed: int) -> list[float]:
    """Of each form, the seconds from the call to its arrival."""
    chance = Random(seed)
    moments = [number * EVERY + chance.uniform(0, EVERY - APART) for number in range(EACH)]
    account = VirtualAccount(
        "sliding-log", CALLS, PER, phase=0.0, round_trip=(ROUND_TRIP, ROUND_TRIP), seed=seed
    )

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        async with CLIENTS[name]("https://sandbox.invalid", account) as sender:
            batch = asyncio.ensure_future(sender.send_batch([f"b{n}@example.com" for n in range(LEADS)]))

            async def form(number: int) -> None:
                await asyncio.sleep(start + moments[number] - loop.time())
                await sender.send(f"form{number}@example.com")

            await asyncio.gather(*(form(number) for number in range(len(moments))))
            batch.cancel()
            with suppress(asyncio.CancelledError):
                await batch
        arrived = account.captured_at
        return [arrived[f"form{n}@example.com"] - start - moment for n, moment in enumerate(moments)]

    return run(main)


def _in_real_time() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        waits, summary, polls = asyncio.run(_send_forms(Path(folder) / "leads.db"))
    beside = f"beside capture_many of {BATCH} and {ROWS:,} rows pending"
    for what, times in waits.items():
        yield Figure(
            f"worst of {len(times)} {what}s in real time", max(times), " s", most=BUDGET, note=beside
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

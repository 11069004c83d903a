"""How many accounts can one process serve?

Endless batches on 1 to 300 accounts at once, each at 25 calls in 5 seconds with a round trip of 100 ms, and
every half second a form on an account chosen at random. The server runs in another process. The garbage
collector is set as docs/many-accounts.md advises; with the most accounts it is measured with Python's own
setting too. Then the memory and the time that 1,000 more open clients take.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from benchmarks.accounts import KEYS, LEAD
from benchmarks.figures import Figure, Plot, Result, Table
from benchmarks.processes import Process, say
from leadsquared_async import LeadSquared

ACCOUNTS = (1, 10, 50, 150, 300)
ROUND_TRIP = 0.1
CALLS_A_SECOND = 25 / 5.1
"""What one account may send in the long run: the default limit keeps a margin of 2 %."""
WARM_UP, MEASURED = 20.0, 10.0
"""Seconds; each account begins with a burst of 25 calls, whose connections are closed after 10."""
LAG = 0.01
CLIENTS = 1000
PAGE = 4096


def measure() -> Iterator[Result]:
    """The rate, the forms and the loop for each number of accounts; then what an open client takes."""
    runs = {accounts: _run(accounts) for accounts in ACCOUNTS}
    most = ACCOUNTS[-1]
    usual = _run(most, "usual")
    yield Table(
        "Endless batches on many accounts in one process",
        (
            "accounts",
            "calls a second",
            "of the full rate",
            "CPU",
            "collecting garbage",
            "form, median",
            "loop lag, 99 %",
        ),
        [
            *(_row(accounts, str(accounts), run) for accounts, run in runs.items()),
            _row(most, f"{most}, Python's own setting of the collector", usual),
        ],
    )
    yield Plot(
        "many_accounts",
        "Calls a second of one process, by accounts",
        "accounts",
        "calls a second",
        {
            "leadsquared_async": [(accounts, run["rate"]) for accounts, run in runs.items()],
            "full rate": [(accounts, accounts * CALLS_A_SECOND) for accounts in runs],
        },
        is_log=True,
    )
    run = runs[most]
    yield Figure(f"{most} accounts: of the full rate", _share(most, run), " %", least=95.0)
    yield Figure(f"{most} accounts: a form, median", run["form"], " s", most=0.3)
    yield Figure(f"{most} accounts: loop lag, 99 %", 1e3 * run["lag"], " ms", most=100.0)
    yield Figure(f"{most} accounts: garbage collection", 100 * run["gc"], " %", most=5.0)
    with Process("benchmarks.many_accounts", "open") as process:
        opened = process.hello
    yield Figure(f"memory of {CLIENTS:,} open clients", opened["memory"], " MB", most=20.0)
    yield Figure(f"time to open {CLIENTS:,} clients", opened["seconds"], " s", most=2.0)


def _run(accounts: int, collector: str = "advised") -> dict[str, float]:
    with Process("benchmarks.acceptor", str(ROUND_TRIP)) as server:
        url = server.hello["url"]
        with Process("benchmarks.many_accounts", str(accounts), url, collector) as process:
            measured: dict[str, float] = process.hello
        server.end()
    return measured


def _share(accounts: int, run: dict[str, float]) -> float:
    return 100 * run["rate"] / (accounts * CALLS_A_SECOND)


def _row(accounts: int, label: str, run: dict[str, float]) -> list[str]:
    return [
        label,
        f"{run['rate']:.0f}",
        f"{_share(accounts, run):.0f} %",
        f"{100 * run['cpu']:.0f} %",
        f"{100 * run['gc']:.0f} %",
        f"{run['form']:.2f} s",
        f"{1e3 * run['lag']:.0f} ms",
    ]


def _keys(number: int) -> dict[str, Any]:
    return {**KEYS, "api_key": f"{number:040d}"}


def memory() -> float:
    """MB that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


async def send_on(accounts: int, url: str, collector: str) -> None:
    """In the child: endless batches, forms, and the loop's lag."""
    sent = 0
    forms: list[float] = []
    lags: list[float] = []
    collecting = _Collections()

    async def batch(lsq: LeadSquared) -> None:
        nonlocal sent
        async with lsq.leads.capture_many({**LEAD, "mx_Row": str(n)} for n in count()) as results:
            async for _ in results:
                sent += 1

    async def form(lsq: LeadSquared) -> None:
        nonlocal sent
        start = time.monotonic()
        await lsq.leads.capture(LEAD)
        sent += 1
        forms.append(time.monotonic() - start)

    async def watch_lag() -> None:
        while True:
            start = time.monotonic()
            await asyncio.sleep(LAG)
            lags.append(time.monotonic() - start - LAG)

    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(LeadSquared(**_keys(number), host=url))
            for number in range(accounts)
        ]
        if collector == "advised":
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 10, 10)
        tasks = [asyncio.create_task(batch(lsq)) for lsq in clients]
        await asyncio.sleep(WARM_UP)
        tasks.append(asyncio.create_task(watch_lag()))
        before, cpu, start, spent = sent, time.process_time(), time.monotonic(), collecting.seconds
        chance = Random(accounts)
        while (now := time.monotonic()) < start + MEASURED:
            tasks.append(asyncio.create_task(form(chance.choice(clients))))
            await asyncio.sleep(0.5)
        lasted = now - start
        say(
            {
                "rate": (sent - before) / lasted,
                "cpu": (time.process_time() - cpu) / lasted,
                "form": median(forms),
                "lag": sorted(lags)[int(0.99 * len(lags))],
                "gc": (collecting.seconds - spent) / lasted,
            }
        )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Collections:
    """Seconds that the garbage collector has taken."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        del info
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._began


async def open_all() -> None:
    """In the child: open clients."""
    async with AsyncExitStack() as stack:

        async def enter(number: int) -> None:
            await stack.enter_async_context(LeadSquared(**_keys(number), region="in21"))

        await enter(0)
        before, began = memory(), time.perf_counter()
        for number in range(1, CLIENTS + 1):
            await enter(number)
        say({"memory": memory() - before, "seconds": time.perf_counter() - began})


if __name__ == "__main__":
    logging.getLogger("leadsquared_async").setLevel(logging.ERROR)  # of the leads that are cut off at the end
    asyncio.run(open_all() if sys.argv[1] == "open" else send_on(int(sys.argv[1]), *sys.argv[2:]))

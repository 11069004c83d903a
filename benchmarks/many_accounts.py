"""1,000 open clients of as many accounts, in a process of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.accounts import KEYS
from benchmarks.figures import Figure
from benchmarks.processes import Process, say
from leadsquared_async import LeadSquared

CLIENTS = 1000
PAGE = 4096


def measure() -> Iterator[Figure]:
    """Memory and time beyond the first client."""
    with Process("benchmarks.many_accounts") as process:
        measured = process.hello
    yield Figure(f"memory of {CLIENTS:,} open clients", measured["memory"], " MB", most=20.0)
    yield Figure(f"time to open {CLIENTS:,} clients", measured["seconds"], " s", most=2.0)


def memory() -> float:
    """MB that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


async def main() -> None:
    """In the child: open them all."""
    async with AsyncExitStack() as stack:

        async def enter(number: int) -> None:
            keys: dict[str, Any] = {**KEYS, "api_key": f"{number:040d}"}
            await stack.enter_async_context(LeadSquared(**keys, region="in21"))

        await enter(0)
        before, began = memory(), time.perf_counter()
        for number in range(1, CLIENTS + 1):
            await enter(number)
        say({"memory": memory() - before, "seconds": time.perf_counter() - began})


if __name__ == "__main__":
    asyncio.run(main())

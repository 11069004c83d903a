"""A sandbox for each way of counting, in one process: the account's own limit, 25 calls in 5 seconds."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from benchmarks.processes import say, until_told_to_end
from leadsquared_async.sandbox import COUNTERS, Sandbox


async def main() -> None:
    async with AsyncExitStack() as running:
        sandboxes = {
            counting: await running.enter_async_context(Sandbox(counting=counting)) for counting in COUNTERS
        }
        say({counting: sandbox.url for counting, sandbox in sandboxes.items()})
        await until_told_to_end()
        say({counting: sandbox.books.summary() for counting, sandbox in sandboxes.items()})


if __name__ == "__main__":
    asyncio.run(main())

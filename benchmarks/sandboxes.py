"""Sandboxes in one process, each with the account's own limit, 25 calls in 5 seconds.

By default there is one for each way of counting; an argument, a JSON object, names others with their options.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.processes import say, until_input_ends
from leadsquared_async.sandbox import COUNTERS, Faults, Sandbox


async def main(named: dict[str, dict[str, Any]]) -> None:
    async with AsyncExitStack() as running:
        sandboxes = {
            name: await running.enter_async_context(Sandbox(**_options(options)))
            for name, options in named.items()
        }
        say({name: sandbox.url for name, sandbox in sandboxes.items()})
        await until_input_ends()
        say(
            {
                name: {
                    **sandbox.books.summary(),
                    "times": _times(sandbox),
                    "refused": [arrival.over_limit for arrival in sandbox.books.arrivals],
                }
                for name, sandbox in sandboxes.items()
            }
        )


def _options(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "faults": Faults().changed(options.get("faults", {}))}


def _times(sandbox: Sandbox) -> list[float]:
    """Of all arrivals, on the clock that the processes of a machine share."""
    started = time.monotonic() - sandbox.books.now
    return [started + arrival.time for arrival in sandbox.books.arrivals]


if __name__ == "__main__":
    asyncio.run(
        main(json.loads(sys.argv[1]) if sys.argv[1:] else {name: {"counting": name} for name in COUNTERS})
    )

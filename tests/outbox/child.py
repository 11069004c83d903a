"""A process of its own that puts leads and delivers them: `python -m tests.outbox.child '<JSON>'`.

It writes the key of each put that returned to its standard output, one a line, after the line "open". A put
that fails, on a full disk, is made again under the same key.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from random import Random
from typing import Any

from leadsquared_async import LeadSquared, Outbox, OutboxError, RateLimit
from tests.clients import KEYS

PRODUCERS = 4


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def main(*, url: str, path: str, name: str, per: float, puts: float, is_last: bool) -> None:
    """Put `puts` leads a second and deliver, until killed; the last one puts none and drains."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    limit = RateLimit(25, per=per)
    async with LeadSquared(**KEYS, host=url, rate_limit=limit) as lsq, Outbox(path, lsq) as outbox:
        say("open")
        if is_last:
            await outbox.drained()
            return
        async with asyncio.TaskGroup() as group:
            for number in range(PRODUCERS):
                group.create_task(_produce(outbox, f"{name}-{number}", puts / PRODUCERS))


async def _produce(outbox: Outbox, name: str, puts: float) -> None:
    chance = Random(name)
    number = 0
    while True:
        key = f"{name}-{number}"
        try:
            await outbox.put(
                {"EmailAddress": f"{key}@example.com", "Notes": "x" * chance.choice([0, 9000])}, key=key
            )
        except OutboxError as error:
            say(f"! {error}")
            await asyncio.sleep(0.05)
            continue
        say(key)
        number += 1
        await asyncio.sleep(chance.expovariate(puts))


if __name__ == "__main__":
    arguments: dict[str, Any] = json.loads(sys.argv[1])
    with suppress(asyncio.CancelledError):
        asyncio.run(main(**arguments))

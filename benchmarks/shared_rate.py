"""Four processes on one shared limit, in real time: is any call refused, however the server counts?"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.accounts import LEAD, client
from benchmarks.figures import Figure
from benchmarks.processes import Process, say, until_told_to_end
from benchmarks.rate import LIMIT, STRICT
from leadsquared_async import Lane, SharedLimiter
from tests.shared.valkey import Valkey

PROCESSES = 4
LEADS = 30
"""Of one process, in each way of counting."""
WINDOW = 5.0
LEAST_RATE = 0.95


def measure() -> Iterator[Figure]:
    """For each way of counting the refusals and arrivals; the rate and the shares of all of them."""
    with ExitStack() as stack:
        store = Valkey(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        store.start()
        stack.callback(store.stop)
        server = stack.enter_context(Process("benchmarks.sandboxes"))
        told = json.dumps({"store": store.url, "sandboxes": server.hello})
        senders = [stack.enter_context(Process("benchmarks.shared_rate", told)) for _ in range(PROCESSES)]
        sent = [sender.end() for sender in senders]
        books = server.end()
    for counting, summary in books.items():
        assert summary["accepted"] == PROCESSES * LEADS
        times = sorted(at for one in sent for at in one[counting])
        steady = [at for at in times if at > times[0] + WINDOW]
        limit = STRICT if counting == "sliding-counter-strict" else LIMIT
        rate = (len(steady) - 1) / (steady[-1] - steady[0])
        shares = [sum(at > times[0] + WINDOW for at in one[counting]) for one in sent]
        yield Figure(f"{counting}: 429s for {summary['accepted']} leads", summary["over_limit"], most=0)
        yield Figure(
            f"{counting}: most arrivals in any 5 s",
            summary["most_arrivals"],
            most=LIMIT.calls,
            note=f"{min(shares)} to {max(shares)} of {len(steady)} by one process",
        )
        yield Figure(
            f"{counting}: calls a second / what the limit allows", rate * limit.spacing, least=LEAST_RATE
        )


async def main(told: dict[str, Any]) -> None:
    """In the child: send to all of them at once, and say when each answer came."""
    limiter = SharedLimiter(told["store"])
    say("ready")
    sandboxes: dict[str, str] = told["sandboxes"]
    times = await asyncio.gather(*(_send(limiter, *sandbox) for sandbox in sandboxes.items()))
    await until_told_to_end()
    say(dict(zip(sandboxes, times, strict=True)))


async def _send(limiter: SharedLimiter, counting: str, url: str) -> list[float]:
    times: list[float] = []

    async def capture() -> None:
        await lsq.leads.capture(LEAD, lane=Lane.BATCH)
        times.append(time.monotonic())

    limit = STRICT if counting == "sliding-counter-strict" else LIMIT
    async with client(url, rate_limit=limit, limiter=limiter) as lsq:
        await asyncio.gather(*(capture() for _ in range(LEADS)))
    return times


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))

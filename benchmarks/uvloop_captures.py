"""Do captures work on uvloop at ten times LeadSquared's rate?

`python -m benchmarks.uvloop_captures [minutes]`: in process and through a SharedLimiter on Valkey, five
minutes each unless another number is given.

40 callers at 250 in 5 s with 20 to 80 ms a round trip. Measured are errors that are not the SDK's own, what
the loop reports, 429s, and what remains at the end: tokens, callers, calls.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.accounts import LEAD, client
from benchmarks.figures import Figure
from benchmarks.processes import Process
from leadsquared_async import LeadSquaredError, LimitSnapshot, RateLimit, SharedLimiter
from tests.limiter.valkey import Valkey

LIMIT = RateLimit(250, per=5.0)
CALLERS = 40
MINUTES = 5.0
BACK_WITHIN = 30.0
"""Seconds after the last capture; a process that makes no calls hears of the store every ten."""


@dataclass
class Run:
    """What became of the calls of a run.

    Attributes:
        captured: with a receipt.
        errors: of the SDK, by name.
        strange: other exceptions, by what they say.
        complaints: what the loop reported.
        limit: the state of the limit once all tokens should be back.
    """

    captured: int = 0
    errors: Counter[str] = field(default_factory=Counter[str])
    strange: Counter[str] = field(default_factory=Counter[str])
    complaints: Counter[str] = field(default_factory=Counter[str])
    limit: LimitSnapshot | None = None


def measure(minutes: float = 0.5) -> Iterator[Figure]:
    """Both ways, one after the other, each against a sandbox in a process of its own."""
    yield from _measure("in process", None, minutes)
    with tempfile.TemporaryDirectory() as folder:
        valkey = Valkey(Path(folder))
        valkey.start()
        try:
            yield from _measure("SharedLimiter", valkey.url, minutes)
        finally:
            valkey.stop()


def _measure(what: str, store: str | None, minutes: float) -> Iterator[Figure]:
    options = {"limit": (LIMIT.calls, LIMIT.per), "faults": {"latency": 0.02, "jitter": 0.06}}
    with Process("benchmarks.sandboxes", json.dumps({"uvloop": options})) as server:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            run = runner.run(_capture(server.hello["uvloop"], store, minutes * 60.0))
        books = server.end()["uvloop"]
    note = "; ".join(f"{count} x {name}" for name, count in (run.strange + run.complaints).items())
    yield Figure(f"{what}: exceptions that are not the SDK's", run.strange.total(), most=0, note=note)
    yield Figure(f"{what}: complaints of the loop", run.complaints.total(), most=0)
    yield Figure(f"{what}: errors of the SDK", run.errors.total(), most=0, note=str(dict(run.errors)))
    yield Figure(f"{what}: 429s", books["over_limit"], most=0, note=f"of {books['accepted']} captures")
    best = f"{1 / LIMIT.spacing:.0f} at best, without the first burst"
    yield Figure(f"{what}: captures", run.captured / (minutes * 60.0), " a second", note=best)
    assert run.limit is not None
    yield Figure(f"{what}: tokens that are not back", LIMIT.calls - run.limit.free, most=0)
    waiting = sum(run.limit.waiting.values()) + run.limit.in_flight
    yield Figure(f"{what}: callers and calls left over", waiting, most=0)


async def _capture(url: str, store: str | None, seconds: float) -> Run:
    run = Run()
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: run.complaints.update([str(context.get("exception") or context["message"])])
    )
    limiter = None if store is None else SharedLimiter(store)
    async with client(url, rate_limit=LIMIT, limiter=limiter, deadline=60.0) as lsq:
        end = time.monotonic() + seconds

        async def caller(number: int) -> None:
            turn = 0
            while time.monotonic() < end:
                turn += 1
                try:
                    await lsq.leads.capture({**LEAD, "EmailAddress": f"{number}-{turn}@example.com"})
                    run.captured += 1
                except LeadSquaredError as error:
                    run.errors[type(error).__name__] += 1
                except Exception as error:
                    run.strange[repr(error)] += 1

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))
        until = time.monotonic() + BACK_WITHIN
        while time.monotonic() < until:
            run.limit = lsq.snapshot().limit
            if run.limit is not None and run.limit.free == LIMIT.calls:
                break
            await asyncio.sleep(0.5)
    return run


def main(minutes: float) -> int:
    """The exit status: 0 if every budget was met."""
    missed = 0
    for figure in measure(minutes):
        print(figure, flush=True)
        missed += not figure.is_met
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if sys.argv[1:] else MINUTES))

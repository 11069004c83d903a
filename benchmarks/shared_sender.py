"""One process of many on a shared limit: sends until its leads are sent or its standard input ends."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field

from benchmarks.accounts import LEAD, client
from benchmarks.processes import say, until_input_ends
from leadsquared_async import LeadSquared, RateLimit, SharedLimiter
from leadsquared_async.limiter.interface import LimitSnapshot

BURST = 25
BETWEEN_FORMS = (0.3, 0.9)
"""Seconds between a form's answer and the next form: alone, as a rule."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """The work of one process.

    Attributes:
        store: the URL of the shared limiter.
        sandboxes: their URLs by name; it sends to all of them at once.
        limits: for each, the calls, seconds and margin that it declares.
        kind: "batch", "forms" (one after the other, with pauses) or "burst" (25 forms at once).
        leads: how many of a batch; None for one without end.
    """

    store: str
    sandboxes: dict[str, str]
    limits: dict[str, tuple[int, float, float]]
    kind: str = "batch"
    leads: int | None = None

    def as_argument(self) -> str:
        """The work as JSON, for the command line."""
        return json.dumps(asdict(self))


@dataclass
class Report:
    """Its report at the end, for one sandbox.

    Attributes:
        answered: when each answer came, on the clock that the processes of a machine share.
        waits: seconds from the call to the answer, of forms.
    """

    answered: list[float] = field(default_factory=list[float])
    waits: list[float] = field(default_factory=list[float])


async def main(work: Work) -> None:
    logging.basicConfig(level=logging.ERROR)  # that calls are abandoned and stores stopped is meant
    limiter = SharedLimiter(work.store)
    reports = {name: Report() for name in work.sandboxes}
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        clients = {
            name: await stack.enter_async_context(
                client(url, rate_limit=_limit(work.limits[name]), limiter=limiter)
            )
            for name, url in work.sandboxes.items()
        }
        sending = [group.create_task(_send(work, lsq, reports[name])) for name, lsq in clients.items()]
        group.create_task(_say_when_heard(list(clients.values())))
        ended = asyncio.create_task(until_input_ends())
        all_sent = asyncio.create_task(asyncio.wait(sending))
        await asyncio.wait([ended, all_sent], return_when=asyncio.FIRST_COMPLETED)
        for task in sending:
            task.cancel()
    say({name: asdict(report) for name, report in reports.items()})


def _limit(numbers: tuple[int, float, float]) -> RateLimit:
    calls, per, margin = numbers
    return RateLimit(calls, per=per, margin=margin)


async def _say_when_heard(clients: list[LeadSquared]) -> None:
    """Say that it is there once the store has heard what it declares."""
    for lsq in clients:
        while not (isinstance(limit := lsq.snapshot().limit, LimitSnapshot) and limit.processes):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    say("heard")


async def _send(work: Work, lsq: LeadSquared, report: Report) -> None:
    match work.kind:
        case "batch":
            await _batch(lsq, work.leads, report)
        case "forms":
            await _forms(lsq, report)
        case _:
            await _burst(lsq, report)


def _leads() -> Iterator[dict[str, str]]:
    for number in itertools.count():
        yield {**LEAD, "EmailAddress": f"{os.getpid()}-{number}@example.com"}


async def _batch(lsq: LeadSquared, leads: int | None, report: Report) -> None:
    async with lsq.leads.capture_many(itertools.islice(_leads(), leads)) as results:
        async for result in results:
            if result.error is not None:
                raise result.error
            report.answered.append(time.monotonic())


async def _forms(lsq: LeadSquared, report: Report) -> None:
    chance = random.Random(os.getpid())
    for lead in _leads():
        await _form(lsq, lead, report)
        await asyncio.sleep(chance.uniform(*BETWEEN_FORMS))


async def _burst(lsq: LeadSquared, report: Report) -> None:
    await asyncio.gather(*(_form(lsq, lead, report) for lead in itertools.islice(_leads(), BURST)))


async def _form(lsq: LeadSquared, lead: dict[str, str], report: Report) -> None:
    asked = time.monotonic()
    await lsq.leads.capture(lead)
    report.answered.append(time.monotonic())
    report.waits.append(report.answered[-1] - asked)


if __name__ == "__main__":
    asyncio.run(main(Work(**json.loads(sys.argv[1]))))

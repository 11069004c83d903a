"""A person's form goes first, whatever else the account is busy with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from leadsquared_async import LeadSquared, Outbox, RateLimit
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, lead, play

ALONE = 0.25
"""Seconds in which a form that comes alone leaves, at 25 calls in 5 seconds."""
LATENCY = 0.1


async def _capture_all(lsq: LeadSquared, count: int) -> None:
    async with lsq.leads.capture_many(lead(10_000 + number) for number in range(count)) as results:
        async for _ in results:
            pass


def test_forms_pass_a_batch_and_a_full_outbox(tmp_path: Path) -> None:
    """While capture_many of 400 runs and 5,000 rows are pending, each of 40 captures and puts, a second or
    more apart, leaves within 0.25 s; rows, batch and polls go on beside them."""

    async def deliver(machine: Machine) -> None:
        chance = Random(1)
        client = machine.client()
        waits: dict[str, list[float]] = {"capture": [], "put": []}
        async with client as lsq, Outbox(machine.path, lsq) as outbox:
            await outbox.put_many(lead(number) for number in range(5000))
            batch = asyncio.create_task(_capture_all(lsq, 400))
            await asyncio.sleep(20.0)
            first = len(machine.books.arrivals)
            for form in range(40):
                await asyncio.sleep(1.0 + chance.random())
                kind = "capture" if form % 2 else "put"
                body = {"EmailAddress": f"form{form}@example.com"}
                start = machine.now
                sending = asyncio.create_task(lsq.leads.capture(body) if form % 2 else outbox.put(body))
                await machine.arrival_of(body["EmailAddress"])
                waits[kind].append(machine.now - start - LATENCY / 2)
                await sending
            seen = machine.books.arrivals[first:]
            batch.cancel()
            await asyncio.gather(batch, return_exceptions=True)
        assert max(waits["capture"]) <= ALONE
        assert max(waits["put"]) <= ALONE
        sent = [body for body in machine.books.attempts if "@example.com" in body]
        assert sum("p1" in body for body in sent) > 20  # of the batch, beside the rows
        assert sum(arrival.operation == "status" for arrival in seen) > 20
        assert machine.books.most_arrivals() <= RateLimit(25).calls

    play(tmp_path, deliver, Faults(latency=LATENCY))

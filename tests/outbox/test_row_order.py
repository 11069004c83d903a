"""Which row goes first: updates of one lead in their order, forms before files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest

from leadsquared_async import LeadSquared, Outbox, RateLimit, RetryPolicy
from leadsquared_async.outbox import deliver as deliver_module
from leadsquared_async.outbox import recovery as recovery_module
from leadsquared_async.sandbox import Faults
from leadsquared_async.submissions import capture_lead
from tests.outbox.machine import Machine, by_state, lead, play, played

SPACING = RateLimit(25).spacing
WIDE = RateLimit(2000, per=1.0)
IDENTITIES, UPDATES = 1000, 5


@pytest.mark.slow
@played(
    Faults(
        latency=0.04,
        probabilities={"500": 0.05, "504": 0.05, "lost": 0.05, "reset": 0.05},
        operations=("capture",),
    ),
    options={"rate_limit": WIDE},
    look_every=2.0,
    limit=None,
    processing_rate=600_000.0,
)
async def test_the_fifth_of_five_updates_is_what_stays_whatever_happens(machine: Machine) -> None:
    """Through faults and two crashes, each of 1,000 leads is created once and has its fifth value."""
    async with machine.crashing() as outbox:
        await outbox.put_many(
            capture_lead(lead(number, mx_N=str(update))).with_key(f"{number}-{update}")
            for update in range(UPDATES)
            for number in range(IDENTITIES)
        )
        await asyncio.sleep(3.0)
    async with machine.crashing() as outbox:
        await asyncio.sleep(5.0)
    async with machine.process() as outbox:
        assert (await by_state(outbox)).get("pending", 0) > 1000
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": IDENTITIES * UPDATES}
    values = [known.attributes["mx_N"] for known in machine.books.leads.values()]
    assert values == [str(UPDATES - 1)] * IDENTITIES


@played(processing_rate=30.0)
async def test_rows_of_one_lead_are_one_at_a_time_however_it_is_written(machine: Machine) -> None:
    """Capitals and punctuation make no other person, and a later row waits for the earlier outcome."""
    spellings = [
        {"EmailAddress": "Bret@Example.com"},
        {"EmailAddress": " bret@example.COM"},
        {"EmailAddress": "bret@example.com", "Phone": "+91-1"},
    ]
    phones = [{"Phone": "+91-99887 76655"}, {"Phone": "919988776655"}]
    async with machine.process() as outbox:
        await outbox.put_many(spellings + phones)
        await asyncio.sleep(1.0)
        assert await by_state(outbox) == {"accepted": 2, "pending": 3}
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 5}


@pytest.mark.parametrize("end", ["rejected", "forgotten", "discarded", "unknown"])
def test_the_end_of_a_row_releases_the_next_of_its_lead(end: str, tmp_path: Path) -> None:
    """It may be rejected, forgotten under way and then rejected, deleted, or unknown."""

    async def deliver(machine: Machine) -> None:
        phone = "+91-9988776655"
        async with machine.process() as outbox:
            first = await outbox.put({"EmailAddress": "b@example.com", "Phone": phone}, key="first")
            if end == "discarded":
                machine.books.faults = Faults(outage=(0.0, machine.now + 60.0), outage_fault="401")
            await asyncio.sleep(0.3)
            await outbox.put({"EmailAddress": "b@example.com", "mx_N": "2"}, key="second")
            if end == "forgotten":
                assert await outbox.forget(Phone=phone) == 1
            if end == "discarded":
                assert await outbox.discard(first.id)
            async with asyncio.timeout(900.0):
                await outbox.drained()
            found = await outbox.find(["first", "second"])
            assert found["second"].state == "confirmed"
            if end == "forgotten":
                assert found.keys() == {"second"}

    script = {"rejected": ("500-mx",), "forgotten": ("503",), "unknown": ("504",), "discarded": ()}[end]
    options: dict[str, Any] = {}
    if end == "unknown":
        options["retry"] = RetryPolicy(unknown="never")
    play(tmp_path, deliver, Faults(latency=1.0, script=script), options=options)


@played()
async def test_forms_go_before_files(machine: Machine) -> None:
    """Rows of put are sent before earlier rows of put_many."""
    async with Outbox(machine.path) as outbox:
        await outbox.put_many(lead(number) for number in range(200))
        for number in range(10):
            await outbox.put({"Phone": f"{number}"})
    async with machine.process(confirm=False) as outbox:
        await outbox.drained()
    order = list(machine.books.attempts)
    assert [body for body in order[:10] if b"Phone" in body.encode()] == order[:10]


@played()
async def test_the_last_of_many_forms_at_once_waits_its_turn_and_no_longer(machine: Machine) -> None:
    """The k-th of k is sent within k spacings, and a seventh more for files and polls."""
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(5000))
        await asyncio.sleep(30.0)
        waits = await asyncio.gather(*(_arrival(machine, outbox, f"form-{form}", 0.04) for form in range(40)))
    for place, wait in enumerate(sorted(waits), start=1):
        assert wait <= (place * 8 / 7 + 3) * SPACING


@pytest.mark.parametrize("recovery", [0.0, 1.0])
@played(Faults(latency=4.0))
async def test_forms_that_are_put_while_an_outbox_starts_are_sent_at_once(
    machine: Machine, recovery: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not wait for the recovery of rows of an earlier process."""

    async def recover(*values: Any) -> None:
        await asyncio.sleep(recovery)
        await recovery_module.recover(*values)

    monkeypatch.setattr(deliver_module, "recover", recover)
    async with Outbox(machine.path) as outbox:
        await outbox.put_many(lead(number) for number in range(100))
    async with machine.process() as outbox:
        start = machine.now
        for form in range(5):
            await outbox.put(lead(1000 + form))
        for form in range(5):
            await machine.arrival_of(f'"p{1000 + form}@')
        assert machine.now - start < recovery + 4.0 / 2 + 0.5


@played(look_every=None)
async def test_a_form_from_a_process_that_only_puts_is_picked_up_within_half_a_second(
    machine: Machine,
) -> None:
    """The delivering process looks for rows that others have put."""
    waits: list[float] = []
    async with machine.process() as _, Outbox(machine.path) as other:
        for form in range(20):
            await asyncio.sleep(7.0 + form / 13)
            waits.append(await _arrival(machine, other, f"form-{form}", 0.04))
    assert max(waits) <= 0.5


async def _arrival(machine: Machine, outbox: Outbox, name: str, latency: float) -> float:
    """Seconds from putting a form to its leaving."""
    start = machine.now
    await outbox.put({"EmailAddress": f"{name}@example.com"}, key=name)
    await machine.arrival_of(f'"{name}@example.com"')
    return machine.now - start - latency / 2


ALONE = 0.25
"""Seconds in which a form that comes alone leaves, at 25 calls in 5 seconds."""
LATENCY = 0.1


async def _capture_all(lsq: LeadSquared, count: int) -> None:
    async with lsq.leads.capture_many(lead(10_000 + number) for number in range(count)) as results:
        async for _ in results:
            pass


@played(Faults(latency=LATENCY))
async def test_forms_pass_a_batch_and_a_full_outbox(machine: Machine) -> None:
    """Beside a batch and 5,000 pending rows each form leaves within 0.25 s, and those continue."""
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


@pytest.mark.slow
@played(processing_rate=60_000)
async def test_a_form_takes_the_older_rows_of_its_lead_with_it(machine: Machine) -> None:
    """A form waits for its lead's older rows in a file, not for the whole file."""
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(3000))
        await asyncio.sleep(10.0)
        began = machine.now
        await outbox.put(lead(2900, FirstName="Bret"))
        await machine.arrival_of("Bret", within=300.0)
        assert machine.now - began < 200.0  # once the row before it is final; the file takes 600 s


@played(Faults(latency=0.04, script=("429",)))
async def test_updates_that_are_searched_for_by_another_field_keep_their_order(machine: Machine) -> None:
    """Two rows with the same SearchBy value are one lead: the second goes when the first is final."""
    async with machine.process() as outbox:
        for value in ("old", "new"):
            await outbox.put({"mx_Id": "7", "FirstName": value}, search_by="mx_Id")
        await outbox.drained()
    (known,) = machine.books.leads.values()
    assert known.attributes["FirstName"] == "new"


@played(attributes=["EmailAddress", "FirstName"], processing_rate=6)
async def test_no_two_rows_of_a_lead_are_on_their_way_at_once(machine: Machine) -> None:
    """Deleting a later row releases no other while an earlier one is processed."""
    async with machine.process() as outbox:
        await outbox.put(lead(1, mx_Nope="x"))
        await outbox.drained()
        await outbox.put(lead(1, FirstName="second"))
        await machine.arrival_of("second")
        await asyncio.sleep(0.5)
        await outbox.requeue(1, drop=["mx_Nope"])
        third = await outbox.put(lead(1, FirstName="third"))
        await outbox.discard(third.id)
        await asyncio.sleep(2.0)
        assert await by_state(outbox) == {"pending": 1, "accepted": 1}

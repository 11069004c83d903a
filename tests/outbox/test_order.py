"""What goes first: the updates of one lead in their order, forms before files."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from leadsquared_async import Outbox, RateLimit, RetryPolicy
from leadsquared_async.sandbox import Faults
from leadsquared_async.submissions import capture_lead
from tests.outbox.machine import Machine, by_state, lead, play

SPACING = RateLimit(25).spacing
WIDE = RateLimit(2000, per=1.0)
IDENTITIES, UPDATES = 1000, 5


@pytest.mark.slow
def test_the_fifth_of_five_updates_is_what_stays_whatever_happens(tmp_path: Path) -> None:
    """1,000 leads with five updates each, a fifth of all captures failing, and two crashes in between: in the
    end LeadSquared holds the fifth value of each, and made each once."""

    async def deliver(machine: Machine) -> None:
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

    play(
        tmp_path,
        deliver,
        Faults(
            latency=0.04,
            probabilities={"500": 0.05, "504": 0.05, "lost": 0.05, "reset": 0.05},
            operations=("capture",),
        ),
        options={"rate_limit": WIDE},
        look_every=5.0,
        limit=None,
        processing_rate=600_000.0,
    )


def test_rows_of_one_lead_are_one_at_a_time_however_it_is_written(tmp_path: Path) -> None:
    """Capitals and punctuation do not make another person of it; a later row waits for the earlier's
    outcome."""
    spellings = [
        {"EmailAddress": "Bret@Example.com"},
        {"EmailAddress": " bret@example.COM"},
        {"EmailAddress": "bret@example.com", "Phone": "+91-1"},
    ]
    phones = [{"Phone": "+91-99887 76655"}, {"Phone": "919988776655"}]

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put_many(spellings + phones)
            await asyncio.sleep(1.0)
            assert await by_state(outbox) == {"accepted": 2, "pending": 3}
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 5}

    play(tmp_path, deliver, processing_rate=30.0)


@pytest.mark.parametrize("end", ["rejected", "forgotten", "discarded", "unknown"])
def test_whatever_becomes_of_a_row_the_next_of_its_lead_goes(end: str, tmp_path: Path) -> None:
    """Rejected, forgotten on its way and then refused, deleted, or unknown: nothing waits for it for ever."""

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


def test_forms_go_before_files(tmp_path: Path) -> None:
    """What put was given before delivering began goes before what put_many was given earlier."""

    async def deliver(machine: Machine) -> None:
        async with Outbox(machine.path) as outbox:
            await outbox.put_many(lead(number) for number in range(200))
            for number in range(10):
                await outbox.put({"Phone": f"{number}"})
        async with machine.process(confirm=False) as outbox:
            await outbox.drained()
        order = list(machine.books.attempts)
        assert [body for body in order[:10] if b"Phone" in body.encode()] == order[:10]

    play(tmp_path, deliver)


@pytest.mark.parametrize("latency", [0.04, 0.3])
def test_a_form_is_sent_at_once_while_a_file_of_5000_goes_out(latency: float, tmp_path: Path) -> None:
    """Forms that come alone leave within two spacings, even two from different tasks at about the same
    time."""

    async def deliver(machine: Machine) -> None:
        chance = Random(3)
        waits: list[float] = []
        async with machine.process() as outbox:
            await outbox.put_many(lead(number) for number in range(5000))
            await asyncio.sleep(30.0)
            for form in range(40):
                await asyncio.sleep(1.0 + chance.random())
                waits.append(await _arrival(machine, outbox, f"form-{form}", latency))
        assert max(waits) <= 2 * SPACING
        assert sum(waits) / len(waits) <= SPACING
        assert machine.books.most_arrivals() <= 25

    play(tmp_path, deliver, Faults(latency=latency))


def test_the_last_of_many_forms_at_once_waits_its_turn_and_no_longer(tmp_path: Path) -> None:
    """The k-th of k is sent within k spacings, and a seventh more for the files and polls beside them."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put_many(lead(number) for number in range(5000))
            await asyncio.sleep(30.0)
            waits = await asyncio.gather(
                *(_arrival(machine, outbox, f"form-{form}", 0.04) for form in range(40))
            )
        for place, wait in enumerate(sorted(waits), start=1):
            assert wait <= (place * 8 / 7 + 3) * SPACING

    play(tmp_path, deliver)


def test_a_form_from_a_process_that_only_puts_is_picked_up_within_half_a_second(tmp_path: Path) -> None:
    """Its process has no client; the one that delivers looks for what others have put."""

    async def deliver(machine: Machine) -> None:
        waits: list[float] = []
        async with machine.process() as _, Outbox(machine.path) as other:
            for form in range(20):
                await asyncio.sleep(7.0 + form / 13)
                waits.append(await _arrival(machine, other, f"form-{form}", 0.04))
        assert max(waits) <= 0.5

    play(tmp_path, deliver, look_every=None)


def test_another_process_goes_on_when_the_one_that_delivers_ends(tmp_path: Path) -> None:
    """Within two seconds, and only one of them delivers at any time."""

    async def deliver(machine: Machine) -> None:
        async with AsyncExitStack() as stack:
            first_client = await stack.enter_async_context(machine.client())
            second_client = await stack.enter_async_context(machine.client())
            second = Outbox(machine.path, second_client)
            async with Outbox(machine.path, first_client) as first:
                await stack.enter_async_context(second)
                await first.put_many(lead(number) for number in range(100))
                await asyncio.sleep(8.0)
                assert [(await box.snapshot()).delivers for box in (first, second)] == [True, False]
            await asyncio.sleep(2.0)
            assert (await second.snapshot()).delivers
            await second.drained()
            assert await by_state(second) == {"confirmed": 100}
            await second.aclose()
        assert machine.books.repeated == 0

    play(tmp_path, deliver)


async def _arrival(machine: Machine, outbox: Outbox, name: str, latency: float) -> float:
    """Seconds from putting a form to its leaving."""
    start = machine.now
    await outbox.put({"EmailAddress": f"{name}@example.com"}, key=name)
    await machine.arrival_of(f'"{name}@example.com"')
    return machine.now - start - latency / 2

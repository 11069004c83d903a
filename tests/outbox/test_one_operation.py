"""One operation's fault is its own: the others go on, whatever it meets and however many rows it has."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from leadsquared_async import submissions
from leadsquared_async.delivery.hold import FEW
from leadsquared_async.errors import Fault
from leadsquared_async.sandbox import Faults
from leadsquared_async.submissions import Submission
from tests.outbox.machine import Machine, by_state, items, lead, play, until

HOUR = 3600.0


def call(number: int) -> Submission:
    return submissions.log_call("connector", {"SourceNumber": str(number)})


def opportunity(number: int) -> Submission:
    return submissions.capture_opportunity(lead(1000 + number), search_by="EmailAddress", event_code=1)


def refused(machine: Machine, operation: str) -> int:
    return sum(
        arrival.outcome != "200" for arrival in machine.books.arrivals if arrival.operation == operation
    )


@pytest.mark.parametrize("rows", [1, 40])
def test_a_path_that_does_not_exist_holds_its_own_rows_only(
    rows: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Forms leave at once, however many call logs wait in front of them; these are tried again now and then,
    which is said once and shown, and go when the path is there."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            for number in range(rows):
                await outbox.put(call(number))
            await asyncio.sleep(1.0)
            start = machine.now
            for number in range(50):
                await outbox.put(lead(number))
            await machine.arrival_of('"p49@example.com"', within=30.0)
            assert machine.now - start < 20.0  # 50 calls, and polls between them, at 4.9 a second
            await asyncio.sleep(HOUR)
            assert (await by_state(outbox)) == {"pending": rows, "confirmed": 50}
            snapshot = await outbox.snapshot()
            assert snapshot.held.keys() == {"calls.log"}
            assert "does not exist" in str(snapshot.blocked)
            assert snapshot.fault is Fault.ACCOUNT
            assert snapshot.next_probe is not None
            # Those that were under way when the first failed, and the probes of an hour.
            missed = [body for body in machine.books.attempts if "SourceNumber" in body]
            assert len(missed) <= 40 + 10
        async with machine.process({"paths": {"calls.log": "/moved"}}) as outbox:
            await outbox.drained()
            assert (await outbox.snapshot()).held == {}
        assert len(machine.books.calls) == rows

    caplog.set_level(logging.WARNING)
    play(tmp_path, deliver, look_every=5.0, paths={"call-log": "/moved"})
    told = [record.message for record in caplog.records if getattr(record, "event", None) == "blocked"]
    assert len(told) == 1
    assert "holding every item of calls.log" in told[0]


@pytest.mark.parametrize("fault", ["503", "500", "lost"])
def test_an_operation_at_which_leadsquared_fails_holds_its_own_rows_only(fault: str, tmp_path: Path) -> None:
    """Its rows cost a few calls and then one every 15 minutes; forms do not notice; it goes on by itself."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put_many(
                submissions.update_opportunity(f"id-{number}", note="Won") for number in range(40)
            )
            await asyncio.sleep(30.0)
            start = machine.now
            for number in range(50):
                await outbox.put(lead(number))
            await machine.arrival_of('"p49@example.com"', within=30.0)
            assert machine.now - start < 20.0
            await asyncio.sleep(HOUR)
            assert (await by_state(outbox)) == {"pending": 40, "confirmed": 50}
            assert (await outbox.snapshot()).held.keys() == {"opportunities.update"}
            before = refused(machine, "opportunity-update")
            assert before <= 3 * 32 + 20
            await asyncio.sleep(HOUR)
            assert refused(machine, "opportunity-update") - before <= 5
            machine.books.faults = Faults(latency=0.04)
            await outbox.drained()
            assert (await outbox.snapshot()).blocked is None
            assert len(await items(outbox, "pending")) == 0

    faults = Faults(latency=0.04, probabilities={fault: 1.0}, operations=("opportunity-update",))
    play(tmp_path, deliver, faults, look_every=5.0)


def test_few_failures_of_one_operation_do_not_use_up_what_others_are_forgiven(tmp_path: Path) -> None:
    """As many rows of each operation may fail, while the other rows of it go past them."""

    async def deliver(machine: Machine) -> None:
        machine.answer_at("poison", 500, "Internal server error")
        async with machine.process() as outbox:
            await outbox.put_many({"EmailAddress": f"poison{number}@example.com"} for number in range(FEW))
            await outbox.put_many(
                submissions.log_call("poison", {"SourceNumber": f"poison{number}"}) for number in range(FEW)
            )
            await asyncio.sleep(HOUR)
            await outbox.put(lead(1))
            await outbox.put(call(1))
            await machine.arrival_of('"p1@example.com"', within=2.0)
            await machine.arrival_of('"SourceNumber":"1"', within=2.0)

    play(tmp_path, deliver, look_every=5.0)


def test_a_key_that_one_path_refuses_holds_the_others_for_seconds(tmp_path: Path) -> None:
    """A 403 looks like the account's fault, until another operation gets through: from then on it is held as
    the one operation's own, and no outage of all."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            for number in range(20):
                await outbox.put(call(number))
            await asyncio.sleep(1.0)
            assert (await outbox.snapshot()).held == {}
            assert "rejected the call" in str((await outbox.snapshot()).blocked)
            start = machine.now
            await outbox.put_many(lead(number) for number in range(20))

            async def all_confirmed() -> bool:
                return (await by_state(outbox)).get("confirmed") == 20

            await until(all_confirmed, within=120.0)
            assert (await outbox.snapshot()).held.keys() == {"calls.log"}
            for form in range(100, 110):
                await asyncio.sleep(HOUR / 6)
                start = machine.now
                await outbox.put(lead(form))
                await machine.arrival_of(f'"p{form}@', within=1.0)
                assert machine.now - start < 1.0
            assert refused(machine, "call-log") <= 40 + 12
            machine.books.faults = Faults(latency=0.04)
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 50}

    faults = Faults(latency=0.04, probabilities={"403": 1.0}, operations=("call-log",))
    play(tmp_path, deliver, faults, look_every=5.0)


@pytest.mark.parametrize("fault", ["401", "403", "quota", "refused"])
def test_what_is_the_accounts_holds_every_operation(fault: str, tmp_path: Path) -> None:
    """Few calls in an hour whatever is put, all is shown as held, and all goes on within seconds of the probe
    that gets through."""

    async def deliver(machine: Machine) -> None:
        machine.books.faults = Faults(outage=(0.0, machine.now + HOUR), outage_fault=fault)
        async with machine.process() as outbox:
            await outbox.put_many(
                [*map(lead, range(20)), *map(call, range(20)), *map(opportunity, range(20))]
            )
            await asyncio.sleep(60.0)
            assert (await outbox.snapshot()).blocked is not None
            started = len(machine.books.arrivals)
            await asyncio.sleep(HOUR - 60.0)
            assert len(machine.books.arrivals) - started <= 12
            async with asyncio.timeout(900.0 + 60.0):
                while (await by_state(outbox)).get("pending"):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(1.0)
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 60}
            snapshot = await outbox.snapshot()
            assert (snapshot.blocked, snapshot.held) == (None, {})

    play(tmp_path, deliver, look_every=5.0)

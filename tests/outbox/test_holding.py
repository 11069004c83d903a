"""An error that would fail other rows holds them: one row is probed, and none is lost."""

from __future__ import annotations

import asyncio
import itertools
import logging
from pathlib import Path
from random import Random

import httpx
import pytest

from leadsquared_async import LeadSquared, Outbox, submissions
from leadsquared_async.delivery.hold import CERTAIN_AFTER
from leadsquared_async.errors import Fault
from leadsquared_async.sandbox import Faults
from leadsquared_async.submissions import Submission
from tests import virtual
from tests.clients import KEYS
from tests.outbox.machine import Machine, by_state, items, lead, play, played, until_state
from tests.outboxes import virtual_files

pytestmark = pytest.mark.slow
HOUR = 3600.0


def longest_probing(seconds: float) -> int:
    """Probes that fit in so many seconds: pauses double from 1 s to 900 s, and then stay."""
    return 10 + int(seconds / 900.0) + 1


@pytest.mark.parametrize(("fault", "rows"), [("401", 1000), ("403", 400), ("quota", 400)])
def test_an_account_error_of_an_hour_costs_no_lead(
    fault: str, rows: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All rows are confirmed after it, at most ten calls are rejected, and it is logged once."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put_many(lead(number) for number in range(rows))
            await asyncio.sleep(1800.0)
            snapshot = await outbox.snapshot()
            assert snapshot.blocked is not None
            assert snapshot.next_probe is not None
            assert 0.0 <= snapshot.next_probe <= 900.0
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": rows}
            assert (await outbox.snapshot()).blocked is None
        refused = [arrival for arrival in machine.books.arrivals if arrival.outcome != "200"]
        assert 1 <= len(refused) <= 10
        assert len(machine.books.leads) == rows
        assert machine.books.repeated == 0
        assert machine.books.most_arrivals() <= 25

    caplog.set_level(logging.WARNING)
    play(
        tmp_path,
        deliver,
        lambda start: Faults(
            latency=0.04, jitter=0.04, outage=(start + 60.0, start + 60.0 + HOUR), outage_fault=fault
        ),
        look_every=2.0,
    )
    events = [getattr(record, "event", None) for record in caplog.records]
    assert events.count("held") == 1
    assert events.count("resumed") == 1


@played(lambda start: Faults(latency=0.04, outage=(start + 60.0, start + 10 * HOUR)), look_every=5.0)
async def test_ten_hours_of_503_and_an_hour_of_500_cost_no_lead(machine: Machine) -> None:
    """No row is rejected, all are confirmed, and the pause between probes grows to 15 minutes."""
    down, failing, up = machine.now + 60.0, machine.now + 10 * HOUR, machine.now + 11 * HOUR
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(400))
        await asyncio.sleep(failing - machine.now)
        machine.books.faults = Faults(latency=0.04, outage=(failing, up), outage_fault="500")
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 400}
    bad = [arrival for arrival in machine.books.arrivals if arrival.outcome in {"503", "500"}]
    # 32 rows under way, each three times at most, and the polls of one sweep.
    ramp = 3 * 32 + 10
    assert len(bad) <= ramp + longest_probing(up - down)
    grown = [arrival for arrival in bad if arrival.time >= down + 1800.0]
    assert all(late.time - early.time >= 850.0 for early, late in itertools.pairwise(grown))
    assert len(machine.books.leads) == 400


@pytest.mark.parametrize("poison_is_a_form", [False, True])
@played(look_every=1.0)
async def test_a_row_that_always_gets_a_500_hardly_delays_others(
    machine: Machine, poison_is_a_form: bool
) -> None:
    """The other 300 rows take little longer; it stays pending and is retried seldom."""
    start = machine.now
    machine.answer_at("poison", 500, "Internal server error")
    poison = {"EmailAddress": "poison@example.com"}
    async with machine.process() as outbox:
        if poison_is_a_form:
            await outbox.put(poison, key="poison")
        await outbox.put_many([lead(number) for number in range(150)])
        if not poison_is_a_form:
            await outbox.put_many([poison])
        await outbox.put_many([lead(number) for number in range(150, 300)])

        await until_state(outbox, "confirmed", 300)
        assert machine.now - start < 300.0  # 600 calls at 4.9 a second take 122 s
        await asyncio.sleep(HOUR)
        (left,) = await items(outbox, "pending")
        assert left.lead == poison
        before = len(machine.books.arrivals)
        await asyncio.sleep(HOUR)
        assert len(machine.books.arrivals) - before <= 8
        assert left.attempts <= 3 * longest_probing(HOUR)


@played(processing_rate=1.0, look_every=1.0)
async def test_while_the_keys_are_revoked_nothing_is_asked_for_either(machine: Machine) -> None:
    """Following accepted rows makes no calls while the keys are revoked."""
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(50))
        await asyncio.sleep(30.0)
        assert (await by_state(outbox)) == {"accepted": 50}
        machine.books.faults = Faults(outage=(machine.now, machine.now + HOUR), outage_fault="401")
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 50}
    assert machine.books.by_outcome["401"] <= 10


@played(look_every=1.0)
async def test_outages_at_random_moments_lose_nothing(machine: Machine) -> None:
    """Rows that identify their lead are all confirmed, and no lead is duplicated."""
    chance = Random(7)
    async with machine.process() as outbox:
        for block in range(6):
            await outbox.put_many(lead(number + 50 * block) for number in range(50))
            fault = chance.choice(
                ["401", "403", "quota", "500", "502", "503", "504", "html", "reset", "lost"]
            )
            begin = machine.now + chance.uniform(0.0, 20.0)
            machine.books.faults = Faults(
                latency=0.04, outage=(begin, begin + chance.uniform(1.0, 200.0)), outage_fault=fault
            )
            await asyncio.sleep(chance.uniform(0.0, 300.0))
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 300}
    assert len(machine.books.leads) == 300


@played(look_every=5.0)
async def test_a_form_does_not_wait_for_rows_that_leadsquared_fails_at(machine: Machine) -> None:
    """With a few rows left that always get a 500, a form leaves within a second."""
    machine.answer_at("poison", 500, "Internal server error")
    async with machine.process() as outbox:
        await outbox.put_many({"EmailAddress": f"poison{number}@example.com"} for number in range(5))
        await asyncio.sleep(5 * HOUR)
        for form in range(4):
            start = machine.now
            ticket = await outbox.put(lead(form))
            await machine.arrival_of(f'"p{form}@example.com"')
            assert machine.now - start <= 1.0
            await asyncio.sleep(HOUR / 2)
            rows = {item.id: item.state for item in await items(outbox)}
            assert rows[ticket.id] == "confirmed"
        assert await by_state(outbox) == {"pending": 5, "confirmed": 4}


@played(look_every=10.0)
async def test_forms_that_come_during_an_outage_do_not_add_to_its_calls(machine: Machine) -> None:
    """Beyond the first few, forms wait for the next probe like all rows."""
    machine.books.faults = Faults(latency=0.04, outage=(0.0, machine.now + 10 * HOUR))
    async with machine.process() as outbox:
        for form in range(600):
            await outbox.put(lead(form))
            await asyncio.sleep(60.0)
        failed = len(machine.books.arrivals)
        assert failed <= 3 + CERTAIN_AFTER + longest_probing(10 * HOUR)
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 600}


def test_a_server_that_asks_for_an_hour_holds_delivery_and_is_probed(tmp_path: Path) -> None:
    """The outbox says that it holds instead of sleeping in a call, and delivers soon after the end."""
    is_down, asked = True, 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        if is_down:
            return httpx.Response(
                503, headers={"Retry-After": "3600"}, json={"message": "Service Unavailable"}
            )
        if request.method == "GET":
            return httpx.Response(200, json={"TaskStatus": {"Status": "Success"}})
        return httpx.Response(200, json={"RequestID": "5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4"})

    async def main() -> None:
        nonlocal is_down
        options = {"host": "https://sandbox.invalid", "transport": httpx.MockTransport(answer)}
        async with LeadSquared(**KEYS, **options) as lsq, Outbox(tmp_path / "leads.db", lsq) as outbox:
            for number in range(3):
                await outbox.put(lead(number))
            await asyncio.sleep(120.0)
            assert "(503)" in str((await outbox.snapshot()).blocked)
            assert asked <= 10
            is_down = False
            await asyncio.sleep(180.0)
            assert await by_state(outbox) == {"confirmed": 3}

    with virtual_files():
        virtual.run(main)


def call(number: int) -> Submission:
    return submissions.log_call("connector", {"SourceNumber": str(number)})


def opportunity(number: int) -> Submission:
    return submissions.capture_opportunity(lead(1000 + number), search_by="EmailAddress", event_code=1)


def refused(machine: Machine, operation: str) -> int:
    return sum(
        arrival.outcome != "200" for arrival in machine.books.arrivals if arrival.operation == operation
    )


@pytest.mark.parametrize("rows", [1, 40])
@played(look_every=2.0, paths={"call-log": "/moved"})
async def test_a_path_that_does_not_exist_holds_its_own_rows_only(
    machine: Machine, rows: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Forms are not delayed; the held rows are probed, logged once, shown, and sent once the path exists."""

    caplog.set_level(logging.WARNING)
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
    told = [record.message for record in caplog.records if getattr(record, "event", None) == "held"]
    assert len(told) == 1
    assert "holding every item of calls.log" in told[0]


@pytest.mark.parametrize("fault", ["503", "500", "lost"])
@played(look_every=2.0)
async def test_an_operation_at_which_leadsquared_fails_holds_its_own_rows_only(
    machine: Machine, fault: str
) -> None:
    """Its rows cost a few calls and then one every 15 minutes; forms are not delayed; it resumes
    automatically."""
    machine.books.faults = Faults(
        latency=0.04, probabilities={fault: 1.0}, operations=("opportunity-update",)
    )
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


@played(look_every=1.0)
async def test_few_failures_of_one_operation_do_not_use_up_what_others_are_forgiven(machine: Machine) -> None:
    """Each operation may have as many failing rows, and the others of it pass them."""
    machine.answer_at("poison", 500, "Internal server error")
    async with machine.process() as outbox:
        await outbox.put_many(
            {"EmailAddress": f"poison{number}@example.com"} for number in range(CERTAIN_AFTER)
        )
        await outbox.put_many(
            submissions.log_call("poison", {"SourceNumber": f"poison{number}"})
            for number in range(CERTAIN_AFTER)
        )
        await asyncio.sleep(HOUR)
        await outbox.put(lead(1))
        await outbox.put(call(1))
        await machine.arrival_of('"p1@example.com"', within=2.0)
        await machine.arrival_of('"SourceNumber":"1"', within=2.0)


@played(Faults(latency=0.04, probabilities={"403": 1.0}, operations=("call-log",)), look_every=1.0)
async def test_a_key_that_one_path_refuses_holds_the_others_for_seconds(machine: Machine) -> None:
    """A 403 holds all until another operation gets through, then only its own operation."""
    async with machine.process() as outbox:
        for number in range(20):
            await outbox.put(call(number))
        await asyncio.sleep(1.0)
        assert (await outbox.snapshot()).held == {}
        assert "rejected the call" in str((await outbox.snapshot()).blocked)
        start = machine.now
        await outbox.put_many(lead(number) for number in range(20))

        await until_state(outbox, "confirmed", 20, within=120.0)
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


@pytest.mark.parametrize("fault", ["401", "403", "quota", "refused"])
@played(look_every=2.0)
async def test_what_is_the_accounts_holds_every_operation(machine: Machine, fault: str) -> None:
    """An account-level error costs few calls in an hour, and all operations resume after a probe succeeds."""
    machine.books.faults = Faults(outage=(0.0, machine.now + HOUR), outage_fault=fault)
    async with machine.process() as outbox:
        await outbox.put_many([*map(lead, range(20)), *map(call, range(20)), *map(opportunity, range(20))])
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

"""Accepted rows are followed to their outcome; where that is impossible, they end accepted."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from leadsquared_async import Outbox, submissions
from leadsquared_async.outbox import follow
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, by_state, items, lead, play, played, until

SOMEBODY = lead(0)


@played(
    Faults(latency=0.04, processing_script=("system-error",) * 4), retrying_status="ERROR", look_every=5.0
)
async def test_an_error_without_mx_is_followed_for_as_long_as_leadsquared_tries_again(
    machine: Machine,
) -> None:
    """A row whose fifth try succeeds is confirmed."""
    async with machine.process() as outbox:
        await outbox.put(SOMEBODY)
        await asyncio.sleep(600.0)
        assert await by_state(outbox) == {"accepted": 1}
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 1}


@pytest.mark.parametrize("rejected_status", ["FAILURE", "ERROR"])
def test_a_request_that_fails_in_processing_is_rejected_with_its_reason(
    rejected_status: str, tmp_path: Path
) -> None:
    """FAILURE, and an ERROR that names an MX exception, are final."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put(SOMEBODY)
            await outbox.drained()
            (item,) = await items(outbox)
            assert item.state == "rejected"
            assert str(item.reason).startswith("MXUnknownAttributeException: ")
            assert item.request_id is not None

    play(tmp_path, deliver, attributes=["Phone"], rejected_status=rejected_status)


@played(
    Faults(latency=0.04, processing_script=("system-error",) * 11), retrying_status="ERROR", look_every=20.0
)
async def test_an_error_that_outlives_leadsquareds_retries_is_the_end(machine: Machine) -> None:
    """After ten tries in nine hours a row is rejected with LeadSquared's words."""
    start = machine.now
    async with machine.process() as outbox:
        await outbox.put(SOMEBODY)
        await outbox.drained()
        (item,) = await items(outbox)
        assert item.state == "rejected"
        assert "System error" in str(item.reason)
    assert 32_000.0 < machine.now - start < 45_000.0


@played(known_after=86_400.0, look_every=5.0)
async def test_a_request_id_that_leadsquared_never_knows_makes_a_row_unknown(machine: Machine) -> None:
    """It is polled for an hour, and not sent again."""
    start = machine.now
    async with machine.process() as outbox:
        await outbox.put(SOMEBODY)
        await outbox.put(lead(1))
        await outbox.drained()
        rows = await items(outbox)
    assert [item.state for item in rows] == ["unknown", "unknown"]
    assert all("it was accepted, but" in str(item.reason) for item in rows)
    assert 3600.0 <= machine.now - start < 2 * 3600.0
    assert machine.operations["capture"] == 2


@played(processing_rate=60.0)
async def test_more_rows_than_are_followed_at_once_are_all_confirmed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows beyond the bound are followed as others end, also after a restart."""
    monkeypatch.setattr(follow, "FOLLOWED", 20)
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(150))
        await asyncio.sleep(60.0)
        counts = await by_state(outbox)
        assert counts.get("accepted", 0) > 40
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 150}
    assert machine.books.repeated == 0


HOUR = 3600.0
STATUS = "/lead/update/status"


async def put_updates(outbox: Outbox, lead_id: str, count: int = 3) -> None:
    for number in range(count):
        await outbox.put(submissions.update_lead(lead_id, {"mx_City": f"City {number}"}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "message", "within"),
    [
        (403, "Missing Authentication Token", 30.0),
        (404, "Not Found", 180.0),
        (405, "Method Not Allowed", 30.0),
        (403, "Forbidden", 240.0),
    ],
)
@played(look_every=1.0)
async def test_a_row_whose_outcome_nobody_can_ask_for_ends_as_accepted(
    machine: Machine, status: int, message: str, within: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows whose inferred status path is wrong end accepted, and delay no others."""

    caplog.set_level(logging.WARNING)
    lead_id = await machine.known_lead()
    machine.answer_at(STATUS, status, message)
    async with machine.process() as outbox:
        await put_updates(outbox, lead_id)
        await asyncio.sleep(5.0)
        start = machine.now
        await outbox.put_many(lead(number) for number in range(10, 60))

        async def all_accepted() -> bool:
            return (await by_state(outbox)).get("accepted", 0) >= 3 and not await items(outbox, "pending")

        await until(all_accepted, within=within)
        await machine.arrival_of("p59@example.com", within=30.0 - min(30.0, machine.now - start))
        assert machine.books.leads[lead_id].attributes["mx_City"] == "City 2"
        async with asyncio.timeout(HOUR):
            await outbox.drained()
        assert await by_state(outbox) == {"accepted": 3, "confirmed": 50}
        for item in await items(outbox, "accepted"):
            assert (item.reason or "").startswith("its outcome cannot be fetched: ")
            assert item.request_id
            assert item.is_erased
        snapshot = await outbox.snapshot()
        assert (snapshot.blocked, snapshot.held) == (None, {})
        before = _asked(machine)
        for _ in range(2 * 30):
            await asyncio.sleep(HOUR / 30)
            await put_updates(outbox, lead_id, 1)
        # A try every 15 minutes; where it may be the request that is not found, of a minute each.
        assert _asked(machine) - before <= 2 * 5 * (20 if status == 404 else 2)
        await outbox.drained()
        assert await by_state(outbox) == {"accepted": 63, "confirmed": 50}
    told = [record.message for record in caplog.records if "holding outcomes of" in record.message]
    assert len(told) == 1
    if status != 405 and message != "Forbidden":
        assert 'paths={"leads.update status"' in told[0]


def _asked(machine: Machine) -> int:
    return machine.operations["status"]


@pytest.mark.slow
@pytest.mark.parametrize("status", [403, 404])
@played(look_every=1.0)
async def test_a_path_that_comes_to_work_is_followed_again(machine: Machine, status: int) -> None:
    """Following resumes within 15 minutes, and a later row then waits for the one before it."""
    lead_id = await machine.known_lead()
    true = machine.account._answer
    machine.answer_at(STATUS, status, "Not Found" if status == 404 else "Missing Authentication Token")
    async with machine.process() as outbox:
        for _ in range(8):
            await put_updates(outbox, lead_id)
            await asyncio.sleep(HOUR / 4)
        assert await by_state(outbox) == {"accepted": 24}
        machine.account._answer = true  # type: ignore[method-assign]
        await asyncio.sleep(1000.0)
        await put_updates(outbox, lead_id, 2)
        await asyncio.sleep(0.5)
        assert await by_state(outbox) == {"accepted": 25, "pending": 1}
        await outbox.drained()
        assert await by_state(outbox) == {"accepted": 24, "confirmed": 2}
        assert (await outbox.snapshot()).blocked is None


@played(look_every=1.0)
async def test_a_path_that_was_right_once_tells_what_it_does_not_know(machine: Machine) -> None:
    """A request that such a path does not know for an hour is unknown."""
    lead_id = await machine.known_lead()
    async with machine.process() as outbox:
        await outbox.put(submissions.update_lead(lead_id, {"mx_City": "A"}))
        await outbox.drained()
        machine.answer_at(STATUS, 404, "Not Found")
        await outbox.put(submissions.update_lead(lead_id, {"mx_City": "B"}))
        await asyncio.sleep(0.9 * HOUR)
        assert await by_state(outbox) == {"confirmed": 1, "accepted": 1}
        await asyncio.sleep(0.3 * HOUR)
        assert await by_state(outbox) == {"confirmed": 1, "unknown": 1}


@played(look_every=1.0, processing_rate=60.0)
async def test_an_outage_of_the_key_is_no_wrong_path(machine: Machine) -> None:
    """No row ends while the gateway rejects every poll; following resumes, and `drained` waits."""
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(20))
        await asyncio.sleep(10.0)
        machine.books.faults = Faults(outage=(machine.now, machine.now + 600.0), outage_fault="403")
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 20}
        assert machine.books.by_outcome["403"] <= 8 * 8


@played(look_every=1.0)
async def test_many_rows_that_are_not_followed_keep_none_from_being_followed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captures are confirmed beside any number of accepted rows."""
    monkeypatch.setattr(follow, "FOLLOWED", 50)
    machine.answer_at("/activity/create/status", 404, "Not Found")
    async with machine.process() as outbox:
        await outbox.put_many(submissions.create_activity(f"id-{number}", event=1) for number in range(120))
        await outbox.put_many(lead(number) for number in range(120))
        await asyncio.sleep(HOUR)
        assert await by_state(outbox) == {"accepted": 120, "confirmed": 120}


@pytest.mark.slow
@played(look_every=1.0)
async def test_a_status_that_wants_other_keys_does_not_stop_the_sending_again_and_again(
    machine: Machine,
) -> None:
    """A 401 of polls holds all operations until a submission succeeds, and polls only after that."""
    lead_id = await machine.known_lead()
    machine.answer_at(STATUS, 401, "Unauthorized")
    async with machine.process() as outbox:
        await put_updates(outbox, lead_id)
        await asyncio.sleep(3.0)
        await outbox.put_many(lead(number) for number in range(10, 60))
        await asyncio.sleep(240.0)
        assert (await by_state(outbox))["confirmed"] == 50
        for number in range(100, 110):
            await asyncio.sleep(600.0)
            start = machine.now
            await outbox.put(lead(number))
            await machine.arrival_of(f'"p{number}@', within=2.0)
            assert machine.now - start < 1.0
        await asyncio.sleep(60.0)
        assert await by_state(outbox) == {"accepted": 3, "confirmed": 60}

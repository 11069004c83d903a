"""Where the outcomes of an operation cannot be asked for, its rows end as accepted and delay no other."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from leadsquared_async import Outbox, submissions
from leadsquared_async.outbox import follow
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, by_state, items, lead, play, until

HOUR = 3600.0
STATUS = "/lead/update/status"


async def known_lead(machine: Machine) -> str:
    async with machine.client() as lsq:
        status = await lsq.leads.wait(await lsq.leads.capture(lead(0)))
        assert status.lead_id is not None
        return status.lead_id


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
def test_a_row_whose_outcome_nobody_can_ask_for_ends_as_accepted(
    status: int, message: str, within: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The path of the status is a guess, and whichever way it turns out wrong, the updates go one after the
    other, captures are sent and confirmed as ever, nothing is unknown, the reason says so, and it is logged
    once. The path is tried again a few times an hour, while there are rows."""

    async def deliver(machine: Machine) -> None:
        lead_id = await known_lead(machine)
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
                assert (item.reason or "").startswith("its outcome cannot be asked for: ")
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

    caplog.set_level(logging.WARNING)
    play(tmp_path, deliver, look_every=5.0)
    told = [record.message for record in caplog.records if "holding outcomes of" in record.message]
    assert len(told) == 1
    if status != 405 and message != "Forbidden":
        assert 'paths={"leads.update status"' in told[0]


def _asked(machine: Machine) -> int:
    return machine.operations["status"]


@pytest.mark.slow
@pytest.mark.parametrize("status", [403, 404])
def test_a_path_that_comes_to_work_is_followed_again(status: int, tmp_path: Path) -> None:
    """Within 15 minutes, in the same process; from then on a later row waits for the one before it."""

    async def deliver(machine: Machine) -> None:
        lead_id = await known_lead(machine)
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

    play(tmp_path, deliver, look_every=5.0)


def test_a_path_that_was_right_once_tells_what_it_does_not_know(tmp_path: Path) -> None:
    """Then a request that is not found for an hour is the request's fault: the row is unknown."""

    async def deliver(machine: Machine) -> None:
        lead_id = await known_lead(machine)
        async with machine.process() as outbox:
            await outbox.put(submissions.update_lead(lead_id, {"mx_City": "A"}))
            await outbox.drained()
            machine.answer_at(STATUS, 404, "Not Found")
            await outbox.put(submissions.update_lead(lead_id, {"mx_City": "B"}))
            await asyncio.sleep(0.9 * HOUR)
            assert await by_state(outbox) == {"confirmed": 1, "accepted": 1}
            await asyncio.sleep(0.3 * HOUR)
            assert await by_state(outbox) == {"confirmed": 1, "unknown": 1}

    play(tmp_path, deliver, look_every=5.0)


def test_an_outage_of_the_key_is_no_wrong_path(tmp_path: Path) -> None:
    """While the gateway refuses every poll of captures, nothing is given up: it is followed again by itself,
    and `drained` waits for that."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put_many(lead(number) for number in range(20))
            await asyncio.sleep(10.0)
            machine.books.faults = Faults(outage=(machine.now, machine.now + 600.0), outage_fault="403")
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 20}
            assert machine.books.by_outcome["403"] <= 8 * 8

    play(tmp_path, deliver, look_every=5.0, processing_rate=60.0)


def test_many_rows_that_are_not_followed_keep_none_from_being_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many were accepted, captures are confirmed beside them."""
    monkeypatch.setattr(follow, "FOLLOWED", 50)

    async def deliver(machine: Machine) -> None:
        machine.answer_at("/activity/create/status", 404, "Not Found")
        async with machine.process() as outbox:
            await outbox.put_many(
                submissions.create_activity(f"id-{number}", event=1) for number in range(120)
            )
            await outbox.put_many(lead(number) for number in range(120))
            await asyncio.sleep(HOUR)
            assert await by_state(outbox) == {"accepted": 120, "confirmed": 120}

    play(tmp_path, deliver, look_every=5.0)


@pytest.mark.slow
def test_a_status_that_wants_other_keys_does_not_stop_the_sending_again_and_again(tmp_path: Path) -> None:
    """A 401 holds everything at first; once a submission gets through it is known to be the path's."""

    async def deliver(machine: Machine) -> None:
        lead_id = await known_lead(machine)
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

    play(tmp_path, deliver, look_every=5.0)

"""What becomes of a row, by what LeadSquared answers: confirmed, rejected, unknown, or sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from leadsquared_async import Outbox, RetryPolicy
from leadsquared_async.outbox import follow
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, by_state, items, lead, play

NOBODY = {"FirstName": "Bret", "Notes": "called twice"}
"""A lead that LeadSquared cannot match: twice makes two."""
SOMEBODY = lead(0)


def test_refused_rows_are_rejected_alone_and_in_leadsquareds_words(tmp_path: Path) -> None:
    """A lead's own fault, found at once or while it is processed, ends that row; the others are confirmed."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put_many(
                lead(number, **({"mx_Nope": "x"} if number % 3 == 0 else {})) for number in range(30)
            )
            machine.books.faults = Faults(latency=0.04, script=("200-mx", "500-mx"))
            await outbox.drained()
            rejected = await items(outbox, "rejected")
            assert await by_state(outbox) == {"confirmed": 19, "rejected": 11}
        reasons = {item.reason for item in rejected}
        assert reasons == {
            "MXUnknownAttributeException: Attribute(s) does not exist - mx_Nope.",
            "MXDuplicateEntryException: A Lead with same Email already exists.",
        }
        assert all(item.lead is not None for item in rejected)
        refused = [item for item in rejected if item.request_id is None]
        assert len(refused) == 2
        assert all(item.attempts == 1 for item in rejected)

    play(tmp_path, deliver, attributes=["EmailAddress"])


@pytest.mark.parametrize(
    ("row", "fault", "unknown", "state", "attempts"),
    [
        (NOBODY, "reset", "safe", "unknown", 1),
        (NOBODY, "lost", "safe", "unknown", 1),
        (NOBODY, "504", "safe", "unknown", 1),
        (NOBODY, "503", "safe", "confirmed", 2),
        (NOBODY, "500", "safe", "confirmed", 2),
        (NOBODY, "refused", "safe", "confirmed", 2),
        (NOBODY, "lost", "always", "confirmed", 2),
        (NOBODY, "503", "never", "unknown", 1),
        (SOMEBODY, "lost", "safe", "confirmed", 2),
        (SOMEBODY, "reset", "safe", "confirmed", 2),
        (SOMEBODY, "504", "safe", "confirmed", 2),
        (SOMEBODY, "lost", "never", "unknown", 1),
    ],
)
def test_a_row_is_repeated_only_if_that_cannot_make_a_second_lead(  # noqa: PLR0917
    row: dict[str, str], fault: str, unknown: str, state: str, attempts: int, tmp_path: Path
) -> None:
    """Else it is unknown, and never sent twice: not at the next start, and not an hour later."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put(row)
            await outbox.drained()
            (item,) = await items(outbox)
            assert (item.state, item.attempts) == (state, attempts)
            assert (item.reason is None) == (state == "confirmed")
        async with machine.process():
            await asyncio.sleep(3600.0)
        sent = machine.operations["capture"] + (fault == "refused")
        assert sent == attempts
        assert len(machine.books.leads) <= (2 if unknown == "always" else 1)

    play(
        tmp_path,
        deliver,
        Faults(latency=0.04, script=(fault,)),
        options={"retry": RetryPolicy(unknown=unknown)},  # type: ignore[arg-type]
        look_every=5.0,
    )


@pytest.mark.parametrize(
    ("row", "unknown", "state"),
    [
        (NOBODY, "safe", "unknown"),
        (NOBODY, "always", "confirmed"),
        (SOMEBODY, "safe", "confirmed"),
        (SOMEBODY, "never", "unknown"),
    ],
)
def test_what_was_on_its_way_in_a_crash_is_repeated_only_if_the_policy_says_so(
    row: dict[str, str], unknown: str, state: str, tmp_path: Path
) -> None:
    """The next process decides as this one would have; what is unknown keeps its values and says what to
    do."""

    async def deliver(machine: Machine) -> None:
        options = {"retry": RetryPolicy(unknown=unknown)}  # type: ignore[arg-type]
        async with machine.crashing(options) as outbox:
            await outbox.put(row)
            await asyncio.sleep(0.5)
            assert await by_state(outbox) == {"sending": 1}
        machine.books.faults = Faults(latency=0.04)
        async with machine.process(options) as outbox:
            await outbox.drained()
            (item,) = await items(outbox)
            assert item.state == state
            if state == "unknown":
                assert item.lead == row
                assert "look for it" in str(item.reason)
            await asyncio.sleep(3.0)
        assert machine.operations["capture"] == (1 if state == "unknown" else 2)

    play(tmp_path, deliver, Faults(latency=2.0))


def test_without_confirmation_an_accepted_row_is_final_and_erased(tmp_path: Path) -> None:
    """With confirm=False a RequestID is the end: nothing is asked for."""

    async def deliver(machine: Machine) -> None:
        async with machine.process(confirm=False) as outbox:
            await outbox.put_many(lead(number) for number in range(10))
            await outbox.drained()
            accepted = await items(outbox, "accepted")
        assert len(accepted) == 10
        assert all(item.lead is None and item.request_id for item in accepted)
        assert machine.operations == {"capture": 10}

    play(tmp_path, deliver)


def test_rows_accepted_for_good_stay_so_when_confirmation_is_switched_on(tmp_path: Path) -> None:
    """What confirm=False ended is not followed later, when LeadSquared may know it no more."""

    async def deliver(machine: Machine) -> None:
        async with machine.process(confirm=False) as outbox:
            await outbox.put(SOMEBODY)
            await outbox.drained()
        told: list[object] = []
        outbox = Outbox(machine.path, client := machine.client())
        outbox.on_final(told.append)
        async with client, outbox:
            await asyncio.sleep(120.0)
            assert await by_state(outbox) == {"accepted": 1}
        assert told == []
        assert machine.operations["status"] == 0

    play(tmp_path, deliver)


def test_rows_left_accepted_are_final_when_confirmation_is_switched_off(tmp_path: Path) -> None:
    """Nobody follows them then: they end accepted, and the next update of the same lead goes."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put(lead(1, mx_N="first"))
            await outbox.put(lead(1, mx_N="second"))
            await asyncio.sleep(1.0)
            assert await by_state(outbox) == {"accepted": 1, "pending": 1}
        async with machine.process(confirm=False) as outbox:
            async with asyncio.timeout(60.0):
                await outbox.drained()
            assert await by_state(outbox) == {"accepted": 2}

    play(tmp_path, deliver, processing_rate=0.01)


def test_an_error_without_mx_is_followed_for_as_long_as_leadsquared_tries_again(tmp_path: Path) -> None:
    """ERROR between two tries is not the end: a row whose fifth try succeeds is confirmed."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put(SOMEBODY)
            await asyncio.sleep(600.0)
            assert await by_state(outbox) == {"accepted": 1}
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 1}

    faults = Faults(latency=0.04, processing_script=("system-error",) * 4)
    play(tmp_path, deliver, faults, retrying_status="ERROR", look_every=5.0)


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


def test_an_error_that_outlives_leadsquareds_retries_is_the_end(tmp_path: Path) -> None:
    """After the ten tries of its schedule, nine hours, a row is rejected with what LeadSquared says."""

    async def deliver(machine: Machine) -> None:
        start = machine.now
        async with machine.process() as outbox:
            await outbox.put(SOMEBODY)
            await outbox.drained()
            (item,) = await items(outbox)
            assert item.state == "rejected"
            assert "System error" in str(item.reason)
        assert 32_000.0 < machine.now - start < 45_000.0

    faults = Faults(latency=0.04, processing_script=("system-error",) * 11)
    play(tmp_path, deliver, faults, retrying_status="ERROR", look_every=20.0)


def test_a_request_id_that_leadsquared_never_knows_makes_a_row_unknown(tmp_path: Path) -> None:
    """It is asked for over an hour first, since it may not be known yet; and it is not sent again."""

    async def deliver(machine: Machine) -> None:
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

    play(tmp_path, deliver, known_after=86_400.0, look_every=5.0)


def test_more_rows_than_are_followed_at_once_are_all_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was accepted beyond that is taken up as others end, after a restart as well."""
    monkeypatch.setattr(follow, "FOLLOWED", 20)

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put_many(lead(number) for number in range(150))
            await asyncio.sleep(60.0)
            counts = await by_state(outbox)
            assert counts.get("accepted", 0) > 40
        async with machine.process() as outbox:
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 150}
        assert machine.books.repeated == 0

    play(tmp_path, deliver, processing_rate=60.0)


def test_a_row_that_is_confirmed_knows_its_lead(tmp_path: Path) -> None:
    """lead_id and created are those of the sandbox's books, and the second row of a lead finds it."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put(lead(1, mx_N="first"))
            await outbox.put(lead(1, mx_N="second"))
            await outbox.drained()
            first, second = await items(outbox)
        (known,) = machine.books.leads.values()
        assert first.lead_id == second.lead_id == known.id
        assert (first.created, second.created) == (True, False)
        assert (first.lead, second.lead) == (None, None)
        assert known.attributes["mx_N"] == "second"

    play(tmp_path, deliver)


@pytest.mark.parametrize("put", [Outbox.put, Outbox.put_many])
def test_update_behavior_travels_with_the_row(put: Callable[..., object], tmp_path: Path) -> None:
    """A row that is not to update does not, whichever way it was put, requeued ones included."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await outbox.put(lead(1, mx_N="first"))
            await outbox.drained()
            again = lead(1, mx_N="second", mx_Nope="x")
            given = again if put is Outbox.put else [again]
            await put(outbox, given, update_behavior="DoNotUpdate")  # type: ignore[misc]
            await outbox.drained()
            (item,) = await items(outbox, "rejected")
            await outbox.requeue(item, drop=["mx_Nope"])
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 2}
        (known,) = machine.books.leads.values()
        assert known.attributes["mx_N"] == "first"

    play(tmp_path, deliver, attributes=["EmailAddress", "mx_N"])

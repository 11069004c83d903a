"""How LeadSquared's answer ends a row: confirmed, rejected, unknown, or retried."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadsquared_async import (
    Fault,
    LeadSquared,
    LeadSquaredError,
    Outbox,
    RetryPolicy,
    submissions,
)
from leadsquared_async.client import parts_of
from leadsquared_async.delivery.hold import CERTAIN_AFTER, Holds
from leadsquared_async.delivery.item_retries import ATTEMPTS, ROUNDS
from leadsquared_async.delivery.reasons import KILLED
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, LEADS_CAPTURE, OPERATIONS
from leadsquared_async.outbox import settle
from leadsquared_async.outbox.row_calls import RowCalls
from leadsquared_async.outbox.rows import Row
from leadsquared_async.sandbox import Faults
from tests.clients import KEYS, FailingLimiter
from tests.delivery.error_table import DOWN, ERRORS
from tests.outbox.machine import Machine, by_state, items, lead, play, played, until

NOBODY = {"FirstName": "Bret", "Notes": "called twice"}
"""A lead that LeadSquared cannot match: twice makes two."""
SOMEBODY = lead(0)


@played(attributes=["EmailAddress"])
async def test_refused_rows_are_rejected_alone_and_in_leadsquareds_words(machine: Machine) -> None:
    """A lead's own error ends its row at once or after processing; the others are confirmed."""
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


@pytest.mark.parametrize("pause", [8, 600])
@played(Faults(latency=0.1))
async def test_a_long_pause_of_the_limit_is_shown_as_what_blocks(machine: Machine, pause: int) -> None:
    """`blocked` names a pause of ten seconds or more until it is over."""

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"retry-after": str(pause)}, json={})

    async with machine.process({"transport": httpx.MockTransport(answer)}) as outbox:
        await asyncio.sleep(1.0)
        await outbox.put(NOBODY)
        await asyncio.sleep(0.5)
        snapshot = await outbox.snapshot()
        if pause == 8:
            assert (snapshot.blocked, snapshot.fault, snapshot.next_probe) == (None, None, None)
            return
        assert "rate limit, and no call is sent for 600 s" in str(snapshot.blocked)
        assert snapshot.fault is Fault.LIMIT
        assert snapshot.next_probe == pytest.approx(pause, abs=1.0)
        await asyncio.sleep(pause - 5.0)
        assert (await outbox.snapshot()).blocked is None


@pytest.mark.parametrize("error", [OSError, TimeoutError, asyncio.CancelledError])
@pytest.mark.parametrize("has_accepted", [False, True])
@played()
async def test_a_limiter_of_the_callers_that_fails_rejects_no_row(
    machine: Machine, error: type[BaseException], has_accepted: bool
) -> None:
    """Rows are held and probed, and sent once it works again; bulk rows do not pass it."""
    limiter = FailingLimiter(None if has_accepted else error("its store is down"))
    async with machine.process({"limiter": limiter, "sync_host": "https://sandbox.invalid"}) as outbox:
        await outbox.put_many([NOBODY] * 40)
        await outbox.put(submissions.bulk_lead(SOMEBODY))
        await asyncio.sleep(1.0)
        limiter.error = error("its store is down")
        asked = limiter.asked
        await asyncio.sleep(3600.0)
        counts = await by_state(outbox)
        assert counts["confirmed"] == 1
        assert counts.keys() <= {"pending", "accepted", "confirmed"}
        assert ("accepted" in counts) is has_accepted
        snapshot = await outbox.snapshot()
        assert f"the custom limiter failed with {error.__name__}" in str(snapshot.blocked)
        assert snapshot.fault is Fault.SERVER
        assert limiter.asked - asked < 150
        limiter.error = None
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 41}


@played()
async def test_a_limiter_that_fails_when_a_token_goes_back_rejects_no_row(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row that was not sent is sent later."""

    class Failing(FailingLimiter):
        def release_unused(self) -> None:
            raise OSError("its store is down")

    async def refuse(*_values: object) -> bool:
        return False

    async with machine.process({"limiter": Failing(None)}) as outbox:
        with monkeypatch.context() as patch:
            patch.setattr(settle.Settler, "sending", refuse)
            await outbox.put(NOBODY)
            await asyncio.sleep(600.0)
            assert await by_state(outbox) == {"pending": 1}
            assert "the custom limiter failed" in str((await outbox.snapshot()).blocked)
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 1}


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
    """Otherwise it is unknown and never sent again, neither at the next start nor an hour later."""

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
@played(Faults(latency=2.0))
async def test_what_was_on_its_way_in_a_crash_is_repeated_only_if_the_policy_says_so(
    machine: Machine, row: dict[str, str], unknown: str, state: str
) -> None:
    """Otherwise the row is unknown, keeps its values, and its reason says what to do."""
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
            assert str(item.reason).startswith(f"{KILLED}: check whether it arrived")
        await asyncio.sleep(3.0)
    assert machine.operations["capture"] == (1 if state == "unknown" else 2)


@played()
async def test_without_confirmation_an_accepted_row_is_final_and_erased(machine: Machine) -> None:
    """With confirm=False a RequestID ends the row."""
    async with machine.process(confirm=False) as outbox:
        await outbox.put_many(lead(number) for number in range(10))
        await outbox.drained()
        accepted = await items(outbox, "accepted")
    assert len(accepted) == 10
    assert all(item.lead is None and item.request_id for item in accepted)
    assert machine.operations == {"capture": 10}


@played()
async def test_rows_accepted_for_good_stay_so_when_confirmation_is_switched_on(machine: Machine) -> None:
    """Rows that confirm=False ended are not followed later."""
    async with machine.process(confirm=False) as outbox:
        await outbox.put(SOMEBODY)
        await outbox.drained()
    told: list[object] = []
    async with machine.process(on_final=told.append) as outbox:
        await asyncio.sleep(120.0)
        assert await by_state(outbox) == {"accepted": 1}
    assert told == []
    assert machine.operations["status"] == 0


@played(processing_rate=0.01)
async def test_rows_left_accepted_are_final_when_confirmation_is_switched_off(machine: Machine) -> None:
    """They end accepted, and the next update of the same lead is sent."""
    async with machine.process() as outbox:
        await outbox.put(lead(1, mx_N="first"))
        await outbox.put(lead(1, mx_N="second"))
        await asyncio.sleep(1.0)
        assert await by_state(outbox) == {"accepted": 1, "pending": 1}
    async with machine.process(confirm=False) as outbox:
        async with asyncio.timeout(60.0):
            await outbox.drained()
        assert await by_state(outbox) == {"accepted": 2}


@pytest.mark.parametrize("refusal", ["401", "403"])
@pytest.mark.parametrize("first", ["504", "lost"])
@pytest.mark.parametrize(("values", "end"), [(SOMEBODY, "confirmed"), (NOBODY, "unknown")])
@played()
async def test_keys_revoked_between_two_attempts_hold_a_row_that_can_be_matched(
    machine: Machine, refusal: str, first: str, values: dict[str, str], end: str
) -> None:
    """The first attempt may have arrived; sent again it makes no duplicate. Another row is not sent again."""
    async with machine.process() as outbox:
        machine.books.faults = Faults(latency=0.04, script=(first, refusal))
        await outbox.put(values)
        await outbox.drained()
        assert await by_state(outbox) == {end: 1}
    assert len(machine.books.leads) == (1 if end == "confirmed" or first == "lost" else 0)


@played()
async def test_a_row_that_is_confirmed_knows_its_lead(machine: Machine) -> None:
    """Its lead_id and created are those of the sandbox's books."""
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


@pytest.mark.parametrize("put", [Outbox.put, Outbox.put_many])
@played(attributes=["EmailAddress", "mx_N"])
async def test_update_behavior_travels_with_the_row(machine: Machine, put: Callable[..., object]) -> None:
    """It applies however the row was put, and after a requeue."""
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


TURNED_AWAY = 6


class Settler:
    """Takes what becomes of a row."""

    def __getattr__(self, _name: str) -> Any:
        async def note(*_: object) -> None: ...

        return note


def row(number: int, operation: str) -> Row:
    return Row(number, operation, b"[]", "[]", "[]", False, None, None, None, 0, True)


@pytest.mark.parametrize("rows", [0, 1, 2], ids=["alone", "bulk", "bulk of two"])
@pytest.mark.parametrize(
    ("error", "is_answer"), ERRORS, ids=[f"{type(error).__name__}-{error.fault}" for error, _ in ERRORS]
)
async def test_only_an_answer_ends_the_hold_of_other_rows(
    error: LeadSquaredError, is_answer: bool, rows: int
) -> None:
    """Any other error leaves the rows held, and the pause between probes unchanged."""
    settler: Any = Settler()
    account: Any = None  # no row is sent
    sender = parts_of(LeadSquared(**KEYS, host="http://127.0.0.1:9")).sender
    holds = Holds("test", sender.events, OPERATIONS, asyncio.get_running_loop().time, lambda: 0.5)
    name = BULK_CREATE_OR_UPDATE.name if rows else LEADS_CAPTURE.name
    hold = holds.sending(name)
    for number in range(CERTAIN_AFTER + TURNED_AWAY):
        hold._probe_at = 0.0
        hold.fail(DOWN, number)
    pause = hold.until_probe
    assert pause > 10.0
    failed = [row(number, name) for number in range(max(1, rows))]
    await asyncio.wait_for(RowCalls(settler, holds, sender, account).fail(failed, error), 1)
    assert (hold.reason is None) is is_answer
    assert is_answer or (hold.is_certain and hold.until_probe == pytest.approx(pause, abs=1.0))


INVALID = [
    None,
    "",
    "  ",
    "a b",
    "..",
    "é",
    "x" * 101,
    "x" * 5000,
    "id\x1b[31m",
    "=1+1",
    "\ud800",
    4711,
    [],
    {},
]

PORTAL = ["<html>Log in</html>", "", "{}", "[]", "null", '{"Data":{"RequestID":"a b"}}', '"RequestID"']
OTHERS = 10


class Answering(httpx.AsyncBaseTransport):
    """Whatever is submitted with these words gets this answer."""

    def __init__(self, machine: Machine, words: str, body: str) -> None:
        self.inner = machine._transport
        self.calls = 0
        self._words = words
        self._body = body
        machine._transport = self  # type: ignore[assignment]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "POST" or self._words not in (await request.aread()).decode():
            return await self.inner.handle_async_request(request)
        self.calls += 1
        return httpx.Response(200, text=self._body, request=request)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "request_id"),
    [*(("RequestID", value) for value in INVALID), ("requestid", "a b")],
    ids=lambda value: ascii(value)[:20],
)
@played(look_every=1.0, processing_rate=6000)
async def test_a_row_ends_whose_requestid_is_invalid(machine: Machine, name: str, request_id: object) -> None:
    """It is unknown with that reason after a few rounds; the others are confirmed meanwhile."""
    start = machine.now
    odd = Answering(machine, "odd@", json.dumps({name: request_id, "Status": "Success"}))
    async with machine.process() as outbox:
        await outbox.put_many([lead(0), {"EmailAddress": "odd@example.com"}])
        await outbox.put_many([lead(number) for number in range(1, OTHERS)])
        await until(lambda: confirmed(outbox))
        assert machine.now - start < 120.0
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": OTHERS, "unknown": 1}
        (item,) = await items(outbox, "unknown")
        assert "RequestID in the answer is invalid" in str(item.reason)
        assert item.lead == {"EmailAddress": "odd@example.com"}
        await outbox.put(lead(OTHERS))
        async with asyncio.timeout(60.0):
            await outbox.drained()
        assert (await outbox.snapshot()).blocked is None
    assert 2 <= odd.calls <= ATTEMPTS * ROUNDS


async def confirmed(outbox: Any) -> bool:
    return (await by_state(outbox)).get("confirmed", 0) == OTHERS


@played()
async def test_what_cannot_be_sent_twice_is_unknown_at_once(machine: Machine) -> None:
    """A row that LeadSquared cannot match is sent once."""
    odd = Answering(machine, "ActivityEvent", '{"RequestID":"a b"}')
    async with machine.process() as outbox:
        activity = submissions.create_activity("00000000-0000-4000-8000-000000000000", event=201)
        await outbox.put(activity)
        await outbox.drained()
        assert await by_state(outbox) == {"unknown": 1}
    assert odd.calls == 1


@pytest.mark.slow
@played(look_every=20.0)
async def test_many_rows_end_however_all_their_requestids_are_invalid(machine: Machine) -> None:
    """No row is retried forever, and the outbox drains."""
    Answering(machine, "@", '{"RequestID":"a b"}')
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(CERTAIN_AFTER + 2))
        await outbox.drained()
        assert await by_state(outbox) == {"unknown": CERTAIN_AFTER + 2}


@pytest.mark.slow
@pytest.mark.parametrize("body", PORTAL)
@played(look_every=5.0)
async def test_an_answer_without_a_requestid_holds_the_rows(machine: Machine, body: str) -> None:
    """A login page of a network ends no row, and all are confirmed later."""
    portal = Answering(machine, "@", body)
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(20))
        await asyncio.sleep(3600.0)
        assert await by_state(outbox) == {"pending": 20}
        assert (await outbox.snapshot()).blocked is not None
        assert portal.calls < 100
        portal._words = "nowhere"
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 20}

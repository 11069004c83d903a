"""Submissions as tasks: each one ends, and its outcome is reported."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from taskiq import InMemoryBroker
from taskiq.brokers.zmq_broker import ZeroMQBroker

from leadsquared_async import (
    ConfigurationError,
    InvalidLead,
    ItemState,
    Lane,
    LeadSquared,
    Submission,
    submissions,
)
from leadsquared_async.integrations.taskiq import LeadSquaredTasks, TaskOutcome
from leadsquared_async.sandbox import Account, Faults, Reply, Request
from tests import virtual
from tests.clients import LEAD, FailingLimiter, virtual_client
from tests.integrations.in_memory import USUAL, World, capture, play
from tests.integrations.workers import until

LEAD_ID = "00000000-0000-4000-8000-000000000000"

EVERY_OPERATION = [
    capture(),
    submissions.update_lead(LEAD_ID, {"mx_City": "Pune"}),
    submissions.create_activity(LEAD_ID, event=201),
    submissions.create_lead_and_activity(LEAD, search_by="EmailAddress", event=201),
    submissions.capture_opportunity(LEAD, search_by="EmailAddress", event_code=12000),
    submissions.update_opportunity(LEAD_ID, fields={"mx_Custom_1": "x"}),
    submissions.log_call(
        "connector",
        {
            "SourceNumber": "+91-9988776655",
            "DestinationNumber": "+91-9988776656",
            "Direction": "Inbound",
            "Status": "Answered",
            "StartTime": "2026-01-02 03:04:05",
            "CallDuration": 10,
        },
    ),
]


WITH_ACTIVITY = {"leads.capture", "activities.create_with_lead", "calls.log"}


@pytest.mark.parametrize("submission", EVERY_OPERATION, ids=lambda it: it.operation.name)
def test_every_operation_goes_as_a_task_to_its_outcome(submission: Submission) -> None:
    """Tasks for unknown leads end rejected, the others confirmed."""

    async def use(world: World) -> None:
        await world.tasks.submit(submission)
        (outcome,) = await world.reported(1)
        assert outcome.operation == submission.operation.name
        assert outcome.state in {ItemState.CONFIRMED, ItemState.REJECTED}
        assert outcome.request_id is not None
        assert (outcome.activity_id is not None) is (submission.operation.name in WITH_ACTIVITY)
        assert len([it for it in world.books.requests if it["operation"]]) == 1

    play(use)


def test_a_confirmed_lead_is_reported_with_its_id() -> None:
    """The report has the reference and no values."""

    async def use(world: World) -> None:
        await world.tasks.submit(capture(7))
        (outcome,) = await world.reported(1)
        assert (outcome.state, outcome.reference) == (ItemState.CONFIRMED, "form-7")
        assert outcome.lead_id in world.books.leads
        assert outcome.submission is None

    play(use)


def deaths(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """The records of dead letters."""
    return [record for record in caplog.records if getattr(record, "event", "") == "dead_letter"]


def test_what_leadsquared_refuses_later_is_reported_as_rejected(caplog: pytest.LogCaptureFixture) -> None:
    """The report has LeadSquared's words, the log only the reference."""

    async def use(world: World) -> None:
        lead = {**LEAD, "mx_Nope": "zqplanted4711"}
        await world.tasks.submit(submissions.capture_lead(lead, reference="form-1"))
        (outcome,) = await world.reported(1)
        assert outcome.state is ItemState.REJECTED
        assert "mx_Nope" in (outcome.reason or "")
        assert outcome.submission is None
        assert "mx_Nope" not in repr(outcome)

    caplog.set_level(logging.DEBUG, "leadsquared_async")
    play(use, attributes=list(LEAD))
    said = "of leads.capture ended rejected: MXUnknownAttributeException: "
    assert said in caplog.text
    assert "zqplanted4711" not in caplog.text
    (death,) = deaths(caplog)
    assert (death.owner, death.state, death.kind) == ("tasks", "rejected", "MXUnknownAttributeException")
    assert (death.operation, death.reference, death.delivery) == ("leads.capture", "form-1", "accepted")
    assert death.request_id
    assert death.item


@pytest.mark.parametrize("later", [True, False], ids=["by its outcome", "at once"])
def test_values_come_with_a_rejected_submission_if_asked_for(later: bool) -> None:
    """A rejected submission can be corrected and submitted again; a confirmed one has no values."""

    async def use(world: World) -> None:
        await world.tasks.submit(submissions.capture_lead({**LEAD, "mx_Nope": "x"}))
        (outcome,) = await world.reported(1)
        assert outcome.state is ItemState.REJECTED
        assert outcome.submission is not None
        assert outcome.submission.lead == {**LEAD, "mx_Nope": "x"}
        await world.tasks.submit(submissions.capture_lead(LEAD))
        assert (await world.reported(2))[1].submission is None

    faults = Faults(latency=0.04) if later else Faults(latency=0.04, script=("200-mx",))
    attributes = list(LEAD) if later else None
    play(use, {"keep_payload": True}, attributes=attributes, faults=faults)


def test_without_confirm_a_request_id_is_the_end() -> None:
    """No call is spent on the outcome."""

    async def use(world: World) -> None:
        await world.tasks.submit(capture())
        (outcome,) = await world.reported(1)
        assert outcome.state is ItemState.ACCEPTED
        assert outcome.request_id is not None
        assert len(world.books.arrivals) == 1

    play(use, {"confirm": False})


def test_keys_revoked_between_two_attempts_hold_a_lead_that_can_be_matched() -> None:
    """The first attempt may have arrived; sent again it makes no duplicate."""

    async def use(world: World) -> None:
        await world.tasks.submit(capture())
        (outcome,) = await world.reported(1)
        assert outcome.state is ItemState.CONFIRMED

    play(use, faults=Faults(latency=0.04, script=("504", "403")))


def test_an_activity_whose_answer_is_lost_is_unknown(caplog: pytest.LogCaptureFixture) -> None:
    """It is not sent again, and its outcome is reported."""

    async def use(world: World) -> None:
        await world.tasks.submit(submissions.create_activity(LEAD_ID, event=201, reference="visit-1"))
        (outcome,) = await world.reported(1)
        assert (outcome.state, outcome.reference) == (ItemState.UNKNOWN, "visit-1")
        assert len(world.books.arrivals) == 1

    play(use, faults=Faults(latency=0.04, script=("lost",)))
    assert "of activities.create ended unknown: ConnectionFailed: " in caplog.text
    assert "(reference visit-1)" in caplog.text
    (death,) = deaths(caplog)
    assert (death.state, death.kind, death.delivery) == ("unknown", "ConnectionFailed", "unknown")


def test_an_exception_with_a_name_is_not_retried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is rejected by that name after a few rounds."""
    named = {"Status": "Error", "ExceptionType": "NullReferenceException", "ExceptionMessage": "x"}

    async def use(world: World) -> None:
        answer = world._account._answer

        def stumble(request: Request, *rest: Any) -> Reply:
            if b"FirstName" in request.body:
                return Reply(500, body=json.dumps(named).encode())
            return answer(request, *rest)

        monkeypatch.setattr(world._account, "_answer", stumble)
        await world.tasks.submit(submissions.capture_lead({**LEAD, "FirstName": "Bret"}))
        await world.tasks.submit(submissions.capture_lead({"Phone": "9988776655", "mx_City": "Pune"}))
        outcomes = {outcome.state: outcome for outcome in await world.reported(2)}
        assert outcomes.keys() == {ItemState.REJECTED, ItemState.CONFIRMED}
        assert str(outcomes[ItemState.REJECTED].reason).startswith("NullReferenceException")

    play(use)


def test_one_exception_in_an_outage_rejects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the task was held and delivered again before: only its own failures count."""
    named = {"Status": "Error", "ExceptionType": "NullReferenceException", "ExceptionMessage": "x"}

    async def use(world: World) -> None:
        answer, tried = world._account._answer, 0

        def stumble(request: Request, *rest: Any) -> Reply:
            nonlocal tried
            tried += b"FirstName" in request.body
            if b"FirstName" not in request.body or tried > 30:
                return answer(request, *rest)
            return Reply(500, body=json.dumps(named).encode()) if tried in {15, 25} else Reply(503)

        monkeypatch.setattr(world._account, "_answer", stumble)
        await world.tasks.submit(submissions.capture_lead({**LEAD, "FirstName": "Bret"}))
        (outcome,) = await world.reported(1)
        assert outcome.state is ItemState.CONFIRMED
        assert tried == 31

    play(use)


@pytest.mark.slow
def test_an_outage_of_fifteen_minutes_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """One of 200 leads probes at growing pauses, and the outage is logged once."""

    async def use(world: World) -> None:
        world.books.faults = Faults(probabilities={"503": 0.5, "refused": 0.5})
        for number in range(200):
            await world.tasks.submit(capture(number))
        await asyncio.sleep(900)
        assert world.outcomes == []
        tried = len(world.books.arrivals)
        assert 5 < tried < 150
        world.books.faults = USUAL
        await world.reported(200)
        assert set(world.states) == {ItemState.CONFIRMED}
        assert len({outcome.reference for outcome in world.outcomes}) == 200
        assert sum(it["operation"] == "capture" for it in world.books.requests) == 200

    play(use)
    said = [record.getMessage() for record in caplog.records if record.name == "leadsquared_async"]
    assert sum("holding every item of leads.capture" in line for line in said) == 1
    assert sum("delivering every item of leads.capture again" in line for line in said) == 1


def test_revoked_keys_hold_every_task_until_they_work_again() -> None:
    """No lead is rejected for an account-level error."""

    async def use(world: World) -> None:
        world.books.faults = Faults(probabilities={"401": 1.0})
        for number in range(50):
            await world.tasks.submit(capture(number))
        await asyncio.sleep(3600)
        assert world.outcomes == []
        assert len(world.books.arrivals) < 100
        world.books.faults = USUAL
        await world.reported(50)
        assert set(world.states) == {ItemState.CONFIRMED}

    play(use)


def test_a_limiter_of_the_callers_that_fails_holds_every_task() -> None:
    """Tasks are sent once the limiter works again."""
    limiter = FailingLimiter(OSError("its store is down"))

    async def use(world: World) -> None:
        for number in range(50):
            await world.tasks.submit(capture(number))
        await asyncio.sleep(3600)
        assert world.outcomes == []
        assert limiter.asked < 100
        limiter.error = None
        await world.reported(50)
        assert set(world.states) == {ItemState.CONFIRMED}

    play(use, client={"limiter": limiter})


def test_an_operation_that_fails_delays_no_other() -> None:
    """Its tasks wait, and those of others are sent."""

    async def use(world: World) -> None:
        world.books.faults = Faults(latency=0.04, probabilities={"503": 1.0}, operations=("activity",))
        for number in range(50):
            await world.tasks.submit(submissions.create_activity(LEAD_ID, event=200 + number))
            await world.tasks.submit(capture(number))
        await asyncio.sleep(120)
        assert world.states == [ItemState.CONFIRMED] * 50

    play(use)


def test_a_callback_that_fails_is_called_again_and_sends_nothing_again() -> None:
    """Callbacks are called at least once."""

    async def use(world: World) -> None:
        tries: list[str] = []

        @world.tasks.on_final
        async def fails_at_first(outcome: TaskOutcome) -> None:
            tries.append(outcome.reference or "")
            if len(tries) < 3:
                raise RuntimeError("zqplanted4711")

        await world.tasks.submit(capture(1))
        await until(lambda: len(tries) == 3, within=50_000, every=1)
        assert sum(it["operation"] == "capture" for it in world.books.requests) == 1

    play(use)


def test_what_cannot_be_sent_is_refused_where_it_is_submitted() -> None:
    """It raises before anything is put."""

    async def use(world: World) -> None:
        with pytest.raises(InvalidLead, match="Tags"):
            await world.tasks.submit(submissions.capture_lead({"Tags": ["a"]}))
        with pytest.raises(ConfigurationError, match="bulk"):
            await world.tasks.submit(submissions.bulk_lead(LEAD))
        with pytest.raises(ConfigurationError, match="capture_lead"):
            await world.tasks.submit(LEAD)  # type: ignore[arg-type]
        assert world.outcomes == []

    play(use)


def test_two_accounts_share_a_broker() -> None:
    """Each account has task names and a client of its own."""

    async def main() -> None:
        broker = InMemoryBroker()
        clients = [virtual_client(Account(faults=USUAL)) for _ in range(2)]
        accounts = [
            LeadSquaredTasks(broker, lambda lsq=lsq: lsq, name=name, lane=Lane.INTERACTIVE)  # type: ignore[misc]
            for name, (lsq, _) in zip(("one", "other"), clients, strict=True)
        ]
        await broker.startup()
        for _ in range(3):
            await accounts[1].submit(capture())
        await accounts[0].submit(capture())
        await asyncio.sleep(100)
        taken = [sum(it["operation"] == "capture" for it in wire.books.requests) for _, wire in clients]
        assert taken == [1, 3]
        await broker.shutdown()

    virtual.run(main)


def test_no_value_is_in_taskiqs_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    """taskiq's records of a put task show no value."""

    async def use(world: World) -> None:
        caplog.set_level(logging.DEBUG, "taskiq")
        lead = {"FirstName": "zqplanted4711", "EmailAddress": "p@example.com"}
        await world.tasks.submit(submissions.capture_lead(lead, reference="form-1"))
        kicked = next(line for line in caplog.messages if line.startswith("Kicking"))
        assert "form-1" in kicked
        assert "zqplanted4711" not in kicked
        await world.reported(1)

    play(use)


def test_a_broker_that_would_lose_or_mix_leads_is_refused() -> None:
    """It rejects a broker without storage, and one with another account's tasks under the same name."""
    with pytest.raises(ConfigurationError, match="StreamBroker"):
        LeadSquaredTasks(ZeroMQBroker.__new__(ZeroMQBroker), LeadSquared)
    broker = InMemoryBroker()
    LeadSquaredTasks(broker, LeadSquared)
    with pytest.raises(ConfigurationError, match="name="):
        LeadSquaredTasks(broker, LeadSquared)


def test_a_worker_that_stops_while_it_follows_leaves_nothing_behind() -> None:
    """No coroutine stays unawaited."""

    async def use(world: World) -> None:
        await world.tasks.submit(capture())
        await world.broker.wait_all()

    play(use)

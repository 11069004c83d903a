"""Submissions as tasks: each ends where somebody hears of it, in virtual time on a broker in memory."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable
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
from leadsquared_async.sandbox import Account, Books, Faults, Reply, Request, SandboxTransport
from tests import virtual
from tests.clients import LEAD, PatchedAccount, virtual_client
from tests.integrations.workers import until

LEAD_ID = "00000000-0000-4000-8000-000000000000"
USUAL = Faults(latency=0.04)


class World:
    """A broker in memory, whose worker has a client of a sandbox; all in virtual time.

    Attributes:
        outcomes: what was told, in order.
    """

    def __init__(self, account: Account, client: dict[str, Any], options: dict[str, Any]) -> None:
        self._account = account
        self._client = client
        self.transport: SandboxTransport
        self.broker = InMemoryBroker(max_async_tasks=40)
        self.tasks = LeadSquaredTasks(self.broker, self._open, **options)
        self.outcomes: list[TaskOutcome] = []
        self.tasks.on_final(self.outcomes.append)

    def _open(self) -> LeadSquared:
        lsq, self.transport = virtual_client(self._account, **self._client)
        return lsq

    @property
    def books(self) -> Books:
        return self.transport.books

    async def told(self, count: int) -> list[TaskOutcome]:
        """The outcomes, once there are so many."""
        await until(lambda: len(self.outcomes) >= count, within=50_000, every=0.5)
        return self.outcomes

    @property
    def states(self) -> list[str]:
        return [outcome.state for outcome in self.outcomes]


def play(
    what: Callable[[World], Awaitable[None]],
    options: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
    **account: Any,
) -> None:
    """Do something with a worker that runs."""

    async def main() -> None:
        account.setdefault("faults", USUAL)
        world = World(PatchedAccount(**account), client or {}, options or {})
        await world.broker.startup()
        try:
            await what(world)
        finally:
            await world.broker.shutdown()
        assert world.books.over_limit == 0

    virtual.run(main)


def capture(number: int = 0) -> Submission:
    lead = {**LEAD, "EmailAddress": f"p{number}@example.com"}
    return submissions.capture_lead(lead, reference=f"form-{number}")


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


@pytest.mark.parametrize("submission", EVERY_OPERATION, ids=lambda it: it.operation.name)
def test_every_operation_goes_as_a_task_to_its_outcome(submission: Submission) -> None:
    """What needs a lead that is not there is told as rejected, all else as confirmed."""

    async def use(world: World) -> None:
        await world.tasks.submit(submission)
        (outcome,) = await world.told(1)
        assert outcome.operation == submission.operation.name
        assert outcome.state in {ItemState.CONFIRMED, ItemState.REJECTED}
        assert outcome.request_id is not None
        assert len([it for it in world.books.requests if it["operation"]]) == 1

    play(use)


def test_a_confirmed_lead_is_told_with_its_id() -> None:
    """By your reference, without its values."""

    async def use(world: World) -> None:
        await world.tasks.submit(capture(7))
        (outcome,) = await world.told(1)
        assert (outcome.state, outcome.reference) == (ItemState.CONFIRMED, "form-7")
        assert outcome.lead_id in world.books.leads
        assert outcome.submission is None

    play(use)


def deaths(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """The records of what ended badly, each of which has these attributes."""
    return [record for record in caplog.records if getattr(record, "event", "") in {"rejected", "unknown"}]


def test_what_leadsquared_refuses_later_is_told_as_rejected(caplog: pytest.LogCaptureFixture) -> None:
    """With LeadSquared's words by name, and in the log by reference alone."""

    async def use(world: World) -> None:
        lead = {**LEAD, "mx_Nope": "zqplanted4711"}
        await world.tasks.submit(submissions.capture_lead(lead, reference="form-1"))
        (outcome,) = await world.told(1)
        assert outcome.state is ItemState.REJECTED
        assert "mx_Nope" in (outcome.reason or "")
        assert outcome.submission is None
        assert "mx_Nope" not in repr(outcome)

    caplog.set_level(logging.DEBUG, "leadsquared_async")
    play(use, attributes=list(LEAD))
    said = "tasks: a submission to leads.capture ended rejected (reference form-1): MX"
    assert said in caplog.text
    assert "zqplanted4711" not in caplog.text
    (death,) = deaths(caplog)
    assert (death.event, death.kind) == ("rejected", "MXUnknownAttributeException")
    assert (death.operation, death.reference, death.delivery) == ("leads.capture", "form-1", "accepted")
    assert death.request_id
    assert death.item


@pytest.mark.parametrize("later", [True, False], ids=["by its outcome", "at once"])
def test_values_come_with_a_rejected_submission_if_asked_for(later: bool) -> None:
    """So that it can be mended and submitted again; a confirmed one's do not."""

    async def use(world: World) -> None:
        await world.tasks.submit(submissions.capture_lead({**LEAD, "mx_Nope": "x"}))
        (outcome,) = await world.told(1)
        assert outcome.state is ItemState.REJECTED
        assert outcome.submission is not None
        assert outcome.submission.lead == {**LEAD, "mx_Nope": "x"}
        await world.tasks.submit(submissions.capture_lead(LEAD))
        assert (await world.told(2))[1].submission is None

    faults = Faults(latency=0.04) if later else Faults(latency=0.04, script=("200-mx",))
    attributes = list(LEAD) if later else None
    play(use, {"keep_payload": True}, attributes=attributes, faults=faults)


def test_without_confirm_a_request_id_is_the_end() -> None:
    """And no call is spent on the outcome."""

    async def use(world: World) -> None:
        await world.tasks.submit(capture())
        (outcome,) = await world.told(1)
        assert outcome.state is ItemState.ACCEPTED
        assert outcome.request_id is not None
        assert len(world.books.arrivals) == 1

    play(use, {"confirm": False})


def test_an_activity_whose_answer_is_lost_is_unknown(caplog: pytest.LogCaptureFixture) -> None:
    """It is not sent again, and somebody is told."""

    async def use(world: World) -> None:
        await world.tasks.submit(submissions.create_activity(LEAD_ID, event=201, reference="visit-1"))
        (outcome,) = await world.told(1)
        assert (outcome.state, outcome.reference) == (ItemState.UNKNOWN, "visit-1")
        assert len(world.books.arrivals) == 1

    play(use, faults=Faults(latency=0.04, script=("lost",)))
    assert "activities.create ended unknown (reference visit-1)" in caplog.text
    (death,) = deaths(caplog)
    assert (death.event, death.kind, death.delivery) == ("unknown", "ConnectionFailed", "unknown")


def test_an_exception_with_a_name_is_not_retried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """LeadSquared's code stumbles over one lead each time: after a few rounds it is rejected by that name."""
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
        outcomes = {outcome.state: outcome for outcome in await world.told(2)}
        assert outcomes.keys() == {ItemState.REJECTED, ItemState.CONFIRMED}
        assert str(outcomes[ItemState.REJECTED].reason).startswith("NullReferenceException")

    play(use)


@pytest.mark.slow
def test_an_outage_of_fifteen_minutes_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """200 leads; while nothing gets through one at a time tries, at growing pauses, and it is said once."""

    async def use(world: World) -> None:
        world.books.faults = Faults(probabilities={"503": 0.5, "refused": 0.5})
        for number in range(200):
            await world.tasks.submit(capture(number))
        await asyncio.sleep(900)
        assert world.outcomes == []
        tried = len(world.books.arrivals)
        assert 5 < tried < 150
        world.books.faults = USUAL
        await world.told(200)
        assert set(world.states) == {ItemState.CONFIRMED}
        assert len({outcome.reference for outcome in world.outcomes}) == 200
        assert sum(it["operation"] == "capture" for it in world.books.requests) == 200

    play(use)
    said = [record.getMessage() for record in caplog.records if record.name == "leadsquared_async"]
    assert sum("holding all of leads.capture" in line for line in said) == 1
    assert sum("delivering all of leads.capture again" in line for line in said) == 1


def test_revoked_keys_hold_every_task_until_they_work_again() -> None:
    """No lead is rejected for the account's fault."""

    async def use(world: World) -> None:
        world.books.faults = Faults(probabilities={"401": 1.0})
        for number in range(50):
            await world.tasks.submit(capture(number))
        await asyncio.sleep(3600)
        assert world.outcomes == []
        assert len(world.books.arrivals) < 100
        world.books.faults = USUAL
        await world.told(50)
        assert set(world.states) == {ItemState.CONFIRMED}

    play(use)


def test_an_operation_that_fails_holds_up_no_other() -> None:
    """Its tasks wait, and those of others go on."""

    async def use(world: World) -> None:
        world.books.faults = Faults(latency=0.04, probabilities={"503": 1.0}, operations=("activity",))
        for number in range(50):
            await world.tasks.submit(submissions.create_activity(LEAD_ID, event=200 + number))
            await world.tasks.submit(capture(number))
        await asyncio.sleep(120)
        assert world.states == [ItemState.CONFIRMED] * 50

    play(use)


def test_a_callback_that_fails_is_called_again_and_sends_nothing_again() -> None:
    """At least once, whatever it does."""

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


def test_what_cannot_be_sent_is_refused_at_the_door() -> None:
    """Where it is submitted, before anything is put."""

    async def use(world: World) -> None:
        with pytest.raises(InvalidLead, match="Tags"):
            await world.tasks.submit(submissions.capture_lead({"Tags": ["a"]}))
        with pytest.raises(ConfigurationError, match="bulk"):
            await world.tasks.submit(submissions.bulk_lead(LEAD))
        assert world.outcomes == []

    play(use)


def test_two_accounts_share_a_broker() -> None:
    """Under names of their own, each by its own client."""

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


def test_no_value_stands_in_taskiqs_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    """Where a web process puts a task."""

    async def use(world: World) -> None:
        caplog.set_level(logging.DEBUG, "taskiq")
        lead = {"FirstName": "zqplanted4711", "EmailAddress": "p@example.com"}
        await world.tasks.submit(submissions.capture_lead(lead, reference="form-1"))
        kicked = next(line for line in caplog.messages if line.startswith("Kicking"))
        assert "form-1" in kicked
        assert "zqplanted4711" not in kicked
        await world.told(1)

    play(use)


def test_two_accounts_under_one_name_are_refused() -> None:
    """Else one account's leads would go to the other."""
    broker = InMemoryBroker()
    LeadSquaredTasks(broker, LeadSquared)
    with pytest.raises(ConfigurationError, match="name="):
        LeadSquaredTasks(broker, LeadSquared)


def test_an_activity_is_told_with_its_id() -> None:
    """What is neither lead nor submission is refused with what to call."""

    async def use(world: World) -> None:
        await world.tasks.submit(
            submissions.create_lead_and_activity(LEAD, search_by="EmailAddress", event=201)
        )
        (outcome,) = await world.told(1)
        assert outcome.activity_id is not None
        with pytest.raises(ConfigurationError, match="capture_lead"):
            await world.tasks.submit(LEAD)  # type: ignore[arg-type]

    play(use)


def test_a_worker_that_stops_while_it_follows_leaves_nothing_behind() -> None:
    """No coroutine that was never awaited, which a test of somebody's would show."""

    async def use(world: World) -> None:
        await world.tasks.submit(capture())
        await world.broker.wait_all()

    play(use)


def test_a_broker_that_keeps_nothing_safe_is_refused() -> None:
    """With the way out in the message."""
    with pytest.raises(ConfigurationError, match="StreamBroker"):
        LeadSquaredTasks(ZeroMQBroker.__new__(ZeroMQBroker), LeadSquared)


def test_without_the_extra_it_is_named() -> None:
    """Not only the module that is missing."""
    code = "import sys; sys.modules['taskiq_redis'] = None; import leadsquared_async.integrations.taskiq"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "leadsquared_async[taskiq]"' in ran.stderr

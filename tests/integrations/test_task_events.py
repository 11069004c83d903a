"""What happens to tasks and their store, and the events that say so, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from taskiq.exceptions import SendTaskError

from leadsquared_async import Event, submissions
from leadsquared_async.events import (
    CallbackFailed,
    DeadLetter,
    Delivered,
    Held,
    Processed,
    Resumed,
    StoreBack,
    StoreLost,
)
from leadsquared_async.integrations.taskiq import StreamBroker, TaskOutcome
from leadsquared_async.logs import ClientEvents
from leadsquared_async.sandbox import Faults
from tests.clients import LEAD
from tests.integrations.in_memory import World, capture, play
from tests.recorded import OF_CALLS, Recorded, recording

OF_TASK = {"owner": "tasks", "operation": "leads.capture", "reference": "form-1"}


async def submit(world: World) -> None:
    await world.tasks.submit(capture(1))
    await world.reported(1)


async def submit_a_bad_one(world: World) -> None:
    await world.tasks.submit(submissions.capture_lead({**LEAD, "mx_Nope": "x"}, reference="form-1"))
    await world.reported(1)


async def outage(world: World) -> None:
    world.books.faults = Faults(probabilities={"503": 1.0})
    await world.tasks.submit(capture(1))
    await asyncio.sleep(300.0)
    world.books.faults = Faults()
    await world.reported(1)


async def failing_callback(world: World) -> None:
    failures = [ZeroDivisionError("not a word of this")]

    @world.tasks.on_final
    def fails_once(_: TaskOutcome) -> None:
        while failures:
            raise failures.pop()

    await submit(world)
    await asyncio.sleep(1.0)


async def store_that_refuses_the_next_step(world: World) -> None:
    kiq, refusals = world.tasks._following.kiq, [RedisConnectionError("no"), RedisConnectionError("no")]

    async def kiq_later(*values: Any) -> Any:
        if refusals:
            raise SendTaskError from refusals.pop()
        return await kiq(*values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.tasks._following, "kiq", kiq_later)
        await submit(world)


@dataclass(frozen=True)
class Case:
    """What is done, and the events without those of calls: each with the fields that are looked at."""

    act: Callable[[World], Awaitable[None]]
    events: list[tuple[type[Event], dict[str, Any]]]
    account: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


CASES = {
    "confirmed": Case(
        submit,
        [
            (Processed, {"operation": "leads.capture", "reference": "form-1", "succeeded": True}),
            (Delivered, {**OF_TASK, "state": "confirmed"}),
        ],
    ),
    "accepted, where outcomes are not followed": Case(
        submit, [(Delivered, {**OF_TASK, "state": "accepted"})], options={"confirm": False}
    ),
    "rejected": Case(
        submit_a_bad_one,
        [
            (Processed, {"succeeded": False}),
            (
                DeadLetter,
                {
                    **OF_TASK,
                    "state": "rejected",
                    "delivery": "accepted",
                    "kind": "MXUnknownAttributeException",
                },
            ),
        ],
        {"attributes": list(LEAD)},
    ),
    "an outage": Case(
        outage,
        [
            (
                Held,
                {
                    "owner": "tasks",
                    "what": "every item of leads.capture",
                    "operation": "leads.capture",
                    "fault": "server",
                    "kind": "ServerError",
                },
            ),
            (Resumed, {"owner": "tasks", "operation": "leads.capture"}),
            (Processed, {}),
            (Delivered, OF_TASK),
        ],
    ),
    "a callback that fails": Case(
        failing_callback,
        [
            *((Processed, {}), (Delivered, OF_TASK)),
            (
                CallbackFailed,
                {"callback": "on_final", "kind": "ZeroDivisionError", "reference": "form-1"},
            ),
        ],
    ),
    "a store that does not take the next step": Case(
        store_that_refuses_the_next_step,
        [
            (StoreLost, {"store": "task store"}),
            (StoreBack, {"store": "task store"}),
            *((Processed, {}), (Delivered, OF_TASK)),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_happens_to_a_task_is_told_in_order(case: Case) -> None:
    """Each event has what is expected and names the client, and its record agrees."""
    with recording() as recorded:
        play(case.act, case.options, {"on_event": recorded, "name": "acme"}, **case.account)
    recorded.assert_records_agree()
    told = [event for event in recorded.events if not isinstance(event, OF_CALLS)]
    assert [event.name for event in told] == [kind.name for kind, _ in case.events]
    for event, (_, fields) in zip(told, case.events, strict=True):
        assert {name: getattr(event, name) for name in fields} == fields
        assert event.client == "acme"


async def test_an_outage_of_the_stream_is_told_to_the_first_client_of_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once when it begins and once when it ends; without a client it is only logged."""
    monkeypatch.setattr("leadsquared_async.integrations.taskiq.broker.LOOK_EVERY", 0.0)
    broker = StreamBroker("redis://127.0.0.1:1", "q")
    first, second = Recorded(), Recorded()

    async def look(*, fails: bool) -> None:
        async def expired(_: object) -> list[object]:
            if fails:
                raise RedisConnectionError("redis://user:the-password@127.0.0.1:1")
            return ["a task"]

        monkeypatch.setattr(broker, "_expired", expired)
        await broker._next()

    with recording() as recorded:
        await look(fails=True)
        await look(fails=False)
        for name, told in (("first", first), ("second", second)):
            events = ClientEvents(name)
            events.subscribe(told)
            broker.clients.append(events)
        for fails in (True, True, False, False):
            await look(fails=fails)
    assert first.names == ["store_lost", "store_back"]
    assert second.names == []
    told_to = [(vars(record)["event"], vars(record)["client"]) for record in recorded.records]
    assert told_to == [
        *(("store_lost", None), ("store_back", None)),
        *(("store_lost", "first"), ("store_back", "first")),
    ]
    assert not any("the-password" in str(vars(record)) for record in recorded.records)

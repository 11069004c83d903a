"""What happens to the items of an outbox, and the events that say so, in order."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import Event, Outbox, OutboxItem, submissions
from leadsquared_async.events import (
    Abandoned,
    CallbackFailed,
    DeadLetter,
    Delivered,
    DeliveryStopped,
    Held,
    Processed,
    Resumed,
    StoreBack,
    StoreLost,
)
from leadsquared_async.outbox.service import LOCK_IS_GONE
from leadsquared_async.outbox.store import Store
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, lead, play
from tests.recorded import OF_CALLS, recording

LEAD_ID = "00000000-0000-4000-8000-000000000001"
SUBMISSION = submissions.capture_lead(lead(1), reference="form-1")
OF_ITEM = {"owner": "outbox", "item": 1, "operation": "leads.capture", "reference": "form-1"}
PROCESSED = {"operation": "leads.capture", "reference": "form-1"}


async def put_and_drain(machine: Machine, outbox: Outbox) -> None:
    await outbox.put(SUBMISSION)
    await outbox.drained()
    await asyncio.sleep(5.0)


async def put_an_activity(machine: Machine, outbox: Outbox) -> None:
    await outbox.put(submissions.create_activity(LEAD_ID, event=201, reference="visit-1"))
    await outbox.drained()


async def outage(machine: Machine, outbox: Outbox) -> None:
    machine.books.faults = Faults(probabilities={"401": 1.0})
    await outbox.put(SUBMISSION)
    await asyncio.sleep(60.0)
    machine.books.faults = Faults()
    await outbox.drained()


async def moved_path(machine: Machine, outbox: Outbox) -> None:
    await outbox.put(submissions.log_call("the-connectors-key", CALL))
    await asyncio.sleep(100.0)


async def full_disk(machine: Machine, outbox: Outbox) -> None:
    await outbox.put(SUBMISSION)
    with broken(Store.begin.__name__, "database or disk is full"):
        await asyncio.sleep(60.0)
    await outbox.drained()


async def unreadable_file(machine: Machine, outbox: Outbox) -> None:
    await asyncio.sleep(3.0)
    with broken(Store.next_rows.__name__, "database disk image is malformed"):
        await outbox.put(SUBMISSION)
        await asyncio.sleep(60.0)
    await outbox.drained()


async def deleted_lock(machine: Machine, outbox: Outbox) -> None:
    Path(f"{machine.path}.lock").unlink()
    await asyncio.sleep(5.0)


async def closed_client(machine: Machine, outbox: Outbox) -> None:
    assert outbox._lifecycle._client is not None
    await outbox._lifecycle._client.aclose()
    await outbox.put(SUBMISSION)
    await asyncio.sleep(5.0)


async def failing_callback(machine: Machine, outbox: Outbox) -> None:
    @outbox.on_final
    def fails(item: OutboxItem) -> None:
        raise ZeroDivisionError(str(item.lead))

    await put_and_drain(machine, outbox)


CALL = {
    "SourceNumber": "+91-9988776655",
    "CallerSource": "x",
    "Direction": "Inbound",
    "Status": "Answered",
}


@contextmanager
def broken(what: str, words: str) -> Iterator[None]:
    def fail(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError(words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, what, fail)
        yield


@dataclass(frozen=True)
class Case:
    """What is done, and the events without those of calls: each with the fields that are looked at."""

    act: Callable[[Machine, Outbox], Awaitable[None]]
    events: list[tuple[type[Event], dict[str, Any]]]
    script: tuple[str, ...] = ()
    outbox: dict[str, Any] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)


CASES = {
    "confirmed": Case(
        put_and_drain,
        [
            (Processed, {**PROCESSED, "succeeded": True}),
            (Delivered, {**OF_ITEM, "state": "confirmed"}),
        ],
    ),
    "accepted, where outcomes are not followed": Case(
        put_and_drain, [(Delivered, {**OF_ITEM, "state": "accepted"})], outbox={"confirm": False}
    ),
    "rejected at once": Case(
        put_and_drain,
        [(DeadLetter, {**OF_ITEM, "state": "rejected", "delivery": "rejected", "request_id": None})],
        ("500-mx",),
    ),
    "rejected later": Case(
        put_and_drain,
        [
            (Processed, {**PROCESSED, "succeeded": False, "kind": "MXUnknownAttributeException"}),
            (
                DeadLetter,
                {
                    **OF_ITEM,
                    "state": "rejected",
                    "delivery": "accepted",
                    "kind": "MXUnknownAttributeException",
                },
            ),
        ],
        account={"attributes": ["Phone"]},
    ),
    "unknown": Case(
        put_an_activity,
        [
            (
                DeadLetter,
                {"owner": "outbox", "state": "unknown", "delivery": "unknown", "reference": "visit-1"},
            )
        ],
        ("lost",),
    ),
    "keys that are revoked for a while": Case(
        outage,
        [
            (
                Held,
                {
                    "owner": "outbox",
                    "what": "every item",
                    "operation": None,
                    "fault": "account",
                    "kind": "MXUnAuthorizedAccessException",
                },
            ),
            (Resumed, {"owner": "outbox", "what": "every item", "operation": None}),
            (Processed, {}),
            (Delivered, OF_ITEM),
        ],
    ),
    "a path that does not exist": Case(
        moved_path,
        [(Held, {"what": "every item of calls.log", "operation": "calls.log", "kind": "NoSuchPath"})],
        account={"paths": {"call-log": "/moved"}},
    ),
    "a full disk": Case(
        full_disk,
        [
            (StoreLost, {"store": "outbox file"}),
            (StoreBack, {"store": "outbox file"}),
            (Processed, {}),
            (Delivered, OF_ITEM),
        ],
    ),
    "a file that cannot be read": Case(
        unreadable_file,
        [
            (StoreLost, {"store": "outbox file"}),
            (StoreBack, {"store": "outbox file"}),
            (Processed, {}),
            (Delivered, OF_ITEM),
        ],
    ),
    "a lock file that was deleted": Case(
        deleted_lock,
        [(DeliveryStopped, {"owner": "outbox", "reason": f"{LOCK_IS_GONE}: open the outbox again"})],
    ),
    "a client that is closed before its outbox": Case(
        closed_client,
        [(DeliveryStopped, {"owner": "outbox"})],
    ),
    "a callback that fails": Case(
        failing_callback,
        [
            (Processed, {}),
            (Delivered, OF_ITEM),
            (
                CallbackFailed,
                {"callback": "on_final", "kind": "ZeroDivisionError", "item": 1, "reference": "form-1"},
            ),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_happens_to_an_item_is_told_in_order(case: Case, tmp_path: Path) -> None:
    """Each event has what is expected and names the client, and its record agrees."""

    async def use(machine: Machine) -> None:
        async with machine.process(**case.outbox) as outbox:
            await case.act(machine, outbox)

    account = {"processing_rate": 60_000, **case.account}
    with recording() as recorded:
        options = {"on_event": recorded, "name": "acme"}
        play(tmp_path, use, Faults(latency=0.04, script=case.script), options, **account)
    recorded.assert_records_agree()
    told = [event for event in recorded.events if not isinstance(event, (*OF_CALLS, Abandoned))]
    assert [event.name for event in told] == [kind.name for kind, _ in case.events]
    for event, (_, fields) in zip(told, case.events, strict=True):
        assert {name: getattr(event, name) for name in fields} == fields
        assert event.client == "acme"

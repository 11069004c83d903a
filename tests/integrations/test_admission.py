"""What shows that the way is free: an answer of LeadSquared, and nothing that was decided here."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest
from taskiq import InMemoryBroker

from leadsquared_async import (
    ClientClosed,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    Delivery,
    Fault,
    InvalidLead,
    ItemState,
    LeadSquared,
    LeadSquaredError,
    OutboxError,
    OutboxFull,
    Rejected,
    Scope,
    ServerError,
    Timeout,
)
from leadsquared_async.delivery.item_retries import ROUNDS
from leadsquared_async.errors import BadRequest
from leadsquared_async.integrations.taskiq.admission import Admission
from leadsquared_async.integrations.taskiq.tasks import LeadSquaredTasks
from leadsquared_async.logs import ClientLog

DOWN = ServerError(
    "LeadSquared failed (503)", fault=Fault.SERVER, scope=Scope.OPERATION, delivery=Delivery.REJECTED
)
PAYLOAD = {"operation": "leads.capture", "content": "[]", "query": [], "suffix": [], "reference": None}


class Hand:
    """Takes what becomes of a task."""

    deliveries = 1
    task_id = "1"

    async def done(self) -> None: ...
    async def hand_back(self, after: float = 0.0) -> None: ...
    async def unmark(self) -> None: ...


@pytest.mark.parametrize(
    ("error", "is_answer"),
    [
        (InvalidLead("mx_Ctiy: no such field"), False),
        (ConfigurationError("no keys"), False),
        (ConfigurationError("no keys", fault=Fault.ACCOUNT), False),
        (ConfigurationError("wrong", fault=Fault.LEAD), False),
        (ClientClosed("closed"), False),
        (DeadlineExceeded("no token in time"), False),
        (DeadlineExceeded("no token in time", fault=Fault.LEAD), False),
        (ConnectionFailed("refused", fault=Fault.SERVER), False),
        (Timeout("no answer", fault=Fault.SERVER, delivery=Delivery.UNKNOWN), False),
        (OutboxError("the disk is full"), False),
        (OutboxFull("full", fault=Fault.LEAD), False),
        (LeadSquaredError("", fault=Fault.LEAD), False),
        (Rejected("MXNew", fault=Fault.LEAD, delivery=Delivery.REJECTED), True),
        (BadRequest("400", fault=Fault.LEAD, delivery=Delivery.REJECTED), True),
        (DOWN, False),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'fault', '')}",
)
async def test_only_an_answer_lets_the_others_go(error: LeadSquaredError, is_answer: bool) -> None:
    """In an outage everything else leaves the tasks waiting, and the pauses as long as they are."""
    tasks = LeadSquaredTasks(InMemoryBroker(), LeadSquared)
    admission = Admission("leads.capture", lambda: False, ClientLog(None))
    for _ in range(6):
        admission.hold._probe_at = 0.0
        admission.hold.fail(DOWN)
    pause = admission.pause
    hand: Any = Hand()
    await asyncio.wait_for(tasks._failed(PAYLOAD, error, admission, hand), 1)
    assert admission.may_send(object()) is is_answer
    assert is_answer or admission.pause == pytest.approx(pause, abs=1.0)


@pytest.mark.parametrize(
    ("body", "safe_to_retry", "deliveries", "end"),
    [
        ('{"RequestID":"a b"}', True, ROUNDS - 1, None),
        ('{"RequestID":"a b"}', True, ROUNDS, ItemState.UNKNOWN),
        ('{"RequestID":null}', True, ROUNDS, ItemState.UNKNOWN),
        ('{"RequestID":"a b"}', False, 1, ItemState.UNKNOWN),
        ("<html>", True, ROUNDS, None),
        ("<html>", True, 100 * ROUNDS, None),
    ],
)
async def test_a_task_ends_whose_requestid_is_invalid(
    body: str, safe_to_retry: bool, deliveries: int, end: ItemState | None
) -> None:
    """After a few rounds it is unknown, since LeadSquared took it; a page of somebody else ends nothing."""
    tasks = LeadSquaredTasks(InMemoryBroker(), LeadSquared)
    hand: Any = Hand()
    hand.deliveries = deliveries
    error = ServerError(
        "the answer",
        status_code=200,
        body=body,
        operation="leads.capture",
        fault=Fault.SERVER,
        scope=Scope.LEAD if body.startswith("{") else Scope.OPERATION,
        delivery=Delivery.UNKNOWN,
        safe_to_retry=safe_to_retry,
    )
    admission = Admission("leads.capture", lambda: False, ClientLog(None))
    with patch.object(tasks, "_end", AsyncMock()) as ending:
        await tasks._failed(PAYLOAD, error, admission, hand)
    assert [call.args[1] for call in ending.await_args_list] == ([] if end is None else [end])

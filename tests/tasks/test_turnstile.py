"""What shows that the way is free: an answer of LeadSquared, and nothing that was decided here."""

from __future__ import annotations

import asyncio
from typing import Any

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
    LeadSquared,
    LeadSquaredError,
    OutboxError,
    OutboxFull,
    Rejected,
    ServerError,
    Timeout,
)
from leadsquared_async.errors import BadRequest
from leadsquared_async.integrations.taskiq.tasks import LeadSquaredTasks
from leadsquared_async.integrations.taskiq.turnstile import Turnstile

DOWN = ServerError("LeadSquared failed (503)", fault=Fault.SERVER, delivery=Delivery.REJECTED)
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
    turnstile = Turnstile("leads.capture", lambda: False)
    for _ in range(6):
        turnstile._gate.probe_at = 0.0
        turnstile.failed(DOWN)
    pause = turnstile.pause
    hand: Any = Hand()
    await asyncio.wait_for(tasks._failed(PAYLOAD, error, turnstile, hand), 1)
    assert turnstile.may_go(object()) is is_answer
    assert is_answer or turnstile.pause == pytest.approx(pause, abs=1.0)

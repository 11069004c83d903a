"""What shows that LeadSquared works: an answer of its own, and nothing that was decided here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

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
    Scope,
    ServerError,
    Timeout,
)
from leadsquared_async.client import parts_of
from leadsquared_async.delivery.hold import FEW, Holds
from leadsquared_async.errors import BadRequest
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, LEADS_CAPTURE, OPERATIONS
from leadsquared_async.outbox.attempts import Attempts
from leadsquared_async.outbox.rows import Row, UnreadableRowError
from tests.clients import KEYS

DOWN = ServerError(
    "LeadSquared failed (503)", fault=Fault.SERVER, scope=Scope.OPERATION, delivery=Delivery.REJECTED
)
TURNED_AWAY = 6
ERRORS = [
    (InvalidLead("mx_Ctiy: no such field"), False),
    (ConfigurationError("no keys"), False),
    (ConfigurationError("no keys", fault=Fault.ACCOUNT), False),
    (ConfigurationError("wrong", fault=Fault.LEAD), False),
    (ClientClosed("closed"), False),
    (ClientClosed("closed", fault=Fault.LEAD), False),
    (DeadlineExceeded("no token in time"), False),
    (DeadlineExceeded("no token in time", fault=Fault.LEAD), False),
    (ConnectionFailed("refused", fault=Fault.SERVER), False),
    (Timeout("no answer", fault=Fault.SERVER, delivery=Delivery.UNKNOWN), False),
    (OutboxError("the disk is full"), False),
    (OutboxFull("full", fault=Fault.LEAD), False),
    (UnreadableRowError("its content is not JSON"), False),
    (UnreadableRowError("its content is not JSON", fault=Fault.LEAD), False),
    (LeadSquaredError("", fault=Fault.LEAD), False),
    (Rejected("MXNew", fault=Fault.LEAD, delivery=Delivery.REJECTED), True),
    (BadRequest("400", fault=Fault.LEAD, delivery=Delivery.REJECTED), True),
    (DOWN, False),
]


class Settler:
    """Takes what becomes of a row."""

    def __getattr__(self, _name: str) -> Any:
        async def note(*_: object) -> None: ...

        return note


def row(number: int, operation: str) -> Row:
    return Row(number, operation, b"[]", "[]", "[]", False, None, None, 0, True)


@pytest.mark.parametrize("rows", [0, 1, 2], ids=["alone", "bulk", "bulk of two"])
@pytest.mark.parametrize(
    ("error", "is_answer"),
    ERRORS,
    ids=[f"{type(error).__name__}-{error.fault}" for error, _ in ERRORS],
)
async def test_only_an_answer_lets_the_other_rows_go(
    error: LeadSquaredError, is_answer: bool, rows: int
) -> None:
    """In an outage everything else leaves the rows held, and the pause between two probes as long as it
    is."""
    settler: Any = Settler()
    sender = parts_of(LeadSquared(**KEYS, host="http://127.0.0.1:9")).sender
    holds = Holds("test", sender.log, OPERATIONS, asyncio.get_running_loop().time, lambda: 0.5)
    name = BULK_CREATE_OR_UPDATE.name if rows else LEADS_CAPTURE.name
    hold = holds.sending(name)
    for number in range(FEW + TURNED_AWAY):
        hold._probe_at = 0.0
        hold.fail(DOWN, number)
    pause = hold.until_probe
    assert pause > 10.0
    failed = [row(number, name) for number in range(max(1, rows))]
    await asyncio.wait_for(Attempts(settler, holds, sender).fail(failed, error), 1)
    assert (hold.reason is None) is is_answer
    assert is_answer or (hold.is_certain and hold.until_probe == pytest.approx(pause, abs=1.0))

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
from leadsquared_async.errors import BadRequest
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, LEADS_CAPTURE
from leadsquared_async.outbox.deliver import Deliverer
from leadsquared_async.outbox.deliver_bulk import BulkDeliverer
from leadsquared_async.outbox.holding import FEW
from leadsquared_async.outbox.holdings import Holdings
from leadsquared_async.outbox.rows import Claim, UnreadableRowError
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


class Ledger:
    """Takes what becomes of a row."""

    def __getattr__(self, _name: str) -> Any:
        async def note(*_: object) -> None: ...

        return note


def claim(number: int, operation: str) -> Claim:
    return Claim(number, operation, b"[]", "[]", "[]", False, None, None, 0, True)


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
    ledger: Any = Ledger()
    writer: Any = None
    sender = parts_of(LeadSquared(**KEYS, host="http://127.0.0.1:9")).sender
    holdings = Holdings(sender.log)
    if rows:
        bulk = BulkDeliverer(writer, ledger, sender, lambda: False, lambda _: None)
        holding, name = bulk.holding, BULK_CREATE_OR_UPDATE.name
        failing = bulk._failed([claim(number, name) for number in range(rows)], error)
    else:
        deliverer = Deliverer(writer, ledger, holdings, sender, lambda _: None)
        holding, name = holdings.sending(LEADS_CAPTURE.name), LEADS_CAPTURE.name
        failing = deliverer._failed(claim(0, name), error)
    for number in range(FEW + TURNED_AWAY):
        holding._gate.probe_at = 0.0
        holding.because_of(DOWN, number)
    pause = holding.until_probe
    assert pause > 10.0
    await asyncio.wait_for(failing, 1)
    assert (holding.reason is None) is is_answer
    assert is_answer or (holding.is_certain and holding.until_probe == pytest.approx(pause, abs=1.0))

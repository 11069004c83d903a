"""The tasks of one operation are held while its calls fail."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, patch

import pytest

from leadsquared_async import Lane, LeadSquared, LeadSquaredError
from leadsquared_async.integrations.taskiq.operation_sender import OperationSender
from leadsquared_async.submissions import capture_lead
from tests.clients import KEYS
from tests.delivery.error_table import DOWN, ERRORS


@pytest.mark.parametrize(
    ("error", "is_answer"),
    ERRORS,
    ids=[f"{type(error).__name__}-{error.fault}" for error, _ in ERRORS],
)
async def test_only_an_answer_ends_a_hold(error: LeadSquaredError, is_answer: bool) -> None:
    """Every other error leaves the tasks held, and the pauses unchanged."""
    client = LeadSquared(**KEYS, host="https://sandbox.invalid")
    sender: Any = OperationSender(client, "leads.capture", Lane.BATCH)
    hold = sender.hold
    pauses: list[float] = []

    async def fail_while_others_fail(*_: object) -> None:
        for _ in range(6):
            hold._probe_at = 0.0
            hold.fail(DOWN)
        pauses.append(hold.until_probe)
        raise error

    with patch.object(sender, "_send", fail_while_others_fail):
        assert await sender.send(capture_lead({"FirstName": "Bret"}), AsyncMock()) is error
    assert hold.may_send(object()) is is_answer
    assert is_answer or hold.until_probe == pytest.approx(pauses[0], abs=1.0)

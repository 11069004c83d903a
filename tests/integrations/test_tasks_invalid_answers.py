"""A task ends whose answers have an invalid RequestID."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, patch

import pytest
from taskiq import InMemoryBroker

from leadsquared_async import (
    Delivery,
    Fault,
    ItemState,
    LeadSquared,
    Scope,
    ServerError,
)
from leadsquared_async.delivery.item_retries import ROUNDS
from leadsquared_async.integrations.taskiq.tasks import LeadSquaredTasks

PAYLOAD = {"operation": "leads.capture", "content": "[]", "query": [], "suffix": [], "reference": None}


def lease(failures: int) -> Any:
    """Of a task that was delivered often."""
    return AsyncMock(task_id="1", deliveries=100, count_failure=AsyncMock(return_value=failures))


@pytest.mark.parametrize(
    ("body", "safe_to_retry", "failures", "end"),
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
    body: str, safe_to_retry: bool, failures: int, end: ItemState | None
) -> None:
    """It is unknown after a few rounds; a page that is not LeadSquared's ends nothing."""
    tasks = LeadSquaredTasks(InMemoryBroker(), LeadSquared)
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
    with patch.object(tasks, "_end", AsyncMock()) as ending:
        await tasks._failed(PAYLOAD, error, lease(failures))
    assert [call.args[1] for call in ending.await_args_list] == ([] if end is None else [end])

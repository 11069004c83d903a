"""A shutdown that is cancelled at any moment leaves nothing open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from taskiq import TaskiqEvents

from leadsquared_async import ClientClosed, LeadSquared
from leadsquared_async.integrations.taskiq import LeadSquaredTasks, StreamBroker
from tests.clients import KEYS
from tests.interruptions import WAYS, Way, interrupted
from tests.limiter.valkey import Valkey

LONGEST = 40


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("with_handler", [False, True])
async def test_a_cancelled_shutdown_leaves_nothing_open(way: Way, with_handler: bool, valkey: Valkey) -> None:
    """Natively, by a scope, and again: the client and all connections are closed, no task is left, and a
    handler of the user's own can be cancelled."""
    for k in range(1, LONGEST):
        before = asyncio.all_tasks()
        broker = StreamBroker(valkey.url, f"shutdown {with_handler}", lease=60.0)
        broker.is_worker_process = True
        if with_handler:

            async def waits(_: Any) -> None:
                await asyncio.sleep(0.02)

            broker.add_event_handler(TaskiqEvents.WORKER_SHUTDOWN, waits)
        tasks = LeadSquaredTasks(broker, lambda: LeadSquared(**KEYS, host="http://127.0.0.1:9"))
        await broker.startup()
        broker._renewing = asyncio.create_task(broker._renew())
        suspensions, _ = await interrupted(broker.shutdown(), way, k)
        with pytest.raises(ClientClosed, match="closed"):
            tasks._opened.snapshot()
        assert broker._renewing.done()
        assert all(not it.is_connected for it in broker.connection_pool._available_connections)
        assert not broker.connection_pool._in_use_connections
        await asyncio.sleep(0)
        assert {it for it in asyncio.all_tasks() - before if not it.done()} == set()
        if suspensions < k:
            return
    pytest.fail("it never ends")

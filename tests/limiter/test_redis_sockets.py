"""Sockets of sandboxes, clients and stores are closed when their user is cancelled, at any await."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import RateLimit, SharedLimiter
from leadsquared_async.sandbox import Sandbox
from tests.clients import LEAD, client_of
from tests.interruptions import WAYS, Way, interrupted, no_complaints
from tests.limiter.valkey import Valkey

pytestmark = pytest.mark.slow

MOST = 60
SOON = 2.0


async def a_sandbox(_: Valkey) -> None:
    async with Sandbox(limit=None):
        await asyncio.sleep(0)


async def a_client(_: Valkey) -> None:
    async with Sandbox(limit=None) as sandbox, client_of(sandbox) as lsq:
        await lsq.leads.capture(LEAD)


async def a_client_of_a_shared_limit(valkey: Valkey) -> None:
    shared = {"limiter": SharedLimiter(valkey.url), "rate_limit": RateLimit(100, per=0.1)}
    async with Sandbox(limit=None) as sandbox, client_of(sandbox, **shared) as lsq:
        await lsq.leads.capture(LEAD)


def sockets() -> set[str]:
    """Those that this process has open, by their inodes."""
    opened = (os.path.realpath(descriptor) for descriptor in Path("/proc/self/fd").iterdir())
    return {name for name in opened if "socket:" in name}


async def all_is_closed(before: set[str]) -> bool:
    """Whether, after a moment for what the kernel and the loop have to do, nothing more is open or runs."""
    for _ in range(round(SOON / 0.01)):
        if asyncio.all_tasks() == {asyncio.current_task()} and sockets() <= before:
            return True
        await asyncio.sleep(0.01)
    return False


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="lists what is open as Linux does")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("use", [a_sandbox, a_client, a_client_of_a_shared_limit])
async def test_a_cancelled_user_leaves_no_socket_open(
    use: Callable[[Valkey], Coroutine[Any, Any, None]], way: Way, valkey: Valkey
) -> None:
    """No listener, no connection to LeadSquared or the store, and no task of them remains."""
    await asyncio.sleep(0)
    before = sockets()
    for k in range(1, MOST):
        async with no_complaints():
            count, _ = await interrupted(use(valkey), way, k)
            assert await all_is_closed(before), (k, asyncio.all_tasks(), sockets() - before)
        if count < k:
            return
    raise AssertionError("it never ended")

"""Status calls of an account take half of its rate at most: of all operations and clients, in any second."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest

from leadsquared_async import Lane, LeadSquared, RateLimit
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.operations import OPERATIONS
from leadsquared_async.sandbox import most_in_any_window
from leadsquared_async.tracking.tracker import Tracker
from tests import virtual
from tests.clients import answering

EACH = 25
"""Requests that are followed, of each operation and client."""


def follow(
    limit: RateLimit,
    operations: Sequence[str],
    clients: int,
    beside: Callable[[LeadSquared], Awaitable[Any]] | None = None,
) -> list[float]:
    """Follow many requests of each at once, all of them finished; returns when their status was asked for."""
    times: list[float] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.001)
        return httpx.Response(200, json={"RequestID": "id", "TaskStatus": {"Status": "Success"}})

    async def main() -> None:
        opened = [answering(answer, rate_limit=limit, deadline=None) for _ in range(clients)]
        for lsq in opened:
            await lsq.__aenter__()
        trackers = [Tracker(lsq._parts.sender, OPERATIONS[name]) for lsq in opened for name in operations]
        followers = [tracker.follow(f"id-{number}") for tracker in trackers for number in range(EACH)]
        if beside is not None:
            await beside(opened[0])
        statuses = await asyncio.gather(*(follower.outcome for follower in followers))
        assert all(status.is_final for status in statuses)
        for lsq in opened:
            await lsq.aclose()

    virtual.run(main)
    return times


@pytest.mark.parametrize("clients", [1, 3])
@pytest.mark.parametrize("count", range(1, len(OPERATIONS) + 1))
@pytest.mark.parametrize("limit", [RateLimit(20, per=1.0), RateLimit(25, per=5.0)], ids=str)
def test_polls_of_any_operations_and_clients_take_half_of_the_rate(
    limit: RateLimit, count: int, clients: int
) -> None:
    """However many are followed at once, no second holds more than half of its calls, the first included."""
    times = follow(limit, list(OPERATIONS)[:count], clients)
    half = limit.calls / limit.per / 2
    assert len(times) == EACH * count * clients
    assert most_in_any_window(times, 1.0) <= math.ceil(half)
    assert most_in_any_window(times, 10.0) <= math.ceil(10 * half)
    if count > 1:
        assert len(times) / (times[-1] - times[0]) >= 0.9 * half, "what may be used is used"


def test_polls_that_forms_held_up_do_not_catch_up() -> None:
    """Polls that waited behind a burst of forms are sent at their usual spacing."""

    async def burst(lsq: LeadSquared) -> None:
        await asyncio.sleep(5.0)
        await asyncio.gather(*(lsq.leads.capture({"Phone": f"{n:010d}"}) for n in range(100)))

    times = follow(RateLimit(20, per=1.0), list(OPERATIONS), 2, burst)
    assert most_in_any_window(times, 1.0) <= 10


def test_the_pace_of_polls_follows_the_limit() -> None:
    """Polls are two spacings apart under a lowered limit too."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        bucket = TokenQueue(LocalGrantor(RateLimit(20, per=1.0)))
        bucket.join(RateLimit(20, per=1.0))
        times: list[float] = []

        async def poll() -> None:
            while True:
                await bucket.acquire(Lane.STATUS)
                times.append(clock())
                bucket.release()

        pollers = [asyncio.create_task(poll()) for _ in range(30)]
        for calls in (20, 4, 20):
            if calls == 4:
                bucket.join(RateLimit(4, per=1.0))
            await asyncio.sleep(5.0)
            begin = clock()
            await asyncio.sleep(20.0)
            mine = [time for time in times if begin <= time < begin + 20.0]
            assert most_in_any_window(mine, 1.0) <= calls / 2
            assert len(mine) >= 0.95 * 20 * calls / 2
            if calls == 4:
                bucket.leave(RateLimit(4, per=1.0))
        for poller in pollers:
            poller.cancel()
        await asyncio.gather(*pollers, return_exceptions=True)

    virtual.run(main)

"""The limit holds for any arrivals, latencies, cancellations, deadlines and timeouts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadsquared_async import Lane, RateLimit
from leadsquared_async.limiter.interface import NoTokenInTime
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.limiter.tokens import NEVER
from leadsquared_async.sandbox import most_in_any_window
from tests import virtual

LIMIT = RateLimit(25, per=5.0)
LATE = 5.0
"""Seconds after a call was given up within which the server may still count it."""


@dataclass(frozen=True)
class Call:
    """One call that somebody makes, and what becomes of it."""

    after: float
    lane: Lane
    there: float
    back: float
    gives_up_after: float | None
    arrives_late_by: float
    cancelled_after: float | None
    deadline: float | None


def seconds(most: float) -> st.SearchStrategy[float]:
    # Coarse on purpose: many things at the same moment is where queues go wrong.
    return st.integers(0, int(most * 50)).map(lambda ticks: ticks / 50)


calls = st.builds(
    Call,
    # Far more than the limit allows, with a lull now and then.
    after=st.one_of(*[st.just(0.0)] * 6, seconds(0.2), seconds(8.0)),
    lane=st.sampled_from([Lane.INTERACTIVE, *Lane]),
    there=st.one_of(*[st.just(0.0)] * 3, seconds(1.0)),
    back=st.one_of(*[st.just(0.0)] * 3, seconds(1.0)),
    gives_up_after=st.one_of(*[st.none()] * 3, seconds(2.0)),
    arrives_late_by=seconds(LATE),
    cancelled_after=st.one_of(*[st.none()] * 4, seconds(6.0)),
    deadline=st.one_of(*[st.none()] * 4, seconds(20.0)),
)


class World:
    """A bucket, its callers, and a server that writes down when calls arrive."""

    def __init__(self) -> None:
        self.bucket = TokenQueue(LocalGrantor(LIMIT))
        self.loop = asyncio.get_running_loop()
        self.arrivals: list[float] = []
        self.exchanges: set[asyncio.Task[None]] = set()

    async def make(self, call: Call) -> None:
        deadline = None if call.deadline is None else self.loop.time() + call.deadline
        try:
            await self.bucket.acquire(call.lane, deadline)
        except NoTokenInTime:
            assert deadline is not None
            return
        assert deadline is None or self.loop.time() <= deadline + 1e-6
        # As in the client, the exchange goes on when its caller is cancelled.
        exchange = asyncio.create_task(self.exchange(call))
        self.exchanges.add(exchange)
        await asyncio.shield(exchange)

    async def exchange(self, call: Call) -> None:
        if call.gives_up_after is None:
            await asyncio.sleep(call.there)
            self.arrivals.append(self.loop.time())
            await asyncio.sleep(call.back)
            self.bucket.release()
        else:
            await asyncio.sleep(call.gives_up_after)
            self.arrivals.append(self.loop.time() + call.arrives_late_by)
            self.bucket.release(counted=False)


@pytest.mark.slow
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.lists(calls, min_size=60, max_size=120))
def test_never_over_the_limit_and_nothing_forgotten(calls: list[Call]) -> None:
    """At most 25 arrivals in any 5 s; in the end all tokens are back and no caller waits."""

    async def main() -> None:
        world = World()
        tasks: list[asyncio.Task[None]] = []
        for call in calls:
            await asyncio.sleep(call.after)
            task = asyncio.create_task(world.make(call))
            tasks.append(task)
            if call.cancelled_after is not None:
                world.loop.call_later(call.cancelled_after, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*world.exchanges)
        failures = [task.exception() for task in tasks if not task.cancelled()]
        assert not any(failures), failures
        # A hair less than the window: the arithmetic is in floats, and the window is half open.
        assert most_in_any_window(sorted(world.arrivals), LIMIT.per - 1e-6) <= LIMIT.calls
        await asyncio.sleep(3 * LIMIT.per + LIMIT.calls * LIMIT.spacing)
        state = world.bucket.snapshot()
        assert (state.free, state.in_flight, state.next_due) == (LIMIT.calls, 0, None)
        assert not any(state.waiting.values())
        assert all(home.timer.at == NEVER for home in world.bucket._loops)

    virtual.run(main)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(seconds(0.5), st.sampled_from(Lane)), min_size=30, max_size=150))
def test_within_a_lane_calls_go_in_the_order_of_arrival(arrivals: list[tuple[float, Lane]]) -> None:
    """Arrivals in other lanes do not change the order within a lane."""

    async def main() -> None:
        queue = TokenQueue(LocalGrantor(LIMIT))
        served: dict[Lane, list[int]] = {lane: [] for lane in Lane}

        async def make(number: int, lane: Lane) -> None:
            await queue.acquire(lane)
            served[lane].append(number)
            await asyncio.sleep(0.05)
            queue.release()

        tasks: list[asyncio.Task[None]] = []
        for number, (after, lane) in enumerate(arrivals):
            await asyncio.sleep(after / 10)
            tasks.append(asyncio.create_task(make(number, lane)))
        await asyncio.gather(*tasks)
        assert all(numbers == sorted(numbers) for numbers in served.values())

    virtual.run(main)

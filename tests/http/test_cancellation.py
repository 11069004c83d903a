"""A caller may be cancelled at any moment: no token and no RequestID is lost."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import anyio
import httpx
import pytest

from leadsquared_async import (
    ClientClosed,
    ConnectionFailed,
    Credentials,
    Delivery,
    Lane,
    LeadSquared,
    RateLimit,
    RetryPolicy,
)
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.sandbox import Account, Faults
from tests import virtual
from tests.clients import KEYS, LEAD, answering, virtual_client


def spot(task: asyncio.Task[Any]) -> str:
    """Where a task is suspended: the innermost of the functions that wait for something of their own."""
    place = ""
    coroutine: Any = task.get_coro()
    while coroutine is not None and getattr(coroutine, "cr_frame", None) is not None:
        name = coroutine.cr_frame.f_code.co_qualname
        place = name if name in SPOTS else place
        coroutine = coroutine.cr_await
    return place


SPOTS = {
    "TokenQueue.acquire": "for a token",
    "CredentialsSource._ask": "for the keys",
    "InFlight.run": "for the exchange",
    "_Run._sleep": "between attempts",
    "Tracker.wait": "for an outcome",
}


def test_a_thousand_cancellations_at_every_await_leave_all_tokens() -> None:
    """All tokens are back and no caller waits after cancellations at any await (keys, token, exchange, pause,
    poll)."""
    spots: Counter[str] = Counter(dict.fromkeys(SPOTS, 0))

    async def main() -> None:
        chance = random.Random(11)
        probabilities = {
            "hang": 0.03,
            "503": 0.2,
            "401": 0.1,
            "lost": 0.05,
            "drip-body": 0.1,
            "drip-headers": 0.1,
        }
        faults = Faults(latency=0.2, jitter=0.5, drip=0.05, probabilities=probabilities)
        # Slow to process, so that polls find nothing final.
        account = Account(faults=faults, processing_rate=0.1)

        async def keys() -> Credentials:
            await asyncio.sleep(chance.uniform(0.0, 1.0))
            return Credentials(**KEYS)

        async def capture_and_wait() -> None:
            await lsq.leads.wait((await lsq.leads.capture(LEAD)).request_id)

        body = [{"Attribute": "Phone", "Value": "9988776655"}]
        without = dict.fromkeys(KEYS)
        pauses = RetryPolicy(base=8.0)
        lsq, transport = virtual_client(account, **without, credentials=keys, timeout=5.0, retry=pauses)
        async with lsq:
            operations: list[Callable[[], Coroutine[Any, Any, Any]]] = [
                *[capture_and_wait] * 6,
                lambda: lsq.leads.capture(LEAD),
                lambda: lsq.with_options(lane=Lane.BATCH).leads.capture(LEAD),
                lambda: lsq.request("POST", "/lead/capture", json=body),
                lsq.leads.metrics,
            ]
            running: list[asyncio.Task[Any]] = []
            while spots.total() < 1000:
                running += [
                    asyncio.create_task(chance.choice(operations)()) for _ in range(30 - len(running))
                ]
                await asyncio.sleep(chance.choice((0.0, 0.2, 0.5, 1.0)))
                await asyncio.gather(*(task for task in running if task.done()), return_exceptions=True)
                running = [task for task in running if not task.done()]
                # Wherever fewest were cancelled so far.
                if running:
                    victim = min(running, key=lambda task: spots[spot(task)])
                    spots[spot(victim)] += 1
                    victim.cancel()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            account.set_faults(Faults(), asyncio.get_running_loop().time())
            await asyncio.sleep(60.0)
            limit = lsq.snapshot().limit
            assert limit is not None
            assert (limit.free, limit.in_flight, limit.withdrawn) == (25, 0, 0)
            assert not any(limit.waiting.values())
            assert transport.books.over_limit == 0
            assert (await lsq.leads.capture(LEAD)).attempts == 1

    virtual.run(main)
    assert all(spots[place] >= 25 for place in SPOTS), spots


async def leave_by_cancel(call: Coroutine[Any, Any, Any]) -> None:
    task = asyncio.create_task(call)
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def leave_by_wait_for(call: Coroutine[Any, Any, Any]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call, 0.5)


async def leave_by_timeout(call: Coroutine[Any, Any, Any]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await call


async def leave_by_task_group(call: Coroutine[Any, Any, Any]) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.5)
        raise ZeroDivisionError

    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            left = group.create_task(call)
            group.create_task(fail())
    assert left.cancelled()


async def leave_by_cancel_scope(call: Coroutine[Any, Any, Any]) -> None:
    with anyio.move_on_after(0.5) as scope:
        await call
    assert scope.cancelled_caught


async def leave_by_anyio_task_group(call: Coroutine[Any, Any, Any]) -> None:
    async def run() -> None:
        await call

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await anyio.sleep(0.5)
        group.cancel_scope.cancel()


WAYS = [
    leave_by_cancel,
    leave_by_wait_for,
    leave_by_timeout,
    leave_by_task_group,
    leave_by_cancel_scope,
    leave_by_anyio_task_group,
]


@pytest.mark.parametrize("leave", WAYS)
def test_a_cancelled_call_under_way_logs_its_request_id(
    leave: Callable[[Coroutine[Any, Any, Any]], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    """Its exchange finishes, and its RequestID and reference are logged."""
    caplog.set_level(logging.DEBUG, "leadsquared_async")

    async def main() -> list[str]:
        account = Account(faults=Faults(latency=2.0))
        lsq, transport = virtual_client(account)
        async with lsq:
            await leave(lsq.leads.capture(LEAD, reference="form-7"))
            assert lsq.snapshot().abandoned == 1
            await asyncio.sleep(10.0)
            limit = lsq.snapshot().limit
            assert limit is not None
            assert (limit.free, limit.in_flight) == (25, 0)
        return [request["request_id"] for request in transport.books.requests]

    accepted = virtual.run(main)
    assert len(accepted) == 1
    record = next(record for record in caplog.records if vars(record).get("event") == "abandoned")
    record_of = {name: vars(record)[name] for name in ("levelno", "request_id", "reference", "delivery")}
    assert record_of == {
        "levelno": logging.WARNING,
        "request_id": accepted[0],
        "reference": "form-7",
        "delivery": "accepted",
    }


@pytest.mark.parametrize("then", ["pause", "429"])
@pytest.mark.parametrize("leave", WAYS)
def test_a_call_that_is_left_between_two_attempts_is_logged_if_it_may_have_arrived(
    leave: Callable[[Coroutine[Any, Any, Any]], Awaitable[None]],
    then: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A cancelled call whose first answer was lost is logged."""
    caplog.set_level(logging.DEBUG, "leadsquared_async")

    async def main() -> None:
        again = ("429",) * 100 if then == "429" else ("lost+taken",) * 100
        policy = RetryPolicy(attempts=100, base=0.001 if then == "429" else 100.0, cap=100.0)
        account = Account(faults=Faults(script=("lost+taken", *again), latency=0.0))
        lsq, transport = virtual_client(account, retry=policy)
        async with lsq:
            await leave(lsq.leads.capture(LEAD, reference="form-7"))
            assert lsq.snapshot().abandoned == 1
        assert transport.books.requests

    virtual.run(main)
    (record,) = [record for record in caplog.records if vars(record).get("event") == "dead_letter"]
    assert (record.levelno, vars(record)["reference"]) == (logging.ERROR, "form-7")
    assert (vars(record)["state"], vars(record)["delivery"]) == ("unknown", "unknown")


def test_a_cancelled_call_that_did_not_arrive_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing was lost, so nothing is logged."""

    async def main() -> None:
        lsq, _ = virtual_client(Account(faults=Faults(probabilities={"429": 1.0}, latency=0.0)))
        async with lsq:
            await leave_by_timeout(lsq.leads.capture(LEAD))
            assert lsq.snapshot().abandoned == 0

    virtual.run(main)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("leave", WAYS)
def test_a_call_that_is_left_before_it_had_a_token_is_never_sent(
    leave: Callable[[Coroutine[Any, Any, Any]], Awaitable[None]],
) -> None:
    """A caller that is cancelled in the queue leaves no waiter in it."""

    async def main() -> None:
        lsq, transport = virtual_client(Account(), rate_limit=RateLimit(1, per=5.0))
        async with lsq:
            await lsq.leads.capture(LEAD)
            await leave(lsq.leads.capture(LEAD))
            limit = lsq.snapshot().limit
            assert limit is not None
            assert not any(limit.waiting.values())
            await asyncio.sleep(20.0)
            assert len(transport.books.arrivals) == 1
            await lsq.leads.capture(LEAD)

    virtual.run(main)


def test_an_exchange_that_is_cancelled_before_its_first_step_gives_its_token_back() -> None:
    """Cancelling all tasks of the loop loses no token."""

    async def main() -> None:
        lsq, _ = virtual_client(Account())
        async with lsq:
            call = asyncio.create_task(lsq.leads.capture(LEAD))
            await asyncio.sleep(0)
            (exchange,) = asyncio.all_tasks() - {call, asyncio.current_task()}
            exchange.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.sleep(20.0)
            limit = lsq.snapshot().limit
            assert limit is not None
            assert (limit.free, limit.in_flight) == (25, 0)

    virtual.run(main)
    gc.collect()  # a coroutine that was never awaited would warn here, and fail the test


def in_the_tick_of_the_next_grant(lsq: LeadSquared, act: Callable[[], object], *, before: bool) -> None:
    """Do something in the very tick in which the bucket's timer grants a token, before or after the grant."""
    (home,) = lsq._session.buckets[Limit.CALLS]._loops
    ring = home.timer._callback

    def patched() -> None:
        home.timer._callback = ring
        if before:
            act()
        ring()
        if not before:
            act()

    home.timer._callback = patched


def test_a_token_that_is_granted_in_the_tick_of_a_cancellation_goes_to_the_next() -> None:
    """The next caller gets it at once."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        lsq, transport = virtual_client(Account(), rate_limit=RateLimit(1, per=5.0))
        async with lsq:
            await lsq.leads.capture(LEAD)
            start = clock()
            # Before anybody waits, since the timer holds the method that it will call.
            leaving = asyncio.create_task(lsq.leads.capture(LEAD))
            in_the_tick_of_the_next_grant(lsq, leaving.cancel, before=False)
            next_one = asyncio.create_task(lsq.leads.capture(LEAD))
            await next_one
            assert leaving.cancelled()
            assert clock() - start < 6.0
            assert len(transport.books.arrivals) == 2

    virtual.run(main)


def test_a_token_that_is_granted_in_the_tick_of_the_closing_is_not_spent() -> None:
    """A closed client sends nothing and returns the token."""

    async def main() -> None:
        account = Account()
        limit = RateLimit(1, per=5.0)
        lsq, transport = virtual_client(account, rate_limit=limit)
        other, _ = virtual_client(account, rate_limit=limit, transport=transport)
        closing: list[asyncio.Task[None]] = []
        async with other:
            await lsq.__aenter__()
            await lsq.leads.capture(LEAD)
            in_the_tick_of_the_next_grant(
                lsq, lambda: closing.append(asyncio.create_task(lsq.aclose())), before=True
            )
            late = asyncio.create_task(lsq.leads.capture(LEAD))
            with pytest.raises(ClientClosed, match="Not sent"):
                await late
            await asyncio.gather(*closing)
            assert len(transport.books.arrivals) == 1
            await other.leads.capture(LEAD)
            state = other.snapshot().limit
            assert state is not None
            assert state.in_flight == 0

    virtual.run(main)


class _Broken(httpx.AsyncByteStream):
    """A body that a transport breaks off."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"RequestID": '
        raise asyncio.CancelledError


async def _before_sending(request: httpx.Request) -> httpx.Response:
    raise asyncio.CancelledError


async def _after_sending(request: httpx.Request) -> httpx.Response:
    await request.aread()
    raise asyncio.CancelledError


async def _while_answering(request: httpx.Request) -> httpx.Response:
    await request.aread()
    return httpx.Response(200, stream=_Broken())


@pytest.mark.parametrize(
    ("handler", "delivery"),
    [
        (_before_sending, Delivery.NOT_SENT),
        (_after_sending, Delivery.UNKNOWN),
        (_while_answering, Delivery.UNKNOWN),
    ],
)
async def test_a_transport_that_cancels_itself_cancels_nobody(handler: Any, delivery: Delivery) -> None:
    """The caller gets an error that says whether the lead may have arrived."""

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await handler(request)

    async with answering(None, transport=Transport(), retry=RetryPolicy(base=0.001)) as lsq:
        with pytest.raises(ConnectionFailed, match="the transport failed with CancelledError") as caught:
            await lsq.leads.capture(LEAD)
        assert caught.value.delivery is delivery
        async with lsq.leads.capture_many([LEAD] * 3) as results:
            assert [result.error and result.error.delivery async for result in results] == [delivery] * 3

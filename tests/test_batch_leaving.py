"""A batch that is left early: what is not sent never is, what is sent is told, and nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import random
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest

from leadsquared_async import CaptureResult, LeadSquared, RateLimit, RetryPolicy
from leadsquared_async.batch import Results
from leadsquared_async.sandbox import Account, Books, Faults
from tests import virtual
from tests.clients import LEAD, answering, virtual_client

TIGHT = RateLimit(4, per=1.0)
LEAVING = 9.0
"""Seconds after which a batch is left: some results were taken by then, and some calls are under way."""


def endless() -> Iterator[dict[str, str]]:
    return ({"EmailAddress": f"b{number}@example.com"} for number in itertools.count())


async def all_is_back(lsq: LeadSquared) -> None:
    """No task runs but this one, every token is back, and a capture works at once."""
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await asyncio.sleep(30.0)
    limit = lsq.snapshot().limit
    assert limit is not None
    assert (limit.free, limit.in_flight, limit.withdrawn) == (limit.limit.calls, 0, 0)
    assert not any(limit.waiting.values())


def play(
    what: Callable[[LeadSquared, Books], Awaitable[Any]], faults: Faults | None = None, **options: Any
) -> Any:
    """Run something with a client of a sandbox in virtual time; afterwards all is as before."""

    async def main() -> Any:
        client, transport = virtual_client(
            Account(faults=faults or Faults(latency=0.5), limit=None), **{"rate_limit": TIGHT, **options}
        )
        async with client as lsq:
            result = await what(lsq, transport.books)
            transport.books.faults = Faults()
            await all_is_back(lsq)
            assert (await lsq.leads.capture(LEAD)).attempts == 1
        return result

    return virtual.run(main)


def told(records: list[logging.LogRecord]) -> list[str]:
    """The RequestIDs that log lines of abandoned leads carry."""
    fields = map(vars, records)
    return [entry["request_id"] for entry in fields if entry.get("event") == "abandoned"]


class BodyFailed(Exception):
    pass


async def by_break(results: Results[CaptureResult]) -> list[CaptureResult]:
    taken: list[CaptureResult] = []
    async with results:
        async for result in results:
            taken.append(result)
            if len(taken) == 5:
                break
    return taken


async def by_an_exception(results: Results[CaptureResult]) -> list[CaptureResult]:
    taken: list[CaptureResult] = []
    error = BodyFailed()
    with pytest.raises(BodyFailed) as caught:  # noqa: PT012
        async with results:
            async for result in results:
                taken.append(result)
                if len(taken) == 5:
                    raise error
    assert caught.value is error
    return taken


async def take_all(results: Results[CaptureResult], taken: list[CaptureResult]) -> None:
    async with results:
        async for result in results:
            taken.append(result)  # noqa: PERF401


async def by_cancellation(results: Results[CaptureResult]) -> list[CaptureResult]:
    taken: list[CaptureResult] = []
    task = asyncio.create_task(take_all(results, taken))
    await asyncio.sleep(LEAVING)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return taken


async def by_timeout(results: Results[CaptureResult]) -> list[CaptureResult]:
    taken: list[CaptureResult] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(LEAVING):
            await take_all(results, taken)
    return taken


async def by_cancel_scope(results: Results[CaptureResult]) -> list[CaptureResult]:
    taken: list[CaptureResult] = []
    with anyio.move_on_after(LEAVING) as scope:
        await take_all(results, taken)
    assert scope.cancelled_caught
    return taken


async def by_task_group(results: Results[CaptureResult]) -> list[CaptureResult]:
    taken: list[CaptureResult] = []
    async with anyio.create_task_group() as group:
        group.start_soon(take_all, results, taken)
        await anyio.sleep(LEAVING)
        group.cancel_scope.cancel()
    return taken


WAYS = [by_break, by_an_exception, by_cancellation, by_timeout, by_cancel_scope, by_task_group]


@pytest.mark.parametrize("leave", WAYS)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_however_a_batch_is_left_no_lead_goes_missing(
    leave: Callable[[Results[CaptureResult]], Awaitable[list[CaptureResult]]],
    asynchronous: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is unsent never goes out, what is under way ends in order, each RequestID was taken or told."""

    async def source() -> AsyncIterator[dict[str, str]]:
        for item in endless():
            await asyncio.sleep(0.01)
            yield item

    async def send(lsq: LeadSquared, books: Books) -> None:
        start = books.now
        taken = await leave(lsq.leads.capture_many(source() if asynchronous else endless(), concurrency=16))
        assert books.now - start < LEAVING + 3.0
        assert len(taken) >= 5
        accepted = [request["request_id"] for request in books.requests]
        await asyncio.sleep(100.0)
        assert [request["request_id"] for request in books.requests] == accepted
        received = [result.receipt.request_id for result in taken if result.receipt is not None]
        assert sorted(accepted) == sorted(received + told(caplog.records))
        assert len(told(caplog.records)) >= 1

    play(send, Faults(latency=2.0))


def test_results_that_nobody_took_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """Accepted ones with their RequestID, those that may have arrived as such, the others not at all."""

    async def send(lsq: LeadSquared, books: Books) -> list[str]:
        source = [{"FirstName": f"Bret{number}"} for number in range(4)]
        async with lsq.leads.capture_many([{}, *source]):
            await asyncio.sleep(30.0)
        return [request["request_id"] for request in books.requests]

    faults = Faults(script=("ok", "ok", "504", "500-mx"), latency=0.5)
    accepted = play(send, faults, retry=RetryPolicy(attempts=1))[:2]
    lines = [vars(record) for record in caplog.records if vars(record).get("event") == "abandoned"]
    facts = [(line["index"], line["request_id"], line["delivery"]) for line in lines]
    assert facts == [(1, accepted[0], "accepted"), (2, accepted[1], "accepted"), (3, None, "unknown")]
    assert {line["levelno"] for line in lines} == {logging.WARNING}
    assert "was accepted, RequestID" in lines[0]["message"]
    assert "Bret" not in caplog.text


def test_a_second_cancellation_ends_the_wait_for_what_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever is cancelled twice leaves at once; what was accepted is told all the same."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        task = asyncio.create_task(take_all(lsq.leads.capture_many(endless()), []))
        await asyncio.sleep(1.0)
        start = books.now
        task.cancel()
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert books.now - start < 0.6
        # What is left are the exchanges, which the client owns.
        names = {task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}}
        assert names <= {"leadsquared_async leads.capture", "sandbox arrival"}
        await asyncio.sleep(10.0)
        assert sorted(told(caplog.records)) == sorted(request["request_id"] for request in books.requests)

    play(send, Faults(latency=6.0))


def test_what_hangs_is_waited_for_eight_seconds() -> None:
    """A block that is left ends within the grace, whatever LeadSquared does; the exchange ends later."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        start = books.now
        async with lsq.leads.capture_many(endless()):
            await asyncio.sleep(1.0)
        assert 8.0 <= books.now - start - 1.0 <= 8.1
        await asyncio.sleep(30.0)

    play(send, Faults(probabilities={"hang": 1.0}))


def test_a_source_that_ignores_its_cancellation_is_given_up() -> None:
    """Leaving takes nine seconds at most, and says nothing of it."""

    async def deaf() -> AsyncIterator[dict[str, str]]:
        for _ in range(30):
            try:
                await asyncio.sleep(1.0)
            except asyncio.CancelledError:
                continue
        yield LEAD

    async def send(lsq: LeadSquared, books: Books) -> None:
        start = books.now
        async with lsq.leads.capture_many(deaf()):
            await asyncio.sleep(1.5)
        assert books.now - start <= 1.5 + 9.1
        await asyncio.sleep(60.0)

    async def main() -> None:
        lsq, transport = virtual_client(Account())
        async with lsq:
            await send(lsq, transport.books)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual.run(main)


def test_a_source_that_is_slow_to_end_is_waited_for() -> None:
    """What it does when it is broken off at last is done before the block ends, if it takes no second."""
    ended: list[bool] = []

    async def slow() -> AsyncIterator[dict[str, str]]:
        for _ in range(2):
            try:
                await asyncio.sleep(1000.0)
            except asyncio.CancelledError:
                await asyncio.sleep(0.5 if ended else 0.0)
                ended.append(True)
        yield LEAD

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(slow()):
            await asyncio.sleep(1.5)
        assert ended == [True, True]
        await asyncio.sleep(5.0)
        assert not books.arrivals  # the lead that came too late is nobody's
        await lsq.leads.capture(LEAD)
        await asyncio.sleep(1.0)

    play(send)


def test_leaving_many_waits_is_at_once() -> None:
    """Nothing was sent that could be lost: `wait_many` waits for nothing when it is left."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        receipt = await lsq.leads.capture(LEAD)
        ids = itertools.repeat(receipt.request_id)
        async with lsq.leads.wait_many(ids) as results:
            taken = [await anext(results) for _ in range(1500)]
            assert all(result.status is not None and result.status.succeeded for result in taken)
            start = books.now
        assert books.now - start < 1.0
        await asyncio.sleep(1.0)

    play(send)


def test_random_exits_leave_every_token_and_no_task() -> None:
    """After two hundred batches that were left at any moment a capture works, and all tokens are back."""
    faults = Faults(
        latency=0.2,
        jitter=0.5,
        drip=0.05,
        probabilities={"hang": 0.02, "503": 0.2, "lost": 0.05, "429": 0.05},
    )

    async def send(lsq: LeadSquared, books: Books) -> None:
        chance = random.Random(5)

        async def consume() -> None:
            concurrency = chance.choice((1, 3, 32))
            source = endless() if chance.random() < 0.5 else itertools.islice(endless(), 20)
            most = chance.choice((0, 1, 10, 10**6))
            async with lsq.leads.capture_many(source, concurrency=concurrency) as results:
                async for result in results:
                    if result.index >= most:
                        break
                    await asyncio.sleep(chance.choice((0.0, 0.0, 0.3)))

        running: list[asyncio.Task[None]] = []
        for _ in range(200):
            running.append(asyncio.create_task(consume()))
            await asyncio.sleep(chance.choice((0.0, 0.1, 1.0)))
            if len(running) >= 8 or chance.random() < 0.3:
                victim = running.pop(chance.randrange(len(running)))
                victim.cancel()
        for task in running:
            task.cancel()
        outcomes = await asyncio.gather(*running, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError | None) for outcome in outcomes)
        await asyncio.sleep(60.0)

    play(send, faults, rate_limit=RateLimit(25, per=5.0), timeout=5.0)


async def test_memory_does_not_grow_with_the_number_of_leads() -> None:
    """From a generator through a limit that is out of the way: as many held as may be, and no more memory."""
    count, concurrency = 6000, 32
    ahead, taken, before = 0, 0, 0

    def source() -> Iterator[dict[str, str]]:
        nonlocal ahead
        for number, item in enumerate(itertools.islice(endless(), count)):
            ahead = max(ahead, number - taken)
            yield item

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"RequestID": "5f0d6f0c-9f4e-4d5f-8a31-3a6f8a2f2f10"})

    async with answering(answer, rate_limit=RateLimit(10_000, per=0.001)) as lsq:
        tracemalloc.start()
        try:
            async with lsq.leads.capture_many(source(), concurrency=concurrency) as results:
                async for result in results:
                    assert result.receipt is not None
                    taken += 1
                    if taken == 2000:
                        gc.collect()
                        before = tracemalloc.get_traced_memory()[0]
            gc.collect()
            growth = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    assert taken == count
    assert ahead <= concurrency + 1
    assert growth < 2_000_000

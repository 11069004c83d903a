"""Leaving a batch early sends nothing more, and each sent lead is read or logged."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import random
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from leadsquared_async import ClientClosed, LeadSquared, RateLimit, RetryPolicy, submissions
from leadsquared_async.results import Result, Results
from leadsquared_async.sandbox import Account, Books, Faults
from tests import virtual
from tests.batches import WIDE, leads
from tests.clients import LEAD, answering, virtual_client

TIGHT = RateLimit(4, per=1.0)
LEAVING = 9.0
"""Seconds after which a batch is left: some results were taken by then, and some calls are under way."""


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


def logged(records: list[logging.LogRecord]) -> list[str]:
    """The RequestIDs that log lines of abandoned leads carry."""
    fields = map(vars, records)
    return [entry["request_id"] for entry in fields if entry.get("event") == "abandoned"]


class BodyFailed(Exception):
    pass


async def by_break(results: Results[Any]) -> list[Result[Any]]:
    taken: list[Result[Any]] = []
    async with results:
        async for result in results:
            taken.append(result)
            if len(taken) == 5:
                break
    return taken


async def by_an_exception(results: Results[Any]) -> list[Result[Any]]:
    taken: list[Result[Any]] = []
    error = BodyFailed()
    with pytest.raises(BodyFailed) as caught:  # noqa: PT012
        async with results:
            async for result in results:
                taken.append(result)
                if len(taken) == 5:
                    raise error
    assert caught.value is error
    return taken


async def take_all(results: Results[Any], taken: list[Result[Any]]) -> None:
    async with results:
        async for result in results:
            taken.append(result)  # noqa: PERF401


async def by_cancellation(results: Results[Any]) -> list[Result[Any]]:
    taken: list[Result[Any]] = []
    task = asyncio.create_task(take_all(results, taken))
    await asyncio.sleep(LEAVING)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return taken


async def by_timeout(results: Results[Any]) -> list[Result[Any]]:
    taken: list[Result[Any]] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(LEAVING):
            await take_all(results, taken)
    return taken


async def by_cancel_scope(results: Results[Any]) -> list[Result[Any]]:
    taken: list[Result[Any]] = []
    with anyio.move_on_after(LEAVING) as scope:
        await take_all(results, taken)
    assert scope.cancelled_caught
    return taken


async def by_task_group(results: Results[Any]) -> list[Result[Any]]:
    taken: list[Result[Any]] = []
    async with anyio.create_task_group() as group:
        group.start_soon(take_all, results, taken)
        await anyio.sleep(LEAVING)
        group.cancel_scope.cancel()
    return taken


WAYS = [by_break, by_an_exception, by_cancellation, by_timeout, by_cancel_scope, by_task_group]


@pytest.mark.parametrize("leave", WAYS)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_however_a_batch_is_left_no_lead_goes_missing(
    leave: Callable[[Results[Any]], Awaitable[list[Result[Any]]]],
    asynchronous: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Unsent leads stay unsent, calls under way end, and each RequestID was read or logged."""

    async def source() -> AsyncIterator[dict[str, str]]:
        for item in leads():
            await asyncio.sleep(0.01)
            yield item

    async def send(lsq: LeadSquared, books: Books) -> None:
        start = books.now
        taken = await leave(lsq.leads.capture_many(source() if asynchronous else leads(), concurrency=16))
        assert books.now - start < LEAVING + 3.0
        assert len(taken) >= 5
        accepted = [request["request_id"] for request in books.requests]
        await asyncio.sleep(100.0)
        assert [request["request_id"] for request in books.requests] == accepted
        received = [result.receipt.request_id for result in taken if result.receipt is not None]
        assert sorted(accepted) == sorted(received + logged(caplog.records))
        assert len(logged(caplog.records)) >= 1

    play(send, Faults(latency=2.0))


def test_a_second_cancellation_ends_the_wait_for_what_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    """The consumer leaves at once, and accepted leads are logged nevertheless."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        task = asyncio.create_task(take_all(lsq.leads.capture_many(leads()), []))
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
        assert sorted(logged(caplog.records)) == sorted(request["request_id"] for request in books.requests)

    play(send, Faults(latency=6.0))


def test_what_hangs_is_waited_for_eight_seconds() -> None:
    """The block ends within the grace, and the exchange ends later."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        start = books.now
        async with lsq.leads.capture_many(leads()):
            await asyncio.sleep(1.0)
        assert 8.0 <= books.now - start - 1.0 <= 8.1
        await asyncio.sleep(30.0)

    play(send, Faults(probabilities={"hang": 1.0}))


def test_a_source_that_ignores_its_cancellation_is_given_up() -> None:
    """Leaving takes nine seconds at most and logs nothing of it."""

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
    """Its cleanup is done before the block ends, if it takes less than a second."""
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
    """`wait_many` waits for nothing, since nothing sent can be lost."""

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


@pytest.mark.slow
def test_random_exits_leave_every_token_and_no_task() -> None:
    """All tokens are back and a capture works after two hundred exits."""
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
            source = leads() if chance.random() < 0.5 else itertools.islice(leads(), 20)
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


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_number_of_leads() -> None:
    """Pending items are bounded, and so is memory."""
    count, concurrency = 6000, 32
    ahead, taken, before = 0, 0, 0

    def source() -> Iterator[dict[str, str]]:
        nonlocal ahead
        for number, item in enumerate(itertools.islice(leads(), count)):
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


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("reads", [0, 2, 6])
def test_each_submission_that_nobody_read_is_logged_with_its_reference(
    caplog: pytest.LogCaptureFixture, *, reads: int, closes: bool
) -> None:
    """One event for each that was accepted, with its RequestID, was rejected or may have arrived, with its
    kind, and that nobody read; none for one that was read or was not sent; no value of a lead."""
    unread = [
        ("form-0", "rejected", "InvalidLead"),
        ("form-1", "abandoned", None),
        ("form-2", "rejected", "MXDuplicateEntryException"),
        ("form-3", "unknown", "ServerError"),
        ("form-4", "abandoned", None),
        ("form-5", "rejected", "MXDuplicateEntryException"),
    ]

    async def main() -> None:
        faults = Faults(script=("ok", "500-mx", "504", "ok", "500-mx"))
        lsq, transport = virtual_client(
            Account(faults=faults, limit=None), retry=RetryPolicy(attempts=1), rate_limit=TIGHT
        )
        source = [
            submissions.capture_lead({"FirstName": "Bret"} if n else {}, reference=f"form-{n}")
            for n in range(6)
        ]
        read = set[str | None]()
        async with lsq, lsq.submit_many(source, concurrency=6) as results:
            await asyncio.sleep(30.0)
            if closes:
                await lsq.aclose()
            for _ in range(reads):
                read.add((await anext(results)).item.reference)
        lines = [vars(record) for record in caplog.records if "item" in vars(record)]
        found = {(line["reference"], line.get("state") or line["event"], line.get("kind")) for line in lines}
        assert found == {line for line in unread if line[0] not in read}
        accepted = {request["request_id"] for request in transport.books.requests}
        for line in lines:
            is_accepted = line["event"] == "abandoned"
            assert (line["request_id"] in accepted, line["delivery"] == "accepted") == (is_accepted,) * 2
            assert ("abandoned by its caller" in line["message"]) == is_accepted
            assert line["event"] == ("abandoned" if is_accepted else "dead_letter")
            assert line["reference"] == f"form-{line['item']}"
            assert line["levelno"] == (logging.WARNING if is_accepted else logging.ERROR)
            assert line["operation"] == "leads.capture"
        assert "Bret" not in caplog.text

    virtual.run(main)


class Rows:
    """A source that makes an asynchronous generator for each reader, as an object of a class may."""

    def __init__(self, made: Callable[[], AsyncIterator[Any]]) -> None:
        self._made = made

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._made()


Open = Callable[[LeadSquared, Any], Results[Any]]
MANY: dict[str, tuple[Open, Callable[[int], Any]]] = {
    "capture_many": (
        lambda lsq, source: lsq.leads.capture_many(source, concurrency=2),
        lambda number: {"EmailAddress": f"b{number}@example.com"},
    ),
    "submit_many": (
        lambda lsq, source: lsq.submit_many(source, concurrency=2),
        lambda number: submissions.log_call("key", {"SourceNumber": str(number)}),
    ),
    "bulk": (
        lambda lsq, source: lsq.bulk.create_or_update(source, concurrency=2),
        lambda number: {"EmailAddress": f"b{number}@example.com"},
    ),
    "wait_many": (
        lambda lsq, source: lsq.leads.wait_many(source),
        lambda number: f"5f0d6f0c-9f4e-4d5f-8a31-{number:012d}",
    ),
}


async def leave_at_once(results: Results[Any]) -> None:
    async with results:
        pass


async def leave_after_a_while(results: Results[Any]) -> None:
    async with results:
        await asyncio.sleep(2.0)


async def leave_by_scope(results: Results[Any]) -> None:
    with anyio.move_on_after(2.0):
        async with results:
            await asyncio.sleep(1e6)


async def leave_by_two_cancellations(results: Results[Any]) -> None:
    task = asyncio.create_task(leave_by_scope(results))
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("many", MANY.values(), ids=MANY)
@pytest.mark.parametrize("kind", ["generator", "asynchronous generator", "slow one", "object"])
@pytest.mark.parametrize(
    "leave", [leave_at_once, leave_after_a_while, leave_by_scope, leave_by_two_cancellations]
)
def test_a_generator_is_closed_when_its_batch_is_left(
    many: tuple[Open, Callable[[int], Any]], kind: str, leave: Callable[[Results[Any]], Awaitable[None]]
) -> None:
    """Whatever it holds, such as a file or a cursor, is closed when the block has ended, in the task that
    read it."""
    opened, item = many
    readers: list[asyncio.Task[Any] | None] = []
    closers: list[asyncio.Task[Any] | None] = []

    def rows() -> Iterator[Any]:
        readers.append(asyncio.current_task())
        try:
            yield from map(item, itertools.count())
        finally:
            closers.append(asyncio.current_task())

    async def slow_rows() -> AsyncIterator[Any]:
        readers.append(asyncio.current_task())
        try:
            for number in itertools.count():
                yield item(number)
                await asyncio.sleep(1e6 if kind == "slow one" else 0.0)
        finally:
            closers.append(asyncio.current_task())

    async def main() -> None:
        lsq, _ = virtual_client(Account(limit=None), rate_limit=TIGHT)
        source: Any = rows() if kind == "generator" else slow_rows() if kind != "object" else Rows(slow_rows)
        async with lsq:
            await leave(opened(lsq, source))
            assert closers == readers
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert len(readers) == 1 or leave in {leave_at_once, leave_by_two_cancellations}

    virtual.run(main)


def test_an_iterator_that_is_no_generator_stays_its_owners(tmp_path: Path) -> None:
    """A file that was read in part can be read on after the block."""
    path = tmp_path / "ids"
    path.write_text("".join(f"5f0d6f0c-9f4e-4d5f-8a31-{number:012d}\n" for number in range(5000)))

    async def main() -> None:
        lsq, _ = virtual_client(Account(limit=None))
        async with lsq:
            with path.open() as ids:
                async with lsq.leads.wait_many(ids):
                    await asyncio.sleep(1.0)
                assert ids.readline().endswith("\n")

    virtual.run(main)


def test_a_source_that_fails_when_it_is_closed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged and does not replace the reason why the block ended."""

    def rows() -> Iterator[dict[str, str]]:
        try:
            yield from leads()
        finally:
            raise ZeroDivisionError("not a word of this")

    async def send(lsq: LeadSquared, books: Books) -> None:
        with pytest.raises(BodyFailed):  # noqa: PT012
            async with lsq.leads.capture_many(rows(), concurrency=1):
                await asyncio.sleep(5.0)
                raise BodyFailed

    play(send)
    (line,) = [record for record in caplog.records if vars(record).get("event") == "callback_failed"]
    assert line.getMessage() == "source failed with ZeroDivisionError for leads.capture (reference -)"


@pytest.mark.parametrize("many", MANY.values(), ids=MANY)
@pytest.mark.parametrize("deaf", [False, True])
@pytest.mark.parametrize("given", [0, 1, 60])
def test_a_batch_that_waits_for_its_source_ends_when_the_client_is_closed(
    many: tuple[Open, Callable[[int], Any]], *, deaf: bool, given: int
) -> None:
    """At once with ClientClosed after the results of what was pulled, or a second later if the source ignores
    its cancellation; the source is closed."""
    opened, item = many
    closed = False

    async def slow() -> AsyncIterator[Any]:
        nonlocal closed
        try:
            for number in range(given):
                yield item(number)
            for _ in range(6):
                try:
                    await asyncio.sleep(1.0 if deaf else 1e6)
                except asyncio.CancelledError:
                    if not deaf:
                        raise
        finally:
            closed = True

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        lsq, _ = virtual_client(Account(limit=None), rate_limit=WIDE, bulk_limit=WIDE)
        await lsq.__aenter__()
        async with opened(lsq, slow()) as results:
            asyncio.get_running_loop().call_later(
                3.0, lambda: closing.append(asyncio.ensure_future(lsq.aclose()))
            )
            closing: list[asyncio.Future[None]] = []
            done = []
            with pytest.raises(ClientClosed, match="closed before the call ended") as caught:  # noqa: PT012
                async for result in results:
                    done.append(result)  # noqa: PERF401
            now = clock()
            assert caught.value.operation is not None
            with pytest.raises(StopAsyncIteration):
                await anext(results)
        await asyncio.gather(*closing)
        # What was gathered for a call when a deaf source was given up was never sent.
        left_out = given % 25 if deaf and results._size > 1 else 0
        assert sorted(result.index for result in done) == list(range(given - left_out))
        assert now - start <= 3.0 + (1.01 if deaf else 0.01)
        assert closed
        with pytest.raises(ClientClosed):
            await opened(lsq, slow()).__aenter__()

    async def timed() -> None:
        nonlocal start
        start = asyncio.get_running_loop().time()
        await main()

    start = 0.0
    virtual.run(timed)


@pytest.mark.parametrize("count", [0, 5])
def test_closing_the_client_takes_nothing_from_a_batch_whose_source_has_ended(count: int) -> None:
    """Its calls end within the grace, and nothing is raised."""

    async def main() -> None:
        lsq, _ = virtual_client(Account(faults=Faults(latency=2.0), limit=None), rate_limit=WIDE)
        async with lsq, lsq.leads.capture_many(list(itertools.islice(leads(), count))) as results:
            await asyncio.sleep(1.0)
            closing = asyncio.create_task(lsq.aclose())
            done = [result async for result in results]
            await closing
        assert len(done) == count
        assert all(result.receipt is not None for result in done)

    virtual.run(main)

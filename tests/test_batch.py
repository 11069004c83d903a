"""Every lead of a source gets a result, and none waits for a slow or invalid neighbour."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest

from leadsquared_async import (
    AuthenticationFailed,
    ClientClosed,
    ConfigurationError,
    Delivery,
    Duplicate,
    Forbidden,
    InvalidLead,
    Lane,
    LeadSquared,
    NoSuchPath,
    QuotaExceeded,
    RateLimit,
    RetryPolicy,
    Submission,
    submissions,
)
from leadsquared_async.batch import Pending
from leadsquared_async.http.run import run
from leadsquared_async.results import Result
from leadsquared_async.sandbox import Books, Faults, Sandbox
from tests import clients
from tests.batches import WIDE, Counted, lead, leads, read
from tests.clients import KEYS, client_of


async def paced(items: Iterable[Any], seconds: float = 0.0) -> AsyncIterator[Any]:
    """An asynchronous source that takes its time."""
    for item in items:
        await asyncio.sleep(seconds)
        yield item


def play(
    what: Callable[[LeadSquared, Books], Awaitable[Any]],
    faults: Faults | None = None,
    options: dict[str, Any] | None = None,
    **account: Any,
) -> None:
    """The same with limits that are out of the way, and no task left at all."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        await what(lsq, books)
        await lsq.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    clients.play(use, faults, {"rate_limit": WIDE, **(options or {})}, **{"limit": None, **account})


SOURCES: dict[str, Callable[[int], Any]] = {
    "list": lambda count: list(leads(count)),
    "tuple": lambda count: tuple(leads(count)),
    "generator": leads,
    "deque": lambda count: deque(leads(count)),
    "map": lambda count: map(lead, range(count)),
    "asynchronous generator": lambda count: paced(leads(count)),
    "slow one": lambda count: paced(leads(count), 7.0),
}


@pytest.mark.parametrize("count", [0, 20])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_lead_of_any_source_gets_its_result(source: Callable[[int], Any], count: int) -> None:
    """Each has one result with its index, the lead and a receipt; an empty source is no error."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(source(count)) as results:
            done = sorted(await read(results), key=lambda result: result.index)
        assert [(result.index, result.item) for result in done] == list(enumerate(leads(count)))
        assert all(result.receipt is not None and result.error is None for result in done)
        accepted = {request["request_id"] for request in books.requests}
        assert {result.receipt.request_id for result in done if result.receipt} == accepted
        assert len(accepted) == count

    play(send, Faults(jitter=1.0))


def test_results_come_as_they_complete() -> None:
    """A slow source delays no lead that was sent, and its leads are sent as they come."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        start = books.now
        async with lsq.leads.capture_many(paced(leads(3), 10.0)) as results:
            times = [books.now - start async for _ in results]
        assert times == pytest.approx([10.1, 20.1, 30.1])

    play(send)


def test_a_bad_lead_stops_no_other() -> None:
    """A lead that is invalid or rejected has its error in its result."""
    bad: dict[int, Any] = {3: {"Tags": ["x"]}, 5: 7, 6: {}, 8: None}

    async def send(lsq: LeadSquared, books: Books) -> None:
        source: list[Any] = [bad.get(number, lead(number)) for number in range(12)]
        async with lsq.leads.capture_many(source, concurrency=1) as results:
            done = sorted(await read(results), key=lambda result: result.index)
        kinds = {result.index: type(result.error) for result in done if result.error is not None}
        assert kinds == {**dict.fromkeys(bad, InvalidLead), 0: Duplicate}
        assert [result.item for result in done] == source
        assert books.accepted == 12 - len(kinds)

    play(send, Faults(script=("500-mx",)))


def test_the_arguments_of_capture_hold_for_every_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    """`search_by` and `update_behavior` go out with each, in the batch lane unless the client has one."""
    sent: list[tuple[str, bool]] = []

    async def send(lsq: LeadSquared, books: Books) -> None:
        async def spy(session: Any, call: Any, settings: Any, *hooks: Any) -> Any:
            sent.append((call.lane, b"SearchBy" in call.content and bool(call.query)))
            return await run(session, call, settings, *hooks)

        monkeypatch.setattr("leadsquared_async.http.run.run", spy)
        arguments: dict[str, Any] = {"search_by": "EmailAddress", "update_behavior": "DoNotUpdate"}
        for client in (lsq, lsq.with_options(lane=Lane.INTERACTIVE)):
            async with client.leads.capture_many(leads(2), **arguments) as results:
                await read(results)

    play(send)
    assert sent == [*[(Lane.BATCH, True)] * 2, *[(Lane.INTERACTIVE, True)] * 2]


def test_waiting_for_tokens_counts_against_no_deadline() -> None:
    """500 leads take 100 s with a deadline of half a second on the client, and all arrive."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        start = books.now
        async with lsq.leads.capture_many(leads(500)) as results:
            assert all(result.error is None for result in await read(results))
        assert 95.0 < books.now - start < 110.0
        assert (books.accepted, books.over_limit) == (500, 0)

    play(send, options={"deadline": 0.5, "rate_limit": RateLimit(25, per=5.0)}, limit=(25, 5.0))


@pytest.mark.parametrize("concurrency", [1, 2, 32])
def test_no_more_than_concurrency_are_pulled_and_not_taken(concurrency: int) -> None:
    """A slow consumer keeps the source waiting, and calls under way are bounded."""
    source = Counted(100)

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(source, concurrency=concurrency) as results:
            await asyncio.sleep(100.0)
            assert source.pulled == concurrency
            done = 0
            async for _ in results:
                done += 1
                await asyncio.sleep(1.0)
                assert source.pulled == min(done + concurrency, 100)
        assert done == 100

    play(send)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_failing_source_raises_after_the_results_of_what_it_gave(asynchronous: bool) -> None:
    """Its error is raised unchanged, once, and every pulled lead has a result."""
    error = ZeroDivisionError("the file ends here")

    def failing() -> Iterator[dict[str, str]]:
        yield from leads(10)
        raise error

    async def send(lsq: LeadSquared, books: Books) -> None:
        source = paced(failing(), 0.01) if asynchronous else failing()
        async with lsq.leads.capture_many(source) as results:
            done = [await anext(results) for _ in range(10)]
            with pytest.raises(ZeroDivisionError) as caught:
                await anext(results)
            assert caught.value is error
            with pytest.raises(StopAsyncIteration):
                await anext(results)
        assert {result.index for result in done} == set(range(10))
        assert all(result.receipt for result in done)

    play(send)


def test_a_source_that_is_cancelled_does_not_seem_to_have_ended() -> None:
    """The CancelledError of a task within the source is raised."""

    async def cancelled() -> AsyncIterator[dict[str, str]]:
        yield lead(1)
        inner = asyncio.create_task(asyncio.sleep(10.0))
        asyncio.get_running_loop().call_soon(inner.cancel)
        await inner

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(cancelled()) as results:
            assert (await anext(results)).receipt is not None
            with pytest.raises(asyncio.CancelledError):
                await anext(results)

    play(send)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(
    ("fault", "kind"), [("401", AuthenticationFailed), ("403", Forbidden), ("quota", QuotaExceeded)]
)
def test_an_account_fault_stops_the_pulling(fault: str, kind: type[Exception], mixed: bool) -> None:
    """Pulled submissions of every operation have a result, and the error is raised once."""
    pulled = 0

    def endless() -> Iterator[Submission]:
        nonlocal pulled
        while True:
            pulled += 1
            is_call = mixed and pulled % 2
            yield (
                submissions.log_call("key", {"SourceNumber": str(pulled)})
                if is_call
                else submissions.capture_lead(lead(pulled))
            )

    async def send(lsq: LeadSquared, books: Books) -> None:
        done: list[Result[Any]] = []
        many = lsq.submit_many if mixed else lsq.leads.capture_many
        async with many(endless(), concurrency=16) as results:
            with pytest.raises(kind) as caught:  # noqa: PT012
                async for result in results:
                    done.append(result)  # noqa: PERF401
            with pytest.raises(StopAsyncIteration):
                await anext(results)
        assert sorted(result.index for result in done) == list(range(pulled))
        failed = [result.error for result in done if result.error is not None]
        assert {type(error) for error in failed} == {kind}
        assert caught.value in failed
        deliveries = [error.delivery for error in failed]
        assert deliveries.count(Delivery.NOT_SENT) >= 1
        assert set(deliveries) == {Delivery.NOT_SENT, Delivery.REJECTED}
        assert {error.fault for error in failed} == {caught.value.fault}  # type: ignore[attr-defined]
        words = re.compile(rf"an earlier \S+ failed with {kind.__name__}, which affects every item")
        assert sum(bool(words.search(str(error))) for error in failed) == deliveries.count(Delivery.NOT_SENT)
        calls = len(books.arrivals)
        assert pulled <= calls + 16
        await asyncio.sleep(100.0)
        assert len(books.arrivals) == calls

    play(send, Faults(script=(*["ok"] * 40, *[fault] * 40)), {"rate_limit": RateLimit(4, per=0.5)})


def test_a_path_that_does_not_exist_stops_its_own_operation_only() -> None:
    """Call logs are not sent after the first was rejected, and captures are; a batch of one operation
    stops."""

    def mixed() -> Iterator[Submission]:
        for number in range(100):
            yield submissions.capture_lead(lead(number))
            yield submissions.log_call("key", {"SourceNumber": str(number)})

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.submit_many(mixed(), concurrency=8) as results:
            done = [result async for result in results]
        assert sorted(result.index for result in done) == list(range(200))
        captures = [result for result in done if result.item.operation.name == "leads.capture"]
        calls = [result.error for result in done if result.item.operation.name == "calls.log"]
        assert all(result.receipt is not None for result in captures)
        assert all(isinstance(error, NoSuchPath) for error in calls)
        deliveries = [error.delivery for error in calls if error is not None]
        assert set(deliveries) == {Delivery.NOT_SENT, Delivery.REJECTED}
        assert deliveries.count(Delivery.NOT_SENT) >= 92
        assert sum("not sent" in str(error) for error in calls) == deliveries.count(Delivery.NOT_SENT)

    async def capture(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(leads(100), concurrency=8) as results:
            done = await read(results, NoSuchPath)
        assert 2 <= len(done) <= 8
        assert all(result.error is not None for result in done)

    play(send, options={"rate_limit": RateLimit(4, per=0.5)}, paths={"call-log": "/moved"})
    play(capture, options={"rate_limit": RateLimit(4, per=0.5)}, paths={"capture": "/moved"})


def test_a_batch_holds_few_leads_that_wait_for_the_limit() -> None:
    """However many may be pending, only a few more are pulled than the limit lets pass."""
    source = Counted(100)

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(source, concurrency=50) as results:
            async for _ in results:
                assert source.pulled <= len(books.arrivals) + 2
        assert books.accepted == source.pulled == 100

    play(send, options={"rate_limit": RateLimit(4, per=0.5)})


def test_credentials_that_fail_give_each_lead_one_result() -> None:
    """An account-level error before anything was sent: no lead is lost or has two results."""

    async def keys() -> Any:
        await asyncio.sleep(0.1)
        raise PermissionError("the vault is sealed")

    async def send(lsq: LeadSquared, books: Books) -> None:
        source = Counted(100)
        done: list[Result[Any]] = []
        async with lsq.leads.capture_many(source, concurrency=4) as results:
            with pytest.raises(ConfigurationError):  # noqa: PT012
                async for result in results:
                    done.append(result)  # noqa: PERF401
        assert sorted(result.index for result in done) == list(range(source.pulled))
        assert {result.error.delivery for result in done if result.error} == {Delivery.NOT_SENT}
        assert not books.arrivals

    play(send, options={**dict.fromkeys(KEYS), "credentials": keys})


def test_a_client_that_is_closed_in_the_middle_ends_the_batch() -> None:
    """Each pulled lead has a result, nothing is pulled afterwards, and ClientClosed is raised."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(leads(1000), concurrency=8) as results:
            done = [await anext(results) for _ in range(20)]
            await lsq.aclose()
            done += await read(results, ClientClosed)
        assert sorted(result.index for result in done) == list(range(len(done)))
        assert len(done) <= 20 + 8
        assert len([result for result in done if result.receipt]) == books.accepted
        unsent = {str(result.error) for result in done if result.error is not None}
        assert unsent
        # Those that waited for a token say so themselves.
        assert unsent <= {
            "leads.capture: not sent: the client was closed before the call ended",
            "leads.capture: the client was closed before the call ended. Not sent.",
        }

    play(send, options={"rate_limit": RateLimit(4, per=0.5)})


def test_an_error_in_a_mapping_is_raised() -> None:
    """A bug in the caller's mapping is raised unchanged, and the others have their results."""

    class Broken(Mapping[str, Any]):
        def __getitem__(self, name: str) -> Any:
            raise ZeroDivisionError

        def __iter__(self) -> Iterator[str]:
            return iter(["Phone"])

        def __len__(self) -> int:
            return 1

    async def send(lsq: LeadSquared, books: Books) -> None:
        source: list[Any] = [lead(0), Broken(), *leads(10)]
        async with lsq.leads.capture_many(source, concurrency=1) as results:
            assert (await anext(results)).receipt is not None
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(anext(results), 60.0)
        assert books.accepted == 1

    play(send)


def test_a_cancelled_task_of_a_batch_is_raised() -> None:
    """The iteration raises the cancellation instead of waiting forever."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(leads(10), concurrency=1) as results:
            await asyncio.sleep(0.05)
            (call,) = [task for task in asyncio.all_tasks() if task.get_name().endswith("leads.capture 0")]
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(anext(results), 60.0)
        assert books.accepted == 1

    play(send)


def test_a_source_that_gives_one_more_after_its_cancellation_loses_no_item() -> None:
    """That item, which `asyncio.wait_for` may cause, has a result."""

    async def deaf() -> AsyncIterator[dict[str, str]]:
        yield lead(0)
        try:
            await asyncio.sleep(1000.0)
        except asyncio.CancelledError:
            yield lead(1)
        yield lead(2)

    async def send(lsq: LeadSquared, books: Books) -> None:
        async with lsq.leads.capture_many(deaf()) as results:
            done = [await anext(results), await anext(results)]
            with pytest.raises(AuthenticationFailed):
                await anext(results)
        assert [result.index for result in done] == [0, 1]
        assert {type(result.error) for result in done} == {AuthenticationFailed}

    play(send, Faults(script=("401",)))


def test_a_batch_is_entered_once_and_read_inside_its_block() -> None:
    """Reading before or after the block, or entering it twice, is an error and no end of the results."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        batch = lsq.leads.capture_many(leads(3))
        with pytest.raises(ClientClosed, match="inside the `async with` block"):
            await anext(batch)
        async with batch as results:
            assert results is batch
            with pytest.raises(ClientClosed, match="entered only once"):
                await batch.__aenter__()
            await asyncio.sleep(10.0)  # all are done, and none is taken
        with pytest.raises(ClientClosed, match="inside the `async with` block"):
            await anext(batch)
        with pytest.raises(ClientClosed, match="entered only once"):
            await batch.__aenter__()

    play(send)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"leads": [], "concurrency": 0}, "concurrency"),
        ({"leads": [], "concurrency": True}, "concurrency"),
        ({"leads": [], "concurrency": 2.5}, "concurrency"),
        ({"leads": [], "update_behavior": "Never"}, "update_behavior"),
    ],
)
def test_invalid_arguments_are_rejected_at_once(arguments: dict[str, Any], message: str) -> None:
    """Before the block is entered, naming the argument."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        with pytest.raises(ConfigurationError, match=message):
            lsq.leads.capture_many(**arguments)
        with pytest.raises(ConfigurationError, match="deadline"):
            lsq.leads.wait_many([], deadline=-1.0)

    play(send)


def test_what_is_shown_of_a_result_is_not_the_lead() -> None:
    """The repr of results and pending items has the index, not the lead."""
    person = lead(7)
    pending = Pending(3, [person], 0.0, asyncio.Semaphore(1), asyncio.Semaphore(1))
    shown = f"{Result(3, person)!r} {pending!r}"
    assert "3" in shown
    assert person["EmailAddress"] not in shown


@pytest.mark.parametrize("fault", ["401", "403", "quota", "500-mx", "504", "closed", "invalid"])
def test_every_error_of_a_submission_names_its_reference_and_operation(fault: str) -> None:
    """This holds for errors of this package and of LeadSquared."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        values = {"Tags": ["x"]} if fault == "invalid" else lead(1)
        source = [submissions.capture_lead(values, reference=f"form-{number}") for number in range(40)]
        done = []
        async with lsq.submit_many(source) as results:
            if fault == "closed":
                await lsq.aclose()
            try:
                async for result in results:
                    done.append(result)  # noqa: PERF401
            except (AuthenticationFailed, Forbidden, QuotaExceeded, ClientClosed):
                pass
        assert len(done) >= (0 if fault == "closed" else 2)
        for result in done:
            assert result.error is not None
            assert result.error.reference == result.item.reference == f"form-{result.index}"
            assert result.error.operation == "leads.capture"
        if fault == "closed":
            for _ in range(2):
                with pytest.raises(ClientClosed) as caught:
                    await lsq.submit(source[0])
                assert (caught.value.reference, caught.value.operation) == ("form-0", "leads.capture")

    tight = RateLimit(4, per=0.5)
    options = {"rate_limit": tight, "retry": RetryPolicy(attempts=1)}
    play(send, Faults(probabilities={} if fault in {"closed", "invalid"} else {fault: 1.0}), options)


async def test_many_unsent_items_of_a_failed_operation_have_results() -> None:
    """Each of many that are not sent, since their path does not exist, has a result."""
    source = [
        *(submissions.capture_lead(lead(number)) for number in range(5)),
        *(submissions.log_call("key", {"SourceNumber": str(number)}) for number in range(100)),
    ]
    async with (
        asyncio.timeout(20.0),
        Sandbox(limit=None, paths={"call-log": "/moved"}) as sandbox,
        client_of(sandbox, rate_limit=WIDE) as lsq,
        lsq.submit_many(source, concurrency=3) as results,
    ):
        done = [result async for result in results]
    assert sorted(result.index for result in done) == list(range(105))


async def test_a_batch_that_waits_for_its_source_ends_with_the_client_on_any_loop(sandbox: Sandbox) -> None:
    """A source that gives nothing for an hour does not keep its reader once the client is closed."""
    async with (
        asyncio.timeout(20.0),
        client_of(sandbox) as lsq,
        lsq.leads.capture_many(paced(leads(3), 3600.0)) as results,
    ):
        closing = asyncio.create_task(lsq.aclose())
        with pytest.raises(ClientClosed):
            await anext(results)
        await closing


def test_a_lead_that_hangs_costs_only_its_own_time() -> None:
    """The others are sent while it waits and is retried."""

    async def send(lsq: LeadSquared, books: Books) -> None:
        start = books.now
        async with lsq.leads.capture_many(leads(50), concurrency=2) as results:
            times = {result.index: books.now - start async for result in results}
        assert times[0] > 30.0
        assert sum(time < 10.0 for time in times.values()) >= 48

    play(send, Faults(latency=0.1, script=("hang",)))

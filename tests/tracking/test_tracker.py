"""RequestIDs followed to their end through the whole client, in virtual time."""

from __future__ import annotations

import asyncio
import copy
import gc
from typing import Any

import httpx
import pytest

from leadsquared_async import (
    AuthenticationFailed,
    ClientClosed,
    ConfigurationError,
    Delivery,
    LeadSquared,
    LeadSquaredError,
    NotFound,
    QuotaExceeded,
    RateLimit,
    RequestState,
    RequestStatus,
    StillProcessing,
)
from leadsquared_async.operations import LEADS_CAPTURE
from leadsquared_async.sandbox import Account, Books, Faults, SandboxTransport
from tests import virtual
from tests.clients import LEAD, play, virtual_client

UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"
NEVER = 0.001
"""Requests processed a minute: none in the time of a test."""


def polls(books: Books, since: float = 0.0) -> list[float]:
    return [call.time for call in books.arrivals if call.operation == "status" and call.time >= since]


async def capture(lsq: LeadSquared, **lead: str) -> str:
    return (await lsq.leads.capture({**LEAD, **lead})).request_id


async def errors_of(*waits: asyncio.Task[RequestStatus]) -> list[LeadSquaredError]:
    outcomes = await asyncio.gather(*waits, return_exceptions=True)
    assert all(isinstance(outcome, LeadSquaredError) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, LeadSquaredError)]


@pytest.mark.parametrize(
    ("account", "state", "raw_state", "reason", "seconds"),
    [
        ({}, RequestState.SUCCEEDED, "Success", None, 2.0),
        ({"attributes": ()}, RequestState.FAILED, "FAILURE", "MX", 2.0),
        ({"attributes": (), "rejected_status": "ERROR"}, RequestState.FAILED, "ERROR", "MX", 2.0),
        ({"faults": Faults(system_error=1.0)}, RequestState.FAILED, "ERROR", "System error", 37_000.0),
        (
            {"faults": Faults(system_error=1.0), "retrying_status": "ERROR"},
            RequestState.FAILED,
            "ERROR",
            "System error",
            38_000.0,
        ),
        (
            {"faults": Faults(processing_script=("system-error",) * 3), "retrying_status": "ERROR"},
            RequestState.SUCCEEDED,
            "Success",
            None,
            700.0,
        ),
    ],
    ids=["success", "refused", "refused with ERROR", "given up", "given up with ERROR", "after retries"],
)
@pytest.mark.parametrize("many", [False, True])
def test_a_wait_ends_with_the_final_status(  # noqa: PLR0917
    account: dict[str, Any],
    state: RequestState,
    raw_state: str,
    reason: str | None,
    seconds: float,
    many: bool,
) -> None:
    """FAILURE and an MX reason are final at once, another ERROR when LeadSquared's nine hours are over."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        request_id = await capture(lsq)
        start = books.now
        if many:
            async with lsq.leads.wait_many([request_id], deadline=None) as results:
                (result,) = [result async for result in results]
            assert (result.index, result.item, result.error) == (0, request_id, None)
            status = result.status
        else:
            status = await lsq.leads.wait(request_id, deadline=None)
        assert status is not None
        assert (status.request_id, status.state, status.raw_state) == (request_id, state, raw_state)
        assert status.is_final
        assert (status.reason is None) if reason is None else str(status.reason).startswith(reason)
        assert books.now - start <= seconds
        if seconds > 30_000.0:
            assert books.now - start >= 32_970.0
        assert len(polls(books)) <= 80

    play(follow, **account)


@pytest.mark.parametrize("unknown_id", ["404", "empty"])
def test_an_id_that_is_unknown_for_a_moment_is_waited_for(unknown_id: str) -> None:
    """For a minute an id may be too new to be known: `status` raises NotFound, a wait continues."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        ids = [await capture(lsq), await capture(lsq)]
        with pytest.raises(NotFound):
            await lsq.leads.status(ids[0])
        async with lsq.leads.wait_many(ids) as results:
            assert all([result.status is not None and result.status.succeeded async for result in results])

    play(follow, unknown_id=unknown_id, known_after=45.0)


def test_an_id_that_stays_unknown_raises_after_the_grace() -> None:
    """NotFound comes after a minute, has an unknown delivery, and ends the polling; waits for others
    continue."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        start = books.now
        with pytest.raises(NotFound) as caught:
            await lsq.leads.wait(UNKNOWN_ID)
        assert caught.value.delivery is Delivery.UNKNOWN
        assert 60.0 <= books.now - start <= 80.0
        async with lsq.leads.wait_many([UNKNOWN_ID, await capture(lsq)]) as results:
            errors = {result.index: result.error async for result in results}
        assert (type(errors[0]), errors[1]) == (NotFound, None)
        calls = len(polls(books))
        await asyncio.sleep(1000.0)
        assert len(polls(books)) == calls

    play(follow)


@pytest.mark.parametrize("after", [100.0, 10_000.0])
def test_a_request_that_was_seen_is_not_unknown_after_an_empty_answer(after: float) -> None:
    """The grace begins again with the first empty answer after a status, however long the pause between."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        wait = asyncio.create_task(lsq.leads.wait(await capture(lsq), deadline=None))
        await asyncio.sleep(after)
        books.faults = Faults(latency=0.1, script=("empty",), operations=("status",))
        assert (await wait).succeeded

    play(follow, processing_rate=60.0 / (2 * after))


def test_a_status_call_that_fails_now_and_then_puts_no_outcome_off() -> None:
    """A poll without an answer does not count as unfinished, and the next sweep repeats it."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        ids = [await capture(lsq, Phone=str(number)) for number in range(10)]
        await asyncio.sleep(10.0)
        start = books.now
        async with lsq.leads.wait_many(ids) as results:
            assert all([result.error is None async for result in results])
        assert books.now - start < 12.0

    play(follow, Faults(latency=0.1, script=("ok", "500") * 5, operations=("status",)))


def test_a_wait_that_runs_out_can_be_resumed() -> None:
    """StillProcessing comes at the deadline with the last status; the next wait continues from there."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        request_id = await capture(lsq)
        start = books.now
        with pytest.raises(StillProcessing, match="is still queued; wait again") as caught:
            await lsq.leads.wait(request_id, deadline=30.0)
        assert books.now - start == pytest.approx(30.0)
        assert caught.value.request_id == request_id
        assert caught.value.delivery is Delivery.ACCEPTED
        assert caught.value.last_status is not None
        assert caught.value.last_status.state is RequestState.QUEUED
        assert (await lsq.leads.wait(request_id)).succeeded
        assert books.now - start <= 60.0 + 16.0

    play(follow, processing_rate=1.0)


def test_a_wait_that_saw_nothing_does_not_say_that_it_was_accepted() -> None:
    """Without a successful poll, StillProcessing has no status; its cause says what failed."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        request_id = await capture(lsq)
        with pytest.raises(StillProcessing, match="not known yet") as caught:
            await lsq.leads.wait(request_id, deadline=0.5)
        assert (caught.value.last_status, caught.value.__cause__) == (None, None)
        books.faults = Faults(probabilities={"503": 1.0})
        with pytest.raises(StillProcessing, match="not known yet") as caught:
            await lsq.leads.wait(request_id, deadline=30.0)
        assert caught.value.delivery is Delivery.UNKNOWN
        assert isinstance(caught.value.__cause__, LeadSquaredError)
        books.faults = Faults()
        with pytest.raises(StillProcessing, match="has not been found yet"):
            await lsq.leads.wait(UNKNOWN_ID, deadline=30.0)

    play(follow, processing_rate=NEVER)


@pytest.mark.parametrize("others", [0, 3])
def test_a_request_that_is_finished_is_waited_for_again_and_again(others: int) -> None:
    """Waits that begin as the previous one ends are served soon, alone or with others."""

    async def wait_thrice(lsq: LeadSquared, books: Books) -> None:
        ids = [await capture(lsq, Phone=str(number)) for number in range(1 + others)]
        beside = [asyncio.create_task(lsq.leads.wait(request_id)) for request_id in ids[1:]]
        clock = asyncio.get_running_loop().time
        for _ in range(4):
            began = clock()
            assert (await lsq.leads.wait(ids[0], deadline=60)).succeeded
            assert clock() - began < 3.0
        assert all(status.succeeded for status in await asyncio.gather(*beside))

    play(wait_thrice)


def test_waits_one_after_the_other_are_served_as_the_first_was() -> None:
    """Earlier results do not slow down a single wait."""

    async def wait_for_each(lsq: LeadSquared, books: Books) -> None:
        ids = [await capture(lsq, Phone=str(number)) for number in range(6)]
        clock = asyncio.get_running_loop().time
        for request_id in ids:
            began = clock()
            await lsq.leads.wait(request_id)
            assert clock() - began < 1.5

    play(wait_for_each)


def test_two_waits_for_one_request_share_their_calls() -> None:
    """The second costs no calls, even with white space around the id, and both get the status."""

    async def follow(lsq: LeadSquared, books: Books) -> list[int]:
        request_id = await capture(lsq)
        await asyncio.gather(lsq.leads.wait(request_id), lsq.leads.wait(f" {request_id}\n"))
        shared = len(polls(books))
        request_id = await capture(lsq)
        await lsq.leads.wait(request_id)
        return [shared, len(polls(books)) - shared]

    shared, alone = play(follow, processing_rate=2.0)
    assert shared == alone > 1


def test_one_of_two_that_wait_may_leave() -> None:
    """The other continues, with the calls of a single wait."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        request_id = await capture(lsq)
        stays, leaves = (asyncio.create_task(lsq.leads.wait(request_id)) for _ in range(2))
        await asyncio.sleep(10.0)
        leaves.cancel()
        assert (await stays).succeeded
        assert leaves.cancelled()

    play(follow, processing_rate=2.0)


def test_when_all_have_left_nothing_runs_and_nothing_is_asked() -> None:
    """No task and no poll remains, however the waits end; the next wait is served."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        request_ids = [await capture(lsq) for _ in range(3)]
        for moment in (0.0, 0.5, 1.05, 1.1, 20.0):
            waits = [asyncio.create_task(lsq.leads.wait(request_id)) for request_id in request_ids]
            await asyncio.sleep(moment)
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)
            await asyncio.sleep(0.2)  # an exchange that is under way ends in order
            assert asyncio.all_tasks() == {asyncio.current_task()}
            calls = len(polls(books))
            await asyncio.sleep(200.0)
            assert len(polls(books)) == calls
        books.faults = Faults()
        start = books.now
        with pytest.raises(StillProcessing):
            await lsq.leads.wait(request_ids[0], deadline=3.0)
        assert polls(books, start)

    play(follow, processing_rate=NEVER)


def test_one_that_left_while_its_poll_waited_for_a_token_is_not_asked_for() -> None:
    """No token is spent on a request that is no longer followed."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        request_ids = [await capture(lsq) for _ in range(2)]
        leaves, stays = (asyncio.create_task(lsq.leads.wait(request_id)) for request_id in request_ids)
        await asyncio.sleep(10.0)
        assert not polls(books)
        leaves.cancel()
        assert (await stays).succeeded
        assert len(polls(books)) == 1

    play(follow, options={"rate_limit": RateLimit(1, per=20.0)})


def test_an_error_that_nobody_reads_any_more_is_no_complaint(caplog: pytest.LogCaptureFixture) -> None:
    """A wait that ends in the tick of its failure causes no "never retrieved" warning."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        books.faults = Faults(probabilities={"401": 1.0})
        follower = lsq._parts.trackers.of(LEADS_CAPTURE).follow(UNKNOWN_ID)
        await asyncio.sleep(10.0)
        assert follower.outcome.done()

    play(follow)
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_wait_that_begins_as_the_last_one_leaves_is_served() -> None:
    """The ending tracker does not end the new wait."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        request_id = await capture(lsq)
        leaves = asyncio.create_task(lsq.leads.wait(request_id))
        await asyncio.sleep(1.05)  # a look is under way
        leaves.cancel()
        await asyncio.sleep(0)
        assert (await lsq.leads.wait(request_id)).succeeded

    play(follow)


@pytest.mark.parametrize(
    ("fault", "kind"), [("401", AuthenticationFailed), ("quota", QuotaExceeded)], ids=["keys", "quota"]
)
def test_an_account_fault_reaches_everybody_who_waits(fault: str, kind: type[LeadSquaredError]) -> None:
    """Each gets its own error, which does not say that the request was rejected; waiting again works."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        request_ids = [await capture(lsq) for _ in range(12)]
        waits = [asyncio.create_task(lsq.leads.wait(request_id)) for request_id in request_ids]
        await asyncio.sleep(30.0)
        books.faults = Faults(probabilities={fault: 1.0})
        errors = await errors_of(*waits)
        assert len(set(map(id, errors))) == 12
        assert {type(error) for error in errors} == {kind}
        assert not {error.delivery for error in errors} & {Delivery.REJECTED, Delivery.NOT_SENT}
        assert errors[0].delivery is Delivery.ACCEPTED
        assert copy.copy(errors[0]).__traceback__ is None
        await asyncio.sleep(60.0)
        books.faults = Faults()
        calls = len(polls(books))
        status = await lsq.leads.wait(request_ids[0])
        assert status.succeeded
        assert len(polls(books)) - calls <= 10

    play(follow, processing_rate=1.0)


def test_an_account_fault_in_the_middle_of_a_group_leaves_the_tracker_usable() -> None:
    """If some of a group were finished and one got the error, none is polled forever."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        request_ids = [await capture(lsq) for _ in range(40)]
        books.faults = Faults(script=(*["ok"] * 30, "401"), operations=("status",))
        async with lsq.leads.wait_many(request_ids) as results:
            assert len({(await anext(results)).index for _ in request_ids}) == 40
            with pytest.raises(AuthenticationFailed):
                await anext(results)
        calls = len(polls(books))
        await asyncio.sleep(300.0)
        assert len(polls(books)) == calls
        assert (await lsq.leads.wait(request_ids[-1])).succeeded
        await asyncio.sleep(300.0)
        assert len(polls(books)) == calls + 1

    play(follow)


def test_closing_the_client_ends_every_wait() -> None:
    """Each ends with ClientClosed at once, and no poll follows."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        request_ids = [await capture(lsq) for _ in range(5)]
        waits = [asyncio.create_task(lsq.leads.wait(request_id)) for request_id in request_ids]
        await asyncio.sleep(20.0)
        start, calls = books.now, len(polls(books))
        await lsq.aclose()
        errors = await errors_of(*waits)
        assert {type(error) for error in errors} == {ClientClosed}
        assert errors[0].delivery is Delivery.ACCEPTED
        assert books.now - start < 1.0
        with pytest.raises(ClientClosed):
            await lsq.leads.wait(request_ids[0])
        await asyncio.sleep(100.0)
        assert len(polls(books)) <= calls + 1

    play(follow, processing_rate=NEVER)


def test_a_client_that_was_not_entered_says_so_at_once() -> None:
    """A wait does not take a second to fail."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        lsq, _ = virtual_client(Account())
        start = clock()
        with pytest.raises(ClientClosed, match="not open"):
            await lsq.leads.wait(UNKNOWN_ID)
        assert clock() == pytest.approx(start)

    virtual.run(main)


def test_an_outage_is_waited_through_with_a_call_a_minute() -> None:
    """LeadSquared is down for an hour: few calls at its end, and then all outcomes are found."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        request_ids = [await capture(lsq, Phone=f"99887766{n:02d}") for n in range(60)]
        waiting = asyncio.create_task(gather(lsq, request_ids))
        await asyncio.sleep(30.0)
        start = books.now
        books.faults = Faults(latency=0.1, outage=(start, start + 3600.0))
        assert await waiting == [True] * 60
        assert len([time for time in polls(books, start + 1800.0) if time < start + 3600.0]) <= 31
        assert books.now - start <= 3600.0 + 100.0

    play(follow, processing_rate=25.0, options={"deadline": None})


async def gather(lsq: LeadSquared, request_ids: list[str]) -> list[bool]:
    statuses = await asyncio.gather(*(lsq.leads.wait(request_id) for request_id in request_ids))
    return [status.succeeded for status in statuses]


def test_one_that_joins_does_not_wait_for_the_pause_of_another() -> None:
    """A form that starts to wait while the tracker pauses for a delayed request is known in seconds."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        held_back = await capture(lsq)
        waiting = asyncio.create_task(lsq.leads.wait(held_back, deadline=None))
        await asyncio.sleep(800.0)
        assert not waiting.done()
        form = await capture(lsq)
        start = books.now
        assert (await lsq.leads.wait(form)).succeeded
        assert books.now - start <= 3.0
        assert (await waiting).succeeded

    play(follow, Faults(latency=0.1, processing_script=("system-error",) * 4))


def test_a_wrong_request_id_is_refused_before_anything_is_sent() -> None:
    """`wait` raises the error, `wait_many` has it in a result."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        wrong: Any
        for wrong in ("", "two words", 7, None, "x" * 201):
            with pytest.raises(ConfigurationError, match="request_id"):
                await lsq.leads.wait(wrong)
        async with lsq.leads.wait_many(["two words", await capture(lsq)]) as results:
            kinds = [type(result.error) async for result in results]
        assert set(kinds) == {ConfigurationError, type(None)}
        assert len(polls(books)) <= 2

    play(follow)


def test_the_deadline_of_many_is_for_all_of_them() -> None:
    """It counts from entering the block, even if the ids come slowly; the rest is StillProcessing."""

    async def follow(lsq: LeadSquared, books: Books) -> None:
        request_ids = [await capture(lsq) for _ in range(3)]

        async def slowly() -> Any:
            for request_id in request_ids:
                await asyncio.sleep(40.0)
                yield request_id

        start = books.now
        async with lsq.leads.wait_many(slowly(), deadline=100.0) as results:
            errors = [result.error async for result in results]
            assert books.now - start == pytest.approx(120.0, abs=0.1)
        assert [type(error) for error in errors] == [StillProcessing] * 3

    play(follow, processing_rate=NEVER)


class Poisoned(SandboxTransport):
    """Gives the same answer to every poll of some requests."""

    def __init__(self, account: Account, status: int, body: str) -> None:
        super().__init__(account)
        self._reply = status, body
        self._ids: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and any(name in str(request.url) for name in self._ids):
            return httpx.Response(self._reply[0], text=self._reply[1], request=request)
        return await super().handle_async_request(request)


@pytest.mark.parametrize(("status", "body"), [(500, ""), (200, "<html>")])
@pytest.mark.parametrize("at", [0, 15])
@pytest.mark.parametrize("poisoned", [1, 2, 8])
def test_requests_at_which_leadsquared_fails_hold_up_no_others(
    poisoned: int, at: int, status: int, body: str
) -> None:
    """The others are known as soon as usual, and the failing ones a minute after the failures end."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        account = Account(faults=Faults(latency=0.1), limit=None, processing_rate=60.0)
        transport = Poisoned(account, status, body)
        lsq, _ = virtual_client(account, transport=transport, deadline=None)
        async with lsq:
            ids = [await capture(lsq, Phone=f"99887766{n:02d}") for n in range(30)]
            transport._ids = ids[at : at + poisoned]
            start = clock()
            waits = {name: asyncio.create_task(lsq.leads.wait(name)) for name in ids}
            others = [wait for name, wait in waits.items() if name not in transport._ids]
            await asyncio.wait(others, timeout=120.0)
            assert all(wait.done() and wait.result().succeeded for wait in others)
            await asyncio.sleep(600.0 - (clock() - start))
            assert len(transport.books.arrivals) <= 30 + 60
            transport._ids = []
            done, _ = await asyncio.wait(waits.values(), timeout=150.0)
            assert len(done) == 30

    virtual.run(main)

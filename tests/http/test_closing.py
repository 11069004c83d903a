"""Closing lets calls in flight end within the grace, and ends waiting calls at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import httpx
import pytest
from aiolimiter import AsyncLimiter

from leadsquared_async import (
    ClientClosed,
    Delivery,
    Lane,
    LeadSquared,
    LeadSquaredError,
    RateLimit,
    RetryPolicy,
)
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.sandbox import Account, Faults, Sandbox, SandboxTransport
from tests import virtual
from tests.clients import KEYS, LEAD, client_of, own_connections, virtual_client


def test_closing_waits_for_what_is_in_flight() -> None:
    """A call in flight gets its answer within the grace."""

    async def main() -> None:
        lsq, transport = virtual_client(Account(faults=Faults(latency=6.0)))
        async with lsq:
            call = asyncio.create_task(lsq.leads.capture(LEAD))
            await asyncio.sleep(0.1)
        assert call.done()
        assert (await call).request_id == transport.books.requests[0]["request_id"]

    virtual.run(main)


def test_closing_breaks_off_what_takes_longer_than_the_grace() -> None:
    """After the grace a call fails with ClientClosed and an unknown delivery."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        lsq, _ = virtual_client(Account(faults=Faults(probabilities={"hang": 1.0})))
        async with lsq:
            call = asyncio.create_task(lsq.leads.capture(LEAD, reference="form-7"))
            await asyncio.sleep(0.1)
            start = clock()
            await lsq.aclose(grace=2.0)
            assert 2.0 <= clock() - start < 2.1
        with pytest.raises(ClientClosed, match="It may have arrived") as caught:
            await call
        assert caught.value.delivery is Delivery.UNKNOWN
        assert (caught.value.attempts, caught.value.reference) == (1, "form-7")

    virtual.run(main)


def test_a_delete_over_http_2_that_closing_ends_may_have_arrived() -> None:
    """httpcore's HTTP/2 reads the body of a request only if a header announces it."""

    class Hanging(SandboxTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if "content-length" in request.headers:
                await request.aread()
            await asyncio.sleep(3600)
            raise AssertionError

    async def main() -> None:
        transport = Hanging(Account())
        async with LeadSquared(**KEYS, host="https://a.invalid", transport=transport, timeout=60.0) as lsq:
            call = asyncio.create_task(lsq.request("DELETE", "/v2/Thing"))
            await asyncio.sleep(0.1)
            await lsq.aclose(grace=2.0)
        with pytest.raises(LeadSquaredError) as caught:
            await call
        assert caught.value.delivery is Delivery.UNKNOWN

    virtual.run(main)


def test_a_call_that_closing_ends_before_it_is_sent_was_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    """If no connection was made, no error says that the lead may have arrived."""

    class Unreachable(SandboxTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            del request
            await asyncio.sleep(3600)
            raise AssertionError

    async def main() -> None:
        transport = Unreachable(Account())
        async with LeadSquared(**KEYS, host="https://a.invalid", transport=transport, timeout=60.0) as lsq:
            call = asyncio.create_task(lsq.leads.capture({"FirstName": "Bret"}, reference="form-7"))
            left = asyncio.create_task(lsq.leads.capture({"FirstName": "Lee"}))
            await asyncio.sleep(0.1)
            left.cancel()
            await lsq.aclose(grace=2.0)
        with pytest.raises(ClientClosed, match=r"Not sent\.") as caught:
            await call
        assert (caught.value.delivery, caught.value.reference) == (Delivery.NOT_SENT, "form-7")

    virtual.run(main)
    assert [record.getMessage() for record in caplog.records] == [
        "leads.capture: abandoned by its caller (reference -, item -): not_sent, RequestID -, lead -"
    ]


def test_closing_is_bounded_even_if_a_transport_ignores_its_cancellation() -> None:
    """Closing ends a second after the grace."""

    class Deaf(SandboxTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            for _ in range(100):
                try:
                    await asyncio.sleep(1.0)
                except asyncio.CancelledError:
                    continue
            raise httpx.ReadError("at last")

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        account = Account()
        lsq, _ = virtual_client(account, transport=Deaf(account), retry=RetryPolicy(attempts=1))
        async with lsq:
            call = asyncio.create_task(lsq.leads.capture(LEAD))
            await asyncio.sleep(0.1)
            start = clock()
            await lsq.aclose(grace=2.0)
            assert clock() - start < 3.1
        await asyncio.gather(call, return_exceptions=True)

    virtual.run(main)


async def _for_a_token(account: Account) -> LeadSquared:
    lsq, _ = virtual_client(account, rate_limit=RateLimit(1, per=5.0))
    await lsq.__aenter__()
    await lsq.leads.capture(LEAD)
    return lsq


async def _between_attempts(account: Account) -> LeadSquared:
    account.set_faults(Faults(probabilities={"refused": 1.0}), asyncio.get_running_loop().time())
    lsq, _ = virtual_client(account, retry=RetryPolicy(base=1e6, cap=1e6), deadline=None)
    return await lsq.__aenter__()


async def _for_the_keys(account: Account) -> LeadSquared:
    async def keys() -> Any:
        await asyncio.sleep(1e6)

    lsq, _ = virtual_client(account, **dict.fromkeys(KEYS), credentials=keys)
    return await lsq.__aenter__()


async def _for_a_limiter(account: Account) -> LeadSquared:
    limiter = AsyncLimiter(1, 1000.0)
    await limiter.acquire()
    lsq, _ = virtual_client(account, limiter=limiter, deadline=None)
    return await lsq.__aenter__()


@pytest.mark.parametrize("waiting", [_for_a_token, _between_attempts, _for_the_keys, _for_a_limiter])
def test_calls_that_wait_when_the_client_closes_fail_at_once_and_are_never_sent(
    waiting: Callable[[Account], Awaitable[LeadSquared]],
) -> None:
    """Closing ends each wait (token, keys, limiter, pause) with ClientClosed, and nothing goes out later."""

    async def main() -> None:
        account = Account()
        lsq = await waiting(account)
        before = len(account.arrivals)
        calls = [asyncio.create_task(lsq.leads.capture(LEAD, reference=str(n))) for n in range(3)]
        await asyncio.sleep(0.5)
        assert not any(call.done() for call in calls)
        start = asyncio.get_running_loop().time()
        await lsq.aclose()
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert asyncio.get_running_loop().time() - start < 0.01
        for number, error in enumerate(errors):
            assert isinstance(error, ClientClosed)
            assert str(error) == "leads.capture: the client was closed before the call ended. Not sent."
            assert (error.delivery, error.reference) == (Delivery.NOT_SENT, str(number))
        await asyncio.sleep(100.0)
        assert len(account.arrivals) == before

    virtual.run(main)


def test_a_poll_that_pauses_when_the_client_closes_ends_at_once() -> None:
    """`wait` does not keep sleeping in a closed client."""

    async def main() -> None:
        lsq, _ = virtual_client(Account(processing_rate=0.01))
        async with lsq:
            receipt = await lsq.leads.capture(LEAD)
            poll = asyncio.create_task(lsq.leads.wait(receipt.request_id))
            await asyncio.sleep(30.0)
        with pytest.raises(ClientClosed):
            await poll

    virtual.run(main)


def test_a_wait_that_closing_ends_takes_no_token_from_other_clients() -> None:
    """Another client of the account keeps sending at the full rate."""

    async def main() -> None:
        limit = RateLimit(2, per=5.0)
        account = Account()
        first, transport = virtual_client(account, rate_limit=limit)
        second, _ = virtual_client(account, rate_limit=limit, transport=transport)
        async with second:
            async with first:
                calls = [asyncio.create_task(first.leads.capture(LEAD)) for _ in range(5)]
                await asyncio.sleep(0.1)
            await asyncio.gather(*calls, return_exceptions=True)
            await asyncio.gather(*(second.leads.capture(LEAD) for _ in range(4)))
            state = second.snapshot().limit
            assert state is not None
            assert (state.granted, state.in_flight) == (6, 0)

    virtual.run(main)


def test_a_call_whose_token_is_granted_in_the_tick_in_which_the_client_closes_is_not_sent() -> None:
    """It fails as the other waiting calls do, and its token is returned."""

    async def main() -> None:
        account = Account()
        lsq = await _for_a_token(account)
        bucket = lsq._session.buckets[Limit.CALLS]
        await bucket.acquire(Lane.INTERACTIVE)
        call = asyncio.create_task(lsq.leads.capture(LEAD))
        await asyncio.sleep(0)
        bucket.release_unused()
        assert bucket.snapshot().in_flight == 1
        await lsq.aclose()
        with pytest.raises(ClientClosed, match=r"closed before the call ended\. Not sent\."):
            await call
        assert bucket.snapshot().in_flight == 0
        assert len(account.arrivals) == 1

    virtual.run(main)


def test_a_block_that_is_cancelled_by_a_scope_closes_nevertheless(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing stays open when an anyio scope also cancels the wait for calls in flight."""

    async def main() -> None:
        lsq, _ = virtual_client(Account(faults=Faults(probabilities={"hang": 1.0})))
        with anyio.move_on_after(1.0):
            async with lsq:
                await lsq.leads.capture(LEAD)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(ClientClosed):
            await lsq.leads.capture(LEAD)

    virtual.run(main)
    assert "closed before the answer came" in caplog.text


async def test_closing_under_a_scope_closes_the_connections(sandbox: Sandbox) -> None:
    """No connection of a cancelled client stays open, idle or in use."""
    with anyio.CancelScope() as scope:
        async with client_of(sandbox) as lsq:
            await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(2)))
            connections = own_connections(lsq, sandbox.url)
            both = list(connections._all)
            sandbox.books.faults = Faults(probabilities={"hang": 1.0})
            hanging = asyncio.create_task(lsq.leads.capture(LEAD))
            for _ in range(500):
                await asyncio.sleep(0.01)
                if len(connections._idle) == 1:
                    break
            assert not any(connection.is_closed() for connection in both)
            scope.cancel()
    assert len(both) == 2
    assert all(connection.is_closed() for connection in both)
    with suppress(LeadSquaredError):
        await hanging


async def by_a_scope(use: Callable[[], Awaitable[None]]) -> None:
    with anyio.move_on_after(1.5):
        await use()


async def by_a_timeout(use: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(use(), 1.5)


async def by_two_cancellations(use: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.ensure_future(use())
    await asyncio.sleep(1.5)
    for _ in range(5):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])


@pytest.mark.parametrize("leave", [by_a_scope, by_a_timeout, by_two_cancellations])
@pytest.mark.parametrize("hangs", [False, True])
def test_a_client_whose_block_is_cancelled_while_it_follows_is_closed(
    leave: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]], *, hangs: bool
) -> None:
    """All its tasks (following, fetching fields, calls) end, however and however often it is cancelled."""

    async def main() -> None:
        account = Account(processing_rate=0.1)
        lsq, _ = virtual_client(account, validate="strict")

        async def use() -> None:
            async with lsq:
                receipt = await lsq.leads.capture(LEAD)
                if hangs:
                    now = asyncio.get_running_loop().time()
                    account.set_faults(Faults(probabilities={"hang": 1.0}), now)
                await lsq.leads.wait(receipt, deadline=None)

        await leave(use)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(ClientClosed, match="is closed"):
            await lsq.leads.capture(LEAD)

    virtual.run(main)


def test_a_second_close_of_a_client_waits_for_the_first() -> None:
    """A second `aclose` returns when the first has closed the connections."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        lsq, _ = virtual_client(Account(faults=Faults(latency=6.0)))
        async with lsq:
            call = asyncio.create_task(lsq.leads.capture(LEAD))
            await asyncio.sleep(0.1)
            start = clock()
            first = asyncio.create_task(lsq.aclose())
            await asyncio.sleep(0)
            await lsq.aclose()
            assert first.done()
            assert call.done()
            assert clock() - start >= 5.0

    virtual.run(main)

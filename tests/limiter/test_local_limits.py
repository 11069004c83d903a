"""All clients of an account in one process share one limit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from leadsquared_async import Credentials, Lane, RateLimit
from leadsquared_async.limiter import local_limits
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.limiter.local_limits import join_queue
from leadsquared_async.sandbox import Account, Faults
from tests import virtual
from tests.clients import KEYS, LEAD, virtual_client

# Without any latency, calls would arrive on the very edge of the server's window.
NEAR = Faults(latency=0.002)
HOST = "https://sandbox.invalid"
CREDENTIALS = Credentials(**KEYS)


def follow(earlier: virtual.VirtualLoop, main: Callable[[], Coroutine[Any, Any, None]], pause: float) -> None:
    """Run in a second loop, whose clock continues that of the first."""

    def loop_factory() -> virtual.VirtualLoop:
        loop = virtual.VirtualLoop()
        loop._virtual.now = earlier.time() + pause
        return loop

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


def test_two_clients_of_one_account_share_a_bucket() -> None:
    """Together they stay within the limit of one; a client of another account is not affected."""

    async def main() -> None:
        account = Account(faults=NEAR)
        first, transport = virtual_client(account)
        second, _ = virtual_client(account, transport=transport)
        stranger, _ = virtual_client(Account(), api_key="another-account")
        async with first, second, stranger:
            calls = [client.leads.capture(LEAD) for client in (first, second) for _ in range(40)]
            await asyncio.gather(*calls)
            assert transport.books.over_limit == 0
            assert transport.books.most_arrivals() <= 25
            await asyncio.gather(stranger.leads.capture(LEAD), return_exceptions=True)
            state = stranger.snapshot().limit
            assert state is not None
            assert state.granted == 1

    virtual.run(main)


def test_a_client_that_declares_more_changes_and_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The smaller rate stays in force without a warning."""

    async def main() -> None:
        for calls in (10, 25):
            bucket = join_queue(HOST, CREDENTIALS, Limit.CALLS, RateLimit(calls))
        assert bucket.snapshot().limit == RateLimit(10)

    with caplog.at_level(logging.INFO, "leadsquared_async"):
        virtual.run(main)
    assert not caplog.records


def test_closing_a_client_and_opening_another_brings_no_second_burst() -> None:
    """The bucket is kept until all its tokens are back."""

    async def main() -> None:
        account = Account(faults=NEAR)
        transport = None
        for _ in range(3):
            lsq, transport = virtual_client(account)
            async with lsq:
                await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(25)))
        assert transport is not None
        assert transport.books.over_limit == 0

    virtual.run(main)


def test_a_bucket_is_forgotten_once_nobody_uses_it_and_all_tokens_are_back() -> None:
    """The buckets of many accounts do not accumulate in a process."""

    async def main() -> None:
        for number in range(20):
            lsq, _ = virtual_client(Account(), api_key=f"account-{number}")
            async with lsq:
                await asyncio.gather(lsq.leads.capture(LEAD), return_exceptions=True)
            await asyncio.sleep(30.0)

    virtual.run(main)
    assert len(local_limits._accounts) == 1


@pytest.mark.parametrize("pause", [0.0, 2.0, 4.9])
def test_a_second_event_loop_gets_no_second_burst(pause: float) -> None:
    """A second `asyncio.run` continues with the tokens that the first one left."""
    account = Account(faults=NEAR)

    async def burst() -> None:
        lsq, transport = virtual_client(account)
        async with lsq:
            await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(25)))
            assert transport.books.over_limit == 0
            assert transport.books.most_arrivals() <= 25

    first = virtual.VirtualLoop()
    first.run_until_complete(burst())
    first.close()
    follow(first, burst, pause)


def test_a_second_event_loop_that_comes_late_starts_afresh() -> None:
    """Limits declared in an earlier loop are forgotten once all tokens are back."""
    account = Account(faults=NEAR)

    async def slow() -> None:
        lsq, _ = virtual_client(account, rate_limit=RateLimit(1, per=5.0))
        async with lsq:
            await lsq.leads.capture(LEAD)

    async def fast() -> None:
        lsq, _ = virtual_client(account)
        async with lsq:
            await lsq.leads.capture(LEAD)
            state = lsq.snapshot().limit
            assert state is not None
            assert (str(state.limit), state.free, state.ceiling) == ("25/5", 24, None)

    first = virtual.VirtualLoop()
    first.run_until_complete(slow())
    first.close()
    follow(first, fast, 60.0)


def test_a_pause_that_leadsquared_asked_for_outlives_the_client() -> None:
    """After Retry-After 600 a client that opens 40 s later sends nothing."""

    async def main() -> None:
        bucket = join_queue(HOST, CREDENTIALS, Limit.CALLS, RateLimit(25))
        await bucket.acquire(Lane.INTERACTIVE)
        bucket.on_rate_limited(600.0)
        bucket.release()
        bucket.leave(RateLimit(25))
        await asyncio.sleep(40)
        again = join_queue(HOST, CREDENTIALS, Limit.CALLS, RateLimit(25))
        assert again.snapshot().paused == pytest.approx(560.0)

    virtual.run(main)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Limit.CALLS, "configure it with rate_limit=RateLimit(10, per=5) or LEADSQUARED_RATE_LIMIT=10/5"),
        (Limit.BULK, "configure it with bulk_limit=RateLimit(10, per=5)"),
    ],
)
def test_a_limit_that_is_lowered_names_its_own_option(
    kind: Limit, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """For any number of 429s there is one event about them, and one that names the lowered limit's option."""

    async def main() -> None:
        bucket = join_queue(HOST, CREDENTIALS, kind, RateLimit(25))
        for _ in range(3):
            await bucket.acquire(Lane.INTERACTIVE)
            bucket.on_rate_limited(None, (10, 5.0))
            bucket.release()
            await asyncio.sleep(1.0)

    virtual.run(main)
    throttled, lowered = [vars(record) for record in caplog.records]
    assert (throttled["event"], throttled["what"]) == ("throttled", kind.value)
    assert (lowered["event"], lowered["what"]) == ("limit_lowered", kind.value)
    assert lowered["message"].endswith(words)


def test_a_limit_that_leadsquared_named_is_not_forgotten() -> None:
    """A learnt limit applies to later clients too."""

    async def main() -> None:
        bucket = join_queue(HOST, CREDENTIALS, Limit.CALLS, RateLimit(25))
        await bucket.acquire(Lane.INTERACTIVE)
        bucket.on_rate_limited(None, (10, 5.0))
        bucket.release()
        bucket.leave(RateLimit(25))
        await asyncio.sleep(3600)
        assert join_queue(HOST, CREDENTIALS, Limit.CALLS, RateLimit(25)).snapshot().limit.calls == 10

    virtual.run(main)

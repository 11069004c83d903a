"""Every attempt passes the caller's limiter and the account's own limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiolimiter import AsyncLimiter

from leadsquared_async import (
    ConfigurationError,
    DeadlineExceeded,
    Lane,
    LeadSquared,
    LeadSquaredError,
    Limiter,
    RateLimit,
)
from leadsquared_async.limiter.chained import ChainedLimiters
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.sandbox import Account, Faults
from tests import virtual
from tests.clients import KEYS, LEAD, virtual_client

# Without any latency, calls would arrive on the very edge of the server's window.
NEAR = Faults(latency=0.002)


class Recorder:
    """A limiter that writes down what it is asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error = error

    async def acquire(self, lane: Lane, deadline: float | None = None) -> None:
        self.asked.append(("acquire", lane, deadline))
        await asyncio.sleep(0.1)
        if self.error is not None:
            raise self.error

    def release(self, *, counted: bool = True) -> None:
        self.asked.append(("release", counted))

    def release_unused(self) -> None:
        self.asked.append(("release_unused",))

    def on_rate_limited(self, pause: float | None = None, named: tuple[int, float] | None = None) -> None:
        self.asked.append(("on_rate_limited", pause, named))


def assert_no_token_is_missing(lsq: LeadSquared) -> None:
    state = lsq.snapshot().limit
    assert state is not None
    assert (state.free, state.in_flight) == (25, 0)


def test_each_attempt_acquires_and_releases_with_its_lane_and_deadline() -> None:
    """A 429 is reported before its release; the retry acquires again."""

    async def main() -> None:
        limiter: Limiter = Recorder()
        account = Account(limit=(1, 5.0), faults=NEAR)
        lsq, _ = virtual_client(account, limiter=limiter)
        start = asyncio.get_running_loop().time()
        async with lsq:
            await lsq.with_options(lane=Lane.BATCH).leads.capture(LEAD, deadline=60.0)
            await lsq.leads.capture(LEAD, deadline=None)
        assert isinstance(limiter, Recorder)
        batch, end, form, limited, again, *_ = limiter.asked
        assert batch[:2] == ("acquire", Lane.BATCH)
        assert batch[2] == pytest.approx(start + 60.0)
        assert (end, form) == (("release", True), ("acquire", Lane.INTERACTIVE, None))
        assert limited[0] == "on_rate_limited"
        assert again == ("release", True)
        kinds = [asked[0] for asked in limiter.asked]
        assert kinds.count("acquire") == kinds.count("release") > 2

    virtual.run(main)


@pytest.mark.parametrize("probability", ["hang", "lost"])
def test_an_attempt_without_an_answer_is_released_as_not_counted(probability: str) -> None:
    """The limiter is told `counted=False`, since the server may count the attempt later."""

    async def main() -> None:
        limiter = Recorder()
        faults = Faults(latency=0.002, probabilities={probability: 1.0})
        lsq, _ = virtual_client(Account(faults=faults), limiter=limiter, timeout=1.0)
        async with lsq:
            await asyncio.gather(lsq.leads.capture(LEAD, deadline=1.5), return_exceptions=True)
        assert ("release", False) in limiter.asked

    virtual.run(main)


@pytest.mark.parametrize(("error", "raised"), [(TimeoutError(), DeadlineExceeded), (KeyError(), KeyError)])
def test_a_limiter_that_raises_costs_no_token_of_the_account(
    error: Exception, raised: type[Exception]
) -> None:
    """A TimeoutError ends the call with DeadlineExceeded; other errors are raised unchanged."""

    async def main() -> None:
        limiter = Recorder(error)
        lsq, transport = virtual_client(Account(faults=NEAR), limiter=limiter)
        async with lsq:
            with pytest.raises(raised):
                await lsq.leads.capture(LEAD)
            assert_no_token_is_missing(lsq)
        assert [asked[0] for asked in limiter.asked] == ["acquire"]
        assert not transport.books.arrivals

    virtual.run(main)


def test_a_limiter_that_ignores_the_deadline_does_not_extend_it() -> None:
    """The call ends at its deadline, and holds no token of the account after it."""

    class Endless(Recorder):
        async def acquire(self, lane: Lane, deadline: float | None = None) -> None:
            await asyncio.sleep(1e6)

    async def main() -> None:
        lsq, transport = virtual_client(Account(faults=NEAR), limiter=Endless())
        clock = asyncio.get_running_loop().time
        async with lsq:
            start = clock()
            with pytest.raises(DeadlineExceeded, match="while waiting for the custom limiter"):
                await lsq.leads.capture(LEAD, deadline=3.0)
            assert clock() - start == pytest.approx(3.0)
            assert_no_token_is_missing(lsq)
        assert not transport.books.arrivals

    virtual.run(main)


async def test_of_two_limiters_both_hear_of_each_call() -> None:
    """Both are told how each call ended, and the account's gets its token back if the custom one fails."""

    async def while_open(wait: Callable[[], Awaitable[None]]) -> None:
        await wait()

    limit = RateLimit(25, per=5.0)
    first, second = TokenQueue(LocalGrantor(limit)), Recorder()
    first.join(limit)
    both = ChainedLimiters(first, second, while_open)
    await both.acquire(Lane.STATUS, 1e9)
    both.on_rate_limited(None, (20, 5.0))
    both.release(counted=False)
    await both.acquire(Lane.INTERACTIVE)
    both.release_unused()
    state = first.snapshot()
    assert (state.limit.calls, state.granted, state.rate_limited, state.in_flight) == (20, 2, 1, 0)
    kinds = ["acquire", "on_rate_limited", "release", "acquire", "release_unused"]
    assert [asked[0] for asked in second.asked] == kinds
    assert second.asked[1:3] == [("on_rate_limited", None, (20, 5.0)), ("release", False)]
    second.error = LookupError()
    with pytest.raises(LookupError):
        await both.acquire(Lane.INTERACTIVE)
    after = first.snapshot()
    assert (after.free, after.in_flight, after.granted) == (state.free, 0, 3)


def test_bulk_calls_do_not_pass_it() -> None:
    """Bulk calls have a limit of their own."""

    async def main() -> None:
        limiter = Recorder()
        lsq, _ = virtual_client(Account(faults=NEAR), limiter=limiter)
        async with lsq, lsq.bulk.create_or_update([LEAD]) as results:
            assert [result.error async for result in results] == [None]
        assert limiter.asked == []

    virtual.run(main)


def test_an_object_without_one_of_the_methods_is_refused() -> None:
    """An incomplete limiter is rejected when the client is made."""

    class Half:
        async def acquire(self, lane: Lane, deadline: float | None = None) -> None: ...

    with pytest.raises(ConfigurationError, match="release_unused and on_rate_limited"):
        LeadSquared(**KEYS, region="in21", limiter=Half())  # type: ignore[arg-type]


# An aiolimiter.AsyncLimiter


def test_a_limiter_of_the_callers_is_kept_to_as_well() -> None:
    """An AsyncLimiter that is slower than the bucket sets the rate."""

    async def main() -> None:
        limiter = AsyncLimiter(2, 1.0)
        lsq, transport = virtual_client(Account(faults=NEAR), limiter=limiter)
        async with lsq:
            await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(20)))
            assert transport.books.most_arrivals(1.0) <= 4  # a leaky bucket lets its burst through on top
            assert transport.books.arrivals[-1].time - transport.books.arrivals[0].time >= 8.9

    virtual.run(main)


def test_the_bucket_is_kept_to_behind_a_limiter_that_lets_all_through() -> None:
    """A generous limiter does not replace the account's own limit."""

    async def main() -> None:
        lsq, transport = virtual_client(Account(faults=NEAR), limiter=AsyncLimiter(1000, 1.0))
        async with lsq:
            await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(60)))
            assert transport.books.over_limit == 0
            assert transport.books.most_arrivals() <= 25

    virtual.run(main)


def test_a_limiter_without_room_costs_no_token() -> None:
    """A call that gives up in the caller's limiter puts its token back, and the error names that limiter."""

    async def main() -> None:
        limiter = AsyncLimiter(1, 1000.0)
        lsq, _ = virtual_client(Account(faults=NEAR), limiter=limiter)
        async with lsq:
            await lsq.leads.capture(LEAD)
            with pytest.raises(DeadlineExceeded, match="while waiting for the custom limiter"):
                await lsq.leads.capture(LEAD, deadline=3.0)
            await asyncio.sleep(10.0)
            state = lsq.snapshot().limit
            assert state is not None
            assert (state.free, state.in_flight) == (25, 0)

    virtual.run(main)


def test_an_error_of_the_limiter_names_the_call() -> None:
    """Also one of this package's kind: the caller learns which lead was not sent."""

    async def main() -> None:
        lsq, _ = virtual_client(Account(), limiter=Recorder(LeadSquaredError("no room")))
        async with lsq:
            with pytest.raises(LeadSquaredError, match="no room") as caught:
                await lsq.leads.capture(LEAD, reference="form-4711")
        assert (caught.value.operation, caught.value.reference) == ("leads.capture", "form-4711")

    virtual.run(main)

"""`without_waiting`: waits of the client pass at once, in their order; nothing else changes."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from leadsquared_async import (
    DeadlineExceeded,
    LeadSquared,
    Outbox,
    RateLimit,
    RetryPolicy,
    ServerError,
    SharedLimiter,
    StillProcessing,
)
from leadsquared_async.clock import clock as client_clock
from leadsquared_async.sandbox import Account, Faults, Sandbox, SandboxTransport
from leadsquared_async.testing import client_of, without_waiting
from tests.clients import LEAD, PatchedAccount
from tests.limiter.valkey import Valkey

DOWN = Faults(probabilities={"503": 1.0})


def lead(number: int) -> dict[str, str]:
    return {"EmailAddress": f"{number}@example.com"}


async def test_a_thousand_captures_keep_the_limit_and_take_no_time() -> None:
    """The limit's spacing passes at once, and the sandbox sees it on its own clock."""
    transport = SandboxTransport(Account())
    started = time.perf_counter()
    with without_waiting() as waits:
        async with client_of(transport, deadline=None) as lsq:
            await asyncio.gather(*(lsq.leads.capture(lead(number)) for number in range(1000)))
    assert time.perf_counter() - started < 5  # some 0.4 s alone; the others are for a busy machine
    assert waits.skipped == pytest.approx(975 * 0.204, rel=0.05)
    assert transport.books.over_limit == 0
    assert transport.books.most_arrivals() == 25
    assert transport.books.accepted == 1000


async def test_captures_arrive_in_their_order() -> None:
    """First come, first served, and a form before a batch, as without skipping."""
    transport = SandboxTransport(Account())
    with without_waiting():
        async with client_of(transport) as lsq:
            many = [asyncio.create_task(lsq.leads.capture(lead(number))) for number in range(60)]
            await asyncio.gather(*many)
    assert [body.partition("@")[0].rpartition('"')[2] for body in transport.books.attempts] == [
        str(number) for number in range(60)
    ]


async def test_a_pause_between_attempts_is_skipped_and_counted() -> None:
    """A 503 and a 429 with Retry-After cost their pauses, but no time."""
    account = PatchedAccount(faults=Faults(script=("503", "429")), retry_after="40")
    started = time.perf_counter()
    with without_waiting() as waits:
        async with client_of(SandboxTransport(account)) as lsq:
            receipt = await lsq.leads.capture(LEAD)
    assert receipt.attempts == 3
    assert waits.skipped >= 40
    assert receipt.waited >= 40
    assert time.perf_counter() - started < 5


async def test_the_sandbox_s_queue_moves_on() -> None:
    """A request that takes a minute is final after a few polls."""
    async with Sandbox(processing_rate=1) as sandbox:
        with without_waiting() as waits:
            async with client_of(sandbox) as lsq:
                receipt = await lsq.leads.capture(LEAD)
                assert not (await lsq.leads.status(receipt)).is_final
                status = await lsq.leads.wait(receipt)
        assert status.succeeded
        assert status.lead_id in sandbox.books.leads
        assert 60 <= waits.skipped < 90
        assert sandbox.books.by_outcome == {"200": len(sandbox.books.arrivals)}


async def test_a_wait_that_runs_out_runs_out() -> None:
    """Deadlines are measured in skipped time, too."""
    transport = SandboxTransport(Account(processing_rate=0.001))
    with without_waiting() as waits:
        async with client_of(transport) as lsq:
            receipt = await lsq.leads.capture(LEAD)
            with pytest.raises(StillProcessing):
                await lsq.leads.wait(receipt, deadline=600)
    assert waits.skipped == pytest.approx(600, rel=0.01)


async def test_a_call_ends_at_its_deadline() -> None:
    """Retries stop at the deadline, or before, when they are used up."""
    transport = SandboxTransport(Account(faults=DOWN))
    with without_waiting() as waits:
        async with client_of(transport) as lsq:
            with pytest.raises(ServerError) as raised:
                await lsq.leads.capture(LEAD)
            assert raised.value.attempts == 6
            transport.faults = Faults(probabilities={"429": 1.0})
            before = waits.skipped
            with pytest.raises(DeadlineExceeded):
                await lsq.leads.capture(LEAD, deadline=30)
            assert waits.skipped - before <= 30


async def test_a_call_that_cannot_get_a_token_in_time_says_so() -> None:
    """A deadline in the queue for tokens passes before the tokens behind it do."""
    transport = SandboxTransport(Account())
    with without_waiting() as waits:
        async with client_of(transport, rate_limit=RateLimit(1, per=100.0)) as lsq:
            first = asyncio.create_task(lsq.leads.capture(LEAD))
            await asyncio.sleep(0)
            with pytest.raises(DeadlineExceeded):
                await lsq.leads.capture(LEAD, deadline=10)
            await first
    assert waits.skipped < 100


async def test_time_stands_still_while_an_attempt_is_made() -> None:
    """A form whose answer takes a moment does not run out of time because another call waits."""
    transport = SandboxTransport(Account(processing_rate=0.001))
    answered = asyncio.Event()

    async def slowly(request: httpx.Request) -> httpx.Response:
        if answered.is_set():
            await asyncio.sleep(0.05)
            return httpx.Response(500)
        return await transport.handle_async_request(request)

    with without_waiting() as waits:
        async with client_of(transport, transport=httpx.MockTransport(slowly)) as lsq:
            receipt = await lsq.leads.capture(LEAD)
            answered.set()
            before = waits.skipped
            form = lsq.leads.capture(LEAD, deadline=60)
            waiting = asyncio.create_task(lsq.leads.wait(receipt, deadline=100_000))
            with pytest.raises(ServerError):  # not DeadlineExceeded
                await form
            assert waits.skipped - before < 60
            waiting.cancel()


async def test_the_program_s_own_time_is_not_touched() -> None:
    """`asyncio.sleep` sleeps, and the loop's clock is that of the machine."""
    loop = asyncio.get_running_loop()
    with without_waiting() as waits:
        async with client_of(SandboxTransport(Account(faults=DOWN))) as lsq:
            call = asyncio.create_task(lsq.leads.capture(LEAD))
            real, of_loop = time.monotonic(), loop.time()
            await asyncio.sleep(0.1)
            assert time.monotonic() - real >= 0.09
            assert loop.time() - of_loop < 5
            with pytest.raises(ServerError):
                await call
    assert waits.skipped > 1


async def test_waits_are_real_again_after_the_block() -> None:
    """Blocks may be nested, and the outer one counts on."""
    assert client_clock.skipper is None
    with without_waiting() as outer:
        async with client_of(SandboxTransport(Account(faults=DOWN))) as lsq:
            of_outer = client_clock.skipper
            with without_waiting() as inner:
                assert client_clock.skipper is of_outer  # which knows the waits that have begun
                with pytest.raises(ServerError):
                    await lsq.leads.capture(LEAD)
            assert client_clock.skipper is of_outer is not None
            with pytest.raises(ServerError):
                await lsq.leads.capture(LEAD)
        assert outer.skipped > inner.skipped / 2 > 0
    assert client_clock.skipper is None
    started = time.perf_counter()
    await client_clock.sleep(0.05)
    assert time.perf_counter() - started >= 0.045


async def test_blocks_may_overlap() -> None:
    """Of tasks or threads: waits pass until the last of them ends, and then no longer."""

    async def block(begin: asyncio.Event, end: asyncio.Event) -> None:
        with without_waiting():
            begin.set()
            await end.wait()

    began, ended = (asyncio.Event(), asyncio.Event()), (asyncio.Event(), asyncio.Event())
    blocks = []
    for events in zip(began, ended, strict=True):
        blocks.append(asyncio.create_task(block(*events)))
        await events[0].wait()
    ended[0].set()
    await blocks[0]
    assert client_clock.skipper is not None
    async with asyncio.timeout(5):
        await client_clock.sleep(1000)
    ended[1].set()
    await blocks[1]
    assert client_clock.skipper is None


async def test_what_a_block_skipped_stays() -> None:
    """A later block does not count for it."""
    with without_waiting() as first:
        await client_clock.sleep(10)
    with without_waiting():
        await client_clock.sleep(1000)
    assert first.skipped == pytest.approx(10, abs=1)


async def test_a_wait_that_an_earlier_block_began_is_skipped_in_the_next() -> None:
    """As in the background of a client that all tests share."""
    with without_waiting():
        waiting = asyncio.create_task(client_clock.sleep(1000))
        await asyncio.sleep(0)
    with without_waiting():
        async with asyncio.timeout(5):
            await waiting


@pytest.mark.parametrize("number", range(5))
def test_waits_of_several_threads_pass_in_the_order_of_their_times(number: int) -> None:
    """The long pause of one does not let the deadline of another pass."""

    async def main(name: str, pause: float, deadline: float | None) -> int:
        transport = SandboxTransport(Account(faults=Faults(script=("503",) * 5)))
        policy = RetryPolicy(base=1e9, cap=pause)
        async with client_of(transport, name=name, retry=policy) as lsq:
            return (await lsq.leads.capture(LEAD, deadline=deadline)).attempts

    with without_waiting(), ThreadPoolExecutor(2) as pool:
        long = pool.submit(lambda: asyncio.run(main("long", 10_000.0, None)))
        short = pool.submit(lambda: asyncio.run(main("short", 1.0, 30.0)))
        assert (short.result(), long.result()) == (6, 6)


async def test_an_outbox_tries_again_at_once(tmp_path: Path) -> None:
    """The pause of an outbox while LeadSquared is down passes at once; an idle outbox skips nothing."""
    transport = SandboxTransport(Account(faults=Faults(script=("503",) * 12, operations=("capture",))))
    with without_waiting() as waits:
        async with client_of(transport) as lsq, Outbox(tmp_path / "leads.db", lsq) as outbox:
            await outbox.put(LEAD)
            async with asyncio.timeout(20):
                await outbox.drained()
            assert waits.skipped > 5
            before = waits.skipped
            await asyncio.sleep(0.5)
            assert waits.skipped == before
    assert len(transport.books.leads) == 1


def test_clients_in_several_threads_all_skip() -> None:
    """Each loop's waits pass, also while another loop's attempts hold the time."""

    async def main(number: int) -> int:
        transport = SandboxTransport(Account(limit=None))
        async with client_of(transport, name=str(number)) as lsq:
            await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(40)))
        return transport.books.accepted

    started = time.perf_counter()
    with without_waiting(), ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda number: asyncio.run(main(number)), range(3))) == [40] * 3
    assert time.perf_counter() - started < 15  # 19 s without skipping


async def test_a_shared_limiter_keeps_its_own_time(valkey: Valkey) -> None:
    """What waits for a store's clock waits; nothing breaks, and pauses of the client pass."""
    transport = SandboxTransport(Account(faults=Faults(script=("503", "503"))))
    with without_waiting() as waits:
        async with client_of(
            transport, limiter=SharedLimiter(valkey.url), rate_limit=RateLimit(10, per=0.5)
        ) as lsq:
            await asyncio.gather(*(lsq.leads.capture(lead(number)) for number in range(14)))
    assert transport.books.accepted == 14
    assert waits.skipped < 60


async def test_a_client_from_before_the_block_takes_part() -> None:
    """It need not be opened inside."""
    async with LeadSquared(
        access_key=Sandbox.access_key,
        secret_key=Sandbox.secret_key,
        api_key=Sandbox.api_key,
        host="https://sandbox.invalid",
        transport=SandboxTransport(Account(faults=Faults(script=("503",) * 4))),
    ) as lsq:
        with without_waiting():
            assert (await lsq.leads.capture(LEAD)).attempts == 5

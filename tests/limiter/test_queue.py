"""The queue for tokens: the next caller, callers that leave, and the effect of a 429."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from leadsquared_async import Lane, RateLimit
from leadsquared_async.limiter.interface import NoTokenInTime
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.sandbox import most_in_any_window
from tests import virtual
from tests.virtual import in_virtual_time

DEFAULT = RateLimit(25, per=5.0)
SPACING = DEFAULT.spacing


def now() -> float:
    return asyncio.get_running_loop().time()


def joined(limit: RateLimit) -> TokenQueue:
    """A bucket with a client that declares its limit."""
    bucket = TokenQueue(LocalGrantor(limit))
    bucket.join(limit)
    return bucket


async def spend(bucket: TokenQueue, lane: Lane = Lane.INTERACTIVE, seconds: float = 0.05) -> float:
    """One call; returns when it was sent."""
    await bucket.acquire(lane)
    sent = now()
    await asyncio.sleep(seconds)
    bucket.release()
    return sent


async def flood(bucket: TokenQueue, lane: Lane, calls: int) -> list[asyncio.Task[float]]:
    """Calls that all wait at once."""
    tasks = [asyncio.create_task(spend(bucket, lane)) for _ in range(calls)]
    await asyncio.sleep(0)
    return tasks


async def stop(tasks: list[asyncio.Task[float]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@in_virtual_time
async def test_an_idle_bucket_lets_a_burst_go_at_once() -> None:
    """25 forms at once are sent at once; the 26th waits until the first is due back."""
    bucket = TokenQueue(LocalGrantor(DEFAULT))
    start = now()
    sent = await asyncio.gather(*(spend(bucket) for _ in range(26)))
    assert [round(when - start, 6) for when in sent[:25]] == [0.0] * 25
    assert sent[25] - start == pytest.approx(5.05)


@in_virtual_time
async def test_a_lone_form_is_sent_within_one_spacing_beside_2000_batch_calls() -> None:
    """While 2,000 batch calls wait, forms that come alone are each sent within one spacing."""
    bucket = TokenQueue(LocalGrantor(DEFAULT))
    batch = await flood(bucket, Lane.BATCH, 2000)
    waits = []
    for moment in range(60):
        await asyncio.sleep(1.0 + 0.037 * moment)
        asked = now()
        waits.append(await spend(bucket) - asked)
    assert max(waits) <= SPACING + 1e-6
    await stop(batch)


@in_virtual_time
async def test_forms_that_come_together_are_each_sent_within_their_place_in_line() -> None:
    """The k-th of k forms at once is sent within k spacings, one more for each overtaken waiter."""
    bucket = TokenQueue(LocalGrantor(DEFAULT))
    batch = await flood(bucket, Lane.BATCH, 500)
    await asyncio.sleep(20)
    asked = now()
    sent = await asyncio.gather(*(spend(bucket) for _ in range(14)))
    for place, when in enumerate(sent, start=1):
        assert when - asked <= (place + place // 7) * SPACING + 0.06
    await stop(batch)


@pytest.mark.parametrize(
    ("others", "spacings"),
    [
        ([(Lane.BATCH, 500)], 9),
        # What forms leave over, one grant in eight, batches and polls take in turns.
        ([(Lane.BATCH, 100), (Lane.INTERACTIVE, 1000)], 17),
    ],
)
def test_a_poll_gets_its_turn_however_many_wait_before_it(
    others: list[tuple[Lane, int]], spacings: int
) -> None:
    """No lane starves: seven calls may pass an older waiter or a poll, then it goes."""

    async def main() -> None:
        bucket = TokenQueue(LocalGrantor(DEFAULT))
        tasks = [task for lane, calls in others for task in await flood(bucket, lane, calls)]
        await asyncio.sleep(10.0)  # past the burst
        for _ in range(4):
            asked = now()
            await spend(bucket, Lane.STATUS, seconds=0)
            assert now() - asked < spacings * SPACING
        await stop(tasks)

    virtual.run(main)


@in_virtual_time
async def test_a_batch_never_spends_the_burst_that_a_form_needs() -> None:
    """At any moment of a batch, a token for a form is free or due within a spacing."""
    bucket = TokenQueue(LocalGrantor(DEFAULT))
    batch = await flood(bucket, Lane.BATCH, 300)
    for _ in range(500):
        await asyncio.sleep(0.1)
        state = bucket.snapshot()
        assert state.free or (state.next_due is not None and state.next_due <= SPACING)
    await stop(batch)


@in_virtual_time
async def test_a_call_that_hangs_delays_its_batch_by_one_window() -> None:
    """The other calls of the batch are sent within a window."""
    bucket = TokenQueue(LocalGrantor(DEFAULT))
    hanging = asyncio.create_task(spend(bucket, Lane.BATCH, seconds=300))
    await asyncio.sleep(20)
    started = now()
    await spend(bucket, Lane.BATCH)
    assert now() - started < 0.1
    hanging.cancel()


@in_virtual_time
async def test_a_call_without_an_answer_is_counted_a_window_longer() -> None:
    """A token whose call got no answer comes back after two windows, not one."""
    bucket = TokenQueue(LocalGrantor(RateLimit(1, per=5.0)))
    start = now()
    await bucket.acquire(Lane.INTERACTIVE)
    bucket.release(counted=False)
    await bucket.acquire(Lane.INTERACTIVE)
    assert now() - start == pytest.approx(10.0)


@in_virtual_time
async def test_a_deadline_that_cannot_be_met_fails_at_once_and_says_why() -> None:
    """The earliest possible time counts: the calls ahead in the lane, one a spacing."""
    bucket = TokenQueue(LocalGrantor(DEFAULT))
    waiting = await flood(bucket, Lane.INTERACTIVE, 125)
    before = now()
    with pytest.raises(NoTokenInTime) as caught:
        await bucket.acquire(Lane.INTERACTIVE, before + 10)
    assert now() == before
    assert caught.value.ahead == 100
    assert caught.value.spacing == pytest.approx(SPACING)
    await stop(waiting)


@in_virtual_time
async def test_a_deadline_that_could_be_met_is_waited_for() -> None:
    """A deadline just before the next token fails when it passes; one just after gets it."""
    bucket = TokenQueue(LocalGrantor(RateLimit(1, per=5.0)))
    start = now()
    await spend(bucket)
    await bucket.acquire(Lane.INTERACTIVE, start + 5.06)
    assert now() - start == pytest.approx(5.05)
    with pytest.raises(NoTokenInTime):
        await bucket.acquire(Lane.INTERACTIVE, start + 5.1)
    waiting = asyncio.create_task(bucket.acquire(Lane.INTERACTIVE, start + 12.0))
    await asyncio.sleep(0)
    with pytest.raises(NoTokenInTime):
        await waiting
    assert now() - start == pytest.approx(12.0)
    assert sum(bucket.snapshot().waiting.values()) == 0


@in_virtual_time
async def test_a_cancelled_waiter_leaves_nothing_behind() -> None:
    """After 10,000 cancelled waiters the rest are served in order, and no cancelled one is kept alive."""
    bucket = TokenQueue(LocalGrantor(RateLimit(1, per=1.0, margin=0.0)))
    await bucket.acquire(Lane.INTERACTIVE)
    tasks = [asyncio.create_task(spend(bucket)) for _ in range(10_000)]
    await asyncio.sleep(0)
    survivors = tasks[::2500]
    for task in tasks:
        if task not in survivors:
            task.cancel()
    bucket.release()
    sent = await asyncio.gather(*survivors)
    assert list(sent) == sorted(sent)
    gone = weakref.ref(tasks[1])
    del tasks, task
    gc.collect()
    assert gone() is None
    assert sum(bucket.snapshot().waiting.values()) == 0


@in_virtual_time
async def test_the_waiters_of_one_client_fail_and_those_of_the_others_move_up() -> None:
    """`fail` ends the waits of a client; the next token goes to the first waiter of another one."""
    bucket = TokenQueue(LocalGrantor(RateLimit(1, per=5.0)))
    await bucket.acquire(Lane.INTERACTIVE)
    one, other = object(), object()
    clients = (one, other, one, other)
    waits = [asyncio.create_task(bucket.acquire(Lane.INTERACTIVE, None, client)) for client in clients]
    await asyncio.sleep(0)
    bucket.fail(LookupError, one)
    assert bucket.snapshot().waiting[Lane.INTERACTIVE] == 2
    bucket.release_unused()
    await asyncio.sleep(0.1)
    assert [isinstance(wait.exception(), LookupError) for wait in waits[:3:2]] == [True, True]
    assert (waits[1].done(), waits[3].done()) == (True, False)
    bucket.fail(KeyError)
    with pytest.raises(KeyError):
        await waits[3]


@pytest.mark.parametrize("granted_first", [True, False])
def test_a_token_for_a_waiter_that_is_cancelled_in_the_same_tick_is_passed_on(granted_first: bool) -> None:
    """The next waiter gets the token at once, whichever of grant and cancellation comes first."""

    async def main() -> None:
        bucket = TokenQueue(LocalGrantor(RateLimit(1, per=5.0)))
        await bucket.acquire(Lane.INTERACTIVE)
        first = asyncio.create_task(bucket.acquire(Lane.INTERACTIVE))
        second = asyncio.create_task(bucket.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(0)
        steps = [bucket.release_unused, first.cancel]  # neither waiter has a chance to run between them
        for step in steps if granted_first else reversed(steps):
            step()
        await second
        assert first.cancelled()
        assert bucket.snapshot().in_flight == 1

    virtual.run(main)


@in_virtual_time
async def test_a_429_pauses_all_callers_for_as_long_as_the_server_asks() -> None:
    """After a 429 with Retry-After 3 nothing is sent for 3 s; without the header, for one spacing."""
    bucket = TokenQueue(LocalGrantor(DEFAULT))
    for pause, silent in ((3.0, 3.0), (None, SPACING)):
        start = now()
        await bucket.acquire(Lane.INTERACTIVE)
        bucket.on_rate_limited(pause)
        bucket.release()
        await bucket.acquire(Lane.INTERACTIVE)
        assert now() - start == pytest.approx(silent)
        bucket.release()
        await asyncio.sleep(60)


@in_virtual_time
async def test_a_limit_that_the_server_names_becomes_the_ceiling() -> None:
    """A message that says 10 in 5 seconds sets the limit, and the snapshot shows it."""
    bucket = TokenQueue(LocalGrantor(DEFAULT))
    await bucket.acquire(Lane.INTERACTIVE)
    bucket.on_rate_limited(None, (10, 5.0))
    bucket.release()
    state = bucket.snapshot()
    assert (state.limit.calls, state.limit.per, state.declared) == (10, 5.0, DEFAULT)
    assert state.ceiling is not None
    start = now()
    sent = await asyncio.gather(*(spend(bucket) for _ in range(40)))
    assert sum(when < start + 4.9 for when in sent) <= 10


async def refuse(bucket: TokenQueue) -> None:
    await bucket.acquire(Lane.INTERACTIVE)
    bucket.on_rate_limited()
    bucket.release()


@in_virtual_time
async def test_429s_withdraw_one_token_a_spacing_and_each_clean_window_brings_one_back() -> None:
    """429s withdraw tokens one a spacing, never the last; each clean window brings one back."""
    bucket = TokenQueue(LocalGrantor(RateLimit(3, per=3.0)))
    for withdrawn in (1, 2, 2):
        await refuse(bucket)
        assert bucket.snapshot().withdrawn == withdrawn
        await asyncio.sleep(1.1)
    await asyncio.sleep(2.0)
    assert bucket.snapshot().withdrawn == 1
    await asyncio.sleep(3.0)
    assert bucket.snapshot().withdrawn == 0
    await asyncio.sleep(10.0)
    assert bucket.snapshot().free == 3


@in_virtual_time
async def test_429s_that_come_together_withdraw_one_token() -> None:
    """A whole burst that gets 429s is one event, not 25."""
    bucket = TokenQueue(LocalGrantor(DEFAULT))
    for _ in range(25):
        await bucket.acquire(Lane.INTERACTIVE)
    for _ in range(25):
        bucket.on_rate_limited()
        bucket.release()
    assert bucket.snapshot().withdrawn == 1
    assert bucket.snapshot().rate_limited == 25


@in_virtual_time
async def test_the_timer_keeps_no_waiters_context_alive() -> None:
    """The timer runs in an empty context."""
    bucket = TokenQueue(LocalGrantor(RateLimit(1, per=5.0)))
    await bucket.acquire(Lane.INTERACTIVE)
    bucket.release()
    waiting = asyncio.create_task(bucket.acquire(Lane.INTERACTIVE))
    await asyncio.sleep(0)
    (home,) = bucket._loops
    assert home.timer._handle is not None
    assert len(home.timer._handle._context) == 0  # type: ignore[attr-defined]
    await waiting


@in_virtual_time
async def test_calls_that_arrive_a_window_after_they_were_given_up_are_allowed_for() -> None:
    """25 calls given up at once that arrive 5 s later, and those after them: at most 25 in any 5 s."""
    bucket = TokenQueue(LocalGrantor(DEFAULT))
    start = now()
    for _ in range(25):
        await bucket.acquire(Lane.INTERACTIVE)
        bucket.release(counted=False)
    sent = await asyncio.gather(*(spend(bucket, seconds=0.0) for _ in range(50)))
    arrivals = [start + 5.0] * 25 + list(sent)
    assert most_in_any_window(sorted(arrivals), 5.0 - 1e-6) <= 25


@pytest.mark.parametrize("other", [RateLimit(10, per=1.0), RateLimit(5, per=1.0), RateLimit(1, per=0.2)])
def test_a_smaller_limit_with_a_shorter_window_brings_no_second_burst(other: RateLimit) -> None:
    """25 calls in flight when another client declares a shorter window: still at most 25 arrivals in 5 s."""

    async def main() -> None:
        bucket = joined(DEFAULT)
        calls = [asyncio.create_task(spend(bucket, seconds=0.1)) for _ in range(100)]
        await asyncio.sleep(0.05)
        bucket.join(other)
        assert most_in_any_window(sorted(await asyncio.gather(*calls)), 5.0 - 1e-6) <= 25

    virtual.run(main)

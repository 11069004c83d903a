"""One limit applies to all event loops of a process, in any threads."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import uvloop

from leadsquared_async import ClientClosed, Credentials, Lane, LeadSquared, RateLimit
from leadsquared_async.limiter import local_limits
from leadsquared_async.limiter.interface import Limit, NoTokenInTime
from leadsquared_async.limiter.local_limits import join_queue
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.sandbox import most_in_any_window
from tests.clients import KEYS, LEAD

HOST = "https://sandbox.invalid"
CREDENTIALS = Credentials(**KEYS)
LIMIT = RateLimit(25, per=0.5)
MOMENT = 0.05
FACTORIES: tuple[Callable[[], asyncio.AbstractEventLoop], ...] = (
    asyncio.new_event_loop,
    uvloop.new_event_loop,
)


class Server(httpx.AsyncBaseTransport):
    """Answers calls of any loop, and writes down when they arrived."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.arrivals.append(time.monotonic())
        await asyncio.sleep(0.01)
        return httpx.Response(200, json={"Status": "Success", "RequestID": f"id-{len(self.arrivals)}"})

    @property
    def most(self) -> int:
        # They are written down a moment after their tokens were taken.
        return most_in_any_window(sorted(self.arrivals), LIMIT.per - 1e-3)


def client(server: Server, **options: Any) -> LeadSquared:
    return LeadSquared(**{**KEYS, "host": HOST, "transport": server, "rate_limit": LIMIT, **options})


def run(main: Coroutine[Any, Any, Any], kind: int = 0) -> Any:
    with asyncio.Runner(loop_factory=FACTORIES[kind % 2]) as runner:
        return runner.run(main)


def bucket_here(limit: RateLimit = LIMIT) -> TokenQueue:
    return join_queue(HOST, CREDENTIALS, Limit.CALLS, limit)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not condition():  # noqa: ASYNC110 - it changes in another thread
            await asyncio.sleep(0.005)


def test_eight_threads_with_a_loop_each_keep_to_one_limit() -> None:
    """At most 25 of 80 captures arrive in any window, and no window is lost."""
    server = Server()

    async def capture_ten() -> None:
        async with client(server) as lsq:
            await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(10)))

    start = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda kind: run(capture_ten(), kind), range(8)))
    assert len(server.arrivals) == 80
    assert server.most <= LIMIT.calls
    assert time.monotonic() - start < 6 * LIMIT.per
    assert len(local_limits._accounts) == 1


@pytest.mark.parametrize("kinds", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_loops_one_after_the_other_keep_to_one_limit(kinds: tuple[int, int]) -> None:
    """The burst of a second loop waits for the tokens that the first has spent."""
    server = Server()

    async def burst() -> None:
        async with client(server) as lsq:
            await asyncio.gather(*(lsq.leads.capture(LEAD) for _ in range(25)))

    for kind in kinds:
        run(burst(), kind)
    assert len(server.arrivals) == 50
    assert server.most <= LIMIT.calls


@pytest.mark.parametrize("kind", [0, 1])
def test_a_loop_that_ends_with_calls_in_flight_and_waiters_costs_the_others_two_windows(kind: int) -> None:
    """Its calls count as ended without an answer; its waiters and its limit are forgotten."""
    spent, over = threading.Event(), threading.Event()
    limit = RateLimit(2, per=0.2)

    def die() -> None:
        loop = FACTORIES[kind]()

        async def spend() -> None:
            bucket = bucket_here(limit)
            bucket.join(RateLimit(1, per=0.2))
            bucket.leave(RateLimit(1, per=0.2))
            await bucket.acquire(Lane.INTERACTIVE)
            tasks.append(asyncio.create_task(bucket.acquire(Lane.INTERACTIVE)))
            tasks.extend(asyncio.create_task(bucket.acquire(Lane.INTERACTIVE)) for _ in range(5))
            await asyncio.sleep(MOMENT)

        tasks: list[asyncio.Task[None]] = []
        loop.run_until_complete(spend())
        spent.set()
        over.wait(10.0)
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()

    async def go_on() -> None:
        await until(spent.is_set)
        bucket = bucket_here(limit)
        waiting = [asyncio.create_task(bucket.acquire(Lane.INTERACTIVE)) for _ in range(4)]
        over.set()
        async with asyncio.timeout(5.0):
            for acquired in asyncio.as_completed(waiting):
                await acquired
                bucket.release()
        await asyncio.sleep(5 * limit.per)
        state = bucket.snapshot()
        assert (state.free, state.in_flight, sum(state.waiting.values())) == (2, 0, 0)
        assert (state.limit, bucket.users) == (limit, 1)

    thread = threading.Thread(target=die)
    thread.start()
    run(go_on(), 1 - kind)
    thread.join()


@pytest.mark.parametrize("kind", [0, 1])
def test_a_blocked_loop_delays_no_other_loop(kind: int) -> None:
    """Its waiters are skipped until it runs again, and each of its tokens is returned once."""
    limit = RateLimit(1, per=0.1)
    first = FACTORIES[kind]()

    async def begin() -> asyncio.Task[None]:
        bucket = bucket_here(limit)
        await bucket.acquire(Lane.INTERACTIVE)
        waiting = asyncio.create_task(bucket.acquire(Lane.INTERACTIVE))
        await asyncio.sleep(0)
        return waiting

    async def meanwhile() -> None:
        bucket = bucket_here(limit)
        async with asyncio.timeout(5.0):
            for _ in range(2):
                await bucket.acquire(Lane.BATCH)
                bucket.release()

    async def end(waiting: asyncio.Task[None]) -> None:
        bucket = bucket_here(limit)
        bucket.release()
        async with asyncio.timeout(5.0):
            await waiting
        bucket.release()
        await asyncio.sleep(0.3)
        assert (bucket.snapshot().free, bucket.snapshot().in_flight) == (1, 0)

    waiting = first.run_until_complete(begin())
    run(meanwhile())
    first.run_until_complete(end(waiting))
    first.close()


def test_lanes_and_order_hold_across_loops() -> None:
    """A form in another thread goes before a batch that came first; within a lane, the first comes first."""
    limit = RateLimit(1, per=0.05)
    served: list[str] = []
    asked = [threading.Event() for _ in range(4)]

    async def ask(place: int, name: str, lane: Lane) -> None:
        bucket = bucket_here(limit)
        if place:
            await until(asked[place - 1].is_set)
        task = asyncio.create_task(bucket.acquire(lane))
        await asyncio.sleep(0)
        asked[place].set()
        await task
        served.append(name)
        await asyncio.sleep(0.3 if not place else 0.0)  # the first keeps the only token until all have asked
        bucket.release()

    wanted = [("first", Lane.BATCH), ("batch", Lane.BATCH), ("form", Lane.INTERACTIVE), ("later", Lane.BATCH)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda place: run(ask(place, *wanted[place]), place), range(4)))
    assert served == ["first", "form", "batch", "later"]


@pytest.mark.parametrize("kind", [0, 1])
def test_a_deadline_is_kept_to_while_another_loop_has_all_tokens(kind: int) -> None:
    """A deadline is a time of the waiter's own loop."""
    taken, over = threading.Event(), threading.Event()
    limit = RateLimit(1, per=0.05)

    async def hang() -> None:
        bucket = bucket_here(limit)
        await bucket.acquire(Lane.INTERACTIVE)
        taken.set()
        await until(over.is_set)
        bucket.release()

    async def wait() -> None:
        bucket = bucket_here(limit)
        await until(taken.is_set)
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(NoTokenInTime):
            await bucket.acquire(Lane.INTERACTIVE, start + 0.2)
        assert 0.15 < loop.time() - start < 1.0
        over.set()
        async with asyncio.timeout(5.0):
            await bucket.acquire(Lane.INTERACTIVE)
        bucket.release()

    thread = threading.Thread(target=run, args=(hang(), 1 - kind))
    thread.start()
    run(wait(), kind)
    thread.join()


def test_no_token_is_lost_whatever_loops_and_callers_do() -> None:
    """All tokens are back after six threads, loops that end, and callers that are cancelled."""
    limit = RateLimit(20, per=0.1)
    taken: list[float] = []

    async def call(bucket: TokenQueue, pause: float) -> None:
        await bucket.acquire(Lane.INTERACTIVE)
        taken.append(time.monotonic())
        # As in the client, what gives the token back is the loop, which does so no more once it is closed.
        asyncio.get_running_loop().call_later(pause, bucket.release)

    async def use(chance: random.Random) -> list[asyncio.Task[None]]:
        bucket = bucket_here(limit)
        tasks: list[asyncio.Task[None]] = []
        for _ in range(25):
            tasks.append(asyncio.create_task(call(bucket, chance.uniform(0.0, 0.02))))
            if chance.random() < 0.3:
                await asyncio.sleep(chance.uniform(0.0, 0.005))
            if chance.random() < 0.3:
                chance.choice(tasks).cancel()
        await asyncio.sleep(0.05)
        return tasks

    def come_and_go(number: int) -> None:
        chance = random.Random(number)
        for kind in range(6):
            loop = FACTORIES[(number + kind) % 2]()
            for task in loop.run_until_complete(use(chance)):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
            loop.close()  # with callers that wait, and calls in flight

    threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most_in_any_window(sorted(taken), limit.per - 1e-3) <= limit.calls

    async def look() -> None:
        bucket = bucket_here(limit)
        await asyncio.sleep(0.6)
        state = bucket.snapshot()
        assert (state.free, state.in_flight, sum(state.waiting.values())) == (20, 0, 0)
        assert bucket.users == 1

    run(look())


def _spend_in_child(answers: Any) -> None:
    async def spend() -> tuple[int, int, int]:
        bucket = bucket_here()
        state = bucket.snapshot()
        async with asyncio.timeout(5.0):
            for _ in range(26):
                await bucket.acquire(Lane.INTERACTIVE)
                bucket.release()
        return state.free, state.in_flight, bucket.users

    answers.send(run(spend()))


def test_a_forked_child_has_the_tokens_that_its_parent_left() -> None:
    """A child sends no burst of its own, and has no clients, callers or calls of its parent."""
    context = multiprocessing.get_context("fork")

    async def main() -> None:
        bucket = bucket_here()
        for _ in range(20):
            await bucket.acquire(Lane.INTERACTIVE)
        ours, theirs = context.Pipe()
        child = context.Process(target=_spend_in_child, args=(theirs,))
        child.start()
        assert await asyncio.to_thread(ours.recv) == (5, 0, 1)
        child.join()
        assert bucket.snapshot().in_flight == 20
        for _ in range(20):
            bucket.release()
        async with asyncio.timeout(5.0):
            await bucket.acquire(Lane.INTERACTIVE)

    run(main())


def test_a_client_used_in_another_loop_raises_client_closed() -> None:
    """ClientClosed says what to do, in another thread's loop and without a loop."""
    lsq = client(Server())

    async def opened() -> None:
        async with lsq:
            await lsq.leads.capture(LEAD)
            with pytest.raises(ClientClosed, match="another event loop: open one in each loop"):
                await asyncio.to_thread(lsq.snapshot)
            for use in (lambda: lsq.leads.capture(LEAD), lsq.aclose):
                with pytest.raises(ClientClosed, match="another event loop: open one in each loop"):
                    await asyncio.to_thread(asyncio.run, _awaited(use))
            assert lsq.snapshot().limit is not None

    with pytest.raises(ClientClosed, match="not open"):
        lsq.snapshot()
    asyncio.run(opened())
    with pytest.raises(ClientClosed, match="closed"):
        lsq.snapshot()


async def _awaited(use: Callable[[], Any]) -> None:
    await use()


@pytest.mark.parametrize("lane", [Lane.INTERACTIVE, Lane.BATCH])
def test_a_loop_that_other_code_blocks_does_not_gather_the_tokens(lane: Lane) -> None:
    """Calls of another thread are sent while a blocked loop has many waiters."""
    waiting, go_on = threading.Event(), threading.Event()
    limit = RateLimit(3, per=0.15)
    granted: list[int] = []

    async def blocked() -> None:
        bucket = bucket_here(limit)

        async def call() -> None:
            await bucket.acquire(lane)
            granted.append(bucket.snapshot().in_flight)
            bucket.release()

        calls = [asyncio.create_task(call()) for _ in range(9)]
        await asyncio.sleep(0)
        waiting.set()
        go_on.wait(timeout=10.0)
        await asyncio.gather(*calls)
        bucket.leave(limit)

    async def working() -> None:
        bucket = bucket_here(limit)
        for _ in range(4):
            async with asyncio.timeout(5.0):
                await bucket.acquire(Lane.INTERACTIVE)
            bucket.release()
        assert not go_on.is_set()
        go_on.set()
        bucket.leave(limit)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(run, blocked())
        assert waiting.wait(10.0)
        try:
            run(working(), kind=1)
        finally:
            go_on.set()
        other.result(10.0)
    assert len(granted) == 9

"""An outbox is used where and while it is open; whatever closes it, nothing is lost or left open."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import anyio
import httpx
import pytest

from leadsquared_async import (
    ClientClosed,
    ConfigurationError,
    LeadSquared,
    Outbox,
    OutboxError,
    RateLimit,
    RetryPolicy,
)
from leadsquared_async.outbox import ItemState, OutboxItem
from leadsquared_async.outbox import outbox as outbox_module
from leadsquared_async.outbox.files import DeliveryLock
from leadsquared_async.outbox.store import Store
from leadsquared_async.sandbox import Faults
from leadsquared_async.submissions import Submission, bulk_lead, capture_lead
from tests.clients import KEYS, LEAD
from tests.outbox.machine import Machine, by_state, items, lead, play, played

NOBODY = {"FirstName": "Bret"}
"""LeadSquared cannot match it: sent twice, it makes two."""
USES: dict[str, Callable[[Outbox], Awaitable[object]]] = {
    "put": lambda outbox: outbox.put(LEAD),
    "put_many": lambda outbox: outbox.put_many([LEAD]),
    "drained": lambda outbox: outbox.drained(),
    "snapshot": lambda outbox: outbox.snapshot(),
    "items": items,
    "find": lambda outbox: outbox.find(["a"]),
    "requeue": lambda outbox: outbox.requeue(1),
    "discard": lambda outbox: outbox.discard(1),
    "forget": lambda outbox: outbox.forget(Phone="1"),
    "purge": lambda outbox: outbox.purge(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_it_is_used_between_opening_and_closing(
    use: Callable[[Outbox], Awaitable[object]], tmp_path: Path
) -> None:
    """Before and after, every method raises ClientClosed and says which of the two it is."""
    outbox = Outbox(tmp_path / "leads.db")
    with pytest.raises(ClientClosed, match="not open: use it inside"):
        await use(outbox)
    assert not outbox.path.exists()
    async with outbox:
        pass
    with pytest.raises(ClientClosed, match="closed: its `async with` block has ended"):
        await use(outbox)
    await outbox.aclose()
    with pytest.raises(ClientClosed, match="make a new one"):
        await outbox.open()


async def test_closing_waits_for_what_is_under_way_and_takes_nothing_more(tmp_path: Path) -> None:
    """A long forget comes to its end; a part of ours that comes too late is told that it was closed."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put_many({"Phone": f"{number % 2}"} for number in range(4000))
        forgetting = asyncio.create_task(outbox.forget(Phone="1"))
        await asyncio.sleep(0)
        writer = outbox._writer
    assert await forgetting == 2000
    assert writer is not None
    with pytest.raises(ClientClosed, match="closed meanwhile"):
        await writer.read(lambda store: store.counts())


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_it_is_used_in_the_loop_it_was_opened_in(
    use: Callable[[Outbox], Awaitable[object]], tmp_path: Path
) -> None:
    """Another loop, in another thread, is told so; closing it there is refused as well."""
    caught: list[str] = []

    async def elsewhere() -> None:
        for attempt in (use(outbox), outbox.aclose()):
            try:
                await attempt
            except ClientClosed as error:
                caught.append(str(error))

    async with Outbox(tmp_path / "leads.db") as outbox:
        thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
        thread.start()
        await asyncio.get_running_loop().run_in_executor(None, thread.join)
        await outbox.put(LEAD)
    assert len(caught) == 2
    assert all("another event loop" in message for message in caught)


def _after_a_fork(outbox: Outbox, answers: Any) -> None:
    async def use() -> None:
        for attempt in (outbox.put(LEAD), outbox.snapshot(), outbox.aclose()):
            try:
                await attempt
            except ClientClosed as error:
                answers.put(str(error))

    asyncio.run(use())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
async def test_a_process_forked_off_cannot_use_it_nor_take_it_from_its_parent(tmp_path: Path) -> None:
    """The child gets an error; the parent stays the only process that delivers."""
    fork = multiprocessing.get_context("fork")
    client = LeadSquared(**KEYS, host="http://127.0.0.1:9")
    async with client as lsq, Outbox(tmp_path / "leads.db", lsq) as outbox:
        await asyncio.sleep(0.1)
        answers = fork.Queue()
        child = fork.Process(target=_after_a_fork, args=(outbox, answers))
        child.start()
        told = [answers.get(timeout=10.0) for _ in range(3)]
        child.join(10.0)
        assert child.exitcode == 0
        assert all("opened before a fork" in message for message in told)
        async with Outbox(tmp_path / "leads.db", lsq) as other:
            await asyncio.sleep(0.1)
            assert not (await other.snapshot()).delivers
        await outbox.put(LEAD)
        assert (await outbox.snapshot()).delivers


@pytest.mark.parametrize(
    "options",
    [
        {"path": ""},
        {"path": ":memory:"},
        {"path": 3},
        {"client": "lsq"},
        {"keep_rejected": 0},
        {"keep_rejected": float("nan")},
        {"max_bytes": 0},
        {"max_bytes": 1.5},
        {"max_bytes": True},
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any], tmp_path: Path) -> None:
    """By name, before anything is opened."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Outbox(**{"path": tmp_path / "leads.db", **options})


async def test_a_client_that_is_not_open_here_is_refused_before_the_file_is_made(tmp_path: Path) -> None:
    """It would deliver nothing."""
    with pytest.raises(ClientClosed, match="not open"):
        await Outbox(tmp_path / "leads.db", LeadSquared(**KEYS, host="http://127.0.0.1:9")).open()
    assert not (tmp_path / "leads.db").exists()


@pytest.mark.parametrize("older_than", [-1, True, "1", float("nan")])
async def test_purge_takes_seconds(older_than: Any, tmp_path: Path) -> None:
    """Anything else is refused, and nothing is deleted."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        with pytest.raises(ConfigurationError, match="older_than"):
            await outbox.purge(older_than)


@pytest.mark.parametrize("person", [{}, {"Phone": ""}, {"Phone": " "}, {"Phone": 7}])
async def test_forget_takes_a_value(person: dict[str, Any], tmp_path: Path) -> None:
    """Without one nobody is meant, and nobody is erased."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put({"Phone": "", "FirstName": "B"})
        with pytest.raises(ConfigurationError, match="forget takes"):
            await outbox.forget(**person)
        assert len(await items(outbox)) == 1


MOMENTS = [0, 1, 2, 4, 9]
"""Turns of the loop after which something is cancelled; a turn waits for the thread a little."""


def left_of(path: Path) -> list[str]:
    """What an outbox has left open in this process: descriptors, threads, tasks."""
    left = [name for thread in threading.enumerate() if "outbox" in (name := thread.name)]
    left += [name for task in asyncio.all_tasks() if "outbox" in (name := task.get_name())]
    if sys.platform == "linux":
        for descriptor in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if (name := str(descriptor.readlink())).startswith(str(path)):
                    left.append(name)
    return left


async def check_nothing_is_left(path: Path) -> None:
    until = time.monotonic() + 5.0
    while left_of(path) and time.monotonic() < until:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.002)  # a thread that has nothing to do any more ends a moment later
    assert left_of(path) == []
    lock = DeliveryLock(path)
    assert lock.acquire()
    lock.release()


async def turns(count: int) -> None:
    for turn in range(count):
        await asyncio.sleep(0 if turn % 2 else 0.0005)


async def by_task(what: Callable[[], object], after: int, times: int) -> None:
    task = asyncio.ensure_future(what())  # type: ignore[arg-type]
    await asyncio.sleep(0)  # it begins
    for _ in range(times):
        await turns(after)
        task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def by_scope(what: Callable[[], object], after: int, times: int) -> None:
    with anyio.CancelScope() as scope:

        async def cancel() -> None:
            await turns(after * times)
            scope.cancel()

        cancelling = asyncio.create_task(cancel())
        await what()  # type: ignore[misc]
    await cancelling


@pytest.fixture(params=[False, True], ids=["stores", "delivers"])
async def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Outbox]:
    """Without a client and with one; not open yet."""
    async with LeadSquared(**KEYS, host="http://127.0.0.1:9") as lsq:
        yield Outbox(tmp_path / "leads.db", lsq if request.param else None)


@pytest.mark.parametrize("cancel", [by_task, by_scope])
@pytest.mark.parametrize("after", MOMENTS)
@pytest.mark.parametrize("times", [1, 3])
async def test_an_opening_that_is_cancelled_leaves_nothing_open(
    cancel: Callable[..., Awaitable[None]], after: int, times: int, outbox: Outbox
) -> None:
    """A cancellation at any moment, once or several times, leaves no descriptor, thread or task."""

    async def live() -> None:
        async with outbox:
            await asyncio.sleep(0.02)

    await cancel(live, after, times)
    await check_nothing_is_left(outbox.path)


@pytest.mark.parametrize("cancel", [by_task, by_scope])
@pytest.mark.parametrize("after", MOMENTS)
@pytest.mark.parametrize("times", [1, 4])
async def test_a_closing_that_is_cancelled_closes_nevertheless(
    cancel: Callable[..., Awaitable[None]], after: int, times: int, outbox: Outbox
) -> None:
    """No descriptor, thread or task is left, the lock is free, and the rows are stored."""
    await outbox.open()
    await outbox.put(lead(1))
    putting = asyncio.create_task(outbox.put(lead(2)))
    await asyncio.sleep(0)
    await cancel(outbox.aclose, after, times)
    assert (await putting).is_new
    await check_nothing_is_left(outbox.path)
    async with Outbox(outbox.path) as again:
        assert len(await items(again)) == 2


@pytest.mark.parametrize("how", ["task", "scope"])
def test_a_block_that_is_cancelled_while_it_drains_closes(how: str, tmp_path: Path) -> None:
    """Nothing of it runs on, and the next process delivers the rest."""

    async def deliver(machine: Machine) -> None:
        async def live() -> None:
            async with machine.process() as outbox:
                await outbox.put_many(lead(number) for number in range(100))
                await outbox.drained()

        if how == "task":
            task = asyncio.create_task(live())
            for pause in (5.0, 0.1):
                await asyncio.sleep(pause)
                task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        else:
            with anyio.move_on_after(5.0):
                await live()
        async with machine.process() as outbox:
            await outbox.drained()
            assert await by_state(outbox) == {"confirmed": 100}

    play(tmp_path, deliver, Faults(latency=1.0))


def test_a_loop_that_ends_under_an_open_outbox_leaves_no_thread(tmp_path: Path) -> None:
    """A put that was under way is stored or not, and Python can exit."""
    path = tmp_path / "leads.db"

    async def forget() -> Outbox:
        outbox = Outbox(path)
        await outbox.open()
        await outbox.put(lead(1))
        running = asyncio.create_task(outbox.put(lead(2)), name="running")
        await asyncio.sleep(0)
        del running
        return outbox

    forgotten = asyncio.run(forget())

    async def look() -> int:
        async with Outbox(path) as outbox:
            return len(await items(outbox))

    assert asyncio.run(look()) in {1, 2}
    # Python 3.13 warns of a connection that nobody closed, in whichever test its garbage is found.
    assert forgotten._writer is not None
    assert forgotten._writer._store is not None
    forgotten._writer._store.connection.close()


NEVER = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.mark.parametrize("delivers", [False, True])
async def test_closing_interrupts_what_does_not_end(
    delivers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless statement is rolled back after the grace, its callers get an error, the lock is free."""
    monkeypatch.setattr(outbox_module, "LAST_WAIT", 0.1)
    path = tmp_path / "leads.db"
    lsq = LeadSquared(**KEYS, host="http://127.0.0.1:9")
    await lsq.__aenter__()
    outbox = Outbox(path, lsq if delivers else None)
    await outbox.open()
    put = Store.put

    def endless(self: Store, *values: Any) -> Any:
        ticket = put(self, *values)
        if self.counts()[ItemState.PENDING] == 1:
            self.connection.execute(NEVER).fetchone()
        return ticket

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", endless)
        puts = [asyncio.create_task(outbox.put(lead(0)))]
        await asyncio.sleep(0.05)
        puts += [asyncio.create_task(outbox.put(lead(number))) for number in range(1, 5)]
        start = time.monotonic()
        await asyncio.sleep(0.0)
        await outbox.aclose(0.2)
        assert time.monotonic() - start < 3.0
        for answer in await asyncio.gather(*puts, return_exceptions=True):
            assert isinstance(answer, OutboxError)
            assert "this change was not stored" in str(answer)
    await lsq.aclose()
    lock = DeliveryLock(path)
    assert lock.acquire()
    lock.release()
    async with Outbox(path) as again:
        assert await items(again) == []


@pytest.mark.parametrize("latency", [0.04, 3.0])
@played()
async def test_what_is_on_its_way_is_finished_and_the_rest_is_kept(machine: Machine, latency: float) -> None:
    """Nothing is "sending" after a close within the grace, and each row is either accepted or pending."""
    machine.books.faults = Faults(latency=latency)
    start = machine.now
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(200))
        await asyncio.sleep(2.0)
        start = machine.now
    assert machine.now - start <= latency + 0.1
    async with Outbox(machine.path) as outbox:
        counts = await by_state(outbox)
    assert counts.keys() <= {"accepted", "pending", "confirmed"}
    assert sum(counts.values()) == 200
    sent = machine.operations["capture"]
    assert counts["pending"] == 200 - sent
    async with machine.process() as outbox:
        await outbox.drained()
    assert machine.books.repeated == 0
    assert len(machine.books.leads) == 200


# An outbox's client closes after it, with a grace of its own for the exchanges that are left.
@played(Faults(probabilities={"hang+taken": 1.0}), options={"timeout": 9.5})
async def test_what_takes_longer_than_the_grace_is_left_to_the_next_process(machine: Machine) -> None:
    """Closing takes eight seconds at most, and rows without an answer are sent again at the next start."""
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(40))
        await asyncio.sleep(1.0)
        start = machine.now
    assert 8.0 <= machine.now - start < 8.0 + 2.0
    machine.books.faults = Faults(latency=0.04)
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 40}
    assert machine.books.repeated <= 25


@pytest.mark.parametrize("submission", [capture_lead(NOBODY), bulk_lead(NOBODY)], ids=["alone", "bulk"])
@pytest.mark.parametrize(
    ("answers", "latency", "limit", "takes", "state"),
    [
        pytest.param([(429, "3600")], 0.1, 25, 0.0, "pending", id="in the pause"),
        pytest.param([(429, "3600")], 5.0, 25, 2.0, "pending", id="refused during the close"),
        pytest.param([(429, None)], 0.1, 1, 0.0, "pending", id="waiting for a token again"),
        pytest.param([(503, None), (429, "3600")], 0.1, 25, 8.0, "sending", id="refused after unknown"),
    ],
)
@played()
async def test_a_close_between_two_attempts_keeps_a_row_that_was_refused(
    machine: Machine,
    *,
    submission: Submission,
    answers: list[tuple[int, str | None]],
    latency: float,
    limit: int,
    takes: float,
    state: str,
) -> None:
    """It is pending again at once, and the next process sends it; if it may have arrived, it is left."""
    coming = iter(answers)

    async def answer(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(latency)
        status, pause = next(coming)
        return httpx.Response(status, headers={} if pause is None else {"retry-after": pause}, json={})

    refusing = {"transport": httpx.MockTransport(answer), "retry": RetryPolicy(base=0.1)}
    limits = {name: RateLimit(limit, per=60.0) for name in ("rate_limit", "bulk_limit")}
    sync = {"sync_host": "https://sandbox.invalid"}
    async with machine.process({**refusing, **limits, **sync}) as outbox:
        await asyncio.sleep(1.0)
        await outbox.put(submission)
        await asyncio.sleep(3.0)
        assert await by_state(outbox) == {"sending": 1}
        start = machine.now
        await outbox.aclose()
        assert machine.now - start == pytest.approx(takes, abs=0.1)
        assert not list(coming)
    async with Outbox(machine.path) as outbox:
        assert await by_state(outbox) == {state: 1}
    async with machine.process(sync) as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed" if state == "pending" else "unknown": 1}


@played()
async def test_a_refused_row_that_the_disk_does_not_take_back_holds_up_no_close(machine: Machine) -> None:
    """It is left as it is, and the next start decides."""

    def refuse(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"retry-after": "3600"}, json={})

    def fail(*_values: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with machine.process({"transport": httpx.MockTransport(refuse)}) as outbox:
        await outbox.put(NOBODY)
        await asyncio.sleep(1.0)
        start = machine.now
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "pending", fail)
            await outbox.aclose()
        assert machine.now - start < 2.0
    async with Outbox(machine.path) as outbox:
        assert await by_state(outbox) == {"sending": 1}


@pytest.mark.parametrize("is_cancelled", [False, True])
@played(Faults(latency=3.0))
async def test_a_second_close_waits_for_the_first(machine: Machine, is_cancelled: bool) -> None:
    """A block that ends meanwhile leaves nothing running; only a first that is cancelled loses an answer."""
    async with machine.client() as lsq:
        async with Outbox(machine.path, lsq, confirm=False) as outbox:
            await outbox.put({"FirstName": "Bret"})
            await asyncio.sleep(1.0)
            closing = asyncio.create_task(outbox.aclose())
            await asyncio.sleep(0.5)
            if is_cancelled:
                closing.cancel()
        assert not [task for task in asyncio.all_tasks() if "outbox" in task.get_name()]
        assert closing.done()
        lock = DeliveryLock(machine.path)
        assert lock.acquire()
        lock.release()
    async with Outbox(machine.path) as outbox:
        assert await by_state(outbox) == {"sending" if is_cancelled else "accepted": 1}


@played()
async def test_callbacks_that_close_it_while_its_block_ends_run_to_their_end(machine: Machine) -> None:
    """They do not wait for each other nor for the block, and the block waits for the first of them."""
    closed: list[int] = []
    client = machine.client()
    outbox = Outbox(machine.path, client, confirm=False)

    @outbox.on_final
    async def close(item: OutboxItem) -> None:
        is_called.set()
        await outbox.aclose()
        closed.append(item.id)

    is_called = asyncio.Event()
    async with client:
        async with outbox:
            await asyncio.sleep(1.0)
            await asyncio.gather(*(outbox.put(lead(number)) for number in range(3)))
            await is_called.wait()
            start = machine.now
        assert machine.now - start < 1.0
        await asyncio.sleep(0)
        assert sorted(closed) == [1, 2, 3]
        assert not [task for task in asyncio.all_tasks() if "outbox" in task.get_name()]


@played(Faults(latency=0.3, jitter=0.2))
async def test_closing_at_any_moment_loses_nothing(machine: Machine) -> None:
    """However short processes live, all rows are confirmed in the end; none but those on their way twice."""
    chance = Random(11)
    async with Outbox(machine.path) as outbox:
        await outbox.put_many(lead(number) for number in range(150))
    for _ in range(25):
        async with machine.process() as outbox:
            await asyncio.sleep(
                chance.choice([0.0, 0.001, chance.uniform(0.0, 0.3), chance.uniform(0.0, 6.0)])
            )
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 150}
    assert machine.books.repeated == 0
    assert machine.books.most_arrivals() <= 25


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.0, 0.05, 1.0, 30.0])
@played(Faults(latency=0.3))
async def test_a_client_that_is_closed_first_does_no_harm(machine: Machine, moment: float) -> None:
    """The outbox says why it delivers no more, `drained` ends with that, and closes; all rows are kept."""
    client = machine.client()
    async with client:
        outbox = Outbox(machine.path, client)
        await outbox.open()
        await outbox.put_many(lead(number) for number in range(300))
        await asyncio.sleep(moment)
    await asyncio.sleep(1.0)
    assert "closed" in str((await outbox.snapshot()).blocked)
    with pytest.raises(OutboxError, match=r"delivery has stopped with items still pending: .*closed"):
        await outbox.drained()
    ticket = await outbox.put(lead(300))
    assert ticket.is_new
    await outbox.aclose()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("leadsquared")]
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 301}
    assert machine.books.repeated == 0


class Slow:
    """A callback that takes its time, and may refuse to be cut short."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun = self.done = 0

    async def __call__(self, item: OutboxItem) -> None:
        self.begun += 1
        await asyncio.sleep(self.seconds)
        self.done += 1


@pytest.mark.parametrize(("seconds", "done"), [(2.0, 25), (1e6, 0)])
@played(options={"rate_limit": RateLimit(1000, per=1.0)}, limit=None)
async def test_callbacks_under_way_get_what_is_left_of_the_grace(
    machine: Machine, seconds: float, done: int
) -> None:
    """Those that take longer are cancelled, and called again at the next start."""
    slow = Slow(seconds)
    client = machine.client()
    outbox = Outbox(machine.path, client, confirm=False)
    outbox.on_final(slow)
    async with client:
        async with outbox:
            await outbox.put_many(lead(number) for number in range(25))
            await asyncio.sleep(0.5)
            assert slow.begun == 25
            start = machine.now
        assert machine.now - start < 8.001
        assert not [task for task in asyncio.all_tasks() if "on_final" in task.get_name()]
    assert slow.done == done
    told: list[int] = []
    async with machine.process(on_final=lambda item: told.append(item.id), confirm=False):
        await asyncio.sleep(1.0)
    assert len(told) == 25 - done


@played()
async def test_putting_ends_when_the_outbox_closes_under_it(machine: Machine) -> None:
    """A long put_many says that the outbox is closed; what it had put by then is counted and kept."""
    pulled = 0

    async def rows() -> Any:
        nonlocal pulled
        for number in range(5000):
            pulled += 1
            yield lead(number)
            await asyncio.sleep(0.001)

    async with Outbox(machine.path) as outbox:
        task = asyncio.create_task(outbox.put_many(rows()))
        forgetting = asyncio.create_task(outbox.forget(Phone="1"))
        await asyncio.sleep(1.7)
    with pytest.raises(ClientClosed):
        await task
    with suppress(ClientClosed):
        await forgetting
    async with Outbox(machine.path) as outbox:
        assert await by_state(outbox) == {"pending": pulled // 500 * 500 - (500 if pulled % 500 == 0 else 0)}

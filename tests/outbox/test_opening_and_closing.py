"""An outbox works in its process and loop while it is open, and closes completely."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from leadsquared_async import (
    ClientClosed,
    ConfigurationError,
    LeadSquared,
    Outbox,
)
from leadsquared_async.outbox.files import DeliveryLock
from leadsquared_async.sandbox import Faults
from tests.clients import KEYS, LEAD
from tests.outbox.machine import Machine, by_state, items, lead, play

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
    """Every method raises ClientClosed before and after, and says which of the two it is."""
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
    """A long forget finishes, and a later read raises ClientClosed."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put_many({"Phone": f"{number % 2}"} for number in range(4000))
        forgetting = asyncio.create_task(outbox.forget(Phone="1"))
        await asyncio.sleep(0)
        writer = outbox._lifecycle.writer
    assert await forgetting == 2000
    assert writer is not None
    with pytest.raises(ClientClosed, match="closed meanwhile"):
        await writer.read(lambda store: store.counts())


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_it_is_used_in_the_loop_it_was_opened_in(
    use: Callable[[Outbox], Awaitable[object]], tmp_path: Path
) -> None:
    """Methods and closing raise ClientClosed in another thread's loop."""
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
        messages = [answers.get(timeout=10.0) for _ in range(3)]
        child.join(10.0)
        assert child.exitcode == 0
        assert all("opened before a fork" in message for message in messages)
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
    """The error names the option, before anything is opened."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Outbox(**{"path": tmp_path / "leads.db", **options})


async def test_a_client_that_is_not_open_here_is_refused_before_the_file_is_made(tmp_path: Path) -> None:
    """It raises ClientClosed, since it would deliver nothing."""
    with pytest.raises(ClientClosed, match="not open"):
        await Outbox(tmp_path / "leads.db", LeadSquared(**KEYS, host="http://127.0.0.1:9")).open()
    assert not (tmp_path / "leads.db").exists()


@pytest.mark.parametrize("older_than", [-1, True, "1", float("nan")])
async def test_purge_takes_seconds(older_than: Any, tmp_path: Path) -> None:
    """Any other value raises, and nothing is deleted."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        with pytest.raises(ConfigurationError, match="older_than"):
            await outbox.purge(older_than)


@pytest.mark.parametrize("person", [{}, {"Phone": ""}, {"Phone": " "}, {"Phone": 7}])
async def test_forget_takes_a_value(person: dict[str, Any], tmp_path: Path) -> None:
    """forget without a value raises, and nothing is erased."""
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
    """None of its tasks remains, and the next process delivers the rest."""

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
    """A put under way is stored or not, and Python can exit."""
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
    # Python 3.13 warns of a connection that nobody closed, in whichever test its garbage is found. Its thread
    # may still be at a commit, and SQLite crashes if the connection is closed meanwhile.
    assert forgotten._lifecycle.writer is not None
    assert forgotten._lifecycle.writer._store is not None
    is_closed = threading.Event()
    forgotten._lifecycle.writer._thread.run(forgotten._lifecycle.writer._store.close)
    forgotten._lifecycle.writer._thread.run(is_closed.set)
    assert is_closed.wait(10.0)

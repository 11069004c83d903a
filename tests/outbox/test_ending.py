"""Whatever cancels the opening or the closing of an outbox, nothing of it is left open."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from leadsquared_async import LeadSquared, Outbox
from leadsquared_async.outbox.files import DeliveryLock
from tests.clients import KEYS
from tests.outbox.machine import items, lead

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


@pytest.mark.parametrize("cancel", [by_task, by_scope])
@pytest.mark.parametrize("delivers", [False, True])
@pytest.mark.parametrize("times", [1, 3])
async def test_an_opening_that_is_cancelled_leaves_nothing_open(
    cancel: Callable[..., object], delivers: bool, times: int, tmp_path: Path
) -> None:
    """At any moment of it, once or again and again."""
    async with LeadSquared(**KEYS, host="http://127.0.0.1:9") as lsq:
        for after in MOMENTS:
            path = tmp_path / f"{after}.db"
            outbox = Outbox(path, lsq if delivers else None)

            async def live(outbox: Outbox = outbox) -> None:
                async with outbox:
                    await asyncio.sleep(0.02)

            await cancel(live, after, times)  # type: ignore[misc]
            await check_nothing_is_left(path)


@pytest.mark.parametrize("cancel", [by_task, by_scope])
@pytest.mark.parametrize("delivers", [False, True])
@pytest.mark.parametrize("times", [1, 4])
async def test_a_closing_that_is_cancelled_closes_all_the_same(
    cancel: Callable[..., object], delivers: bool, times: int, tmp_path: Path
) -> None:
    """At any moment of it: no descriptor, thread or task is left, the lock is free, and the rows are
    there."""
    async with LeadSquared(**KEYS, host="http://127.0.0.1:9") as lsq:
        for after in MOMENTS:
            path = tmp_path / f"{after}.db"
            outbox = Outbox(path, lsq if delivers else None)
            await outbox.open()
            await outbox.put(lead(1))
            putting = asyncio.create_task(outbox.put(lead(2)))
            await asyncio.sleep(0)
            await cancel(outbox.aclose, after, times)  # type: ignore[misc]
            assert (await putting).is_new
            await check_nothing_is_left(path)
            async with Outbox(path) as again:
                assert len(await items(again)) == 2


def test_a_loop_that_ends_under_an_open_outbox_leaves_no_thread(tmp_path: Path) -> None:
    """A program that forgets to close it, and whose tasks are all cancelled at its end: what was being put
    is stored or not, and Python can end."""
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

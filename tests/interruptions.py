"""Something that is cancelled at every one of its awaits, once each, in every way in which it can be."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from leadsquared_async import LeadSquared
from leadsquared_async.http.session import _State
from leadsquared_async.limiter import local_limits
from leadsquared_async.outbox.files import DeliveryLock


@dataclass(frozen=True)
class Way:
    """How a task is cancelled.

    Attributes:
        first: what cancels it at the k-th await: "task" or "scope".
        again: after how many awaits more `Task.cancel` is called again, each counted from the one before.
    """

    first: str
    again: tuple[int, ...] = ()


WAYS = {
    "by its task": Way("task"),
    "by its task twice": Way("task", (1,)),
    "by its task twice, later": Way("task", (3,)),
    "by a scope": Way("scope"),
    "by a scope and its task": Way("scope", (1,)),
}


class Stepped(Awaitable[Any]):
    """A coroutine that calls something when it is suspended for the k-th time, for some of them."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], at: dict[int, Callable[[], object]]) -> None:
        self._coroutine = coroutine
        self._at = at
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        step, value = self._coroutine.send, None
        while True:
            try:
                waited_for = step(value)
            except StopIteration as end:
                return end.value
            self.suspensions += 1
            if (act := self._at.get(self.suspensions)) is not None:
                act()
            try:
                step, value = self._coroutine.send, (yield waited_for)
            except BaseException as error:
                step, value = self._coroutine.throw, error


async def interrupted(use: Coroutine[Any, Any, Any], way: Way, k: int) -> tuple[int, float]:
    """Run to the end, cancelled at the k-th await; returns how many awaits there were, and the loop's time of
    the first cancellation, or of the end."""
    clock = asyncio.get_running_loop().time
    cancelled: list[float] = []
    counted = Stepped(use, {})

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        scope = anyio.CancelScope()
        at = k

        def cancel() -> None:
            cancelled.append(clock())
            scope.cancel() if way.first == "scope" else task.cancel()

        counted._at[at] = cancel
        for later in way.again:
            at += later
            counted._at[at] = task.cancel
        with scope:
            await counted

    task = asyncio.create_task(run(), name="interrupted")
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return counted.suspensions, cancelled[0] if cancelled else clock()


def assert_clients_are_closed(clients: Iterable[LeadSquared]) -> None:
    """Each is closed, no token is missing, and no task of theirs runs."""
    left = {task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}}
    assert left <= {"sandbox arrival"}  # the transport is the test's own
    for lsq in clients:
        assert lsq._session._state is not _State.OPEN
        if hasattr(lsq._session, "transport"):
            assert lsq._session._closed.is_set()
        assert not lsq._session.in_flight._tasks
        assert not lsq._session._at_closing
    for account in local_limits._accounts.values():
        assert account.grantor.out == 0
        assert not any(account.queue.waiting)
        assert account.queue.users == 0


def assert_files_are_free(folder: Path, outboxes: str) -> None:
    """No file of a folder is open, and none of its outboxes is locked."""
    opened = Path("/proc/self/fd")  # of Linux; elsewhere only the locks tell
    if opened.exists():
        held = [os.path.realpath(descriptor) for descriptor in opened.iterdir()]
        assert not [path for path in held if path.startswith(str(folder))]
    for path in folder.glob(outboxes):
        lock = DeliveryLock(path)
        assert lock.acquire()
        lock.release()


@asynccontextmanager
async def no_complaints() -> AsyncIterator[None]:
    """Nothing is reported to the loop's exception handler meanwhile."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    try:
        yield
    finally:
        loop.set_exception_handler(None)
    assert not complaints

"""One thread that owns the file; what is asked for while it commits shares the next commit.

A commit waits for the disk. A hundred producers that put at the same moment wait for it once.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar, cast

from leadsquared_async.errors import ClientClosed, LeadSquaredError, OutboxError
from leadsquared_async.outbox.store import Store

__all__ = ["Writer", "storage_error"]

MOST_IN_A_COMMIT = 1000

T = TypeVar("T")


class _Work(NamedTuple):
    do: Callable[[Store], Any]
    writes: bool
    result: asyncio.Future[Any]


class Writer:
    """The way to the file from an event loop.

    Args:
        open_store: opens the file, in the thread.
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._thread = new_thread()
        self._store: Store | None = None
        self._queue: deque[_Work] = deque()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    async def open(self) -> None:
        """Open the file.

        Raises:
            OutboxError: it cannot be used.
        """
        try:
            self._store = await self._in_thread(self._open_store)
        except sqlite3.Error as error:
            raise storage_error(error) from None

    async def write(self, do: Callable[[Store], T]) -> T:
        """Do something in a transaction, and return once it is on disk.

        Raises:
            OutboxError: it could not be committed; then nothing of it is in the file.
            LeadSquaredError: what `do` raised; that undoes it and nothing else.
        """
        return await self._ask(do, writes=True)

    async def read(self, do: Callable[[Store], T]) -> T:
        """Do something that changes nothing, or that cannot be in a transaction.

        Raises:
            OutboxError: the file cannot be read.
        """
        return await self._ask(do, writes=False)

    async def aclose(self) -> None:
        """Finish what was asked for, and close the file."""
        while self._task is not None:
            await asyncio.wait([self._task])
        self._is_closed = True
        try:
            if self._store is not None:
                await self._in_thread(self._store.close)
        finally:
            self._thread.shutdown(wait=False)

    async def _ask(self, do: Callable[[Store], T], *, writes: bool) -> T:
        if self._is_closed:
            raise ClientClosed("this outbox was closed meanwhile")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append(_Work(do, writes, future))
        if self._task is None:
            self._task = asyncio.create_task(self._work_off(), name="leadsquared_async outbox writer")
        # Shielded by being a future of its own: a caller that leaves takes nothing from the others.
        return await future

    async def _work_off(self) -> None:
        works: list[_Work] = []
        try:
            while self._queue:
                works = [self._queue.popleft() for _ in range(min(len(self._queue), MOST_IN_A_COMMIT))]
                results = await self._in_thread(_transact, cast("Store", self._store), works)
                for work, result in zip(works, results, strict=True):
                    _resolve(work.result, result)
        finally:
            self._task = None
            for work in (*works, *self._queue):
                if not work.result.done():
                    _resolve(work.result, OutboxError("the outbox was broken off before this was stored"))
            self._queue.clear()

    async def _in_thread(self, do: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, do, *args)


def new_thread() -> Executor:
    """The thread of one writer; tests put in its place what runs in the loop."""
    return ThreadPoolExecutor(1, thread_name_prefix="leadsquared_async outbox")


def _resolve(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)


def _transact(store: Store, works: list[_Work]) -> list[Any]:
    """The result of each piece of work, or what it raised."""
    writers = [work for work in works if work.writes]
    results = dict(zip(map(id, writers), _commit(store, writers), strict=True))
    for work in works:
        if not work.writes:
            results[id(work)] = _attempt(store, work)
    return [results[id(work)] for work in works]


def _commit(store: Store, works: list[_Work]) -> list[Any]:
    """In one transaction, and if one of them fails, again with each in its own part of it."""
    if not works:
        return []
    try:
        results = _together(store, works, apart=False)
        if any(isinstance(result, BaseException) for result in results):
            store.connection.execute("ROLLBACK")
            results = _together(store, works, apart=True)
        store.connection.execute("COMMIT")
    except sqlite3.Error as error:
        if store.connection.in_transaction:
            store.connection.execute("ROLLBACK")
        return [storage_error(error) for _ in works]
    return results


def _together(store: Store, works: list[_Work], *, apart: bool) -> list[Any]:
    """The results; raises sqlite3.Error, since the file's fault is everybody's."""
    execute = store.connection.execute
    store.begin()
    results: list[Any] = []
    for work in works:
        if apart:
            execute("SAVEPOINT one")
        result = _attempt(store, work)
        if isinstance(result, sqlite3.Error):
            raise result
        if apart:
            if isinstance(result, BaseException):
                execute("ROLLBACK TO one")
            execute("RELEASE one")
        results.append(result)
    return results


def _attempt(store: Store, work: _Work) -> Any:
    try:
        return work.do(store)
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError) as error:
        return OutboxError(f"this cannot be stored: {error}")  # its own fault, not the file's
    except sqlite3.Error as error:
        return error if work.writes else storage_error(error)
    except Exception as error:
        return error


def storage_error(error: sqlite3.Error) -> LeadSquaredError:
    """What the file's trouble means for whoever wanted to use it; SQLite's words show no values."""
    what = str(error)
    for words, way_out in _WAYS_OUT.items():
        if words in what:
            return OutboxError(f"the outbox's file cannot be used: {what}: {way_out}")
    return OutboxError(f"the outbox's file cannot be used: {what}")


_WAYS_OUT = {
    "deleted or moved": "open the outbox again, nothing of this was stored",
    "full": "free some disk, nothing of this was stored",
    "locked": "another program holds it in a transaction of its own: end that",
    "readonly": "this user may not write it",
    "unable to open": "check that its folder exists and that this user may write there",
    "not a database": "choose another path",
    "malformed": "restore it from a copy; `sqlite3 FILE .recover` may save what is readable",
    "disk I/O": "check the disk, nothing of this was stored",
}

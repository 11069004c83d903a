"""One thread that owns the file; what is asked for while it commits shares the next commit.

A commit waits for the disk. A hundred producers that put at the same moment wait for it once.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast

import anyio

from leadsquared_async.errors import ClientClosed, Delivery, LeadSquaredError, OutboxError
from leadsquared_async.http.redaction import traceback_without_values
from leadsquared_async.logs import ClientLog
from leadsquared_async.outbox.store import Store

__all__ = ["Writer", "file_error"]

MOST_IN_A_COMMIT = 1000
INTERRUPT_EVERY = 0.05
"""Seconds between two interruptions of a statement that does not end."""
GRACE = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two tries to write what the disk does not take."""
LONGEST_REASON = 200
LAST_WAIT = 10.0
"""Seconds that an interrupted statement may take to end; it may be waiting for another process's commit."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True, eq=False, repr=False)  # a loop's debug log shows callbacks with what they are given
class _Work:
    do: Callable[[Store], Any]
    writes: bool
    result: asyncio.Future[Any]


class Writer:
    """The way to the file from an event loop.

    Attributes:
        changed: set whenever there may be something to deliver.
        blocked: why the file cannot be written, or what is to be sent cannot be read from it.
    """

    def __init__(self, path: Path, open_store: Callable[[], Store], log: ClientLog) -> None:
        self.changed = asyncio.Event()
        self.blocked: dict[Literal["written", "read"], str] = {}
        self._log = log
        self._path = path
        self._open_store = open_store
        self._thread = new_thread()
        self._store: Store | None = None  # set and closed in the thread, whatever becomes of who waits for it
        self._queue: deque[_Work] = deque()
        self._running: asyncio.Future[list[Any]] | None = None
        self._is_starting = False
        self._is_closed = False
        self._is_broken_off = False
        self._closed: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Open the file, or raise OutboxError."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    async def write(self, do: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something in a transaction, and return once it is on disk.

        If the caller is cancelled before its turn comes, nothing is done; after that it is done all the same.

        Raises:
            OutboxError: it was not committed; or that is unknown, and the error's `delivery` says so.
            LeadSquaredError: what `do` raised; that undoes it and nothing else.
        """
        return await self._ask(lambda store: do(store, *args, **kwargs), writes=True)

    async def read(self, do: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something that changes nothing, or that cannot be in a transaction."""
        return await self._ask(lambda store: do(store, *args, **kwargs), writes=False)

    async def persist(self, do: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same as `write`, retried until the disk takes it; meanwhile nothing is sent."""
        pause = FIRST_PAUSE
        while True:
            try:
                result = await self.write(do, *args, **kwargs)
            except OutboxError as error:
                self.block("written", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self.unblock("written")
                return result

    @property
    def is_writable(self) -> bool:
        """Whether the disk took what was last written."""
        return "written" not in self.blocked

    async def try_writing(self) -> bool:
        """Whether the disk takes something again, where it did not before."""
        try:
            await self.write(Store.set_meta, "written_at", repr(time.time()))
        except OutboxError as error:
            self.block("written", error)
            return False
        self.unblock("written")
        return True

    def block(self, what: Literal["written", "read"], error: OutboxError) -> None:
        """The file cannot be written or read: until it can, nothing is sent."""
        if what not in self.blocked:
            self._log.error("outbox: paused, because the file cannot be %s: %s", what, error)
        self.blocked[what] = str(error)

    def unblock(self, what: Literal["written", "read"]) -> None:
        """It can be written, or read, again."""
        if self.blocked.pop(what, None) is not None:
            self.changed.set()
            self._log.warning("outbox: the file can be %s again", what)

    def break_off(self) -> None:
        """Interrupt what runs until it ends, and do nothing more; what was not committed is undone."""
        self._is_broken_off = True
        while self._queue:
            _resolve(self._queue.popleft().result, self._too_late())
        if self._running is not None:
            if self._store is not None:
                with suppress(sqlite3.Error):  # it is closed already
                    self._store.connection.interrupt()
            asyncio.get_running_loop().call_later(INTERRUPT_EVERY, self.break_off)

    async def aclose(self, grace: float = GRACE) -> None:
        """Finish what was asked for, and close the file, whatever cancels this.

        After `grace` seconds what runs is interrupted, and nothing more is done.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + grace + LAST_WAIT
        late = loop.call_later(grace, self.break_off)
        cancelled: asyncio.CancelledError | None = None
        try:
            while loop.time() < until:
                step = self._running or self._start() or self._close()
                if step is self._closed and step.done():
                    break
                try:
                    with anyio.CancelScope(shield=True):
                        await asyncio.wait([step], timeout=until - loop.time())
                except asyncio.CancelledError as error:
                    cancelled = error
        finally:
            late.cancel()
            closed = self._close()
        if not closed.done():
            self._log.error("outbox: %s cannot be closed: its disk does not respond", self._path)
        elif (failed := closed.exception()) is not None:
            self._log.error("outbox: closing %s failed with %s", self._path, type(failed).__name__)
        if cancelled is not None:
            raise cancelled

    def _close(self) -> asyncio.Future[None]:
        """Take nothing more, and close the file after what the thread has to do."""
        if self._closed is None:
            self._is_closed = True
            self._closed = asyncio.get_running_loop().run_in_executor(self._thread, self._close_store)
            self._thread.shutdown(wait=False)
        return self._closed

    def _ask(self, do: Callable[[Store], T], *, writes: bool) -> asyncio.Future[T]:
        if self._is_closed:
            raise ClientClosed("this outbox was closed meanwhile")
        if self._is_broken_off:
            raise self._too_late()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.append(_Work(do, writes, future))
        if self._running is None and not self._is_starting:
            self._is_starting = True
            loop.call_soon(self._start)  # what is asked for in the same turn of the loop shares a commit
        # A caller that leaves takes nothing from the others: no task of the loop does the work, so that
        # whatever cancels tasks reaches only who waits.
        return future

    def _start(self) -> asyncio.Future[list[Any]] | None:
        """Give the thread what is asked for, except by callers that were cancelled, if it is idle."""
        self._is_starting = False
        if self._running is not None:
            return self._running
        works: list[_Work] = []
        while self._queue and len(works) < MOST_IN_A_COMMIT:
            work = self._queue.popleft()
            if not work.result.cancelled():
                works.append(work)
        if not works:
            return None
        try:
            self._running = asyncio.get_running_loop().run_in_executor(
                self._thread, _transact, cast("Store", self._store), works
            )
        except RuntimeError as error:  # the machine has no thread to give
            for work in works:
                _resolve(work.result, OutboxError(f"{self._path}: this change was not stored: {error}"))
            return self._start()
        self._running.add_done_callback(partial(self._finish, works))
        return self._running

    def _finish(self, works: list[_Work], running: asyncio.Future[list[Any]]) -> None:
        self._running = None
        if (error := running.exception()) is None:
            results = running.result()
        else:
            results = [_unclear(self._path, error) for _ in works]
        for work, result in zip(works, results, strict=True):
            _resolve(work.result, result)
        self._start()

    def _open(self) -> None:
        try:
            self._store = self._open_store()
        except LeadSquaredError:
            raise
        except Exception as error:
            raise file_error(self._path, error, self._log, writes=False) from None

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()

    def _too_late(self) -> OutboxError:
        return OutboxError(f"{self._path}: this change was not stored: the outbox was closing")


def new_thread() -> Executor:
    """The thread of one writer; tests replace it."""
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
    if writers:
        store.after_commit()
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
    except Exception as error:
        _roll_back(store)
        return [file_error(store.path, error, store.log, writes=True) for _ in works]
    try:
        store.connection.execute("COMMIT")
        is_there = store.is_there()
    except Exception as error:
        # A commit that SQLite did not begin leaves the transaction open, and one that found the disk full
        # has written no whole frame of it. After any other, only the disk knows whether it is there.
        is_undone = _roll_back(store) or _code(error) == sqlite3.SQLITE_FULL
        if is_undone:
            return [file_error(store.path, error, store.log, writes=True) for _ in works]
        return [_unclear(store.path, error) for _ in works]
    if not is_there:
        gone = sqlite3.OperationalError("the file was deleted or moved")
        return [
            result if isinstance(result, BaseException) else _unclear(store.path, gone) for result in results
        ]
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


def _roll_back(store: Store) -> bool:
    """Undo what was not committed; whether there was something to undo, and it is undone."""
    with suppress(sqlite3.Error):
        if store.connection.in_transaction:
            store.connection.execute("ROLLBACK")
            return True
    return False


def _attempt(store: Store, work: _Work) -> Any:
    """What a piece of work returned, or its error.

    An error leaves without the frames that it passed: as long as it is kept, they would keep open a
    statement that reads, and the connection could not write any more.
    """
    try:
        return work.do(store)
    except LeadSquaredError as error:
        return error.with_traceback(None)
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError) as error:
        return OutboxError(f"this cannot be stored: {error}")  # its own fault, not the file's
    except sqlite3.Error as error:
        return (
            error.with_traceback(None)
            if work.writes
            else file_error(store.path, error, store.log, writes=False)
        )
    except Exception as error:
        return file_error(store.path, error, store.log, writes=work.writes)


def file_error(path: Path, error: Exception, log: ClientLog, *, writes: bool) -> OutboxError:
    """What is wrong with the file and what to do about it; names no value of a row."""
    if isinstance(error, sqlite3.Error | OSError) and "decode" not in str(error):
        what = (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
        what = "".join(letter if letter.isprintable() else "?" for letter in what[:LONGEST_REASON])
        why = f"the outbox's file cannot be used: {what}"
        way_out = next((way for words, way in _WAYS_OUT.items() if words in what), None)
    else:
        # Its words may repeat a value.
        log.debug("outbox: %s cannot be read: %s", path, traceback_without_values(error))
        why = f"the contents of the file cannot be read ({type(error).__name__})"
        way_out = _WAYS_OUT["malformed"]
    text = f"{path}: {why}" if way_out is None else f"{path}: {why}: {way_out}"
    stored = "; this change was not stored" if writes else ""
    return OutboxError(text + stored)


def _unclear(path: Path, error: BaseException) -> OutboxError:
    """The error of what may be in the file or not."""
    return OutboxError(
        f"{path}: it is unknown whether this change was stored, because the commit failed with "
        f"{type(error).__name__}: put it again with the same key, which adds nothing if it was "
        "stored; without a key, look for the row first",
        delivery=Delivery.UNKNOWN,
    )


def _code(error: Exception) -> int:
    """SQLite's primary code (sqlite.org/rescode.html); 0 of what did not come from SQLite."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


_WAYS_OUT = {
    "deleted or moved": "open the outbox again",
    "full": "free some disk",
    "locked": "another program holds it in a transaction of its own: end that",
    "readonly": "this user may not write it",
    "unable to open": "check that its folder exists and that this user may write there",
    "not a database": "choose another path",
    "malformed": "restore it from a copy; `sqlite3 FILE .recover` may save what is readable",
    "disk I/O": "check the disk",
    "interrupted": "it did not finish before the outbox closed",
}

"""One thread that owns the file; requests made during a commit share the next one.

A commit waits for the disk. A hundred concurrent puts wait for it once.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast

import anyio

from leadsquared_async.errors import ClientClosed, LeadSquaredError, OutboxError
from leadsquared_async.events import StoreBack, StoreLost
from leadsquared_async.logs import ClientEvents
from leadsquared_async.outbox.file_errors import file_error, unclear
from leadsquared_async.outbox.file_thread import FileThread
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.transactions import Work, transact

__all__ = ["Writer"]

MOST_IN_A_COMMIT = 1000
INTERRUPT_EVERY = 0.05
"""Seconds between interruptions of a statement that does not end."""
GRACE = 1.0
STORE = "outbox file"
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds between retries of a failed write."""
LAST_WAIT = 10.0
"""Seconds to wait for an interrupted statement to end; it may be waiting for another process's commit."""

LONGEST_READ = 1.0
"""Seconds that `read_at_once` waits; the thread may be in a commit that the disk delays."""

P = ParamSpec("P")
T = TypeVar("T")


class Writer:
    """Gives an event loop access to the file.

    Attributes:
        path: the file.
        changed: set when there may be something to deliver.
        blocked: why the file cannot be written or read; None if it can.
    """

    def __init__(self, path: Path, open_store: Callable[[], Store], events: ClientEvents) -> None:
        self.changed = asyncio.Event()
        self.blocked: dict[Literal["written", "read"], str] = {}
        self._events = events
        self.path = path
        self._open_store = open_store
        self._thread = FileThread()
        self._store: Store | None = None  # set and closed in the thread, even if the caller is cancelled
        self._queue: deque[Work] = deque()
        self._running: asyncio.Future[None] | None = None
        self._is_starting = False
        self._is_closed = False
        self._is_broken_off = False
        self._closed: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Open the file; raises OutboxError if that fails."""
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._run(self._open, partial(_resolve, opened))
        except RuntimeError as error:
            raise OutboxError(f"{self.path}: {error}") from None
        await opened

    async def write(self, do: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `do` in a transaction, and return once it is on disk.

        If the caller is cancelled before `do` starts, it does not run; after that it completes.

        Raises:
            OutboxError: it was not committed, or that is unknown: see the error's `delivery`.
            LeadSquaredError: `do` raised it; only its own changes are undone.
        """
        return await self._ask(lambda store: do(store, *args, **kwargs), writes=True)

    async def read(self, do: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `do`, which only reads or cannot run in a transaction."""
        return await self._ask(lambda store: do(store, *args, **kwargs), writes=False)

    def read_at_once(
        self, do: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T | None:
        """Run `do`, which only reads, and wait for it in the caller's thread, which may be any.

        Returns None if the file is closed or cannot be read, or if that takes too long.
        """
        found: Future[T] = Future()

        def read() -> None:
            if found.set_running_or_notify_cancel():
                _resolve(found, _outcome(lambda: do(cast("Store", self._store), *args, **kwargs)))

        try:
            self._thread.run(read)
        except RuntimeError:  # it is closed
            return None
        try:
            return found.result(LONGEST_READ)
        except (sqlite3.Error, TimeoutError):
            found.cancel()
            return None

    async def persist(self, do: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `write`, but retried until it succeeds; meanwhile nothing is sent."""
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
        """Whether the last write succeeded."""
        return "written" not in self.blocked

    @property
    def is_there(self) -> bool:
        """Whether the open file is still the one at its path."""
        return self._store is not None and self._store.is_there()

    async def try_writing(self) -> bool:
        """Write again after a failure; returns whether that succeeds."""
        try:
            await self.write(Store.set_meta, "written_at", repr(time.time()))
        except OutboxError as error:
            self.block("written", error)
            return False
        self.unblock("written")
        return True

    def block(self, what: Literal["written", "read"], error: OutboxError) -> None:
        """Pause sending until the file can be written or read."""
        is_first = not self.blocked
        self.blocked[what] = str(error)
        if is_first:
            reason = f"nothing is sent because it cannot be {what}: {error.summary}"
            self._events.emit(StoreLost(store=STORE, reason=reason))

    def unblock(self, what: Literal["written", "read"]) -> None:
        """Resume: the file can be written or read again."""
        if self.blocked.pop(what, None) is not None:
            self.changed.set()
            if not self.blocked:
                self._events.emit(StoreBack(store=STORE))

    def break_off(self) -> None:
        """Interrupt the running statement until it ends, and run nothing more; uncommitted work is undone."""
        self._is_broken_off = True
        while self._queue:
            _resolve(self._queue.popleft().result, self._too_late())
        if self._running is not None:
            if self._store is not None and self._closed is None:  # never while another thread closes it
                self._store.connection.interrupt()
            asyncio.get_running_loop().call_later(INTERRUPT_EVERY, self.break_off)

    async def aclose(self, grace: float = GRACE) -> None:
        """Finish the queued work and close the file, even if this is cancelled.

        After `grace` seconds the running statement is interrupted, and nothing more runs.
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
            self._events.log.error("outbox: %s cannot be closed: the disk does not respond", self.path)
        elif (failed := closed.exception()) is not None:
            self._events.log.error("outbox: closing %s failed with %s", self.path, type(failed).__name__)
        if cancelled is not None:
            raise cancelled

    def _close(self) -> asyncio.Future[None]:
        """Accept no more work, and close the file after the queued work."""
        if self._closed is None:
            self._is_closed = True
            self._closed = asyncio.get_running_loop().create_future()
            try:
                self._run(self._close_store, partial(_resolve, self._closed))
            except RuntimeError:  # no thread could be started, so the file is not open
                _resolve(self._closed, None)
            self._thread.end()
        return self._closed

    def _ask(self, do: Callable[[Store], T], *, writes: bool) -> asyncio.Future[T]:
        if self._is_closed:
            raise ClientClosed("this outbox was closed meanwhile")
        if self._is_broken_off:
            raise self._too_late()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.append(Work(do, writes, future))
        if self._running is None and not self._is_starting:
            self._is_starting = True
            loop.call_soon(self._start)  # requests made in the same turn of the loop share a commit
        # No asyncio task does the work, so a cancellation affects only the caller that waits, and not the
        # others.
        return future

    def _start(self) -> asyncio.Future[None] | None:
        """If the thread is idle, give it the queued work, except that of cancelled callers."""
        self._is_starting = False
        if self._running is not None:
            return self._running
        works: list[Work] = []
        while self._queue and len(works) < MOST_IN_A_COMMIT:
            work = self._queue.popleft()
            if not work.result.cancelled():
                works.append(work)
        if not works:
            return None
        running: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        job = partial(transact, cast("Store", self._store), works)
        self._running = running
        try:
            self._run(job, partial(self._finish, works, running))
        except RuntimeError as error:  # no thread can be started
            why = f"{self.path}: this change was not stored: {error}"
            self._finish(works, running, [OutboxError(why) for _ in works])
        return self._running

    def _finish(self, works: list[Work], running: asyncio.Future[None], results: Any) -> None:
        if isinstance(results, BaseException):
            results = [unclear(self.path, results) for _ in works]
        self._running = None
        running.set_result(None)
        for work, result in zip(works, results, strict=True):
            _resolve(work.result, result)
        self._start()

    def _run(self, do: Callable[[], object], then: Callable[[Any], None]) -> None:
        """Run `do` in the thread and `then` in the loop, with what `do` returned or raised.

        Raises:
            RuntimeError: the thread cannot be started.
        """
        loop = asyncio.get_running_loop()

        def run() -> None:
            outcome = _outcome(do)
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(then, outcome)

        self._thread.run(run)

    def _open(self) -> None:
        try:
            self._store = self._open_store()
        except LeadSquaredError:
            raise
        except Exception as error:
            raise file_error(self.path, error, self._events.log, writes=False) from None

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()

    def _too_late(self) -> OutboxError:
        return OutboxError(f"{self.path}: this change was not stored: the outbox was closing")


def _outcome(do: Callable[[], Any]) -> Any:
    """What it returns or raises; an error without its frames, which would keep a statement open."""
    try:
        return do()
    except BaseException as error:
        return error.with_traceback(None)


def _resolve(future: asyncio.Future[Any] | Future[Any], result: Any) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)

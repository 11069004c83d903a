"""Delivery by one process, from acquiring the lock until the outbox closes."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.client import LeadSquared, parts_of
from leadsquared_async.clock import clock
from leadsquared_async.delivery.hold import Holds
from leadsquared_async.errors import ClientClosed, OutboxError
from leadsquared_async.events import DeliveryStopped
from leadsquared_async.http.redaction import traceback_without_values
from leadsquared_async.outbox.deliver import Deliverer
from leadsquared_async.outbox.file_account import FileAccount, check
from leadsquared_async.outbox.files import DeliveryLock
from leadsquared_async.outbox.follow import Confirmer
from leadsquared_async.outbox.rows import Row
from leadsquared_async.outbox.settle import Settler
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer

__all__ = ["Service"]

TRY_THE_LOCK_EVERY = 1.0
TIDY_EVERY = 30.0
"""Seconds between emptying the write-ahead log, which may contain erased values until then."""
HOUR = 3600.0
LOCK_IS_GONE = "the lock file was deleted, and another process may deliver"
FILE_IS_GONE = "the outbox's file was deleted or moved, and what is put from now on is in another one"
NOTE = "delivered_by"
"""In `meta`: the process that delivers and, after it closes, the time and the calls it had spent."""
MOST_CALLS = 1_000_000
"""More than any limit allows; a larger number is invalid."""

_process = secrets.token_hex(8)


def _this_process() -> str:
    return f"{_process}-{os.getpid()}"  # the pid differs after a fork, and so does the bucket


def since_boot() -> tuple[str, float]:
    """The machine's boot id and the seconds since boot; wall-clock time may jump."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return boot, time.clock_gettime(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):
        return "unknown", time.time()  # not Linux


def _close_in(note: str) -> tuple[float, int | None]:
    """Seconds since the process of this note closed, and its calls by then; 0 and None if it died.

    After a reboot, the time since then is unknown.
    """
    boot, uptime = since_boot()
    try:
        _, boot_then, uptime_then, spent = note.split()
        age, calls = uptime - float(uptime_then), int(spent)
    except ValueError:
        return 0.0, None
    return (
        min(max(0.0, age), HOUR) if boot_then == boot else 0.0,
        calls if 0 <= calls <= MOST_CALLS else None,
    )


class Service:
    """The tasks that deliver one outbox.

    Attributes:
        has_lock: whether no other process delivers, so that this one does or is about to.
    """

    def __init__(
        self,
        path: Path,
        writer: Writer,
        settler: Settler,
        holds: Holds,
        client: LeadSquared,
        *,
        confirm: bool,
        keep_rejected: float,
    ) -> None:
        self._writer = writer
        self._settler = settler
        self._holds = holds
        self._client = client
        self._path = path
        self._events = parts_of(client).sender.events
        self._confirm = confirm
        self._keep_rejected = keep_rejected
        self._lock = DeliveryLock(path)
        self.has_lock = False
        self._deliverer: Deliverer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._broken: str | None = None
        self._counts_earlier_calls = False
        self._put_before: int | None = None

    @property
    def delivers(self) -> bool:
        """Whether this process delivers."""
        return self._deliverer is not None

    @property
    def ended(self) -> str | None:
        """Why delivery has stopped; None if it has not."""
        if self._broken is not None or self._deliverer is None or self._deliverer.ended is None:
            return self._broken
        return str(self._deliverer.ended)

    @property
    def blocked(self) -> str | None:
        """Why delivery, or delivery of some operation, is paused; None if it is not."""
        hold, blocked = self._holds.first, self._writer.blocked
        return self.ended or next(iter(blocked.values()), None) or (None if hold is None else hold.reason)

    def scopes(self) -> dict[str, bool]:
        """What is on hold: "all", the "file" (it cannot be used), operations; from any thread."""
        is_all_held = self.ended is not None or self._holds.every.has_failed
        return {"all": is_all_held, "file": bool(self._writer.blocked), **self._holds.by_operation()}

    @property
    def paused(self) -> float:
        """Seconds for which the account's limit allows no call."""
        with suppress(ClientClosed):
            limit = self._client.snapshot().limit
            return 0.0 if limit is None else limit.paused
        return 0.0

    @property
    def is_in_callback(self) -> bool:
        """Whether the running task is a callback of `on_final`."""
        return self._settler.is_own(asyncio.current_task())

    async def start(self) -> None:
        """Deliver once no other process does.

        Raises:
            OutboxError: the file is another account's, or the lock file cannot be used.
        """
        credentials = parts_of(self._client).sender.session.credentials
        if credentials.known is not None:
            await self._writer.read(check, self._path, credentials.known)
        self.has_lock = self._lock.acquire()
        if self.has_lock:
            try:
                with suppress(OutboxError):
                    self._put_before = await self._writer.read(Store.last_id)
                    await self._count_earlier_calls()  # before the caller can make a call with the client
            except BaseException:
                self._lock.release()
                raise
        self._run(self._deliver(), "delivery")

    async def empty_log(self) -> None:
        """Remove erased values from the write-ahead log, if this process delivers."""
        if self._deliverer is not None:
            with suppress(OutboxError):
                await self._writer.read(Store.checkpoint)

    async def aclose(self, grace: float) -> None:
        """Let running calls finish within `grace` seconds, and leave the rest."""
        until = clock.now() + grace
        closer = asyncio.current_task()
        try:
            if self._deliverer is not None:
                await self._deliverer.aclose(grace)
            await self._end_tasks()
            await self._settler.aclose(max(0.0, until - clock.now()), closer)
        finally:
            try:
                await uninterrupted(self._end(closer))
            finally:
                self._lock.release()  # no await before it, so that a cancellation cannot prevent it

    async def _end(self, closer: asyncio.Task[Any] | None) -> None:
        await self._end_tasks()
        await self._settler.aclose(0.0, closer)
        if self._counts_earlier_calls:
            with suppress(OutboxError):
                note = " ".join(map(str, (_this_process(), *since_boot(), self._spent)))
                await self._writer.write(Store.set_meta, NOTE, note)
        await self.empty_log()

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _deliver(self) -> None:
        while not self.has_lock:
            await asyncio.sleep(TRY_THE_LOCK_EVERY)  # the kernel does not notify waiters
            self.has_lock = self._lock.acquire()
        await self._begin()
        sender, trackers, *_ = parts_of(self._client)
        # Not before it has the lock: the process that had it may have been the first to deliver the file.
        account = FileAccount(self._path, self._writer, sender.session.credentials)
        confirmer: Confirmer | None = None

        def follow(row: Row) -> None:
            if confirmer is not None:
                confirmer.follow(row)

        uncalled = await self._settler.uncalled()  # before other rows become final
        deliverer = Deliverer(
            self._writer,
            self._settler,
            self._holds,
            sender,
            follow,
            account=account,
            put_before=self._put_before,
        )
        self._deliverer = deliverer
        if self._confirm:
            confirmer = Confirmer(
                self._writer, self._settler, self._holds, trackers, account=account, end=deliverer.end
            )
            self._run(confirmer.run(), "confirmation")
        self._run(self._watch_the_files(deliverer), "files")
        self._run(self._tidy(), "tidying")
        self._run(self._settler.call_back(uncalled), "callbacks")
        await deliverer.run()

    async def _watch_the_files(self, deliverer: Deliverer) -> None:
        """Stop delivering once the lock file or the outbox's file is deleted or moved.

        Without the lock file another process may deliver. Without its file this one would wait for leads that
        other processes put into a new file.
        """
        while self._lock.is_held() and self._writer.is_there:  # noqa: ASYNC110 - the kernel notifies no waiter
            await asyncio.sleep(TRY_THE_LOCK_EVERY)
        gone = FILE_IS_GONE if self._lock.is_held() else LOCK_IS_GONE
        deliverer.end(OutboxError(f"{gone}: open the outbox again"))

    async def _tidy(self) -> None:
        """Periodically empty the write-ahead log and erase expired values."""
        erase_at = 0.0
        while True:
            await asyncio.sleep(TIDY_EVERY)
            with suppress(OutboxError):
                if clock.now() >= erase_at:
                    erase_at = clock.now() + HOUR
                    before = time.time() - self._keep_rejected
                    await self._writer.write(Store.erase_rejected, before)
                await self.empty_log()

    async def _begin(self) -> None:
        """Store that this process delivers; retried until the file can be written."""
        while True:
            try:
                await self._count_earlier_calls()
                await self._writer.write(Store.set_meta, NOTE, _this_process())
            except OutboxError as error:
                self._writer.block("written", error)
                await asyncio.sleep(TRY_THE_LOCK_EVERY)
            else:
                self._writer.unblock("written")
                return

    async def _count_earlier_calls(self) -> None:
        """Count the previous process's calls, or the whole limit if it died: a restart adds no burst."""
        if self._counts_earlier_calls:
            return
        note = await self._writer.read(Store.meta, NOTE)
        self._counts_earlier_calls = True
        if note is not None and str(note).partition(" ")[0] != _this_process():
            age, spent = _close_in(str(note))
            session = parts_of(self._client)[0].session
            session.assume_spent(clock.now() - age, spent)

    @property
    def _spent(self) -> int:
        """The calls that count against the limit now; the whole limit if unknown."""
        with suppress(ClientClosed):
            limit = self._client.snapshot().limit
            if limit is not None:
                return limit.limit.calls - limit.free
        return parts_of(self._client)[0].session.options.rate_limit.calls

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"leadsquared_async outbox {name}")
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = f"{task.get_name()} failed with {type(error).__name__}"
            self._events.emit(DeliveryStopped(owner="outbox", reason=self._broken))
            self._events.log.error("%s failed with %s", task.get_name(), traceback_without_values(error))

"""What became of each row, put on disk and then told.

Whatever LeadSquared answered is kept in memory until the disk takes it. Until then nothing more is sent,
since nobody could say afterwards what was.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from leadsquared_async.delivery.policy import reason_of
from leadsquared_async.delivery.reasons import exception_in, kind_of_error
from leadsquared_async.errors import ClientClosed, Delivery, LeadSquaredError, OutboxError, Rejected
from leadsquared_async.logs import ClientLog
from leadsquared_async.outbox.items import ItemState, OutboxItem
from leadsquared_async.outbox.rows import Claim, UnreadableRowError, operation_shown
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer

__all__ = ["Callback", "Ledger"]

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two tries to write what the disk does not take."""
LAST_WAIT = 1.0
"""Seconds that a callback which is broken off may take to end."""
ENDED_AT_ONCE = 100
TOLD_AT_ONCE = 16

Callback = Callable[[OutboxItem], Awaitable[object] | object]

T = TypeVar("T")


class Ledger:
    """The rows' states, as one process changes them.

    Args:
        writer: the way to the file.
        log: where dead letters are noted.
        confirm: whether an accepted row is followed to its outcome, or final.

    Attributes:
        changed: set whenever a row changed.
        stuck: why nothing can be written; None if it can.
        unread: why it cannot be read what is to be sent; None if it can.
    """

    def __init__(self, writer: Writer, log: ClientLog, *, confirm: bool) -> None:
        self._log = log
        self._writer = writer
        self._confirm = confirm
        self.changed = asyncio.Event()
        self.stuck: str | None = None
        self.unread: str | None = None
        self.callbacks: list[Callback] = []
        self._telling: set[asyncio.Task[None]] = set()

    async def sending(self, row: Claim) -> bool:
        """It is about to be sent; False if it may not be: it was forgotten, or the disk does not take it."""
        was_sending, row.is_sending = row.is_sending, True
        try:
            is_noted = await self._writer.write(
                lambda store: store.sending(row.id, time.time(), is_again=was_sending)
            )
        except OutboxError as error:
            self.note(error)
            row.is_sending = was_sending or error.delivery is Delivery.UNKNOWN  # then the file may say so
            return False
        row.is_sending = was_sending or is_noted
        return is_noted

    async def pending(self, row: Claim, attempts: int) -> None:
        """It was not taken, and will be sent again."""
        row.is_sending = False
        await self._until_written(lambda store: store.pending(row.id, time.time(), attempts))

    async def accepted(self, row: Claim, attempts: int, request_id: str) -> None:
        """LeadSquared gave a RequestID."""
        if not self._confirm:
            await self._finish(row, ItemState.ACCEPTED, attempts, request_id=request_id)
            return
        await self._until_written(lambda store: store.accepted(row.id, time.time(), attempts, request_id))
        self.changed.set()

    async def confirmed(
        self, row: Claim, lead_id: str | None, created: bool | None, attempts: int = 0
    ) -> None:
        """LeadSquared has processed it."""
        await self._finish(row, ItemState.CONFIRMED, attempts, lead_id=lead_id, created=created, reason=None)

    async def rejected(self, row: Claim, error: LeadSquaredError) -> None:
        """LeadSquared refuses it."""
        await self._bury(row, ItemState.REJECTED, error, reason_of(error), error.attempts)

    async def unknown(self, row: Claim, error: LeadSquaredError) -> None:
        """Nobody knows whether it arrived, and to send it again could make a second lead."""
        await self._bury(row, ItemState.UNKNOWN, error, str(error), error.attempts)

    async def given_up(self, row: Claim, error: LeadSquaredError) -> None:
        """It failed again and again by what is its own fault, as far as can be seen."""
        if error.delivery is Delivery.UNKNOWN:
            await self.unknown(row, error)
        else:
            await self.rejected(row, error)

    async def unreadable(self, row: Claim, flaw: UnreadableRowError) -> None:
        """There is nothing in it that this version could send."""
        if row.is_sending or row.attempts:
            flaw.delivery = Delivery.UNKNOWN
            reason = f"it may have been sent, and now the row cannot be read: {flaw}"
            await self._bury(row, ItemState.UNKNOWN, flaw, reason)
        else:
            reason = f"it was not sent, because the row cannot be read: {flaw}"
            await self._bury(row, ItemState.REJECTED, flaw, reason)

    async def failed(self, row: Claim, reason: str) -> None:
        """LeadSquared has accepted it, and then refused it."""
        error = Rejected(exception_type=exception_in(reason), delivery=Delivery.ACCEPTED)
        await self._bury(row, ItemState.REJECTED, error, reason)

    async def lost(self, row: Claim, error: LeadSquaredError) -> None:
        """LeadSquared has accepted it, and nobody knows what became of it."""
        await self._bury(row, ItemState.UNKNOWN, error, f"it was accepted, but {error}")

    async def end_accepted(self) -> None:
        """Where nobody follows them, what an earlier process left accepted is final too."""
        while not self._confirm:
            rows = await self._writer.read(
                partial(Store.in_state, state=ItemState.ACCEPTED, most=ENDED_AT_ONCE)
            )
            for row in rows:
                await self._finish(row, ItemState.ACCEPTED)
            if not rows:
                return

    async def untold(self) -> list[int]:
        """The rows that were final before, and were not told to their end; none without callbacks."""
        if not self.callbacks:
            return []
        try:
            return await self._writer.read(lambda store: store.untold())
        except OutboxError:
            return []  # the next start tells them

    async def tell(self, rows: list[int]) -> None:
        """Tell the callbacks of these rows; one that takes long holds up few others."""
        room = asyncio.Semaphore(TOLD_AT_ONCE)

        async def tell_one(row: int) -> None:
            try:
                with suppress(OutboxError, ClientClosed):  # then the next start tells it
                    item = await self._writer.read(lambda store: store.item(row))
                    if item is not None:
                        await self._tell(item)
            finally:
                room.release()

        for row in rows:
            await room.acquire()
            self._begin_telling(tell_one(row))

    async def is_writable(self) -> bool:
        """Whether the disk takes something again, where it did not before."""
        try:
            await self._writer.write(lambda store: store.set_meta("written_at", repr(time.time())))
        except OutboxError as error:
            self.note(error)
            return False
        self.recovered()
        return True

    async def aclose(self, grace: float) -> None:
        """Wait for the callbacks that run, but not for ever; what they did not finish is told again later."""
        telling = self._telling - {asyncio.current_task()}  # a callback may be what closes the outbox
        if telling:
            _, late = await asyncio.wait(telling, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=LAST_WAIT)

    async def _bury(
        self, row: Claim, state: ItemState, error: LeadSquaredError, reason: str, attempts: int = 0
    ) -> None:
        """Log one record for this dead letter, even if the caller is cancelled."""

        async def bury() -> None:
            is_ours = isinstance(error, UnreadableRowError)
            item = await self._finish(row, state, attempts, reason=reason, is_reason_ours=is_ours)
            if item is not None:
                _log(self._log, item, error)

        await asyncio.shield(self._begin_telling(bury()))

    async def _finish(
        self, row: Claim, state: ItemState, attempts: int = 0, **facts: Any
    ) -> OutboxItem | None:
        is_told = not self.callbacks
        before: OutboxItem | None = None

        def finish(store: Store) -> OutboxItem | None:
            nonlocal before
            # A commit of which nobody knew may have taken place: a second one would find the values erased.
            if before is None or not store.has_ended(row.id, state):
                before = store.finish(row.id, time.time(), state, attempts, is_told=is_told, **facts)
            return before

        item = await self._until_written(finish)
        self.changed.set()
        if item is not None and not is_told:
            self._begin_telling(self._tell(item))
        return item

    def _begin_telling(self, telling: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(telling, name="leadsquared_async outbox on_final")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        return task

    async def _tell(self, item: OutboxItem) -> None:
        for callback in self.callbacks:
            try:
                answer = callback(item)
                if inspect.isawaitable(answer):
                    await answer
            except (Exception, asyncio.CancelledError) as error:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise  # it is this task that is cancelled, not something in the callback
                # Its traceback would show the item.
                self._log.error(
                    "outbox: a callback of on_final failed with %s for row %d; it is called again at the "
                    "next start",
                    type(error).__name__,
                    item.id,
                    extra={"event": "callback_failed", "reference": item.reference},
                )
                return
        await self._until_written(lambda store: store.told(item.id))

    async def _until_written(self, do: Callable[[Store], T]) -> T:
        pause = FIRST_PAUSE
        while True:
            try:
                result = await self._writer.write(do)
            except OutboxError as error:
                self.note(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self.recovered()
                return result

    def note(self, error: OutboxError) -> None:
        """The disk does not take it: until it does, nothing is sent."""
        if self.stuck is None:
            self._log.error("outbox: nothing is sent, since it could not be noted: %s", error)
        self.stuck = str(error)

    def recovered(self) -> None:
        """The disk takes it again."""
        if self.stuck is not None:
            self.stuck = None
            self.changed.set()
            self._log.warning("outbox: the file can be written again")

    def cannot_read(self, error: OutboxError) -> None:
        """It is not known what is to be sent; that something can be written does not end this."""
        if self.unread is None:
            self._log.error("outbox: nothing is sent, since the file cannot be read: %s", error)
        self.unread = str(error)

    def can_read(self) -> None:
        """It is known again what is to be sent."""
        if self.unread is not None:
            self.unread = None
            self._log.warning("outbox: the file can be read again")


def _log(log: ClientLog, item: OutboxItem, error: LeadSquaredError) -> None:
    """One record for each dead letter: what an alert needs, and nothing that was sent."""
    operation, kind = operation_shown(item.operation), kind_of_error(error)
    is_ours = isinstance(error, UnreadableRowError)  # LeadSquared's words may hold the lead
    log.error(
        "outbox: item %d of %s ended %s: %s",
        item.id,
        operation,
        item.state.value,
        error if is_ours else kind,
        extra={
            "event": item.state.value,
            "item": item.id,
            "operation": operation,
            "reference": item.reference,
            "kind": kind,
            "request_id": item.request_id if (item.request_id or "").isprintable() else None,
            "delivery": error.delivery.value,
        },
    )

"""Stores the outcome of each row; tells of final rows and passes them to the callbacks."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.delivery.reasons import LOST, UNREADABLE, reason_of
from leadsquared_async.errors import (
    ClientClosed,
    Delivery,
    LeadSquaredError,
    OutboxError,
    kind_of_error,
    rejected_later,
)
from leadsquared_async.events import CallbackFailed, DeadLetter, Delivered
from leadsquared_async.logs import ClientEvents
from leadsquared_async.outbox.items import OutboxItem
from leadsquared_async.outbox.rows import Row, UnreadableRowError, operation_shown
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer

__all__ = ["Callback", "Settler"]

LAST_WAIT = 1.0
"""Seconds to wait for a cancelled callback to end."""
ENDED_AT_ONCE = 100
CALLBACKS_AT_ONCE = 16
DELIVERED = frozenset({ItemState.ACCEPTED, ItemState.CONFIRMED})

Callback = Callable[[OutboxItem], Awaitable[object] | object]


class Settler:
    """Stores the states of rows, and passes final rows to events and callbacks.

    LeadSquared's answers are kept in memory until they can be stored.
    """

    def __init__(
        self, writer: Writer, events: ClientEvents, callbacks: list[Callback], *, confirm: bool
    ) -> None:
        self._events = events
        self._writer = writer
        self._confirm = confirm
        self._callbacks = callbacks
        self._running: set[asyncio.Task[Any]] = set()
        self.changed = writer.changed

    # Not final

    async def sending(self, rows: Sequence[Row]) -> bool:
        """Store that these rows are being sent together; False if one was forgotten or the write fails."""
        were_sending = [row.is_sending for row in rows]
        for row in rows:
            row.is_sending = True
        marks = [(row.id, was_sending) for row, was_sending in zip(rows, were_sending, strict=True)]
        is_unknown = False
        try:
            stored = await self._writer.write(Store.sending, marks, time.time())
        except OutboxError as error:
            self._writer.block("written", error)
            is_unknown = error.delivery is Delivery.UNKNOWN  # then the file may have them as sending
            stored = [False] * len(rows)
        for row, was_sending, is_stored in zip(rows, were_sending, stored, strict=True):
            row.is_sending = was_sending or is_stored or is_unknown
        return all(stored)

    async def pending(self, row: Row, attempts: int) -> None:
        """Store that it was not accepted and will be sent again."""
        row.is_sending = False
        await self._writer.persist(Store.pending, row.id, time.time(), attempts)

    async def accepted(self, row: Row, attempts: int, request_id: str) -> None:
        """Store the RequestID of an accepted row."""
        if not self._confirm:
            await self._finish(row, ItemState.ACCEPTED, attempts, request_id=request_id)
            return
        await self._writer.persist(Store.accepted, row.id, time.time(), attempts, request_id)

    # Final

    async def confirmed(self, row: Row, lead_id: str | None, created: bool | None, attempts: int = 0) -> None:
        """End a row that LeadSquared has processed."""
        await self._finish(row, ItemState.CONFIRMED, attempts, lead_id=lead_id, created=created, reason=None)

    async def unfollowed(self, row: Row, error: LeadSquaredError) -> None:
        """End an accepted row whose outcome cannot be fetched."""
        reason = f"its outcome cannot be fetched: {error}"
        await self._finish(row, ItemState.ACCEPTED, reason=reason, is_reason_ours=True)

    async def end(self, row: Row, state: ItemState, error: LeadSquaredError) -> None:
        """End a row as rejected, or as unknown if a repeat could create a duplicate."""
        reason = reason_of(error) if state is ItemState.REJECTED else str(error)
        await self._store_dead_letter(row, state, error, reason, error.attempts)

    async def failed(self, row: Row, reason: str) -> None:
        """End an accepted row that LeadSquared rejected in processing."""
        await self._store_dead_letter(row, ItemState.REJECTED, rejected_later(reason), reason)

    async def lost(self, row: Row, error: LeadSquaredError) -> None:
        """End an accepted row whose RequestID LeadSquared does not know."""
        await self._store_dead_letter(row, ItemState.UNKNOWN, error, f"{LOST} {error}")

    async def unreadable(self, row: Row, flaw: UnreadableRowError) -> None:
        """End a row that cannot be read, because another version or program has written it."""
        if row.is_sending or row.attempts:
            flaw.delivery = Delivery.UNKNOWN
            reason = f"{UNREADABLE}: {flaw}"
            await self._store_dead_letter(row, ItemState.UNKNOWN, flaw, reason)
        else:
            reason = f"it was not sent, because the row cannot be read: {flaw}"
            await self._store_dead_letter(row, ItemState.REJECTED, flaw, reason)

    async def end_accepted(self) -> None:
        """If outcomes are not followed, end the rows that an earlier process left as accepted."""
        read, accepted = self._writer.read, ItemState.ACCEPTED
        while not self._confirm and (rows := await read(Store.in_state, accepted, ENDED_AT_ONCE)):
            for row in rows:
                await self._finish(row, accepted)

    async def _store_dead_letter(
        self, row: Row, state: ItemState, error: LeadSquaredError, reason: str, attempts: int = 0
    ) -> None:
        """Store and tell of a dead letter, even if the caller is cancelled."""
        is_ours = isinstance(error, UnreadableRowError)

        async def store_and_tell() -> None:
            if await self._finish(row, state, attempts, reason=reason, is_reason_ours=is_ours):
                self._tell_dead_letter(row, state, error)

        await asyncio.shield(self._begin(store_and_tell()))

    def _tell_dead_letter(self, row: Row, state: ItemState, error: LeadSquaredError) -> None:
        self._events.emit(
            DeadLetter(
                **_about(row, state, row.request_id),
                delivery=error.delivery,
                kind=kind_of_error(error),
                reason=error.summary,
            )
        )

    async def _finish(self, row: Row, state: ItemState, attempts: int = 0, **facts: Any) -> bool:
        """Store its final state; False if the row does not exist."""
        has_callbacks = bool(self._callbacks)
        was_there: bool | None = None
        item: OutboxItem | None = None

        def finish(store: Store) -> None:
            nonlocal was_there, item
            # If an unclear first commit succeeded, the values are already erased.
            if was_there is None or not store.has_ended(row.id, state):
                before = store.item(row.id) if has_callbacks else None
                was_there = store.finish(
                    row.id, time.time(), state, attempts, is_called_back=not has_callbacks, **facts
                )
                after = store.item(row.id) if has_callbacks else None
                if before is not None and after is not None:
                    item = replace(after, lead=before.lead, details=before.details)

        await self._writer.persist(finish)
        self.changed.set()
        if was_there and state in DELIVERED and self._events.wants(logging.DEBUG):
            self._events.emit(Delivered(**_about(row, state, facts.get("request_id", row.request_id))))
        if item is not None:
            self._begin(self._call_back(item))
        return bool(was_there)

    # Callbacks

    async def uncalled(self) -> list[int]:
        """Final rows whose callbacks have not finished; empty without callbacks."""
        if not self._callbacks:
            return []
        try:
            return await self._writer.read(Store.not_called_back)
        except OutboxError:
            return []  # they are called at the next start

    async def call_back(self, rows: list[int]) -> None:
        """Call the callbacks of these rows, 16 at a time."""
        room = asyncio.Semaphore(CALLBACKS_AT_ONCE)

        async def call_back(row: int) -> None:
            try:
                with suppress(OutboxError, ClientClosed):  # then they are called at the next start
                    item = await self._writer.read(Store.item, row)
                    if item is not None:
                        await self._call_back(item)
            finally:
                room.release()

        for row in rows:
            await room.acquire()
            self._begin(call_back(row))

    def is_own(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether a task runs a callback."""
        return task in self._running

    async def aclose(self, grace: float, closer: asyncio.Task[Any] | None) -> None:
        """Wait at most `grace` seconds for running callbacks; the rest are called at the next start."""
        running = self._running - {closer}  # a callback may close the outbox
        if running:
            _, late = await asyncio.wait(running, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=LAST_WAIT)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="leadsquared_async outbox on_final")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _call_back(self, item: OutboxItem) -> None:
        for callback in self._callbacks:
            try:
                answer = callback(item)
                if inspect.isawaitable(answer):
                    await answer
            except (Exception, asyncio.CancelledError) as error:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise  # this task was cancelled, not something in the callback
                # No traceback: it would show the item.
                kind = type(error).__name__
                self._events.emit(
                    CallbackFailed(callback="on_final", kind=kind, item=item.id, reference=item.reference)
                )
                return
        with suppress(ClientClosed):  # a callback has closed the outbox: it is called again at the next start
            await self._writer.persist(Store.called_back, item.id)


def _about(row: Row, state: ItemState, request_id: str | None) -> dict[str, Any]:
    """What every event about a final row says."""
    return {
        "owner": "outbox",
        "item": row.id,
        "state": state.value,
        "operation": operation_shown(row.operation),
        "reference": row.reference,
        # A stored RequestID, unless the column is damaged.
        "request_id": request_id if (request_id or "").isprintable() else None,
    }

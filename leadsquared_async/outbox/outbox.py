"""`Outbox`: keeps leads on disk until they are delivered."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Mapping,
)
from pathlib import Path
from typing import Any, Self, TypeVar

from leadsquared_async.client import LeadSquared, parts_of
from leadsquared_async.clock import clock
from leadsquared_async.config import seconds
from leadsquared_async.delivery.hold import Holds
from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import (
    ConfigurationError,
    Fault,
    InvalidLead,
    OutboxError,
)
from leadsquared_async.http.redaction import without_locals
from leadsquared_async.logs import ClientEvents
from leadsquared_async.operations import OPERATIONS
from leadsquared_async.outbox.arguments import (
    changed,
    check_text,
    row_id,
    state_named,
    submission_to_put,
    traceparent,
)
from leadsquared_async.outbox.items import OutboxItem, OutboxSnapshot, Ticket
from leadsquared_async.outbox.lifecycle import GRACE, Lifecycle
from leadsquared_async.outbox.rows import AT_ONCE, BEFORE_ALL, FILES, FORMS
from leadsquared_async.outbox.settle import Callback
from leadsquared_async.outbox.store import Store
from leadsquared_async.resources.prepare import Preparer
from leadsquared_async.source import Source
from leadsquared_async.submissions import Submission, UpdateBehavior

__all__ = ["Outbox", "lifecycle_of"]

DAY = 86_400.0
LOOK_EVERY = 0.2
LONG_PAUSE = 10.0
"""Seconds of a pause of the rate limit from which on delivery counts as blocked."""

C = TypeVar("C", bound=Callback)


class Outbox:
    """Keeps leads on disk until they are delivered: `async with Outbox("leads.db", lsq) as outbox:`.

    When `put` returns, the lead is on disk. It is retried until LeadSquared has processed it or rejected it
    as invalid, through crashes, revoked keys and days of LeadSquared downtime. Only leads being sent when the
    process crashes may be sent twice. Items of one lead are sent in order, each when the previous one is
    final. Any number of processes can put into one file. Exactly one delivers; if it ends, another process
    with a client takes over. The client must stay open as long as the outbox.

    Args:
        path: the file, in an existing folder on a local disk. It is created with mode 0600.
        client: an open `LeadSquared` to deliver with; None to put only.
        confirm: whether accepted leads are followed to their outcome; if False, accepted is final.
        keep_rejected: seconds after which the values of rejected leads are erased.
        max_bytes: size of the file from which `put` raises `OutboxFull`.

    Raises:
        ConfigurationError: an argument is invalid.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        client: LeadSquared | None = None,
        *,
        confirm: bool = True,
        keep_rejected: float = 30 * DAY,
        max_bytes: int = 2 * 1024**3,
    ) -> None:
        if not isinstance(path, str | os.PathLike) or not os.fspath(path) or os.fspath(path) == ":memory:":  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("path must be the path of a file")
        if client is not None and not isinstance(client, LeadSquared):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("client must be an open LeadSquared, or None to put only")
        if not isinstance(max_bytes, int) or isinstance(max_bytes, bool) or max_bytes < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("max_bytes must be a whole number of bytes")
        # Resolved once, so that every link to the file and every working directory share one lock.
        self.path = Path(os.path.realpath(path))
        self._preparer = Preparer() if client is None else parts_of(client).preparer
        events = ClientEvents(None) if client is None else parts_of(client).sender.events
        self._lifecycle = Lifecycle(
            self.path,
            Path(path),
            client,
            events,
            Holds("outbox", events, OPERATIONS, clock.now, random.random),
            confirm=bool(confirm),
            keep_rejected=seconds("keep_rejected", keep_rejected),
            max_bytes=max_bytes,
        )

    # Putting

    @without_locals
    async def put(
        self,
        lead: Mapping[str, Any] | Submission,
        *,
        key: str | None = None,
        search_by: str | None = None,
        update_behavior: UpdateBehavior | None = None,
        reference: str | None = None,
    ) -> Ticket:
        """Put one lead, such as a form; when this returns, the lead is on disk.

        Args:
            lead: schema name to value, as for `capture`; or any submission of
                `leadsquared_async.submissions`, which has its own options.
            key: your deduplication id; by default the submission's. A known key adds nothing, so a repeated
                put is one item.
            search_by: as for `capture`.
            update_behavior: as for `capture`.
            reference: your own opaque id; shown on items and in the log, never sent.

        Raises:
            InvalidLead: an attribute is invalid; the error names it.
            KeyReused: the key belongs to another lead.
            OutboxFull: the file has reached `max_bytes`.
            OutboxError: the file cannot be written, and the lead was not stored. If it is unknown whether the
                lead was stored, `delivery` is "unknown": put it again with the same `key`, which adds nothing
                if it was. Do the same after a cancelled put.
        """
        writer = self._lifecycle.opened()
        submission, key = submission_to_put(lead, search_by, update_behavior, reference, key)
        encoded = await self._preparer.prepare(submission)
        ticket = await writer.write(Store.put, encoded, key, FORMS, time.time(), traceparent())
        writer.changed.set()
        return ticket

    @without_locals
    async def put_many(
        self,
        leads: Iterable[Mapping[str, Any] | Submission] | AsyncIterable[Mapping[str, Any] | Submission],
        *,
        search_by: str | None = None,
        update_behavior: UpdateBehavior | None = None,
    ) -> int:
        """Put many leads, such as a file; forms are sent before them. Returns how many were new.

        Args:
            leads: mappings, or submissions with their own options: `capture_lead(...).with_key("row-1")`.
            search_by: for mappings.
            update_behavior: for mappings.

        Raises:
            InvalidLead, KeyReused: at the first such lead; the leads before it are in the outbox.
            OutboxError: the file cannot be written, or is full; earlier batches of 500 are in the outbox. If
                it is unknown whether the last batch was stored, put it again as described for `put`.
            ConfigurationError: `leads` is not an iterable of leads.
        """
        self._lifecycle.opened()
        index = new = 0
        piece: list[tuple[EncodedSubmission, str | None]] = []
        source = Source(leads, "outbox.put_many", "leads")
        try:
            async for lead in source:
                if isinstance(lead, Submission):
                    submission, key = submission_to_put(lead)
                else:
                    submission, key = submission_to_put(lead, search_by, update_behavior)
                try:
                    encoded = await self._preparer.prepare(submission)
                except InvalidLead as error:
                    error.args = (
                        f"lead {index}, counted from 0: {error} The leads before it are in the outbox.",
                    )
                    raise
                piece.append((encoded, key))
                index += 1
                if len(piece) == AT_ONCE:
                    full, piece = piece, []
                    new += await self._put_piece(full, index - len(full))
        finally:
            try:
                if piece:
                    new += await self._put_piece(piece, index - len(piece))
            finally:
                await source.aclose()
        return new

    async def _put_piece(self, piece: list[tuple[EncodedSubmission, str | None]], put_before: int) -> int:
        writer = self._lifecycle.opened()
        try:
            new, reused = await writer.write(Store.put_all, piece, FILES, time.time(), traceparent())
        except OutboxError as error:
            error.args = (f"{error}; the {put_before} leads before these {len(piece)} are in the outbox",)
            raise
        writer.changed.set()
        if reused is not None:
            raise reused
        return new

    # Watching

    async def drained(self) -> None:
        """Wait until every item is final.

        Raises:
            OutboxError: delivery has stopped because the client was closed.
        """
        writer = self._lifecycle.opened()
        while await writer.read(Store.oldest) is not None:
            if self._lifecycle.service is not None and (why := self._lifecycle.service.ended) is not None:
                raise OutboxError(f"delivery has stopped with items still pending: {why}")
            await asyncio.sleep(LOOK_EVERY)
            self._lifecycle.opened()

    async def snapshot(self) -> OutboxSnapshot:
        """The counts of items, and the state of delivery."""
        lifecycle = self._lifecycle
        counts, oldest, size = await lifecycle.opened().read(
            lambda store: (store.counts(), store.oldest(), store.size())
        )
        service = lifecycle.service
        blocked = None if service is None else service.blocked
        hold = None if service is None else lifecycle.holds.first
        is_held = hold is not None and blocked == hold.reason
        fault = hold.fault if hold is not None and is_held else None
        next_probe = hold.until_probe if hold is not None and is_held else None
        paused = service.paused if service is not None and service.delivers else 0.0
        if blocked is None and paused >= LONG_PAUSE:
            blocked = f"the account is over its rate limit, and no call is sent for {paused:.0f} s"
            fault, next_probe = Fault.LIMIT, paused
        return OutboxSnapshot(
            counts=counts,
            oldest=None if oldest is None else max(0.0, time.time() - oldest),
            blocked=blocked,
            fault=fault,
            next_probe=next_probe,
            delivers=lifecycle.delivers,
            file_system=lifecycle.file_system,
            size=size,
            max_bytes=lifecycle.max_bytes,
            held={} if service is None else lifecycle.holds.held,
        )

    async def items(self, state: ItemState | str | None = None) -> AsyncIterator[OutboxItem]:
        """The items of one state, or all items, oldest first.

        Raises:
            ConfigurationError: the state does not exist.
        """
        wanted = None if state is None else state_named(state)
        after = BEFORE_ALL
        while True:
            found = await self._lifecycle.opened().read(Store.items, wanted, AT_ONCE, after)
            for item in found:
                yield item
            if len(found) < AT_ONCE:
                return
            after = found[-1].id

    async def find(self, keys: Iterable[str]) -> dict[str, OutboxItem]:
        """The items with these keys, by key; unknown keys are omitted."""
        writer = self._lifecycle.opened()
        wanted = list(dict.fromkeys(keys))
        for key in wanted:
            check_text("key", key)
        found: dict[str, OutboxItem] = {}
        for start in range(0, len(wanted), AT_ONCE):
            piece = wanted[start : start + AT_ONCE]
            found |= await writer.read(Store.with_keys, piece)
        return found

    def on_final(self, callback: C) -> C:
        """Call `callback(item)` for each final item; also usable as a decorator.

        The callback may be asynchronous. It runs in the process that delivers, at least once for each item:
        if it raises, or the process ends, it is called again at the next start. Register it before opening
        the outbox to receive items that ended earlier.
        """
        self._lifecycle.callbacks.append(callback)
        return callback

    # Changing

    @without_locals
    async def requeue(
        self,
        item: OutboxItem | int,
        *,
        lead: Mapping[str, Any] | None = None,
        search_by: str | None = None,
        drop: Iterable[str] = (),
    ) -> None:
        """Send a rejected or unknown item again, optionally with other values.

        Args:
            item: the item, or its id.
            lead: new values that replace the lead's.
            search_by: a new SearchBy.
            drop: names of attributes, details and fields to leave out.

        Raises:
            InvalidLead: the changed lead is invalid.
            OutboxError: the item is in another state, or its values are erased. An erased item needs a new
                `lead`, and cannot be sent if its operation needs more than that. If the item cannot be read,
                this is an `UnreadableRowError` of `leadsquared_async.outbox`.
        """
        row = row_id(item)
        writer = self._lifecycle.opened()
        submission: EncodedSubmission | None = None
        dropped = {drop} if isinstance(drop, str) else set(drop)
        if lead is not None or search_by is not None or dropped:
            known = await writer.read(Store.submission, row)
            if known is None and lead is not None:
                known = await writer.read(Store.submission, row, is_erased=True)
            if known is None:
                raise OutboxError(
                    f"the values of row {row} are erased, or the row does not exist: pass lead="
                )
            requeued = changed(known, lead, search_by, dropped)
            submission = await self._preparer.prepare(requeued, is_new=lead is not None)
        await writer.write(Store.requeue, row, submission, time.time())
        writer.changed.set()

    async def discard(self, item: OutboxItem | int) -> bool:
        """Delete a pending, rejected or unknown item and its key; return False if it does not exist."""
        row = row_id(item)
        return await self._lifecycle.opened().write(Store.discard, row)

    @without_locals
    async def forget(self, **person: str) -> int:
        """Erase a person: `forget(EmailAddress="bret.lee@example.com")`; returns how many items matched.

        Items that are not being sent or followed are deleted. The values of the others are erased, and the
        item stays until its outcome is known. The write-ahead log is emptied when this returns, if this
        process delivers or no process does; otherwise within 30 seconds.

        Raises:
            ConfigurationError: no value was passed.
        """
        if not person or not all(isinstance(value, str) and value.strip() for value in person.values()):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                'forget takes a schema name and its value, such as forget(Phone="+91-9988776655")'
            )
        writer = self._lifecycle.opened()
        erased = 0
        after: float | None = BEFORE_ALL
        while after is not None:
            try:
                more, after = await writer.write(Store.forget, person, AT_ONCE, after)
            except OutboxError as error:
                error.args = (f"{error}; {erased} rows were already erased: call forget again for the rest",)
                raise
            erased += more
        await self._lifecycle.empty_log()
        return erased

    async def purge(self, older_than: float = 30 * DAY) -> int:
        """Delete final items unchanged for `older_than` seconds, and their keys; returns how many."""
        if isinstance(older_than, bool) or not isinstance(older_than, int | float) or not older_than >= 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("older_than must be a number of seconds, 0 or more")
        before = time.time() - older_than
        writer = self._lifecycle.opened()
        purged = await writer.write(Store.purge, before)
        await self._lifecycle.empty_log()
        return purged

    # Life

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Open the file, and deliver if there is a client and no other process delivers.

        Raises:
            OutboxError: the file cannot be used.
            ClientClosed: the outbox was opened before, or the client is not open in this loop and process.
            ConfigurationError: the extra `outbox` is not installed.
        """
        await self._lifecycle.open()

    async def aclose(self, grace: float = GRACE) -> None:
        """Let running calls finish within `grace` seconds, keep the rest, and close.

        A second call waits for the first, except in a callback of `on_final`, which the first waits for.
        A statement that does not finish soon after is interrupted and rolled back. If this is cancelled, the
        file is still closed and its lock released.

        Raises:
            ClientClosed: it was opened in another loop or process.
        """
        await self._lifecycle.aclose(grace)


def lifecycle_of(outbox: Outbox) -> Lifecycle:
    """The inside of an outbox, for the package."""
    return outbox._lifecycle  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

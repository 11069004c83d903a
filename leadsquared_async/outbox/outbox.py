"""`Outbox`: keeps leads on disk until they are delivered."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Container,
    Iterable,
    Mapping,
)
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

from leadsquared_async.batch import Source
from leadsquared_async.client import LeadSquared, parts_of
from leadsquared_async.clock import clock
from leadsquared_async.config import seconds
from leadsquared_async.delivery.hold import Holds
from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import (
    ClientClosed,
    ConfigurationError,
    Fault,
    InvalidLead,
    KeyReused,
    OutboxError,
)
from leadsquared_async.http.redaction import without_locals
from leadsquared_async.logs import ClientEvents
from leadsquared_async.operations import OPERATIONS
from leadsquared_async.outbox.files import create, filelock
from leadsquared_async.outbox.items import OutboxItem, OutboxSnapshot, Ticket
from leadsquared_async.outbox.rows import BEFORE_ALL, FILES, FORMS, WITHOUT_VALUES
from leadsquared_async.outbox.service import Service
from leadsquared_async.outbox.settle import Callback, Settler
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.resources.prepare import Preparer
from leadsquared_async.submissions import Submission, UpdateBehavior, capture_lead
from leadsquared_async.telemetry import is_set_up

__all__ = ["Outbox"]

GRACE = 8.0
LAST_WAIT = 2.0
"""Seconds after the grace to store the states of rows; then the running statement is interrupted."""
DAY = 86_400.0
AT_ONCE = 500
"""Rows read or written at a time."""
LOOK_EVERY = 0.2
LONGEST_KEY = 500
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
        self._given = Path(path)
        # Resolved once, so that every link to the file and every working directory share one lock.
        self.path = Path(os.path.realpath(path))
        self._client = client
        self._preparer = Preparer() if client is None else parts_of(client).preparer
        self._events = ClientEvents(None) if client is None else parts_of(client).sender.events
        self._confirm = bool(confirm)
        self._keep_rejected = seconds("keep_rejected", keep_rejected)
        self._max_bytes = max_bytes
        self._file_system: str | None = None
        self._writer: Writer | None = None
        self._holds = Holds("outbox", self._events, OPERATIONS, clock.now, random.random)
        self._service: Service | None = None
        self._closed: asyncio.Event | None = None
        self._stop_gauges: Callable[[], None] = lambda: None
        self._callbacks: list[Callback] = []
        self._state = "not open: use it inside `async with Outbox(...) as outbox:`"

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
        writer = self._opened()
        submission = _submission(lead, search_by, update_behavior, reference, key)
        encoded = await self._preparer.prepare(submission)
        ticket = await writer.write(Store.put, encoded, submission.key, FORMS, time.time(), _traceparent())
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
        self._opened()
        index = new = 0
        piece: list[tuple[EncodedSubmission, str | None]] = []
        source = Source(leads, "outbox.put_many", "leads")
        try:
            async for lead in source:
                if isinstance(lead, Submission):
                    submission = _submission(lead)
                else:
                    submission = _submission(lead, search_by, update_behavior)
                try:
                    encoded = await self._preparer.prepare(submission)
                except InvalidLead as error:
                    error.args = (
                        f"lead {index}, counted from 0: {error} The leads before it are in the outbox.",
                    )
                    raise
                piece.append((encoded, submission.key))
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
        writer = self._opened()
        try:
            new, reused = await writer.write(Store.put_all, piece, FILES, time.time(), _traceparent())
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
        writer = self._opened()
        while await writer.read(Store.oldest) is not None:
            if self._service is not None and (why := self._service.ended) is not None:
                raise OutboxError(f"delivery has stopped with items still pending: {why}")
            await asyncio.sleep(LOOK_EVERY)
            self._opened()

    async def snapshot(self) -> OutboxSnapshot:
        """The counts of items, and the state of delivery."""
        counts, oldest, size = await self._opened().read(
            lambda store: (store.counts(), store.oldest(), store.size())
        )
        blocked = None if self._service is None else self._service.blocked
        hold = None if self._service is None else self._holds.first
        is_held = hold is not None and blocked == hold.reason
        fault = hold.fault if hold is not None and is_held else None
        next_probe = hold.until_probe if hold is not None and is_held else None
        paused = self._service.paused if self._service is not None and self._delivers else 0.0
        if blocked is None and paused >= LONG_PAUSE:
            blocked = f"the account is over its rate limit, and no call is sent for {paused:.0f} s"
            fault, next_probe = Fault.LIMIT, paused
        return OutboxSnapshot(
            counts=counts,
            oldest=None if oldest is None else max(0.0, time.time() - oldest),
            blocked=blocked,
            fault=fault,
            next_probe=next_probe,
            delivers=self._delivers,
            file_system=self._file_system,
            size=size,
            max_bytes=self._max_bytes,
            held={} if self._service is None else self._holds.held,
        )

    @property
    def _delivers(self) -> bool:
        return self._service is not None and self._service.delivers

    async def items(self, state: ItemState | str | None = None) -> AsyncIterator[OutboxItem]:
        """The items of one state, or all items, oldest first.

        Raises:
            ConfigurationError: the state does not exist.
        """
        wanted = None if state is None else _state(state)
        after = BEFORE_ALL
        while True:
            found = await self._opened().read(Store.items, wanted, AT_ONCE, after)
            for item in found:
                yield item
            if len(found) < AT_ONCE:
                return
            after = found[-1].id

    async def find(self, keys: Iterable[str]) -> dict[str, OutboxItem]:
        """The items with these keys, by key; unknown keys are omitted."""
        writer = self._opened()
        wanted = list(dict.fromkeys(keys))
        for key in wanted:
            _check("key", key)
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
        self._callbacks.append(callback)
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
        row = _row(item)
        writer = self._opened()
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
            changed = _changed(known, lead, search_by, dropped)
            submission = await self._preparer.prepare(changed, is_new=lead is not None)
        await writer.write(Store.requeue, row, submission, time.time())
        writer.changed.set()

    async def discard(self, item: OutboxItem | int) -> bool:
        """Delete a pending, rejected or unknown item and its key; return False if it does not exist."""
        row = _row(item)
        return await self._opened().write(Store.discard, row)

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
        writer = self._opened()
        erased = 0
        after: float | None = BEFORE_ALL
        while after is not None:
            try:
                more, after = await writer.write(Store.forget, person, AT_ONCE, after)
            except OutboxError as error:
                error.args = (f"{error}; {erased} rows were already erased: call forget again for the rest",)
                raise
            erased += more
        await self._empty_log()
        return erased

    async def purge(self, older_than: float = 30 * DAY) -> int:
        """Delete final items unchanged for `older_than` seconds, and their keys; returns how many."""
        if isinstance(older_than, bool) or not isinstance(older_than, int | float) or not older_than >= 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("older_than must be a number of seconds, 0 or more")
        before = time.time() - older_than
        writer = self._opened()
        purged = await writer.write(Store.purge, before)
        await self._empty_log()
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
        if self._writer is not None:
            raise ClientClosed("this outbox was opened before: make a new one")
        filelock()  # raises now if it is missing, before the first put
        parts = None if self._client is None else parts_of(self._client)
        if parts is not None:
            parts[0].session.check_usable()  # raises if the client may not be used here
        self._file_system, risk = create(self.path, self._given)
        if risk is not None:
            self._events.log.warning("outbox: %s is on %s", self.path.name, risk)
        self._writer = writer = Writer(
            self.path,
            lambda: Store(self.path, self._max_bytes, self._events.log, only_puts=self._client is None),
            self._events,
        )
        self._process, self._loop = os.getpid(), asyncio.get_running_loop()
        try:
            await writer.open()
            if self._client is not None:
                await self._start(self._client, confirm=self._confirm)
        except BaseException:
            self._state = "closed: it could not be opened"
            await writer.aclose(0.0)
            raise
        self._state = ""

    async def _start(self, client: LeadSquared, *, confirm: bool) -> None:
        assert self._writer is not None
        settler = Settler(self._writer, self._events, self._callbacks, confirm=confirm)
        self._service = Service(
            self.path,
            self._writer,
            settler,
            self._holds,
            client,
            confirm=confirm,
            keep_rejected=self._keep_rejected,
        )
        await self._service.start()
        if is_set_up("metrics"):
            from leadsquared_async.outbox.metrics import watch_delivery  # noqa: PLC0415 - needs the extra `otel`

            name = parts_of(client).sender.session.options.name
            self._stop_gauges = watch_delivery(self._service, self._writer, name)

    async def _stop(self, grace: float = GRACE) -> None:
        self._stop_gauges()
        service, self._service = self._service, None
        if service is not None:
            await service.aclose(grace)

    async def aclose(self, grace: float = GRACE) -> None:
        """Let running calls finish within `grace` seconds, keep the rest, and close.

        A second call waits for the first, except in a callback of `on_final`, which the first waits for.
        A statement that does not finish soon after is interrupted and rolled back. If this is cancelled, the
        file is still closed and its lock released.

        Raises:
            ClientClosed: it was opened in another loop or process.
        """
        loop = asyncio.get_running_loop()
        if self._writer is None or self._state:
            is_in_callback = self._service is not None and self._service.is_in_callback
            if self._closed is not None and self._loop is loop and not is_in_callback:
                await self._closed.wait()
            return
        writer = self._opened()
        self._state = "closed: its `async with` block has ended"
        self._stop_gauges()
        self._closed = asyncio.Event()
        until = loop.time() + grace + LAST_WAIT
        late = loop.call_at(until, writer.break_off)
        try:
            if self._service is not None:
                await self._service.aclose(grace)
        finally:
            late.cancel()
            try:
                await writer.aclose(max(0.0, until - loop.time()))
            finally:
                self._closed.set()

    async def _empty_log(self) -> None:
        """Remove erased values from the write-ahead log, if this process may empty it."""
        with suppress(OutboxError, ClientClosed):
            await self._opened().read(Store.checkpoint if self._delivers else Store.empty_free_log)

    def _opened(self) -> Writer:
        if self._state or self._writer is None:
            raise ClientClosed(f"this outbox is {self._state}")
        if self._process != os.getpid():
            raise ClientClosed(
                "this outbox was opened before a fork: open one in each process, after the fork"
            )
        if self._loop is not asyncio.get_running_loop():
            raise ClientClosed("this outbox was opened in another event loop: open one in each loop")
        return self._writer


async def note_of(outbox: Outbox, name: str) -> str | None:
    """A text that the package stores in an open outbox under `name`, or None."""
    return await outbox._opened().read(Store.meta, name)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


async def set_note(outbox: Outbox, name: str, text: str) -> None:
    """Store a text for `note_of`."""
    await outbox._opened().write(Store.set_meta, name, text)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def is_locked_out(outbox: Outbox) -> bool:
    """Whether an outbox with a client waits for another process, which delivers."""
    service = outbox._service  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return service is not None and not service.has_lock


def why_stopped(outbox: Outbox) -> str | None:
    """Why an open outbox has stopped delivering, until it is opened again; None if it has not."""
    service = outbox._service  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return None if service is None else service.ended


async def states_in(outbox: Outbox, state: ItemState) -> AsyncGenerator[OutboxItem]:
    """The items of a state, oldest first, without their values."""
    after = BEFORE_ALL
    while True:
        writer = outbox._opened()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        found = await writer.read(Store.items, state, AT_ONCE, after, columns=WITHOUT_VALUES)
        for item in found:
            yield item
        if len(found) < AT_ONCE:
            return
        after = found[-1].id


async def states_of(outbox: Outbox, keys: Iterable[str]) -> dict[str, OutboxItem]:
    """The items under these keys, at most 500, without their values."""
    writer = outbox._opened()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return await writer.read(Store.with_keys, list(keys), columns=WITHOUT_VALUES)


@asynccontextmanager
async def delivering(outbox: Outbox, client: LeadSquared, *, confirm: bool) -> AsyncGenerator[None]:
    """Deliver an outbox that was opened without a client, as long as the block lasts."""
    await outbox._start(client, confirm=confirm)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    try:
        yield
    finally:
        await outbox._stop()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


async def put_each(
    outbox: Outbox, submissions: Iterable[tuple[EncodedSubmission, str]]
) -> list[Ticket | KeyReused]:
    """Put encoded submissions under their keys, as rows of a file; what each of them gets, in their order."""
    writer = outbox._opened()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    tickets = await writer.write(Store.put_each, list(submissions), FILES, time.time(), _traceparent())
    writer.changed.set()
    return tickets


def _traceparent() -> str | None:
    """The context of the span in which a lead is put, to which the span of its delivery is linked."""
    if not is_set_up("trace"):
        return None
    from leadsquared_async.http.spans import current_traceparent  # noqa: PLC0415 - it needs the extra `otel`

    return current_traceparent()


def _submission(
    lead: Mapping[str, Any] | Submission,
    search_by: str | None = None,
    update_behavior: UpdateBehavior | None = None,
    reference: str | None = None,
    key: str | None = None,
) -> Submission:
    """The submission to put, with its key and reference."""
    if not isinstance(lead, Submission):
        submission = capture_lead(lead, search_by=search_by, update_behavior=update_behavior)
    elif search_by is not None or update_behavior is not None:
        raise ConfigurationError("a submission has its own search_by and update_behavior: leave them out")
    else:
        submission = lead
    key = submission.key if key is None else key
    reference = submission.reference if reference is None else reference
    _check("key", key)
    _check("reference", reference)
    return replace(submission, key=key, reference=reference)


def _check(option: str, text: str | None) -> None:
    """Reject a key or reference that SQLite cannot store."""
    if text is None:
        return
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_KEY:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"{option} must be a string of 1 to {LONGEST_KEY} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{option} has an unpaired surrogate, which is not valid text") from None


def _changed(
    known: Submission, lead: Mapping[str, Any] | None, search_by: str | None, dropped: Container[str]
) -> Submission:
    """The submission with changed values."""

    def kept(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if values is None else {name: it for name, it in values.items() if name not in dropped}

    values = kept(known.lead if lead is None else lead)
    if search_by is not None and values is not None:
        values.pop("SearchBy", None)
    details = kept(known.details)
    if details is not None and "Fields" in details:
        details["Fields"] = kept(details["Fields"])
    return replace(known, lead=values, details=details, search_by=search_by)


def _row(item: OutboxItem | int) -> int:
    row = item.id if isinstance(item, OutboxItem) else item
    if not isinstance(row, int) or isinstance(row, bool) or not -(2**63) <= row < 2**63:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError("item must be an OutboxItem or its id")
    return row


def _state(state: ItemState | str) -> ItemState:
    try:
        return ItemState(state)
    except ValueError:
        raise ConfigurationError(f"state must be one of {', '.join(ItemState)}") from None

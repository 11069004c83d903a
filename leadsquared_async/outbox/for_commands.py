"""What the command line needs of an open outbox beside its public methods."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

from leadsquared_async.client import LeadSquared, parts_of
from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import KeyReused
from leadsquared_async.outbox.arguments import traceparent
from leadsquared_async.outbox.file_account import adopt as adopt_keys
from leadsquared_async.outbox.file_account import check
from leadsquared_async.outbox.items import OutboxItem, Ticket
from leadsquared_async.outbox.outbox import Outbox, lifecycle_of
from leadsquared_async.outbox.rows import AT_ONCE, BEFORE_ALL, FILES, WITHOUT_VALUES
from leadsquared_async.outbox.store import Store

__all__ = [
    "adopt",
    "check_account",
    "delivering",
    "is_locked_out",
    "is_unknown",
    "mark_delivered",
    "note_of",
    "put_each",
    "set_note",
    "states_in",
    "states_of",
    "update_behavior_of",
    "why_stopped",
]


async def note_of(outbox: Outbox, name: str) -> str | None:
    """A text that the package stores in an open outbox under `name`, or None."""
    return await lifecycle_of(outbox).opened().read(Store.meta, name)


async def set_note(outbox: Outbox, name: str, text: str) -> None:
    """Store a text for `note_of`."""
    await lifecycle_of(outbox).opened().write(Store.set_meta, name, text)


def is_locked_out(outbox: Outbox) -> bool:
    """Whether an outbox with a client waits for another process, which delivers."""
    service = lifecycle_of(outbox).service
    return service is not None and not service.has_lock


async def check_account(outbox: Outbox, client: LeadSquared) -> None:
    """Raise OutboxError if a client with fixed keys is of another account than an open outbox."""
    if (keys := parts_of(client).sender.session.credentials.known) is not None:
        await lifecycle_of(outbox).opened().read(check, outbox.path, keys)


async def adopt(outbox: Outbox, client: LeadSquared) -> None:
    """Let a client with fixed keys deliver an open outbox, whichever account has delivered it."""
    if (keys := parts_of(client).sender.session.credentials.known) is not None:
        await lifecycle_of(outbox).opened().write(adopt_keys, keys)


async def mark_delivered(outbox: Outbox, row: int, lead_id: str | None) -> bool:
    """Confirm an unknown row whose lead somebody has found; returns whether it was unknown."""
    return await lifecycle_of(outbox).opened().write(Store.mark_delivered, row, lead_id, time.time())


async def is_unknown(outbox: Outbox, row: int) -> bool:
    """Whether a row is there and its outcome is unknown."""
    item = await lifecycle_of(outbox).opened().read(Store.item, row)
    return item is not None and item.state is ItemState.UNKNOWN


async def update_behavior_of(outbox: Outbox, row: int) -> str | None:
    """The `update_behavior` of a readable row that is not erased; None without one."""
    submission = await lifecycle_of(outbox).opened().read(Store.submission, row)
    return None if submission is None else submission.query.get("LeadUpdateBehavior")


def why_stopped(outbox: Outbox) -> str | None:
    """Why an open outbox has stopped delivering, until it is opened again; None if it has not."""
    service = lifecycle_of(outbox).service
    return None if service is None else service.ended


async def states_in(outbox: Outbox, state: ItemState) -> AsyncGenerator[OutboxItem]:
    """The items of a state, oldest first, without their values."""
    after = BEFORE_ALL
    while True:
        writer = lifecycle_of(outbox).opened()
        found = await writer.read(Store.items, state, AT_ONCE, after, columns=WITHOUT_VALUES)
        for item in found:
            yield item
        if len(found) < AT_ONCE:
            return
        after = found[-1].id


async def states_of(outbox: Outbox, keys: Iterable[str]) -> dict[str, OutboxItem]:
    """The items under these keys, at most 500, without their values."""
    writer = lifecycle_of(outbox).opened()
    return await writer.read(Store.with_keys, list(keys), columns=WITHOUT_VALUES)


@asynccontextmanager
async def delivering(outbox: Outbox, client: LeadSquared, *, confirm: bool) -> AsyncGenerator[None]:
    """Deliver an outbox that was opened without a client, as long as the block lasts."""
    await lifecycle_of(outbox).start(client, confirm=confirm)
    try:
        yield
    finally:
        await lifecycle_of(outbox).stop()


async def put_each(
    outbox: Outbox, submissions: Iterable[tuple[EncodedSubmission, str]]
) -> list[Ticket | KeyReused]:
    """Put encoded submissions under their keys, as rows of a file; what each of them gets, in their order."""
    writer = lifecycle_of(outbox).opened()
    tickets = await writer.write(Store.put_each, list(submissions), FILES, time.time(), traceparent())
    writer.changed.set()
    return tickets

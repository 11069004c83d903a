"""Recovers the rows that a killed process left behind."""

from __future__ import annotations

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.delivery.reasons import KILLED
from leadsquared_async.errors import ConnectionFailed, Delivery
from leadsquared_async.http.redaction import without_locals
from leadsquared_async.outbox.row_calls import RowCalls
from leadsquared_async.outbox.settle import Settler
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer

__all__ = ["recover"]

SOME = 100
"""Rows read at a time."""
DIED = f"{KILLED}: check whether it arrived before you send it again"


@without_locals
async def recover(writer: Writer, settler: Settler, calls: RowCalls) -> None:
    """Make rows that were being sent pending again, or unknown if a repeat could create a duplicate. Release
    rows that wait for a deleted row."""
    while rows := await writer.read(Store.in_state, ItemState.SENDING, SOME):
        for row in rows:
            if await calls.read(row) is None:
                continue
            if calls.may_repeat(row):
                await settler.pending(row, 0)
            else:
                error = ConnectionFailed(DIED, delivery=Delivery.UNKNOWN)
                await settler.end(row, ItemState.UNKNOWN, error)
    await settler.end_accepted()
    while await writer.write(Store.release_orphans, SOME):
        pass

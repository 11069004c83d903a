"""What becomes of the rows that a killed process left behind."""

from __future__ import annotations

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.errors import ConnectionFailed, Delivery
from leadsquared_async.http.redaction import without_locals
from leadsquared_async.outbox.row_calls import RowCalls
from leadsquared_async.outbox.settle import Settler
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer

__all__ = ["recover"]

SOME = 100
"""Rows read at a time."""
DIED = "the process died while it was on its way: look for it before it is sent again"


@without_locals
async def recover(writer: Writer, settler: Settler, calls: RowCalls) -> None:
    """Decide on rows that were on their way: each is pending again, or unknown if a repeat could create a
    duplicate. Rows that wait for one that is gone may be sent."""
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

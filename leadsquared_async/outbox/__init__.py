"""Leads on disk until LeadSquared has processed them.

`outbox` is what a user calls. `delivery` sends the rows, `bulk_delivery` those that share calls, and `rows`
is what both know of one. `confirmation` follows them, `ledger` notes what became of them, `gate` holds them
while nothing gets through. `writer` and `store` are the way to the file, `schema` its tables, `files` the
place where it lies.
"""

from leadsquared_async.outbox.items import ItemState, OutboxEntry, OutboxItem, OutboxSnapshot, Ticket
from leadsquared_async.outbox.outbox import Outbox

__all__ = ["ItemState", "Outbox", "OutboxEntry", "OutboxItem", "OutboxSnapshot", "Ticket"]

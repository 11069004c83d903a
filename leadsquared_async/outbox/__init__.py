"""Leads on disk until LeadSquared has processed them.

`outbox` is what a user calls. `delivery` sends the rows, `bulk_delivery` those that share calls, and
`rows` is what both know of one. `confirmation` follows them, where `status_paths` knows how; `ledger`
notes what became of them. `gate` holds rows while nothing gets through, `holding` says so, and `holdings`
knows what holds what. `writer` and `store` are the way to the file, `records` its rows as they are read,
`reasons` what may be shown of why one was rejected, `erasure` what goes from them;
`schema` has its tables, and `files` the place where it lies.
"""

from leadsquared_async.outbox.items import ItemState, OutboxEntry, OutboxItem, OutboxSnapshot, Ticket
from leadsquared_async.outbox.outbox import Outbox

__all__ = ["ItemState", "Outbox", "OutboxEntry", "OutboxItem", "OutboxSnapshot", "Ticket"]

"""Items on disk until LeadSquared has processed them."""

from leadsquared_async.outbox.items import ItemState, OutboxEntry, OutboxItem, OutboxSnapshot, Ticket
from leadsquared_async.outbox.outbox import Outbox

__all__ = ["ItemState", "Outbox", "OutboxEntry", "OutboxItem", "OutboxSnapshot", "Ticket"]

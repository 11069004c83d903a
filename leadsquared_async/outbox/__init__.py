"""Keeps items on disk until LeadSquared has processed them."""

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.outbox.files import has_modes, place_of
from leadsquared_async.outbox.for_commands import (
    adopt,
    check_account,
    delivering,
    is_locked_out,
    is_unknown,
    mark_delivered,
    note_of,
    put_each,
    set_note,
    states_in,
    states_of,
    update_behavior_of,
    why_stopped,
)
from leadsquared_async.outbox.items import OutboxItem, OutboxSnapshot, Ticket
from leadsquared_async.outbox.outbox import Outbox
from leadsquared_async.outbox.rows import UnreadableRowError

__all__ = [
    "ItemState",
    "Outbox",
    "OutboxItem",
    "OutboxSnapshot",
    "Ticket",
    "UnreadableRowError",
    "adopt",
    "check_account",
    "delivering",
    "has_modes",
    "is_locked_out",
    "is_unknown",
    "mark_delivered",
    "note_of",
    "place_of",
    "put_each",
    "set_note",
    "states_in",
    "states_of",
    "update_behavior_of",
    "why_stopped",
]

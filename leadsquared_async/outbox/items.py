"""What an outbox holds, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.errors import Fault

__all__ = ["ItemState", "OutboxItem", "OutboxSnapshot", "Ticket"]


@dataclass(frozen=True, slots=True)
class Ticket:
    """A lead is in the outbox.

    Attributes:
        id: the row's.
        key: as it was given.
        is_new: False if the key was known, and nothing was added.
        state: the row's, at this moment.
        dropped: attributes that the account does not have and that were left out, with `validate="drop"`.
    """

    id: int
    key: str | None
    is_new: bool
    state: ItemState
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """A row of an outbox.

    Attributes:
        id: the row's; rows are numbered as they come.
        key: as it was given.
        reference: as it was given.
        operation: what it is submitted to, such as "leads.capture".
        state: where it is.
        lead: its values as they go out, SearchBy among them; None once they are erased, or where the
            operation takes no lead.
        details: what goes out beside the lead, or alone, such as an activity.
        is_erased: whether the values are gone.
        put_at: when it was put, in UTC.
        changed_at: when its state last changed, in UTC.
        attempts: how often it was sent.
        request_id: the RequestID, once it was accepted.
        lead_id: the lead it made or changed, once it was confirmed.
        created: whether that lead is new.
        reason: why it was rejected or is unknown; LeadSquared's words, which may hold personal data.
    """

    id: int
    key: str | None
    reference: str | None
    operation: str
    state: ItemState
    lead: Mapping[str, Any] | None = field(repr=False)
    details: Mapping[str, Any] | None = field(repr=False)
    is_erased: bool
    put_at: datetime
    changed_at: datetime
    attempts: int
    request_id: str | None
    lead_id: str | None
    created: bool | None
    reason: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class OutboxSnapshot:
    """An outbox at one moment.

    Attributes:
        counts: rows by state.
        oldest: age in seconds of the oldest row that is not final; None if all are.
        blocked: why nothing is delivered, or nothing of some operation; None if everything is.
        fault: who has to act before it is, if LeadSquared's answers said so: the account, or the server.
        next_probe: seconds until delivering is tried again, while it is blocked.
        delivers: whether this process is the one that delivers.
        file_system: the kind of file system that the file is on, such as "ext4"; None where it is not known.
        size: bytes of the file.
        max_bytes: bytes from which on `put` refuses.
        held: operations of which alone nothing is delivered, while others are: why.
    """

    counts: Mapping[ItemState, int]
    oldest: float | None
    blocked: str | None
    fault: Fault | None
    next_probe: float | None
    delivers: bool
    file_system: str | None
    size: int
    max_bytes: int
    held: Mapping[str, str] = field(default_factory=dict[str, str])

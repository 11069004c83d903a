"""The contents of an outbox, as frozen values."""

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
    """The receipt for a lead in the outbox.

    Attributes:
        id: the row's id.
        key: the key passed to `put`.
        is_new: False if the key was known and nothing was added.
        state: the row's state when `put` returned.
        dropped: attributes left out because the account does not have them, with `validate="drop"`.
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
        id: the row's number, in the order of arrival.
        key: the key passed to `put`.
        reference: the reference passed to `put`.
        operation: the operation, such as "leads.capture".
        state: its delivery state.
        lead: its values as sent, including SearchBy; None once they are erased, or if the operation takes no
            lead.
        details: other values that are sent, such as an activity.
        is_erased: whether the values are erased.
        put_at: when it was put, in UTC.
        changed_at: when its state last changed, in UTC.
        attempts: how often it was sent.
        request_id: the RequestID, once it is accepted.
        lead_id: the lead that it created or changed, once it is confirmed.
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
    """The state of an outbox at one moment.

    Attributes:
        counts: rows by state.
        oldest: age in seconds of the oldest row that is not final; None if all are.
        blocked: why delivery, or delivery of some operation, is paused; None if it is not.
        fault: who has to act, the account or the server, if LeadSquared's answers show that.
        next_probe: seconds until delivery is retried, while it is blocked.
        delivers: whether this process delivers.
        file_system: the file system of the file, such as "ext4"; None if unknown.
        size: bytes of the file.
        max_bytes: size in bytes from which `put` raises `OutboxFull`.
        held: operations held while others are delivered, each with the reason.
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

"""A row as it is read from the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from leadsquared_async.encoding import decoded
from leadsquared_async.errors import OutboxError
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, OPERATIONS, Write
from leadsquared_async.outbox.items import ItemState, OutboxItem
from leadsquared_async.submissions import Submission

__all__ = ["CLAIMED", "COLUMNS", "Claim", "item_of", "submission_in", "write_named"]

COLUMNS = (
    "id, key, reference, operation, state, content, query, suffix, put_at, changed_at, attempts, request_id, "
    "lead_id, created, reason"
)
"""What `item_of` reads."""
CLAIMED = "id, operation, lane, content, query, suffix, reference, request_id"
"""What a `Claim` holds, but for whether it is on its way."""


@dataclass(slots=True)
class Claim:
    """A row that is to be sent or followed.

    Attributes:
        is_sending: whether it is on its way by the file's account.
    """

    id: int
    operation: str
    lane: int
    content: bytes | None = field(repr=False)
    query: str = field(repr=False)
    suffix: str = field(repr=False)
    reference: str | None
    request_id: str | None
    is_sending: bool


def write_named(name: str) -> Write:
    """What a row asks LeadSquared to do.

    Raises:
        OutboxError: a newer version has put it.
    """
    write = BULK_CREATE_OR_UPDATE if name == BULK_CREATE_OR_UPDATE.name else OPERATIONS.get(name)
    if write is None:
        raise OutboxError(
            f"the outbox holds a row of the operation {name}, which this version does not know: upgrade "
            "leadsquared_async"
        )
    return write


def submission_in(
    operation: str, content: bytes, query: str, suffix: str, reference: str | None = None
) -> Submission:
    """What a row's columns hold.

    Raises:
        OutboxError: a newer version has put it.
    """
    return decoded(write_named(operation), content, json.loads(query), json.loads(suffix), reference)


def item_of(row: tuple[Any, ...]) -> OutboxItem:
    """The columns of a row, in the order of `COLUMNS`, for whoever looks into the outbox."""
    fields: Iterator[Any] = iter(row)
    row_id, key, reference, operation, state, content, query, suffix = (next(fields) for _ in range(8))
    known = None if content is None else submission_in(operation, content, query, suffix)
    return OutboxItem(
        id=row_id,
        key=key,
        reference=reference,
        operation=operation,
        state=ItemState(state),
        lead=None if known is None else known.lead,
        details=None if known is None else known.details,
        is_erased=known is None,
        put_at=datetime.fromtimestamp(next(fields), UTC),
        changed_at=datetime.fromtimestamp(next(fields), UTC),
        attempts=next(fields),
        request_id=next(fields),
        lead_id=next(fields),
        created=None if (created := next(fields)) is None else bool(created),
        reason=next(fields),
    )

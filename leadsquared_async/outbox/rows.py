"""Reads rows from the file, which another version or program may have written."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.encoding import EncodedSubmission, decode
from leadsquared_async.errors import OutboxError
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, OPERATIONS, Endpoint
from leadsquared_async.outbox.items import OutboxItem
from leadsquared_async.submissions import Submission

__all__ = [
    "AT_ONCE",
    "BEFORE_ALL",
    "BULK",
    "CLAIMED",
    "COLUMNS",
    "FILES",
    "FORMS",
    "WITHOUT_VALUES",
    "Row",
    "UnreadableRowError",
    "item_of",
    "moment",
    "operation_shown",
    "row_of",
    "stored",
    "submission_in",
    "write_named",
]

BULK = BULK_CREATE_OR_UPDATE.name
BEFORE_ALL = -math.inf
"""Below every id: another program may have written negative ones."""
AT_ONCE = 500
"""Rows read or written at a time."""
FORMS, FILES = range(2)
"""The lanes of `put` and of `put_many`."""
COLUMNS = (
    "id, key, reference, operation, state, CAST(content AS BLOB), query, suffix, put_at, changed_at, "
    "attempts, request_id, lead_id, created, reason"
)
"""What `item_of` reads."""
WITHOUT_VALUES = COLUMNS.replace("CAST(content AS BLOB)", "NULL")
CLAIMED = (
    "id, operation, CAST(content AS BLOB), query, suffix, identified, reference, traceparent, request_id, "
    "attempts, state <> 'pending'"
)
"""What `row_of` reads."""


class UnreadableRowError(OutboxError):
    """A row cannot be sent by this version; the text says why, without its values."""


@dataclass(slots=True)
class Row:
    """A stored row to be sent or followed; `stored` decodes its content, query and suffix.

    Attributes:
        operation: the operation's name, which this version may not know.
        identified: whether LeadSquared can match it, so that sending it twice is harmless.
        traceparent: the context of the span in which it was put.
        attempts: how often it was sent before.
        is_sending: whether it is being sent, or may have been.
    """

    id: int
    operation: str
    content: object = field(repr=False)
    query: object = field(repr=False)
    suffix: object = field(repr=False)
    identified: bool
    reference: str | None
    traceparent: str | None
    request_id: str | None
    attempts: int
    is_sending: bool


def row_of(row: tuple[Any, ...]) -> Row:
    """A row from the columns in `CLAIMED`."""
    row_id, operation, content, query, suffix, identified, reference, *rest = row
    traceparent, request_id, attempts, is_sending = rest
    return Row(
        id=row_id,
        operation=_text(operation) or "",
        content=content,
        query=query,
        suffix=suffix,
        identified=identified == 1,
        reference=_text(reference),
        traceparent=_text(traceparent),
        request_id=_text(request_id),
        attempts=_number(attempts),
        is_sending=bool(is_sending),
    )


def write_named(name: object) -> Endpoint:
    """The endpoint of an operation; raises UnreadableRowError if this version does not know it."""
    known = OPERATIONS.get(name) if isinstance(name, str) else None
    write = BULK_CREATE_OR_UPDATE if name == BULK else known
    if write is None:
        raise UnreadableRowError(
            f"this version does not know the operation {operation_shown(name)}: upgrade leadsquared_async"
        )
    return write


def operation_shown(name: object) -> str:
    """An operation's name as one short line, whatever the column holds."""
    is_sound = isinstance(name, str) and _OPERATION.fullmatch(name)
    return str(name) if is_sound else ascii(name)[:60]


_OPERATION = re.compile(r"[\w.]{1,60}", re.ASCII)


def stored(row: Row) -> EncodedSubmission:
    """The row's submission, as encoded and checked when it was put.

    Raises:
        UnreadableRowError: the row cannot be sent.
    """
    write = write_named(row.operation)
    if row.content is None:
        raise UnreadableRowError("its values are erased")
    query, suffix = _pairs(row.query), _texts("suffix", row.suffix)
    try:
        return EncodedSubmission.stored(
            write,
            cast("bytes", row.content),
            query,
            suffix,
            identified=row.identified,
            reference=row.reference,
        )
    except (ValueError, TypeError, RecursionError):
        raise UnreadableRowError(f"its content is not valid for {write.name}") from None


def submission_in(
    operation: object, content: object, query: object, suffix: object, reference: str | None = None
) -> Submission:
    """The submission in a row's columns, to show or change; raises UnreadableRowError."""
    write = write_named(operation)
    _json("content", content)
    try:
        return decode(
            write, cast("bytes", content), _pairs(query), _texts("suffix", suffix), _text(reference)
        )
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
    ):  # valid JSON of another shape
        raise UnreadableRowError(f"its content is not valid for {write.name}") from None


def item_of(row: tuple[Any, ...]) -> OutboxItem:
    """An item from the columns in `COLUMNS`; if it cannot be read, its reason says why."""
    row_id, key, reference, operation, state, content, query, suffix, put_at, changed_at, *rest = row
    attempts, request_id, lead_id, created, reason = rest
    known, reason = None, _text(reason)
    try:
        if content is not None:
            known = submission_in(operation, content, query, suffix)
        else:
            write_named(operation)
    except UnreadableRowError as flaw:
        reason = reason or f"it cannot be read: {flaw}"
    return OutboxItem(
        id=row_id,
        key=_text(key),
        reference=_text(reference),
        operation=operation_shown(operation),
        state=ItemState(state) if state in set(ItemState) else ItemState.UNKNOWN,
        lead=None if known is None else known.lead,
        details=None if known is None else known.details,
        is_erased=content is None,
        put_at=_datetime(put_at),
        changed_at=_datetime(changed_at),
        attempts=_number(attempts),
        request_id=_text(request_id),
        lead_id=_text(lead_id),
        created=None if created is None else bool(created),
        reason=reason,
    )


def moment(value: object) -> float:
    """Seconds since 1970; 0 if the value is not a time."""
    is_one = isinstance(value, int | float) and 0 <= value < _YEAR_3000
    return float(cast("float", value)) if is_one else 0.0


_YEAR_3000 = 32_503_680_000.0


def _datetime(value: object) -> datetime:
    return datetime.fromtimestamp(moment(value), UTC)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _json(column: str, value: object) -> object:
    try:
        text = value.decode() if isinstance(value, bytes) else cast("str", value)
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise UnreadableRowError(f"its {column} is not JSON") from None


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    found = _json("query", value)
    pairs = cast("list[object]", found) if isinstance(found, list) else [None]
    read = [tuple(cast("list[object]", pair)) if isinstance(pair, list) else () for pair in pairs]
    if not all(len(pair) == 2 and all(map(_is_sendable, pair)) for pair in read):
        raise UnreadableRowError("its query is not a list of pairs of strings")
    return cast("tuple[tuple[str, str], ...]", tuple(read))


def _texts(column: str, value: object) -> tuple[str, ...]:
    found = _json(column, value)
    texts = cast("list[object]", found) if isinstance(found, list) else [None]
    if not all(map(_is_sendable, texts)):
        raise UnreadableRowError(f"its {column} is not a list of strings")
    return cast("tuple[str, ...]", tuple(texts))


def _is_sendable(value: object) -> bool:
    """Whether it is a string that a URL can contain."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)

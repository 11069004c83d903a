"""Checks what is passed to an outbox."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.outbox.items import OutboxItem
from leadsquared_async.submissions import Submission, UpdateBehavior, capture_lead
from leadsquared_async.telemetry import is_set_up

__all__ = ["changed", "check_text", "row_id", "state_named", "submission_to_put", "traceparent"]

LONGEST_KEY = 500


def traceparent() -> str | None:
    """The context of the span in which a lead is put, to which the span of its delivery is linked."""
    if not is_set_up("trace"):
        return None
    from leadsquared_async.http.spans import current_traceparent  # noqa: PLC0415 - it needs the extra `otel`

    return current_traceparent()


def submission_to_put(
    lead: Mapping[str, Any] | Submission,
    search_by: str | None = None,
    update_behavior: UpdateBehavior | None = None,
    reference: str | None = None,
    key: str | None = None,
) -> tuple[Submission, str | None]:
    """The submission to put, and its key."""
    if not isinstance(lead, Submission):
        submission = capture_lead(
            lead, search_by=search_by, update_behavior=update_behavior, reference=reference
        )
    elif search_by is not None or update_behavior is not None:
        raise ConfigurationError("a submission has its own search_by and update_behavior: leave them out")
    else:
        submission = lead if reference is None else replace(lead, reference=reference)
    key = submission.key if key is None else key
    check_text("key", key)
    check_text("reference", submission.reference)
    return submission, key


def check_text(option: str, text: str | None) -> None:
    """Reject a key or reference that SQLite cannot store."""
    if text is None:
        return
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_KEY:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"{option} must be a string of 1 to {LONGEST_KEY} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{option} has an unpaired surrogate, which is not valid text") from None


def changed(
    known: Submission, lead: Mapping[str, Any] | None, search_by: str | None, dropped: Container[str]
) -> Submission:
    """The submission with changed values."""

    def kept(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if values is None else {name: it for name, it in values.items() if name not in dropped}

    values = kept(known.lead if lead is None else lead)
    if search_by is not None and values is not None:
        values.pop("SearchBy", None)
    details = kept(known.details)
    if details is not None and "Fields" in details:
        details["Fields"] = kept(details["Fields"])
    return replace(known, lead=values, details=details, search_by=search_by)


def row_id(item: OutboxItem | int) -> int:
    row = item.id if isinstance(item, OutboxItem) else item
    if not isinstance(row, int) or isinstance(row, bool) or not -(2**63) <= row < 2**63:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError("item must be an OutboxItem or its id")
    return row


def state_named(state: ItemState | str) -> ItemState:
    try:
        return ItemState(state)
    except ValueError:
        raise ConfigurationError(f"state must be one of {', '.join(ItemState)}") from None

"""What erasing a row keeps, and which rows belong to a person. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from leadsquared_async.attributes import IDENTIFIERS, identity_of
from leadsquared_async.encoding import query_values
from leadsquared_async.errors import exception_in
from leadsquared_async.operations import Endpoint
from leadsquared_async.submissions import Submission

__all__ = ["is_of", "kept_query", "kept_reason", "may_be_of", "needs_more_than_a_lead"]


def kept_query(query: bytes) -> str:
    """The part of a row's query to keep, as JSON: the options, in case the row is sent with another lead."""
    try:
        return json.dumps([pair for pair in json.loads(query.decode()) if not query_values([pair])])
    except (ValueError, TypeError, LookupError, RecursionError):
        return "[]"  # unreadable; an error here would prevent storing the row's state


def kept_reason(reason: bytes | None) -> str | None:
    """The part of a row's reason to keep: the name of an exception."""
    return None if reason is None else exception_in(reason.decode("utf-8", "replace"))


def needs_more_than_a_lead(write: Endpoint) -> bool:
    """Whether an erased row needs more than another lead to be sent."""
    return not write.takes_lead or bool(write.envelope) or write.changes is not None


def is_of(submission: Submission, wanted: Mapping[str, str]) -> bool:
    """Whether it contains one of these values, at any depth.

    In a lead, a value matches under its own name only. Elsewhere, such as in the fields of an activity, an
    e-mail address, a phone number or a lead's id matches under any name, and other values under their own.
    """
    lead = submission.lead or {}
    own = [(name, value) for name, value in lead.items() if isinstance(value, str)]
    sets = [value for value in lead.values() if not isinstance(value, str)]
    elsewhere = [*_texts(sets), *_texts(submission.details), *_texts(dict(submission.query))]
    return any(
        (identity := identity_of(name, text)) is not None and identity == identity_of(name, value)
        for name, text in wanted.items()
        for is_own, values in ((True, own), (False, elsewhere))
        for its_name, value in values
        if its_name == name or (not is_own and name in IDENTIFIERS)
    )


def may_be_of(columns: Iterable[object], wanted: Mapping[str, str]) -> bool:
    """Whether unreadable columns contain one of these values, under any name."""
    texts = [
        text
        for column in columns
        for text in _BETWEEN.split(
            column.decode("utf-8", "replace") if isinstance(column, bytes) else str(column)
        )
    ]
    return any(
        (identity := identity_of(name, value)) is not None and identity == identity_of(name, text)
        for name, value in wanted.items()
        for text in texts
        if name != "Phone" or not _LETTER.search(text)  # the digits of an address are not a phone number
    )


_LETTER = re.compile(r"[^\W\d_]|@")
_BETWEEN = re.compile(r"[^\w@.+() -]+")
"""Separates values, in JSON or in damaged JSON."""


def _texts(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Every string in it, at any depth, with its name."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for inner_name, inner in cast("Mapping[str, object]", value).items():
            yield from _texts(inner, inner_name)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _texts(inner, name)

"""What is erased of a row whose values may go, and whose rows those of a person are. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from leadsquared_async.delivery.reasons import exception_in
from leadsquared_async.encoding import IDENTIFIERS, identity_of, query_values
from leadsquared_async.operations import Endpoint
from leadsquared_async.submissions import Submission

__all__ = ["is_of", "kept_query", "kept_reason", "may_be_of", "needs_more_than_a_lead"]


def kept_query(query: bytes) -> str:
    """What stays of a row's query, as JSON: the options, since a row may be sent again with another lead."""
    try:
        return json.dumps([pair for pair in json.loads(query.decode()) if not query_values([pair])])
    except (ValueError, TypeError, LookupError, RecursionError):
        return "[]"  # it cannot be read, and an error here would keep the row's state from being written


def kept_reason(reason: bytes | None) -> str | None:
    """What stays of a row's reason: the name of an exception."""
    return None if reason is None else exception_in(reason.decode("utf-8", "replace"))


def needs_more_than_a_lead(write: Endpoint) -> bool:
    """Whether a row whose values are erased lacks more than what another lead brings."""
    return not write.takes_lead or bool(write.envelope) or write.changes is not None


def is_of(submission: Submission, wanted: Mapping[str, str]) -> bool:
    """Whether one of these values is in it, however deep.

    In a lead it counts under its own name, for its attributes say whose a value is. Elsewhere, such as in the
    fields of an activity, an e-mail address, a phone number or a lead's id counts under any name, and what
    may be anybody's under its own.
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
    """Whether one of these values is in columns that cannot be read, under whichever name."""
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
        if name != "Phone" or not _LETTER.search(text)  # the digits of an address are no phone number
    )


_LETTER = re.compile(r"[^\W\d_]|@")
_BETWEEN = re.compile(r"[^\w@.+() -]+")
"""What stands between values, in JSON or in what is left of it."""


def _texts(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Every string in it, however deep, with the name under which it stands."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for inner_name, inner in cast("Mapping[str, object]", value).items():
            yield from _texts(inner, inner_name)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _texts(inner, name)

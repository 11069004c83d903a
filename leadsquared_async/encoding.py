"""A submission as LeadSquared takes it, and back: checked and written by its row of the table. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

from leadsquared_async.details import encode_details, fields_of
from leadsquared_async.errors import ConfigurationError, InvalidLead
from leadsquared_async.lead import (
    SEARCH_BY,
    EncodedLead,
    encode,
    json_of,
    lead_of,
    update_behavior_query,
)
from leadsquared_async.operations import Write
from leadsquared_async.submissions import Submission

__all__ = ["EncodedSubmission", "decoded", "encoded", "private_values", "query_values"]

_ID = re.compile(r"[!-.0-9:;=@-~]{1,100}")
"""Printable, without what would end a part of a path or begin a query."""


@dataclass(frozen=True, slots=True)
class EncodedSubmission:
    """A submission that was checked: ready to be sent now, or to be kept until later.

    Attributes:
        operation: what it is submitted to.
        content: the JSON body.
        query: pairs beside the keys.
        suffix: further parts of the path.
        identified: whether LeadSquared can match it, so that sending it twice does no harm.
        identity: whose it is, as name and value; None if nobody's.
        private: every value in it, to be masked where LeadSquared repeats them.
        reference: the caller's own id; never sent.
        dropped: attributes that were left out, by names that may be shown.
        as_given: the JSON body with what was left out; None if nothing was. What is left out depends on what
            is known of the account, and so cannot tell whether two submissions are the same.
    """

    operation: Write
    content: bytes = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(repr=False)
    suffix: tuple[str, ...] = field(repr=False)
    identified: bool
    identity: tuple[str, str] | None = field(repr=False)
    private: tuple[str, ...] = field(repr=False)
    reference: str | None = None
    dropped: tuple[str, ...] = ()
    as_given: bytes | None = field(default=None, repr=False)


def encoded(
    submission: Submission, dropped: tuple[str, ...] = (), left_out: Iterable[tuple[str, Any]] = ()
) -> EncodedSubmission:
    """Check a submission, and write it as LeadSquared takes it.

    Args:
        submission: what is to be sent.
        dropped: names of attributes that were left out of its lead.
        left_out: these attributes.

    Raises:
        InvalidLead: naming what cannot be sent.
        ConfigurationError: `update_behavior` is none of LeadSquared's words.
    """
    operation = submission.operation
    with _told_of(submission):
        _check_shape(submission)
        lead = None
        if submission.lead is not None:
            lead = encode(submission.lead, search_by=submission.search_by)
            _check_search_by(submission, lead.pairs)
        details = None
        if submission.details is not None:
            details = encode_details(
                submission.details,
                integers=operation.integers,
                dates=operation.dates,
                flags=operation.flags,
                set_entry=operation.set_entry,
            )
            _check_details(submission, details)
        for part in submission.suffix:
            _check_id("connector_key", part)
        changed = _changed(submission, details)
        query = _checked_query(submission)
        return EncodedSubmission(
            operation=operation,
            content=json_of(_body(operation, None if lead is None else lead.pairs, details)),
            query=query,
            suffix=submission.suffix,
            identified=changed is not None or (lead is not None and _is_identified(operation, lead)),
            identity=changed or (None if lead is None else lead.identity),
            private=(
                *(lead.values if lead else ()),
                *private_values(details),
                *query_values(query),
                *submission.suffix,
            ),
            reference=submission.reference,
            dropped=dropped,
            as_given=_as_given(operation, lead, left_out, details) if dropped else None,
        )


def decoded(
    operation: Write,
    content: bytes,
    query: Iterable[tuple[str, str]] = (),
    suffix: Iterable[str] = (),
    reference: str | None = None,
) -> Submission:
    """The submission that `encoded` makes the same of; its values are text, as they go out."""
    body: Any = json.loads(content)
    pairs: list[dict[str, Any]] | None = None
    details: dict[str, Any] | None = None
    if isinstance(body, list):
        pairs = cast("list[dict[str, Any]]", body)
    else:
        beside = cast("dict[str, Any]", body)
        pairs = beside.pop("LeadDetails", None)
        details = dict(beside.get(operation.envelope, {}) if operation.envelope else beside)
        if "Fields" in details:
            details["Fields"] = fields_of(details["Fields"], operation.set_entry)
    return Submission(
        operation=operation,
        lead=None if pairs is None else lead_of(pairs),
        details=details,
        query=dict(query),
        suffix=tuple(suffix),
        reference=reference,
    )


def private_values(value: Any) -> tuple[str, ...]:
    """The strings and numbers in a body of JSON that may be personal: all but the names of attributes."""
    found: list[str] = []
    rest: list[object] = [value]
    while rest:
        entry = rest.pop()
        if isinstance(entry, dict):
            fields = cast("dict[object, object]", entry)
            if fields.get("Attribute") == SEARCH_BY:
                continue  # its value is a schema name
            rest += [inner for name, inner in fields.items() if name not in _NAMES]
        elif isinstance(entry, list | tuple):
            rest += cast("list[object]", entry)
        elif isinstance(entry, str | int | float) and not isinstance(entry, bool):
            found.append(str(entry))
    return tuple(found)


def query_values(query: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The values of a query that may be personal."""
    return tuple(value for name, value in query if name not in _WORDS)


_NAMES = frozenset({"Attribute", "SchemaName"})
_WORDS = frozenset({"LeadUpdateBehavior", "postUpdatedLead"})
"""Query pairs whose values are words of LeadSquared's."""


def _body(operation: Write, pairs: list[dict[str, Any]] | None, details: dict[str, Any] | None) -> object:
    if details is None:
        return pairs
    beside = {operation.envelope: details} if operation.envelope else details
    return beside if pairs is None else {"LeadDetails": pairs, **beside}


def _as_given(
    operation: Write,
    lead: EncodedLead | None,
    left_out: Iterable[tuple[str, Any]],
    details: dict[str, Any] | None,
) -> bytes:
    """The body with what was left out, but for what no body could hold."""
    pairs = [] if lead is None else [*lead.pairs]
    for attribute in left_out:
        with suppress(InvalidLead):
            pairs += encode(dict([attribute])).pairs
    return json_of(_body(operation, pairs, details))


def _is_identified(operation: Write, lead: EncodedLead) -> bool:
    """Whether LeadSquared matches the lead to what a first attempt made of it."""
    if operation.finds_by_id or not lead.identified:
        return lead.identified
    names = {pair["Attribute"] for pair in lead.pairs}
    return SEARCH_BY in names or "ProspectID" not in names


def _checked_query(submission: Submission) -> tuple[tuple[str, str], ...]:
    query = tuple((name, value) for name, value in submission.query.items() if value is not None)
    for name, value in query:
        if not isinstance(value, str) or (name == "postUpdatedLead" and value not in {"true", "false"}):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidLead(f"{name}: cannot be {type(value).__name__} here", attribute=name)
    update_behavior_query(submission.query.get("LeadUpdateBehavior"))
    return query


def _changed(submission: Submission, details: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """What an update changes: the kind of its id, and the id."""
    if submission.operation.changes is None:
        return None
    name, kind = submission.operation.changes
    value = (details or {}).get(name) or submission.query.get(name)
    _check_id(name, value)
    return kind, str(value).casefold()


@contextmanager
def _told_of(submission: Submission) -> Generator[None]:
    """Whatever is refused says of which operation and reference it is."""
    try:
        yield
    except (InvalidLead, ConfigurationError) as error:
        error.operation, error.reference = submission.operation.name, submission.reference
        raise


def _check_shape(submission: Submission) -> None:
    """A lead where the operation takes one, details where it takes some, and nothing else."""
    operation = submission.operation
    if operation.takes_lead and submission.lead is None:
        raise InvalidLead(f"{operation.name} needs a lead: a mapping from schema name to value, not None")
    if not operation.takes_lead and submission.lead is not None:
        raise InvalidLead(f"{operation.name} takes details, and no lead")
    takes_details = bool(operation.envelope) or not operation.takes_lead
    if takes_details and not isinstance(submission.details, Mapping):
        raise InvalidLead(
            f"{operation.name} needs details: a mapping from LeadSquared's name to value, not "
            f"{type(submission.details).__name__}"
        )
    if not takes_details and submission.details is not None:
        raise InvalidLead(f"{operation.name} takes a lead, and no details")


def _check_search_by(submission: Submission, pairs: list[dict[str, Any]]) -> None:
    has_one = pairs[-1]["Attribute"] == SEARCH_BY
    if submission.operation.needs_search_by and not has_one:
        raise InvalidLead(
            f"SearchBy: {submission.operation.name} needs it; pass search_by=, such as EmailAddress",
            attribute=SEARCH_BY,
        )
    if has_one and submission.operation.changes is not None:
        raise InvalidLead(
            "SearchBy: an update goes by the lead's id; leave it out, or use leads.capture",
            attribute=SEARCH_BY,
        )


def _check_details(submission: Submission, details: Mapping[str, Any]) -> None:
    operation = submission.operation
    if not details.keys() - {operation.changes and operation.changes[0]}:
        raise InvalidLead(f"{operation.name} needs at least one value")
    for name in sorted(operation.integers - details.keys()):
        raise InvalidLead(f"{name}: {operation.name} needs it: pass the type's code", attribute=name)
    given = [name for name in operation.exclusive if details.get(name) is True]
    if len(given) > 1:
        raise InvalidLead(f"{' and '.join(given)}: set one of them at most", attribute=given[0])
    for name in operation.ids:
        _check_id(name, details.get(name))


def _check_id(name: str, text: object) -> None:
    if not isinstance(text, str) or not _ID.fullmatch(text) or not text.strip("."):
        raise InvalidLead(
            f"{name}: an id as LeadSquared gives it, without blanks and slashes", attribute=name
        )

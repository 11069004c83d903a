"""Encodes a lead or another submission for LeadSquared, or raises `InvalidLead`; and decodes it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from leadsquared_async.attributes import SEARCH_BY, Pair, check_id, encodable, encode_details, encode_lead
from leadsquared_async.errors import ConfigurationError, InvalidLead
from leadsquared_async.operations import Endpoint
from leadsquared_async.submissions import Submission, UpdateBehavior
from leadsquared_async.value_text import invalid, type_name

__all__ = [
    "EncodedSubmission",
    "check_update_behavior",
    "decode",
    "encode",
    "private_values",
    "query_values",
]

UPDATE_BEHAVIORS: tuple[str, ...] = get_args(UpdateBehavior)


@dataclass(frozen=True, slots=True)
class EncodedSubmission:
    """A checked submission, with all that a call or a stored row needs.

    Attributes:
        operation: the endpoint that takes it.
        content: the JSON body.
        query: query parameters other than the keys.
        suffix: segments to append to the path.
        identified: whether something in it identifies the lead, so that LeadSquared can match a repeat.
        identity: the kind and value of the lead's id, or of the id that it changes; None if there is none.
            Submissions of one identity are sent in order.
        reference: the caller's own id; never sent.
        dropped: names of left-out attributes, as they may be shown.
        as_given: the JSON body with the left-out attributes; None if there are none.
    """

    operation: Endpoint
    content: bytes = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(repr=False)
    suffix: tuple[str, ...] = field(repr=False)
    identified: bool
    identity: tuple[str, str] | None = field(repr=False)
    reference: str | None = None
    dropped: tuple[str, ...] = ()
    as_given: bytes | None = field(default=None, repr=False)

    @classmethod
    def stored(
        cls,
        operation: Endpoint,
        content: bytes,
        query: tuple[tuple[str, str], ...] = (),
        suffix: tuple[str, ...] = (),
        *,
        identified: bool,
        reference: str | None = None,
    ) -> EncodedSubmission:
        """The submission in a stored row, whose bytes are sent unchanged; its identity is not needed again.

        Raises:
            ValueError: the content is not JSON, or not an array or object as the operation needs.
        """
        try:
            body: object = json.loads(content)
        except RecursionError:
            raise ValueError("JSON that is nested too deeply") from None
        is_array = operation.takes_lead and not operation.envelope
        if not isinstance(body, list if is_array else dict):
            raise ValueError(f"not a JSON {'array' if is_array else 'object'}")  # noqa: TRY004 - a wrong value
        return cls(operation, content, query, suffix, identified, None, reference)

    @property
    def fingerprint(self) -> bytes:
        """Equal for submissions with the same values in any order, including left-out attributes.

        Which attributes are left out depends on the account's known fields at that moment.
        """
        body: object = json.loads(self.content if self.as_given is None else self.as_given)
        _sort(body)
        return _SORTED.encode((self.operation.name, self.suffix, dict(self.query), body)).encode()


def encode(
    submission: Submission, dropped: tuple[str, ...] = (), left_out: Iterable[tuple[str, Any]] = ()
) -> EncodedSubmission:
    """Check and encode a submission.

    Strings are sent unchanged, numbers in plain decimal notation, aware datetimes in UTC, dates as midnight,
    enums as their values, UUIDs in their usual form, and numpy and pandas scalars as the equal Python values.
    A bool is "true" or "false" in a lead, and stays a bool in details. A mapping is a field set. None
    leaves an attribute out; "" clears the field.

    Args:
        submission: what is to be sent.
        dropped: names of attributes left out of its lead, as they may be shown.
        left_out: those attributes.

    Raises:
        InvalidLead: names the attribute, what is wrong with it and what to do.
        ConfigurationError: `update_behavior` is invalid.
    """
    try:
        return _encode(submission, dropped, left_out)
    except (InvalidLead, ConfigurationError) as error:
        error.operation, error.reference = submission.operation.name, submission.reference
        raise


def _encode(
    submission: Submission, dropped: tuple[str, ...], left_out: Iterable[tuple[str, Any]]
) -> EncodedSubmission:
    operation = submission.operation
    _check_shape(submission)
    lead = None if submission.lead is None else encode_lead(submission)
    details = None if submission.details is None else encode_details(operation, submission.details)
    for part in submission.suffix:
        check_id("connector_key", part)
    changed = _changed(submission, details)
    pairs = None if lead is None else lead.pairs
    return EncodedSubmission(
        operation=operation,
        content=_json(_body(operation, pairs, details)),
        query=_query(submission),
        suffix=submission.suffix,
        identified=changed is not None or (lead is not None and lead.identified),
        identity=changed or (None if lead is None else lead.identity),
        reference=submission.reference,
        dropped=dropped,
        as_given=_json(_body(operation, [*(pairs or ()), *encodable(left_out)], details))
        if dropped
        else None,
    )


def decode(
    operation: Endpoint,
    content: bytes,
    query: Iterable[tuple[str, str]] = (),
    suffix: Iterable[str] = (),
    reference: str | None = None,
) -> Submission:
    """The reverse of `encode`, to show or change a submission; its values are strings."""
    body: Any = json.loads(content)
    pairs: list[Pair] | None = None
    details: dict[str, Any] | None = None
    if isinstance(body, list):
        pairs = cast("list[Pair]", body)
    else:
        beside = cast("dict[str, Any]", body)
        pairs = beside.pop("LeadDetails", None)
        details = dict(beside.get(operation.envelope, {}) if operation.envelope else beside)
        if "Fields" in details:
            details["Fields"] = _mapping_of(details["Fields"], "SchemaName", operation.set_entry)
    return Submission(
        operation=operation,
        lead=None if pairs is None else _mapping_of(pairs, "Attribute", "Attribute"),
        details=details,
        query=dict(query),
        suffix=tuple(suffix),
        reference=reference,
    )


def _mapping_of(entries: Iterable[Pair], name: str, set_entry: str) -> dict[str, Any]:
    """The mapping that was encoded as these entries; `name` and `set_entry` are the keys of their names."""
    mapping: dict[str, Any] = {}
    for entry in entries:
        if "Fields" in entry:
            mapping[entry[set_entry]] = {inner[set_entry]: inner["Value"] for inner in entry["Fields"]}
        else:
            mapping[entry[name]] = entry["Value"]
    return mapping


def private_values(
    content: bytes | None, query: Iterable[tuple[str, str]] = (), suffix: Iterable[str] = ()
) -> tuple[str, ...]:
    """The values in a request that may be personal: in its JSON body all except attribute names."""
    found = [*query_values(query), *suffix]
    try:
        rest: list[object] = [json.loads(content)] if content else []
    except RecursionError:  # the caller's own JSON, or a foreign row's: any piece of it may be a value
        rest = [(content or b"").decode(errors="replace").split('"')]
    while rest:
        entry = rest.pop()
        if isinstance(entry, dict):
            fields = cast("dict[object, object]", entry)
            if fields.get("Attribute") == SEARCH_BY:
                continue  # its value is a schema name
            rest += [inner for name, inner in fields.items() if name not in _NAMES]
        elif isinstance(entry, list):
            rest += cast("list[object]", entry)
        elif entry != "" and isinstance(entry, str | int | float) and not isinstance(entry, bool):
            found.append(str(entry))
    return tuple(found)


_NAMES = frozenset({"Attribute", "SchemaName"})


def query_values(query: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The values of query parameters that may be personal."""
    return tuple(value for name, value in query if name not in _OPTIONS)


_OPTIONS = frozenset({"LeadUpdateBehavior", "RequestID", "postUpdatedLead"})
"""Query parameters whose values are LeadSquared's own."""


def check_update_behavior(value: str | None) -> None:
    """Reject an invalid value: LeadSquared would ignore it and update every field.

    Raises:
        ConfigurationError: the value is not one of LeadSquared's.
    """
    if value is not None and value not in UPDATE_BEHAVIORS:
        raise ConfigurationError(f"update_behavior must be None or one of {', '.join(UPDATE_BEHAVIORS)}")


# The body

# `json.dumps` would create one each time.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_SORTED = json.JSONEncoder(sort_keys=True)


def _json(value: object) -> bytes:
    return _ENCODER.encode(value).encode()


def _sort(body: Any) -> None:
    """Sort the entries of a body by name."""
    if isinstance(body, list):
        entries = cast("list[Pair]", body)
        for entry in entries:
            if "Fields" in entry:
                _sort(entry["Fields"])
        entries.sort(key=lambda entry: str(entry.get("Attribute", entry.get("SchemaName"))))
    elif isinstance(body, dict):
        for value in cast("dict[str, object]", body).values():
            _sort(value)


def _body(operation: Endpoint, pairs: list[Pair] | None, details: dict[str, Any] | None) -> object:
    if details is None:
        return pairs
    beside = {operation.envelope: details} if operation.envelope else details
    return beside if pairs is None else {"LeadDetails": pairs, **beside}


def _check_shape(submission: Submission) -> None:
    """Require what the operation takes, a lead or details or both, and reject the rest."""
    operation = submission.operation
    if operation.takes_lead and submission.lead is None:
        raise InvalidLead(f"{operation.name} needs a lead: a mapping from schema name to value.")
    if not operation.takes_lead and submission.lead is not None:
        raise InvalidLead(f"{operation.name} takes details and no lead.")
    takes_details = bool(operation.envelope) or not operation.takes_lead
    if takes_details and not isinstance(submission.details, Mapping):
        raise InvalidLead(
            f"{operation.name} needs details: a mapping from LeadSquared's name to value, not "
            f"{type_name(submission.details)}."
        )
    if not takes_details and submission.details is not None:
        raise InvalidLead(f"{operation.name} takes a lead and no details.")


def _query(submission: Submission) -> tuple[tuple[str, str], ...]:
    query = tuple((name, value) for name, value in submission.query.items() if value is not None)
    for name, value in query:
        if name == "postUpdatedLead" and value not in (
            "true",
            "false",
        ):  # a tuple, since the value may be unhashable
            raise invalid(name, "must be True or False.")
        if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise invalid(name, f"must be a string, not {type_name(value)}.")
    check_update_behavior(submission.query.get("LeadUpdateBehavior"))
    return query


def _changed(submission: Submission, details: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """The kind and value of the id that an update changes."""
    if submission.operation.changes is None:
        return None
    name, kind = submission.operation.changes
    value = (details or {}).get(name)
    in_body = value is not None
    if not in_body:
        value = submission.query.get(name)
    check_id(name, value, in_body=in_body)
    return kind, str(value).casefold()

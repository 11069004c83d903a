"""Encodes a lead or another submission for LeadSquared, or raises `InvalidLead`. Pure.

A value that cannot be encoded without loss or change is rejected. Messages contain no values, and names only
if they look like schema names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, TypeGuard, cast

from leadsquared_async.errors import ConfigurationError, InvalidLead
from leadsquared_async.operations import Endpoint
from leadsquared_async.submissions import Submission
from leadsquared_async.value_text import code_of, invalid, moment_of, text_of, truth_of, type_name

__all__ = [
    "IDENTIFIERS",
    "SCHEMA_NAME",
    "SEARCH_BY",
    "EncodedSubmission",
    "check_update_behavior",
    "decode",
    "encode",
    "identity_of",
    "private_values",
    "query_values",
]

SEARCH_BY = "SearchBy"
IDENTIFIERS = ("ProspectID", "EmailAddress", "Phone")
"""The attributes by which LeadSquared looks up every lead, in order (its page "Capture Lead")."""
SCHEMA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
UPDATE_BEHAVIORS = ("DoNotUpdate", "UpdateOnlyEmptyFields", "DoNotUpdateUniqueFields")

_Pair = dict[str, Any]
"""An attribute as LeadSquared takes it: Attribute and Value, and Fields if it is a field set."""


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
    lead = None if submission.lead is None else _encode_lead(submission)
    details = None if submission.details is None else _encode_details(operation, submission.details)
    for part in submission.suffix:
        _check_id("connector_key", part)
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
        as_given=_json(_body(operation, [*(pairs or ()), *_encodable(left_out)], details))
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
    pairs: list[_Pair] | None = None
    details: dict[str, Any] | None = None
    if isinstance(body, list):
        pairs = cast("list[_Pair]", body)
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


def _mapping_of(entries: Iterable[_Pair], name: str, set_entry: str) -> dict[str, Any]:
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


def identity_of(name: str, value: str) -> tuple[str, str] | None:
    """An id in the form that LeadSquared compares; None if the value is empty."""
    if name == "Phone":
        value = "".join(char for char in value if char.isdigit())
    value = value.strip().casefold()
    return (name, value) if value else None


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
        entries = cast("list[_Pair]", body)
        for entry in entries:
            if "Fields" in entry:
                _sort(entry["Fields"])
        entries.sort(key=lambda entry: str(entry.get("Attribute", entry.get("SchemaName"))))
    elif isinstance(body, dict):
        for value in cast("dict[str, object]", body).values():
            _sort(value)


def _body(operation: Endpoint, pairs: list[_Pair] | None, details: dict[str, Any] | None) -> object:
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
        if name == "postUpdatedLead" and value not in {"true", "false"}:
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
    value, form = (details or {}).get(name), _ID_IN_BODY
    if value is None:
        value, form = submission.query.get(name), _ID
    _check_id(name, value, form)
    return kind, str(value).casefold()


_ID = re.compile(r"[!-.0-9:;=@-~]{1,100}")
"""Printable, without the characters that end a path segment or begin a query."""


_ID_IN_BODY = re.compile(r"[!-~]([ -~]{0,98}[!-~])?")
"""Printable: the prefix of an AutoId may hold a slash or a space."""


def _check_id(name: str, text: object, form: re.Pattern[str] = _ID) -> None:
    if not isinstance(text, str) or not form.fullmatch(text) or not text.strip("."):
        unlike = ", without spaces and slashes" if form is _ID else ""
        raise invalid(name, f"must be an id from LeadSquared{unlike}.")


# The lead


class _Lead(NamedTuple):
    pairs: list[_Pair]
    identified: bool
    identity: tuple[str, str] | None


def _encode_lead(submission: Submission) -> _Lead:
    operation, lead = submission.operation, submission.lead
    if not isinstance(lead, Mapping):
        raise InvalidLead(
            f"a lead is a mapping from schema name to value, not {type_name(lead)}. Pass a dict."
        )
    pairs: list[_Pair] = []
    given: dict[str, str] = {}
    for name, value in _attributes(lead):
        pair = _pair(name, value)
        given[name] = pair["Value"]
        if name != SEARCH_BY:
            pairs.append(pair)
    if not pairs:
        raise InvalidLead("the lead is empty. It needs at least one attribute with a value.")
    search_by = _search_by(submission.search_by, given.pop(SEARCH_BY, None), given)
    if search_by is not None:
        pairs.append({"Attribute": SEARCH_BY, "Value": search_by})
    if operation.needs_search_by and search_by is None:
        raise invalid(SEARCH_BY, f"{operation.name} requires it. Pass search_by=, such as EmailAddress.")
    if search_by is not None and operation.changes is not None:
        raise invalid(SEARCH_BY, "an update finds the lead by its id. Leave it out, or use leads.capture.")
    present = [name for name in IDENTIFIERS if given.get(name, "").strip()]
    if search_by is not None and len(present) == len(IDENTIFIERS):
        search_by = None  # LeadSquared ignores it then (its page "Capture Lead")
    return _Lead(
        pairs=pairs,
        identified=_is_identified(operation, given, present, search_by),
        identity=_identity(given, present, search_by),
    )


def _is_identified(
    operation: Endpoint, given: Mapping[str, str], present: list[str], search_by: str | None
) -> bool:
    """Whether LeadSquared matches a repeat to the lead of the first attempt (its page "Capture Lead").

    A ProspectID whose e-mail address differs from the one on file makes a new lead each time, so both
    together identify no lead.
    """
    if search_by is not None:
        return True
    if not operation.finds_by_id and "ProspectID" in given:
        return False
    return bool(present) and not {"ProspectID", "EmailAddress"} <= {*present}


def _identity(given: Mapping[str, str], present: list[str], search_by: str | None) -> tuple[str, str] | None:
    """The id that LeadSquared looks up first (its page "Capture Lead")."""
    for name in present if search_by is None else (_attribute_meant(search_by), *present):
        if (identity := identity_of(name, given[name])) is not None:
            return identity
    return None


def _encodable(left_out: Iterable[tuple[str, Any]]) -> Iterator[_Pair]:
    """The left-out attributes that can be encoded."""
    for attribute in left_out:
        with suppress(InvalidLead):
            for name, value in _attributes(dict([attribute])):
                yield _pair(name, value)


def _pair(name: str, value: object) -> _Pair:
    if _is_mapping(value):
        return {"Attribute": name, "Value": "", "Fields": _field_set(value, name, "Attribute")}
    return {"Attribute": name, "Value": text_of(value, name)}


def _search_by(argument: str | None, inside: str | None, given: Mapping[str, str]) -> str | None:
    """SearchBy as LeadSquared spells it, from the argument or from inside the lead."""
    if argument is None and inside is None:
        return None
    if argument is not None and not isinstance(argument, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise invalid(SEARCH_BY, f"must be a schema name, not {type_name(argument)}.")
    stated = {_attribute_meant(text.strip()) for text in (argument, inside) if text is not None}
    attribute = stated.pop()
    if stated:
        raise invalid(SEARCH_BY, "the argument and the lead disagree. Remove one of them.")
    if not SCHEMA_NAME.fullmatch(attribute):
        raise invalid(SEARCH_BY, "must be a schema name, such as EmailAddress.")
    if not given.get(attribute, "").strip():
        raise invalid(
            SEARCH_BY, f"the lead has no value for {attribute}. Add one, or search by another attribute."
        )
    return "ProspectId" if attribute == "ProspectID" else attribute


def _attribute_meant(search_by: str) -> str:
    # LeadSquared spells the attribute ProspectID, but the SearchBy value ProspectId.
    return "ProspectID" if search_by == "ProspectId" else search_by


# The details


def _encode_details(operation: Endpoint, details: Mapping[str, Any]) -> dict[str, Any]:
    encoded: dict[str, Any] = {}
    for name, value in _attributes(details):
        if name == "Fields":
            if fields := _schema_fields(value, operation.set_entry):
                encoded[name] = fields
        elif name in operation.integers:
            encoded[name] = code_of(value, name)
        elif name in operation.dates:
            encoded[name] = moment_of(value, name)
        elif (truth := truth_of(value)) is not None:
            encoded[name] = truth
        elif name in operation.flags:
            raise invalid(name, f"must be True or False, not {type_name(value)}.")
        else:
            encoded[name] = text_of(value, name)
    _check_details(operation, encoded)
    return encoded


def _schema_fields(fields: object, set_entry: str) -> list[dict[str, Any]]:
    """The fields of an activity or an opportunity."""
    if not _is_mapping(fields):
        raise invalid("Fields", f"must be a mapping from schema name to value, not {type_name(fields)}.")
    entries: list[dict[str, Any]] = []
    for name, value in _attributes(fields, within="Fields"):
        place = f"Fields.{name}"
        if _is_mapping(value):
            entries.append({set_entry: name, "Value": "", "Fields": _field_set(value, place, set_entry)})
        else:
            entries.append({"SchemaName": name, "Value": text_of(value, place)})
    return entries


def _check_details(operation: Endpoint, details: Mapping[str, Any]) -> None:
    if not details.keys() - {operation.changes and operation.changes[0]}:
        raise InvalidLead(f"{operation.name} needs at least one value.")
    for name in sorted(operation.integers - details.keys()):
        raise invalid(name, f"{operation.name} requires it. Pass the code of the type.")
    given = [name for name in operation.exclusive if details.get(name) is True]
    if len(given) > 1:
        raise InvalidLead(f"{' and '.join(given)}: at most one of them can be True.", attribute=given[0])
    for name in operation.ids:
        _check_id(name, details.get(name))


# Names


def _attributes(mapping: Mapping[Any, Any], within: str | None = None) -> list[tuple[str, Any]]:
    """The attributes that have a value, with their names trimmed and checked."""
    seen: set[str] = set()
    found: list[tuple[str, Any]] = []
    for position, (key, value) in enumerate(mapping.items(), start=1):
        if not isinstance(key, str):
            raise InvalidLead(
                f"{_place(position, within)}: a schema name must be a string, not {type_name(key)}.",
                attribute=within,
            )
        name = (str(key.value) if isinstance(key, Enum) else str(key)).strip()
        if not SCHEMA_NAME.fullmatch(name):
            raise InvalidLead(
                f"{_place(position, within)}: its name is not a schema name (a letter, then letters, digits "
                "and _). LeadSquared shows schema names under Settings > Leads > Lead Fields.",
                attribute=within,
            )
        if name in seen:
            place = f"{within}.{name}" if within else name
            raise invalid(place, "given twice. Remove one of them.")
        seen.add(name)
        if within is None and name == "ProspectId":
            raise invalid(
                name, "the attribute is spelled ProspectID (ProspectId is a value of SearchBy only)."
            )
        if value is not None:
            found.append((name, value))
    return found


def _place(position: int, within: str | None) -> str:
    return f"attribute {position}" + (f" of {within}" if within else "")


def _field_set(fields: Mapping[Any, Any], place: str, entry_name: str) -> list[dict[str, Any]]:
    entries = [
        {entry_name: name, "Value": text_of(value, f"{place}.{name}")}
        for name, value in _attributes(fields, within=place)
    ]
    if not entries:
        raise invalid(place, "a field set needs at least one field with a value.")
    return entries


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return not isinstance(value, str) and isinstance(value, Mapping)  # the second check is slow

"""Encodes the attributes of a lead and the details of an operation, or raises `InvalidLead`. Pure.

A value that cannot be encoded without loss or change is rejected. Messages contain no values, and names only
if they look like schema names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, NamedTuple, TypeGuard

from leadsquared_async.errors import InvalidLead
from leadsquared_async.operations import Endpoint
from leadsquared_async.submissions import Submission
from leadsquared_async.value_text import code_of, invalid, moment_of, text_of, truth_of, type_name

__all__ = [
    "IDENTIFIERS",
    "SCHEMA_NAME",
    "SEARCH_BY",
    "EncodedLead",
    "Pair",
    "check_id",
    "encodable",
    "encode_details",
    "encode_lead",
    "identity_of",
]

SEARCH_BY = "SearchBy"
IDENTIFIERS = ("ProspectID", "EmailAddress", "Phone")
"""The attributes by which LeadSquared looks up every lead, in order (its page "Capture Lead")."""
SCHEMA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")

Pair = dict[str, Any]
"""An attribute as LeadSquared takes it: Attribute and Value, and Fields if it is a field set."""


# The lead


class EncodedLead(NamedTuple):
    """A checked lead; `EncodedSubmission` says what the last two are."""

    pairs: list[Pair]
    identified: bool
    identity: tuple[str, str] | None


def encode_lead(submission: Submission) -> EncodedLead:
    """Check and encode the lead of a submission."""
    operation, lead = submission.operation, submission.lead
    if not isinstance(lead, Mapping):
        raise InvalidLead(
            f"a lead is a mapping from schema name to value, not {type_name(lead)}. Pass a dict."
        )
    pairs: list[Pair] = []
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
    return EncodedLead(
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


def _pair(name: str, value: object) -> Pair:
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


def encodable(left_out: Iterable[tuple[str, Any]]) -> Iterator[Pair]:
    """The left-out attributes that can be encoded."""
    for attribute in left_out:
        with suppress(InvalidLead):
            for name, value in _attributes(dict([attribute])):
                yield _pair(name, value)


# The details


def encode_details(operation: Endpoint, details: Mapping[str, Any]) -> dict[str, Any]:
    """Check and encode what an operation takes besides a lead."""
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
        check_id(name, details.get(name))


# Names


def _attributes(mapping: Mapping[Any, Any], within: str | None = None) -> list[tuple[str, Any]]:
    """The attributes that have a value, with their names trimmed and checked."""
    seen: set[str] = set()
    found: list[tuple[str, Any]] = []
    for position, (key, value) in enumerate(mapping.items(), start=1):
        # Most names need no more than this check, and each further step is slow.
        name = key if type(key) is str and SCHEMA_NAME.fullmatch(key) else _name(key, position, within)
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


def _name(key: object, position: int, within: str | None) -> str:
    """The schema name in a key, trimmed."""
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
    return name


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


# Ids


def identity_of(name: str, value: str) -> tuple[str, str] | None:
    """An id in the form that LeadSquared compares; None if the value is empty."""
    if name == "Phone":
        value = "".join(char for char in value if char.isdigit())
    value = value.strip().casefold()
    return (name, value) if value else None


_ID = re.compile(r"[!-.0-9:;=@-~]{1,100}")
"""Printable, without the characters that end a path segment or begin a query."""


_ID_IN_BODY = re.compile(r"[!-~]([ -~]{0,98}[!-~])?")
"""Printable: the prefix of an AutoId may hold a slash or a space."""


def check_id(name: str, text: object, *, in_body: bool = False) -> None:
    """Reject what cannot be an id; one in a path or a query has fewer characters to choose from."""
    form = _ID_IN_BODY if in_body else _ID
    if not isinstance(text, str) or not form.fullmatch(text) or not text.strip("."):
        unlike = "" if in_body else ", without spaces and slashes"
        raise invalid(name, f"must be an id from LeadSquared{unlike}.")

"""A submission as LeadSquared takes it, and back: checked and written by its row of the table. Pure.

Nothing is guessed: what cannot be written without losing or changing something raises `InvalidLead`.
No value stands in any message, and a key only if it looks like a schema name.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from numbers import Integral, Rational, Real
from typing import Any, TypeGuard, cast
from uuid import UUID

from leadsquared_async.errors import ConfigurationError, InvalidLead
from leadsquared_async.operations import Endpoint
from leadsquared_async.submissions import Submission

__all__ = [
    "EncodedLead",
    "EncodedSubmission",
    "decoded",
    "encode",
    "encode_details",
    "encoded",
    "identity_of",
    "private_values",
    "query_values",
    "text_of",
    "type_name",
    "update_behavior_query",
    "whole_number_of",
]

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

    operation: Endpoint
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
            identified=changed is not None or (lead is not None and _is_matched(operation, lead)),
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
    operation: Endpoint,
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


def _body(operation: Endpoint, pairs: list[dict[str, Any]] | None, details: dict[str, Any] | None) -> object:
    if details is None:
        return pairs
    beside = {operation.envelope: details} if operation.envelope else details
    return beside if pairs is None else {"LeadDetails": pairs, **beside}


def _as_given(
    operation: Endpoint,
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


def _is_matched(operation: Endpoint, lead: EncodedLead) -> bool:
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


SEARCH_BY = "SearchBy"
IDENTIFIERS = frozenset({"ProspectID", "EmailAddress", "Phone"})
UPDATE_BEHAVIORS = ("DoNotUpdate", "UpdateOnlyEmptyFields", "DoNotUpdateUniqueFields")

_SCHEMA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
# Legal in JSON once escaped, but not in the XML and SQL behind it; tab and line breaks are.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# Made once: `json.dumps` would make one each time.
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class EncodedLead:
    """A lead ready to be sent.

    Attributes:
        pairs: Attribute and Value of each attribute, SearchBy last.
        identified: whether LeadSquared can match it to a lead it has, so that sending it twice makes one.
        identity: whose lead it is, as schema name and value: of SearchBy, else ProspectID, else EmailAddress,
            else Phone.
        values: every value in it, so that they can be masked where LeadSquared repeats them.
    """

    pairs: list[dict[str, Any]] = field(repr=False)
    identified: bool
    identity: tuple[str, str] | None = field(repr=False)
    values: tuple[str, ...] = field(repr=False)

    @property
    def content(self) -> bytes:
        """The pairs as a JSON body."""
        return json_of(self.pairs)


def json_of(value: object) -> bytes:
    """JSON as it goes out: no blanks, UTF-8."""
    return _JSON.encode(value).encode()


def encode(lead: Mapping[str, Any], *, search_by: str | None = None) -> EncodedLead:
    """Encode a mapping from schema name to value.

    Strings go out as they are, numbers in plain decimal notation, booleans as "true" and "false", aware
    datetimes in UTC, dates as their midnight, enums as their value, UUIDs in their usual spelling, scalars of
    numpy and pandas as the Python values that they stand for, a nested mapping as a custom field set. An
    attribute that is None is left out; "" clears the field.

    Raises:
        InvalidLead: naming the attribute, what is wrong with it and what to do.
    """
    if not isinstance(lead, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidLead(
            f"a lead is a mapping from schema name to value, not {type_name(lead)}; pass a dict"
        )
    pairs: list[dict[str, Any]] = []
    given: dict[str, str] = {}
    for name, value in attributes(lead, within=None):
        if is_field_set(value):
            fields = [
                {"Attribute": inner, "Value": text_of(inner_value, f"{name}.{inner}")}
                for inner, inner_value in attributes(value, within=name)
            ]
            if not fields:
                raise InvalidLead(
                    f"{name}: a field set needs at least one field with a value", attribute=name
                )
            pairs.append({"Attribute": name, "Value": "", "Fields": fields})
            given[name] = ""
        else:
            given[name] = text_of(value, name)
            pairs.append({"Attribute": name, "Value": given[name]})
    pairs = [pair for pair in pairs if pair["Attribute"] != SEARCH_BY]
    if not pairs:
        raise InvalidLead("the lead is empty: it needs at least one attribute with a value")
    matched_by = _search_by(search_by, given.pop(SEARCH_BY, None), given)
    if matched_by is not None:
        pairs.append({"Attribute": SEARCH_BY, "Value": matched_by})
    return EncodedLead(
        pairs=pairs,
        identified=_is_identified(given, matched_by),
        identity=_identity(given, matched_by),
        values=tuple(_values(pairs)),
    )


def _is_identified(given: Mapping[str, str], matched_by: str | None) -> bool:
    """Whether LeadSquared matches the lead to what a first attempt made of it (its page "Capture Lead").

    SearchBy has priority, but is ignored beside all three identifiers. A ProspectID whose e-mail address is
    another than the one on file makes a new lead each time, so the two together are not safe.
    """
    present = {name for name in IDENTIFIERS if given.get(name, "").strip()}
    if matched_by is not None and len(present) < len(IDENTIFIERS):
        return True
    return bool(present) and not {"ProspectID", "EmailAddress"} <= present


def lead_of(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The mapping that `encode` makes the same pairs of: all values are strings, SearchBy among them."""
    return {
        pair["Attribute"]: {entry["Attribute"]: entry["Value"] for entry in pair["Fields"]}
        if "Fields" in pair
        else pair["Value"]
        for pair in pairs
    }


def identity_of(name: str, value: str) -> tuple[str, str] | None:
    """One spelling for what LeadSquared takes for the same person; None if the value says nothing."""
    if name == "Phone":
        value = "".join(char for char in value if char.isdigit())
    value = value.strip().casefold()
    return (name, value) if value else None


def update_behavior_query(value: str | None) -> tuple[tuple[str, str], ...]:
    """The query pair for `update_behavior`; none of it when it is None (then all that is passed is updated).

    Raises:
        ConfigurationError: it is none of LeadSquared's three words.
    """
    if value is None:
        return ()
    if value not in UPDATE_BEHAVIORS:
        raise ConfigurationError(f"update_behavior has to be None or one of {', '.join(UPDATE_BEHAVIORS)}")
    return (("LeadUpdateBehavior", value),)


def _identity(given: Mapping[str, str], matched_by: str | None) -> tuple[str, str] | None:
    """By what LeadSquared looks for it first (its page "Capture Lead")."""
    ignored = all(given.get(name, "").strip() for name in IDENTIFIERS)
    first = [] if matched_by is None or ignored else [_attribute_meant(matched_by)]
    for name in (*first, "ProspectID", "EmailAddress", "Phone"):
        if (identity := identity_of(name, given.get(name, ""))) is not None:
            return identity
    return None


def attributes(mapping: Mapping[Any, Any], *, within: str | None) -> list[tuple[str, Any]]:
    """The attributes that have a value, their names trimmed and checked."""
    seen: set[str] = set()
    found: list[tuple[str, Any]] = []
    prefix = f"{within}." if within else ""
    for position, (key, value) in enumerate(mapping.items(), start=1):
        if not isinstance(key, str):
            raise InvalidLead(
                f"{_place(position, within)}: a schema name is a string, not {type_name(key)}",
                attribute=within,
            )
        name = (str(key.value) if isinstance(key, Enum) else str(key)).strip()
        if not _SCHEMA_NAME.fullmatch(name):
            raise InvalidLead(
                f"{_place(position, within)}: its name is no schema name (a letter, then letters, digits and "
                "_); LeadSquared shows schema names under Settings > Leads > Lead Fields",
                attribute=within,
            )
        if name in seen:
            raise InvalidLead(f"{prefix}{name}: given twice; leave one of them out", attribute=prefix + name)
        seen.add(name)
        if within is None and name == "ProspectId":
            raise InvalidLead(
                "ProspectId: as an attribute it is spelt ProspectID (ProspectId is for SearchBy only)",
                attribute=name,
            )
        if value is not None:
            found.append((name, value))
    return found


def _place(position: int, within: str | None) -> str:
    return f"attribute {position}" + (f" of {within}" if within else "")


def text_of(value: object, name: str) -> str:
    """The value as the string that LeadSquared takes.

    Raises:
        InvalidLead: it has no one spelling.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return _checked(str.__str__(value), name)
    if (truth := truth_of(value)) is not None:
        return "true" if truth else "false"
    if (whole := whole_number_of(value)) is not None:
        return _decimal(Decimal(whole), name)
    if isinstance(value, Decimal):
        return _decimal(value, name)
    if isinstance(value, float):
        # Through repr, so that 0.1 stays 0.1; a whole float (a spreadsheet's phone number) loses its ".0".
        return _decimal(Decimal(repr(float(value))), name).removesuffix(".0")
    if isinstance(value, Real) and not isinstance(value, Rational):
        # A short or a long float of an array library: its text has just the digits that it knows.
        return _decimal(Decimal(str(value)), name).removesuffix(".0")
    if isinstance(value, datetime):
        return _utc(value, name)
    if isinstance(value, date):
        return f"{value.isoformat()} 00:00:00"
    if isinstance(value, UUID):
        return str(value)
    raise _unwritable(value, name)


def _unwritable(value: object, name: str) -> InvalidLead:
    return InvalidLead(
        f"{name}: {type_name(value)} has no one spelling here; {_way_out(value)}", attribute=name
    )


def truth_of(value: object) -> bool | None:
    """A bool of Python's or of an array library's, such as numpy.bool_; None of any other value."""
    if isinstance(value, bool):
        return value
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    return bool(value) if kind == "b" and getattr(value, "shape", None) == () else None


def whole_number_of(value: object) -> int | None:
    """An int of Python's or of an array library's, such as numpy.int64; None of any other value.

    numpy's durations say that they are integers, but refuse to be used as one.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _checked(text: str, name: str) -> str:
    if _CONTROL.search(text):
        raise InvalidLead(f"{name}: holds a control character; remove it", attribute=name)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidLead(
                f"{name}: holds half of a surrogate pair, which is no text; decode it again from its source",
                attribute=name,
            ) from None
    return text


def _decimal(number: Decimal, name: str) -> str:
    if not number.is_finite():
        raise InvalidLead(f"{name}: not a finite number; leave the attribute out", attribute=name)
    if abs(number.adjusted()) > 100:
        raise InvalidLead(f"{name}: too large or too small for a field; pass a string", attribute=name)
    return f"{number:f}"


def _utc(value: datetime, name: str) -> str:
    try:
        aware = value.utcoffset() is not None
        moment = value.astimezone(UTC) if aware else value
    except (OverflowError, ValueError):
        # The second is what a table's "not a time" (pandas.NaT) raises, which is a datetime all the same.
        raise InvalidLead(
            f"{name}: no moment that UTC can write; correct it, or leave the attribute out", attribute=name
        ) from None
    if not aware:
        raise InvalidLead(
            f"{name}: a datetime without a time zone could be any of 24 hours; attach one "
            "(value.replace(tzinfo=ZoneInfo(...))), it goes out in UTC",
            attribute=name,
        )
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def _search_by(argument: str | None, inside: str | None, given: Mapping[str, str]) -> str | None:
    """SearchBy as LeadSquared spells it, from the argument or from inside the lead."""
    if argument is not None and not isinstance(argument, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidLead(f"SearchBy: a schema name, not {type_name(argument)}", attribute=SEARCH_BY)
    stated = {_attribute_meant(text.strip()) for text in (argument, inside) if text is not None}
    if not stated:
        return None
    if len(stated) > 1:
        raise InvalidLead(
            "SearchBy: the argument and the lead say different things; leave one of them out",
            attribute=SEARCH_BY,
        )
    attribute = stated.pop()
    if not _SCHEMA_NAME.fullmatch(attribute):
        raise InvalidLead(
            "SearchBy: its value has to be a schema name, such as EmailAddress", attribute=SEARCH_BY
        )
    if not given.get(attribute, "").strip():
        raise InvalidLead(
            f"SearchBy: names {attribute}, which the lead does not contain; add it, or search by another",
            attribute=SEARCH_BY,
        )
    return "ProspectId" if attribute == "ProspectID" else attribute


def _attribute_meant(search_by: str) -> str:
    # LeadSquared spells the id's attribute ProspectID, and the same thing as a SearchBy value ProspectId.
    return "ProspectID" if search_by == "ProspectId" else search_by


def _values(pairs: list[dict[str, Any]]) -> list[str]:
    return [
        entry["Value"]
        for pair in pairs
        if pair["Attribute"] != SEARCH_BY
        for entry in (pair, *pair.get("Fields", ()))
        if entry["Value"]
    ]


def is_field_set(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return not isinstance(value, str) and isinstance(value, Mapping)  # which is slow to find out


def type_name(value: object) -> str:
    """The name of a value's type, with its module where it is not Python's own, such as numpy.ndarray."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _way_out(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return "decode it to a string first"
    if isinstance(value, Mapping):
        return "a field set holds no further field set"
    if isinstance(value, list | tuple | set | frozenset):
        return "join its items into one string, with the separator your field uses"
    return "pass a string"


_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)


def encode_details(
    details: Mapping[str, Any],
    *,
    integers: frozenset[str],
    dates: frozenset[str],
    flags: frozenset[str] = frozenset(),
    set_entry: str = "Attribute",
) -> dict[str, Any]:
    """Encode what is beside a lead, such as an activity: text, flags, `Fields` by schema name.

    Args:
        details: name to value; None leaves a detail out, a bool stays one, `Fields` is a mapping.
        flags: the names whose values are True or False.
        integers: the names whose values are whole numbers.
        dates: the names whose values are moments: aware datetimes, or UTC written YYYY-MM-DD HH:MM:SS.
        set_entry: what the names of a field set and of its entries stand under.

    Raises:
        InvalidLead: naming the detail, what is wrong with it and what to do.
    """
    encoded: dict[str, Any] = {}
    for name, value in attributes(details, within=None):
        if name == "Fields":
            if fields := _schema_fields(value, set_entry):
                encoded[name] = fields
        elif name in integers:
            encoded[name] = _integer(value, name)
        elif name in dates:
            encoded[name] = _moment(value, name)
        elif (truth := truth_of(value)) is not None:
            encoded[name] = truth
        elif name in flags:
            raise InvalidLead(f"{name}: True or False, not {type_name(value)}", attribute=name)
        else:
            encoded[name] = text_of(value, name)
    return encoded


def _schema_fields(fields: object, set_entry: str) -> list[dict[str, Any]]:
    """The fields of an activity or an opportunity."""
    if not is_field_set(fields):
        raise InvalidLead(
            f"Fields: a mapping from schema name to value, not {type_name(fields)}", attribute="Fields"
        )
    entries: list[dict[str, Any]] = []
    for name, value in attributes(fields, within="Fields"):
        if is_field_set(value):
            inner = [
                {set_entry: entry, "Value": text_of(entry_value, f"Fields.{name}.{entry}")}
                for entry, entry_value in attributes(value, within=f"Fields.{name}")
            ]
            if not inner:
                raise InvalidLead(
                    f"Fields.{name}: a field set needs at least one field with a value",
                    attribute=f"Fields.{name}",
                )
            entries.append({set_entry: name, "Value": "", "Fields": inner})
        else:
            entries.append({"SchemaName": name, "Value": text_of(value, f"Fields.{name}")})
    return entries


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:  # such as the 31st of February
        return False
    return True


def fields_of(entries: Iterable[Mapping[str, Any]], set_entry: str) -> dict[str, Any]:
    """The mapping that `encode_details` makes the same `Fields` of."""
    fields: dict[str, Any] = {}
    for entry in entries:
        if "Fields" in entry:
            fields[entry[set_entry]] = {inner[set_entry]: inner["Value"] for inner in entry["Fields"]}
        else:
            fields[entry["SchemaName"]] = entry["Value"]
    return fields


def _integer(value: object, name: str) -> int:
    whole = whole_number_of(value)
    if whole is not None and 0 <= whole < 10**9:
        return whole
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,9}\s*", value, re.ASCII):
        return int(value)
    raise InvalidLead(
        f"{name}: a whole number, such as 201, not {type_name(value)}; LeadSquared shows the codes beside "
        "its activity and opportunity types",
        attribute=name,
    )


def _moment(value: object, name: str) -> str:
    text = text_of(value, name)
    if not _DATE.fullmatch(text) or not _is_moment(text):
        raise InvalidLead(
            f"{name}: an aware datetime, or UTC written YYYY-MM-DD HH:MM:SS and nothing else", attribute=name
        )
    return text

"""Checks leads against the account's fields. Pure.

The rules come from the metadata; where it is ambiguous, a value is accepted. Messages contain no values of
the lead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from functools import partial
from types import MappingProxyType
from typing import Any

from leadsquared_async.attributes import IDENTIFIERS, SCHEMA_NAME, SEARCH_BY
from leadsquared_async.contact import is_email, is_placeholder, phone_digits
from leadsquared_async.errors import InvalidLead
from leadsquared_async.fields.lead_fields import FieldNames, LeadField
from leadsquared_async.value_text import text_of

__all__ = ["FieldChecker", "FieldProblem", "ProblemKind"]


class ProblemKind(StrEnum):
    """What is wrong with an attribute."""

    UNKNOWN = "unknown"
    """The account has no such field: LeadSquared rejects the whole lead."""
    MISSING = "missing"
    """The field is mandatory, and the lead has no value for it."""
    TOO_LONG = "too_long"
    """The value is longer than the field allows."""
    NO_OPTION = "no_option"
    """The value is not one of the drop-down's options."""
    NOT_A_DATE = "not_a_date"
    """The value is not a date, or not in the form that LeadSquared reads."""
    NOT_A_NUMBER = "not_a_number"
    """The value is not a number."""
    NOT_AN_EMAIL = "not_an_email"
    """The value is not an e-mail address."""
    NOT_A_PHONE = "not_a_phone"
    """The value is not a phone number."""
    PLACEHOLDER = "placeholder"
    """The value is a placeholder, such as NULL, in a field by which LeadSquared finds leads."""
    NOT_A_BOOLEAN = "not_a_boolean"
    """The value is neither true nor false."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One problem of a lead.

    Attributes:
        attribute: the schema name; "attribute 3" if the name may be personal.
        kind: what is wrong with it.
        message: the problem and what to do; contains no value of the lead.
        suggestion: for an UNKNOWN attribute, what was probably meant: a field, or SearchBy.
    """

    attribute: str
    kind: ProblemKind
    message: str
    suggestion: str | None = None


class FieldChecker:
    """Checks leads against an account's fields.

    The data type of a field decides what is checked. Text, Website, Email and Phone: the length. Email: one
    address. Phone: one number (an optional +, 5 to 20 digits with separators, an optional extension). Date
    and Time: the format YYYY-MM-DD HH:MM:SS or YYYY-MM-DD. Number: a decimal number. Boolean: true or false.
    Select: one of the options, spelled exactly except for surrounding spaces. Other types are not checked,
    nor are values that `encode` rejects.

    EmailAddress, Phone, ProspectID, the account's other lead identifiers and the field that SearchBy names
    must not hold a placeholder, such as NULL or 0000000000: leads with the same one would become one lead.

    LeadSquared does not document these: several options of one field are joined with ";" (assumed if
    AllowMultiple or the render type allows several); the limit of a phone number counts its digits without
    the country code (LeadSquared's own example has 10); drop-downs with "Others", combo boxes and large sets
    accept other values too (so these are not checked).
    """

    def __init__(self, fields: Iterable[LeadField]) -> None:
        by_name: dict[str, LeadField] = {}
        for field in fields:
            by_name.setdefault(field.schema_name, field)
        self._fields = MappingProxyType(by_name)
        self._known = dict(_IN_EVERY_ACCOUNT) | by_name
        self._rules: dict[str, _Rule | None] = dict.fromkeys(IDENTIFIERS)
        if by_name:
            self._rules = {name: _rule(field) for name, field in self._known.items()}
        self._rules.pop(SEARCH_BY, None)
        self._mandatory = tuple(name for name, field in by_name.items() if _is_required(field))
        self._names = FieldNames(by_name.values())
        self._by_case = {name.casefold(): name for name in (*IDENTIFIERS, SEARCH_BY, *by_name)}

    @property
    def fields(self) -> Mapping[str, LeadField]:
        """The fields by schema name."""
        return self._fields

    def check(
        self, lead: Mapping[str, Any], *, partial: bool = False, search_by: str | None = None
    ) -> tuple[FieldProblem, ...]:
        """The problems of a lead: those of its attributes in order, then missing fields.

        Attributes that are None, SearchBy and the fields in a field set are ignored; "" clears a field. A
        checker without fields finds no problems.

        Args:
            lead: a mapping from schema name to value, as `leads.capture` takes it.
            partial: whether it updates an existing lead, so that no field is missing. The same holds for a
                lead with SearchBy or a ProspectID, which may exist.
            search_by: the schema name that the lead is searched by, if not in the lead.
        """
        problems: list[FieldProblem] = []
        given: dict[str, str | None] = {}
        rules = self._rules
        for position, (key, value) in enumerate(lead.items(), start=1):
            if value is None:
                continue
            name = key if key in rules else _name(key)
            if name not in rules:
                if name == SEARCH_BY:
                    partial = True
                    search_by = search_by or _text(value, name)
                elif self._fields and name not in _NOT_A_FIELD:
                    problems.append(self._unknown_problem(name, position))
                continue
            text = value if type(value) is str else _text(value, name)
            if text == "":
                continue
            given[name] = text
            rule = rules[name]
            if rule is None or text is None or text.isspace():
                continue
            kind = rule(text)
            if kind is not None:
                problems.append(self._problem(name, kind))
        # The rules of the other identifying fields already check for placeholders.
        text = given.get(search_by) if search_by is not None and search_by in self._fields else None
        if text and is_placeholder(text):
            problem = self._problem(str(search_by), ProblemKind.PLACEHOLDER)
            if all(other.attribute != problem.attribute for other in problems):
                problems.append(problem)
        if not partial and "ProspectID" not in given:
            missing = (name for name in self._mandatory if name not in given)
            problems += [self._problem(name, ProblemKind.MISSING) for name in missing]
        return tuple(problems)

    def unknown(self, lead: Mapping[str, Any]) -> dict[str, str]:
        """The attributes that are not fields of the account: keys in the lead to names that may be shown."""
        return {key: _label(name, position) for position, key, name in self._unknown(lead)}

    def misspelt(self, lead: Mapping[str, Any]) -> tuple[FieldProblem, ...]:
        """The problems of attributes that differ from a field of the account in letter case only."""
        return tuple(
            self._unknown_problem(name, position)
            for position, _, name in self._unknown(lead)
            if name.casefold() in self._by_case
        )

    def nearest(self, name: str) -> str | None:
        """The schema name that was probably meant; None if no name is similar.

        Compares letters and digits with schema names and display names, ignoring case and "mx_"; then looks
        for a single name that begins with it; then for a typo.
        """
        return self._names.nearest(name)

    def _unknown(self, lead: Mapping[str, Any]) -> Iterator[tuple[int, str, str]]:
        """Position, key and name of each attribute that is not a field."""
        if not self._fields:
            return
        for position, (key, value) in enumerate(lead.items(), start=1):
            name = _name(key)
            if value is not None and name not in self._rules and name not in _NOT_A_FIELD:
                yield position, key, name

    def _problem(self, name: str, kind: ProblemKind) -> FieldProblem:
        return FieldProblem(name, kind, _message(self._known[name], kind))

    def _unknown_problem(self, name: str, position: int) -> FieldProblem:
        suggestion = self._by_case.get(name.casefold()) or self._names.nearest(name)
        attribute = _label(name, position)
        near = "" if suggestion is None else f" (did you mean {_shown(suggestion)}?)"
        message = f"{attribute}: this account has no such field{near}, so LeadSquared would reject the lead."
        if suggestion is None:
            message += " LeadSquared shows schema names under Settings > Leads > Lead Fields."
        return FieldProblem(attribute, ProblemKind.UNKNOWN, message, suggestion)


_NOT_A_FIELD = frozenset({SEARCH_BY, ""})
""""" is the name of a key that is not a string, which `encode` rejects."""

_FILLED_IN = frozenset(
    {
        *("CreatedBy", "CreatedOn", "ModifiedBy", "ModifiedOn"),
        *("OwnerId", "ProspectAutoId", "ProspectID", "ProspectStage"),
    }
)
"""Fields that LeadSquared fills in, whatever the metadata says. The list is not documented."""

_IN_EVERY_ACCOUNT = MappingProxyType(
    {
        "ProspectID": LeadField("ProspectID", data_type="Text"),
        "EmailAddress": LeadField("EmailAddress", data_type="Email"),
        "Phone": LeadField("Phone", data_type="Phone"),
    }
)
"""LeadSquared looks up leads by these in every account, even if the metadata lacks them."""


def _is_required(field: LeadField) -> bool:
    """Whether a new lead needs a value: LeadSquared fills in a field with a default, such as LeadType."""
    return field.is_mandatory and field.default_value is None and field.schema_name not in _FILLED_IN


def _name(key: object) -> str:
    """The name that `encode` uses for a key; "" if the key is not a string."""
    if not isinstance(key, str):
        return ""
    return (str(key.value) if isinstance(key, Enum) else str(key)).strip()


def _text(value: object, name: str) -> str | None:
    """The value as it would be sent; None if `encode` rejects it."""
    try:
        return text_of(value, name)
    except InvalidLead:
        return None


# Rules: from the text of a value to its problem

_Rule = Callable[[str], ProblemKind | None]


def _rule(field: LeadField) -> _Rule | None:
    """The check of the field's values; None if any value is accepted."""
    rule = _rule_of_type(field)
    if field.schema_name in IDENTIFIERS or field.is_lead_identifier:
        return partial(_identifying, rule)
    return rule


def _rule_of_type(field: LeadField) -> _Rule | None:
    limit = field.max_length
    kind = field.data_type.lower()
    if kind == "email":
        return partial(_email, limit)
    if kind in {"text", "website"}:
        return None if limit is None else partial(_short_text, limit)
    if kind == "phone":
        return partial(_phone, limit)
    if kind == "select":
        return _select(field)
    return _RULES.get(kind)


def _select(field: LeadField) -> _Rule | None:
    shown_as = field.render_type.lower()
    if not field.options or any(word in shown_as for word in ("other", "combo", "large")):
        return None
    options = frozenset(option.strip() for option in field.options)
    if not (field.allow_multiple or _shows_several(field)):
        return partial(_option, options)
    return None if any(";" in option for option in options) else partial(_several_options, options)


def _shows_several(field: LeadField) -> bool:
    shown_as = field.render_type.lower()
    return "multi" in shown_as or "checkbox" in shown_as


def _identifying(rule: _Rule | None, text: str) -> ProblemKind | None:
    if is_placeholder(text):
        return ProblemKind.PLACEHOLDER
    return None if rule is None else rule(text)


def _short_text(limit: int, text: str) -> ProblemKind | None:
    return ProblemKind.TOO_LONG if len(text) > limit else None


def _phone(limit: int | None, text: str) -> ProblemKind | None:
    digits = phone_digits(text)
    if digits is None:
        return ProblemKind.NOT_A_PHONE
    return ProblemKind.TOO_LONG if limit is not None and digits > limit + _COUNTRY_CODE else None


_COUNTRY_CODE = 3  # digits, at most


def _email(limit: int | None, text: str) -> ProblemKind | None:
    text = text.strip()
    if not is_email(text):
        return ProblemKind.NOT_AN_EMAIL
    return ProblemKind.TOO_LONG if limit is not None and len(text) > limit else None


def _option(options: frozenset[str], text: str) -> ProblemKind | None:
    return None if text.strip() in options else ProblemKind.NO_OPTION


def _several_options(options: frozenset[str], text: str) -> ProblemKind | None:
    parts = (part.strip() for part in text.split(";"))
    return None if all(part in options for part in parts if part) else ProblemKind.NO_OPTION


def _date(text: str) -> ProblemKind | None:
    text = text.strip()
    if not _DATE.fullmatch(text):
        return ProblemKind.NOT_A_DATE
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return ProblemKind.NOT_A_DATE
    return None


def _time(text: str) -> ProblemKind | None:
    return None if _TIME_OF_DAY.fullmatch(text.strip()) else _date(text)


def _matching(pattern: re.Pattern[str], kind: ProblemKind, text: str) -> ProblemKind | None:
    return None if pattern.fullmatch(text.strip()) else kind


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9]{2}:[0-9]{2}:[0-9]{2})?")
_TIME_OF_DAY = re.compile(r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?")
_RULES: dict[str, _Rule] = {
    "date": _date,
    "time": _time,
    "number": partial(
        _matching, re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"), ProblemKind.NOT_A_NUMBER
    ),
    "boolean": partial(
        _matching, re.compile("true|false|1|0|yes|no", re.IGNORECASE | re.ASCII), ProblemKind.NOT_A_BOOLEAN
    ),
}


# Messages


def _message(field: LeadField, kind: ProblemKind) -> str:
    """The problem in a sentence, from the metadata alone."""
    what = _MESSAGES.get(kind, "")
    if kind is ProblemKind.TOO_LONG:
        is_phone = field.data_type.lower() == "phone"
        what = f"longer than the field's {field.max_length} " + (
            "digits. Pass a single number." if is_phone else "characters. Shorten it."
        )
    elif kind is ProblemKind.NO_OPTION:
        what = f"must be one of the field's options, spelled exactly: {_listed(field.options)}."
        what += " Separate several with ;." if _shows_several(field) else ""
    return f"{_shown(field.schema_name)}: {what}"


_MESSAGES = {
    ProblemKind.MISSING: "mandatory in this account, and the lead has no value for it. Add one.",
    ProblemKind.NOT_A_DATE: "not a valid date. Use YYYY-MM-DD HH:MM:SS in UTC, or YYYY-MM-DD.",
    ProblemKind.NOT_A_NUMBER: "not a number. Use digits, with a point for decimals and no commas.",
    ProblemKind.NOT_AN_EMAIL: (
        "not a single e-mail address such as bret.lee@example.com. Remove any text around it."
    ),
    ProblemKind.NOT_A_PHONE: (
        "not a phone number (an optional +, 5 to 20 digits with separators, an optional extension). "
        "leadsquared_async.phone() removes invisible marks, and prefixes such as tel:"
    ),
    ProblemKind.PLACEHOLDER: "a placeholder: leads that share it would become one lead. Leave it out.",
    ProblemKind.NOT_A_BOOLEAN: "neither true nor false. Pass a bool.",
}


def _listed(options: tuple[str, ...], most: int = 10) -> str:
    named = ", ".join(_shown(option) for option in options[:most])
    return named if len(options) <= most else f"{named} and {len(options) - most} more"


def _shown(text: str) -> str:
    """The account's text on one line, at most 60 characters of it."""
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return line if len(line) <= 60 else f"{line[:60]}…"


def _label(name: str, position: int) -> str:
    """The name of an attribute if it looks like a schema name; any other may be personal."""
    return name if SCHEMA_NAME.fullmatch(name) else f"attribute {position}"

"""What is wrong with a lead, by the account's own fields. Pure.

The rules are read from the metadata; where that is in doubt, there is no flaw. No value of a lead stands in
any message.
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

from leadsquared_async.contact import is_email, is_placeholder, phone_digits
from leadsquared_async.encoding import IDENTIFIERS, SEARCH_BY
from leadsquared_async.errors import InvalidLead
from leadsquared_async.fields.lead_fields import FieldNames, LeadField
from leadsquared_async.values import text_of

__all__ = ["FieldChecker", "Flaw", "Problem"]


class Problem(StrEnum):
    """What is wrong with an attribute."""

    UNKNOWN = "unknown"
    """The account has no such field: LeadSquared refuses the whole lead."""
    MISSING = "missing"
    """The field is mandatory, and the lead has no value for it."""
    TOO_LONG = "too_long"
    NO_OPTION = "no_option"
    """It is none of the drop-down's options."""
    NOT_A_DATE = "not_a_date"
    NOT_A_NUMBER = "not_a_number"
    NOT_AN_EMAIL = "not_an_email"
    NOT_A_PHONE = "not_a_phone"
    PLACEHOLDER = "placeholder"
    """The value is a placeholder, such as NULL, in a field by which LeadSquared finds leads."""
    NOT_A_BOOLEAN = "not_a_boolean"


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong with a lead.

    Attributes:
        attribute: its schema name; "attribute 3" if its name is not fit to be shown.
        problem: what is wrong with it.
        message: that in a sentence, with what to do; holds no value of the lead.
        suggestion: of an UNKNOWN attribute, what was probably meant: a field, or SearchBy.
    """

    attribute: str
    problem: Problem
    message: str
    suggestion: str | None = None


class FieldChecker:
    """Checks leads against an account's fields.

    What is checked of a value, by the field's data type: Text, Website, Email and Phone their length, Email
    that it is one address, Phone that it is one number (an optional +, 5 to 20 digits with separators, an
    optional extension), Date and Time that they are written YYYY-MM-DD HH:MM:SS or YYYY-MM-DD, Number that it
    is a decimal number, Boolean that it is true or false, Select that it is one of the options, spelt alike
    but for blanks around it. Any other type, and what `encode` refuses anyway, is not checked.

    EmailAddress, Phone, ProspectID, the account's other lead identifiers and the field that SearchBy names
    must not hold a placeholder, such as NULL or 0000000000: leads that share one would become one lead.

    Not confirmed by any page of LeadSquared's: that several options of one field are joined with ";" (taken
    so where AllowMultiple or the render type speaks of several), that the limit of a phone number counts its
    digits without the country code (its own example holds 10), and that drop-downs shown with "Others", as a
    combo box or as a large set take other values too (so theirs are not checked).
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
        self._index = FieldNames(by_name.values())
        self._by_case = {name.casefold(): name for name in (*IDENTIFIERS, SEARCH_BY, *by_name)}

    @property
    def fields(self) -> Mapping[str, LeadField]:
        """The fields by schema name."""
        return self._fields

    def check(
        self, lead: Mapping[str, Any], *, partial: bool = False, search_by: str | None = None
    ) -> tuple[Flaw, ...]:
        """What is wrong with a lead, in its order, then what it lacks; empty if nothing is.

        An attribute that is None is left out, and so are SearchBy and the fields inside of a field set; ""
        clears a field. A checker without any fields finds nothing.

        Args:
            lead: a mapping from schema name to value, as `leads.capture` takes it.
            partial: whether it changes a lead that is there: then nothing is missing. A lead with SearchBy or
                a ProspectID may be there, and lacks nothing either.
            search_by: the schema name that the lead is searched by, where the lead itself does not say it.
        """
        flaws: list[Flaw] = []
        given: dict[str, str | None] = {}
        rules = self._rules
        for position, (key, value) in enumerate(lead.items(), start=1):
            if value is None:
                continue
            name = key if key in rules else _name(key)
            if name not in rules:
                if name == SEARCH_BY:
                    partial = True
                    search_by = search_by or _spelt(value, name)
                elif self._fields and name not in _NO_FIELD:
                    flaws.append(self._unknown_flaw(name, position))
                continue
            text = value if type(value) is str else _spelt(value, name)
            if text == "":
                continue
            given[name] = text
            rule = rules[name]
            if rule is None or text is None or text.isspace():
                continue
            problem = rule(text)
            if problem is not None:
                flaws.append(self._flaw(name, problem))
        # The other fields by which leads are found have their placeholders refused by their own rules.
        text = given.get(search_by) if search_by is not None and search_by in self._fields else None
        if text and is_placeholder(text):
            flaw = self._flaw(str(search_by), Problem.PLACEHOLDER)
            if all(other.attribute != flaw.attribute for other in flaws):
                flaws.append(flaw)
        if not partial and "ProspectID" not in given:
            flaws += [self._flaw(name, Problem.MISSING) for name in self._mandatory if name not in given]
        return tuple(flaws)

    def unknown(self, lead: Mapping[str, Any]) -> dict[str, str]:
        """What in a lead is no field of the account: its key in the lead, and its name as it may be shown."""
        return {key: _label(name, position) for position, key, name in self._unknown(lead)}

    def misspelt(self, lead: Mapping[str, Any]) -> tuple[Flaw, ...]:
        """The flaws of those that only the case of their letters tells from a field of the account."""
        return tuple(
            self._unknown_flaw(name, position)
            for position, _, name in self._unknown(lead)
            if name.casefold() in self._by_case
        )

    def nearest(self, name: str) -> str | None:
        """The schema name that was probably meant; None if none is near.

        Looks for the same letters and digits in schema names and display names, without regard to case and
        "mx_"; then for the one name that begins like it; then for a typo.
        """
        return self._index.nearest(name)

    def _flaw(self, name: str, problem: Problem) -> Flaw:
        return Flaw(name, problem, _message(self._known[name], problem))

    def _unknown(self, lead: Mapping[str, Any]) -> Iterator[tuple[int, str, str]]:
        """Position, key and name of what is no field of the account; nothing without any fields."""
        if not self._fields:
            return
        for position, (key, value) in enumerate(lead.items(), start=1):
            name = _name(key)
            if value is not None and name not in self._rules and name not in _NO_FIELD:
                yield position, key, name

    def _unknown_flaw(self, name: str, position: int) -> Flaw:
        suggestion = self._by_case.get(name.casefold()) or self._index.nearest(name)
        attribute = _label(name, position)
        way_out = (
            f"did you mean {_shown(suggestion)}?"
            if suggestion
            else "LeadSquared shows schema names under Settings > Leads > Lead Fields"
        )
        what = "no field of this account has this name, so the whole lead would be refused"
        return Flaw(attribute, Problem.UNKNOWN, f"{attribute}: {what}; {way_out}", suggestion)


_Rule = Callable[[str], Problem | None]

# "" is what a key has that is no string, which `encode` refuses.
_NO_FIELD = frozenset({SEARCH_BY, ""})

# Filled in by LeadSquared itself, whatever the metadata says of them; nobody has confirmed the list.
_FILLED_IN = frozenset(
    {
        "CreatedBy",
        "CreatedOn",
        "ModifiedBy",
        "ModifiedOn",
        "OwnerId",
        "ProspectAutoId",
        "ProspectID",
        "ProspectStage",
    }
)

# LeadSquared finds leads by these on every account, whatever the metadata lists.
_IN_EVERY_ACCOUNT = MappingProxyType(
    {
        "ProspectID": LeadField("ProspectID", data_type="Text"),
        "EmailAddress": LeadField("EmailAddress", data_type="Email"),
        "Phone": LeadField("Phone", data_type="Phone"),
    }
)

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9]{2}:[0-9]{2}:[0-9]{2})?")
_TIME_OF_DAY = re.compile(r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_BOOLEANS = frozenset({"true", "false", "1", "0", "yes", "no"})
_COUNTRY_CODE = 3  # digits, at most


def _is_required(field: LeadField) -> bool:
    """Whether a new lead has to have it: a field with a default, such as LeadType, is filled in."""
    return field.is_mandatory and field.default_value is None and field.schema_name not in _FILLED_IN


def _rule(field: LeadField) -> _Rule | None:
    """What a value of the field is checked with; None if anything goes."""
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
    return {"date": _date, "time": _time, "number": _decimal, "boolean": _boolean}.get(kind)


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


def _short_text(limit: int, text: str) -> Problem | None:
    return Problem.TOO_LONG if len(text) > limit else None


def _identifying(rule: _Rule | None, text: str) -> Problem | None:
    if is_placeholder(text):
        return Problem.PLACEHOLDER
    return None if rule is None else rule(text)


def _phone(limit: int | None, text: str) -> Problem | None:
    digits = phone_digits(text)
    if digits is None:
        return Problem.NOT_A_PHONE
    return Problem.TOO_LONG if limit is not None and digits > limit + _COUNTRY_CODE else None


def _email(limit: int | None, text: str) -> Problem | None:
    text = text.strip()
    if not is_email(text):
        return Problem.NOT_AN_EMAIL
    return Problem.TOO_LONG if limit is not None and len(text) > limit else None


def _option(options: frozenset[str], text: str) -> Problem | None:
    return None if text.strip() in options else Problem.NO_OPTION


def _several_options(options: frozenset[str], text: str) -> Problem | None:
    parts = (part.strip() for part in text.split(";"))
    return None if all(part in options for part in parts if part) else Problem.NO_OPTION


def _date(text: str) -> Problem | None:
    text = text.strip()
    if _DATE.fullmatch(text):
        try:
            datetime.fromisoformat(text)
        except ValueError:
            return Problem.NOT_A_DATE
        return None
    return Problem.NOT_A_DATE


def _time(text: str) -> Problem | None:
    return None if _TIME_OF_DAY.fullmatch(text.strip()) else _date(text)


def _decimal(text: str) -> Problem | None:
    return None if _NUMBER.fullmatch(text.strip()) else Problem.NOT_A_NUMBER


def _boolean(text: str) -> Problem | None:
    return None if text.strip().lower() in _BOOLEANS else Problem.NOT_A_BOOLEAN


def _message(field: LeadField, problem: Problem) -> str:
    """The problem in a sentence, from the metadata alone."""
    match problem:
        case Problem.TOO_LONG if field.data_type.lower() == "phone":
            what = f"more than the {field.max_length} digits that the field takes; give one whole number"
        case Problem.TOO_LONG:
            what = f"longer than the {field.max_length} characters that the field takes; shorten it"
        case Problem.NO_OPTION:
            what = f"none of the field's options, to be spelt alike: {_listed(field.options)}"
            what += "; join several with ;" if _shows_several(field) else ""
        case Problem.NOT_A_DATE:
            what = "no date that LeadSquared reads; write YYYY-MM-DD HH:MM:SS in UTC, or YYYY-MM-DD"
        case Problem.NOT_A_NUMBER:
            what = "no number; write it in digits, with a point for decimals and no commas"
        case Problem.NOT_AN_EMAIL:
            what = "not a single e-mail address such as bret.lee@example.com; remove any text around it"
        case Problem.NOT_A_PHONE:
            what = (
                "not a phone number: an optional +, 5 to 20 digits with separators, an optional extension; "
                "leadsquared_async.phone() removes invisible marks and prefixes such as tel:"
            )
        case Problem.PLACEHOLDER:
            what = "a placeholder, and leads that share it would become one lead; leave the attribute out"
        case Problem.NOT_A_BOOLEAN:
            what = "neither true nor false; pass a bool"
        case Problem.MISSING | Problem.UNKNOWN:  # of an unknown one there is no field, and no message here
            what = "mandatory in this account, and the lead has no value for it; add one"
    return f"{_shown(field.schema_name)}: {what}"


def _listed(options: tuple[str, ...], most: int = 10) -> str:
    named = ", ".join(_shown(option) for option in options[:most])
    return named if len(options) <= most else f"{named} and {len(options) - most} more"


def _shown(text: str) -> str:
    """The account's own words on one line, at most 60 characters of them."""
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return line if len(line) <= 60 else f"{line[:60]}…"


def _label(name: str, position: int) -> str:
    """The name of an attribute if it looks like a schema name: any other may be somebody's."""
    return name if name.isascii() and name.isidentifier() and len(name) <= 100 else f"attribute {position}"


def _name(key: object) -> str:
    """The name that `encode` makes of a key; "" of what is no string."""
    if not isinstance(key, str):
        return ""
    return (str(key.value) if isinstance(key, Enum) else str(key)).strip()


def _spelt(value: object, name: str) -> str | None:
    """The value as it would go out; None if it has no one spelling, which is for `encode` to say."""
    try:
        return text_of(value, name)
    except InvalidLead:
        return None

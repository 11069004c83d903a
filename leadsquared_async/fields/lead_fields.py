"""An account's lead fields: read from LeadSquared's metadata, and found by a similar name. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from leadsquared_async.models import LONGEST_NAME, ShortRepr
from leadsquared_async.printable import one_line

__all__ = ["FieldNames", "LeadField", "read_field", "read_fields"]


@dataclass(frozen=True, slots=True, repr=False)
class LeadField(ShortRepr):
    """One field of an account's leads, as its metadata describes it.

    Attributes:
        schema_name: its name in a lead, such as "mx_City".
        display_name: its name on LeadSquared's pages, such as "City".
        data_type: LeadSquared's word for its type, such as "Text", "Select" or "Date".
        render_type: LeadSquared's word for how it is shown, such as "Textbox" or "Dropdown".
        is_mandatory: whether LeadSquared requires it in a new lead.
        options: the values of a drop-down; empty if there are none, or if they are unknown.
        max_length: the most characters, or digits of a phone number; None if unknown.
        range_min: the smallest number; for a phone number, the fewest digits.
        range_max: the largest number.
        is_lead_identifier: LeadSquared's IsLeadIdentifier.
        allow_multiple: LeadSquared's AllowMultiple, which LeadSquared's examples also set for fields with one
            value.
        lock_after_create: whether only administrators can change it once the lead exists.
        default_value: what LeadSquared fills in if the lead has no value.
    """

    schema_name: str
    display_name: str = ""
    data_type: str = ""
    render_type: str = ""
    is_mandatory: bool = False
    options: tuple[str, ...] = ()
    max_length: int | None = None
    range_min: Decimal | None = None
    range_max: Decimal | None = None
    is_lead_identifier: bool = False
    allow_multiple: bool = False
    lock_after_create: bool = False
    default_value: str | None = None


def read_fields(data: object) -> tuple[LeadField, ...] | None:
    """The fields in the metadata of an account, in its order; None if it is not an array of fields."""
    if not isinstance(data, list):
        return None
    entries = cast("list[object]", data)
    fields = tuple(field for entry in entries if (field := read_field(entry)) is not None)
    return fields if fields or not entries else None


def read_field(data: object) -> LeadField | None:
    """The field in an entry of the metadata; None if the entry has no usable name."""
    if not isinstance(data, dict):
        return None
    entry: dict[str, Any] = {}
    for key, value in cast("dict[object, Any]", data).items():
        if isinstance(key, str):
            entry.setdefault(key.lower(), value)
    given = entry.get("schemaname")
    schema_name = _line(given)
    if not isinstance(given, str) or not schema_name or schema_name != given.strip():
        return None  # an unprintable name cannot be sent
    max_length = _number(entry.get("maxlength"))
    return LeadField(
        schema_name=schema_name,
        display_name=_line(entry.get("displayname")),
        data_type=_line(entry.get("datatype")),
        render_type=_line(entry.get("rendertypetextvalue")),
        is_mandatory=_flag(entry.get("ismandatory")),
        options=_options(entry.get("options")),
        max_length=int(max_length) if max_length is not None and max_length >= 1 else None,
        range_min=_number(entry.get("rangemin")),
        range_max=_number(entry.get("rangemax")),
        is_lead_identifier=_flag(entry.get("isleadidentifier")),
        allow_multiple=_flag(entry.get("allowmultiple")),
        # 0, 1 or 2; 2 means "never".
        lock_after_create=_flag(entry.get("lockaftercreate")),
        default_value=_scalar(entry.get("defaultvalue")) or None,
    )


def _line(value: object) -> str:
    return one_line(value, LONGEST_NAME) if isinstance(value, str) else ""


def _flag(value: object) -> bool:
    """Whether the value means true; False in doubt."""
    if isinstance(value, str):
        return value.strip().lower() in {"true", "1", "yes"}
    return value is True or (type(value) is int and value == 1)


def _number(value: object) -> Decimal | None:
    """A number, or one written as a string; None for anything else, or an implausible number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = Decimal(value) if isinstance(value, int) else Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < 12 else None


def _scalar(value: object) -> str | None:
    """A string, or a number as a string; None for anything else."""
    if isinstance(value, str):
        return value
    number = _number(value)
    return None if number is None else f"{number:f}"


def _options(value: object) -> tuple[str, ...]:
    """The options of a drop-down; empty if one cannot be read, since a value may match it."""
    if not isinstance(value, list):
        return ()
    options: list[str] = []
    for entry in cast("list[object]", value):
        folded = (
            {str(key).lower(): item for key, item in cast("dict[object, Any]", entry).items()}
            if isinstance(entry, dict)
            else {"value": entry}
        )
        item = folded.get("value", folded)
        text = "" if item is None else _scalar(item)
        if text is None:
            return ()
        if text:
            options.append(text)
    return tuple(dict.fromkeys(options))


_PREFIX = re.compile(r"^\s*(?:mx[_\s-]+)+")


class FieldNames:
    """The names of an account's fields; finds the closest to a misspelt name."""

    def __init__(self, fields: Iterable[LeadField]) -> None:
        self._exact: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        # A file repeats the same wrong name in every row.
        self._found: dict[str, str | None] = {}
        listed = [*fields]
        for field in listed:
            self._exact.setdefault(field.schema_name.lower(), field.schema_name)
            self._folded.setdefault(_fold(field.schema_name), field.schema_name)
        for field in listed:
            self._folded.setdefault(_fold(field.display_name), field.schema_name)
        self._folded.pop("", None)

    def nearest(self, name: str) -> str | None:
        """The schema name that was probably meant; None if no name is similar."""
        if len(name) > 200:
            return None
        if name not in self._found:
            if len(self._found) >= 500:
                self._found.clear()
            self._found[name] = self._search(name)
        return self._found[name]

    def _search(self, name: str) -> str | None:
        folded = _fold(name)
        if not folded:
            return None
        same = self._exact.get(name.strip().lower()) or self._folded.get(folded)
        if same is not None:
            return same
        if len(folded) >= 4:
            longer = {field for known, field in self._folded.items() if known.startswith(folded)}
            if len(longer) == 1:
                return longer.pop()
        # A typo does not turn mx_Street1 into mx_Street2.
        digits = _digits(folded)
        candidates = [known for known in self._folded if _digits(known) == digits]
        close = difflib.get_close_matches(folded, candidates, n=1, cutoff=0.75)
        return self._folded[close[0]] if close else None


def _fold(name: str) -> str:
    """A name without case, spaces, punctuation and mx_, which people often get wrong."""
    return "".join(char for char in _PREFIX.sub("", name.casefold()) if char.isalnum())


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())

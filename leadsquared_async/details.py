"""What stands beside a lead, such as an activity, into what LeadSquared takes; or a refusal. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from leadsquared_async.errors import InvalidLead
from leadsquared_async.lead import attributes, is_field_set, text_of, truth_of, type_name, whole_number_of

__all__ = ["encode_details", "fields_of"]

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

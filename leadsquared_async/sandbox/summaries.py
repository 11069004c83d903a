"""The name and the contact of a lead, in one line, for the lists of the sandbox's window. Pure."""

import json
from collections.abc import Mapping
from typing import cast

from leadsquared_async.sandbox.masking import Masker

LONGEST = 120
"""Characters of a name or a contact."""

_CONTACTS = ("EmailAddress", "Phone", "Mobile", "SourceNumber", "ProspectID", "RelatedProspectId")
NOBODY = {"name": "", "contact": ""}


def describe_values(values: Mapping[str, str]) -> dict[str, str]:
    """The name and the contact in the attributes of a lead; empty if it has none."""
    name = " ".join(filter(None, (values.get("FirstName"), values.get("LastName"))))
    contact = next((value for contact in _CONTACTS if (value := values.get(contact))), "")
    return {"name": _short(name), "contact": _short(contact)}


def describe_body(mask: Masker, body: bytes | str) -> dict[str, str]:
    """The name and the contact of the lead in a submission's body, or how many leads it has."""
    try:
        content: object = json.loads(body)
    except (ValueError, RecursionError):
        return NOBODY
    if rows := _bulk_rows(content):
        return {"name": f"{rows} lead{'s' if rows > 1 else ''}", "contact": ""}
    return describe_values(mask.values(_values_in(content)))


def _bulk_rows(content: object) -> int:
    """How many rows the body of a bulk call has; 0 for another body."""
    rows = cast("list[object]", content) if isinstance(content, list) else []
    return len(rows) if rows and isinstance(rows[0], list) else 0


def _values_in(content: object) -> dict[str, str]:
    """The values by attribute in a decoded body, which may be invalid."""
    values: dict[str, str] = {}
    if isinstance(content, dict):
        entries = cast("dict[str, object]", content)
        values = {name: value for name, value in entries.items() if isinstance(value, str)}
        content = entries.get("LeadDetails")
    if isinstance(content, list):
        for entry in cast("list[object]", content):
            if isinstance(entry, dict):
                pair = cast("dict[str, object]", entry)
                name, value = pair.get("Attribute"), pair.get("Value")
                if isinstance(name, str) and isinstance(value, str):
                    values[name] = value
    return values


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

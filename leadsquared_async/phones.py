"""Phone numbers of a lead in the spelling that LeadSquared uses: +91-9988776655. Needs the extra `phone`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from leadsquared_async.contact import bare_phone
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.lead import whole_number_of

__all__ = ["phone"]

# Nothing but a number: with letters, a second number or an extension in it, something would be lost.
_NUMBER = re.compile(r"[(\s]*[+\uff0b]?[\d \u00a0\u2009\u202f().\u2010-\u2015\u2212-]+")
_MOST_DIGITS = 20
_LONGEST = 250  # characters that phonenumbers reads


def phone(
    region: str, fields: Collection[str] = ("Phone", "Mobile")
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function that writes the phone numbers of a lead as LeadSquared does, such as +91-9988776655.

    It returns a new lead and never raises for a value. Invisible marks and the prefixes of exports (p:, tel:,
    whatsapp:) are removed. A value that is not surely one valid number stays as it is, and so do texts with
    other letters, slashes or an extension, and values that are neither strings nor whole numbers.

    Args:
        region: where numbers without a country code belong, in two letters, such as "IN".
        fields: the attributes that hold numbers.

    Raises:
        ConfigurationError: the extra is not installed, the region is not known, or `fields` is one string.
    """
    try:
        import phonenumbers  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise ConfigurationError(
            'phone needs the package phonenumbers: pip install "leadsquared_async[phone]"'
        ) from None
    home = region.strip().upper() if isinstance(region, str) else ""  # pyright: ignore[reportUnnecessaryIsInstance]
    if home not in phonenumbers.SUPPORTED_REGIONS:
        raise ConfigurationError("region is no country's two letters, such as IN, US or SG")
    if isinstance(fields, str):
        raise ConfigurationError("fields has to be several schema names, such as ('Phone', 'Mobile')")
    names = tuple(fields)

    def spelt(text: str) -> str | None:
        """The number in LeadSquared's spelling; None if it is not surely one."""
        text = bare_phone(text)
        if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
            return None
        try:
            number = phonenumbers.parse(text, home)
        except phonenumbers.NumberParseException:
            return None
        if not phonenumbers.is_valid_number(number):
            return None
        return f"+{number.country_code}-{phonenumbers.national_significant_number(number)}"

    def normalise(lead: Mapping[str, Any]) -> dict[str, Any]:
        """The lead with its numbers in one spelling."""
        written = dict(lead)
        for name in names:
            text = _text(written.get(name))
            if text is not None and (number := spelt(text)) is not None:
                written[name] = number
        return written

    return normalise


def _text(value: object) -> str | None:
    """What may be a number, as text; None of anything else."""
    if isinstance(value, str):
        return str.__str__(value)
    number = int(value) if isinstance(value, float) and value.is_integer() else whole_number_of(value)
    return str(number) if number is not None and 0 < number < 10**_MOST_DIGITS else None

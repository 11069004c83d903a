"""What a phone number and an e-mail address look like, and what only stands in for one. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from typing import Any

from leadsquared_async.errors import ConfigurationError
from leadsquared_async.values import whole_number_of

__all__ = ["MARKS", "bare_phone", "is_email", "is_placeholder", "phone", "phone_digits"]

MARKS = (
    "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e"  # widths and directions
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)
"""Marks without a width that word processors, address books and chats put around what is copied. Not the
joiners U+200C and U+200D, which are letters' own in Indian scripts."""

# Exports write the kind of a number before it: Facebook "p:", address books and web pages "tel:".
_PREFIX = re.compile(
    r"(?:p|ph|phone|tel|telephone|mob|mobile|cell|whatsapp|wa|callto|sms)\s*:\s*(?://)?", re.IGNORECASE
)
_MARK = re.compile(f"[\u00ad\u200c\u200d{MARKS}]")
_SEPARATORS = r"[ \u00a0\u2009\u202f().\u2010-\u2015\u2212-]"
_PHONE = re.compile(
    rf"(?P<number>{_SEPARATORS}*[+\uff0b]?{_SEPARATORS}*\d(?:{_SEPARATORS}*\d)*{_SEPARATORS}*)"
    r"(?:[;,]?\s*(?:ext(?:ension|n)?\.?|x|#)\s*[:=]?\s*\d{1,7})?",
    re.IGNORECASE,
)
_DECIMALS = re.compile(r".*\d{5}[.]0+")  # a float's, which count as digits of the number
# Country calling codes (ITU-T E.164): behind a + or 00, or with a separator after them.
_CODES = (
    r"(?:[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|(?:2[1-689]|3[578]|42|5[09]|6[7-9]|8[03578]|9[679])\d)"
)
_CODE = re.compile(rf"{_SEPARATORS}*(?:(?:\+|00){_SEPARATORS}*{_CODES}|{_CODES}(?={_SEPARATORS}))")
FEWEST_DIGITS, MOST_DIGITS = 5, 20
_FEWEST_AFTER_CODE = 8  # US numbers have seven after what may be the area or a country
_LONGEST = 200

# One address as people have it; quoted local parts and addresses of hosts by number are left out on purpose.
_ATOM = r"""[^\s@<>()\[\],;:"\\.]+"""
_MARKS_OF_SCRIPTS = "\u0900-\u0e7f"  # vowels of Indian scripts and Thai, which are no letters by themselves
_LABEL = rf"(?:[^\W_])(?:[\w{_MARKS_OF_SCRIPTS}-]*(?:[^\W_]|[{_MARKS_OF_SCRIPTS}]))?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_SCHEMES = ("mailto:", "email:", "e-mail:", "mail:")

_NOTHING = frozenset(
    {
        *(
            "null",
            "none",
            "nil",
            "nan",
            "nat",
            "na",
            "n/a",
            "n.a.",
            "#n/a",
            "undefined",
            "unknown",
            "empty",
            "blank",
        ),
        *("\\n", "not available", "not applicable", "not provided", "not given", "n.a", "tbd", "tba"),
        *("no", "no phone", "no number", "no email", "no e-mail", "noemail", "nomail", "noname"),
        *("test", "dummy", "#ref!", "#value!", "#name?"),
    }
)
_AROUND = " \t\r\n'\"<>()[]{}.,;:_*~-\u2010\u2011\u2012\u2013\u2014\u2015"
_TEST_ROW = "test lead: dummy data"  # what advertising platforms put into every cell of a test row


def bare_phone(text: str) -> str:
    """The text without invisible marks, white space around it and the prefix of an export, such as tel:."""
    text = _MARK.sub("", text).strip()
    return _PREFIX.sub("", text, count=1).strip() if _PREFIX.match(text) else text


def phone_digits(text: str) -> int | None:
    """How many digits the number has without its extension; None if the text is no phone number.

    A number is an optional +, 5 to 20 digits with separators between them, and at most an extension.
    """
    if len(text) > _LONGEST:
        return None
    number = _number(text)
    if number is None or _DECIMALS.fullmatch(number):
        return None
    digits = len(_digits(number))
    return digits if FEWEST_DIGITS <= digits <= MOST_DIGITS else None


def _number(text: str) -> str | None:
    """The number without its extension, in ASCII; None if the text has another form."""
    match = _PHONE.fullmatch(text.strip())
    return None if match is None else "".join(map(_in_ascii, match["number"]))


def _in_ascii(character: str) -> str:
    return "+" if character == "\uff0b" else str(unicodedata.decimal(character, character))


def _digits(number: str) -> str:
    return "".join(character for character in number if character.isdigit())


def is_email(text: str) -> bool:
    """Whether the text is one e-mail address and nothing else: no name, no brackets, no mailto:."""
    text = text.strip()
    return text.isprintable() and not text.lower().startswith(_SCHEMES) and _EMAIL.fullmatch(text) is not None


def is_placeholder(text: str) -> bool:
    """Whether the text stands in for a value that is not there, such as NULL, n/a, --- or 0000000000.

    So does one digit again and again, or all of them counting up, with separators or a country code as well,
    and an e-mail address of two such words, such as test@test.com.
    Two people with the same one would become one lead where LeadSquared finds leads by it.
    """
    if len(text) > _LONGEST:
        return False
    words = _MARK.sub("", text).strip(_AROUND).casefold()
    if not any(character.isalnum() for character in words):
        return bool(text.strip())
    if _is_nothing(words) or words.startswith(_TEST_ROW):
        return True
    local, at, domain = words.partition("@")
    if at:
        return _is_nothing(local) and _is_nothing(domain.partition(".")[0])
    number = _number(words) or ""
    code = _CODE.match(number)
    national = _digits(number[code.end() :]) if code else ""
    return len(national) >= _FEWEST_AFTER_CODE and _is_typed(national)


def _is_nothing(words: str) -> bool:
    """Whether it is a word for nothing, or digits that somebody typed in its place."""
    if words in _NOTHING or re.fullmatch("x{2,20}", words):
        return True
    digits = _digits(_number(words) or "")
    return len(digits) >= FEWEST_DIGITS and _is_typed(digits)


def _is_typed(digits: str) -> bool:
    """Whether it is one digit again and again, or counts up."""
    return len({*digits}) == 1 or digits in "01234567890"


# Nothing but a number: with letters, a second number or an extension in it, something would be lost.
_PLAIN_NUMBER = re.compile(r"[(\s]*[+\uff0b]?[\d \u00a0\u2009\u202f().\u2010-\u2015\u2212-]+")
_LONGEST_PARSED = 250  # characters that phonenumbers reads


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
        if len(text) > _LONGEST_PARSED or not _PLAIN_NUMBER.fullmatch(text):
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
    return str(number) if number is not None and 0 < number < 10**MOST_DIGITS else None

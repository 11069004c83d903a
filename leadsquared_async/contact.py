"""Phone numbers and e-mail addresses: their form, placeholders for them, and LeadSquared's spelling. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from typing import Any

from leadsquared_async.errors import ConfigurationError
from leadsquared_async.value_text import whole_number_of

__all__ = ["MARKS", "bare_phone", "is_email", "is_placeholder", "phone", "phone_digits"]

MARKS = (
    "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e"  # widths and directions
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)
"""Zero-width marks that word processors, address books and chats put around copied text. The joiners U+200C
and U+200D are excluded, since words in Indian scripts contain them."""
FEWEST_DIGITS, MOST_DIGITS = 5, 20
_LONGEST = 200  # characters of a phone number, and of a placeholder
_LONGEST_PARSED = 250  # characters that phonenumbers reads


def phone(
    region: str, fields: Collection[str] = ("Phone", "Mobile")
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Make a function that writes the phone numbers of a lead as LeadSquared does, such as +91-9988776655.

    The function returns a new lead and never raises for a value. It removes invisible marks and export
    prefixes (p:, tel:, whatsapp:). It changes a string or a whole number only if it is one valid number:
    text with other letters, slashes or an extension stays unchanged.

    Args:
        region: the two-letter country of numbers without a country code, such as "IN".
        fields: the attributes that hold numbers.

    Raises:
        ConfigurationError: the extra `phone` is missing, the region is unknown, or `fields` is a string.
    """
    try:
        import phonenumbers  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise ConfigurationError(
            'phone needs the package phonenumbers: pip install "leadsquared_async[phone]"'
        ) from None
    home = region.strip().upper() if isinstance(region, str) else ""  # pyright: ignore[reportUnnecessaryIsInstance]
    if home not in phonenumbers.SUPPORTED_REGIONS:
        raise ConfigurationError("region must be a two-letter country code, such as IN, US or SG")
    if isinstance(fields, str):
        raise ConfigurationError("fields must be a tuple of schema names, such as ('Phone', 'Mobile')")
    names = tuple(fields)

    def normalized(value: object) -> str | None:
        """The number in LeadSquared's spelling; None unless the value is one valid number."""
        text = bare_phone(_digits_given(value))
        if len(text) > _LONGEST_PARSED or not _PLAIN_NUMBER.fullmatch(text):
            return None
        try:
            number = phonenumbers.parse(text, home)
        except phonenumbers.NumberParseException:
            return None
        if not phonenumbers.is_valid_number(number):
            return None
        return f"+{number.country_code}-{phonenumbers.national_significant_number(number)}"

    def normalize(lead: Mapping[str, Any]) -> dict[str, Any]:
        """The lead with its numbers in LeadSquared's spelling."""
        numbers = {name: normalized(lead[name]) for name in names if name in lead}
        return {**lead, **{name: number for name, number in numbers.items() if number is not None}}

    return normalize


def _digits_given(value: object) -> str:
    """The value as text if it may be a phone number; else ""."""
    if isinstance(value, str):
        return str.__str__(value)
    number = int(value) if isinstance(value, float) and value.is_integer() else whole_number_of(value)
    return str(number) if number is not None and 0 < number < 10**MOST_DIGITS else ""


def bare_phone(text: str) -> str:
    """The text without invisible marks, surrounding white space and an export prefix, such as tel:."""
    text = _MARK.sub("", text).strip()
    return _PREFIX.sub("", text, count=1).strip() if _PREFIX.match(text) else text


def phone_digits(text: str) -> int | None:
    """The number of digits, without the extension; None if the text is not a phone number.

    A number is an optional +, 5 to 20 digits with separators between them, and an optional extension.
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
    if match is None:
        return None
    number = match["number"]
    return number if number.isascii() else "".join(map(_in_ascii, number))


def _in_ascii(character: str) -> str:
    return "+" if character == "\uff0b" else str(unicodedata.decimal(character, character))


def _digits(number: str) -> str:
    return "".join(filter(str.isdigit, number))


# Exports put the kind of number before it: Facebook "p:", address books and web pages "tel:".
_PREFIX = re.compile(
    r"(?:p|ph|phone|tel|telephone|mob|mobile|cell|whatsapp|wa|callto|sms)\s*:\s*(?://)?", re.IGNORECASE
)
_MARK = re.compile(f"[\u00ad\u200c\u200d{MARKS}]")
_SEPARATOR = r"[ \u00a0\u2009\u202f().\u2010-\u2015\u2212-]"
_PHONE = re.compile(
    rf"(?P<number>{_SEPARATOR}*[+\uff0b]?{_SEPARATOR}*\d(?:{_SEPARATOR}*\d)*{_SEPARATOR}*)"
    r"(?:[;,]?\s*(?:ext(?:ension|n)?\.?|x|#)\s*[:=]?\s*\d{1,7})?",
    re.IGNORECASE,
)
# With letters, a second number or an extension, rewriting would lose information.
_PLAIN_NUMBER = re.compile(r"[(\s]*[+\uff0b]?[\d \u00a0\u2009\u202f().\u2010-\u2015\u2212-]+")
_DECIMALS = re.compile(r".*\d{5}[.]0+")  # a float, whose zero would count as a digit


def is_email(text: str) -> bool:
    """Whether the text is one e-mail address and nothing else: no name, no brackets, no mailto:."""
    text = text.strip()
    return text.isprintable() and not text.lower().startswith(_SCHEMES) and _EMAIL.fullmatch(text) is not None


# Quoted local parts and numeric hosts are excluded: people do not have such addresses.
_ATOM = r"""[^\s@<>()\[\],;:"\\.]+"""
_VOWELS = "\u0900-\u0e7f"  # vowel marks of Indian scripts and Thai, which do not count as letters
_LABEL = rf"(?:[^\W_])(?:[\w{_VOWELS}-]*(?:[^\W_]|[{_VOWELS}]))?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_SCHEMES = ("mailto:", "email:", "e-mail:", "mail:")


def is_placeholder(text: str) -> bool:
    """Whether the text stands for a missing value, such as NULL, n/a, --- or 0000000000.

    One repeated digit and digits that count up are placeholders too, also with separators or a country code;
    so is an e-mail address of two such words, such as test@test.com. Where LeadSquared looks up leads by such
    a field, two people with the same placeholder become one lead.
    """
    if len(text) > _LONGEST:
        return False
    words = (text if text.isascii() else _MARK.sub("", text)).strip(_AROUND).casefold()
    if not _LETTER_OR_DIGIT.search(words):
        return bool(text.strip())
    if words.startswith(_TEST_ROW):
        return True
    local, at, domain = words.partition("@")
    if at:
        return _is_missing(local) and _is_missing(domain.partition(".")[0])
    if _NOTHING.fullmatch(words):
        return True
    number = _number(words)
    if number is None:
        return False
    digits = _digits(number)
    if len(digits) >= FEWEST_DIGITS and _is_dummy(digits):
        return True
    code = _CODE.match(number)
    national = _digits(number[code.end() :]) if code else ""
    return len(national) >= _FEWEST_AFTER_CODE and _is_dummy(national)


def _is_missing(words: str) -> bool:
    """Whether the text is a word for a missing value, or dummy digits."""
    if _NOTHING.fullmatch(words):
        return True
    digits = _digits(_number(words) or "")
    return len(digits) >= FEWEST_DIGITS and _is_dummy(digits)


def _is_dummy(digits: str) -> bool:
    """Whether one digit is repeated, or the digits count up."""
    return len({*digits}) == 1 or digits in "01234567890"


_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_NOTHING = re.compile(
    r"null|none|nil|nan|nat|na|n/a|n\.a\.?|#n/a|#ref!|#value!|#name\?|\\n|undefined|unknown|empty|blank|tbd|tba"
    r"|not available|not applicable|not provided|not given|no|no phone|no number|no e-?mail|noemail|nomail"
    r"|noname|test|dummy|x{2,20}"
)
_AROUND = " \t\r\n'\"<>()[]{}.,;:_*~-\u2010\u2011\u2012\u2013\u2014\u2015"
_TEST_ROW = "test lead: dummy data"  # in every cell of a test row of an advertising platform
# Country calling codes (ITU-T E.164): after a + or 00, or before a separator.
_CODES = (
    r"(?:[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|(?:2[1-689]|3[578]|42|5[09]|6[7-9]|8[03578]|9[679])\d)"
)
_CODE = re.compile(rf"{_SEPARATOR}*(?:(?:\+|00){_SEPARATOR}*{_CODES}|{_CODES}(?={_SEPARATOR}))")
_FEWEST_AFTER_CODE = 8  # a US number has seven digits after its area code, which looks like a country code

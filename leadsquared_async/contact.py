"""What a phone number and an e-mail address look like, and what only stands in for one. Pure."""

from __future__ import annotations

import re

__all__ = ["MARKS", "bare_phone", "is_email", "is_placeholder", "phone_digits"]

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
    rf"(?P<number>[+\uff0b]?{_SEPARATORS}*\d(?:{_SEPARATORS}*\d)*{_SEPARATORS}*)"
    r"(?:[;,]?\s*(?:ext(?:ension|n)?\.?|x|#)\s*[:=]?\s*\d{1,7})?",
    re.IGNORECASE,
)
FEWEST_DIGITS, MOST_DIGITS = 5, 20
_LONGEST = 200

# One address as people have it; quoted local parts and addresses of hosts by number are left out on purpose.
_ATOM = r"""[^\s@<>()\[\],;:"\\.]+"""
_LABEL = r"[^\W_](?:[\w-]*[^\W_])?"
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
        *("\\n", "not available", "not applicable", "not provided", "no phone", "no email", "no e-mail"),
    }
)
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
    match = _PHONE.fullmatch(text.strip())
    if match is None:
        return None
    digits = sum(character.isdigit() for character in match["number"])
    return digits if FEWEST_DIGITS <= digits <= MOST_DIGITS else None


def is_email(text: str) -> bool:
    """Whether the text is one e-mail address and nothing else: no name, no brackets, no mailto:."""
    text = text.strip()
    return text.isprintable() and not text.lower().startswith(_SCHEMES) and _EMAIL.fullmatch(text) is not None


def is_placeholder(text: str) -> bool:
    """Whether the text stands in for a value that is not there, such as NULL, n/a, --- or 0000000000.

    Two people with the same one would become one lead where LeadSquared finds leads by it.
    """
    if len(text) > _LONGEST:
        return False
    words = _MARK.sub("", text).strip(" \t\r\n'\"<>()[]{}").casefold()
    if not any(character.isalnum() for character in words):
        return bool(text.strip())
    if words in _NOTHING or words.startswith(_TEST_ROW):
        return True
    return (
        words.isdecimal() and len(words) >= FEWEST_DIGITS and (len({*words}) == 1 or words in "01234567890")
    )

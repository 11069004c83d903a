"""A cell into a value that LeadSquared takes, or a flaw that says what is wrong with it. Pure.

No message holds a cell.
"""

from __future__ import annotations

import re
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from leadsquared_async.contact import MARKS, is_placeholder

__all__ = [
    "ANY_FORMAT",
    "PADDING",
    "CellError",
    "Dates",
    "bare_text",
    "date_format_of",
    "identifier_flaw",
    "is_of_a_test",
    "phone_flaw",
    "spreadsheet_flaw",
    "text_flaw",
]


class CellError(ValueError):
    """A cell that cannot be sent for certain; its text says why and what to do."""


# All that Python takes for white space, and marks that word processors and chats put around what is copied.
PADDING = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    f"\u200a\u2028\u2029\u202f\u205f\u3000{MARKS}"
)
ANY_FORMAT = "FORMAT, such as %d/%m/%Y"
_INVISIBLE = re.compile(f"[\xa0\xad\u200c\u200d{MARKS}]")
# From U+007F on they are what is left of another encoding.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+")
_COULD_BE_A_CODE = re.compile(r"\d+[eE]\d+")
_ERROR = re.compile(r"#(?:N/A|NV|DIV/0!|GETTING_DATA|[A-Z]+[!?]|#+)")
_TEST_LEAD = re.compile(r"<test lead: dummy data\b", re.IGNORECASE)
_RE_EXPORT = "format the column as text or as a number without decimals, and export it again"
_IF_MEANT = "if it is meant, pass --verbatim with the column"


def bare_text(cell: str) -> str:
    """The text without white space, no-break spaces and invisible marks around it."""
    return cell.strip(PADDING)


def text_flaw(text: str) -> str | None:
    """What no text may hold."""
    if text.isascii() and text.isprintable():
        return None
    if "\ufffd" in text:
        return "holds a replacement character: it was decoded wrongly before; export it again as UTF-8"
    if _CONTROL.search(text):
        return "holds a control character: remove it, or pass --encoding if the file was read as another one"
    return None


def is_of_a_test(cell: object) -> bool:
    """Whether an ad platform has written it into a test row, as Facebook does into each of its cells."""
    return isinstance(cell, str) and cell[:1] == "<" and _TEST_LEAD.match(cell) is not None


def identifier_flaw(text: str, *, placeholders: bool = True) -> str | None:
    """What a value may not hold by which LeadSquared finds leads; placeholders if nobody else looks."""
    if placeholders and is_placeholder(text):
        return "holds a placeholder; leads that share it would become one: empty it, or pass --empty with it"
    return "holds an invisible character: type it anew" if _INVISIBLE.search(text) else None


def spreadsheet_flaw(text: str) -> str | None:
    """What a spreadsheet has damaged."""
    first = text[0]
    if first.isdigit() or first in "+-":
        if _SCIENTIFIC.fullmatch(text) and not _COULD_BE_A_CODE.fullmatch(text):
            return f"a spreadsheet has shortened the number: {_RE_EXPORT}; {_IF_MEANT}"
    elif first == "#" and _ERROR.fullmatch(text):
        return f"holds a spreadsheet's error: correct it, or empty it; {_IF_MEANT}"
    elif text.startswith('="'):
        return f"holds a formula: export its value; {_IF_MEANT}"
    return None


def phone_flaw(text: str) -> str | None:
    """What a spreadsheet has damaged of a telephone number."""
    if _SCIENTIFIC.fullmatch(text):
        return f"a spreadsheet has shortened the number: {_RE_EXPORT}"
    if re.fullmatch(r"[+-]?\d+[.,]0+", text):
        return f"the number ends in decimals that it never had: {_RE_EXPORT}"
    if text.startswith(("'", "=")):
        return "begins with a sign that only a spreadsheet needs: remove it"
    return "holds a spreadsheet's error: correct it, or empty it" if _ERROR.fullmatch(text) else None


class Dates:
    """How the dates of a run are written; times without an offset need the timezone."""

    def __init__(self, date_format: str | None = None, timezone: str | None = None) -> None:
        self._format = date_format
        self._has_time = date_format is not None and _has_time(date_format)
        self._zone = None if timezone is None else _zone(timezone)

    def read(self, text: str) -> date:
        """A date, or a datetime with its zone if there is a time."""
        return self.with_zone(self._parsed(text))

    def with_zone(self, moment: date) -> date:
        """A datetime of the zone."""
        if not isinstance(moment, datetime):
            return moment
        if moment.year in {MINYEAR, MAXYEAR}:  # UTC may have none
            raise CellError("is no time that a lead could have: correct it, or empty it")
        if moment.utcoffset() is not None:
            return moment
        if self._zone is None:
            raise CellError("is a time without a zone: pass --timezone, such as Asia/Kolkata")
        local = moment.replace(tzinfo=self._zone)
        if local.utcoffset() == local.replace(fold=1).utcoffset():
            return local
        # The two readings differ; the first of a time that exists comes back from UTC as it was.
        exists = local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) == moment
        happened = "showed this time twice" if exists else "skipped this time"
        raise CellError(f"the clocks {happened} in --timezone: correct it, or write it with its offset")

    def _parsed(self, text: str) -> date:
        try:
            if self._format is not None:
                moment = datetime.strptime(text, self._format)  # noqa: DTZ007 - its zone comes later
                return moment if self._has_time else moment.date()
            day, divider, _ = text.partition("T" if "T" in text else " ")
            # Python lets any character divide the two, so that it reads some long numbers as times.
            found = date.fromisoformat(day)
            return datetime.fromisoformat(text) if divider else found
        except ValueError:
            if self._format is not None:
                raise CellError(
                    "is no date as --date-format says: correct it, or change --date-format"
                ) from None
            example = date_format_of(text)
            advice = f"pass --date-format {example or ANY_FORMAT}"
            raise CellError(f"is no date of the form 2024-02-29: correct it, or {advice}") from None


def date_format_of(text: str) -> str | None:
    """The format that a date seems to have, if day and month cannot be taken for each other."""
    match = re.fullmatch(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})( \d{1,2}:\d{2}(:\d{2})?)?", text)
    if match is None:
        return None
    first, divider, second = int(match[1]), match[2], int(match[3])
    if first > 12 >= second:
        days = f"%d{divider}%m{divider}%Y"
    elif second > 12 >= first:
        days = f"%m{divider}%d{divider}%Y"
    else:
        return None
    clock = "" if match[5] is None else " %H:%M:%S" if match[6] else " %H:%M"
    return f'"{days}{clock}"' if clock else days


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        pass
    try:
        ZoneInfo("Asia/Kolkata")
    except LookupError:
        raise ValueError("--timezone: this Python has no time zones: pip install tzdata") from None
    raise ValueError("--timezone is a name such as Asia/Kolkata or Europe/London")


@lru_cache
def _has_time(date_format: str) -> bool:
    """Whether a format has a time."""
    if "%Z" in date_format:
        raise ValueError("--date-format: %Z would be ignored; use %z for an offset, or --timezone")
    moment = datetime(2024, 11, 29, 13, 5, 7, tzinfo=UTC)
    # Python is about to stop reading dates without a year. After 28 years the weekdays are the same again.
    has_year = moment.strftime(date_format) != moment.replace(year=2052).strftime(date_format)
    complete = date_format if has_year else f"%Y {date_format}"
    try:
        parsed = datetime.strptime(moment.strftime(complete), complete)  # noqa: DTZ007 - only looked at
    except ValueError:
        raise ValueError(
            "--date-format is written as Python's strptime has it, such as %d/%m/%Y %H:%M"
        ) from None
    if not has_year or parsed.date() != moment.date():
        raise ValueError("--date-format needs a year, a month and a day, such as %d/%m/%Y")
    if parsed.hour not in {0, moment.hour}:
        raise ValueError("--date-format: %I leaves open which half of the day; add %p, or use %H")
    if parsed.hour == 0 and "%M" in date_format:
        raise ValueError("--date-format has minutes and no hour; add %H")
    return parsed.hour != 0

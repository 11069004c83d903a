"""Convert a cell to a value that LeadSquared accepts, or say what is wrong with it. Pure.

No message shows a cell.
"""

from __future__ import annotations

import re
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from leadsquared_async.contact import MARKS, is_placeholder

__all__ = [
    "ANY_FORMAT", "MERGED", "PADDING", "PLACEHOLDER", "SERIAL_DATE", "UNREAD", "CellError", "Dates",
    "bare_text", "date_format_of", "identifier_flaw", "is_of_a_test", "is_serial_date", "phone_flaw",
    "spreadsheet_flaw", "text_flaw",
]  # fmt: skip


class CellError(ValueError):
    """A cell is invalid or ambiguous; the message says why and what to do."""


# All of Python's white space, and invisible marks that word processors and chats add to copied text.
PADDING = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    f"\u200a\u2028\u2029\u202f\u205f\u3000{MARKS}"
)
ANY_FORMAT = "FORMAT, such as %d/%m/%Y"
PLACEHOLDER = "is a placeholder; leads that share it would become one lead: empty it, or pass --empty"
SERIAL_DATE = (
    "is a number, as spreadsheets store dates: format the column as a date there, and save or export it again"
)
MERGED, UNREAD = "#MERGED", "#UNREAD"
"""Stand for cells of a workbook: one that is merged with the cell that has the value, and a refused one.

Both are refused until they are filled in, also when the rejects are read.
"""
_INVISIBLE = re.compile(f"[\xa0\xad\u200c\u200d{MARKS}]")
# Those from U+007F on come from a wrong encoding.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+")
_COULD_BE_A_CODE = re.compile(r"\d+[eE]\d+")
_ERROR = re.compile(r"#(?:N/A|NV|DIV/0!|GETTING_DATA|[A-Z]+[!?]|#+)")
_TEST_LEAD = re.compile(r"<test lead: dummy data\b", re.IGNORECASE)
_RE_EXPORT = "format the column as text or as a number without decimals, and export it again"
_OF_A_WORKBOOK = {
    MERGED: "is merged with another cell, which has the value: unmerge the cells and fill in each, or pass "
    f'--empty "{MERGED}"',
    UNREAD: "could not be read from the workbook: fill it in",
}
_IF_MEANT = "if it is correct, pass --verbatim with the column"


def bare_text(cell: str) -> str:
    """Strip white space, no-break spaces and invisible marks."""
    return cell.strip(PADDING)


def text_flaw(text: str) -> str | None:
    """Why no column accepts the text."""
    if text.isascii() and text.isprintable():
        return _OF_A_WORKBOOK.get(text)
    if "\ufffd" in text:
        return "contains a replacement character from an earlier wrong decoding: export it again as UTF-8"
    if _CONTROL.search(text):
        return "contains a control character: remove it, or pass --encoding if the file has another encoding"
    return None


def is_of_a_test(cell: object) -> bool:
    """Whether the cell marks a test row of an ad platform; Facebook marks each cell."""
    return isinstance(cell, str) and cell[:1] == "<" and _TEST_LEAD.match(cell) is not None


def identifier_flaw(text: str, *, placeholders: bool = True) -> str | None:
    """Why LeadSquared cannot find a lead by the value; `placeholders` includes placeholders."""
    if placeholders and is_placeholder(text):
        return PLACEHOLDER
    return "contains an invisible character: type it again" if _INVISIBLE.search(text) else None


def spreadsheet_flaw(text: str) -> str | None:
    """Why a text looks damaged by a spreadsheet."""
    first = text[0]
    if first.isdigit() or first in "+-":
        if _SCIENTIFIC.fullmatch(text) and not _COULD_BE_A_CODE.fullmatch(text):
            return f"a spreadsheet shortened the number: {_RE_EXPORT}; {_IF_MEANT}"
    elif first == "#" and _ERROR.fullmatch(text):
        return f"is a spreadsheet error: correct it, or empty it; {_IF_MEANT}"
    elif text.startswith('="'):
        return f"is a formula: export its value; {_IF_MEANT}"
    return None


def phone_flaw(text: str) -> str | None:
    """Why a phone number looks damaged by a spreadsheet."""
    if _SCIENTIFIC.fullmatch(text):
        return f"a spreadsheet shortened the number: {_RE_EXPORT}"
    if re.fullmatch(r"[+-]?\d+[.,]0+", text):
        return f"a spreadsheet added decimals to the number: {_RE_EXPORT}"
    if text.startswith(("'", "=")):
        return "begins with ' or =, which only a spreadsheet needs: remove it"
    return "is a spreadsheet error: correct it, or empty it" if _ERROR.fullmatch(text) else None


class Dates:
    """Parses dates in a run's format; times without an offset need the timezone."""

    def __init__(self, date_format: str | None = None, timezone: str | None = None) -> None:
        self._format = date_format
        self._has_time = date_format is not None and _has_time(date_format)
        self._zone = None if timezone is None else _zone(timezone)

    def read(self, text: str) -> date:
        """Parse a date, or a datetime with its zone."""
        return self.with_zone(self._parsed(text))

    def with_zone(self, moment: date) -> date:
        """Add the zone to a datetime without an offset."""
        if not isinstance(moment, datetime):
            return moment
        if moment.year in {MINYEAR, MAXYEAR}:  # may overflow in UTC
            raise CellError("has an impossible year: correct it, or empty it")
        if moment.utcoffset() is not None:
            return moment
        if self._zone is None:
            raise CellError("is a time without a zone: pass --timezone, such as Asia/Kolkata")
        local = moment.replace(tzinfo=self._zone)
        if local.utcoffset() == local.replace(fold=1).utcoffset():
            return local
        # The two readings differ. A time that exists survives a round trip through UTC.
        exists = local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) == moment
        happened = "repeated this time" if exists else "skipped this time"
        raise CellError(f"the clocks {happened} in --timezone: correct it, or add its offset")

    def _parsed(self, text: str) -> date:
        try:
            if self._format is not None:
                moment = datetime.strptime(text, self._format)  # noqa: DTZ007 - its zone comes later
                return moment if self._has_time else moment.date()
            day, divider, _ = text.partition("T" if "T" in text else " ")
            # Python accepts any separator here, so it would parse some long numbers as times.
            found = date.fromisoformat(day)
            return datetime.fromisoformat(text) if divider else found
        except ValueError:
            if is_serial_date(text):
                raise CellError(SERIAL_DATE) from None
            if self._format is not None:
                raise CellError("does not match --date-format: correct it, or change --date-format") from None
            example = date_format_of(text)
            advice = f"pass --date-format {example or ANY_FORMAT}"
            raise CellError(f"is not a date such as 2024-02-29: correct it, or {advice}") from None


def is_serial_date(text: str) -> bool:
    """Whether it may be the number of a date between 1927 and 2173, as spreadsheets store it."""
    return re.fullmatch(r"[1-9]\d{4}(?:\.\d+)?", text) is not None


def date_format_of(text: str) -> str | None:
    """The format of a date whose day and month are unambiguous."""
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
        raise ValueError("--timezone: Python has no time zone data: pip install tzdata") from None
    raise ValueError("--timezone must be a name such as Asia/Kolkata or Europe/London")


@lru_cache
def _has_time(date_format: str) -> bool:
    if "%Z" in date_format:
        raise ValueError("--date-format: %Z would be ignored; use %z for an offset, or --timezone")
    moment = datetime(2024, 11, 29, 13, 5, 7, tzinfo=UTC)
    try:  # Windows' strftime raises for codes that it does not know
        # Python is about to reject dates without a year. Weekdays repeat after 28 years.
        has_year = moment.strftime(date_format) != moment.replace(year=2052).strftime(date_format)
        complete = date_format if has_year else f"%Y {date_format}"
        parsed = datetime.strptime(moment.strftime(complete), complete)  # noqa: DTZ007 - only inspected
    except ValueError:
        raise ValueError("--date-format must use Python's strptime codes, such as %d/%m/%Y %H:%M") from None
    if not has_year or parsed.date() != moment.date():
        raise ValueError("--date-format needs a year, a month and a day, such as %d/%m/%Y")
    if parsed.hour not in {0, moment.hour}:
        raise ValueError("--date-format: %I does not say which half of the day; add %p, or use %H")
    if parsed.hour == 0 and "%M" in date_format:
        raise ValueError("--date-format has minutes without an hour; add %H")
    return parsed.hour != 0

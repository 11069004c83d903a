"""A row into a lead, by the options of a run; or a refusal that names the line and the column.

Pure. Nothing is mapped by guess, and no cell stands in any message.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeGuard
from zoneinfo import ZoneInfo

from leadsquared_async.cli.files.rows import REASON, Row
from leadsquared_async.contact import MARKS, bare_phone, is_placeholder

__all__ = ["LeadMapping", "Refused"]

LONGEST_KEY = 500  # characters; as the outbox has it
SCHEMA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")  # as `leadsquared_async.lead` has it
# Headings as they are often written, without their blanks and signs; only ever suggested.
USUAL_HEADINGS = {
    "EmailAddress": ("email", "emailaddress", "emailid", "mail", "mailid"),
    "FirstName": ("firstname", "givenname", "forename"),
    "LastName": ("lastname", "surname", "familyname"),
    "Phone": ("phone", "phoneno", "phonenumber", "telephone", "telephonenumber", "tel", "contactnumber"),
    "Mobile": ("mobile", "mobileno", "mobilenumber", "mobilephone", "cell", "cellphone"),
    "Company": ("company", "companyname", "organisation", "organization"),
    "JobTitle": ("jobtitle", "designation"),
    "Website": ("website", "websiteurl"),
    "Source": ("source", "leadsource"),
    "ProspectStage": ("prospectstage", "leadstage"),
    "ProspectID": ("prospectid", "leadid"),
    "Notes": ("notes",),
    "mx_Street1": ("street", "street1", "address1", "addressline1"),
    "mx_Street2": ("street2", "address2", "addressline2"),
    "mx_City": ("city",),
    "mx_State": ("state",),
    "mx_Country": ("country",),
    "mx_Zip": ("zip", "zipcode", "pincode", "postcode", "postalcode"),
}
_SUGGESTED = {heading: name for name, headings in USUAL_HEADINGS.items() for heading in headings}


class Refused(ValueError):
    """A row that makes no lead for certain, or an option that makes no sense.

    Attributes:
        line: the line of the file where the row begins; None if no row is concerned.
        column: the heading; None if no single column is concerned.
    """

    def __init__(self, what: str, line: int | None = None, column: str | None = None) -> None:
        super().__init__(what, line, column)
        self.what = what
        self.line = line
        self.column = column

    def __str__(self) -> str:
        line = () if self.line is None else (f"line {self.line}",)
        column = () if self.column is None else (f'column "{_shown(self.column)}"',)
        place = ", ".join((*line, *column))
        return f"{place}: {self.what}" if place else self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadMapping:
    """How the rows of a run become leads.

    A column whose heading is a schema name becomes that attribute; any other has to be mapped or ignored.
    The reasons in a file of rejects are ignored by themselves.

    Attributes:
        columns: from heading to schema name. A usual heading that is not LeadSquared's name, such as "Email",
            is refused even where it could be one; mapping it to itself says that it is meant.
        constants: from schema name to the value that every lead gets.
        ignored: headings of columns that are not sent.
        dates: headings or schema names of the columns that hold dates or times.
        date_format: how these are written, as `datetime.strptime` has it; ISO 8601 if None.
        timezone: the name of the zone that their times are in, such as "Asia/Kolkata"; an offset in a cell
            has priority. A date without a time is sent as it stands.
        verbatim: headings or schema names of the columns where what looks like a spreadsheet's damage, such
            as 12E+3 or #N/A, is meant. Phone and Mobile stay checked, and are refused here.
        key_column: the heading of the column whose cell is the row's key.
        search_by: the attribute that LeadSquared finds the lead by.

    Raises:
        Refused: one of them makes no sense, whatever the file.
    """

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    constants: Mapping[str, str] = field(default_factory=dict[str, str])
    ignored: Collection[str] = ()
    dates: Collection[str] = ()
    date_format: str | None = None
    timezone: str | None = None
    verbatim: Collection[str] = ()
    key_column: str | None = None
    search_by: str | None = None

    def __post_init__(self) -> None:
        for column, attribute in self.columns.items():
            if flaw := _flaw_of_name(attribute):
                raise Refused(f'--map "{_shown(column)}=...": what it is mapped to {flaw}')
            if column in self.ignored:
                raise Refused(f'"{_shown(column)}" is mapped and ignored; leave one of them out')
        for attribute, value in self.constants.items():
            if flaw := _flaw_of_name(attribute):
                raise Refused(f"--set NAME=VALUE: its name {flaw}")
            if not value.strip():
                raise Refused(f"--set {attribute}: has no value; it would clear the field of every lead")
            if flaw := _flaw_of_text(value):
                raise Refused(f"--set {attribute}: {flaw}")
        self._check_verbatim()
        if not self.dates and (self.date_format or self.timezone):
            raise Refused("--date-format and --timezone are about columns with dates; name them with --date")
        if self.date_format is not None:
            _has_time(self.date_format)
        if self.timezone is not None:
            _zone(self.timezone)

    def _check_verbatim(self) -> None:
        for name in self.verbatim:
            if self.columns.get(name, name) in _ALWAYS_CALLED:
                raise Refused(
                    f'--verbatim "{_shown(name)}": Phone and Mobile stay checked, since a number that a '
                    "spreadsheet has damaged calls nobody"
                )

    def check(self, headings: Iterable[str]) -> None:
        """See that every column of a file has its place, and every option its column.

        Raises:
            Refused: with a line for each that has not, and what to do about it.
        """
        columns = list(headings)
        problems: list[str] = []
        meant: dict[str, str] = {}
        for position, column in enumerate(columns, start=1):
            try:
                attribute = self._attribute(column)
            except Refused as refused:
                place = f"column {position}" if _looks_like_a_value(column) else f'column "{_shown(column)}"'
                problems.append(f"{place}: {refused.what}")
                continue
            if attribute is None:
                continue
            if attribute in self.constants:
                problems.append(
                    f'{attribute}: is set, and is column "{_shown(column)}"; leave one of them out'
                )
            if attribute in meant:
                both = f'"{_shown(meant[attribute])}" and "{_shown(column)}"'
                problems.append(f"{attribute}: columns {both} are both mapped to it; ignore one of them")
            meant[attribute] = column
        problems += self._without_column({*columns}, {*meant})
        if problems:
            raise Refused("\n".join(problems))

    def lead(self, row: Row) -> dict[str, Any]:
        """The lead that a row makes, for `leads.capture`.

        White space, no-break spaces and invisible marks around a cell are cut off: around an address or a
        number they are never meant, and LeadSquared would not find the lead by it. A cell that is empty
        then leaves its attribute out, in JSON too: it does not clear the field. A telephone number also loses
        the invisible marks inside it and the prefix of an export, such as p: or tel:. A placeholder, such as
        NULL, is refused where LeadSquared finds leads by it.

        A number that a spreadsheet has shortened (9.98878E+09, 1,23457E+11) is refused in every column that
        is not verbatim. One without sign and fraction (12E3) could be a code, and is refused only in columns
        with telephone numbers. There a number that became a fraction (9988776655.0) is refused as well.

        Raises:
            Refused: a cell cannot be sent for certain, or none is left to be sent.
        """
        lead: dict[str, Any] = {}
        attributes = {*self.constants}
        for column, cell in row.cells.items():
            try:
                attribute = self._attribute(column)
                value = None if attribute is None else self._value(cell, column, attribute)
            except Refused as refused:
                raise Refused(refused.what, row.line, column) from None
            if attribute is None:
                continue
            if attribute in attributes:
                raise Refused(f"{attribute} is set twice; leave one of them out", row.line, column)
            attributes.add(attribute)
            if value is not None:
                lead[attribute] = value
        if not lead:
            raise Refused("no cell is left that would be sent; fill one in, or remove the row", row.line)
        return lead | dict(self.constants)

    def key_of(
        self, row: Row, lead: Mapping[str, Any], options: Mapping[str, str | None] | None = None
    ) -> str:
        """What tells a row from any other in all runs: the same for the same lead, another once it is edited.

        It is the cell of the key column without what surrounds it, which may be personal data; or else a
        SHA-256 over the lead, `search_by` and the options. The row's place and the file's name are no part
        of it.

        Args:
            row: the row.
            lead: what `lead` has made of it.
            options: what else changes what is sent, such as `update_behavior`.

        Raises:
            Refused: the cell of the key column is empty, damaged or too long, or neither text nor a whole
                number.
        """
        if self.key_column is not None:
            try:
                return self._key(row.cells.get(self.key_column), self.key_column)
            except Refused as refused:
                raise Refused(refused.what, row.line, self.key_column) from None
        given = {name: value for name, value in (options or {}).items() if value is not None}
        text = json.dumps([lead, self.search_by, given], sort_keys=True, default=_canonical)
        return hashlib.sha256(text.encode()).hexdigest()

    def _key(self, cell: object, column: str) -> str:
        if isinstance(cell, int) and not isinstance(cell, bool):
            cell = str(cell)
        if not isinstance(cell, str | None):
            raise Refused("a key is text or a whole number")
        key = self._text(cell or "", column, column)
        if key is None:
            raise Refused("the key is empty; fill it in, or leave out --key")
        if len(key) > LONGEST_KEY:
            raise Refused(f"the key is longer than {LONGEST_KEY} characters; shorten it, or leave out --key")
        if any("\ud800" <= character <= "\udfff" for character in key):
            raise Refused("the key holds half of a surrogate pair, which is no text; correct it")
        return key

    def _attribute(self, column: str) -> str | None:
        """The attribute that a column becomes, None if it is not sent."""
        if column in self.columns:
            return self.columns[column]
        if column in self.ignored or column == REASON:
            return None
        if _looks_like_a_value(column):
            raise Refused("its heading looks like a value; the first line has to be the header")
        suggested = _SUGGESTED.get(re.sub(r"[\W_]", "", column.casefold()))
        flaw = _flaw_of_name(column)
        if flaw is None and suggested in {None, column}:
            return column
        flaw = flaw or f"is not LeadSquared's name for {suggested}"
        shown = _shown(column)
        mapped, ignored = _quoted(f"{shown}={suggested or 'SCHEMA_NAME'}"), _quoted(shown)
        raise Refused(f"its heading {flaw}; pass --map {mapped} or --ignore {ignored}")

    def _without_column(self, columns: set[str], attributes: set[str]) -> list[str]:
        """What is wrong with the options that name a column or an attribute."""
        named = [
            ("--map", self.columns, columns),
            ("--ignore", self.ignored, columns),
            ("--key", () if self.key_column is None else (self.key_column,), columns),
            ("--date", self.dates, columns | attributes),
            ("--verbatim", self.verbatim, columns | attributes),
        ]
        problems = [
            f'{option} "{_shown(name)}": no column has that heading'
            for option, names, known in named
            for name in names
            if name not in known
        ]
        search_by = "ProspectID" if self.search_by == "ProspectId" else self.search_by
        if search_by is not None and search_by not in attributes | {*self.constants}:
            problems.append(f"--search-by {_shown(search_by)}: no column becomes that attribute")
        return problems

    def _value(self, cell: object, column: str, attribute: str) -> Any:
        """The value that a cell becomes, None if the attribute is left out."""
        is_date = column in self.dates or attribute in self.dates
        if isinstance(cell, str):
            text = self._text(cell, column, attribute)
            return self._date(text) if is_date and text is not None else text
        if cell is not None and is_date:
            raise Refused("a date is text here, written in ISO 8601 or as --date-format says")
        if isinstance(cell, Decimal):
            return self._number(cell, column, attribute)
        if cell is None or isinstance(cell, int):
            return cell
        if _is_field_set(cell):
            fields = {name: self._field(inner, f"{attribute}.{name}") for name, inner in cell.items()}
            return {name: value for name, value in fields.items() if value is not None} or None
        raise Refused("holds a list, which has no one spelling; join its items into one text")

    def _field(self, cell: object, name: str) -> Any:
        if _is_field_set(cell):
            raise Refused("a field set holds no further field set")
        return self._value(cell, name, name)

    def _text(self, cell: str, column: str, attribute: str) -> str | None:
        """The text of a cell without what surrounds it, None if it is empty."""
        text = cell.strip(_PADDING)
        if not text:
            return None
        flaw = _flaw_of_text(text)
        if flaw is None and self._is_number_to_call(column, attribute):
            text = bare_phone(text)
            flaw = _flaw_of_number_to_call(text)
        if flaw is None and not self._is_verbatim(column, attribute):
            flaw = _flaw_of_spreadsheet(text)
        if flaw is None and attribute in _MATCHED_BY:
            flaw = _flaw_of_identifier(text)
        if flaw is not None:
            raise Refused(flaw)
        return text

    def _number(self, number: Decimal, column: str, attribute: str) -> Decimal:
        """A number that JSON has with a fraction or an exponent."""
        if self._is_number_to_call(column, attribute):
            raise Refused("a telephone number has neither decimals nor an exponent; write it as text")
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and exponent > 0 and not self._is_verbatim(column, attribute):
            raise Refused(f"the number has an exponent, and may have lost digits; {_RE_EXPORT}; {_IF_MEANT}")
        return number

    def _is_verbatim(self, column: str, attribute: str) -> bool:
        return column in self.verbatim or attribute in self.verbatim

    def _is_number_to_call(self, column: str, attribute: str) -> bool:
        if attribute in _ALWAYS_CALLED:
            return True
        return _CALLED.search(attribute) is not None and not self._is_verbatim(column, attribute)

    def _date(self, text: str) -> date:
        moment = _parsed(text, self.date_format)
        if not isinstance(moment, datetime):
            return moment
        if moment.year in {MINYEAR, MAXYEAR}:
            raise Refused("no time that a lead could have; correct it, or empty it")  # and UTC may have none
        if moment.utcoffset() is not None:
            return moment
        if self.timezone is None:
            raise Refused(
                "a time without a zone could be any of 24 hours; pass --timezone, such as Asia/Kolkata"
            )
        local = moment.replace(tzinfo=_zone(self.timezone))
        if local.utcoffset() == local.replace(fold=1).utcoffset():
            return local
        # The two readings differ; the first of a time that exists comes back from UTC as it was.
        exists = local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) == moment
        happened = "showed this time twice" if exists else "skipped this time"
        raise Refused(f"the clocks {happened} in --timezone; correct it, or write it with its offset")


# Names and options.


def _flaw_of_name(name: str) -> str | None:
    if not SCHEMA_NAME.fullmatch(name):
        return "is no schema name (a letter, then letters, digits and _)"
    return "is spelt ProspectID as an attribute" if name == "ProspectId" else None


def _looks_like_a_value(heading: str) -> bool:
    """Whether it is an address or a telephone number, which must not be shown."""
    return "@" in heading or re.search(r"\d(?:[ ()./+-]{0,2}\d){8}", heading) is not None


def _shown(heading: str) -> str:
    """A heading for a message: on one line, of a bearable length, and only if it is no value."""
    if _looks_like_a_value(heading):
        return "**********"
    text = "".join(character if character.isprintable() else " " for character in heading)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _quoted(word: str) -> str:
    """A word as a shell takes it."""
    return f'"{word}"' if re.fullmatch(r"[^\"$`\\!]+", word) else shlex.quote(word)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise Refused("--timezone is a name such as Asia/Kolkata or Europe/London") from None


@lru_cache
def _has_time(date_format: str) -> bool:
    """Whether a format has a time; one that would lose part of a date is refused."""
    if "%Z" in date_format:
        raise Refused("--date-format: %Z would be passed over; use %z for an offset, or --timezone")
    moment = datetime(2024, 11, 29, 13, 5, 7, tzinfo=UTC)
    # Python is about to stop reading dates without a year. After 28 years the weekdays are the same again.
    has_year = moment.strftime(date_format) != moment.replace(year=2052).strftime(date_format)
    complete = date_format if has_year else f"%Y {date_format}"
    try:
        parsed = datetime.strptime(moment.strftime(complete), complete)  # noqa: DTZ007 - only looked at
    except ValueError:
        raise Refused(
            "--date-format is written as Python's strptime has it, such as %d/%m/%Y %H:%M"
        ) from None
    if not has_year or parsed.date() != moment.date():
        raise Refused("--date-format needs a year, a month and a day, such as %d/%m/%Y")
    if parsed.hour not in {0, moment.hour}:
        raise Refused("--date-format: %I leaves open which half of the day; add %p, or use %H")
    if parsed.hour == 0 and "%M" in date_format:
        raise Refused("--date-format has minutes and no hour; add %H")
    return parsed.hour != 0


# Cells.

# All that Python takes for white space, and marks that word processors and chats put around what is copied.
_PADDING = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    f"\u200a\u2028\u2029\u202f\u205f\u3000{MARKS}"
)
_INVISIBLE = re.compile(f"[\xa0\xad\u200c\u200d{MARKS}]")
_MATCHED_BY = frozenset({"EmailAddress", "Phone", "Mobile", "ProspectID"})
_ALWAYS_CALLED = frozenset({"Phone", "Mobile"})
_CALLED = re.compile(r"phone|mobile|whatsapp", re.IGNORECASE)
# From U+007F on they are what is left of another encoding.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+")
_COULD_BE_A_CODE = re.compile(r"\d+[eE]\d+")
_ERROR = re.compile(r"#(?:N/A|NV|DIV/0!|GETTING_DATA|[A-Z]+[!?]|#+)")
_RE_EXPORT = "format the column as text or as a number without decimals, and export it again"
_IF_MEANT = "if it is meant, pass --verbatim with the column"


def _flaw_of_text(text: str) -> str | None:
    if "\ufffd" in text:
        return "holds a replacement character: it was decoded wrongly before; export it again as UTF-8"
    if _CONTROL.search(text):
        return (
            "holds a control character; remove it, or pass --encoding if the file is not what it was read as"
        )
    return None


def _flaw_of_identifier(text: str) -> str | None:
    if is_placeholder(text):
        return "holds a placeholder; leads that share it would become one lead: empty the cell"
    return "holds an invisible character; type it anew" if _INVISIBLE.search(text) else None


def _flaw_of_spreadsheet(text: str) -> str | None:
    if _SCIENTIFIC.fullmatch(text) and not _COULD_BE_A_CODE.fullmatch(text):
        return f"a spreadsheet has shortened the number; {_RE_EXPORT}; {_IF_MEANT}"
    if _ERROR.fullmatch(text):
        return f"holds a spreadsheet's error; correct it, or empty it; {_IF_MEANT}"
    if text.startswith('="'):
        return f"holds a formula; export its value; {_IF_MEANT}"
    return None


def _flaw_of_number_to_call(text: str) -> str | None:
    if _SCIENTIFIC.fullmatch(text):
        return f"a spreadsheet has shortened the number; {_RE_EXPORT}"
    if re.fullmatch(r"[+-]?\d+[.,]0+", text):
        return f"the number ends in decimals that it never had; {_RE_EXPORT}"
    if text.startswith(("'", "=")):
        return "begins with a sign that a spreadsheet needs; remove it"
    return "holds a spreadsheet's error; correct it, or empty it" if _ERROR.fullmatch(text) else None


def _parsed(text: str, date_format: str | None) -> date:
    """A date, or a datetime if there is a time."""
    try:
        if date_format is not None:
            moment = datetime.strptime(text, date_format)  # noqa: DTZ007 - its zone is the caller's
            return moment if _has_time(date_format) else moment.date()
        day, divider, _ = text.partition("T" if "T" in text else " ")
        # Python lets any character divide the two, so that it reads some long numbers as times.
        found = date.fromisoformat(day)
        return datetime.fromisoformat(text) if divider else found
    except ValueError:
        said = "in ISO 8601, such as 2024-02-29" if date_format is None else "as --date-format says"
        raise Refused(f"no date {said}; correct it, or pass another --date-format") from None


def _canonical(value: object) -> str:
    """What JSON has no word for, as it is sent."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date):
        return f"{value.isoformat()} 00:00:00"
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a lead from a file holds no {type(value).__name__}")


def _is_field_set(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)

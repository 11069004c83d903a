"""The rows of a file into leads, by the options of a run. Pure.

Nothing is mapped on a guess. A message shows no cell, and no heading that looks like a value.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from leadsquared_async.cli.exits import CommandFailedError
from leadsquared_async.cli.files import cells
from leadsquared_async.cli.files.cells import CellError, Dates
from leadsquared_async.cli.files.headings import (
    letters,
    looks_like_a_value,
    name_flaw,
    place_of,
    plain_heading,
    quoted,
    shown_heading,
    suggestions,
)
from leadsquared_async.cli.files.rows import REASON, Row
from leadsquared_async.cli.options import COLUMNS, LEADS, VALUES, option
from leadsquared_async.contact import bare_phone, phone
from leadsquared_async.encoding import IDENTIFIERS
from leadsquared_async.errors import ConfigurationError

__all__ = ["LONGEST_KEY", "Flaw", "LeadMapping", "Leads", "Made", "MappingError"]

KNOWN = 300
"""Cells of a column whose values are remembered."""
LONGEST_KEY = 500
"""Characters; as the outbox has it."""
NO_HEADING = "has no heading above this cell: pass --map {position}=SCHEMA_NAME or --ignore {position}"
NAMED = 30
"""Headings that a message lists."""
SUGGESTED = (
    "these headings are not schema names: add what is right of these options, and --ignore for the rest"
)
MATCHED_BY = frozenset({"EmailAddress", "Phone", "Mobile", "ProspectID"})
NUMBERS_TO_CALL = frozenset({"Phone", "Mobile"})
_CALLED = re.compile(r"phone|mobile|whatsapp", re.IGNORECASE)


class MappingError(CommandFailedError):
    """An option is invalid, or a column of the file has no place; a line for each."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a row.

    Attributes:
        column: the heading, fit to be shown; empty if the whole row is meant.
        message: what is wrong and what to do; holds no cell.
        attribute: the schema name; empty if no attribute is meant.
        kind: in a word.
        value: of a drop-down, the cell that is none of its options, unless it looks personal.
        nearest: the option that it resembles.
    """

    column: str
    message: str
    attribute: str = ""
    kind: str = "refused"
    value: str | None = field(default=None, repr=False, compare=False)
    nearest: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        if self.column:
            quote = "" if self.column.isdigit() else '"'  # else it is a position
            return f"column {quote}{self.column}{quote}: {self.message}"
        return f"{self.attribute}: {self.message}" if self.attribute else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadMapping:
    """How rows become leads. A column is named by its heading in its plain form, or by its position, from 1.

    A column whose heading is a schema name becomes that attribute; any other has to be mapped or ignored. A
    usual heading that is not LeadSquared's name, such as "Email", is refused even where it could be one;
    mapping it to itself says that it is meant. Dates, verbatim and values may name a schema name as well.
    """

    columns: Annotated[
        Mapping[str, str], option("--map COLUMN=NAME", "The schema name that a column becomes.", COLUMNS)
    ] = field(default_factory=dict[str, str])
    ignored: Annotated[Collection[str], option("--ignore COLUMN", "A column that is not sent.", COLUMNS)] = ()
    constants: Annotated[
        Mapping[str, str],
        option("--set NAME=VALUE", "What every lead gets, such as Source=Website.", COLUMNS),
    ] = field(default_factory=dict[str, str])
    key_column: Annotated[
        str | None,
        option("--key COLUMN", "Your own id of each row; by default all that is sent of it.", COLUMNS),
    ] = None
    dates: Annotated[
        Collection[str], option("--date COLUMN", "A column that holds dates or times.", VALUES)
    ] = ()
    date_format: Annotated[
        str | None,
        option(
            "--date-format FORMAT",
            "How they are written, such as %d/%m/%Y %H:%M; by default ISO 8601.",
            VALUES,
        ),
    ] = None
    timezone: Annotated[
        str | None, option("--timezone ZONE", "The zone of times, such as Asia/Kolkata.", VALUES)
    ] = None
    phone_region: Annotated[
        str | None,
        option(
            "--phone COUNTRY",
            "Write phone numbers as LeadSquared does; COUNTRY, such as IN, is for those without one.",
            VALUES,
        ),
    ] = None
    empty: Annotated[
        Collection[str], option("--empty TEXT", "A cell that counts as empty, such as NULL.", VALUES)
    ] = ()
    values: Annotated[
        Collection[str], option("--value COLUMN:WRONG=RIGHT", "A cell that is sent as another.", VALUES)
    ] = ()
    verbatim: Annotated[
        Collection[str],
        option(
            "--verbatim COLUMN",
            "Send this column as is, even if a value looks like a spreadsheet's damage (12E+3, #N/A).",
            VALUES,
        ),
    ] = ()
    search_by: Annotated[
        str | None, option("--search-by NAME", "The attribute that LeadSquared finds a lead by.", LEADS)
    ] = None
    partial: Annotated[
        bool, option("--partial", "The leads exist already: what a new one needs may be missing.", LEADS)
    ] = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file, and what its cells become: an attribute, or nothing.

    It is shown by its position if its heading looks like a value or is empty. An unnamed one has to be empty.
    What the first cells with text have become is known: in many columns a few values stand again and again.
    """

    shown: str
    attribute: str | None
    is_unnamed: bool = False
    is_date: bool = False
    is_verbatim: bool = False
    is_called: bool = False
    values: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    known: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)


@dataclass(slots=True)
class Made:
    """What a row makes: a lead without the attributes that have a flaw, and its key unless that has one."""

    lead: dict[str, Any] = field(repr=False)
    key: str | None = field(repr=False)
    flaws: list[Flaw]


class Leads:
    """Makes leads of the rows of one file.

    Without headings its rows name their own columns, as in JSON. `fields` are the display names of the
    account's lead fields, by schema name; `sent` is what else changes what is sent, and part of the key.
    """

    def __init__(
        self,
        mapping: LeadMapping,
        names: tuple[str, ...] | None,
        fields: Mapping[str, str] | None = None,
        sent: Mapping[str, str | None] | None = None,
    ) -> None:
        self._mapping = mapping
        self._is_table = names is not None
        self._suggested = suggestions(fields or {})
        self._checked = frozenset(IDENTIFIERS if fields else ())  # for placeholders, by the checker
        self._sent = {name: value for name, value in (sent or {}).items() if value is not None}
        self._empty = frozenset(map(cells.bare_text, mapping.empty))
        self._columns = {plain_heading(name): attribute for name, attribute in mapping.columns.items()}
        self._key_column = None if mapping.key_column is None else plain_heading(mapping.key_column)
        _check_options(mapping)
        self._dates, self._normalize = _dates(mapping), _normalizer(mapping.phone_region)
        self.spellings: dict[str, Counter[str]] = {}
        self._plans: dict[tuple[str, ...], list[Column | Flaw]] = {}
        self.attributes = frozenset(mapping.columns.values()) | frozenset(mapping.constants)
        if names is not None:
            self._check_table(names)
            self.attributes |= {
                column.attribute or "" for column in self._plan(names) if isinstance(column, Column)
            }

    def make(self, row: Row) -> Made:
        """The lead that a row makes, its key, and all that is wrong with it.

        White space, no-break spaces and invisible marks around a cell are cut off: around an address or a
        number they are never meant, and LeadSquared would not find the lead by it. A cell that is empty then
        leaves its attribute out, in JSON too: it does not clear the field. A telephone number also loses the
        invisible marks inside it and the prefix of an export, such as p: or tel:. A placeholder, such as
        NULL, is refused where LeadSquared finds leads by it.

        A number that a spreadsheet has shortened (9.98878E+09, 1,23457E+11) is refused in every column that
        is not verbatim. One without sign and fraction (12E3) could be a code, and is refused only in columns
        with telephone numbers. There a number that became a fraction (9988776655.0) is refused as well.
        """
        if row.flaw is not None:
            return Made({}, None, [Flaw("", row.flaw)])
        if any(map(cells.is_of_a_test, row.cells)):
            return Made(
                {}, None, [Flaw("", "is a test row of an ad platform, which is never sent", kind="test_row")]
            )
        lead, flaws = dict[str, Any](), list[Flaw]()
        for column, cell in zip(self._plan(row.names), row.cells, strict=True):
            if isinstance(column, Flaw):
                flaws.append(column)
                continue
            if column.attribute is None:
                is_empty = cell is None or (isinstance(cell, str) and not cell.strip())
                if column.is_unnamed and not is_empty:
                    flaws.append(Flaw(column.shown, NO_HEADING.format(position=column.shown)))
                continue
            try:
                value = self._value(cell, column)
            except CellError as error:
                flaws.append(Flaw(column.shown, str(error), column.attribute))
                continue
            if value is not None:
                lead[column.attribute] = value
        if not lead and not flaws:
            flaws.append(Flaw("", "no cell is left that would be sent: fill one in, or remove the row"))
        lead |= self._mapping.constants
        if self._normalize is not None:
            lead = self._normalize(lead)
        return Made(lead, self._key(row, lead, flaws), flaws)

    def _key(self, row: Row, lead: Mapping[str, Any], flaws: list[Flaw]) -> str | None:
        """The cell of the key column, which may be personal data; else a SHA-256 over all that is sent.

        The row's place and the file's name are no part of it.
        """
        if self._key_column is None:
            text = json.dumps([lead, self._mapping.search_by, self._sent], sort_keys=True, default=_canonical)
            return hashlib.sha256(text.encode()).hexdigest()
        place = place_of(row.names, self._key_column)
        try:
            return _key_of("" if place is None else row.cells[place])
        except CellError as error:
            flaws.append(Flaw(shown_heading(self._key_column), str(error)))
            return None

    def _plan(self, names: tuple[str, ...]) -> list[Column | Flaw]:
        """What each column becomes; computed once for rows that share their columns."""
        plan = self._plans.get(names)
        if plan is None:
            if len(self._plans) >= 100:  # JSON with ever other names
                self._plans.clear()
            plain = names if self._is_table else tuple(map(plain_heading, names))
            plan = self._plans[names] = [self._column(plain, position) for position in range(len(plain))]
            seen = {*self._mapping.constants}
            for position, column in enumerate(plan):
                if isinstance(column, Column) and column.attribute is not None:
                    if column.attribute in seen:
                        plan[position] = Flaw(
                            column.shown, f"{column.attribute} is set twice: leave one of them out"
                        )
                    seen.add(column.attribute)
        return plan

    def _column(self, names: tuple[str, ...], position: int) -> Column | Flaw:
        mapping, heading = self._mapping, names[position]
        shown = shown_heading(heading, position)

        def is_named(options: Iterable[str]) -> bool:
            return any(name == attribute or place_of(names, name) == position for name in options)

        attribute: str | None = next(
            (given for name, given in self._columns.items() if place_of(names, name) == position), None
        )
        if heading == REASON or is_named(mapping.ignored):
            return Column(shown, None)
        if attribute is None and not heading:
            return Column(shown, None, is_unnamed=True)
        if attribute is None:
            if heading and names.count(heading) > 1:
                return Flaw(
                    shown,
                    f"several columns have this heading: name this one {position + 1} in --map or --ignore",
                )
            if flaw := self._heading_flaw(heading):
                kind = "heading" if letters(heading) in self._suggested else "refused"
                return Flaw(shown, flaw, kind=kind)
            attribute = heading
        values = dict(self._values_of(names, position, attribute))
        is_verbatim = is_named(mapping.verbatim)
        is_called = attribute in NUMBERS_TO_CALL or (
            _CALLED.search(attribute) is not None and not is_verbatim
        )
        return Column(shown, attribute, False, is_named(mapping.dates), is_verbatim, is_called, values)

    def _heading_flaw(self, heading: str) -> str | None:
        """Why a heading is no attribute by itself, and the options to choose from."""
        if looks_like_a_value(heading):
            return "its heading looks like a value: the first line has to hold the headings"
        suggested = self._suggested.get(letters(heading))
        flaw = name_flaw(heading)
        if flaw is None and suggested in {None, heading}:
            return None
        flaw = flaw or f"is not LeadSquared's name for {suggested}"
        mapped, ignored = (
            quoted(f"{shown_heading(heading)}={suggested or 'SCHEMA_NAME'}"),
            quoted(shown_heading(heading)),
        )
        return f"its heading {flaw}: pass --map {mapped} or --ignore {ignored}"

    def _values_of(self, names: tuple[str, ...], position: int, attribute: str) -> Iterable[tuple[str, str]]:
        for given in self._mapping.values:
            for colon in (match.start() for match in re.finditer(":", given)):
                name, (wrong, equals, right) = given[:colon], given[colon + 1 :].partition("=")
                if equals and (name.strip() == attribute or place_of(names, plain_heading(name)) == position):
                    yield cells.bare_text(wrong), right
                    break

    def _check_table(self, names: tuple[str, ...]) -> None:
        """See that every column has its place, and every option its column."""
        mapping, plan = self._mapping, self._plan(names)
        flaws = [(name, column) for name, column in zip(names, plan, strict=True) if isinstance(column, Flaw)]
        options = [
            f"--map {quoted(f'{shown_heading(name)}={self._suggested[letters(name)]}')}"
            for name, flaw in flaws
            if flaw.kind == "heading"
        ]
        problems = [SUGGESTED, *(f"{option} \\" for option in options[:-1]), options[-1]] if options else []
        problems += [str(flaw) for _, flaw in flaws if flaw.kind != "heading"]
        attributes = {column.attribute for column in plan if isinstance(column, Column)}
        named = [
            ("--map", self._columns),
            ("--ignore", mapping.ignored),
            ("--key", () if mapping.key_column is None else (mapping.key_column,)),
            ("--date", mapping.dates),
            ("--verbatim", mapping.verbatim),
        ]
        unknown = [
            f'{option} "{shown_heading(name)}": no column has that heading'
            for option, columns in named
            for name in columns
            if place_of(names, plain_heading(name)) is None
            and (option in {"--map", "--ignore", "--key"} or name not in attributes)
        ]
        if unknown:
            shown = ", ".join(f'"{shown_heading(name, place)}"' for place, name in enumerate(names[:NAMED]))
            problems += [*unknown, f"the headings are {shown}" + (", ..." if len(names) > NAMED else "")]
        used = sum(len(column.values) for column in plan if isinstance(column, Column))
        if used < len(mapping.values):
            problems.append('--value is written as "Column:Wrong=Right", with a column of the file')
        search_by = "ProspectID" if mapping.search_by == "ProspectId" else mapping.search_by
        if search_by is not None and search_by not in attributes | {*mapping.constants}:
            problems.append(f"--search-by {shown_heading(search_by)}: no column becomes that attribute")
        if problems:
            raise MappingError("\n".join(problems))

    def _value(self, cell: object, column: Column) -> Any:
        """The value that a cell becomes; None if the attribute is left out."""
        if isinstance(cell, str):
            if cell in column.known:
                return column.known[cell]
            text = cells.bare_text(cell)
            text = column.values.get(text, text) if column.values else text
            value = None if not text or text in self._empty else self._text(text, column)
            if len(column.known) < KNOWN:
                column.known[cell] = value
            return value
        if cell is None or (self._empty and str(cell) in self._empty):
            return None
        if isinstance(cell, date):
            return self._dates.with_zone(cell)
        if column.is_date:
            raise CellError(
                "holds a number: format it as a date in the workbook, or write text as --date-format says"
            )
        if isinstance(cell, Decimal):
            return _number(cell, column)
        if isinstance(cell, int):
            return cell
        if isinstance(cell, Mapping):
            return self._field_set(cell, column)  # pyright: ignore[reportUnknownArgumentType]
        raise CellError("holds a list: join its items into one text, or pass --ignore with the column")

    def _field_set(self, cell: Mapping[str, Any], column: Column) -> dict[str, Any] | None:
        found = dict[str, Any]()
        for name, inner in cell.items():
            if isinstance(inner, Mapping):
                raise CellError("a field set holds no further field set")
            path = f"{column.attribute}.{name}"
            is_date, is_verbatim = path in self._mapping.dates, path in self._mapping.verbatim
            is_called = _CALLED.search(path) is not None and not is_verbatim
            value = self._value(inner, Column(path, path, False, is_date, is_verbatim, is_called))
            if value is not None:
                found[name] = value
        return found or None

    def _text(self, text: str, column: Column) -> Any:
        flaw = cells.text_flaw(text)
        if flaw is None and column.is_called:
            text = bare_phone(text)
            flaw = cells.phone_flaw(text) if text else None
        if flaw is None and not column.is_verbatim:
            flaw = cells.spreadsheet_flaw(text)
        if flaw is None and column.attribute in MATCHED_BY:
            flaw = cells.identifier_flaw(text, placeholders=column.attribute not in self._checked)
        if flaw is not None:
            raise CellError(flaw)
        if column.attribute in NUMBERS_TO_CALL and self._normalize is None:
            patterns = self.spellings.setdefault(column.shown, Counter())
            pattern = re.sub(r"\d", "9", text)
            if pattern in patterns or len(patterns) < 100:
                patterns[pattern] += 1
        return self._dates.read(text) if column.is_date else text


def _number(number: Decimal, column: Column) -> Decimal:
    """A number that JSON has with a fraction or an exponent, or a workbook with a fraction."""
    if column.is_called:
        raise CellError("a telephone number has neither decimals nor an exponent: write it as text")
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent > 0 and not column.is_verbatim:
        raise CellError(
            "has an exponent, and may have lost digits: write it out, or pass --verbatim with the column"
        )
    return number


def _key_of(cell: object) -> str:
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    if not isinstance(cell, str | None):
        raise CellError("a key is text or a whole number")
    key = cells.bare_text(cell or "")
    flaw = None if not key else cells.text_flaw(key) or cells.spreadsheet_flaw(key)
    if not key:
        flaw = "the key is empty: fill it in, or leave out --key"
    elif len(key) > LONGEST_KEY:
        flaw = f"the key is longer than {LONGEST_KEY} characters: shorten it, or leave out --key"
    elif any("\ud800" <= character <= "\udfff" for character in key):
        flaw = "the key holds half of a surrogate pair, which is no text: correct it"
    if flaw is not None:
        raise CellError(flaw)
    return key


# Options.


def _check_options(mapping: LeadMapping) -> None:
    for column, attribute in mapping.columns.items():
        if flaw := name_flaw(attribute):
            raise MappingError(f'--map "{shown_heading(column)}=...": what it is mapped to {flaw}')
        if column in mapping.ignored:
            raise MappingError(f'"{shown_heading(column)}" is mapped and ignored: leave one of them out')
    for attribute, value in mapping.constants.items():
        if flaw := name_flaw(attribute):
            raise MappingError(f"--set NAME=VALUE: its name {flaw}")
        if not value.strip():
            raise MappingError(f"--set {attribute}: has no value; it would clear the field of every lead")
        if flaw := cells.text_flaw(value):
            raise MappingError(f"--set {attribute}: {flaw}")
    for name in mapping.verbatim:
        if mapping.columns.get(name, name) in NUMBERS_TO_CALL:
            raise MappingError(
                f'--verbatim "{shown_heading(name)}": Phone and Mobile stay checked, since a number that a '
                "spreadsheet has damaged calls nobody"
            )
    if not mapping.dates and mapping.date_format:
        raise MappingError("--date-format is about columns with dates: name them with --date")


def _dates(mapping: LeadMapping) -> Dates:
    try:
        return Dates(mapping.date_format, mapping.timezone)
    except ValueError as error:
        raise MappingError(str(error)) from None


def _normalizer(region: str | None) -> Callable[[Mapping[str, Any]], dict[str, Any]] | None:
    try:
        return None if region is None else phone(region)
    except ConfigurationError as error:
        raise MappingError(f"--phone: {error}") from None


def _canonical(value: object) -> str:
    """What JSON has no word for, as it is sent."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date):
        return f"{value.isoformat()} 00:00:00"
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a lead from a file holds no {type(value).__name__}")

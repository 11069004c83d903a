"""Map the rows of a file to leads, by the options of a run. Pure.

No mapping is guessed. Messages show no cell, and no heading that looks like a value.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
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
from leadsquared_async.cli.files.json_rows import is_object
from leadsquared_async.cli.files.rows import REASON, Row
from leadsquared_async.cli.options import COLUMNS, LEADS, VALUES, option
from leadsquared_async.contact import bare_phone, phone
from leadsquared_async.encoding import IDENTIFIERS
from leadsquared_async.errors import ConfigurationError

__all__ = ["LONGEST_KEY", "Flaw", "LeadMapping", "Leads", "Made", "MappingError"]

KNOWN = 300
"""Cells of a column whose values are cached."""
LONGEST_KEY = 500
"""Characters; the outbox has the same limit."""
NO_HEADING = "has no heading above this cell: pass --map {position}=SCHEMA_NAME or --ignore {position}"
NAMED = 30
"""Headings that a message lists at most."""
SUGGESTED = "these headings are not schema names: add the options that are right, and --ignore for the rest"
_NO_HEADINGS = "its heading looks like a value: the first line must have the headings"
MATCHED_BY = frozenset({"EmailAddress", "Phone", "Mobile", "ProspectID"})
PHONE_NUMBERS = frozenset({"Phone", "Mobile"})
_PHONE_NAME = re.compile(r"phone|mobile|whatsapp", re.IGNORECASE)


class MappingError(CommandFailedError):
    """An option is invalid, or a column is neither mapped nor ignored; one line for each."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a row.

    Attributes:
        column: the heading as messages show it; empty for the whole row.
        message: what is wrong and what to do; holds no cell.
        attribute: the schema name; empty if there is none.
        kind: one word.
        value: a cell that is not an option of its drop-down, unless it looks personal.
        nearest: the most similar option, or the likely date format.
    """

    column: str
    message: str
    attribute: str = ""
    kind: str = "refused"
    value: str | None = field(default=None, repr=False, compare=False)
    nearest: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        if self.column:
            quote = "" if self.column.isdigit() else '"'  # a position is not quoted
            return f"column {quote}{self.column}{quote}: {self.message}"
        return f"{self.attribute}: {self.message}" if self.attribute else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadMapping:
    """How rows become leads. A column is named by its heading in its plain form, or by its position, from 1.

    A part of an object in JSON is a column once an option names it, such as address.city.

    A column whose heading is a schema name becomes that attribute; any other must be mapped or ignored. A
    common heading that is not LeadSquared's name, such as "Email", is refused even if it could be a schema
    name; mapping it to itself allows it. Dates, verbatim and values may also name a schema name.
    """

    columns: Annotated[
        Mapping[str, str], option("--map COLUMN=NAME", "Send a column as this schema name.", COLUMNS)
    ] = field(default_factory=dict[str, str])
    ignored: Annotated[Collection[str], option("--ignore COLUMN", "Do not send this column.", COLUMNS)] = ()
    constants: Annotated[
        Mapping[str, str],
        option("--set NAME=VALUE", "A value for every lead, such as Source=Website.", COLUMNS),
    ] = field(default_factory=dict[str, str])
    key_column: Annotated[
        str | None,
        option("--key COLUMN", "The column with your own id; by default its values identify a row.", COLUMNS),
    ] = None
    dates: Annotated[Collection[str], option("--date COLUMN", "A column with dates or times.", VALUES)] = ()
    date_format: Annotated[
        str | None,
        option(
            "--date-format FORMAT",
            "Their format, such as %d/%m/%Y %H:%M; by default ISO 8601.",
            VALUES,
        ),
    ] = None
    timezone: Annotated[
        str | None,
        option("--timezone ZONE", "The zone of times without an offset, such as Asia/Kolkata.", VALUES),
    ] = None
    phone_region: Annotated[
        str | None,
        option(
            "--phone COUNTRY",
            "Send phone numbers in LeadSquared's spelling; COUNTRY, such as IN, is for local ones.",
            VALUES,
        ),
    ] = None
    empty: Annotated[
        Collection[str], option("--empty TEXT", "Treat a cell with this text as empty, such as NULL.", VALUES)
    ] = ()
    values: Annotated[
        Collection[str], option("--value COLUMN:WRONG=RIGHT", "Send one value as another.", VALUES)
    ] = ()
    verbatim: Annotated[
        Collection[str],
        option(
            "--verbatim COLUMN",
            "Send this column unchanged, even if a value looks damaged (12E+3, #N/A).",
            VALUES,
        ),
    ] = ()
    search_by: Annotated[
        str | None, option("--search-by NAME", "The attribute by which LeadSquared finds a lead.", LEADS)
    ] = None
    partial: Annotated[
        bool, option("--partial", "The leads exist already: mandatory fields may be missing.", LEADS)
    ] = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file, and the attribute that its cells become, if any.

    Messages show its position if its heading is empty or looks like a value.
    The cells of an unnamed column must be empty. `known` caches values, because many columns repeat a few.
    """

    shown: str
    attribute: str | None
    is_unnamed: bool = False
    is_date: bool = False
    is_verbatim: bool = False
    is_phone: bool = False
    values: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    known: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)


@dataclass(slots=True)
class Made:
    """A row's lead without the attributes that have a flaw, and its key unless that has one."""

    lead: dict[str, Any] = field(repr=False)
    key: str | None = field(repr=False)
    flaws: list[Flaw]


class Leads:
    """Makes leads from the rows of one file.

    `names` is None if each row names its columns, as in JSON. `fields` are the display names of the account's
    lead fields, by schema name. `sent` has other options that change what is sent; it is part of the key.
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
        self._checked = frozenset(IDENTIFIERS if fields else ())  # the checker finds their placeholders
        self._sent = {name: value for name, value in (sent or {}).items() if value is not None}
        self._empty = frozenset(map(cells.bare_text, mapping.empty))
        self._columns = {plain_heading(name): attribute for name, attribute in mapping.columns.items()}
        self._key_column = None if mapping.key_column is None else plain_heading(mapping.key_column)
        named = (*self._columns, self._key_column or "") if names is None else ()
        self._paths = {name[: dot.end()] for name in named for dot in re.finditer(r"\.", name)}
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
        """Make a row's lead and key, and find all of its flaws.

        White space, no-break spaces and invisible marks around a cell are removed: LeadSquared would not find
        a lead by an address or a number with them. An empty cell leaves its attribute out, in JSON too; it
        does not clear the field. Phone numbers also lose invisible marks inside and the prefix of an export,
        such as p: or tel:. Placeholders, such as NULL, are refused in attributes by which LeadSquared finds
        leads.

        A number that a spreadsheet shortened (9.98878E+09, 1,23457E+11) is refused unless its column is
        verbatim. One without a sign or fraction (12E3) could be a code, so only phone columns refuse it.
        Phone columns also refuse a number that became a fraction (9988776655.0).
        """
        if row.flaw is not None:
            return Made({}, None, [Flaw("", row.flaw)])
        if any(map(cells.is_of_a_test, row.cells)):
            return Made(
                {}, None, [Flaw("", "is a test row of an ad platform, which is never sent", kind="test_row")]
            )
        if self._paths:
            pairs = list(self._flattened(row.names, row.cells))
            row = replace(row, names=tuple(name for name, _ in pairs), cells=tuple(cell for _, cell in pairs))
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
            flaws.append(Flaw("", "all cells that would be sent are empty: fill one in, or remove the row"))
        lead |= self._mapping.constants
        if self._normalize is not None:
            lead = self._normalize(lead)
        return Made(lead, self._key(row, lead, flaws), flaws)

    def _flattened(self, names: Iterable[str], values: Iterable[Any]) -> Iterator[tuple[str, Any]]:
        """Make a column, such as address.city, of each part of an object that --map or --key names so."""
        for name, value in zip(names, values, strict=True):
            if is_object(value) and f"{plain_heading(name)}." in self._paths:
                yield from self._flattened([f"{name}.{part}" for part in value], value.values())
            else:
                yield name, value

    def _key(self, row: Row, lead: Mapping[str, Any], flaws: list[Flaw]) -> str | None:
        """The cell of the key column, which may be personal data; else a SHA-256 of all that is sent.

        The row's position and the file's name are not part of it.
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
        """The plan for each column, cached for rows with the same columns."""
        plan = self._plans.get(names)
        if plan is None:
            if len(self._plans) >= 100:  # JSON whose names keep changing
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
            return any(name == attribute or is_here(name) for name in options)

        def is_here(name: str) -> bool:
            return place_of(names, plain_heading(name)) == position

        mapped, ignored = list(filter(is_here, self._columns)), list(filter(is_here, mapping.ignored))
        if len(mapped) + bool(ignored) > 1:
            return Flaw(shown, "is named twice in --map and --ignore: leave one of them out")
        if heading == REASON or ignored:
            return Column(shown, None)
        if mapped and mapped[0] != heading and looks_like_a_value(heading):
            return Flaw(shown, _NO_HEADINGS)
        attribute = self._columns[mapped[0]] if mapped else None
        if attribute is None and not heading:
            return Column(shown, None, is_unnamed=True)
        if attribute is None:
            if heading and names.count(heading) > 1:
                return Flaw(
                    shown,
                    f"several columns have this heading: use position {position + 1} in --map or --ignore",
                )
            if flaw := self._heading_flaw(heading):
                kind = "heading" if letters(heading) in self._suggested else "refused"
                return Flaw(shown, flaw, kind=kind)
            attribute = heading
        values = dict(self._values_of(names, position, attribute))
        is_verbatim = is_named(mapping.verbatim)
        is_phone = attribute in PHONE_NUMBERS or (
            _PHONE_NAME.search(attribute) is not None and not is_verbatim
        )
        return Column(shown, attribute, False, is_named(mapping.dates), is_verbatim, is_phone, values)

    def _heading_flaw(self, heading: str) -> str | None:
        """Why a heading is not an attribute, and the options that help."""
        if looks_like_a_value(heading):
            return _NO_HEADINGS
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
        """Raise unless every column is mapped or ignored, and every option names a column."""
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
            problems.append('--value must be "Column:Wrong=Right", with a column of the file')
        search_by = "ProspectID" if mapping.search_by == "ProspectId" else mapping.search_by
        if search_by is not None and search_by not in attributes | {*mapping.constants}:
            problems.append(f"--search-by {shown_heading(search_by)}: no column is mapped to that attribute")
        if problems:
            raise MappingError("\n".join(problems))

    def _value(self, cell: object, column: Column) -> Any:
        """The value that a cell becomes; None if the attribute is left out."""
        if column.values and isinstance(cell, int | Decimal):
            cell = _as_in_values(cell, column.values)
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
        if isinstance(cell, datetime) and not column.is_date:
            # The rejects have it as text, which is converted only then.
            raise CellError("is a time: pass --date with the column, and --timezone, such as Asia/Kolkata")
        if isinstance(cell, date):
            return self._dates.with_zone(cell)
        if column.is_date:
            raise CellError(cells.SERIAL_DATE)
        if isinstance(cell, Decimal):
            return _number(cell, column)
        if isinstance(cell, int):
            return cell
        if is_object(cell):
            return self._field_set(cell, column)
        raise CellError("is a list: join its items into one text, or pass --ignore with the column")

    def _field_set(self, cell: Mapping[str, Any], column: Column) -> dict[str, Any] | None:
        found = dict[str, Any]()
        for name, inner in cell.items():
            if isinstance(inner, Mapping):
                raise CellError(
                    "a field set cannot contain another field set: map each part, as in --map a.b.c=mx_City"
                )
            path = f"{column.attribute}.{name}"
            is_date, is_verbatim = path in self._mapping.dates, path in self._mapping.verbatim
            is_phone = _PHONE_NAME.search(path) is not None and not is_verbatim
            value = self._value(inner, Column(path, path, False, is_date, is_verbatim, is_phone))
            if value is not None:
                found[name] = value
        return found or None

    def _text(self, text: str, column: Column) -> Any:
        flaw = cells.text_flaw(text)
        if flaw is None and column.is_phone:
            text = bare_phone(text)
            flaw = cells.phone_flaw(text) if text else None
        if flaw is None and not column.is_verbatim:
            flaw = cells.spreadsheet_flaw(text)
        if flaw is None and column.attribute in MATCHED_BY:
            flaw = cells.identifier_flaw(text, placeholders=column.attribute not in self._checked)
        if flaw is not None:
            raise CellError(flaw)
        if column.attribute in PHONE_NUMBERS and self._normalize is None:
            patterns = self.spellings.setdefault(column.shown, Counter())
            pattern = re.sub(r"\d", "9", text)
            if pattern in patterns or len(patterns) < 100:
                patterns[pattern] += 1
        return self._dates.read(text) if column.is_date else text


def _as_in_values(cell: object, values: Mapping[str, str]) -> object:
    """A number or a truth value as --value writes it, or as it is."""
    text = str(cell)
    return next((each for each in (text, text.lower(), text.upper()) if each in values), cell)


def _number(number: Decimal, column: Column) -> Decimal:
    """Check a number with a fraction, or in JSON with an exponent."""
    if column.is_phone:
        raise CellError("a phone number cannot have decimals or an exponent: write it as text")
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent > 0 and not column.is_verbatim:
        raise CellError(
            "has an exponent and may have lost digits: write all digits, or pass --verbatim with the column"
        )
    return number


def _key_of(cell: object) -> str:
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    if not isinstance(cell, str | None):
        raise CellError("a key must be text or a whole number")
    key = cells.bare_text(cell or "")
    flaw = None if not key else cells.text_flaw(key) or cells.spreadsheet_flaw(key)
    if not key:
        flaw = "the key is empty: fill it in, or leave out --key"
    elif len(key) > LONGEST_KEY:
        flaw = f"the key is longer than {LONGEST_KEY} characters: shorten it, or leave out --key"
    elif any("\ud800" <= character <= "\udfff" for character in key):
        flaw = "the key contains half of a surrogate pair, which is not text: correct it"
    if flaw is not None:
        raise CellError(flaw)
    return key


# Options.


def _check_options(mapping: LeadMapping) -> None:
    mapped, ignored = list(map(plain_heading, mapping.columns)), set(map(plain_heading, mapping.ignored))
    for column, attribute in mapping.columns.items():
        if mapped.count(plain_heading(column)) > 1:
            raise MappingError(f'--map names "{shown_heading(column)}" twice: remove one of the options')
        if flaw := name_flaw(attribute):
            raise MappingError(f'--map "{shown_heading(column)}=...": the name after = {flaw}')
        if plain_heading(column) in ignored:
            raise MappingError(f'"{shown_heading(column)}" is mapped and ignored: remove one of the options')
    for attribute, value in mapping.constants.items():
        if flaw := name_flaw(attribute):
            raise MappingError(f"--set NAME=VALUE: the name {flaw}")
        if not value.strip():
            raise MappingError(
                f"--set {attribute}: the value is empty, which would clear the field of every lead"
            )
        if flaw := cells.text_flaw(value):
            raise MappingError(f"--set {attribute}: {flaw}")
    for name in mapping.verbatim:
        if mapping.columns.get(name, name) in PHONE_NUMBERS:
            raise MappingError(
                f'--verbatim "{shown_heading(name)}": Phone and Mobile are always checked, since nobody can '
                "call a damaged number"
            )
    if not mapping.dates and mapping.date_format:
        raise MappingError("--date-format needs columns with dates: name them with --date")


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
    """Values that JSON cannot represent, as they are sent."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date):
        return f"{value.isoformat()} 00:00:00"
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a lead from a file cannot contain {type(value).__name__}")

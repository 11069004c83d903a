"""Make leads from the rows of a file, by the options of a run. Pure. Messages show no cell."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from leadsquared_async.attributes import IDENTIFIERS
from leadsquared_async.cli.files import cells
from leadsquared_async.cli.files.cells import CellError, Dates
from leadsquared_async.cli.files.columns import Column, Columns
from leadsquared_async.cli.files.headings import place_of, plain_heading, shown_heading
from leadsquared_async.cli.files.json_rows import is_object
from leadsquared_async.cli.files.mapping import PHONE_NUMBERS, LeadMapping, MappingError, check_options
from leadsquared_async.cli.files.rows import Flaw, Row
from leadsquared_async.contact import bare_phone, phone, phone_digits
from leadsquared_async.errors import ConfigurationError

__all__ = ["LONGEST_KEY", "Leads", "Made"]

KNOWN = 300
"""Cells of a column whose values are cached."""
LONGEST_KEY = 500
"""Characters; the outbox has the same limit."""
NO_HEADING = "has no heading above this cell: pass --map {position}=SCHEMA_NAME or --ignore {position}"
TEST_ROW = "is a test row of an ad platform, which is never sent"
AS_STORED = re.compile(r"\+\d{1,3}-\d+")
"""A phone number as LeadSquared writes it."""
MATCHED_BY = frozenset({"EmailAddress", "Phone", "Mobile", "ProspectID"})


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
        check_options(mapping)
        try:
            self._dates = Dates(mapping.date_format, mapping.timezone)
            self._normalize = None if mapping.phone_region is None else phone(mapping.phone_region)
        except ConfigurationError as error:
            raise MappingError(f"--phone: {error}") from None
        except ValueError as error:
            raise MappingError(str(error)) from None
        self._mapping = mapping
        self._checked = frozenset(IDENTIFIERS if fields else ())  # the checker finds their placeholders
        self._sent = {name: value for name, value in (sent or {}).items() if value is not None}
        self._empty = frozenset(map(cells.bare_text, mapping.empty))
        self._key_column = None if mapping.key_column is None else plain_heading(mapping.key_column)
        self._columns = Columns(mapping, fields or {})
        self.spellings: dict[str, Counter[str]] = {}
        self.unrecognized = Counter[str]()
        self.attributes = frozenset({*mapping.columns.values(), *mapping.constants})
        self._paths = set[str]()
        if names is not None:
            self._columns.check_table(names)
            columns = self._columns.of(names)
            self.attributes |= {each.attribute or "" for each in columns if isinstance(each, Column)}
        else:
            for name in map(plain_heading, (*mapping.columns, mapping.key_column or "")):
                self._paths |= {name[: dot.end()] for dot in re.finditer(r"\.", name)}

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
            return Made({}, None, [Flaw("", TEST_ROW, kind="test_row")])
        if self._paths:
            pairs = list(self._flattened(row.names, row.cells))
            row = replace(row, names=tuple(name for name, _ in pairs), cells=tuple(cell for _, cell in pairs))
        lead, flaws = dict[str, Any](), list[Flaw]()
        for column, cell in zip(self._columns.of(row.names), row.cells, strict=True):
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
            normalized = self._normalize(lead)
            self._count_unrecognized(lead, normalized)
            lead = normalized
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
            return _key_of(None if place is None else row.cells[place])
        except CellError as error:
            flaws.append(Flaw(shown_heading(self._key_column), str(error)))
            return None

    def _value(self, cell: object, column: Column) -> Any:
        """The value that a cell becomes; None if the attribute is left out."""
        if column.values and isinstance(cell, int | Decimal):
            text = str(cell)  # a truth value may be written in any case
            cell = next((each for each in (text, text.lower(), text.upper()) if each in column.values), cell)
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
            self._count_spelling(str(cell), column)
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
            value = self._value(inner, Column(path, path, is_date=is_date, is_verbatim=is_verbatim))
            if value is not None:
                found[name] = value
        return found or None

    def _count_unrecognized(self, lead: Mapping[str, Any], normalized: Mapping[str, Any]) -> None:
        """Count the phone numbers that --phone leaves unchanged and LeadSquared writes otherwise."""
        for name in PHONE_NUMBERS & lead.keys():
            text = str(lead[name])
            is_unchanged = normalized[name] == lead[name]
            if is_unchanged and phone_digits(text) is not None and not AS_STORED.fullmatch(text):
                self.unrecognized[name] += 1

    def _count_spelling(self, text: str, column: Column) -> None:
        if column.attribute not in PHONE_NUMBERS or self._normalize is not None or phone_digits(text) is None:
            return
        patterns = self.spellings.setdefault(column.shown, Counter())
        pattern = re.sub(r"\d", "9", text)
        if pattern in patterns or len(patterns) < 100:
            patterns[pattern] += 1

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
        self._count_spelling(text, column)
        return self._dates.read(text) if column.is_date else text


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
    if not key:
        raise CellError("the key is empty: fill it in, or leave out --key")
    if flaw := cells.text_flaw(key) or cells.spreadsheet_flaw(key):
        raise CellError(flaw)
    if len(key) > LONGEST_KEY:
        raise CellError(f"the key is longer than {LONGEST_KEY} characters: shorten it, or leave out --key")
    return key


def _canonical(value: object) -> str:
    """Values that JSON cannot represent, as they are sent."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date):
        return f"{value.isoformat()} 00:00:00"
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a lead from a file cannot contain {type(value).__name__}")

"""Read the rows of an Excel sheet (.xlsx): cells keep their type; values that Excel damaged are refused."""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import datetime, time, timedelta
from decimal import Decimal
from itertools import chain, islice, repeat, zip_longest
from typing import Any, BinaryIO, TypeAlias

import openpyxl
from openpyxl.utils.escape import unescape
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet.cell_range import CellRange

from leadsquared_async.cli.files.cells import MERGED, UNREAD
from leadsquared_async.cli.files.headings import plain_heading, refuse_title
from leadsquared_async.cli.files.rows import REASON, Row, Unreadable

__all__ = ["ExcelRows"]

LARGEST = 2_000_000_000
"""Bytes of an unpacked workbook."""
BELOW = 10
"""Rows that are read to distinguish a title from headings."""
ROWS = 1_048_576
"""The most rows of a sheet in Excel."""
DIGITS = 15
"""Digits of a number; Excel keeps no more."""
_Pair: TypeAlias = tuple[tuple[Any, ...], tuple[Any, ...]]
"""The cells of a row, and the same cells with their formulas."""


class ExcelRows:
    """The rows of one sheet with `skip` rows above its headings; iterate once.

    Without a name, it is the only visible sheet that is not empty.
    """

    def __init__(self, file: BinaryIO, sheet: str | None, skip: int) -> None:
        with _reading():
            _check_parts(file)
            book = _opened(file, data_only=True)
            self.sheet = _chosen(book, sheet)
            chosen = book[self.sheet]
            found = _scanned(file, chosen._worksheet_path)  # noqa: SLF001 - openpyxl skips merged cells
            self._is_calculated = not found["no result"]
            texts = (
                _opened(file, data_only=False)[self.sheet].iter_rows(min_row=skip + 1)
                if found["no result"] or found["empty result"]
                else repeat(())
            )
            merged = map(CellRange, found["merged"])
            self._merged_below = sorted(merged, key=lambda cells: -cells.min_row)
        self._merged_here = list[CellRange]()
        above = chosen.iter_rows(max_row=skip, values_only=True) if skip else ()
        for number, values in enumerate(above, start=1):
            if REASON in values:
                raise Unreadable("this is a file of rejects: leave out --skip-rows", number)
        rows = chosen.iter_rows(min_row=skip + 1)
        pairs: Iterable[_Pair] = zip(rows, texts, strict=False)
        self._rows: Iterator[tuple[int, _Pair]] = enumerate(_each(pairs), start=skip + 1)
        self.blank = 0
        for _, (cells, _) in self._rows:
            names = [plain_heading(_text(cell.value)) if cell.value is not None else "" for cell in cells]
            while names and not names[-1]:
                del names[-1]
            if names:
                below = list(islice(self._rows, BELOW))
                refuse_title(names, ((number, [cell.value for cell in row]) for number, (row, _) in below))
                self._rows = chain(below, self._rows)
                self.names = tuple(names)
                return
        raise Unreadable(f'the sheet "{self.sheet}" is empty')

    def __iter__(self) -> Iterator[Row]:
        names, width = self.names, len(self.names)
        for number, (cells, formulas) in self._rows:
            values, flaw = list[Any](), None
            for position, (cell, formula) in enumerate(zip_longest(cells, formulas[: len(cells)]), start=1):
                try:
                    value = self._value(cell, formula)
                except ValueError as error:
                    value, flaw = UNREAD, f"cell {position}: {error}"
                if position <= width:
                    values.append(value)
                elif value is not None and value != "":
                    flaw = f"cell {position} has no heading above it"
            values.extend(repeat(None, width - len(values)))
            if flaw is None and not any(value is not None and value != "" for value in values):
                self.blank += 1
            else:
                self._mark_merged(number, values)
                yield Row(number, names, tuple(values), flaw)

    def _mark_merged(self, number: int, values: list[Any]) -> None:
        """Mark the cells that show the value of another one, which Excel stores in the first of them only."""
        while self._merged_below and self._merged_below[-1].min_row <= number:
            self._merged_here.append(self._merged_below.pop())
        self._merged_here = [cells for cells in self._merged_here if cells.max_row >= number]
        for cells in self._merged_here:
            for column in range(cells.min_col, min(cells.max_col, len(values)) + 1):
                if self.names[column - 1] and (number, column) != (cells.min_row, cells.min_col):
                    values[column - 1] = MERGED

    def _value(self, cell: Any, formula: Any) -> Any:
        value = cell.value
        if value is None:
            is_empty_text = cell.data_type == "str" and self._is_calculated
            if formula is not None and formula.data_type == "f" and not is_empty_text:
                raise ValueError("a formula without its result: open the workbook in Excel and save it")
            return None
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, bool):
            return value
        shown = _UNSEEN.sub("", _format_of(cell))
        signs = _LITERAL.sub("", shown)
        if isinstance(value, datetime):
            return value if value.time() != time() or re.search("[hHsS]", signs) else value.date()
        if isinstance(value, time | timedelta):
            raise ValueError("a time without a date: format the column as text, or add the date")  # noqa: TRY004
        if isinstance(value, int | float) and "%" in signs:
            return f"{(Decimal(repr(value)) * 100).normalize():f}%"  # the number that the user sees
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int):
            if abs(value) >= 10**DIGITS:
                raise ValueError(
                    f"a number of more than {DIGITS} digits, which Excel rounds: enter it as text"
                )
            return _with_zeros(value, shown)
        if isinstance(value, float):
            return Decimal(repr(value))
        return value


@contextmanager
def _reading() -> Generator[None]:
    """Refuse a damaged workbook, whichever part of it is; no warning shows a cell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except _DAMAGED:
        raise Unreadable(
            "the workbook is damaged or incomplete, or is not an Excel workbook (.xlsx)"
        ) from None


_DAMAGED = (
    InvalidFileException, zipfile.BadZipFile, zlib.error, EOFError, OSError, ArithmeticError, LookupError,
    AttributeError, RuntimeError, SyntaxError, TypeError, ValueError,
)  # fmt: skip


def _each(rows: Iterable[_Pair]) -> Iterator[_Pair]:
    source = iter(rows)
    while True:
        with _reading():
            row = next(source, None)
        if row is None:
            return
        yield row


def _check_parts(file: BinaryIO) -> None:
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
    if not any(part.filename.startswith("xl/") for part in parts):
        raise Unreadable("the file is a zip file, but not an Excel workbook (.xlsx)")
    if sum(part.file_size for part in parts) > LARGEST:
        raise Unreadable("the unpacked workbook is larger than 2 GB: save the sheet as CSV UTF-8")


def _scanned(file: BinaryIO, part: str) -> dict[str, set[str]]:
    """What each pattern finds in a sheet; raises ValueError if openpyxl would leave out rows or cells."""
    found, before, last = {name: set[str]() for name in _PATTERNS}, b"", (0, "")
    with zipfile.ZipFile(file) as archive, archive.open(part.lstrip("/")) as content:
        while piece := content.read(1_000_000):
            text = before + piece
            for name, pattern in _PATTERNS.items():
                found[name] |= {match[1].decode() for match in pattern.finditer(text)}
            for match in _PLACE.finditer(text):
                if match.end() > len(before):
                    place = int(match[2]), match[1].decode().rjust(3)
                    if not last < place < (ROWS + 1, ""):
                        raise ValueError("no such place, or out of order")
                    last = place
            before = piece[-200:]
    return found


_FORMULA = rb"(?:</(?:\w+:)?f|<(?:\w+:)?f(?: [^<>]*)?/)>\s*"
_PATTERNS = {
    "no result": re.compile(_FORMULA + rb"</(?:\w+:)?(c)>"),
    "empty result": re.compile(_FORMULA + rb"<(?:\w+:)?(v)\s*(?:/>|></)"),
    "merged": re.compile(rb"<(?:\w+:)?mergeCell [^<>]*ref=.([A-Z]+[0-9]+:[A-Z]+[0-9]+)"),
}
_PLACE = re.compile(rb"<(?:\w+:)?(?:row|c) (?:[^<>]*? )?r=[\"']([A-Z]{0,3})(-?\d+)")


def _opened(file: BinaryIO, *, data_only: bool) -> Any:
    file.seek(0)
    with redirect_stdout(None):  # openpyxl prints a line about some damage
        return openpyxl.load_workbook(file, read_only=True, data_only=data_only, keep_links=False)


def _chosen(book: Any, name: str | None) -> str:
    sheets = book.worksheets
    for sheet in sheets:
        sheet.reset_dimensions()  # programs often write wrong ones
    titles = [sheet.title for sheet in sheets]
    if name is not None:
        if name not in titles:
            raise Unreadable(f"--sheet: the workbook has no such sheet; it has {_listed(titles)}")
        return name
    full: list[str] = [
        sheet.title
        for sheet in sheets
        if sheet.sheet_state == "visible"
        and any(cell.value is not None for row in islice(sheet.iter_rows(), ROWS) for cell in row)
    ]
    if len(full) > 1:
        raise Unreadable(f"the workbook has several sheets: pass --sheet with one of {_listed(full)}")
    if not full:
        raise Unreadable("the workbook is empty")
    return full[0]


def _listed(titles: list[str]) -> str:
    return ", ".join(f'"{title}"' for title in titles)


def _format_of(cell: Any) -> str:
    try:
        return cell.number_format or ""
    except LookupError:
        raise ValueError("its number format is missing: open the workbook in Excel and save it") from None


def _text(value: object) -> str:
    """A text in which Excel has written what XML cannot hold, such as a carriage return as _x000D_."""
    text = str(value)
    # Half of a surrogate pair becomes a replacement character, which no cell may hold.
    return (
        unescape(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace") if "_x" in text else text
    )


def _with_zeros(number: int, shown: str) -> int | str:
    """A code, such as 00042, of which Excel keeps the number and its format the zeros."""
    zeros = shown.partition(";")[0]
    if number >= 0 and re.fullmatch("0+", zeros):
        return str(number).zfill(len(zeros))
    if _LITERAL.sub("", zeros).partition(".")[0].count("0") > 1:
        raise ValueError("a number whose format adds zeros and signs: type it as text")
    return number


_UNSEEN = re.compile(r"\[[^\]]*\]|[_*].")
"""Of a number format: its language, such as [$-en-US], colour and spacing."""
_LITERAL = re.compile(r'"[^"]*"|\\.')
"""Of a number format: what is shown as it stands."""

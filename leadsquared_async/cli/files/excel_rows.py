"""Read the rows of an Excel sheet (.xlsx): cells keep their type; values that Excel damaged are refused."""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain, islice, repeat, zip_longest
from typing import Any, BinaryIO, TypeAlias

import openpyxl
from openpyxl.utils.escape import unescape
from openpyxl.utils.exceptions import InvalidFileException

from leadsquared_async.cli.files.headings import plain_heading, refuse_title
from leadsquared_async.cli.files.rows import Row, Unreadable

__all__ = ["ExcelRows"]

LARGEST = 2_000_000_000
"""Bytes of an unpacked workbook."""
BELOW = 10
"""Rows that are read to distinguish a title from headings."""
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
            has_formulas = _check_parts(file)
            book = _opened(file, data_only=True)
            self.sheet = _chosen(book, sheet)
            texts = (
                _opened(file, data_only=False)[self.sheet].iter_rows(min_row=skip + 1)
                if has_formulas
                else repeat(())
            )
        rows = book[self.sheet].iter_rows(min_row=skip + 1)
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
                    value = _value(cell, formula)
                except ValueError as error:
                    value, flaw = None, f"cell {position}: {error}"
                if position <= width:
                    values.append(value)
                elif value is not None and value != "":
                    flaw = f"cell {position} has no heading above it"
            values.extend(repeat(None, width - len(values)))
            if flaw is None and not any(value is not None and value != "" for value in values):
                self.blank += 1
            else:
                yield Row(number, names, tuple(values), flaw)


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


def _check_parts(file: BinaryIO) -> bool:
    """Validate the archive, and say whether any sheet has formulas."""
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        if not any(part.filename.startswith("xl/") for part in parts):
            raise Unreadable("the file is a zip file, but not an Excel workbook (.xlsx)")
        if sum(part.file_size for part in parts) > LARGEST:
            raise Unreadable("the unpacked workbook is larger than 2 GB: save the sheet as CSV UTF-8")
        return any(
            _holds(archive, part.filename, b"<f")
            for part in parts
            if part.filename.startswith("xl/worksheets/")
        )


def _holds(archive: zipfile.ZipFile, name: str, tag: bytes) -> bool:
    with archive.open(name) as part:
        before = b""
        while piece := part.read(1_000_000):
            if re.search(tag + rb"[ />]", before + piece):
                return True
            before = piece[-len(tag) - 1 :]
    return False


def _opened(file: BinaryIO, *, data_only: bool) -> Any:
    file.seek(0)
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
        and any(cell.value is not None for row in sheet.iter_rows() for cell in row)
    ]
    if len(full) > 1:
        raise Unreadable(f"the workbook has several sheets: pass --sheet with one of {_listed(full)}")
    if not full:
        raise Unreadable("the workbook is empty")
    return full[0]


def _listed(titles: list[str]) -> str:
    return ", ".join(f'"{title}"' for title in titles)


def _value(cell: Any, formula: Any) -> Any:
    value = cell.value
    if value is None:
        if formula is not None and formula.data_type == "f":
            raise ValueError("a formula without its result: open the workbook in Excel and save it")
        return None
    if isinstance(value, datetime):
        has_time = value.time() != time() or re.search(
            "[hHsS]", _LITERAL.sub("", _UNSEEN.sub("", cell.number_format or ""))
        )
        return value if has_time else value.date()
    if isinstance(value, time | timedelta):
        raise ValueError("a time without a date: format the column as text, or add the date")  # noqa: TRY004
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 10**DIGITS:
            raise ValueError(f"a number of more than {DIGITS} digits, which Excel rounds: enter it as text")
        return _with_zeros(value, cell.number_format or "")
    if isinstance(value, float):
        return Decimal(repr(value))
    return value if isinstance(value, bool | date) else _text(value)


def _text(value: object) -> str:
    """A text in which Excel has written what XML cannot hold, such as a carriage return as _x000D_."""
    text = str(value)
    # Half of a surrogate pair becomes a replacement character, which no cell may hold.
    return (
        unescape(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace") if "_x" in text else text
    )


def _with_zeros(number: int, number_format: str) -> int | str:
    """A code, such as 00042, of which Excel keeps the number and its format the zeros."""
    zeros = _UNSEEN.sub("", number_format.partition(";")[0])
    if number >= 0 and re.fullmatch("0+", zeros):
        return str(number).zfill(len(zeros))
    if _LITERAL.sub("", zeros).partition(".")[0].count("0") > 1:
        raise ValueError("a number whose format adds zeros and signs: type it as text")
    return number


_UNSEEN = re.compile(r"\[[^\]]*\]|[_*].")
"""Of a number format: its language, such as [$-en-US], colour and spacing."""
_LITERAL = re.compile(r'"[^"]*"|\\.')
"""Of a number format: what is shown as it stands."""

"""Write CSV files that people open in spreadsheets, and files of rejects."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self, TextIO

from leadsquared_async.cli.files.headings import plain_heading
from leadsquared_async.cli.files.json_rows import json_of
from leadsquared_async.cli.files.private_files import open_private
from leadsquared_async.cli.files.rows import REASON, Row
from leadsquared_async.cli.files.tables import Table
from leadsquared_async.printable import printable

__all__ = ["Rejects", "inert", "sheet"]

_BEFORE = re.compile(r"\A[\s\"']+")
_DIVIDERS = re.compile(r"([;\t\r\n]+)")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?")


def sheet(file: TextIO, *, verbatim: bool = False) -> Callable[[Iterable[object]], None]:
    """A function that writes rows without live formulas.

    A cell that a spreadsheet would run gets a leading ', except a number with a sign. So does each part of a
    cell after a semicolon, tab or line break: spreadsheets in languages that separate cells by semicolons
    ignore the quotes around a cell, and make a cell of each part. `verbatim` writes cells unchanged.
    """
    writer = csv.writer(file)

    def write(row: Iterable[object]) -> None:
        writer.writerow([cell if cell is None or verbatim else inert(str(cell)) for cell in row])

    return write


class Rejects:
    """A file of rows that were refused or rejected, as they were read, with reasons; a context manager.

    It has the delimiter of the table; a workbook gives CSV, a JSON array gives JSON lines. Fixed, it can be
    passed in again. Cells are written unchanged: a number such as +91-9988776655 must come back the same. A
    file without rows is deleted at the end.
    """

    def __init__(self, path: Path, table: Table) -> None:
        self._path = path
        self._names = table.names
        self._is_empty = True
        # The mark outweighs an --encoding of the input that is passed again.
        encoding = "utf-8" if table.names is None and table.encoding == "utf-8" else "utf-8-sig"
        self._file = open_private(path, encoding)
        # All cells are quoted, so that delimiters inside them do not confuse the detection.
        self._csv = csv.writer(self._file, delimiter=table.delimiter or ",", quoting=csv.QUOTE_ALL)

    def write(self, row: Row, reason: str) -> None:
        """Write a row to the disk at once, so that a crash of the process does not lose it."""
        kept = [position for position, name in enumerate(row.names) if plain_heading(name) != REASON]
        if self._names is None:
            cells = {row.names[position]: row.cells[position] for position in kept}
            self._file.write(f"{json_of({**cells, REASON: reason})}\n")
        else:
            if self._is_empty:
                self._csv.writerow([*(row.names[position] for position in kept), REASON])
            # A row with too few or too many cells keeps their number, so that it stays invalid.
            given = [row.cells[position] for position in kept if position < len(row.cells)]
            self._csv.writerow([*given, reason, *row.cells[len(row.names) :]])
        self._is_empty = False
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._file.closed:
            self._file.close()
            if self._is_empty:
                self._path.unlink()


def inert(text: str) -> str:
    """Escape a cell so that no spreadsheet runs it as a formula."""
    first, *others = _DIVIDERS.split(_inert(text))
    pairs = zip(others[::2], others[1::2], strict=True)
    return first + "".join(f"{divider}{_inert(part)}" for divider, part in pairs)


def _inert(text: str) -> str:
    return f"'{text}" if _is_live(text) and not _NUMBER.fullmatch(text) else text


def _is_live(text: str) -> bool:
    """Whether a spreadsheet runs it; some ignore leading white space, quotes and unprintable characters."""
    if text.startswith(("\t", "\r")):
        return True
    begins = _BEFORE.sub("", printable(text), count=1)[:1]
    return unicodedata.normalize("NFKC", begins) in {"=", "+", "-", "@"}  # some also run wide ones

"""The file of rows that need fixing."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any, Self

from leadsquared_async.cli.files.json_rows import json_of
from leadsquared_async.cli.files.private_files import open_private
from leadsquared_async.cli.files.rows import REASON, Row, plain_heading
from leadsquared_async.cli.files.tables import Table

__all__ = ["Rejects"]


class Rejects:
    """A file of rows that were refused or rejected, each as it was read, and its reason; a context manager.

    It has the delimiter of the table; of a workbook it is CSV, of a JSON array JSON lines. Once the rows are
    fixed it can be passed in again, and the same cells are read. It is there from the start, so that a path
    that cannot be written is known before anything is sent; nobody else may read it (mode 0600); and it is
    gone at the end if it holds no row.

    Cells are written unchanged, or a phone number such as +91-9988776655 would come back as another. A
    spreadsheet takes a cell that begins with =, +, - or @ for a formula and shortens long numbers: fix the
    file with a text editor, or import all of its columns as text. The mark of UTF-8 at its start tells Excel
    the encoding.

    Args:
        path: of the file, which must not be there.
        table: that the rows are of.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, table: Table) -> None:
        self._path = path
        self._names = table.names
        self._is_empty = True
        encoding = "utf-8" if table.names is None else "utf-8-sig"
        self._file = os.fdopen(open_private(path), "w", encoding=encoding, newline="")
        # All cells in quotes: whatever delimiters they hold, the true one is recognised.
        self._csv = csv.writer(self._file, delimiter=table.delimiter or ",", quoting=csv.QUOTE_ALL)

    def write(self, row: Row, reason: str) -> None:
        """Add a row, and see to it that a crash does not lose it."""
        kept = [position for position, name in enumerate(row.names) if plain_heading(name) != REASON]
        if self._names is None:
            cells = {row.names[position]: row.cells[position] for position in kept}
            self._file.write(f"{json_of({**cells, REASON: reason})}\n")
        else:
            if self._is_empty:
                self._csv.writerow([*(row.names[position] for position in kept), REASON])
            # A row with too few or too many cells keeps their number: it must not pass for a whole one.
            given = [_text(row.cells[position]) for position in kept if position < len(row.cells)]
            self._csv.writerow([*given, reason, *map(_text, row.cells[len(row.names) :])])
        self._is_empty = False
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._file.closed:
            self._file.close()
            if self._is_empty:
                self._path.unlink()


def _text(cell: Any) -> str:
    """A cell of a workbook as CSV has it."""
    return "" if cell is None else str(cell)

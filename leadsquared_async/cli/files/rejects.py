"""The file of rows that were refused."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Self

from leadsquared_async.cli.files.json_rows import json_of
from leadsquared_async.cli.files.rows import REASON, Row
from leadsquared_async.cli.files.tables import Table

__all__ = ["Rejects"]


class Rejects:
    """A file of the rows that were refused, each as it was read and with the reason as its last column.

    It has the format and the delimiter of the table, except that a JSON array becomes JSON lines. Once
    mended it can be passed back in: `open_table` reads the same cells. It is there from the start, so
    that a path that cannot be written is known before anything is sent; nobody else may read it (mode
    0600); and it is gone at the end if no row was refused.

    Cells are written unchanged, or a phone number such as +91-9988776655 would come back as another. A
    spreadsheet takes a cell that begins with =, +, - or @ for a formula, and shortens long numbers: mend
    the file with a text editor, or import all of its columns as text. The mark of UTF-8 at its start
    tells Excel the encoding.
    """

    def __init__(self, path: str, table: Table) -> None:
        """Make the file.

        Raises:
            FileExistsError: something has that name; its leads may be nowhere else.
            OSError: it cannot be made.
        """
        self._path = path
        self._columns = table.columns
        self.written = 0
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        encoding = "utf-8" if table.columns is None else "utf-8-sig"
        self._file = os.fdopen(file, "w", encoding=encoding, newline="")
        # All cells in quotes: whatever delimiters they hold, the true one is recognised.
        self._csv = csv.writer(self._file, delimiter=table.delimiter or ",", quoting=csv.QUOTE_ALL)

    def write(self, row: Row, reason: str) -> None:
        """Add a row, and see to it that a crash does not lose it."""
        cells = {column: cell for column, cell in row.cells.items() if column != REASON} | {REASON: reason}
        if self._columns is None:
            self._file.write(f"{json_of(cells)}\n")
        else:
            columns = [*(column for column in self._columns if column != REASON), REASON]
            if not self.written:
                self._csv.writerow(columns)
            self._csv.writerow([cells[column] for column in columns])
        self._file.flush()
        self.written += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and remove it if it holds no row."""
        if not self._file.closed:
            self._file.close()
            if not self.written:
                Path(self._path).unlink()

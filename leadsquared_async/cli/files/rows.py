"""One row of a file as it was read, and the error of a file that cannot be read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["REASON", "ROW_LIMIT", "Row", "Unreadable", "counted", "plain_heading", "refuse_title"]

# The heading of the column that a file of rejects adds. With its blank it is no schema name, so no attribute
# of anybody's leads can have it.
REASON = "Reason (leadsquared)"
ROW_LIMIT = 1_000_000
"""Characters of a cell or an object; LeadSquared takes far less, and an unclosed quote ends here."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row, as read.

    Attributes:
        line: the line of the file where it begins, from 1; in a workbook the row.
        names: the columns that its cells belong to; the rows of a table share them.
        cells: as many as there are names. Strings in CSV; what JSON has in JSON, fractions as `Decimal`; in a
            workbook text, numbers, booleans and dates.
        flaw: why it cannot be read for certain; None if it can. Then there may be more or fewer cells.
    """

    line: int
    names: tuple[str, ...]
    cells: tuple[Any, ...] = field(repr=False)
    flaw: str | None = None


class Unreadable(ValueError):
    """The file cannot be read for certain, or an option about it is invalid.

    Attributes:
        line: the line of the file, from 1; None if it is about the whole of it.
    """

    def __init__(self, what: str, line: int | None = None) -> None:
        super().__init__(what, line)
        self.line = line

    def __str__(self) -> str:
        return self.args[0] if self.line is None else f"line {self.line}: {self.args[0]}"


def counted(count: int, noun: str) -> str:
    """1 row, 1,120 rows."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def refuse_title(names: Sequence[str], below: Iterable[tuple[int, Sequence[object]]]) -> None:
    """Refuse a table whose first row is a title: alone in its row, with headings in the next one.

    Raises:
        Unreadable: names the option that skips it.
    """
    for line, cells in below if len(names) == 1 else ():
        texts = [cell for cell in cells if cell is not None and str(cell).strip()]
        if len(texts) > 1 and all(isinstance(text, str) and not _VALUE.search(text) for text in texts):
            raise Unreadable(f"the headings seem to stand on line {line}: pass --skip-rows {line - 1}")
        if texts:
            return


_VALUE = re.compile(r"@|\d{4}")
_BLANKS = re.compile(r"\s+")


def plain_heading(text: str) -> str:
    """A heading as it can be typed: white space of any kind is one blank, invisible characters are gone.

    Messages show this form, and options are compared in it.
    """
    visible = "".join(
        character
        for character in text
        if character.isspace() or unicodedata.category(character) not in _INVISIBLE
    )
    return _BLANKS.sub(" ", unicodedata.normalize("NFC", visible)).strip()


_INVISIBLE = {"Cc", "Cf"}

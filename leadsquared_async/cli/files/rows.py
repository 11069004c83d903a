"""One row of a file as it was read, and the error of a file that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from leadsquared_async.cli.exits import CommandFailedError

__all__ = ["REASON", "ROW_LIMIT", "Row", "Unreadable", "counted"]

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


class Unreadable(CommandFailedError):
    """The file cannot be read for certain from a line on, or at all; or an option about it is invalid."""

    def __init__(self, what: str, line: int | None = None) -> None:
        super().__init__(what if line is None else f"line {line}: {what}")
        self.line = line


def counted(count: int, noun: str) -> str:
    """1 row, 1,120 rows."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"

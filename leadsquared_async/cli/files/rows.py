"""A row of a file, what is wrong with it, and the error for a file that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from leadsquared_async.cli.exits import CommandFailedError

__all__ = ["REASON", "ROW_LIMIT", "Flaw", "Row", "Unreadable", "counted"]

# The heading of the column that a file of rejects adds. Its space keeps it from being a schema name.
REASON = "Reason (leadsquared)"
ROW_LIMIT = 1_000_000
"""Characters of a cell or an object; LeadSquared accepts far less."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row, as it was read.

    Attributes:
        line: the line of the file where it begins, from 1; in a workbook the row.
        names: the columns that its cells belong to; the rows of a table share them.
        cells: one for each name. Strings in CSV; JSON's values in JSON, with fractions as `Decimal`; text,
            numbers, booleans and dates in a workbook.
        flaw: why the row is ambiguous or invalid, if it is. Then there may be more or fewer cells.
    """

    line: int
    names: tuple[str, ...]
    cells: tuple[Any, ...] = field(repr=False)
    flaw: str | None = None


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


class Unreadable(CommandFailedError):
    """The file is unreadable or ambiguous, from a line on or as a whole; or an option for it is invalid."""

    def __init__(self, what: str, line: int | None = None) -> None:
        super().__init__(what if line is None else f"line {line}: {what}")
        self.line = line


def counted(count: int, noun: str) -> str:
    """Such as 1 row, 1,120 rows."""
    return f"{count:,} {noun}{'s' * (count != 1)}"

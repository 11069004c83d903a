"""A row of a file, as read, and the one error of reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["REASON", "ROW_LIMIT", "Row", "Unreadable"]

# The heading of the column that `Rejects` adds. With its blank it is no schema name, so that no attribute of
# anybody's leads can have it.
REASON = "Reason (leadsquared)"
ROW_LIMIT = 1_000_000  # characters; LeadSquared takes far less, and an unclosed quote ends here


@dataclass(frozen=True, slots=True)
class Row:
    """One row, as read.

    Attributes:
        line: the line of the file where it begins, from 1.
        cells: from column to cell; strings in CSV, what JSON has in JSON, with its fractions as `Decimal`.
    """

    line: int
    cells: Mapping[str, Any] = field(repr=False)


class Unreadable(ValueError):
    """The file, or an option about it, leaves no certain way to read it.

    Attributes:
        line: the line of the file, from 1; None if it is about the whole of it.
    """

    def __init__(self, what: str, line: int | None = None) -> None:
        super().__init__(what, line)
        self.line = line

    def __str__(self) -> str:
        return self.args[0] if self.line is None else f"line {self.line}: {self.args[0]}"

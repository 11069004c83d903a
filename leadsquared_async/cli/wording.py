"""Words that several commands say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from leadsquared_async.printable import printable

__all__ = ["rows", "table"]


def rows(count: int) -> str:
    """How many rows: 1 row, 1,120 rows."""
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def table(lines: Iterable[Sequence[str]]) -> str:
    """Cells one below the other; a line without cells stays empty."""
    lines = [[printable(cell).replace("\n", " ") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip()
        for line in lines
    )

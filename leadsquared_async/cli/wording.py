"""Words that several commands say. Pure."""

from __future__ import annotations

__all__ = ["rows"]


def rows(count: int) -> str:
    """How many rows: 1 row, 1,120 rows."""
    return f"{count:,} row" if count == 1 else f"{count:,} rows"

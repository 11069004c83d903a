"""CSV files for people, which spreadsheets open."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import TextIO

from leadsquared_async.printable import printable

__all__ = ["sheet"]

_BEFORE = re.compile(r"\A[\s\"']+")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?")


def sheet(file: TextIO, *, verbatim: bool = False) -> Callable[[Iterable[object]], None]:
    """A writer of rows, in which no cell is a formula.

    A cell that a spreadsheet would run gets a ' in front, a number with a sign does not.

    Args:
        file: to write to.
        verbatim: whether cells are written as they are, for programs.
    """
    writer = csv.writer(file)

    def write(row: Iterable[object]) -> None:
        writer.writerow(["" if cell is None else cell if verbatim else _inert(cell) for cell in row])

    return write


def _inert(cell: object) -> str:
    text = str(cell)
    return f"'{text}" if _is_live(text) and not _NUMBER.fullmatch(text) else text


def _is_live(text: str) -> bool:
    """Whether a spreadsheet runs it, as some do behind white space, quotes and what does not print."""
    if text.startswith(("\t", "\r")):
        return True
    begins = _BEFORE.sub("", printable(text), count=1)[:1]
    return unicodedata.normalize("NFKC", begins) in {"=", "+", "-", "@"}  # some take the wide ones, too

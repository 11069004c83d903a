"""CSV files for people, which spreadsheets open."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import TextIO

from leadsquared_async.printable import printable

__all__ = ["inert", "sheet"]

_BEFORE = re.compile(r"\A[\s\"']+")
_DIVIDERS = re.compile(r"([;\t\r\n]+)")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?")


def sheet(file: TextIO, *, verbatim: bool = False) -> Callable[[Iterable[object]], None]:
    """A writer of rows, in which no cell is a formula.

    A cell that a spreadsheet would run gets a ' in front, a number with a sign does not. So does each part of
    a cell behind a semicolon, tab or line break: a spreadsheet whose language divides cells by semicolons
    does not see the quotes around a cell, and makes a cell of each part.

    Args:
        file: to write to.
        verbatim: whether cells are written as they are, for programs.
    """
    writer = csv.writer(file)

    def write(row: Iterable[object]) -> None:
        writer.writerow(["" if cell is None else cell if verbatim else inert(str(cell)) for cell in row])

    return write


def inert(text: str) -> str:
    """A cell that no spreadsheet runs as a formula."""
    first, *others = _DIVIDERS.split(_inert(text))
    pairs = zip(others[::2], others[1::2], strict=True)
    return first + "".join(f"{divider}{_inert(part)}" for divider, part in pairs)


def _inert(text: str) -> str:
    return f"'{text}" if _is_live(text) and not _NUMBER.fullmatch(text) else text


def _is_live(text: str) -> bool:
    """Whether a spreadsheet runs it, as some do behind white space, quotes and what does not print."""
    if text.startswith(("\t", "\r")):
        return True
    begins = _BEFORE.sub("", printable(text), count=1)[:1]
    return unicodedata.normalize("NFKC", begins) in {"=", "+", "-", "@"}  # some take the wide ones, too

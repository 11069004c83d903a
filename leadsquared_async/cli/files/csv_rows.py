"""CSV into rows: the delimiter is recognised, and what leaves doubt about its cells is refused."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import zip_longest

from leadsquared_async.cli.files.decoding import PIECE
from leadsquared_async.cli.files.rows import ROW_LIMIT, Row, Unreadable

__all__ = [
    "DELIMITERS",
    "csv_rows",
    "delimiter_named",
    "delimiter_of",
    "headings_of",
    "is_blank",
    "records_of",
]

DELIMITERS = (",", ";", "\t", "|")


def delimiter_named(given: str) -> str:
    delimiter = "\t" if given in {"tab", "\\t"} else given
    if len(delimiter) != 1 or delimiter.isalnum() or delimiter in '"\r\n\0':
        raise Unreadable("--delimiter is one character that is no letter, digit or quote, or the word tab")
    return delimiter


def delimiter_of(head: list[str]) -> str:
    """The one that divides the header; if several do, the one that divides the first records alike.

    `csv.Sniffer` counts characters, inside quotes too, and always has an answer.
    """
    dividing: dict[str, list[list[str]]] = {}
    for candidate in DELIMITERS:
        records = _divided(head, candidate)
        if records and len(records[0]) > 1:
            dividing[candidate] = records
    if len(dividing) > 1:
        whole = sum(map(len, head)) < PIECE  # else the last record may be cut
        dividing = {
            candidate: records
            for candidate, records in dividing.items()
            if all(_fits(cells, len(records[0])) for cells in (records if whole else records[:-1]))
        }
        if len(dividing) != 1:
            raise Unreadable("no telling which character divides the cells; pass --delimiter")
    return next(iter(dividing), ",")


def _divided(head: list[str], delimiter: str) -> list[list[str]]:
    """The first records as a delimiter divides them, up to one that it breaks, which is empty."""
    records: list[list[str]] = []
    try:
        for cells in csv.reader(head, delimiter=delimiter, strict=True):
            if not is_blank(cells):
                records.append(cells)  # noqa: PERF401 - those before the broken one count
    except csv.Error:
        records.append([])
    return records


def _fits(cells: list[str], width: int) -> bool:
    return len(cells) >= width and is_blank(cells[width:])


def records_of(lines: Iterator[str], delimiter: str, number: int) -> Iterator[tuple[int, list[str]]]:
    """The records, each with the number of its first line; `number` is that of the first of them."""
    record: list[str] = []

    def fed() -> Iterator[str]:
        size = 0
        for line in lines:
            size = len(line) + (size if record else 0)
            record.append(line)
            if size > ROW_LIMIT:
                raise Unreadable(
                    f"what begins here is longer than {ROW_LIMIT:,} characters; is a quote not closed?",
                    number + _opened(record),
                )
            yield line
        record.append("")  # the end counts as a last line

    reader = csv.reader(fed(), delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error:
            raise Unreadable(
                "a quote that begins here is not closed, or more than a delimiter follows its end; a quote "
                "inside a cell is written twice",
                number + _opened(record),
            ) from None
        if cells is None:
            return
        if any(_is_quoted_late(cell, record, delimiter) for cell in cells):
            raise Unreadable(
                "a blank stands before a quote; remove it, or the quote is part of the cell", number
            )
        yield number, cells
        number += len(record)
        record.clear()


def _is_quoted_late(cell: str, record: list[str], delimiter: str) -> bool:
    """Whether the quote of a cell was taken for a part of it, since a blank stands before it."""
    if not cell[:1].isspace() or cell.lstrip()[:1] != '"':
        return False
    divider = re.escape(delimiter)
    return re.search(rf"(?:^|{divider}){re.escape(cell)}(?:{divider}|[\r\n]|$)", "".join(record)) is not None


def _opened(record: list[str]) -> int:
    """The index of the line whose quote was still open when the last line came, or of the last line."""
    opened = None
    for index, line in enumerate(record[:-1]):
        quotes = line.replace('""', "").count('"')
        if quotes % 2:
            opened = index if opened is None else None
        elif quotes and opened is not None:  # closed, and another opened
            opened = index
    return len(record) - 1 if opened is None else opened


def is_blank(cells: list[str]) -> bool:
    return not any(cell.strip() for cell in cells)


def headings_of(cells: list[str], line: int) -> list[str]:
    """The headings, trimmed; empty ones only where a column without cells may follow."""
    names = [cell.strip() for cell in cells]
    while not names[-1]:
        del names[-1]
    first_at: dict[str, int] = {}
    for position, name in enumerate(names, start=1):
        if name and first_at.setdefault(name, position) != position:
            raise Unreadable(
                f"columns {first_at[name]} and {position} have the same heading; rename or remove one", line
            )
    return names


def csv_rows(records: Iterator[tuple[int, list[str]]], names: list[str]) -> Iterator[Row]:
    for line, cells in records:
        if is_blank(cells):
            continue
        if len(cells) < len(names):
            raise Unreadable(
                f"has fewer cells than the header: {len(cells)} of {len(names)}; add the empty ones, or put "
                "a cell with a line break in it in quotes",
                line,
            )
        for position, (name, cell) in enumerate(zip_longest(names, cells, fillvalue=""), start=1):
            if not name and cell.strip():
                raise Unreadable(
                    f"cell {position} has no heading above it; name its column, or put a cell with a "
                    "delimiter in it in quotes",
                    line,
                )
        yield Row(line, {name: cell for name, cell in zip(names, cells, strict=False) if name})

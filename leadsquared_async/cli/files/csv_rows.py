"""Read CSV rows: detect the delimiter, and refuse ambiguous input."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TypeAlias

from leadsquared_async.cli.files.headings import plain_heading, refuse_title
from leadsquared_async.cli.files.rows import REASON, ROW_LIMIT, Row, Unreadable, counted

__all__ = ["DELIMITERS", "CsvRows"]

DELIMITERS = (",", ";", "\t", "|")
HEAD = 50
"""Lines from which the delimiter is detected."""
_NOT_CLOSED = (
    "the record that starts here has an unclosed quote, or text after a closing quote: double each quote "
    "inside a cell"
)

_IN_PIECES = (
    "an adjacent line may belong to this row: put a cell with a line break in quotes, or leave a blank line "
    "between them"
)
_QUOTED_LATE = "white space before a quote makes the quote a part of the cell: remove it"


class CsvRows:
    """The rows of a CSV file with `skip` lines above its headings; iterate once.

    `fill` adds empty cells to rows with fewer cells than headings, but with two at least, and not in rejects,
    where the last cell has the reason.
    """

    def __init__(self, lines: Iterator[str], delimiter: str | None, skip: int, *, fill: bool = False) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), ROW_LIMIT))  # for the whole process
        skipped = 0
        for above in islice(lines, skip):
            skipped += 1
            if REASON in above:
                raise Unreadable("this is a file of rejects: leave out --skip-rows", skipped)
        head = list(islice(lines, HEAD))
        stated = re.fullmatch(r"sep=([^\w\s]|\t)\s*", head[0], re.IGNORECASE) if head else None
        if stated is not None:  # Excel's line that names the delimiter
            del head[0]
            skipped += 1
        given = delimiter or (stated and stated[1])
        delimiters = (_parsed_delimiter(given),) if given else DELIMITERS
        if head and REASON not in head[0]:  # the headings of rejects are on their first line
            _refuse_preamble(head, skipped, delimiters)
        self.delimiter = delimiters[0] if given else _detected(head, is_whole=len(head) < HEAD - 1)
        self.blank = 0
        self._is_one_column = False
        self._records = self._read(chain(head, lines), skipped)
        first = next(self._records, None)
        if first is None:
            raise Unreadable("the file is empty")
        line, _, cells = first
        if any(map(_is_quoted_late, cells)):
            raise Unreadable(_QUOTED_LATE, line)
        names = [plain_heading(cell) for cell in cells]
        while names and not names[-1]:
            del names[-1]
        if not names:
            raise Unreadable("there are no headings", line)
        if len(cells) > 1:  # Excel writes a title with empty cells after it
            below = list(islice(self._records, 1))
            refuse_title(names, ((line, row) for line, _, row in below))
            self._records = chain(below, self._records)
        self.names = tuple(names)
        self._fill = fill and REASON not in names
        # A comma in a row of one column may be text or a delimiter.
        self._is_one_column = len(cells) == 1 and not given

    def __iter__(self) -> Iterator[Row]:
        names, width = self.names, len(self.names)
        before: _Record | None = None
        after = next(self._records, None)
        while after is not None:
            record, after = after, next(self._records, None)
            line, _, cells = record
            if len(cells) > width and not self._is_one_column and _is_blank(cells[width:]):
                del cells[width:]
            flaw, missing = None, width - len(cells)
            if any(map(_is_quoted_late, cells)):
                flaw = _QUOTED_LATE
                if "".join(cells).count('"') % 2:
                    raise Unreadable(flaw, line)  # the cell's end is ambiguous
            elif missing and not (self._fill and 0 < missing < width - 1):
                flaw = self._ragged_flaw(len(cells))
            elif _is_other_part(before, width, line - 1, missing) or _is_other_part(
                after, width, record[1] + 1, missing
            ):
                flaw = _IN_PIECES
            else:
                cells += [""] * missing
            yield Row(line, names, tuple(cells), flaw)
            before = record

    def _ragged_flaw(self, count: int) -> str:
        width = len(self.names)
        flaw = f"has {counted(count, 'cell')} for {counted(width, 'column')}"
        if REASON in self.names:
            return f"{flaw} with that of the reason: keep its cell, even if it is empty"
        if count > width:
            return f"{flaw}: put the cell that contains a delimiter in quotes"
        if count == 1:
            return f"{flaw}: add the others, or remove the row"
        return f"{flaw}: add the others, or pass --fill-short-rows if they are empty cells at the end"

    def _read(self, lines: Iterable[str], number: int) -> Iterator[_Record]:
        """Yield the records that are not blank."""
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        while True:
            line = number + reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error:
                raise Unreadable(_NOT_CLOSED, line) from None
            if cells is None:
                return
            if _is_blank(cells) and not (self._is_one_column and len(cells) > 1):
                self.blank += bool(cells)
            else:
                yield line, number + reader.line_num, cells


_Record: TypeAlias = tuple[int, int, list[str]]
"""The first and the last line of a record, and its cells."""


def _is_other_part(record: _Record | None, width: int, line: int, missing: int) -> bool:
    """Whether the record on an adjacent line may be the rest of a row that an unquoted line break split.

    The break is inside a cell, so the two parts have one cell more than there are columns.
    """
    return record is not None and line in record[:2] and len(record[2]) == missing + 1 < width


def _is_quoted_late(cell: str) -> bool:
    return cell[:1].isspace() and cell.lstrip()[:1] == '"'


def _is_blank(cells: Iterable[str]) -> bool:
    return not any(cell and not cell.isspace() for cell in cells)


def _parsed_delimiter(given: str) -> str:
    delimiter = "\t" if given in {"tab", "\\t"} else given
    if len(delimiter) != 1 or delimiter.isalnum() or delimiter in '"\r\n\0':
        raise Unreadable("--delimiter must be tab, or one character that is not a letter, digit or quote")
    return delimiter


def _detected(head: list[str], *, is_whole: bool) -> str:
    """The delimiter that splits the header; of several, the only one that can split the first records.

    `csv.Sniffer` also counts characters inside quotes, and always returns a guess.
    """
    divided = {each: [cells for _, cells in _split(head, each, strict=True)] for each in DELIMITERS}
    dividing = {each: records for each, records in divided.items() if records and len(records[0]) > 1}
    if len(dividing) > 1:
        whole = {each: records if is_whole else records[:-1] for each, records in dividing.items()}
        fitting = [each for each, records in whole.items() if _is_even(records)]
        # One that splits every record, though not alike, may be the delimiter of a file with ragged rows.
        possible = [each for each, records in whole.items() if all(len(cells) > 1 for cells in records)]
        if len(fitting) != 1 or not set(possible) <= set(fitting):
            raise Unreadable("several characters could be the delimiter: pass --delimiter")
        return fitting[0]
    return next(iter(dividing), ",")


def _is_even(records: list[list[str]]) -> bool:
    """Whether each record has a cell for every heading, and only blank ones beyond."""
    width = len(records[0]) if records else 0
    return all(len(cells) >= width and _is_blank(cells[width:]) for cells in records)


def _split(head: list[str], delimiter: str, *, strict: bool) -> list[tuple[int, list[str]]]:
    """The first records with their last lines; one that is invalid with this delimiter ends them, empty."""
    records = list[tuple[int, list[str]]]()
    reader = csv.reader(head, delimiter=delimiter, strict=strict)
    try:
        for cells in reader:
            if not _is_blank(cells):
                records.append((reader.line_num, cells))
    except csv.Error:
        records.append((reader.line_num, []))
    return records


def _refuse_preamble(head: list[str], skipped: int, delimiters: Iterable[str]) -> None:
    """Raise if the headings seem to be on a later line: two records there are wider than all before.

    A first record that is as wide as most records has the headings.
    """
    records = [_split(head, each, strict=False) for each in delimiters]
    for found in records:
        widths = [len(cells) for _, cells in found]
        if widths and widths[0] > 1 and 2 * widths.count(widths[0]) > len(widths):
            return
    for found in records:
        for index in range(1, len(found) - 1):
            (line, cells), (_, below) = found[index : index + 2]
            if len(cells) == len(below) > max(1, *(len(above) for _, above in found[:index])):
                above = skipped + line - 1
                raise Unreadable(f"the headings seem to be on line {above + 1}: pass --skip-rows {above}")

"""The rows of a file, streamed: CSV, JSON lines or a JSON array, recognised by what the file holds.

Whatever the size of the file, no more of it is in memory than one row and a few pieces of 64 KB. What
cannot be read for certain is refused, with the line and the way out. No cell and no heading stands in any
message: in a file without a header line, the headings are somebody's data.
"""

from __future__ import annotations

import csv
import re
import stat
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Self

from leadsquared_async.cli.files.csv_rows import (
    csv_rows,
    delimiter_named,
    delimiter_of,
    headings_of,
    is_blank,
    records_of,
)
from leadsquared_async.cli.files.decoding import PIECE, encoding_of, lines_of, texts_of, up_to
from leadsquared_async.cli.files.json_rows import json_array, json_lines
from leadsquared_async.cli.files.rows import ROW_LIMIT, Row, Unreadable

__all__ = ["FORMATS", "Table", "open_table", "opened"]

FORMATS = ("csv", "jsonl", "json")


def opened(path: str) -> BinaryIO:
    """The file, or standard input for "-", which stays the caller's.

    Raises:
        Unreadable: it is a device, whose bytes may never end, or standard input is closed.
        OSError: it cannot be opened.
    """
    if path == "-":
        if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - a shell's <&- closes it
            raise Unreadable("standard input is closed; pass a file or a pipe")
        return sys.stdin.buffer
    mode = Path(path).stat().st_mode  # before it is opened, which alone may do something to a device
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        raise Unreadable("this is a device; pass a file, a pipe or - for standard input")
    return Path(path).open("rb")


def open_table(
    path: str,
    *,
    stdin: BinaryIO | None = None,
    format: str | None = None,  # noqa: A002 - the option's name
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Table:
    """Open a file, or standard input for "-", and recognise what is not given.

    Args:
        path: the file; one that cannot be read twice, such as a pipe, will do.
        stdin: read in place of standard input.
        format: one of `FORMATS`.
        encoding: a name that Python knows.
        delimiter: between the cells of a CSV file: one character, or "tab".

    Raises:
        Unreadable: an option makes no sense, or the file is empty, a device, or cannot be read for certain.
        OSError: the file cannot be opened.
    """
    stream = stdin or opened(path)
    try:
        return Table(
            stream,
            suffix=Path(path).suffix.lower(),
            format=format,
            encoding=encoding,
            delimiter=delimiter,
            closes=path != "-",
        )
    except BaseException:
        if path != "-":
            stream.close()
        raise


class Table:
    """The rows of a stream, to be iterated over once; a context manager that closes the file.

    Iterating raises `Unreadable` at the first line that cannot be read for certain, after the rows before it.

    Attributes:
        format: one of `FORMATS`.
        encoding: by Python's name for it.
        encoding_is_guessed: whether it is the guess for what is neither UTF-8 nor UTF-16; tell the user.
        delimiter: between cells; None in JSON.
        columns: the trimmed headings, without columns that have neither heading nor cells; None in JSON.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        suffix: str = "",
        format: str | None = None,  # noqa: A002 - the option's name
        encoding: str | None = None,
        delimiter: str | None = None,
        closes: bool = False,
    ) -> None:
        self._stream, self._closes = stream, closes
        first = stream.read(PIECE)
        self.encoding, mark, self.encoding_is_guessed = encoding_of(first, encoding)
        pieces = chain((first[mark:],), iter(lambda: stream.read(PIECE), b""))
        texts = texts_of(pieces, self.encoding, self.encoding_is_guessed)
        opening = "".join(up_to(1024, texts))
        self.format = _format_of(opening, suffix, format)
        texts = chain((opening,), texts)
        self.delimiter: str | None = None
        self.columns: tuple[str, ...] | None = None
        if self.format == "csv":
            self._rows = self._csv(lines_of(texts), delimiter)
        elif delimiter is not None:
            raise Unreadable(f"a delimiter is for CSV, and this is read as {self.format}")
        elif not opening.strip():
            raise Unreadable("the file is empty")
        else:
            self._rows = json_lines(lines_of(texts)) if self.format == "jsonl" else json_array(texts)

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self._closes:
            self._stream.close()

    def _csv(self, lines: Iterator[str], delimiter: str | None) -> Iterator[Row]:
        # Of the whole process, and too low for a long note; `_records` keeps to a bound of its own.
        csv.field_size_limit(max(csv.field_size_limit(), 2 * ROW_LIMIT))
        head = list(up_to(PIECE, lines))
        line = 1
        stated = re.fullmatch(r"sep=([^\w\s]|\t)\s*", head[0], re.IGNORECASE) if head else None
        if stated:  # Excel's own word for it, before the header
            del head[0]
            line = 2
        given = delimiter or (stated and stated[1])
        self.delimiter = delimiter_named(given) if given else delimiter_of(head)
        records = records_of(chain(head, lines), self.delimiter, line)
        for line, cells in records:
            if not is_blank(cells):
                names = headings_of(cells, line)
                self.columns = tuple(filter(None, names))
                return csv_rows(records, names)
        raise Unreadable("the file is empty")


def _format_of(opening: str, suffix: str, given: str | None) -> str:
    if given is not None:
        if given not in FORMATS:
            raise Unreadable(f"--format is one of {', '.join(FORMATS)}")
        return given
    if re.match(r'\s*\{\s*["}]', opening):
        return "jsonl"
    if re.match(r"\s*\[\s*[{\]]", opening):
        return "json"
    return {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(suffix, "csv")

"""Stream the rows of a file once: CSV, JSON lines, a JSON array or a sheet of a workbook.

Only one row and a few pieces of 64 KB are in memory. Ambiguous input is refused with its line and what to do.
No message shows a cell or a heading: in a file without a header, the headings are personal data.
"""

from __future__ import annotations

import re
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, Self

from leadsquared_async.cli.files.csv_rows import CsvRows
from leadsquared_async.cli.files.decoding import PIECE, encoding_of, lines_of, texts_of
from leadsquared_async.cli.files.json_rows import json_array, json_lines
from leadsquared_async.cli.files.rows import Row, Unreadable
from leadsquared_async.cli.options import FILE, option

__all__ = ["STDIN", "Reading", "Table"]

STDIN = "-"
BEGINNING = 8_192
"""Bytes from which format and encoding are detected."""
ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read; None is detected."""

    format: Annotated[
        Literal["csv", "jsonl", "json", "xlsx"] | None,
        option("--format", "By default detected from the content.", FILE),
    ] = None
    encoding: Annotated[
        str | None,
        option(
            "--encoding NAME",
            "Such as cp1252; by default UTF-8, or as the file's byte order mark says.",
            FILE,
        ),
    ] = None
    delimiter: Annotated[
        str | None, option("--delimiter CHARACTER", 'Between cells, or "tab"; by default detected.', FILE)
    ] = None
    sheet: Annotated[
        str | None, option("--sheet NAME", "The sheet of a workbook, if it has several.", FILE)
    ] = None
    fill_short_rows: Annotated[
        bool,
        option("--fill-short-rows", "Take the missing cells of a CSV row as empty ones at its end.", FILE),
    ] = False
    skip_rows: Annotated[int, option("--skip-rows N", "Skip lines above the headings.", FILE, least=0)] = 0


class Table:
    """The rows of a file, to iterate once; a context manager that closes it.

    Iterating raises `Unreadable` at the first unreadable or ambiguous line, after the rows before it.
    """

    names: tuple[str, ...] | None = None
    delimiter: str | None = None
    sheet: str | None = None
    encoding: str | None = None

    def __init__(self, path: str, reading: Reading) -> None:
        self._opened = _opened(path)
        try:
            self._start(Path(path).suffix.lower(), reading)
        except BaseException:
            self.close()
            raise

    def _start(self, suffix: str, reading: Reading) -> None:
        beginning = self._opened.read(BEGINNING)
        pieces = chain((beginning,), iter(partial(self._opened.read, PIECE), b""))
        self._rows: Iterable[Row]
        self.format = _format_of(beginning, suffix, reading)
        if self.format == "xlsx":
            from leadsquared_async.cli.files.excel_rows import ExcelRows  # noqa: PLC0415 - slow to import

            if not self._opened.seekable():
                copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
                copy.writelines(pieces)
                self._opened = copy
            sheet = ExcelRows(self._opened, reading.sheet, reading.skip_rows)
            self.names, self.sheet, self._rows = sheet.names, sheet.sheet, sheet
            return
        self.encoding = encoding_of(beginning, reading.encoding)
        texts = texts_of(pieces, self.encoding, is_given=reading.encoding is not None)
        if self.format == "csv":
            rows = CsvRows(
                lines_of(texts), reading.delimiter, reading.skip_rows, fill=reading.fill_short_rows
            )
            self.names, self.delimiter, self._rows = rows.names, rows.delimiter, rows
        elif not beginning.strip():
            raise Unreadable("the file is empty")
        else:
            self._rows = json_lines(lines_of(texts)) if self.format == "jsonl" else json_array(texts)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self._opened is not sys.stdin.buffer:
            self._opened.close()

    @property
    def blank(self) -> int:
        """The number of blank rows that were skipped."""
        return getattr(self._rows, "blank", 0)


def _opened(path: str) -> BinaryIO:
    if path == STDIN:
        if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - a shell's <&- closes it
            raise Unreadable("standard input is closed: pass a file or a pipe")
        return sys.stdin.buffer
    mode = Path(path).stat().st_mode  # before opening it, which may affect a device
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        raise Unreadable("the file is a device: pass a file, a pipe or - for standard input")
    return Path(path).open("rb")


def _format_of(beginning: bytes, suffix: str, reading: Reading) -> str:
    found: str = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(suffix, "csv")
    if reading.format is not None:
        found = reading.format
    elif beginning.startswith(ZIP):
        found = "xlsx"
    else:
        text = beginning.decode(encoding_of(beginning, reading.encoding), errors="ignore")
        text = text.removeprefix("\ufeff")
        if re.match(r'\s*\{\s*["}]', text):
            found = "jsonl"
        elif re.match(r"\s*\[\s*[{\]]", text):
            found = "json"
    for name, is_given, formats, what in (
        ("--sheet", reading.sheet is not None, {"xlsx"}, "workbooks"),
        ("--delimiter", reading.delimiter is not None, {"csv"}, "CSV"),
        ("--fill-short-rows", reading.fill_short_rows, {"csv"}, "CSV"),
        ("--encoding", reading.encoding is not None, {"csv", "json", "jsonl"}, "text"),
        ("--skip-rows", reading.skip_rows, {"csv", "xlsx"}, "tables"),
    ):
        if is_given and found not in formats:
            raise Unreadable(f"{name} is for {what}, but the file is {found}: leave it out")
    return found

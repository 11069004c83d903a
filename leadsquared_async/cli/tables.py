"""The rows of a file, streamed: CSV, JSON lines or a JSON array, recognised by what the file holds.

Whatever the size of the file, no more of it is in memory than one row and a few pieces of 64 KB. What
cannot be read for certain is refused, with the line and the way out. No cell and no heading stands in any
message: in a file without a header line, the headings are somebody's data.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Self, TypeGuard

__all__ = ["DELIMITERS", "FORMATS", "REASON", "Rejects", "Row", "Table", "Unreadable", "open_table"]

FORMATS = ("csv", "jsonl", "json")
DELIMITERS = (",", ";", "\t", "|")
# The heading of the column that `Rejects` adds. With its blank it is no schema name, so that no attribute of
# anybody's leads can have it.
REASON = "Reason (leadsquared)"
ROW_LIMIT = 1_000_000  # characters; LeadSquared takes far less, and an unclosed quote ends here
PIECE = 65_536


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
        Unreadable: an option makes no sense, or the file is empty or cannot be read for certain.
        OSError: the file cannot be opened.
    """
    stream = (stdin or sys.stdin.buffer) if path == "-" else Path(path).open("rb")  # noqa: SIM115 - the table's
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
        self.encoding, mark, self.encoding_is_guessed = _encoding_of(first, encoding)
        pieces = chain((first[mark:],), iter(lambda: stream.read(PIECE), b""))
        texts = _texts(pieces, self.encoding, self.encoding_is_guessed)
        opening = "".join(_up_to(1024, texts))
        self.format = _format_of(opening, suffix, format)
        texts = chain((opening,), texts)
        self.delimiter: str | None = None
        self.columns: tuple[str, ...] | None = None
        if self.format == "csv":
            self._rows = self._csv(_lines(texts), delimiter)
        elif delimiter is not None:
            raise Unreadable(f"a delimiter is for CSV, and this is read as {self.format}")
        elif not opening.strip():
            raise Unreadable("the file is empty")
        else:
            self._rows = _json_lines(_lines(texts)) if self.format == "jsonl" else _json_array(texts)

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
        head = list(_up_to(PIECE, lines))
        line = 1
        stated = re.fullmatch(r"sep=([^\w\s]|\t)\s*", head[0], re.IGNORECASE) if head else None
        if stated:  # Excel's own word for it, before the header
            del head[0]
            line = 2
        given = delimiter or (stated and stated[1])
        self.delimiter = _delimiter(given) if given else _delimiter_of(head)
        records = _records(chain(head, lines), self.delimiter, line)
        for line, cells in records:
            if not _is_blank(cells):
                names = _headings(cells, line)
                self.columns = tuple(filter(None, names))
                return _csv_rows(records, names)
        raise Unreadable("the file is empty")


class Rejects:
    """A file of the rows that were refused, each as it was read and with the reason as its last column.

    It has the format and the delimiter of the table, except that a JSON array becomes JSON lines. Once
    mended it can be passed back in: `open_table` reads the same cells. It is there from the start, so
    that a path that cannot be written is known before anything is sent; nobody else may read it (mode
    0600); and it is gone at the end if no row was refused.

    Cells are written unchanged, or a phone number such as +91-9988776655 would come back as another. A
    spreadsheet takes a cell that begins with =, +, - or @ for a formula, and shortens long numbers: mend
    the file with a text editor, or import all of its columns as text. The mark of UTF-8 at its start
    tells Excel the encoding.
    """

    def __init__(self, path: str, table: Table) -> None:
        """Make the file.

        Raises:
            FileExistsError: something has that name; its leads may be nowhere else.
            OSError: it cannot be made.
        """
        self._path = path
        self._columns = table.columns
        self.written = 0
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        encoding = "utf-8" if table.columns is None else "utf-8-sig"
        self._file = os.fdopen(file, "w", encoding=encoding, newline="")
        # All cells in quotes: whatever delimiters they hold, the true one is recognised.
        self._csv = csv.writer(self._file, delimiter=table.delimiter or ",", quoting=csv.QUOTE_ALL)

    def write(self, row: Row, reason: str) -> None:
        """Add a row, and see to it that a crash does not lose it."""
        cells = {column: cell for column, cell in row.cells.items() if column != REASON} | {REASON: reason}
        if self._columns is None:
            self._file.write(f"{_json_of(cells)}\n")
        else:
            columns = [*(column for column in self._columns if column != REASON), REASON]
            if not self.written:
                self._csv.writerow(columns)
            self._csv.writerow([cells[column] for column in columns])
        self._file.flush()
        self.written += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and remove it if it holds no row."""
        if not self._file.closed:
            self._file.close()
            if not self.written:
                Path(self._path).unlink()


# Bytes into text.

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NO_TEXT = (
    (b"PK\x03\x04", 'an Excel workbook or another zip file; in Excel, save it as "CSV UTF-8"'),
    (b"\xd0\xcf\x11\xe0", 'an Excel workbook; in Excel, save it as "CSV UTF-8"'),
    (b"\x1f\x8b", "compressed; pass what `gunzip -c` prints of it, and - as the file"),
)
_WAY_OUT = "pass --encoding with the file's own, such as windows-1252, or save it as UTF-8"
_CONTINUED = bytes(range(0x80, 0xC0)).decode("cp1252", errors="ignore")
_NUL = re.compile("\0")
# What Windows-1252 makes of characters that UTF-8 writes in two or three bytes, and of a run of letters that
# are not Latin: a text that is Windows-1252 has such sequences next to never.
_NUL_OR_NOT_WESTERN = re.compile(
    f"\0|[\xc2-\xdf][{_CONTINUED}]|[\xe0-\xf4][{_CONTINUED}]{{2}}|[^\x00-\x7f]{{4}}"
)


def _encoding_of(first: bytes, given: str | None) -> tuple[str, int, bool]:
    """The encoding, the length of its mark, and whether it is a guess.

    UTF-8 is strict enough to be known by trying. What is neither it nor UTF-16 may be any of fifty
    encodings with a byte a character, and statistics over a few names often choose a wrong one without a
    word. Windows-1252 is what Excel writes in most of the world; it is told as a guess, and refused where
    the text does not look it.
    """
    for beginning, what in _NO_TEXT:
        if first.startswith(beginning):
            raise Unreadable(f"this is {what}")
    name = _codec(given) if given else ""
    for mark, marked in _MARKS:
        if first.startswith(mark):
            if not marked.startswith(name.removesuffix("-sig")):
                raise Unreadable(f"the file begins with the mark of {marked}; leave out --encoding")
            return marked, len(mark), False
    if name not in {"", "utf-16"}:
        return name.removesuffix("-sig"), 0, False
    # As RFC 4627 tells them apart: the first two characters are ASCII.
    zeros = [not byte for byte in first[:4]]
    if zeros in ([False, True] * 2, [True, False] * 2):
        return ("utf-16-be" if zeros[0] else "utf-16-le"), 0, False
    if name:
        raise Unreadable("no telling which byte comes first; pass --encoding utf-16-le or utf-16-be")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(first, final=len(first) < PIECE)
    except UnicodeDecodeError as error:
        if first[: error.start].isascii():
            return "windows-1252", 0, True
    return "utf-8", 0, False


def _codec(name: str) -> str:
    """Python's own name for a text encoding."""
    try:
        "".encode(name)
        codecs.getincrementaldecoder(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        raise Unreadable("--encoding is no encoding that Python knows; try utf-8 or windows-1252") from None


def _texts(pieces: Iterable[bytes], encoding: str, guessed: bool) -> Iterator[str]:
    """The text, in pieces that never end between \\r and \\n."""
    decoder = codecs.getincrementaldecoder(encoding)()
    wrong = _NUL_OR_NOT_WESTERN if guessed else _NUL
    line, text = 1, ""
    for piece in chain(pieces, (b"",)):
        state = decoder.getstate()
        undecodable = False
        try:
            text += decoder.decode(piece, final=not piece)
        except UnicodeError as error:
            undecodable = True
            at = error.start - len(state[0]) if isinstance(error, UnicodeDecodeError) else 0
            decoder.setstate(state)
            text += decoder.decode(piece[: max(at, 0)])
        # The last characters wait for the next piece, so that no sequence is missed on a seam.
        end = len(text) if undecodable or not piece else max(len(text) - 3, 0)
        if end < len(text) and text[:end].endswith("\r"):
            end -= 1
        found = wrong.search(text)
        if found:
            yield text[: found.start()]
            _refuse_text(found, encoding, line + _line_ends(text[: found.start()]))
        yield text[:end]
        line += _line_ends(text[:end])
        text = text[end:]
        if undecodable:
            raise Unreadable(f"holds a byte that is not {encoding}; {_WAY_OUT}", line)


def _refuse_text(found: re.Match[str], encoding: str, line: int) -> NoReturn:
    if found[0] == "\0":
        raise Unreadable(f"holds a NUL character; remove it, or, if it is no {encoding}, {_WAY_OUT}", line)
    raise Unreadable(f"is not UTF-8, and does not look like {encoding} either; {_WAY_OUT}", line)


def _line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """The lines with their ends: \\r\\n, \\n or \\r, and no other."""
    number, rest = 0, ""
    for text in texts:
        for line in io.StringIO(rest + text, newline=""):
            if line.endswith(("\r", "\n")):
                number += 1
                yield line
                rest = ""
            else:
                rest = line
        if len(rest) > ROW_LIMIT:
            raise Unreadable(f"is longer than {ROW_LIMIT:,} characters", number + 1)
    if rest:
        yield rest


def _up_to(size: int, texts: Iterator[str]) -> Iterator[str]:
    """So many of them as make up a size, or all."""
    for text in texts:
        yield text
        size -= len(text)
        if size <= 0:
            return


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


# CSV.


def _delimiter(given: str) -> str:
    delimiter = "\t" if given in {"tab", "\\t"} else given
    if len(delimiter) != 1 or delimiter.isalnum() or delimiter in '"\r\n\0':
        raise Unreadable("--delimiter is one character that is no letter, digit or quote, or the word tab")
    return delimiter


def _delimiter_of(head: list[str]) -> str:
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
            if not _is_blank(cells):
                records.append(cells)  # noqa: PERF401 - those before the broken one count
    except csv.Error:
        records.append([])
    return records


def _fits(cells: list[str], width: int) -> bool:
    return len(cells) >= width and _is_blank(cells[width:])


def _records(lines: Iterator[str], delimiter: str, number: int) -> Iterator[tuple[int, list[str]]]:
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


def _is_blank(cells: list[str]) -> bool:
    return not any(cell.strip() for cell in cells)


def _headings(cells: list[str], line: int) -> list[str]:
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


def _csv_rows(records: Iterator[tuple[int, list[str]]], names: list[str]) -> Iterator[Row]:
    for line, cells in records:
        if _is_blank(cells):
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


# JSON.


class _Flaw(ValueError):
    """Of JSON that Python would read all the same; its text repeats nothing of it."""


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Flaw("an object has the same key twice; remove one")
    return found


def _no_number(_: str) -> NoReturn:
    raise _Flaw("holds NaN or Infinity, which is no value; write null")


_JSON = json.JSONDecoder(object_pairs_hook=_without_twins, parse_float=Decimal, parse_constant=_no_number)
_BLANKS = re.compile(r"[ \t\r\n]*")


def _object(text: str, at: int) -> tuple[Mapping[str, Any], int]:
    """The object that begins there, and where it ends."""
    try:
        value, end = _JSON.raw_decode(text, at)
    except (json.JSONDecodeError, _Flaw):
        raise
    except (ValueError, ArithmeticError, RecursionError):
        raise _Flaw("holds a number that is too long, or is nested too deep") from None
    if not _is_object(value):
        raise _Flaw('holds something that is no object, such as {"Phone": "..."}; each lead is one')
    _check(value, levels=16)
    return value, end


def _check(value: Any, levels: int) -> None:
    """Refuse what could not be written to the rejects again."""
    if not levels:
        raise _Flaw("is nested too deep")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Flaw("holds half of a surrogate pair, which is no text") from None
    elif _is_object(value):
        _check([*value, *value.values()], levels)
    elif _is_array(value):
        for inner in value:
            _check(inner, levels - 1)


def _json_lines(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        try:
            cells, end = _object(text, 0)
        except json.JSONDecodeError:
            raise Unreadable(
                "no whole JSON object; write one object in each line, or all of them in one array", number
            ) from None
        except _Flaw as flaw:
            raise Unreadable(str(flaw), number) from None
        if end != len(text):
            raise Unreadable("something follows the JSON object; write one object in each line", number)
        yield Row(number, cells)


def _json_array(texts: Iterable[str]) -> Iterator[Row]:
    text = _Window(texts)
    text.skip("[")
    ended = text.peek() == "]"
    if ended:
        text.skip("]")
    while not ended:
        text.peek()  # so that the line is that of the object
        line = text.line
        yield Row(line, text.take_object())
        ended = text.peek() != ","
        text.skip("]" if ended else ",")
    if text.peek():
        raise Unreadable("something follows the end of the array; remove it", text.line)


class _Window:
    """The part of a JSON text that is being read, with its place in the file."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = iter(texts)
        self._text = ""
        self._at = 0
        self.line = 1

    def peek(self) -> str:
        """Pass over blanks; the character after them, "" at the end."""
        while True:
            blanks = _BLANKS.match(self._text, self._at)
            assert blanks
            self._pass(blanks.end())
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self, character: str) -> None:
        """Pass over a character that has to come now."""
        if self.peek() != character:
            raise Unreadable(f"JSON needs {character} here; is something missing, or cut off?", self.line)
        self._at += 1

    def take_object(self) -> Mapping[str, Any]:
        """Pass over an object."""
        while True:
            try:
                cells, end = _object(self._text, self._at)
            except json.JSONDecodeError as error:
                line = self.line + _line_ends(self._text[self._at : error.pos])
            except _Flaw as flaw:
                raise Unreadable(str(flaw), self.line) from None
            else:
                self._pass(end)
                return cells
            if len(self._text) - self._at > ROW_LIMIT:
                raise Unreadable(f"no JSON, or an object of more than {ROW_LIMIT:,} characters", line)
            if not self._more():
                raise Unreadable("no JSON from here on; is the file cut off?", line)

    def _pass(self, end: int) -> None:
        self.line += _line_ends(self._text[self._at : end])
        self._at = end

    def _more(self) -> bool:
        text = next(self._texts, None)
        self._text = self._text[self._at :] + (text or "")
        self._at = 0
        return text is not None


def _json_of(value: object) -> str:
    """As `json.dumps` writes it, and a Decimal with all of its digits, which that cannot."""
    if isinstance(value, Decimal):
        return str(value)
    if _is_object(value):
        return "{" + ", ".join(f"{_json_of(key)}: {_json_of(inner)}" for key, inner in value.items()) + "}"
    if _is_array(value):
        return "[" + ", ".join(map(_json_of, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)

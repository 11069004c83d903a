"""A file of any format: how it is opened, detected and streamed."""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async.cli.files.rows import Row, Unreadable
from leadsquared_async.cli.files.tables import Reading, Table
from tests.cli.files.reading import SECRET, read, refusal, table_of


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("a,b\n", {"encoding": "nope"}, "--encoding"),
        ("a,b\n", {"encoding": "rot13"}, "--encoding"),
        ("a,b\n", {"encoding": "base64"}, "--encoding"),
        ("a,b\n", {"encoding": "utf-16"}, "utf-16-le or utf-16-be"),
        ("a,b\n", {"sheet": "A"}, "--sheet is for workbooks"),
        ('{"a": 1}', {"skip_rows": 1}, "--skip-rows is for tables"),
        (b"PK\x03\x04...", {"encoding": "utf-8"}, "--encoding is for text"),
        (b"PK\x03\x04...", {"delimiter": ","}, "--delimiter is for CSV"),
        ("\ufeffa,b\n", {"encoding": "cp1252"}, "mark of utf-8"),
        ("a,b\n", {"delimiter": ",,"}, "--delimiter"),
        ("a,b\n", {"delimiter": '"'}, "--delimiter"),
        ("a,b\n", {"delimiter": "x"}, "--delimiter"),
        ('{"a": 1}', {"delimiter": ","}, "--delimiter is for CSV"),
        ('{"a": 1}', {"fill_short_rows": True}, "--fill-short-rows is for CSV"),
        (b"PK\x03\x04...", {}, "workbook"),
        (b"\xd0\xcf\x11\xe0...", {}, ".xlsx"),
        (b"\x1f\x8b...", {}, "gunzip"),
        ("", {"format": "json"}, "empty"),
        (" ", {"format": "jsonl"}, "empty"),
    ],
)
def test_options_refused(content: str | bytes, options: dict[str, str], said: str) -> None:
    """An invalid encoding, format or delimiter, and a file without text, raise before any row."""
    error = refusal(content, **options)
    assert said in str(error)
    assert error.line is None


@pytest.mark.parametrize(
    ("name", "content", "format_"),
    [
        ("x.csv", "a,b\n", "csv"),
        ("x.csv", '{"a": 1}', "jsonl"),
        ("x.txt", ' [\n{"a": 1}]', "json"),
        ("x.json", '{"a": 1}\n{"a": 2}', "jsonl"),
        ("x.jsonl", '[{"a": 1}]', "json"),
        ("x", "[]", "json"),
        ("x", "[a],{b}\n", "csv"),
        ("x.JSON", "[1]", "json"),
        ("x.ndjson", "1", "jsonl"),
    ],
)
def test_format(name: str, content: str, format_: str) -> None:
    """The content decides the format; the suffix decides only if the content does not."""
    with table_of(content, name=name) as table:
        assert table.format == format_
        assert (table.names is None) == (format_ != "csv")


class Stream(io.RawIOBase):
    """A stream that cannot seek."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._pieces, b"")
        piece, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterator[bytes]], io.BufferedReader]:
    """Replace standard input by a stream of pieces."""

    def of(pieces: Iterator[bytes]) -> io.BufferedReader:
        stream = io.BufferedReader(Stream(pieces))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
        return stream

    return of


def test_a_slow_pipe(stdin: Callable[[Iterator[bytes]], io.BufferedReader]) -> None:
    """A stream that gives one byte at a time is read, and stays open."""
    content = "a,b\r\nJosé,\U0001f600\r\n".encode()
    stream = stdin(bytes([byte]) for byte in content)
    with Table("-", Reading()) as table:
        assert [row.cells for row in table] == [("José", "\U0001f600")]
    assert not stream.closed


def test_the_file_is_closed(tmp_path: Path) -> None:
    """The context manager closes the file, and so does an error at opening."""
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n" + "3,4\n" * 100_000)
    with Table(str(path), Reading()) as table:
        pass
    with pytest.raises(ValueError, match="closed"):
        list(table)
    path.write_text("")
    with pytest.raises(Unreadable):  # a file left open would be a ResourceWarning, which is an error here
        Table(str(path), Reading())
    with pytest.raises(FileNotFoundError):
        Table(str(tmp_path / "no.csv"), Reading())


def test_a_device_is_not_opened() -> None:
    """A device is refused before it is opened."""
    with pytest.raises(Unreadable, match="device"):
        Table("/dev/zero", Reading())


def test_a_row_and_an_error_show_nothing() -> None:
    """The repr of a row shows no cell, and an error survives pickling."""
    assert SECRET not in repr(Row(2, ("a",), (SECRET,)))
    error = pickle.loads(pickle.dumps(Unreadable("is wrong", 3)))
    assert (str(error), error.line) == ("line 3: is wrong", 3)


def many_csv(count: int) -> Iterator[bytes]:
    yield b"FirstName,EmailAddress,Phone\r\n"
    for number in range(count):
        yield f'"Bret, {number}",bret-{number}@example.com,+91-{9_000_000_000 + number}\r\n'.encode()


def many_jsonl(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield b'{"FirstName": "Bret", "EmailAddress": "bret-%d@example.com"}\n' % number


def many_json(count: int) -> Iterator[bytes]:
    yield b"["
    for number in range(count):
        yield b'%s{"FirstName": "Bret", "EmailAddress": "bret-%d@example.com"}' % (
            b"," * (number > 0),
            number,
        )
    yield b"]"


@pytest.mark.slow
@pytest.mark.parametrize("many", [many_csv, many_jsonl, many_json])
def test_memory_stays_flat(
    many: Callable[[int], Iterator[bytes]], stdin: Callable[[Iterator[bytes]], io.BufferedReader]
) -> None:
    """A hundred thousand rows are never in memory together."""
    stdin(many(100_000))
    tracemalloc.start()
    try:
        count = sum(1 for _ in Table("-", Reading()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 100_000
    assert peak < 3_000_000


@pytest.mark.parametrize(
    "content",
    [
        'a,b\n1,"' + "x\n" * 3_000_000,
        "a,b\n1," + '"' * 3_000_001,
        "[" + "[" * 3_000_000,
        '[{"a": "' + "x" * 6_000_000,
        " " * 6_000_000,
        "a,b\n" + "\n" * 500_000,
    ],
)
def test_a_hostile_file_takes_no_time(content: str) -> None:
    """Megabytes of an open quote, brackets or blanks end within seconds."""
    before = time.process_time()
    with contextlib.suppress(Unreadable):
        assert read(content) == []
    assert time.process_time() - before < 10

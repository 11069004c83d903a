"""A file's rows: read as they stand, or refused with the line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import pickle
import stat
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from leadsquared_async.cli.files.csv_rows import DELIMITERS
from leadsquared_async.cli.files.decoding import Undecodable
from leadsquared_async.cli.files.headings import plain_heading
from leadsquared_async.cli.files.rows import REASON, ROW_LIMIT, Row, Unreadable
from leadsquared_async.cli.files.sheets import Rejects
from leadsquared_async.cli.files.tables import Reading, Table
from tests.cli.files.reading import SECRET, flaws_in, read, refusal, rows_in, table_of

CYRILLIC = "Иван"


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("a,b\n1,2\n", [(2, "1", "2")]),
        ("a,b\r\n1,2\r\n3,4", [(2, "1", "2"), (3, "3", "4")]),
        ("a,b\r1,2\r3,4\r", [(2, "1", "2"), (3, "3", "4")]),
        ("a,b\r\n1,2\r3,4\n5,6", [(2, "1", "2"), (3, "3", "4"), (4, "5", "6")]),
        ("\n\na,b\n\n1,2\n ,\n,,,\n3,4\n\n", [(5, "1", "2"), (8, "3", "4")]),
        ('a,b\n"x\ny\r\nz",2\n3,4\n', [(2, "x\ny\r\nz", "2"), (5, "3", "4")]),
        ('a,b\n"a ""quoted"" word","1,5"\n', [(2, 'a "quoted" word', "1,5")]),
        ('a,b\n5" pipe,2\n', [(2, '5" pipe', "2")]),
        (' a\t, "b\n 1 ,2 \n', None),
        (" a ,\u00a0b\u00a0\n 1 ,2 \n", [(2, " 1 ", "2 ")]),
        ("a,b\n1,2,,\n", [(2, "1", "2")]),
        ("a,b,,\n1,2\n3,4,,\n", [(2, "1", "2"), (3, "3", "4")]),
        ("a,b\n", []),
        ("a,b", []),
        ("a,b\n\u20281\x0b,\x852\n", [(2, "\u20281\x0b", "\x852")]),
        ("a,b\n=1+1,+91-9988776655\n", [(2, "=1+1", "+91-9988776655")]),
    ],
)
def test_csv(content: str, rows: list[tuple[int, str, str]] | None) -> None:
    """Cells stay exact, headings are trimmed, blank lines are skipped, and each row has its first line."""
    if rows is None:
        refusal(content)
    else:
        assert read(content) == [(line, {"a": a, "b": b}) for line, a, b in rows]


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("", None, "empty"),
        ("\ufeff", None, "empty"),
        (" \n\r\n", None, "empty"),
        ("sep=;\n", None, "empty"),
        (f'a,b\n1,2\n3,"{SECRET}\n5,6\n7,8\n', 3, "quote"),
        (f'a,b\n1,2\n"x\ny","{SECRET}\n5,6\n', 3, "quote"),
        (f'a,b\n3,"{SECRET}\n5,"6"\n7,8\n', 2, "quote"),
        (f'a,b\n3,"{SECRET}" x\n', 2, "quote"),
        (f'a,b\n3,"{SECRET}\\"x"\n', 2, "quote"),
        (f'a, "{SECRET}"\n3,4\n', 1, "white space before a quote"),
        (f'a,b\n3, "{SECRET}\nx"\n', 2, "white space before a quote"),
        (f"Leads of June\n{SECRET}\n\na,b\n1,2\n", None, "--skip-rows 3"),
        (f"Leads;of June\na;b;c\n1;2;{SECRET}\n", None, "--skip-rows 1"),
        (f"Leads of June;;\na;b;c\n1;2;{SECRET}\n", None, "--skip-rows 1"),
        (f"a,b\n1,{SECRET}\x00\n", 2, "NUL"),
        ("a,b\n1,2\n1," + "x" * ROW_LIMIT, 3, "1,000,000"),
        ('a,b\n1,"' + "x\n" * ROW_LIMIT, 2, "quote"),
        ("x" * (2 * ROW_LIMIT), 1, "1,000,000"),
    ],
)
def test_csv_refused(content: str, line: int | None, said: str) -> None:
    """An ambiguous file is refused with the line, and no cell is shown."""
    error = refusal(content)
    assert error.line == line
    assert said in str(error)
    assert str(error).startswith(f"line {line}: " if line else said[:0])


@pytest.mark.parametrize(
    ("content", "flaws"),
    [
        (f"a,b\n1,{SECRET},3\n4,5\n", [(2, "has 3 cells for 2 columns")]),
        (
            f"a,b,c\n1,{SECRET}\n4,5,6\n",
            [(2, "has 2 cells for 3 columns: add the others, or pass --fill-short-rows if")],
        ),
        ("a,Reason (leadsquared)\n1\n", [(2, "has 1 cell for 2 columns with that of the reason")]),
        (f'a,b\n3, "{SECRET}"\n4,5\n', [(2, "white space before a quote")]),
        (f'a,b\n\t"{SECRET}",3\n4,5\n', [(2, "white space before a quote")]),
        # A line break in a cell without quotes: the piece may belong to either row next to it.
        ("a,b\n1,x\ny\n2,z\n\n3,w\n", [(2, "an adjacent line"), (3, "has 1 cell"), (4, "an adjacent line")]),
        ("a,b\n1,x\n\nTotal: 1\n", [(4, "has 1 cell")]),
        ('a,b\n"1\n2",x\ny\n', [(2, "an adjacent line"), (4, "has 1 cell")]),
    ],
)
def test_a_row_that_does_not_fit_is_refused_by_itself(content: str, flaws: list[tuple[int, str]]) -> None:
    """A row that does not fit has a flaw; the other rows have none."""
    found = flaws_in(content)
    assert [line for line, _ in found] == [line for line, _ in flaws]
    assert all(flaw.startswith(said) for (_, flaw), (_, said) in zip(found, flaws, strict=True))


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("a,b,c\n1,2\n4,5,6\n", [("1", "2", ""), ("4", "5", "6")]),
        ("a,b,c\n1,\n", [("1", "", "")]),
        ("a,b,c,d\n1,2\n1,2\n\n1,2,3\n", [("1", "2", "", "")] * 2 + [("1", "2", "3", "")]),
        ("a,b,c\n1,2\n\n1,2\n", [("1", "2", "")] * 2),
        ("a,b,c\n1\n", "has 1 cell for 3 columns: add the others, or remove"),
        ("a,b,c\n1,2,3,4\n", "has 4 cells for 3 columns: put the cell that contains a delimiter"),
        # The halves of a row with a line break in a cell without quotes.
        ("a,b,c\n1,x\ny,2\n", "an adjacent line may belong to this row"),
        ("a,b,c,d\n1,x\ny,2,3\n", "an adjacent line may belong to this row"),
        ("a,b,c,d\n1,x,y\nz,3\n", "an adjacent line may belong to this row"),
        (f"a,b,{REASON}\n1,why\n", "has 2 cells for 3 columns with that of the reason"),
    ],
)
def test_short_rows_are_filled(content: str, rows: list[tuple[str, ...]] | str) -> None:
    """With --fill-short-rows, missing cells are empty; a row that may be split or too long stays refused."""
    found = rows_in(content, fill_short_rows=True)
    if isinstance(rows, str):
        assert {(row.flaw or "")[: len(rows)] for row in found} == {rows}
    else:
        assert [row.cells for row in found] == rows
        assert not any(row.flaw for row in found)


def test_columns_may_share_a_heading_or_have_none() -> None:
    """Columns with the same heading or none are read."""
    (row,) = rows_in("a,,a,\n1,2,3\n")
    assert (row.names, row.cells) == (("a", "", "a"), ("1", "2", "3"))


@pytest.mark.parametrize(
    "heading",
    ["First\nName", "First\r\nName", "First\u00a0Name", "\u200bFirst  Name\ufeff", "\ufeff\ufeffFirst Name"],
)
def test_headings_can_be_typed(heading: str) -> None:
    """Line breaks and no-break spaces become one space; invisible characters are removed."""
    assert table_of(f'"{heading}",b\n').names == ("First Name", "b")
    assert plain_heading(heading) == "First Name"


def test_lines_above_the_headings_are_skipped() -> None:
    """Line numbers count the skipped lines."""
    content = 'Leads of June, all "sources\n\n"a",b\n1,2\n'
    assert read(content, skip_rows=2) == [(4, {"a": "1", "b": "2"})]
    assert refusal(content, skip_rows=9).line is None


def test_rows_before_a_refusal_are_read() -> None:
    """The rows before an unreadable line are read."""
    rows = iter(table_of('a,b\n1,2\n3,4\n5,"6\n'))
    assert next(rows).cells == ("1", "2")
    with pytest.raises(Unreadable):
        list(rows)


@pytest.mark.parametrize(
    ("content", "delimiter", "columns"),
    [
        ("a,b\n1,2\n", ",", ("a", "b")),
        ("a;b\n1,5;2,5\n", ";", ("a", "b")),
        ("a\tb\n1,2;3\t4\n", "\t", ("a", "b")),
        ("a|b\n", "|", ("a", "b")),
        ('"a,x";b\n1;2\n', ";", ("a,x", "b")),
        ("a,x;b\n1;2\n3;4\n", ";", ("a,x", "b")),
        ("a,x;b\n1;2\n3;4,4\n", ";", ("a,x", "b")),
        ("a\nx;y|z\n", ",", ("a",)),
        ('"a","x;y"\n"1","1;2"\n', ",", ("a", "x;y")),
        ('a,x;b\n1,1;"2"3\n', ",", ("a", "x;b")),
        ("sep=;\r\na,x;b\n1,1;2\n", ";", ("a,x", "b")),
        ("sep=\t\na\tb\n", "\t", ("a", "b")),
        ("SEP=^\na^b\n", "^", ("a", "b")),
    ],
)
def test_delimiter(content: str, delimiter: str, columns: tuple[str, ...]) -> None:
    """The header decides the delimiter, the first records between two, `sep=` before both."""
    with table_of(content) as table:
        assert (table.delimiter, table.names) == (delimiter, columns)


def test_delimiter_given() -> None:
    """A given delimiter overrides detection and the file's `sep=`."""
    assert table_of("a,x;b\n1,1;2\n", delimiter=",").names == ("a", "x;b")
    assert table_of("sep=,\na,x;b\n", delimiter=";").names == ("a,x", "b")
    assert table_of("a,b\tc\n", delimiter="tab").names == ("a,b", "c")
    assert table_of("a:b\n", delimiter=":").names == ("a", "b")


def test_delimiter_unclear() -> None:
    """Two characters that split the first records alike are ambiguous."""
    assert "--delimiter" in str(refusal("a,x;b\n1,1;2\n"))
    assert "--delimiter" in str(refusal("A,B;A,B\nBret;x,y;x,y\n"))  # one of them with a ragged row


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8-sig", b""),
        ("utf-16", b""),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-32", b""),
        ("utf-32-be", b"\x00\x00\xfe\xff"),
    ],
)
def test_a_mark_is_believed(encoding: str, mark: bytes) -> None:
    """The byte order mark decides the encoding; a given one may agree with it."""
    content = mark + "a,b\nJosé,Müller\n".encode(encoding)
    assert read(content) == [(2, {"a": "José", "b": "Müller"})]
    assert read(content, encoding=encoding.removesuffix("-be")) == read(content)


ASCII_ROWS = "a,b\n" + "x,1\n" * 40_000


@pytest.mark.parametrize(
    ("content", "line", "encoding"),
    [
        ("a,b\nJosé,Müller\n".encode("cp1252"), 2, "cp1252"),
        ("a,b\nO\u2019Brien,x\n".encode("cp1252"), 2, "cp1252"),
        ("a,b\nŁukasz Żółć,Kraków\n".encode("cp1250"), 2, "cp1250"),
        (f"a,b\n1,2\n{CYRILLIC} {CYRILLIC},1\n".encode("cp1251"), 3, "cp1251"),
        ("a,b\n李明王小华,北京市朝阳区\n".encode("gb18030"), 2, "gb18030"),
        ((ASCII_ROWS + "José,2\nx,3\n").encode("cp1252"), 40_002, "cp1252"),
        ((ASCII_ROWS.replace("\n", "\r\n") + "José,2\r\n").encode("cp1252"), 40_002, "cp1252"),
        ((ASCII_ROWS.replace("\n", "\r") + "José,2\r").encode("cp1252"), 40_002, "cp1252"),
        ("a,b\nx,1\n".encode("utf-16-le"), 1, "utf-16-le"),
        ("a,b\nx,1\n".encode("utf-16-be"), 1, "utf-16-be"),
    ],
)
def test_what_is_not_utf_8_is_never_guessed(content: bytes, line: int, encoding: str) -> None:
    """The error has the line and the likely encodings; with the right one the file is read."""
    error = refusal(content)
    assert isinstance(error, Undecodable)
    assert error.line == line
    assert encoding in [candidate.encoding for candidate in error.candidates]
    assert f"--encoding {encoding}" in str(error)
    assert read(content, encoding=encoding)


def test_candidates_show_what_they_make_of_the_bytes() -> None:
    """Candidates have the decoded characters, which no repr shows."""
    error = refusal("a,b\nŁukasz,Müller\n".encode("cp1250"))
    assert isinstance(error, Undecodable)
    shown = {candidate.encoding: candidate.characters for candidate in error.candidates}
    assert shown["cp1250"] == "Łü"
    assert "Ł" not in repr(error.candidates)


@pytest.mark.parametrize(
    ("content", "options", "line", "said"),
    [
        (b"a,b\nJos\xe9,1\n" + ASCII_ROWS[4:].encode() + "José,1\n".encode(), {}, 2, "not UTF-8"),
        ("a,b\nJosé,1\nAndré".encode()[:-1], {}, 3, "not UTF-8"),
        ("a,b\nx,\U0001f600".encode("utf-16")[:-2], {}, 2, "not UTF-8"),
        (("a,b\n" + "x,1\n" * 40_000 + "x,\x00\n").encode(), {}, 40_002, "NUL"),
        (b"a,b\nJos\x81,1\n", {"encoding": "cp1252"}, 2, "not cp1252"),
        (f"a,b\n{CYRILLIC},1\n".encode("cp1251"), {"encoding": "ascii"}, 2, "not ascii"),
    ],
)
def test_a_byte_that_is_something_else(content: bytes, options: dict[str, str], line: int, said: str) -> None:
    """An invalid byte anywhere is refused with its line and what to pass."""
    error = refusal(content, **options)
    assert error.line == line
    assert said in str(error)
    assert "--encoding" in str(error)


@pytest.mark.parametrize("size", [8_190, 8_191, 8_192, 8_193, 65_536])
def test_the_seam_of_two_pieces_is_no_place_to_hide(size: int) -> None:
    """Line ends, characters and marks are read correctly across two pieces."""
    start = b"a,b\r\n1,"
    ends = start + b"x" * (size - len(start) - 1) + "é\r\n3,4\r\n".encode()
    assert [line for line, _ in read(ends)] == [2, 3]
    assert read(ends.replace("é".encode(), b""))[1] == (3, {"a": "3", "b": "4"})


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
        ("a,b\n", {"format": "xml"}, "--format"),
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


@pytest.mark.parametrize(
    "content",
    [
        '{"a": 1, "b": {"c": "x"}}\n\n {"a": 0.10, "b": null} \r\n',
        '[{"a": 1, "b": {"c": "x"}},\n\n {"a": 0.10, "b": null}]',
        '\ufeff[{"a":1,"b":{"c":"x"}}\n,\r\n{"a":0.10,"b":null}\n]\n\n',
    ],
)
def test_json(content: str) -> None:
    """Both forms give the same rows with their lines, and fractions as Decimal."""
    rows = [(1, {"a": 1, "b": {"c": "x"}}), (3, {"a": Decimal("0.10"), "b": None})]
    assert read(content) == rows
    assert str(read(content)[1][1]["a"]) == "0.10"


def test_json_numbers_lose_no_digit() -> None:
    """A number of thirty digits keeps all of them."""
    digits = "123456789012345678901234567890"
    assert read(f'{{"a": {digits}, "b": {digits}.{digits}}}')[0][1] == {
        "a": int(digits),
        "b": Decimal(f"{digits}.{digits}"),
    }


FLAWS = [
    (f'{{"a": "{SECRET}"', "JSON"),
    (f'{{"a": "{SECRET}", "a": 2}}', "same key twice"),
    (f'{{"a": {{"b": "{SECRET}", "b": 2}}}}', "same key twice"),
    ('{"a": NaN}', "NaN"),
    ('{"a": -Infinity}', "NaN or Infinity"),
    ('{"a": "\\ud83d"}', "surrogate"),
    ('{"\\ud83d": 1}', "surrogate"),
    ('{"a": ["\\ud83d"]}', "surrogate"),
    ('{"a": ' + "[" * 17 + "]" * 17 + "}", "nested too deep"),
    ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deep"),
    ('{"a": ' + "1" * 5000 + "}", "number that is too long"),
    ('{"a": 1e99999999999999999999}', "number that is too long"),
    (f'"{SECRET}"', "not an object"),
    ("{'a': 1}", "JSON"),
    ('{"a": 1,}', "JSON"),
]


@pytest.mark.parametrize(("flaw", "said"), FLAWS)
@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_json_refused(flaw: str, said: str, form: str) -> None:
    """A broken object is refused with its line, and none of it is shown."""
    good = '{"a": 1}'
    content = f"{good}\n{flaw}\n{good}\n" if form == "jsonl" else f"[{good},\n{flaw}\n,{good}]"
    error = refusal(content, format=form)
    assert said in str(error)
    if not flaw.endswith(f'"{SECRET}"') or form == "jsonl":  # what is cut off shows at what follows
        assert error.line == 2
    assert SECRET not in f"{error} {error!r}"


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ('[{"a": 1},\n{"a": 2}', 2, "] here"),
        ('[{"a": 1},\n', 2, "JSON"),
        ('[{"a": 1}\n{"a": 2}]', 2, "] here"),
        ('[{"a": 1}]\n\nx', 3, "follows the end"),
        ("[]\n[]", 2, "follows the end"),
        ('[{"a": "' + "x" * 2 * ROW_LIMIT + '"}]', 1, "1,000,000"),
        ('{\n"a": 1\n}', 1, "one object per line"),
        ('{"a": 1} {"a": 2}', 1, "one object per line"),
    ],
)
def test_json_form_refused(content: str, line: int, said: str) -> None:
    """A truncated array, text after one, and an object on several lines are refused with the line."""
    error = refusal(content)
    assert error.line == line
    assert said in str(error)


@pytest.mark.parametrize("separator", [",", ",\n"])
def test_json_array_across_pieces(separator: str) -> None:
    """Objects of any length are read across pieces of the file."""
    objects = [{"a": "é" * (index * 37 % 5000), "n": index} for index in range(300)]
    rows = read("[" + separator.join(json.dumps(one, ensure_ascii=False) for one in objects) + "]")
    assert [cells for _, cells in rows] == objects
    assert [line for line, _ in rows] == [1 + index * (separator != ",") for index in range(300)]


class Stream(io.RawIOBase):
    """A stream that gives what comes, and cannot go back."""

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
    """Makes standard input of pieces."""

    def of(pieces: Iterator[bytes]) -> io.BufferedReader:
        stream = io.BufferedReader(Stream(pieces))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
        return stream

    return of


def test_a_pipe_in_drops(stdin: Callable[[Iterator[bytes]], io.BufferedReader]) -> None:
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


# Size.


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
    before = time.perf_counter()
    with contextlib.suppress(Unreadable):
        assert read(content) == []
    assert time.perf_counter() - before < 10


def test_a_hundred_columns() -> None:
    """Many columns and a long cell are read."""
    cells = ["x" * 500_000, *map(str, range(1, 100))]
    content = ",".join(f"c{number}" for number in range(100)) + "\n" + ",".join(cells) + "\n"
    assert list(read(content)[0][1].values()) == cells


# Properties.

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufeff")
CELLS = st.one_of(
    st.text(CHARACTERS, max_size=12),
    st.text("ab1 \t,;|\"'\r\n=+-@é\u00a0\u2028", max_size=12),
)
MARKED = ("utf-8", "utf-8-sig", "utf-16")
SINGLE_BYTE = ("cp1252", "latin-1", "cp1251", "cp437")


@st.composite
def tables(draw: st.DrawFn, least: int = 1) -> tuple[list[str], list[list[str]]]:
    headings = st.text(CHARACTERS, min_size=1, max_size=8).map(plain_heading).filter(bool)
    header = draw(st.lists(headings, min_size=least, max_size=5, unique=True))
    row = st.lists(CELLS, min_size=len(header), max_size=len(header))
    return header, draw(st.lists(row, max_size=6))


def written(table: tuple[list[str], list[list[str]]], encoding: str, **dialect: Any) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, **dialect)
    if dialect["lineterminator"] != "\r\n":  # then `csv.writer` leaves the other of the two without quotes
        assume(not {"\r", "\n"} & set("".join(chain(table[0], *table[1]))))
    writer.writerow(table[0])
    writer.writerows(table[1])
    try:
        return text.getvalue().encode(encoding)
    except UnicodeEncodeError:
        assume(False)
        raise


def as_rows(table: tuple[list[str], list[list[str]]]) -> list[dict[str, str]]:
    header, rows = table
    return [dict(zip(header, row, strict=True)) for row in rows if any(cell.strip() for cell in row)]


dialects = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(DELIMITERS),
        "lineterminator": st.sampled_from(["\r\n", "\n", "\r"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    }
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(table=tables(), encoding=st.sampled_from(MARKED + SINGLE_BYTE), dialect=dialects)
def test_what_is_told_is_read(
    table: tuple[list[str], list[list[str]]], encoding: str, dialect: dict[str, Any]
) -> None:
    """Any table that a writer has written comes back equal, if the reader is told how it was written.

    A row with a blank before a quote is refused, since the quote may have been meant to surround the cell.
    """
    assume(not table[0][0].lower().startswith("sep="))
    assume(not any(map(is_quoted_late, chain(table[0], *table[1]))))
    content = written(table, encoding, **dialect)
    options = {"format": "csv", "encoding": encoding, "delimiter": dialect["delimiter"]}
    found = table_of(content, **options)
    assert found.names == tuple(table[0])
    assert [cells for _, cells in read(content, **options)] == as_rows(table)


def is_quoted_late(cell: str) -> bool:
    return cell[:1].isspace() and cell.strip()[:1] == '"'


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(table=tables(2), encoding=st.sampled_from([*MARKED, "utf-16-le", *SINGLE_BYTE]), dialect=dialects)
def test_what_is_recognised_is_right(
    table: tuple[list[str], list[list[str]]], encoding: str, dialect: dict[str, Any]
) -> None:
    """A table of two columns or more is detected correctly or refused."""
    content = written(table, encoding, **dialect)
    try:
        rows = rows_in(content)
    except Unreadable:
        return
    expected = iter(as_rows(table))
    for row in rows:
        cells = next(expected)
        assert row.flaw or dict(zip(row.names, row.cells, strict=True)) == cells
    assert next(expected, None) is None


@settings(max_examples=200, deadline=None)
@given(table=tables(), reason=st.text(CHARACTERS), dialect=dialects)
def test_rejects_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    table: tuple[list[str], list[list[str]]],
    reason: str,
    dialect: dict[str, Any],
) -> None:
    """Rejects are read back equal without options, also the second time."""
    assume(as_rows(table))
    assume(not any(map(is_quoted_late, chain((reason,), table[0], *table[1]))))
    assume(not {"\r", "\n"} & set("".join(table[0])))
    source = table_of(
        written(table, "utf-8-sig", **{**dialect, "lineterminator": "\r\n"}),
        format="csv",
        delimiter=dialect["delimiter"],
    )
    assume(source.names == tuple(table[0]))
    folder = tmp_path_factory.mktemp("rejects")
    for number in range(2):
        path = folder / f"rejects-{number}.csv"
        with source, Rejects(path, source) as rejects:
            for row in source:
                rejects.write(row, reason)
        source = Table(str(path), Reading())
        assert source.names == (*table[0], REASON)
    with source:
        found = [dict(zip(row.names, row.cells, strict=True)) for row in source]
        assert found == [row | {REASON: reason} for row in as_rows(table)]


def test_a_row_that_does_not_fit_comes_back_as_one(tmp_path: Path) -> None:
    """A row that does not fit keeps its number of cells in the rejects."""
    path = tmp_path / "rejects.csv"
    source = table_of("a,b,c\n1,2\n1,2,3,4\n")
    with source, Rejects(path, source) as rejects:
        for row in source:
            rejects.write(row, "why")
    assert [row.cells for row in rows_in(path.read_bytes())] == [
        ("1", "2", "why"),
        ("1", "2", "3", "why", "4"),
    ]
    assert len(flaws_in(path.read_bytes())) == 2


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    objects=st.lists(st.dictionaries(st.text(CHARACTERS), json_values, max_size=4), min_size=1, max_size=4)
)
def test_json_rejects_come_back(
    tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, Any]]
) -> None:
    """JSON rejects are read back with every digit."""
    path = tmp_path_factory.mktemp("rejects") / "rejects.jsonl"
    with table_of('{"a": 1}') as table, Rejects(path, table) as rejects:
        for one in objects:
            rejects.write(Row(1, tuple(one), tuple(one.values())), "is wrong")
    found = [spelt(cells) for _, cells in read(path.read_bytes(), format="jsonl")]
    assert found == [spelt(one | {REASON: "is wrong"}) for one in objects]


def spelt(value: Any) -> Any:
    """Equal only if every digit is; a whole Decimal comes back as the int that JSON has for it."""
    if isinstance(value, Decimal):
        return int(value) if value.as_tuple().exponent == 0 else str(value)
    if isinstance(value, dict):
        return {key: spelt(inner) for key, inner in value.items()}
    return [spelt(inner) for inner in value] if isinstance(value, list) else value


# The file of rejects.


def test_rejects_file(tmp_path: Path) -> None:
    """The file is private, has a UTF-8 mark and the input's delimiter, and ends with the reason."""
    path = tmp_path / "rejects.csv"
    table = table_of("Phone;Name\n+91-998;José\n=1;x\n")
    with table, Rejects(path, table) as rejects:
        for row in table:
            rejects.write(row, 'says "no"; twice')
        assert path.read_bytes().count(b"\r\n") == 3  # nothing waits in a buffer
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().decode("utf-8") == (
        f'\ufeff"Phone";"Name";"{REASON}"\r\n'
        '"+91-998";"José";"says ""no""; twice"\r\n'
        '"=1";"x";"says ""no""; twice"\r\n'
    )


def test_rejects_overwrite_nothing(tmp_path: Path) -> None:
    """An existing file raises and stays unchanged."""
    path = tmp_path / "rejects.csv"
    path.write_text("a,b\n1,2\n")
    with table_of("a,b\n") as table, pytest.raises(FileExistsError):
        Rejects(path, table)
    assert path.read_text() == "a,b\n1,2\n"


def test_no_rejects_no_file(tmp_path: Path) -> None:
    """The file is created at once, and deleted if no row was refused."""
    path = tmp_path / "rejects.csv"
    with table_of("a,b\n") as table, Rejects(path, table):
        assert path.exists()
    assert not path.exists()

"""Files that nobody would think of: each is read or refused with a reason, and no row is lost."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
import time
import zipfile
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import openpyxl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadsquared_async.cli.files.makers import LeadRows
from leadsquared_async.cli.files.mapping import LeadMapping, MappingError
from leadsquared_async.cli.files.rows import REASON, Unreadable
from leadsquared_async.cli.files.sheets import Rejects
from leadsquared_async.cli.files.tables import Reading, Table

SECRET = "zq-private-4711"
LONGEST = 5.0
"""Seconds that a file of a few kilobytes may take."""
SHEET = "xl/worksheets/sheet1.xml"
ENCODINGS = (
    *("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "cp1251", "gb18030"),
    *("cp932", "shift_jis", "utf-7", "cp500", "hz", "iso2022_jp", "unicode_escape", "raw_unicode_escape"),
    *("idna", "punycode", "undefined", "hex", "rot13", "latin-1", "ascii", "no such", "utf\0", ""),
)
MARKS = [
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xff\xfe\0\0",
    b"\0\0\xfe\xff",
    b"\xff",
    b"\xc3",
    b"\x85",
]
SIGNS = [b"\0", b'"', b'""', b"'", b",", b";", b"\t", b"|", b"\r", b"\n", b"\r\n", b"\n\n", b"\\", b"\x1a"]
OTHERS = [b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xef\xbf\xbd", b"\xc2\xa0", b"+2AA-", b"~{", b"\x1b$B"]
JSON = [b"{", b"}", b"[", b"]", b'{"a":1}', b'"a":', b"NaN", b"1e999", b"-0", b"\\ud800", b"9" * 5000]
LONG = [b'"' * 7, b"," * 300, b"[" * 5000, b'{"a":' * 3000, b"x" * 70_000, b"PK\x03\x04", b"sep=;\r\n"]
PIECES = st.sampled_from([*MARKS, *SIGNS, *OTHERS, *JSON, *LONG])
USUAL = ["", " ", "Bret", "José", "李明", "+91-9988776655", "2024-02-29", SECRET, SECRET, SECRET]
ODD = [
    "a,b",
    "a;b",
    "two\nlines",
    "\r",
    '"',
    "'",
    "=1+1",
    "#N/A",
    "1e5",
    "NULL",
    "\u200b",
    "\u2028",
    "\ufeff",
]
CELLS = st.sampled_from([*USUAL, *ODD]) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = ["FirstName", "Phone", "Phone", "EmailAddress", "E-mail", "", "1", "A;B", REASON]
HEADINGS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=5)
VALUES = st.recursive(
    CELLS | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(CELLS, inner, max_size=2),
    max_leaves=5,
)
# A number, a place or a text in the XML of a workbook.
NUMBERS = ["0", "-1", "2", "3", "999", "999999999999", "1.5", "", "x", "A1", "D2", "AAAA1"]
INSIDE = ["1e999", "nan", "inf", "9" * 30, "_xD800_", "_x0000_", "45351.5", "-700000"]


def table(draw: st.DrawFn) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(
        text,
        delimiter=draw(st.sampled_from(",;\t|")),
        lineterminator=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    )
    writer.writerow(draw(HEADINGS))
    writer.writerows(draw(st.lists(st.lists(CELLS, max_size=5), max_size=6)))
    return text.getvalue().encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"])))


def objects(draw: st.DrawFn) -> bytes:
    rows = [json.dumps(row) for row in draw(st.lists(st.dictionaries(CELLS, VALUES, max_size=4), max_size=5))]
    text = "\n".join(rows) if draw(st.booleans()) else f"[{', '.join(rows)}]"
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])))


@cache
def parts() -> dict[str, bytes]:
    """The parts of a workbook with each type of cell."""
    book, file = openpyxl.Workbook(), io.BytesIO()
    sheet = book.worksheets[0]
    sheet.append(["FirstName", "Phone", "mx_Date", "mx_Share", "mx_Zip"])
    for number in range(3):
        sheet.append([SECRET, 9988776655.0 + number, date(2024, 2, 29), 0.5, 42])
    sheet.append(["=1+1", None, None, True, None])
    sheet["D2"].number_format, sheet["E2"].number_format = "0%", "00000"
    sheet.merge_cells("A2:A3")
    book.save(file)
    with zipfile.ZipFile(file) as archive:
        # Without its theme, which is long.
        return {name: archive.read(name) for name in archive.namelist() if "theme" not in name}


def workbook(draw: st.DrawFn) -> bytes:
    """A workbook in whose XML a few numbers, names or texts are others."""
    changed = dict(parts())
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from([SHEET, SHEET, SHEET, *changed]))
        text = changed[name].decode()
        places = [*re.finditer(r'(?<=")[^"]*(?=")|(?<=>)[^<]+(?=<)|<[^>]*>', text)]
        if not places:
            continue
        at = draw(st.sampled_from(places))
        new = draw(st.sampled_from([*NUMBERS, *INSIDE, "", at[0] * 2]))
        changed[name] = (text[: at.start()] + new + text[at.end() :]).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in changed.items():
            archive.writestr(name, content)
    return file.getvalue()


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """The bytes of a file, most of them damaged."""
    kind = draw(st.sampled_from([table, table, objects, workbook, None]))
    if kind is None:
        return draw(st.binary(max_size=60) | st.lists(PIECES, max_size=8).map(b"".join))
    content = kind(draw)
    for _ in range(draw(st.integers(0, 2 if kind is workbook else 3))):
        if kind is workbook and draw(st.booleans()):
            continue
        at, new = draw(st.integers(0, len(content))), draw(PIECES | st.binary(max_size=3))
        content = draw(
            st.sampled_from([content[:at], content[:at] + new + content[at + draw(st.integers(0, 3)) :]])
        )
    return content


options = st.fixed_dictionaries(
    {},
    optional={
        "format": st.sampled_from(["csv", "jsonl", "json", "xlsx"]),
        "encoding": st.sampled_from(ENCODINGS),
        "delimiter": st.sampled_from([",", ";", "tab", "|", "x", "", '"', "\n", "::", " ", "é"]),
        "skip_rows": st.integers(0, 3),
        "fill_short_rows": st.just(True),
        "sheet": st.sampled_from(["Sheet", "Sheet1", ""]),
    },
)
# Each option is rare, since most files refuse most of them.
readings = st.just({}) | options.map(lambda given: dict([*given.items()][:2]))
suffixes = st.sampled_from([".csv", ".json", ".jsonl", ".xlsx", ".txt", ""])


def rows_of(content: bytes, opened: Table, skip: int) -> int | None:
    """The rows with a cell that the file has, counted in another way; None if that is not possible."""
    if opened.format == "xlsx":
        if opened.sheet != "Sheet":
            return None
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            sheet = ET.fromstring(archive.read(SHEET))
        rows = [row for row in sheet.iter() if row.tag.endswith("}row")]
        full = {each for each in sheet.iter() if each.tag[-2:] in {"}v", "}t"} and each.text}
        return sum(not full.isdisjoint(row.iter()) for row in rows)
    assert opened.encoding is not None
    text = io.StringIO(content.decode(opened.encoding).removeprefix("\ufeff"), newline="")
    if opened.format == "csv":
        lines = text.readlines()[skip:]
        if lines and re.fullmatch(r"sep=([^\w\s]|\t)\s*", lines[0], re.IGNORECASE):
            del lines[0]
        assert opened.delimiter
        return sum(map(bool, csv.reader(lines, delimiter=opened.delimiter)))
    if opened.format == "jsonl":
        return sum(bool(line.strip()) for line in text)
    return len(json.load(text))


def check_file(content: bytes, suffix: str, given: dict[str, Any]) -> None:
    """A file is refused with a reason, or each of its rows is sent or rejected; rejects can be read."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path, rejected = Path(folder, f"leads{suffix}"), Path(folder, "rejects")
        path.write_bytes(content)
        try:
            with Table(str(path), Reading(**given)) as opened:
                read = _rejected(opened, rejected)
                blank = opened.blank
                found = rows_of(content, opened, given.get("skip_rows", 0))
        except (Unreadable, MappingError) as error:
            message = str(error)
            assert message
            assert all(line.isprintable() for line in message.splitlines()), message
        else:
            is_table = opened.names is not None
            if opened.format == "xlsx":
                above = given.get("skip_rows", 0)
                assert found is None or read + 1 <= found + blank
                assert found is None or found <= above + 1 + read + blank
            else:
                assert read + blank + is_table == found
            if read and {*(opened.names or ("",))} != {REASON}:
                with Table(str(rejected), Reading()) as again:
                    assert sum(1 for _ in again) == read
    assert time.monotonic() - start < LONGEST


def _rejected(opened: Table, path: Path) -> int:
    """Make each row's lead, and write the row to the rejects; the number of rows."""
    names = [str(position) for position in range(1, len(opened.names or ()) + 1)]
    maker = LeadRows(LeadMapping(columns={name: f"mx_{name}" for name in names}), "host")
    try:
        maker.start(opened, None)
    except MappingError as error:
        assert all(line.isprintable() for line in str(error).splitlines())  # noqa: PT017
        maker = None
    read = 0
    with Rejects(path, opened) as rejects:
        for row in opened:
            read += 1
            flaws = () if maker is None else maker.make(row, "leads").flaws
            reason = "; ".join(map(str, flaws)) or "why"
            assert SECRET not in reason or any(SECRET in name for name in row.names)
            rejects.write(row, reason)
    return read


def _check(examples: int) -> Callable[[], None]:
    chosen = settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=[*HealthCheck]
    )
    return chosen(given(contents(), suffixes, readings)(check_file))


def run(seconds: float, seed: int, examples: int = 1000) -> str:
    """The check of files, for so long and at least once; `seed` is Hypothesis' own."""
    del seed
    end, rounds = time.monotonic() + seconds, 0
    while not rounds or time.monotonic() < end:
        _check(examples)()
        rounds += 1
    return f"{rounds * examples} files"

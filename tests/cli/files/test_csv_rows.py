"""CSV: its lines, headings, delimiter and rows."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from leadsquared_async.cli.files.headings import plain_heading
from leadsquared_async.cli.files.rows import REASON, ROW_LIMIT, Unreadable
from tests.cli.files.reading import SECRET, flaws_in, read, refusal, rows_in, table_of
from tests.cli.files.written_tables import (
    MARKED,
    SINGLE_BYTE,
    as_rows,
    dialects,
    is_quoted_late,
    tables,
    written,
)


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
def test_a_ragged_row_is_refused(content: str, flaws: list[tuple[int, str]]) -> None:
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


def test_a_hundred_columns() -> None:
    """Many columns and a long cell are read."""
    cells = ["x" * 500_000, *map(str, range(1, 100))]
    content = ",".join(f"c{number}" for number in range(100)) + "\n" + ",".join(cells) + "\n"
    assert list(read(content)[0][1].values()) == cells


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(table=tables(), encoding=st.sampled_from(MARKED + SINGLE_BYTE), dialect=dialects)
def test_a_written_table_is_read(
    table: tuple[list[str], list[list[str]]], encoding: str, dialect: dict[str, Any]
) -> None:
    """Any table of `csv.writer` is read back equal if encoding and delimiter are given.

    A row with white space before a quote is refused: the quote may surround the cell.
    """
    assume(not table[0][0].lower().startswith("sep="))
    assume(not any(map(is_quoted_late, chain(table[0], *table[1]))))
    content = written(table, encoding, **dialect)
    options = {"format": "csv", "encoding": encoding, "delimiter": dialect["delimiter"]}
    found = table_of(content, **options)
    assert found.names == tuple(table[0])
    assert [cells for _, cells in read(content, **options)] == as_rows(table)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(table=tables(2), encoding=st.sampled_from([*MARKED, "utf-16-le", *SINGLE_BYTE]), dialect=dialects)
def test_a_detected_table_is_right(
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

"""Files of rejects, and that they are read as they were written."""

from __future__ import annotations

import stat
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from leadsquared_async.cli.files.rows import REASON, Row
from leadsquared_async.cli.files.sheets import Rejects
from leadsquared_async.cli.files.tables import Reading, Table
from tests.cli.files.reading import flaws_in, read, rows_in, table_of
from tests.cli.files.written_tables import (
    CHARACTERS,
    as_rows,
    dialects,
    is_quoted_late,
    tables,
    written,
)


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


def test_a_ragged_row_stays_one_in_the_rejects(tmp_path: Path) -> None:
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


def test_rejects_of_rows_that_are_all_too_short_come_back(tmp_path: Path) -> None:
    """The headings of rejects are on the first line, even if no row below is as wide."""
    path = tmp_path / "rejects.csv"
    source = table_of("FirstName;Phone\nBret\nAnna\n")
    with source, Rejects(path, source) as rejects:
        for row in source:
            rejects.write(row, row.flaw or "")
    assert [row.cells[0] for row in rows_in(path.read_bytes())] == ["Bret", "Anna"]


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
    """A value to compare with every digit; a whole Decimal is read back as an int."""
    if isinstance(value, Decimal):
        return int(value) if value.as_tuple().exponent == 0 else str(value)
    if isinstance(value, dict):
        return {key: spelt(inner) for key, inner in value.items()}
    return [spelt(inner) for inner in value] if isinstance(value, list) else value


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

"""CSV for spreadsheets: no cell runs as a formula, except with --verbatim."""

from __future__ import annotations

import csv
import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from leadsquared_async import Outbox
from leadsquared_async.cli.files.rows import REASON
from leadsquared_async.cli.files.sheets import sheet
from leadsquared_async.cli.files.spool import Entry, Spool
from leadsquared_async.cli.reports import Reports
from leadsquared_async.cli.row_reader import Rows, RowStatus
from leadsquared_async.operations import LEADS_CAPTURE
from tests.cli.commands import rows_of, run
from tests.cli.files.reading import table_of

ODD = "\x1b[2J\r\n\u202ex"
LIVE = [
    "=cmd|' /C calc'!A0",
    "+91 99887 76655",
    "+1+1",
    "-1+1",
    "-2-3",
    "@SUM(1)",
    "\rplain",
    "\tplain",
    " =1",
    '"=1',
    "''=1",
    "\u00a0@x",
    "\u200b=1",
    "\x00=1",
    "\u202e-x",
    "\uff1d1",
    "\uff0b1",
    "-",
    "+1e5+x",
]
PLAIN = [
    "",
    "Bret",
    "-5",
    "+919988776655",
    "-5.25",
    "+1,5",
    "a=b",
    "5-3",
    "p:+91",
    "bret@example.com",
    "'",
    "é",
    "#N/A",
]


def written(*cells: object, verbatim: bool = False) -> list[str]:
    file = io.StringIO(newline="")
    sheet(file, verbatim=verbatim)(cells)
    (row,) = csv.reader(io.StringIO(file.getvalue(), newline=""))
    return row


@pytest.mark.parametrize("cell", LIVE, ids=ascii)
def test_a_live_cell_is_escaped(cell: str) -> None:
    """A live cell gets a leading quote and is otherwise unchanged."""
    assert written(cell, "x") == [f"'{cell}", "x"]
    assert written(cell, "x", verbatim=True) == [cell, "x"]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("x;=1+1;y", "x;'=1+1;y"),
        ("x\t=1+1", "x\t'=1+1"),
        ("x\r\n=1+1", "x\r\n'=1+1"),
        ("x;; @a", "x;;' @a"),
        ("=1;=2", "'=1;'=2"),
        ("\t=1", "'\t'=1"),
        ("\n=1", "'\n'=1"),
        ("a;b;-5;+5", "a;b;-5;+5"),
        (";", ";"),
    ],
)
def test_each_part_of_a_cell_is_escaped(cell: str, shown: str) -> None:
    """Each part between semicolons gets a quote, because a spreadsheet may split there."""
    assert written(cell, "x") == [shown, "x"]
    assert written(cell, "x", verbatim=True) == [cell, "x"]


@pytest.mark.parametrize("cell", PLAIN, ids=ascii)
def test_another_cell_stays(cell: str) -> None:
    """Other cells stay unchanged, also numbers with a sign."""
    assert written(cell, "x") == [cell, "x"]


def test_cells_need_not_be_text() -> None:
    """None is written as an empty cell."""
    assert written(None, -7, 1.5, True) == ["", "-7", "1.5", "True"]


async def test_an_export_has_no_live_cell(tmp_path: Path) -> None:
    """Values, references, keys and headings are escaped unless --verbatim is given."""
    path = tmp_path / "leads.outbox"
    cells = {f"mx_{number}": cell for number, cell in enumerate(LIVE) if cell.isprintable()}
    async with Outbox(path) as outbox:
        await outbox.put({**cells, "EmailAddress": "a@example.com"}, reference="=ref", key="@key")
    for options, front in (((), "'"), (("--verbatim",), "")):
        out = tmp_path / f"rows{front}.csv"
        done = await run("outbox", "export", path, "--format", "csv", "--out", out, *options)
        assert done.code == 0
        with out.open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert row["reference"] == f"{front}=ref"
        assert row["key"] == f"{front}@key"
        for name, cell in cells.items():
            assert row[name] == f"{front}{cell.strip()}" or row[name] == f"{front}{cell}"


async def test_a_reason_in_the_rejects_is_one_line_of_text(tmp_path: Path) -> None:
    """The reason is one escaped line; the cells beside it stay exact."""
    rejects = tmp_path / "rejects.csv"
    with (
        table_of("EmailAddress,FirstName\na@example.com,=1\n") as table,
        Reports(None, rejects, (), []) as reports,
        closing(Spool(LEADS_CAPTURE, None)) as spool,
    ):
        rows = Rows(spool)
        for row in table:
            spool.add(Entry(row, "key", None))
            rows.statuses.append(RowStatus.REFUSED)
        rows.reused[2] = "=1+1;\r\n\x1b[2J\u202ex"
        await reports.write(table, rows, None, ())
    (row,) = rows_of(rejects)
    assert row == {"EmailAddress": "a@example.com", "FirstName": "=1", REASON: "'=1+1; [2Jx"}


async def test_an_export_has_one_line_per_value(tmp_path: Path) -> None:
    """Reason, reference and key are one line each unless --verbatim is given."""
    path, out = tmp_path / "leads.outbox", tmp_path / "rows.csv"
    async with Outbox(path) as outbox:
        await outbox.put({"EmailAddress": "a@example.com"}, reference=f"a{ODD}b", key=f"k{ODD}")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE items SET reason = ?", [f"MXFoo: {ODD}b"])
    for options, kept in (((), " [2J x"), (("--verbatim",), ODD)):
        done = await run("outbox", "export", path, "--format", "csv", "--out", out, *options)
        assert done.code == 0, done.err
        (row,) = rows_of(out)
        assert row["reference"] == f"a{kept}b"
        assert row["reason"] == f"MXFoo: {kept}b".replace("  ", " ")
        assert row["key"] == f"k{kept}"

"""Workbooks with places, styles or sizes that Excel would not write: refused, and no row is left out."""

from __future__ import annotations

import io
import zipfile

import openpyxl
import pytest

from tests.cli.files.reading import flaws_in, refusal, rows_in

ROWS = [["FirstName", "mx_Age"], ["Bret", 41], ["Anna", 42], ["Ravi", 43]]
SHEET = "xl/worksheets/sheet1.xml"


def changed(before: str, after: str, part: str = SHEET) -> bytes:
    """A workbook in which one text of a part is another."""
    book, written, file = openpyxl.Workbook(), io.BytesIO(), io.BytesIO()
    for row in ROWS:
        book.worksheets[0].append(row)
    book.save(written)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(file, "w") as target:
        for name in source.namelist():
            content = source.read(name).decode()
            assert name != part or before in content
            target.writestr(name, content.replace(before, after, 1) if name == part else content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<row r="3"', '<row r="2"'),
        ('<row r="3"', '<row r="5"'),
        ('<row r="2"', '<row r="-2"'),
        ('<row r="4"', '<row r="1048577"'),
        ('<c r="A3"', '<c r="B3"'),
        ('<c r="A3"', '<c r="AA3"'),
        ('<c r="A3"', '<c r="AAAA3"'),
    ],
)
def test_rows_and_cells_out_of_order_are_refused(before: str, after: str) -> None:
    """A row or cell that comes twice, too early, or outside of a sheet would be left out or never end."""
    assert "damaged" in str(refusal(changed(before, after), name="leads.xlsx"))


def test_a_gap_without_an_end_ends() -> None:
    """A first row beyond the last that Excel has is not read, since the rows before it would take hours."""
    assert "empty" in str(refusal(changed('<row r="1"', '<row r="999999999999"'), name="leads.xlsx"))


def test_places_may_be_missing_or_far_apart() -> None:
    """A sheet needs no numbers, and may have the last row that Excel has."""
    numberless = rows_in(changed('<row r="3"', "<row"), name="leads.xlsx")
    assert [(row.line, row.cells) for row in numberless] == [
        (2, ("Bret", 41)),
        (3, ("Anna", 42)),
        (4, ("Ravi", 43)),
    ]
    assert len(rows_in(changed('<row r="4"', '<row spans="1:2" r="4"'), name="leads.xlsx")) == 3


def test_a_number_without_its_format_is_refused() -> None:
    """A cell whose style the workbook does not have may be a date or a percentage."""
    found = flaws_in(changed('<c r="B3"', '<c r="B3" s="99"'), name="leads.xlsx")
    assert found == [(3, "cell 2: its number format is missing: open the workbook in Excel and save it")]


def test_nothing_is_printed_about_a_damaged_style(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is for the command's own result."""
    style = '<xf numFmtId="0" fontId="0" fillId="0" borderId="0" /></cellStyleXfs>'
    assert "damaged" in str(refusal(changed(style, "</cellStyleXfs>", "xl/styles.xml"), name="leads.xlsx"))
    assert capsys.readouterr().out == ""

"""Excel workbooks, byte by byte, through the commands."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import openpyxl
import pytest

from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import bodies, rows_of
from tests.cli.files.reading import Files


def workbook(*sheets: tuple[str, list[list[Any]]], **formats: str) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
        for place, number_format in formats.items():
            sheet[place].number_format = number_format
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


async def test_a_workbook(command: Files, sandbox: Sandbox) -> None:
    """Cells keep their type; a format of zeros adds the zeros of a code."""
    rows = [
        ["FirstName", "Phone", "mx_Zip", "mx_Age", "mx_Budget", "mx_Date_of_Birth", None],
        ["Bret", 919988776655, 560001, 41, 1.5, date(1990, 11, 23), None],
        [" Anna ", "+91-9988776656", 1234, 42.0, 0.1, date(1990, 11, 23), None],
        [None, None, None, None, None, None, None],
    ]
    content = workbook(("Leads", rows), C3="000000")
    done = await command("capture", "leads.xlsx", content, "--no-check", "--json")
    assert (done.code, done.json["confirmed"]) == (0, 2), done.err
    assert bodies(sandbox) == [
        {
            "FirstName": "Bret",
            "Phone": "919988776655",
            "mx_Zip": "560001",
            "mx_Age": "41",
            "mx_Budget": "1.5",
            "mx_Date_of_Birth": "1990-11-23 00:00:00",
        },
        {
            "FirstName": "Anna",
            "Phone": "+91-9988776656",
            "mx_Zip": "001234",
            "mx_Age": "42",
            "mx_Budget": "0.1",
            "mx_Date_of_Birth": "1990-11-23 00:00:00",
        },
    ]
    assert 'leads.xlsx: xlsx, sheet "Leads"' in done.err


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (1234567890123456, "a number of more than 15 digits"),
        (9988776655.5, "cannot have decimals or an exponent"),
        ("=1+1", "a formula without its result"),
        ("#N/A", "spreadsheet error"),
    ],
)
async def test_what_excel_has_lost(cell: Any, said: str, command: Files) -> None:
    """A damaged cell is refused in its row, which is written to the rejects as CSV."""
    rejects = command.folder / "rejects.csv"
    content = workbook(("Leads", [["FirstName", "Phone"], ["Bret", cell], ["Anna", "+91-9988776655"]]))
    done = await command("check", "leads.xlsx", content, "--rejects", rejects, "--json")
    (problem,) = done.json["problems"]
    assert (said in problem["message"], problem["lines"]) == (True, [2])
    assert [row["FirstName"] for row in rows_of(rejects)] == ["Bret"]


async def test_a_workbook_with_several_sheets(command: Files) -> None:
    """--sheet chooses one of several sheets; empty sheets do not count."""
    rows = [["FirstName"], ["Bret"]]
    content = workbook(("June", rows), ("July", rows), ("Notes", []))
    done = await command("check", "leads.xlsx", content)
    assert (done.code, 'pass --sheet with one of "June", "July"' in done.err) == (2, True)
    assert (await command("check", "leads.xlsx", content, "--sheet", "July")).code == 0
    done = await command("check", "leads.xlsx", content, "--sheet", "May")
    assert 'it has "June", "July", "Notes"' in done.err
    assert (await command("check", "leads.xlsx", workbook(("A", rows), ("B", [])))).code == 0


@pytest.mark.parametrize(
    ("cell", "number_format", "sent"),
    [
        (42, "[$-409]00000_);@", "00042"),
        (42, "#,##0", "42"),
        (42, '"+00"0', "42"),
        (1234567, "00000\\-0000", "a number whose format adds zeros"),
        (-42, "00000", "a number whose format adds zeros"),
        (datetime(2024, 2, 29), "[$-en-US]d\\-mmm\\-yy;@", "2024-02-29 00:00:00"),  # noqa: DTZ001
        (datetime(2024, 2, 29), 'd"th of last" mmm', "2024-02-29 00:00:00"),  # noqa: DTZ001
        (datetime(2024, 2, 29), "d/m/yy\\ h:mm", "--timezone"),  # noqa: DTZ001
        ("Bret_x000D_\nLee", "General", "Bret\r\nLee"),
        ("_x005F_x000D__xD83D__xDE00_", "@", "_x000D_\U0001f600"),
        ("half _xD83D_", "@", "replacement character"),
    ],
)
async def test_what_excel_keeps_apart_from_a_cell(
    cell: Any, number_format: str, sent: str, command: Files, sandbox: Sandbox
) -> None:
    """Zeros, dates and characters are as Excel shows them, or the row is refused."""
    content = workbook(("A", [["FirstName"], [cell]]), A2=number_format)
    done = await command("capture", "leads.xlsx", content, "--no-check")
    assert bodies(sandbox) == [{"FirstName": sent}] if done.code == 0 else sent in done.err, done.err


@pytest.mark.parametrize("content", [b"PK\x03\x04 and no more", b"zip"])
async def test_what_is_no_workbook(content: bytes, command: Files) -> None:
    """A damaged workbook and another zip file are refused with a reason."""
    if content == b"zip":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("leads.csv", "FirstName\nBret\n")
        content = file.getvalue()
    done = await command("check", "leads.xlsx", content)
    assert (done.code, "workbook" in done.err) == (2, True)


def changed(content: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    """A workbook in which one part is another."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(file, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            after.writestr(name, change(data) if name == part else data)
    return file.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: changed(content, SHEET, lambda part: part[: len(part) // 2]),
        lambda content: changed(content, SHEET, lambda part: part.replace(b'r="A2"', b'r="!!"')),
        lambda content: content.replace(b"FirstName", b"FirstNam3"),
    ],
    ids=["cut off", "place", "checksum"],
)
async def test_a_damaged_workbook(damage: Callable[[bytes], bytes], command: Files) -> None:
    """Is refused in a sentence, wherever the damage is."""
    content = changed(workbook(("A", [["FirstName"], ["Bret"], [1]])), "", bytes)
    damaged = damage(content)
    assert damaged != content
    done = await command("check", "leads.xlsx", damaged)
    assert (done.code, "the workbook is damaged" in done.err) == (2, True)


async def test_a_date_that_is_none_shows_no_cell(command: Files) -> None:
    """Nor do the reader's own warnings."""
    rows = [["FirstName", "mx_Date_of_Birth"], ["Bret", 98765432]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = await command("check", "leads.xlsx", workbook(("A", rows), B2="yyyy-mm-dd"))
    assert ("spreadsheet error" in done.err, "98765432" in done.err) == (True, False)


async def test_a_title_above_the_headings_of_a_workbook(command: Files) -> None:
    """A single cell above the headings is a title: the error names --skip-rows."""
    book = openpyxl.Workbook()
    for row in (["Leads of June"], [], ["FirstName", "Phone"], ["Bret", "+91-9988776655"]):
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    done = await command("check", "leads.xlsx", file.getvalue())
    assert (done.code, "on line 3: pass --skip-rows 2" in done.err) == (2, True)
    assert (await command("check", "leads.xlsx", file.getvalue(), "--skip-rows", "2")).code == 0


async def test_a_time_of_a_workbook_needs_a_zone(command: Files, sandbox: Sandbox) -> None:
    """A time of a workbook needs a zone, as in text, and --date, so that its rejects are read alike."""
    called = datetime(2024, 2, 29, 13, 5)  # noqa: DTZ001
    content = workbook(("A", [["FirstName", "mx_Age", "mx_Visit_Date"], ["Bret", "x", called]]))
    options = ("--date", "mx_Visit_Date", "--timezone", "Asia/Kolkata")
    for some in (options[:2], options[2:]):
        done = await command("check", "leads.xlsx", content, *some)
        assert "--timezone" in done.err
    rejects = command.folder / "rejects.csv"
    await command("capture", "leads.xlsx", content, *options, "--rejects", rejects)
    fixed = rejects.read_text(encoding="utf-8").replace('"x"', '"41"')
    done = await command("capture", "rejects.csv", fixed, *options)
    assert bodies(sandbox)[0]["mx_Visit_Date"] == "2024-02-29 07:35:00", done.err

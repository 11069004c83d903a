"""Excel workbooks, byte by byte, through the commands."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import openpyxl
import pytest

from leadsquared_async.cli.files.rows import REASON
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
async def test_a_cell_that_excel_damaged(cell: Any, said: str, command: Files) -> None:
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
async def test_cells_are_read_as_excel_shows_them(
    cell: Any, number_format: str, sent: str, command: Files, sandbox: Sandbox
) -> None:
    """Zeros, dates and characters are as Excel shows them, or the row is refused."""
    content = workbook(("A", [["FirstName"], [cell]]), A2=number_format)
    done = await command("capture", "leads.xlsx", content, "--no-check")
    assert bodies(sandbox) == [{"FirstName": sent}] if done.code == 0 else sent in done.err, done.err


@pytest.mark.parametrize("content", [b"PK\x03\x04 and no more", b"zip"])
async def test_a_file_that_is_no_workbook(content: bytes, command: Files) -> None:
    """A damaged workbook and another zip file are refused with a reason."""
    if content == b"zip":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("leads.csv", "FirstName\nBret\n")
        content = file.getvalue()
    done = await command("check", "leads.xlsx", content)
    assert (done.code, "workbook" in done.err) == (2, True)


def changed(content: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    """Change one part of a workbook."""
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
    """A workbook that is damaged in any part is refused with a reason."""
    content = changed(workbook(("A", [["FirstName"], ["Bret"], [1]])), "", bytes)
    damaged = damage(content)
    assert damaged != content
    done = await command("check", "leads.xlsx", damaged)
    assert (done.code, "the workbook is damaged" in done.err) == (2, True)


async def test_a_date_out_of_range(command: Files) -> None:
    """A date out of range is refused; no message and no warning shows it."""
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


async def test_rejects_saved_as_a_workbook_need_no_skipped_rows(command: Files) -> None:
    """Their headings are in the first row: --skip-rows would make headings of a lead."""
    content = workbook(("Leads", [["FirstName", REASON], ["Bret", "x"], ["Anna", "x"]]))
    done = await command("check", "rejects.xlsx", content, "--skip-rows", "1")
    assert (done.code, "line 1: this is a file of rejects: leave out --skip-rows" in done.err) == (2, True)


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


def part_of(cells: str) -> bytes:
    """A workbook with these rows below the headings FirstName and mx_A."""
    head = '<row r="1"><c r="A1" t="inlineStr"><is><t>FirstName</t></is></c>'
    head += '<c r="B1" t="inlineStr"><is><t>mx_A</t></is></c></row>'
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    data = f"<sheetData>{head}{cells}</sheetData>"
    sheet = f'<worksheet xmlns="{namespace}" xmlns:x="{namespace}">{data}</worksheet>'
    return changed(workbook(("A", [["x"]])), SHEET, lambda _: sheet.encode())


BRET = '<c r="A2" t="inlineStr"><is><t>Bret</t></is></c>'


@pytest.mark.parametrize(
    ("cell", "sent"),
    [
        ('<c r="B2" t="str"><f>IF(A2="","x","")</f><v></v></c>', {"FirstName": "Bret"}),
        ('<c r="B2" t="str"><f>IF(A2="","x","")</f><v/></c>', {"FirstName": "Bret"}),
        ('<c r="B2" t="str"><f>"a"</f><v>a</v></c>', {"FirstName": "Bret", "mx_A": "a"}),
        ('<c r="B2"><f>1+1</f><v>2</v></c>', {"FirstName": "Bret", "mx_A": "2"}),
        ('<c r="B2"><f>1+1</f><v></v></c>', None),
        ('<c r="B2" t="str"><f>"a"</f></c>', None),
        ('<c r="B2" t="str"><f t="shared" si="0"/></c>', None),
        ('<c r="B2"><f/><v/></c>', None),
        ('<x:c r="B2"><x:f>1+1</x:f>\n</x:c>', None),
    ],
)
async def test_the_result_of_a_formula(
    cell: str, sent: dict[str, str] | None, command: Files, sandbox: Sandbox
) -> None:
    """An empty result is an empty cell; a formula that was never calculated is refused."""
    done = await command("capture", "leads.xlsx", part_of(f'<row r="2">{BRET}{cell}</row>'), "--no-check")
    assert bodies(sandbox) == ([] if sent is None else [sent])
    assert ("a formula without its result" in done.err) == (sent is None)


@pytest.mark.parametrize(
    ("cell", "number_format", "sent"),
    [
        (0.25, "0%", "25%"),
        (0.07, "0.00%", "7%"),
        (0.1234, "0%", "12.34%"),
        (1, "0%;[Red]-0%", "100%"),
        (-1.5, "0.0%", "-150%"),
        (0, "0%", "0%"),
        (25, '0"%"', "25"),
        (25, "0\\%", "25"),
    ],
)
async def test_a_percentage_is_sent_as_shown(
    cell: float, number_format: str, sent: str, command: Files, sandbox: Sandbox
) -> None:
    """A cell that Excel shows as 25% is the text 25%, with all of its digits."""
    content = workbook(("A", [["FirstName", "mx_A"], ["Bret", cell]]), B2=number_format)
    await command("capture", "leads.xlsx", content, "--no-check")
    assert bodies(sandbox) == [{"FirstName": "Bret", "mx_A": sent}]


async def test_a_percentage_is_no_number(command: Files) -> None:
    """A percentage in a number field is refused: either 25 or 0.25 may be meant."""
    content = workbook(("A", [["FirstName", "mx_Age"], ["Bret", 0.25]]), B2="0%")
    done = await command("check", "leads.xlsx", content, "--json")
    (problem,) = done.json["problems"]
    assert (problem["attribute"], problem["problem"]) == ("mx_Age", "not_a_number")


COMPANIES = [["FirstName", "Company", "mx_City"], ["Bret", "Acme", "Pune"], ["Anna", None, "Goa"], [None] * 3]
"""The city of the last two rows is merged with none."""


def merged(*ranges: str, rows: list[list[Any]] | None = None) -> bytes:
    book = openpyxl.load_workbook(io.BytesIO(workbook(("A", rows or COMPANIES))))
    for each in ranges:
        book.active.merge_cells(each)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


async def test_merged_cells_are_not_silently_empty(command: Files, sandbox: Sandbox) -> None:
    """The row with the value is sent; one that only shows it is refused, also in the rejects."""
    rejects = command.folder / "rejects.csv"
    done = await command(
        "capture", "leads.xlsx", merged("B2:B4"), "--no-check", "--rejects", rejects, "--json"
    )
    assert bodies(sandbox) == [{"FirstName": "Bret", "Company": "Acme", "mx_City": "Pune"}]
    assert (done.json["refused"], done.json["rows"]) == (1, 2)
    assert re.search('Company +refused +1 +3 +is merged with another cell.*--empty "#MERGED"', done.err)
    assert [row["Company"] for row in rows_of(rejects)] == ["#MERGED"]
    done = await command("check", "again.csv", rejects.read_bytes(), "--verbatim", "Company")
    assert "is merged with another cell" in done.err
    done = await command("capture", "leads.xlsx", merged("B2:B4"), "--no-check", "--empty", "#MERGED")
    assert {"FirstName": "Anna", "mx_City": "Goa"} in bodies(sandbox)


@pytest.mark.parametrize(
    ("ranges", "options", "refused"),
    [
        (("B2:C2",), (), [2]),
        (("A1:A2",), (), [2]),
        (("A3:A4", "B2:B3"), (), [3]),
        (("B2:B4",), ("--ignore", "Company"), []),
        (("D1:D3", "C2:D2", "A5:C9", "C3:C4"), (), []),
    ],
)
async def test_merged_cells(
    ranges: tuple[str, ...], options: tuple[str, ...], refused: list[int], command: Files
) -> None:
    """Cells merged across columns count too; ignored columns, blank rows and unnamed columns do not."""
    done = await command("check", "leads.xlsx", merged(*ranges), *options, "--json")
    assert [line for problem in done.json["problems"] for line in problem["lines"]] == refused


async def test_a_cell_that_could_not_be_read_stays_refused(command: Files) -> None:
    """A cell that could not be read is refused in the rejects until it is filled in."""
    rejects = command.folder / "rejects.csv"
    content = workbook(("A", [["FirstName", "mx_City"], ["Bret", "=1+1"]]))
    await command("check", "leads.xlsx", content, "--rejects", rejects)
    done = await command("check", "again.csv", rejects.read_bytes(), "--verbatim", "mx_City")
    assert (done.code, "could not be read from the workbook" in done.err) == (1, True)


@pytest.mark.parametrize(
    "options",
    [(), ("--date", "mx_Date_of_Birth"), ("--date", "mx_Date_of_Birth", "--date-format", "%d/%m/%Y")],
)
@pytest.mark.parametrize("cell", [33200, 33200.5, "33200"])
async def test_the_number_of_a_date(cell: object, options: tuple[str, ...], command: Files) -> None:
    """A date that is stored as a number is refused with what to do."""
    content = workbook(("A", [["FirstName", "mx_Date_of_Birth"], ["Bret", cell]]))
    done = await command("check", "leads.xlsx", content, *options, "--json")
    (problem,) = done.json["problems"]
    assert "format the column as a date there, and save or export it again" in problem["message"]
    content = workbook(("A", [["FirstName", "mx_Date_of_Birth"], ["Bret", cell]]), B2="dd/mm/yyyy")
    done = await command(
        "check", "leads.xlsx", content, "--timezone", "Asia/Kolkata", "--date", "mx_Date_of_Birth", "--json"
    )
    assert done.json["flawed"] == isinstance(cell, str)

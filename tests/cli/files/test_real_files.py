"""Exports of other programs, byte by byte, through the commands."""

from __future__ import annotations

import re

import pytest

from leadsquared_async.cli import file_run
from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import bodies, names_in
from tests.cli.files.reading import Files

TEST_CELL = "<test lead: dummy data for {}>"
FACEBOOK = (
    "id\tcreated_time\tad_id\tform_id\tis_organic\temail\tfull name\tphone_number\r\n"
    "l:1234\t2024-02-29T10:00:00+05:30\tag:56\tf:78\tfalse\tbret@example.com\tBret Lee\tp:+919988776655\r\n"
    "l:1235\t2024-02-29T10:00:00+05:30\tag:56\tf:78\tfalse\ttest@fb.com\t"
    f"{TEST_CELL.format('full_name')}\t{TEST_CELL.format('phone_number')}\r\n"
).encode("utf-16")
FACEBOOK_OPTIONS = (
    *("--map", "email=EmailAddress", "--map", "full name=FirstName", "--map", "phone_number=Phone"),
    *("--ignore", "id", "--ignore", "created_time", "--ignore", "ad_id", "--ignore", "form_id"),
    *("--ignore", "is_organic"),
)


async def test_an_export_of_lead_ads(command: Files, sandbox: Sandbox) -> None:
    """UTF-16 with tabs is read, the number loses its prefix, and the test row is refused and counted."""
    done = await command("capture", "leads.csv", FACEBOOK, *FACEBOOK_OPTIONS, "--json")
    assert (done.code, done.json["confirmed"], done.json["refused"]) == (1, 1, 1)
    assert bodies(sandbox) == [
        {"EmailAddress": "bret@example.com", "FirstName": "Bret Lee", "Phone": "+919988776655"}
    ]
    assert re.search("test_row +1 +3 +is a test row of an ad platform", done.err)


async def test_placeholders_of_exports(command: Files, sandbox: Sandbox) -> None:
    """NULL as a phone number is refused, and the error names --empty."""
    content = "FirstName,Phone\nBret,NULL\nAnna,NULL\nTom,+91-9988776655\n"
    done = await command("capture", "leads.csv", content, "--json")
    assert (done.json["refused"], done.json["confirmed"]) == (2, 1)
    assert "--empty" in done.err
    done = await command("capture", "leads.csv", content, "--empty", "NULL", "--json")
    assert done.json["confirmed"] == 3
    assert len(sandbox.books.leads) == 3


SPELLINGS = [
    "98000-31676",
    "9800031676",
    "+91 98000 31676",
    "+919800031676",
    "098000 31676",
    "+91-9800031676",
]


async def test_one_number_in_six_spellings(command: Files, sandbox: Sandbox) -> None:
    """Six spellings are six leads and advice without --phone, and one lead with it."""
    content = "Phone\n" + "".join(f"{spelling}\n" for spelling in SPELLINGS)
    done = await command("check", "leads.csv", content)
    assert re.search(r'column "Phone" has phone numbers in \d formats.*--phone IN', done.err)
    done = await command("capture", "leads.csv", content, "--phone", "IN", "--json")
    assert (done.json["confirmed"], done.json["repeated"]) == (6, 5)
    assert bodies(sandbox) == [{"Phone": "+91-9800031676"}]


@pytest.mark.parametrize(
    "heading", ["Phone\nNumber", "Phone\u00a0Number", "\u200bPhone Number", "\ufeff\ufeffPhone Number"]
)
async def test_headings_with_invisible_characters(heading: str, command: Files, sandbox: Sandbox) -> None:
    """A user can type a heading as it is printed, or its position."""
    content = f'"{heading}",FirstName\n+91-9988776655,Bret\n'
    done = await command("check", "leads.csv", content)
    option = re.search(r'--map "(Phone Number=Phone)"', done.err)
    assert option
    assert (await command("check", "leads.csv", content, "--map", option[1])).code == 0
    assert (await command("check", "leads.csv", content, "--map", "1=Phone")).code == 0


async def test_display_names_of_custom_fields(command: Files, sandbox: Sandbox) -> None:
    """The error suggests the schema name for a display name of the account."""
    done = await command("check", "leads.csv", "FirstName,date of  birth \nBret,\n")
    assert '--map "date of birth=mx_Date_of_Birth"' in done.err


async def test_a_drop_down_with_wrong_values(command: Files, sandbox: Sandbox) -> None:
    """The report has each wrong value with its count, the nearest option, and the --value to pass."""
    cells = ["Facbook"] * 3 + ["Campain"] * 2 + ["Website"]
    content = "Source,FirstName\n" + "".join(f"{cell},Bret {n}\n" for n, cell in enumerate(cells))
    done = await command("check", "leads.csv", content, "--json")
    (problem,) = done.json["problems"]
    assert (problem["rows"], problem["values"]) == (5, {"Facbook": 3, "Campain": 2})
    assert 'Values: "Facbook" 3, "Campain" 2' in done.err
    assert '--value "Source:Campain=Campaign"' in done.err
    values = ("--value", "Source:Facbook=Website", "--value", "Source:Campain=Campaign")
    assert (await command("check", "leads.csv", content, *values)).code == 0


async def test_personal_values_are_not_shown(command: Files) -> None:
    """Wrong values that look personal are not shown."""
    done = await command("check", "leads.csv", "Source\nzqplanted4711@example.com\n+91 99887 76655\n")
    assert "Values:" not in done.err


async def test_dates_of_another_form(command: Files, sandbox: Sandbox) -> None:
    """The error names --date and --date-format."""
    name = "mx_Date_of_Birth"
    content = f"FirstName,{name}\nBret,23/11/1990\n"
    done = await command("check", "leads.csv", content)
    assert f"--date {name} --date-format %d/%m/%Y" in done.err
    done = await command("check", "leads.csv", content, "--date", name, "--date-format", "%d/%m/%Y")
    assert done.code == 0, done.err


async def test_lines_above_the_headings_and_a_total_below(command: Files, sandbox: Sandbox) -> None:
    """The error names --skip-rows, which works; the total row alone is refused."""
    content = "Leads of June\nExported 2024-07-01\n\nFirstName,Phone\nBret,+91-9988776655\n\nTotal: 1\n"
    done = await command("check", "leads.csv", content)
    assert (done.code, "--skip-rows 3" in done.err) == (2, True)
    done = await command("capture", "leads.csv", content, "--skip-rows", "3", "--json")
    assert (done.code, done.json["confirmed"], done.json["refused"]) == (1, 1, 1)
    assert re.search(r"refused +1 +7 +has 1 cell for 2 columns", done.err)


async def test_another_encoding_without_a_mark(command: Files, sandbox: Sandbox) -> None:
    """Another encoding is refused with the option to pass; none is guessed."""
    content = "FirstName,mx_City\nJosé,São Paulo\nJürgen,Köln\n".encode("cp1252")
    done = await command("capture", "leads.csv", content)
    assert (done.code, sandbox.books.accepted) == (2, 0)
    assert "--encoding cp1252" in done.err
    done = await command("capture", "leads.csv", content, "--encoding", "cp1252", "--no-check")
    assert (done.code, bodies(sandbox)[0]["FirstName"]) == (0, "José")


async def test_rejects_are_read_with_the_same_options(command: Files, sandbox: Sandbox) -> None:
    """Fixed rejects are accepted with the same options; their own rejects go to another file."""
    options = ("--map", "E-mail=EmailAddress", "--rejects", command.folder / "rejects.csv", "--json")
    done = await command(
        "capture", "leads.csv", "E-mail,Source\nb@example.com,x\na@example.com,y\n", *options
    )
    assert done.json["rejects"] == str(command.folder / "rejects.csv")
    fixed = (command.folder / "rejects.csv").read_text(encoding="utf-8").replace('"x"', '"Website"')
    done = await command("capture", "rejects.csv", fixed, *options)
    assert (done.code, done.json["confirmed"], done.json["refused"]) == (1, 1, 1)
    assert done.json["rejects"] == str(command.folder / "rejects-2.csv")
    assert (command.folder / "rejects.csv").read_text(encoding="utf-8") == fixed


async def test_many_rows_without_a_terminal(
    command: Files, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal, a long run needs --yes before an outbox is created."""
    content = "FirstName\n" + "".join(f"Bret {number}\n" for number in range(1_200))
    done = await command("capture", "leads.csv", content, "--no-check")
    assert (done.code, "pass --yes" in done.err, sandbox.books.accepted) == (2, True, 0)
    assert names_in(command.folder) == ["leads.csv"]
    assert file_run.MANY_ROWS == 1000


async def test_a_row_with_three_flaws(command: Files, sandbox: Sandbox) -> None:
    """One run reports a row's flaws of the spreadsheet, the options and the types."""
    name = "mx_Date_of_Birth"
    content = f"FirstName,Phone,Source,{name}\nBret,9.8E+09,Facbook,23/11/1990\n"
    done = await command("check", "leads.csv", content, "--json")
    assert {(each["attribute"], each["lines"][0]) for each in done.json["problems"]} == {
        *(("Phone", 2), ("Source", 2), (name, 2)),
    }


async def test_rejects_are_not_read_in_the_encoding_of_the_input(command: Files) -> None:
    """Rejects are UTF-8; their byte order mark refuses another --encoding."""
    rejects = command.folder / "rejects.jsonl"
    content = '{"FirstName": "José", "Source": "x"}\n'.encode("cp1252")
    options = ("--encoding", "cp1252", "--rejects", rejects)
    await command("check", "leads.jsonl", content, *options)
    done = await command("check", "rejects.jsonl", rejects.read_bytes(), *options)
    assert (done.code, "leave out --encoding" in done.err) == (2, True)


async def test_an_empty_column_and_two_of_one_name(command: Files, sandbox: Sandbox) -> None:
    """An empty column without a heading is skipped; columns with one name need their position."""
    content = "FirstName,,Phone,Phone,\nBret,,+91-9988776655,+91-9988776656,\n"
    done = await command("check", "leads.csv", content)
    assert "use position 4 in --map or --ignore" in done.err
    done = await command(
        "capture", "leads.csv", content, "--map", "3=Phone", "--map", "4=Mobile", "--no-check"
    )
    assert done.code == 0, done.err
    assert bodies(sandbox) == [{"FirstName": "Bret", "Phone": "+91-9988776655", "Mobile": "+91-9988776656"}]


async def test_objects_in_objects(command: Files, sandbox: Sandbox) -> None:
    """The error of an object names the options that send its parts; they work, also on the rejects."""
    content = '{"FirstName": "Bret", "address": {"city": "Pune", "zip": "x"}, "Source": "y"}\n'
    done = await command("check", "leads.jsonl", content, "--json")
    assert {
        each["message"].partition(":")[2] for each in done.json["problems"] if each["column"] is None
    } >= {" pass --map address.PART=SCHEMA_NAME for each part of the object, or --ignore address"}
    rejects = command.folder / "rejects.jsonl"
    options = ("--map", "address.city=mx_City", "--ignore", "address.zip", "--rejects", rejects)
    done = await command("capture", "leads.jsonl", content, *options, "--json")
    assert done.json["refused"] == 1
    fixed = rejects.read_text("utf-8").replace('"y"', '"Website"')
    await command("capture", "rejects.jsonl", fixed, *options)
    assert bodies(sandbox) == [{"FirstName": "Bret", "mx_City": "Pune", "Source": "Website"}]


async def test_rows_with_too_few_cells(command: Files, sandbox: Sandbox) -> None:
    """The error names --fill-short-rows; with it the same command sends the rows that were refused."""
    content = "FirstName,Phone,mx_City\r\nBret,+91-9988776655\r\nAnna,+91-9988776656,Goa\r\n"
    done = await command("capture", "leads.csv", content, "--json")
    assert (done.json["refused"], "--fill-short-rows" in done.err) == (1, True)
    done = await command("capture", "leads.csv", content, "--fill-short-rows", "--json")
    assert (done.code, done.json["confirmed"], done.json["refused"]) == (0, 2, 0)
    assert {"FirstName": "Bret", "Phone": "+91-9988776655"} in bodies(sandbox)

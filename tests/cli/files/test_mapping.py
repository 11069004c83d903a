"""A row into a lead: what is sent, under which name and key, and what is refused."""

from __future__ import annotations

import hashlib
import re
import sys
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NoReturn
from zoneinfo import ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadsquared_async.cli.files import cells
from leadsquared_async.cli.files.headings import USUAL_HEADINGS
from leadsquared_async.cli.files.leads import Leads, Made
from leadsquared_async.cli.files.mapping import LeadMapping, MappingError
from leadsquared_async.cli.files.rows import REASON, Flaw, Row
from leadsquared_async.encoding import SCHEMA_NAME, encode
from leadsquared_async.submissions import capture_lead

SECRET = "zq-private-4711"
KOLKATA = timezone(timedelta(hours=5, minutes=30))


def made(cells: dict[str, Any], sent: dict[str, str | None] | None = None, **options: Any) -> Made:
    """What a row of JSON makes, where each row is checked by itself."""
    leads = Leads(LeadMapping(**options), None, None, sent)
    return leads.make(Row(7, tuple(cells), tuple(cells.values())))


def lead_of(cells: dict[str, Any], **options: Any) -> dict[str, Any]:
    found = made(cells, **options)
    assert not found.flaws
    return found.lead


def refusal(cells: dict[str, Any], **options: Any) -> Flaw:
    (flaw,) = made(cells, **options).flaws
    return flaw


def problems(headings: Iterable[str], /, fields: dict[str, str] | None = None, **options: Any) -> list[str]:
    try:
        Leads(LeadMapping(**options), tuple(headings), fields)
    except MappingError as error:
        return str(error).splitlines()
    return []


# Columns.


def test_a_lead() -> None:
    """A schema name is sent as it is, a mapped column under its name, and a constant with every lead."""
    cells = {"FirstName": "Bret", "E-mail": "bret.lee@example.com", "Age": "41", REASON: "was refused"}
    lead = lead_of(
        cells, columns={"E-mail": "EmailAddress"}, ignored=["Age"], constants={"Source": "Website"}
    )
    assert lead == {"FirstName": "Bret", "EmailAddress": "bret.lee@example.com", "Source": "Website"}
    assert list(lead) == ["FirstName", "EmailAddress", "Source"]
    encode(capture_lead(lead))


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        (["FirstName", "EmailAddress", "mx_City"], {}),
        (["FirstName", REASON], {}),
        (["E-mail", "Age"], {"columns": {"E-mail": "EmailAddress"}, "ignored": ["Age"]}),
        (["Email"], {"columns": {"Email": "Email"}}),
        (["Id", "FirstName"], {"ignored": ["Id"], "key_column": "Id"}),
        (["Joined", "mx_Left"], {"columns": {"Joined": "mx_Joined"}, "dates": ["Joined", "mx_Left"]}),
        (["Joined"], {"columns": {"Joined": "mx_Joined"}, "dates": ["mx_Joined"], "verbatim": ["mx_Joined"]}),
        (["ProspectID"], {"search_by": "ProspectId"}),
        (["FirstName"], {"constants": {"Phone": "+91-9988776655"}, "search_by": "Phone"}),
        (["FirstName", "", "A"], {"columns": {"3": "mx_A"}}),
        (["A", "A"], {"columns": {"1": "mx_A", "2": "mx_B"}}),
        (["First Name"], {"columns": {"First\u00a0 Name": "FirstName"}}),
        (["First Name"], {"columns": {"\ufeffFirst\nName": "FirstName"}}),
        (["FirstName", "3"], {"columns": {"3": "mx_A"}}),
        (["Source"], {"values": ["Source:Facbook=Campaign"]}),
        (["A:B", "C"], {"ignored": ["C"], "columns": {"A:B": "mx_A"}, "values": ["A:B:c=d", "mx_A:e=f"]}),
    ],
)
def test_check(columns: list[str], options: dict[str, Any]) -> None:
    """A file passes if every column is mapped or ignored and every option names a column."""
    assert problems(columns, **options) == []


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        (["E-mail"], {}, ["headings are not schema names", '--map "E-mail=EmailAddress"', "--ignore"]),
        (["Email"], {}, ["headings are not schema names", '--map "Email=EmailAddress"']),
        (["First Name"], {}, ['--map "First Name=FirstName"']),
        (["MOBILE NUMBER"], {}, ['--map "MOBILE NUMBER=Mobile"']),
        (["firstname"], {}, ['--map "firstname=FirstName"']),
        (["City"], {}, ['--map "City=mx_City"']),
        (["Shoe size"], {}, ['--map "Shoe size=SCHEMA_NAME"']),
        (["1st"], {}, ["not a schema name"]),
        (["Größe"], {}, ["not a schema name"]),
        (["x" * 101], {}, ["not a schema name"]),
        (["ProspectId"], {}, ["ProspectID"]),
        (["Mail", "E-mail"], {}, ['--map "Mail=EmailAddress" \\', '--map "E-mail=EmailAddress"']),
        (["$(rm -rf ~)"], {}, ["--ignore '$(rm -rf ~)'"]),
        (["Mail`x`"], {}, ["--ignore 'Mail`x`'"]),
        (["A", "B"], {"columns": {"A": "Phone", "B": "Phone"}}, ['column "B": Phone is set twice']),
        (["Phone", "B"], {"columns": {"B": "Phone"}}, ['column "B": Phone is set twice']),
        (["Source"], {"constants": {"Source": "Website"}}, ['column "Source": Source is set twice']),
        (["A"], {"columns": {"A": "Source"}, "constants": {"Source": "x"}}, ["Source is set twice"]),
        (["A", "A"], {}, ['column "A": several columns have this heading: use position 2 in --map']),
        (["A", "A"], {"columns": {"A": "mx_A"}}, ['--map "A": no column has that heading']),
        (["A"], {"columns": {"2": "mx_A"}}, ['--map "2": no column']),
        (["Phone"], {"values": ["Source:a=b"]}, ['--value must be "Column:Wrong=Right"']),
        (["Phone"], {"values": ["Phone"]}, ["--value must be"]),
        (["Phone"], {"columns": {"Mail": "EmailAddress"}}, ['--map "Mail": no column']),
        (["Phone"], {"ignored": ["Age"]}, ['--ignore "Age": no column']),
        (["Phone"], {"key_column": "Id"}, ['--key "Id": no column']),
        (["Phone"], {"dates": ["Joined"]}, ['--date "Joined": no column']),
        (["Phone"], {"dates": ["Source"], "constants": {"Source": "x"}}, ['--date "Source": no column']),
        (["Phone"], {"verbatim": ["Code"]}, ['--verbatim "Code": no column']),
        (["Phone"], {"verbatim": ["Phone"]}, ['--verbatim "Phone": Phone and Mobile are always checked']),
        (["A"], {"columns": {"A": "Mobile"}, "verbatim": ["A"]}, ['--verbatim "A": Phone and Mobile']),
        (["Phone"], {"search_by": "EmailAddress"}, ["--search-by EmailAddress: no column"]),
        (["phone"], {"ignored": ["Phone"]}, ['--ignore "Phone": no column']),
    ],
)
def test_check_refuses(columns: list[str], options: dict[str, Any], said: list[str]) -> None:
    """An error names each column without a mapping and each option without a column, and what to pass."""
    found = "\n".join(problems(columns, **options))
    assert not [words for words in said if words not in found]


def test_display_names_of_the_account_are_suggested() -> None:
    """Display names match in any case; a common heading suggests a field that the account has."""
    fields = {
        "mx_Date_of_Birth": "Date of Birth",
        "mx_Town": "City",
        "mx_Mail": "E-mail",
        "EmailAddress": "Mail 1",
    }
    assert '--map "date-of-birth=mx_Date_of_Birth"' in problems(["date-of-birth"], fields)[1]
    assert '--map "City=mx_Town"' in problems(["City"], fields)[1]
    assert '--map "E-Mail=EmailAddress"' in problems(["E-Mail"], fields)[1]
    assert '--map "Country=mx_Country"' in problems(["Country"], fields)[1]


def test_check_names_them_all() -> None:
    """One error lists all problems, one per line; options to paste come first."""
    found = problems(["E-mail", "FirstName", "Shoe size"], ignored=["Age"])
    assert [line.split(":")[0] for line in found] == [
        "these headings are not schema names",
        '--map "E-mail=EmailAddress"',
        'column "Shoe size"',
        '--ignore "Age"',
        'the headings are "E-mail", "FirstName", "Shoe size"',
    ]


@pytest.mark.parametrize(
    "heading", ["bret.lee@example.com", "+91-9988776655", "(022) 2345-6789 x 9", "4711 9988776"]
)
def test_a_heading_that_is_a_value_is_not_shown(heading: str) -> None:
    """A heading that looks like a value is shown by its position only."""
    found = problems(["FirstName", heading])
    assert len(found) == 1
    assert found[0].startswith("column 2: its heading looks like a value")
    assert heading not in "\n".join(problems(["FirstName", heading], ignored=["Age"]))
    assert heading not in f"{refusal({heading: 'x'})!r}"


@pytest.mark.parametrize("heading", ["bret.lee@example.com", "+91-9988776655"])
def test_a_file_without_headings_is_not_mapped_by_position(heading: str) -> None:
    """Its first row would be lost; a heading that is typed is meant."""
    assert len(problems(["FirstName", heading], columns={"2": "mx_A"})) == 1
    assert not problems(["FirstName", heading], columns={heading: "mx_A"})
    assert not problems(["FirstName", heading], ignored=["2"])


@pytest.mark.parametrize(
    "options",
    [
        {"columns": {"Mail": "FirstName", "2": "LastName"}},
        {"columns": {"2": "LastName"}, "ignored": ["Mail"]},
        {"columns": {"Mail": "LastName"}, "ignored": ["2"]},
    ],
)
def test_a_column_has_one_place(options: dict[str, Any]) -> None:
    """By its heading and its position together, too."""
    assert "twice" in problems(["mx_A", "Mail"], **options)[0]


def test_only_the_column_that_is_ignored_is_left_out() -> None:
    """Not another that is mapped to its heading; spelt as --map has it."""
    cells = {"FirstName": "Anna", "Given": "Bret", "mx  A": "x"}
    options: dict[str, Any] = {"columns": {"Given": "FirstName"}, "ignored": ["FirstName", "mx\u00a0 A"]}
    assert lead_of(cells, **options) == {"FirstName": "Bret"}


def test_a_heading_with_years_is_shown() -> None:
    """A heading with a few digits is not a phone number."""
    assert 'column "Grade 2023-2024"' in problems(["Grade 2023-2024"])[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": {"E-mail": "e-mail"}}, "not a schema name"),
        ({"columns": {"Id": "ProspectId"}}, "ProspectID"),
        ({"columns": {"A": "Phone"}, "ignored": ["A"]}, "is named twice in --map and --ignore"),
        ({"columns": {"A  B": "Phone"}, "ignored": ["A B"]}, "is named twice in --map and --ignore"),
        ({"columns": {"A  B": "Phone", "A B": "Mobile"}}, "is named twice in --map and --ignore"),
        ({"constants": {"Lead Source": "x"}}, "not a schema name"),
        ({"constants": {"Source": " "}}, "would clear the field"),
        ({"constants": {"Source": "a\x00"}}, "control character"),
        ({"dates": ["A"], "timezone": "IST"}, "Asia/Kolkata"),
        ({"dates": ["A"], "timezone": "Asia"}, "Asia/Kolkata"),
        ({"dates": ["A"], "timezone": "../../etc/passwd"}, "Asia/Kolkata"),
        ({"dates": ["A"], "timezone": ""}, "Asia/Kolkata"),
        ({"date_format": "%d/%m/%Y"}, "--date"),
        ({"dates": ["A"], "date_format": "%H:%M"}, "year, a month and a day"),
        ({"dates": ["A"], "date_format": "%m/%Y"}, "year, a month and a day"),
        ({"dates": ["A"], "date_format": "%d %b"}, "year, a month and a day"),
        ({"dates": ["A"], "date_format": "%a %d %b"}, "year, a month and a day"),
        ({"dates": ["A"], "date_format": "%d/%m/%Y %I:%M"}, "%p"),
        ({"dates": ["A"], "date_format": "%d/%m/%Y %M"}, "%H"),
        ({"dates": ["A"], "date_format": "%d/%m/%Y %H:%M %Z"}, "%z"),
        ({"dates": ["A"], "date_format": "%Q"}, "strptime"),
        ({"dates": ["A"], "date_format": "dd/mm/yyyy"}, "year, a month and a day"),
    ],
)
def test_options_refused(options: dict[str, Any], said: str) -> None:
    """An invalid option raises before a file is read."""
    with pytest.raises(MappingError) as caught:
        Leads(LeadMapping(**options), None)
    assert said in str(caught.value)


def test_a_zone_where_python_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without time zone data, the error names the package to install."""
    monkeypatch.setattr(cells, "ZoneInfo", no_zones)
    with pytest.raises(MappingError, match=r"Python has no time zone data: pip install tzdata"):
        Leads(LeadMapping(timezone="Asia/Kolkata"), None)


def no_zones(key: str) -> NoReturn:
    raise ZoneInfoNotFoundError(key)


def test_rows_of_json_are_checked_one_by_one() -> None:
    """An invalid name, or an attribute that is set twice, refuses a row of JSON."""
    assert str(refusal({"E-mail": "x"})).startswith('column "E-mail": its heading is not a schema name')
    assert "set twice" in str(refusal({"A": "1", "Phone": "2"}, columns={"A": "Phone"}))
    assert "set twice" in str(refusal({"A": None, "Phone": "2"}, columns={"A": "Phone"}))
    assert "set twice" in str(refusal({"Source": "x", "Phone": "2"}, constants={"Source": "y"}))


ADDRESS = {"city": "Pune", "geo": {"lat": Decimal("1.5")}, "zip": "411001"}


@pytest.mark.parametrize(
    ("options", "lead"),
    [
        (
            {"columns": {"address.city": "mx_City", "address.geo.lat": "mx_Lat"}, "ignored": ["address.zip"]},
            {"mx_City": "Pune", "mx_Lat": Decimal("1.5")},
        ),
        (
            {"columns": {"address.city": "mx_City", "address.geo": "mx_Geo"}, "ignored": ["address.zip"]},
            {"mx_City": "Pune", "mx_Geo": {"lat": Decimal("1.5")}},
        ),
        ({"ignored": ["address"]}, {}),
    ],
)
def test_a_part_of_an_object_is_a_column(options: dict[str, Any], lead: dict[str, Any]) -> None:
    """A part that --map names is sent; the other parts of its object must be mapped or ignored, too."""
    cells = {"FirstName": "Bret", "address": ADDRESS}
    assert lead_of(cells, **options) == {"FirstName": "Bret"} | lead
    assert lead_of({"FirstName": "Bret", "address": None}, **options) == {"FirstName": "Bret"}


def test_parts_of_an_object_are_not_guessed() -> None:
    """A part that no option names is refused, with the options that name it."""
    options: dict[str, Any] = {"columns": {"address.city": "mx_City"}}
    found = made({"FirstName": "Bret", "address": ADDRESS}, **options)
    assert [str(flaw).partition(": pass ")[2] for flaw in found.flaws] == [
        '--map "address.geo=SCHEMA_NAME" or --ignore "address.geo"',
        '--map "address.zip=SCHEMA_NAME" or --ignore "address.zip"',
    ]
    assert "several columns" in str(made({"address.city": "x", "address": {"city": "y"}}, **options).flaws[0])
    assert "all cells that would be sent are empty" in str(refusal({"address": {}}, **options))
    assert "--map a.b.c=mx_City" in str(refusal({"mx_A": ADDRESS}))


def test_a_key_may_be_a_part_of_an_object() -> None:
    """--key names a part as --map does."""
    assert key_of({"FirstName": "Bret", "meta": {"id": 7}}, key_column="meta.id", ignored=["meta.id"]) == "7"


def test_names_as_the_encoder_has_them() -> None:
    """The encoder accepts every suggested name."""
    assert all(map(SCHEMA_NAME.fullmatch, USUAL_HEADINGS))


# Cells.


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("Bret", "Bret"),
        (" \t Bret \r\n", "Bret"),
        ("\u00a0Bret\u00a0", "Bret"),
        ("\ufeff\u200b \u202aBret\u202c \u200e", "Bret"),
        ("two\nlines", "two\nlines"),
        ("a\u00a0b", "a\u00a0b"),
        ("क्\u200dष\u200d", "क्\u200dष\u200d"),
        ("=1+1", "=1+1"),
        ("12E3", "12E3"),
        ("1e5", "1e5"),
        ("E-05", "E-05"),
        ("5.0", "5.0"),
        ("00123", "00123"),
        ("#1 in town", "#1 in town"),
        ("#", "#"),
        ("N/A", "N/A"),
        ("Null", "Null"),
        (5, 5),
        (10**30, 10**30),
        (True, True),
        (Decimal("0.10"), Decimal("0.10")),
        ({"mx_A": " x ", "mx_B": "", "mx_C": None}, {"mx_A": "x"}),
    ],
)
def test_a_cell(cell: Any, value: Any) -> None:
    """White space around a cell is removed; the text inside stays."""
    lead = lead_of({"mx_Field": cell})
    assert lead == {"mx_Field": value}
    assert type(lead["mx_Field"]) is type(value)
    encode(capture_lead(lead))


@pytest.mark.parametrize("cell", ["", " ", "\u00a0\ufeff", None, {}, {"mx_A": " "}])
def test_an_empty_cell(cell: Any) -> None:
    """An empty cell leaves the attribute out and clears no field."""
    assert lead_of({"FirstName": "Bret", "mx_Field": cell}) == {"FirstName": "Bret"}


def test_a_row_without_a_cell() -> None:
    """Constants alone are not a lead."""
    flaw = refusal({"FirstName": " ", "Age": "41"}, ignored=["Age"], constants={"Source": "Website"})
    assert str(flaw) == "all cells that would be sent are empty: fill one in, or remove the row"


def test_all_flaws_of_a_row_are_found() -> None:
    """A row's flaws are in column order; cells without a flaw stay in its lead."""
    cells = {"Phone": "9.98878E+09", "FirstName": "Bret", "mx_J": "1/2/2024", "EmailAddress": "NULL"}
    found = made(cells, dates=["mx_J"])
    assert [flaw.attribute for flaw in found.flaws] == ["Phone", "mx_J", "EmailAddress"]
    assert found.lead == {"FirstName": "Bret"}


def test_a_test_row_of_an_ad_platform() -> None:
    """One marked cell in any column makes a test row."""
    flaw = refusal({"FirstName": "Bret", "mx_A": "<test lead: dummy data for city>"})
    assert (flaw.kind, flaw.column) == ("test_row", "")


def test_a_cell_without_a_heading_is_refused() -> None:
    """A cell without a heading is refused unless it is empty."""
    leads = Leads(LeadMapping(), ("FirstName", ""))
    assert not leads.make(Row(2, ("FirstName", ""), ("Bret", " "))).flaws
    (flaw,) = leads.make(Row(2, ("FirstName", ""), ("Bret", SECRET))).flaws
    assert str(flaw).startswith("column 2: has no heading above this cell: pass --map 2=SCHEMA_NAME")


@pytest.mark.parametrize("cell", ["NULL", " NULL\u00a0", "-"])
def test_cells_that_count_as_empty(cell: str) -> None:
    """--empty matches the exact text in every column."""
    assert lead_of({"FirstName": "Bret", "Phone": cell}, empty=["NULL", "-"]) == {"FirstName": "Bret"}
    assert lead_of({"FirstName": "null"}, empty=["NULL"]) == {"FirstName": "null"}


def test_values_are_sent_as_others() -> None:
    """--value names a column by heading, position or schema name; the new value may be empty."""
    options: dict[str, Any] = {"columns": {"Lead source": "Source"}}
    for name in ("Lead source", "1", "Source"):
        given = [f"{name}:Facbook=Campaign", f"{name}:a=b=c", f"{name}:-="]
        for cell, sent in (("Facbook", "Campaign"), (" Facbook ", "Campaign"), ("a", "b=c"), ("x", "x")):
            assert lead_of({"Lead source": cell, "mx_A": "Facbook"}, values=given, **options) == {
                "Source": sent,
                "mx_A": "Facbook",
            }
        assert lead_of({"Lead source": "-", "mx_A": "x"}, values=given, **options) == {"mx_A": "x"}
    for cell, wrong in ((1, "1"), (Decimal("1.5"), "1.5"), (True, "TRUE"), (False, "false")):
        assert lead_of({"Source": f"{wrong}x"}, values=[f"Source:{wrong.swapcase()}X=y"]) == {
            "Source": f"{wrong}x"
        }
        assert lead_of({"Source": cell}, values=[f"Source:{wrong}=Website"]) == {"Source": "Website"}
        assert lead_of({"Source": cell, "mx_A": "x"}, values=[f"Source:{wrong}="]) == {"mx_A": "x"}


@pytest.mark.parametrize(
    "cell",
    ["98000-31676", "9800031676", "+91 98000 31676", "+919800031676", "p:+919800031676", "098000 31676"],
)
def test_telephone_numbers_in_one_spelling(cell: str) -> None:
    """--phone writes LeadSquared's spelling; text that is not a number stays as it is."""
    assert lead_of({"Phone": cell}, phone_region="IN") == {"Phone": "+91-9800031676"}
    assert lead_of({"mx_Phone": cell, "Phone": "98000"}, phone_region="IN")["Phone"] == "98000"


def test_spellings_of_telephone_numbers_are_counted() -> None:
    """A column's spellings of phone numbers are counted, unless --phone makes them one."""
    cells = ("98000-31676", "98000-31677", "+919800031676")
    for region, patterns in ((None, 2), ("IN", 0)):
        leads = Leads(LeadMapping(phone_region=region), ("Phone",))
        for cell in cells:
            leads.make(Row(2, ("Phone",), (cell,)))
        assert len(leads.spellings.get("Phone", ())) == patterns


SHORTENED = [
    "9.98878E+09",
    "9.98878E+9",
    "1.23457E+11",
    "9.98878e+09",
    "9,98878E+09",
    "-1E+10",
    "1E+11",
    "1E-05",
]


@pytest.mark.parametrize("cell", [*SHORTENED, "9.988776655E9", " 9.98878E+09\u00a0"])
@pytest.mark.parametrize("attribute", ["Phone", "Mobile", "mx_Alternate_Phone", "mx_Field", "Notes"])
def test_a_shortened_number(cell: str, attribute: str) -> None:
    """A number in a spreadsheet's scientific notation is refused in every column."""
    assert "shortened" in str(refusal({attribute: cell}))


@pytest.mark.parametrize(
    ("attribute", "cell", "said"),
    [
        ("Phone", "12E3", "shortened"),
        ("mx_WhatsApp", "12E3", "shortened"),
        ("Phone", "9988776655.0", "decimals"),
        ("Mobile", "9988776655,00", "decimals"),
        ("mx_Mobile_2", "+919988776655.0", "decimals"),
        ("Phone", "'+91-9988776655", "remove it"),
        ("Phone", '="9988776655"', "remove it"),
        ("Phone", "#N/A", "error"),
        ("Phone", "######", "error"),
        ("mx_Field", '="00123"', "formula"),
        ("mx_Field", "#REF!", "error"),
        ("mx_Field", "#VALUE!", "error"),
        ("mx_Field", "#NAME?", "error"),
        ("mx_Field", "#DIV/0!", "error"),
        ("mx_Field", "#N/A", "error"),
        ("mx_Field", " ###### ", "error"),
        ("mx_Field", "Jos\ufffd", "replacement character"),
        ("mx_Field", "a\x00b", "control character"),
        ("mx_Field", "a\x1bb", "control character"),
        ("mx_Field", "O\x92Brien", "control character"),
        ("EmailAddress", "bret\u200b@example.com", "invisible"),
        ("Phone", "+91\u00a09988776655", "invisible"),
        ("mx_Field", [1], "list"),
        ("mx_Field", {"mx_A": {"mx_B": 1}}, "another field set"),
        ("mx_Field", {"mx_A": [1]}, "list"),
        ("mx_Field", {"mx_A": "9.98878E+09"}, "shortened"),
        ("mx_Field", Decimal("9.98878E+09"), "exponent"),
        ("Phone", Decimal("9.98878E+09"), "decimals"),
        ("Phone", Decimal("9988776655.0"), "decimals"),
    ],
)
def test_a_cell_refused(attribute: str, cell: Any, said: str) -> None:
    """An error for a damaged cell names the column and does not show the cell."""
    error = refusal({attribute: cell})
    assert str(error).startswith(f'column "{attribute}": ')
    assert (error.column, error.attribute) == (attribute, attribute)
    assert said in str(error)
    assert str(cell).strip("# ")[:9] not in str(error).replace("#", "") or "#" in str(cell)


@pytest.mark.parametrize("cell", [*SHORTENED, "#N/A", "###", '="x"', Decimal("9.9E+9")])
def test_verbatim(cell: Any) -> None:
    """A verbatim column is sent unchanged."""
    assert lead_of({"Code": cell}, verbatim=["Code"]) == {"Code": cell}
    assert lead_of({"A": cell}, columns={"A": "mx_Phone_Model"}, verbatim=["mx_Phone_Model"]) == {
        "mx_Phone_Model": cell
    }


def test_all_white_space_is_cut_off() -> None:
    """All of Python's white space is removed around a cell."""
    assert {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()} <= set(cells.PADDING)


@pytest.mark.parametrize("text", ["x" + " " * 1_000_000 + "x", "1" * 1_000_000 + "x", "#" * 1_000_000 + "x"])
def test_a_hostile_cell_takes_no_time(text: str) -> None:
    """A megabyte of text that almost matches a pattern is checked quickly."""
    before = time.perf_counter()
    assert lead_of({"mx_Field": text, "Phone": text}) == {"mx_Field": text, "Phone": text}
    assert time.perf_counter() - before < 3.0


# Dates.


@pytest.mark.parametrize(
    ("cell", "options", "value"),
    [
        ("2024-02-29", {}, date(2024, 2, 29)),
        ("20240229", {}, date(2024, 2, 29)),
        (" 2024-02-29\u00a0", {"timezone": "America/New_York"}, date(2024, 2, 29)),
        ("2024-02-29T13:05:07Z", {}, datetime(2024, 2, 29, 13, 5, 7, tzinfo=UTC)),
        ("2024-02-29 13:05+05:30", {}, datetime(2024, 2, 29, 13, 5, tzinfo=KOLKATA)),
        ("2024-02-29 13:05+00:00", {"timezone": "Asia/Kolkata"}, datetime(2024, 2, 29, 13, 5, tzinfo=UTC)),
        ("2024-02-29 13:05", {"timezone": "Asia/Kolkata"}, datetime(2024, 2, 29, 13, 5, tzinfo=KOLKATA)),
        ("2024-02-29 00:00:00", {"timezone": "Asia/Kolkata"}, datetime(2024, 2, 29, tzinfo=KOLKATA)),
        ("29/02/2024", {"date_format": "%d/%m/%Y"}, date(2024, 2, 29)),
        ("29 Feb 24", {"date_format": "%d %b %y"}, date(2024, 2, 29)),
        (
            "29.02.2024 01:05 PM",
            {"date_format": "%d.%m.%Y %I:%M %p", "timezone": "Asia/Kolkata"},
            datetime(2024, 2, 29, 13, 5, tzinfo=KOLKATA),
        ),
        (
            "29/02/2024 13:05 +0530",
            {"date_format": "%d/%m/%Y %H:%M %z"},
            datetime(2024, 2, 29, 13, 5, tzinfo=KOLKATA),
        ),
        (
            "29/02/2024 00:00",
            {"date_format": "%d/%m/%Y %H:%M", "timezone": "Asia/Kolkata"},
            datetime(2024, 2, 29, tzinfo=KOLKATA),
        ),
    ],
)
def test_a_date(cell: str, options: dict[str, str], value: date) -> None:
    """A time gets its zone from its offset or the option; a date stays a date."""
    lead = lead_of({"Joined": cell, "mx_Text": cell}, dates=["Joined"], **options)
    assert lead == {"Joined": value, "mx_Text": cell.strip()}
    assert type(lead["Joined"]) is type(value)
    assert lead_of({"Joined": cell}, columns={"Joined": "mx_J"}, dates=["mx_J"], **options) == {"mx_J": value}
    encode(capture_lead(lead))


@pytest.mark.parametrize(
    ("cell", "options", "said"),
    [
        ("2024-02-29 13:05", {}, "--timezone"),
        ("29/02/2024", {}, "pass --date-format %d/%m/%Y"),
        ("2023-02-29", {}, "not a date such as 2024-02-29"),
        ("45321", {}, "is a number, as spreadsheets store dates: format the column as a date"),
        ("45321.5", {"date_format": "%d/%m/%Y"}, "is a number, as spreadsheets store dates"),
        ("123456", {"date_format": "%d/%m/%Y"}, "does not match --date-format"),
        ("9988776655", {}, "not a date such as 2024-02-29"),
        ("20240229130507", {}, "not a date such as 2024-02-29"),
        ("2024-02-29x13:05", {}, "not a date such as 2024-02-29"),
        ("29.02.2024 13:05", {}, '--date-format "%d.%m.%Y %H:%M"'),
        ("02-29-2024", {}, "--date-format %m-%d-%Y"),
        ("01/02/2024", {}, "--date-format FORMAT, such as %d/%m/%Y"),
        ("2024-02-29", {"date_format": "%d/%m/%Y"}, "--date-format"),
        ("02/29/2024", {"date_format": "%d/%m/%Y"}, "--date-format"),
        ("29/02/2024 13:05", {"date_format": "%d/%m/%Y"}, "--date-format"),
        ("29/02/2024 13:05", {"date_format": "%d/%m/%Y %H:%M"}, "--timezone"),
        (45321, {}, "is a number"),
        (Decimal("45321.5"), {}, "is a number"),
        (True, {}, "is a number"),
        ("2024-03-31 02:30", {"timezone": "Europe/Berlin"}, "skipped this time"),
        ("2024-10-27 02:30", {"timezone": "Europe/Berlin"}, "repeated this time"),
        ("2024-10-27 03:30", {"timezone": "Asia/Kolkata"}, None),
        ("2024-10-27 02:30+01:00", {"timezone": "Europe/Berlin"}, None),
        ("2024-03-31 01:59:59", {"timezone": "Europe/Berlin"}, None),
        ("2024-03-31 03:00", {"timezone": "Europe/Berlin"}, None),
        ("0001-01-01 00:00", {"timezone": "Asia/Kolkata"}, "impossible year"),
        ("9999-12-31T23:59-08:00", {}, "impossible year"),
        (datetime(2024, 2, 29, 13, 5), {}, "--timezone"),  # noqa: DTZ001
        (datetime(2024, 2, 29, 13, 5), {"timezone": "Asia/Kolkata"}, None),  # noqa: DTZ001
        (date(2024, 2, 29), {}, None),
    ],
)
def test_a_date_refused(cell: Any, options: dict[str, str], said: str | None) -> None:
    """An invalid date, an ambiguous time and a time without a zone are refused and not shown."""
    if said is None:
        lead_of({"Joined": cell}, dates=["Joined"], **options)
        return
    error = refusal({"Joined": cell}, dates=["Joined"], **options)
    assert said in str(error)
    assert str(error).startswith('column "Joined": ')
    assert str(cell) not in str(error)


# Keys.


def key_of(cells: dict[str, Any], extra: dict[str, str | None] | None = None, **options: Any) -> str:
    found = made(cells, extra, **options)
    assert found.key is not None
    return found.key


CELLS = {"FirstName": "Bret", "Phone": "+91-9988776655"}


def test_the_same_lead_has_the_same_key() -> None:
    """The key does not depend on line, column order, white space or headings."""
    key = key_of(CELLS)
    assert re.fullmatch(r"[0-9a-f]{64}", key)
    assert key == key_of(dict(reversed(CELLS.items())))
    assert key == key_of(
        {"FirstName": " Bret", "Phone": "+91-9988776655 ", "Age": "41", REASON: "x"}, ignored=["Age"]
    )
    assert key == key_of(
        {"Name": "Bret", "Tel": "+91-9988776655"}, columns={"Name": "FirstName", "Tel": "Phone"}
    )
    assert key == key_of(CELLS, extra={"update_behavior": None})
    assert key_of({"J": "2024-02-29 05:30+05:30"}, dates=["J"]) == key_of(
        {"J": "2024-02-29T00:00Z"}, dates=["J"]
    )


def test_a_key_stays_what_it_was() -> None:
    """Keys are stable across versions, because later runs compare them."""
    cells = CELLS | {"mx_N": Decimal("1.50"), "mx_D": "2024-02-29 05:30+05:30", "Name": "José"}
    key = key_of(cells, dates=["mx_D"], search_by="Phone", extra={"update_behavior": "DoNotUpdate"})
    recipe = (
        '[{"FirstName": "Bret", "Name": "Jos\\u00e9", "Phone": "+91-9988776655", '
        '"mx_D": "2024-02-29 00:00:00", "mx_N": "1.50"}, "Phone", {"update_behavior": "DoNotUpdate"}]'
    )
    assert key == hashlib.sha256(recipe.encode()).hexdigest()


def test_whatever_changes_what_is_sent_changes_the_key() -> None:
    """A changed cell, constant, SearchBy or other sent option changes the key."""
    keys = [
        key_of(CELLS),
        key_of(CELLS | {"FirstName": "bret"}),
        key_of(CELLS | {"LastName": "Lee"}),
        key_of({"FirstName": "Bret", "Mobile": "+91-9988776655"}),
        key_of(CELLS, constants={"Source": "Website"}),
        key_of(CELLS, constants={"Source": "Web"}),
        key_of(CELLS, search_by="Phone"),
        key_of(CELLS, extra={"update_behavior": "DoNotUpdate"}),
        key_of(CELLS, extra={"update_behavior": "UpdateOnlyEmptyFields"}),
        key_of(CELLS | {"mx_J": "2024-02-29"}),
        key_of(CELLS | {"mx_J": "2024-02-29"}, dates=["mx_J"]),
        key_of(CELLS | {"mx_J": "2024-02-29 00:00"}, dates=["mx_J"], timezone="Asia/Kolkata"),
        key_of(CELLS | {"mx_N": Decimal("1.50")}),
        key_of(CELLS | {"mx_N": Decimal("1.5")}),
        key_of(CELLS | {"mx_S": {"mx_A": "x"}}),
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("cell", "key"), [("4711", "4711"), (" 4711\u00a0", "4711"), (4711, "4711"), ("a b", "a b")]
)
def test_a_key_column(cell: Any, key: str) -> None:
    """The key is the cell of the key column, also if that column is not sent."""
    assert key_of(CELLS | {"Id": cell}, key_column="Id", ignored=["Id"]) == key
    assert key_of(CELLS | {"Id": cell}, key_column="Id") == key


@pytest.mark.parametrize("cell", ["", " ", None, True, Decimal("1.0"), {}, "9.98878E+09", "#N/A", "a\x00"])
def test_a_key_refused(cell: Any) -> None:
    """An empty or damaged key is refused, because rows would share it."""
    found = made(CELLS | {"Id": cell}, key_column="Id", ignored=["Id"])
    assert [flaw.column for flaw in found.flaws] == ["Id"]
    assert found.key is None
    assert "empty" in str(refusal(CELLS, key_column="Id"))


# What is shown.


@given(
    around=st.text(st.sampled_from('E+0.#="\x00\ufffd\u200b9'), max_size=6),
    attribute=st.sampled_from(["Phone", "mx_A"]),
    options=st.sampled_from(
        [{}, {"dates": ["Phone", "mx_A"]}, {"dates": ["mx_A"], "date_format": "%d/%m/%Y"}]
    ),
)
def test_no_refusal_shows_a_cell(around: str, attribute: str, options: dict[str, Any]) -> None:
    """No error shows a cell, whatever surrounds it."""
    for cell in (SECRET + around, around + SECRET):
        assert SECRET not in shown_of({attribute: cell}, **options)


def shown_of(cells: dict[str, Any], **options: Any) -> str:
    flaws = made(cells, **options).flaws
    return f"{flaws!r} {[*map(str, flaws)]}"


@pytest.mark.parametrize(
    "cell", ["p:+919988776655", "tel: +919988776655", "+9199\u200b88776655", "\u202a+919988776655\u202c"]
)
@pytest.mark.parametrize("attribute", ["Phone", "Mobile", "mx_WhatsApp"])
def test_what_exports_put_around_a_telephone_number_comes_off(cell: str, attribute: str) -> None:
    """Export prefixes and marks are removed from phone numbers, as by `leadsquared_async.phone`."""
    assert lead_of({attribute: cell}) == {attribute: "+919988776655"}


@pytest.mark.parametrize("cell", ["NULL", "n/a", "-", "0000000000"])
@pytest.mark.parametrize("attribute", ["Phone", "Mobile", "EmailAddress", "ProspectID"])
def test_a_placeholder_is_refused_where_it_would_join_leads(cell: str, attribute: str) -> None:
    """A placeholder is refused only in attributes by which LeadSquared finds leads."""
    assert "is a placeholder" in str(refusal({attribute: cell}))
    assert "--empty" in str(refusal({attribute: cell}))
    assert lead_of({"FirstName": cell}) == {"FirstName": cell}

"""The columns of a file: under which name each is sent, and which options are refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from leadsquared_async.attributes import SCHEMA_NAME
from leadsquared_async.cli.files.headings import USUAL_HEADINGS
from leadsquared_async.cli.files.leads import Leads
from leadsquared_async.cli.files.mapping import LeadMapping, MappingError
from leadsquared_async.cli.files.rows import REASON
from leadsquared_async.encoding import encode
from leadsquared_async.submissions import capture_lead
from tests.cli.files.leads import lead_of, made, problems, refusal


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
    """A position does not map a heading that looks like a value, which would lose a row; typing it does."""
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
    """A column that is named by its heading and by its position is refused."""
    assert "twice" in problems(["mx_A", "Mail"], **options)[0]


def test_only_the_column_that_is_ignored_is_left_out() -> None:
    """--ignore leaves out the column with that heading, not one that is mapped to this name."""
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


def test_names_as_the_encoder_has_them() -> None:
    """The encoder accepts every suggested name."""
    assert all(map(SCHEMA_NAME.fullmatch, USUAL_HEADINGS))

"""The values that cells become, and what is refused."""

from __future__ import annotations

import sys
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadsquared_async.cli.files import cells
from leadsquared_async.cli.files.leads import Leads
from leadsquared_async.cli.files.mapping import LeadMapping
from leadsquared_async.cli.files.rows import Row
from leadsquared_async.encoding import encode
from leadsquared_async.submissions import capture_lead
from tests.cli.files.leads import SECRET, lead_of, made, refusal


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
    """Spellings of numbers are counted, in text and as numbers, unless --phone makes them one."""
    cells = ("98000-31676", "98000-31677", 919800031676, "call later")
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
    before = time.process_time()
    assert lead_of({"mx_Field": text, "Phone": text}) == {"mx_Field": text, "Phone": text}
    assert time.process_time() - before < 3.0


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
def test_prefixes_and_marks_of_a_phone_number(cell: str, attribute: str) -> None:
    """Export prefixes and marks are removed from phone numbers, as by `leadsquared_async.phone`."""
    assert lead_of({attribute: cell}) == {attribute: "+919988776655"}


@pytest.mark.parametrize("cell", ["NULL", "n/a", "-", "0000000000"])
@pytest.mark.parametrize("attribute", ["Phone", "Mobile", "EmailAddress", "ProspectID"])
def test_a_placeholder(cell: str, attribute: str) -> None:
    """A placeholder is refused only in attributes by which LeadSquared finds leads."""
    assert "is a placeholder" in str(refusal({attribute: cell}))
    assert "--empty" in str(refusal({attribute: cell}))
    assert lead_of({"FirstName": cell}) == {"FirstName": cell}

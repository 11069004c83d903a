"""Phone numbers, e-mail addresses and placeholders: what counts as one, and how numbers are written."""

from __future__ import annotations

import enum
import subprocess
import sys
import time
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy  # noqa: ICN001
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async import ConfigurationError
from leadsquared_async.contact import MARKS, bare_phone, is_email, is_placeholder, phone, phone_digits
from leadsquared_async.fields import FieldChecker, LeadField, ProblemKind

ACCOUNT = FieldChecker(
    (
        LeadField("FirstName", data_type="Text"),
        LeadField("EmailAddress", data_type="Email"),
        LeadField("Phone", data_type="Phone"),
        LeadField("Mobile", data_type="Phone"),
        LeadField("mx_Work_Email", data_type="Email"),
        LeadField("mx_Member", data_type="Text", is_lead_identifier=True),
        LeadField("mx_Card", data_type="Text"),
    )
)


def problem_of(name: str, value: Any, **others: Any) -> ProblemKind | None:
    flaws = ACCOUNT.check({name: value}, partial=True, **others)
    assert len(flaws) <= 1
    return flaws[0].kind if flaws else None


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("12345", 5),
        ("9988776655", 10),
        ("+91-9988776655", 12),
        ("  +91 99887 76655\t", 12),
        ("(022) 2345-6789", 11),
        ("+1 (650) 253-0000", 11),
        ("650.253.0000", 10),
        ("99887\u00a076655", 10),
        ("99887\u201376655", 10),
        ("\uff0b919988776655", 12),
        ("९९८८७७६६५५", 10),
        ("1234567890" * 2, 20),
        ("022 2345 6789 ext. 12", 11),
        ("022 2345 6789 Extn 12", 11),
        ("022 2345 6789 x12", 11),
        ("022 2345 6789;ext=12", 11),
        ("022 2345 6789#12", 11),
        ("(+91) 99887 76655", 12),
        ("+(91)-9988776655", 12),
    ],
)
def test_a_phone_number(text: str, digits: int) -> None:
    """An optional +, 5 to 20 digits with separators, and an optional extension that does not count."""
    assert phone_digits(text) == digits
    assert problem_of("Mobile", text) is None


@pytest.mark.parametrize(
    "text",
    [
        "1234",
        "1" * 21,
        "9" * 100_000,
        "call me later",
        "bret@example.com",
        "p:+919988776655",
        "tel:9988776655",
        "9988776655 / 9988776644",
        "9988776655, 9988776644",
        "9988776655\n9988776644",
        "9988776655 (office)",
        "+91 +91 9988776655",
        "9988776655+",
        "99887x76655x12",
        "1e10",
        "9.98878E+09",
        "9988776655.0",
        "+91-9988776655.00",
        "=+919988776655",
        "'9988776655",
        "99887\u200b76655",
        "\u202a+919988776655\u202c",
        "\ufeff9988776655",
        "ext. 12",
        "+",
        "()",
        "\ud800",
    ],
)
def test_no_phone_number(text: str) -> None:
    """Words, two numbers, prefixes, invisible marks and damage by a spreadsheet are not accepted."""
    assert phone_digits(text) is None
    for field in ("Phone", "Mobile"):
        assert problem_of(field, text) in {ProblemKind.NOT_A_PHONE, ProblemKind.PLACEHOLDER}


@pytest.mark.parametrize(
    "text",
    [
        "bret.lee@example.com",
        " bret.lee+crm@sub.example.co.in\t",
        "o'brien_1@example-mail.com",
        "bret@intranet",
        "李明@例え.jp",
        "a@उदाहरण.भारत",
        "a@ตัวอย่าง.ไทย",
        "a@b.co",
        "1@2.example",
        "x" * 64 + "@example.com",
    ],
)
def test_an_email_address(text: str) -> None:
    """One ordinary address, with or without white space around it."""
    assert is_email(text)
    assert problem_of("EmailAddress", text) is None


@pytest.mark.parametrize(
    "text",
    [
        "bret",
        "@example.com",
        "bret@",
        "bret@@example.com",
        "a@b@c",
        "a@b..com",
        "a..b@example.com",
        ".a@example.com",
        "a.@example.com",
        "a@.example.com",
        "a@example.com.",
        "a@-example.com",
        "a@example-.com",
        "a@exa mple.com",
        "a b@example.com",
        "mailto:bret@example.com",
        "E-Mail:bret@example.com",
        "<bret@example.com>",
        "Bret Lee <bret@example.com>",
        "bret@example.com,",
        "bret@example.com;",
        "bret@example.com, lee@example.com",
        "bret@example.com>",
        "bret@example.com/lee@example.com",
        "bret(home)@example.com",
        "bret@example.com:25",
        "bret\u200b@example.com",
        "\ufeffbret@example.com",
        "bret@exam\u00adple.com",
        "bret@example.com\x00",
        "bret@[192.168.0.1]",
        "bret@example.com?subject=x",
        "\ud800@example.com",
    ],
)
def test_no_email_address(text: str) -> None:
    """Half an address, two, one in brackets or after a scheme, and invisible marks are not accepted."""
    assert not is_email(text)
    for field in ("EmailAddress", "mx_Work_Email"):
        assert problem_of(field, text) is ProblemKind.NOT_AN_EMAIL


PLACEHOLDERS = [
    *(
        "NULL",
        "null",
        "(null)",
        "<NULL>",
        "'NULL'",
        "None",
        "nil",
        "NaN",
        "NaT",
        "<NA>",
        "N/A",
        "n/a",
        "#N/A",
        "\\N",
    ),
    *(
        "undefined",
        "Unknown",
        "not available",
        "no phone",
        "-",
        "--",
        "---",
        ".",
        "?",
        "...",
        " - ",
        "''",
        "\u200bNULL",
    ),
    *("0000000000", "1111111111", "9999999999", "1234567890", "0123456789", "00000"),
    *("00000-00000", "(000) 000-0000", "99999 99999", "12345-67890", "\u0966" * 11, "\uff11" * 5),
    *("+910000000000", "+91-0000000000", "91-0000000000", "0091 0000000000", "(+91) 99999 99999"),
    *("+1 111 111 1111", "+971-000000000", "+65 00000000", "+91-1234567890"),
    *("n.a", "NA.", "None.", "-nil-", "TBD", "xxx", "XXXXXXXXXX", "no", "#REF!", "test"),
    *("test@test.com", "xxx@xxx", "null@null", "NA@na.co.in", "noemail@noemail.com", "00000@00000.com"),
    "00000000-0000-0000-0000-000000000000",
    "<test lead: dummy data for phone_number>",
]


@pytest.mark.parametrize("text", PLACEHOLDERS)
@pytest.mark.parametrize("field", ["EmailAddress", "Phone", "ProspectID", "mx_Member"])
def test_a_placeholder_identifies_nobody(field: str, text: str) -> None:
    """Two leads that share one would become one lead, so no field that identifies a lead accepts it."""
    assert is_placeholder(text)
    assert problem_of(field, text) is ProblemKind.PLACEHOLDER


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_placeholder_elsewhere_is_a_value(text: str) -> None:
    """A first name may be Null; only a field that leads are searched by must tell them apart."""
    assert problem_of("FirstName", text) is None
    assert problem_of("mx_Card", text) is None
    assert problem_of("mx_Card", text, search_by="mx_Card") is ProblemKind.PLACEHOLDER
    (flaw,) = ACCOUNT.check({"mx_Card": text, "SearchBy": "mx_Card"})
    assert flaw.kind is ProblemKind.PLACEHOLDER


@pytest.mark.parametrize(
    "text",
    [
        "Nullmeyer",
        "A-1",
        "5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4",
        "4711",
        "none@example.com",
        "12345678",
        "x",
        "na@example.com",
        "test@example.com",
        "a@a.com",
        "+91 90000 00000",
        "9800000000",
        "+47 90 00 00 00",
        "+65 9000 0000",
        "212-555-5555",
        "+1 (650) 253-0000",
        "9988-0000",
        "",
        " ",
    ],
)
def test_no_placeholder(text: str) -> None:
    """A text that contains more than a word for nothing is a value, and so is an empty one."""
    assert is_placeholder(text) is (text == "12345678")


@pytest.mark.parametrize("mark", MARKS)
def test_marks_are_removed_from_a_number(mark: str) -> None:
    """Anywhere in it; so are export prefixes and white space around it, and nothing else."""
    assert bare_phone(f"{mark}tel:{mark} +91{mark}-99887 76655{mark} ") == "+91-99887 76655"
    assert bare_phone("name: 5") == "name: 5"


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text("0123456789+-() x/;,#.:@tel\u200b"))
def test_any_text_is_answered(text: str) -> None:
    """No text raises, and removing marks and prefixes once is enough."""
    phone_digits(text), is_email(text), is_placeholder(text)
    assert bare_phone(bare_phone(text)) == bare_phone(text) or ":" in text


@pytest.mark.parametrize("piece", ["9", "9 ", "(", "a", "a.", "a@", "@", "-", "ext ", "a_", "\u200b", "a-."])
def test_long_texts_are_answered_at_once(piece: str) -> None:
    """The work is linear in the length of the text."""
    text = piece * (1_000_000 // len(piece))
    start = time.process_time()
    bare_phone(text), phone_digits(text), is_email(text), is_email(f"a@{text}"), is_placeholder(text)
    assert time.process_time() - start < 1.0


# Numbers in LeadSquared's spelling

INDIA = phone("IN")


class Line(enum.StrEnum):
    DESK = "09988776655"


class Number(int):
    pass


@pytest.mark.parametrize(
    ("region", "value", "written"),
    [
        ("IN", "9988776655", "+91-9988776655"),
        ("IN", "+91-9988776655", "+91-9988776655"),
        ("IN", "+919988776655", "+91-9988776655"),
        ("IN", "919988776655", "+91-9988776655"),
        ("IN", "00919988776655", "+91-9988776655"),
        ("IN", "099887 76655", "+91-9988776655"),
        ("IN", " 99887-76655 ", "+91-9988776655"),
        ("IN", "\t+91 9988776655\r\n", "+91-9988776655"),
        ("IN", "99887\u00a076655", "+91-9988776655"),
        ("IN", "99887\u201376655", "+91-9988776655"),
        ("IN", "९९८८७७६६५५", "+91-9988776655"),
        ("IN", "022 2345 6789", "+91-2223456789"),
        ("IN", "+1 (650) 253-0000", "+1-6502530000"),
        # as exports, links and address books write it
        ("IN", "p:+919988776655", "+91-9988776655"),
        ("IN", "tel:+91-99887-76655", "+91-9988776655"),
        ("IN", "Phone: 9988776655", "+91-9988776655"),
        ("IN", "WhatsApp:+919988776655", "+91-9988776655"),
        ("IN", "callto://9988776655", "+91-9988776655"),
        ("IN", "\u202a+91 99887 76655\u202c", "+91-9988776655"),
        ("IN", "\ufeff99887\u200b76655", "+91-9988776655"),
        ("IN", "\u200etel:\u00a099887\u00ad76655", "+91-9988776655"),
        ("IN", 9988776655, "+91-9988776655"),
        ("IN", 919988776655, "+91-9988776655"),
        ("IN", Number(9988776655), "+91-9988776655"),
        # a column of pandas with a number missing holds floats
        ("IN", 9988776655.0, "+91-9988776655"),
        ("IN", numpy.float64(919988776655.0), "+91-9988776655"),
        ("IN", Line.DESK, "+91-9988776655"),
        ("US", "650.253.0000", "+1-6502530000"),
        ("us", "(650) 253-0000", "+1-6502530000"),
        ("SG", "6521 8000", "+65-65218000"),
        ("AE", "050 123 4567", "+971-501234567"),
        # a zero that belongs to the number stays
        ("IT", "06 698 12345", "+39-0669812345"),
    ],
)
def test_a_number_is_rewritten(region: str, value: Any, written: str) -> None:
    """Country code, hyphen, the national number in digits."""
    assert phone(region)({"Phone": value}) == {"Phone": written}
    assert phone(region)({"Phone": written}) == {"Phone": written}


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "  ",
        "unknown",
        "12345",
        "+91-12345",
        "+999 9988776655",
        "99887766551234567890",
        "9" * 300,
        pytest.param("9" * 100_000, id="very long"),
        # two numbers, an extension, a remark
        "9988776655 / 9988776644",
        "9988776655, 9988776644",
        "9988776655\n9988776644",
        "022 2345 6789 ext. 12",
        "022 2345 6789 x12",
        "022 2345 6789;ext=12",
        "022 2345 6789#12",
        "9988776655 (office)",
        "name: 9988776655",
        "p:",
        "tel:NULL",
        "\ud800",
        "+",
        "(-)",
        # no strings, and no whole numbers that can be one
        True,
        0,
        -9988776655,
        12345,
        pytest.param(10**5000, id="5,000 digits"),
        9988776655.5,
        -9988776655.0,
        1e300,
        float("inf"),
        float("nan"),
        Decimal(9988776655),
        b"9988776655",
        ["9988776655"],
        {"Number": "9988776655"},
    ],
)
def test_any_other_value_is_kept(value: Any) -> None:
    """A value that is not certainly one valid number is not changed."""
    normalised = INDIA({"Phone": value})
    assert list(normalised) == ["Phone"]
    assert normalised["Phone"] is value


@settings(max_examples=300, deadline=None)
@given(
    value=st.text()
    | st.text("0123456789+-() x/;,#.")
    | st.integers()
    | st.floats()
    | st.binary()
    | st.lists(st.text())
)
def test_no_value_raises(value: Any) -> None:
    """Any value is rewritten or kept, and a rewritten number is kept."""
    once = INDIA({"Phone": value})
    assert once["Phone"] is value or once["Phone"].startswith("+")
    assert INDIA(once)["Phone"] is once["Phone"] or INDIA(once) == once


def test_only_the_named_attributes_change() -> None:
    """By default Phone and Mobile; the others, their order and the argument stay."""
    lead = {"mx_Phone": "9988776655", "Mobile": "9988776644", "Age": 9988776655, "Phone": "9988776655"}
    before = dict(lead)
    written = INDIA(MappingProxyType(lead))
    assert written == {**before, "Mobile": "+91-9988776644", "Phone": "+91-9988776655"}
    assert list(written) == list(before)
    assert lead == before
    assert phone("IN", {"mx_Phone"})(lead) == {**before, "mx_Phone": "+91-9988776655"}
    assert INDIA({}) == {}


@pytest.mark.parametrize("region", ["", "XX", "India", "+91", "001", None, 91])
def test_an_unknown_region_is_rejected(region: Any) -> None:
    """Otherwise no number would ever be rewritten, and nobody would see why."""
    with pytest.raises(ConfigurationError, match=r"^region must be a two-letter country code"):
        phone(region)


def test_a_string_is_not_a_collection_of_names() -> None:
    """Its letters are not attributes."""
    with pytest.raises(ConfigurationError, match=r"^fields must be a tuple of schema names"):
        phone("IN", "Phone")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(ConfigurationError) as caught:
        phone("IN")
    assert 'pip install "leadsquared_async[phone]"' in str(caught.value)


def test_phonenumbers_is_imported_by_the_call_only() -> None:
    """Importing the module does not cost it."""
    code = "import sys, leadsquared_async.contact; print('phonenumbers' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"

"""What is taken for a phone number, an e-mail address, a placeholder; and what leads with them are told."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async.contact import MARKS, bare_phone, is_email, is_placeholder, phone_digits
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
    """An optional +, 5 to 20 digits with separators, at most an extension, which does not count."""
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
    """Words, two numbers, prefixes, invisible marks, what a spreadsheet left: no phone field takes them."""
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
    """One address as people have it, white space around it or not."""
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
    """Half an address, two, one in brackets or with a scheme before it, and invisible marks are refused."""
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
    """Two leads that share one would become one lead, so every field that identifies a lead refuses it."""
    assert is_placeholder(text)
    assert problem_of(field, text) is ProblemKind.PLACEHOLDER


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_placeholder_elsewhere_is_a_value(text: str) -> None:
    """A first name may be Null; once a lead is searched by the field it has to tell leads apart."""
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
    """Whatever holds more than a word for nothing, or nothing at all, is not one."""
    assert is_placeholder(text) is (text == "12345678")


@pytest.mark.parametrize("mark", MARKS)
def test_marks_come_off_a_number(mark: str) -> None:
    """Wherever they stand; so do export prefixes, white space around the number, and nothing else."""
    assert bare_phone(f"{mark}tel:{mark} +91{mark}-99887 76655{mark} ") == "+91-99887 76655"
    assert bare_phone("name: 5") == "name: 5"


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text("0123456789+-() x/;,#.:@tel\u200b"))
def test_any_text_is_answered(text: str) -> None:
    """No text raises, and what is taken off once is off."""
    phone_digits(text), is_email(text), is_placeholder(text)
    assert bare_phone(bare_phone(text)) == bare_phone(text) or ":" in text


@pytest.mark.parametrize("piece", ["9", "9 ", "(", "a", "a.", "a@", "@", "-", "ext ", "a_", "\u200b", "a-."])
def test_long_texts_are_answered_at_once(piece: str) -> None:
    """The work is linear in the length of the text."""
    text = piece * (1_000_000 // len(piece))
    start = time.process_time()
    bare_phone(text), phone_digits(text), is_email(text), is_email(f"a@{text}"), is_placeholder(text)
    assert time.process_time() - start < 1.0

"""Phone numbers of a lead in LeadSquared's spelling; what is not surely a number stays as it is."""

from __future__ import annotations

import enum
import subprocess
import sys
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy  # noqa: ICN001
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async import ConfigurationError
from leadsquared_async.contact import phone

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
def test_a_number_is_written(region: str, value: Any, written: str) -> None:
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
def test_anything_else_stays(value: Any) -> None:
    """What is not surely one valid number goes out as the caller has it."""
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
    """Any value is written or left, and what was written once stays so."""
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
def test_a_region_has_to_be_known(region: Any) -> None:
    """Otherwise no number would ever be written, and nobody would see why."""
    with pytest.raises(ConfigurationError, match=r"^region is no country's two letters, such as IN"):
        phone(region)


def test_one_string_is_no_collection_of_names() -> None:
    """Its letters are not attributes."""
    with pytest.raises(ConfigurationError, match=r"^fields has to be several schema names"):
        phone("IN", "Phone")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(ConfigurationError) as caught:
        phone("IN")
    assert 'pip install "leadsquared_async[phone]"' in str(caught.value)


def test_phonenumbers_is_imported_by_the_call_only() -> None:
    """Whoever imports the module does not pay for it."""
    code = "import sys, leadsquared_async.contact; print('phonenumbers' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"

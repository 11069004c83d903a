"""Every type of value that a lead can hold: the text that is sent, or an error that says what to do."""

from __future__ import annotations

import enum
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from numbers import Integral
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy  # noqa: ICN001
import pandas  # noqa: ICN001
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async import Delivery, Fault, InvalidLead, submissions
from leadsquared_async.encoding import encode

GUID = "5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4"
KOLKATA = ZoneInfo("Asia/Kolkata")
SECRET = "zq-private-4711"


class Stage(enum.Enum):
    HOT = "Hot"
    RANK = 3
    NOTHING = None


class Source(enum.StrEnum):
    WEB = "Web Form"


class OldSource(str, enum.Enum):  # noqa: UP042 - what Python 3.10 code still has
    WEB = "Old Web Form"


class Grade(enum.IntEnum):
    FIRST = 1


class Loud(str):
    """A string with another opinion on how it is shown."""

    __slots__ = ()

    def __str__(self) -> str:
        return "LOUD"


class Unsigned:
    """An Integral that is no int, as numpy.int64 is none."""

    def __index__(self) -> int:
        return 18446744073709551615


Integral.register(Unsigned)


class NotATime(datetime):
    """A table's missing date (pandas.NaT): a datetime that raises when it is asked for anything."""

    def utcoffset(self) -> timedelta | None:
        raise ValueError("NaTType does not support utcoffset")


class Timestamp(datetime):
    """A table's date (pandas.Timestamp): it has nanoseconds that `replace` does not reach."""

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        return super().isoformat(sep, timespec) + (".000000789" if timespec == "auto" else "")


def sent(lead: Any) -> Any:
    return json.loads(encode(submissions.capture_lead(lead)).content)


def refusal(lead: Any) -> InvalidLead:
    with pytest.raises(InvalidLead) as caught:
        sent(lead)
    return caught.value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Bret", "Bret"),
        ("", ""),
        ("  kept  ", "  kept  "),
        ("tab\tline\nreturn\r", "tab\tline\nreturn\r"),
        ("Zoë 李明 🙂 \u200d", "Zoë 李明 🙂 \u200d"),
        ("+91-9988776655", "+91-9988776655"),
        ("007", "007"),
        ("null", "null"),
        ('","Value":"', '","Value":"'),
        (Loud("quiet"), "quiet"),
        (0, "0"),
        (-7, "-7"),
        (10**100, "1" + "0" * 100),
        (True, "true"),
        (False, "false"),
        (Unsigned(), "18446744073709551615"),
        (Decimal("1.10"), "1.10"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.00000001"), "-0.00000001"),
        (Decimal("1e100"), "1" + "0" * 100),
        (0.1, "0.1"),
        (1.0, "1"),
        (9988776655.0, "9988776655"),
        (100.0, "100"),
        (1e22, "1" + "0" * 22),
        (1e-7, "0.0000001"),
        (2.5e15, "2500000000000000"),
        (1 / 3, "0.3333333333333333"),
        (-0.0, "-0"),
        (datetime(2024, 2, 29, 23, 30, tzinfo=UTC), "2024-02-29 23:30:00"),
        (datetime(2024, 3, 1, 5, 0, tzinfo=KOLKATA), "2024-02-29 23:30:00"),
        (datetime(2024, 2, 29, 23, 30, 59, 999_999, tzinfo=UTC), "2024-02-29 23:30:59"),
        (datetime(999, 1, 1, tzinfo=timezone(timedelta(hours=-2))), "0999-01-01 02:00:00"),
        (Timestamp(2024, 2, 29, 23, 30, tzinfo=UTC), "2024-02-29 23:30:00"),
        (date(2024, 2, 29), "2024-02-29 00:00:00"),
        (date(33, 4, 3), "0033-04-03 00:00:00"),
        (Stage.HOT, "Hot"),
        (Stage.RANK, "3"),
        (Source.WEB, "Web Form"),
        (OldSource.WEB, "Old Web Form"),
        (Grade.FIRST, "1"),
        (UUID(GUID), GUID),
        (UUID(GUID.upper()), GUID),
    ],
)
def test_a_value_is_sent_as(value: object, text: str) -> None:
    """Each type that can be written in one way only is, as an attribute and within a field set."""
    assert sent({"mx_Field": value}) == [{"Attribute": "mx_Field", "Value": text}]
    assert sent({"mx_Set": {"Inner": value}}) == [
        {"Attribute": "mx_Set", "Value": "", "Fields": [{"Attribute": "Inner", "Value": text}]}
    ]


def test_the_fold_of_a_daylight_saving_hour_counts() -> None:
    """The same clock time before and after the change are two different moments in UTC."""
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2024, 10, 27, 2, 30, tzinfo=berlin)
    assert sent({"A": first, "B": first.replace(fold=1)}) == [
        {"Attribute": "A", "Value": "2024-10-27 00:30:00"},
        {"Attribute": "B", "Value": "2024-10-27 01:30:00"},
    ]


NAIVE = "the datetime has no time zone"
REFUSED = [
    (float("nan"), "not a finite number", "Leave the attribute out."),
    (float("inf"), "not a finite number", "Leave the attribute out."),
    (float("-inf"), "not a finite number", "Leave the attribute out."),
    (Decimal("NaN"), "not a finite number", "Leave the attribute out."),
    (Decimal("sNaN"), "not a finite number", "Leave the attribute out."),
    (Decimal("Infinity"), "not a finite number", "Leave the attribute out."),
    (10**101, "too large or too small", "Pass a string."),
    pytest.param(10**6000, "too large or too small", "Pass a string.", id="6001 digits"),
    (1.7e308, "too large or too small", "Pass a string."),
    (5e-324, "too large or too small", "Pass a string."),
    (Decimal("1e-101"), "too large or too small", "Pass a string."),
    (Decimal("1e999999"), "too large or too small", "Pass a string."),
    (datetime(2024, 1, 1), NAIVE, "Add one, such as value.replace(tzinfo=ZoneInfo(...))"),  # noqa: DTZ001
    (datetime.min, NAIVE, "Add one"),  # noqa: DTZ901
    (datetime(1, 1, 1, tzinfo=KOLKATA), "cannot be converted to UTC", "Correct it"),
    (
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))),
        "cannot be converted to UTC",
        "Correct it",
    ),
    (NotATime(2024, 1, 1), "cannot be converted to UTC", "or leave the attribute out."),
    (time(12), "cannot encode datetime.time.", "Pass a string."),
    (timedelta(1), "cannot encode datetime.timedelta.", "Pass a string."),
    (Fraction(1, 3), "cannot encode fractions.Fraction.", "Pass a string."),
    (1j, "cannot encode complex.", "Pass a string."),
    (Stage.NOTHING, "cannot encode NoneType.", "Pass a string."),
    (Path(SECRET), "cannot encode ", "Pass a string."),
    (object(), "cannot encode object.", "Pass a string."),
    (SECRET.encode(), "cannot encode bytes.", "Decode it to a string."),
    (bytearray(b"x"), "cannot encode bytearray.", "Decode it to a string."),
    (memoryview(b"x"), "cannot encode memoryview.", "Decode it to a string."),
    ([SECRET], "cannot encode a list.", "Join the items with your field's separator."),
    ((SECRET,), "cannot encode a tuple.", "Join the items with your field's separator."),
    ({SECRET}, "cannot encode a set.", "Join the items with your field's separator."),
    (frozenset([SECRET]), "cannot encode a frozenset.", "Join the items with your field's separator."),
    (SECRET + "\x00", "a control character", "Remove it."),
    (SECRET + "\x1b[2J", "a control character", "Remove it."),
    (SECRET + "\x7f", "a control character", "Remove it."),
    (SECRET + "\x0b", "a control character", "Remove it."),
    (SECRET + "\ud83d", "an unpaired surrogate", "Decode the text again"),
    ("\udc80" + SECRET, "an unpaired surrogate", "Decode the text again"),
]


@pytest.mark.parametrize(("value", "wrong", "remedy"), REFUSED)
@pytest.mark.parametrize(
    ("place", "within"), [("mx_Field", False), ("mx_Set.Inner", True)], ids=["top", "set"]
)
def test_an_ambiguous_value_is_rejected(
    value: object, wrong: str, remedy: str, place: str, within: bool
) -> None:
    """The error says where the value is, what is wrong and what to do, and shows no value."""
    error = refusal({"mx_Set": {"Inner": value}} if within else {"mx_Field": value})
    assert str(error).startswith(f"{place}: ")
    assert wrong in str(error)
    assert remedy in str(error)
    assert error.attribute == place
    assert SECRET not in repr(error)
    assert (error.delivery, error.fault, error.attempts) == (Delivery.NOT_SENT, Fault.LEAD, 0)


names = st.one_of(
    st.sampled_from(["FirstName", "Phone", "ProspectID", "ProspectId", "SearchBy", " Phone "]),
    st.text(max_size=3),
    st.text(max_size=3).map(lambda text: SECRET + text),
    st.none() | st.integers() | st.binary(max_size=3),
)
scalars = st.one_of(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.fractions(),
    st.text(st.characters(), max_size=5).map(lambda text: SECRET + text),
    st.text(st.characters(categories=["Cs", "Cc", "Lu"]), max_size=3),
    st.dates() | st.datetimes(timezones=st.none() | st.timezones()) | st.times() | st.timedeltas(),
    st.uuids()
    | st.binary(max_size=5)
    | st.sampled_from([*Stage, Source.WEB, NotATime(2024, 1, 1), Unsigned()]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(
    lead=st.dictionaries(names, values, max_size=5) | values,
    search_by=st.none() | st.sampled_from(["Phone", "ProspectID"]) | scalars,
)
def test_anything_is_encoded_or_rejected(lead: Any, search_by: Any) -> None:
    """Any mapping becomes JSON pairs of strings, or an InvalidLead that shows no value; nothing else."""
    error, encoded = None, None
    try:
        encoded = encode(submissions.capture_lead(lead, search_by=search_by))
    except InvalidLead as refused:
        error = refused
    if encoded is None:
        assert SECRET not in f"{error!r} {vars(error)}"
        return
    pairs = json.loads(encoded.content.decode())
    assert pairs
    for pair in pairs:
        assert pair.keys() - {"Fields"} == {"Attribute", "Value"}
        for entry in (pair, *pair.get("Fields", ())):
            assert isinstance(entry["Attribute"], str)
            assert isinstance(entry["Value"], str)
    written = [pair["Attribute"] for pair in pairs]
    assert len(written) == len(set(written))
    assert "SearchBy" not in written[:-1]


# What rows of numpy and pandas hold.


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (numpy.int8(-5), "-5"),
        (numpy.uint64(2**64 - 1), "18446744073709551615"),
        (numpy.float16(0.1), "0.1"),
        (numpy.float32(0.1), "0.1"),
        (numpy.float32(9988776), "9988776"),
        (numpy.float64(0.1), "0.1"),
        (numpy.float64(9988776655), "9988776655"),
        (numpy.longdouble("0.5"), "0.5"),
        (numpy.bool_(True), "true"),
        (numpy.str_("Bret"), "Bret"),
        (pandas.Timestamp("2024-02-29 12:00", tz="Asia/Kolkata"), "2024-02-29 06:30:00"),
        (pandas.Series([5]).iloc[0], "5"),
        (pandas.Series([True], dtype="boolean").iloc[0], "true"),
        (pandas.Series(["a"], dtype="string").iloc[0], "a"),
        (pandas.Series(["a"], dtype="category").iloc[0], "a"),
    ],
)
def test_a_scalar_of_an_array_is_sent_as_its_value(value: Any, written: str) -> None:
    """numpy and pandas are known by their protocols, nothing of them is imported."""
    assert sent({"mx_A": value}) == [{"Attribute": "mx_A", "Value": written}]
    assert sent({"mx_A": {"Inner": value}})[0]["Fields"] == [{"Attribute": "Inner", "Value": written}]


@pytest.mark.parametrize(
    "value",
    [
        numpy.timedelta64(5, "D"),
        numpy.datetime64("2024-02-29T12:00:00", "ns"),
        numpy.datetime64("NaT", "ns"),
        numpy.complex64(1),
        numpy.bytes_(b"a"),
        numpy.void(b"a"),
        numpy.array(5),
        numpy.array([5]),
        numpy.array(["a"]),
        pandas.NA,
        pandas.Timedelta("1D"),
        pandas.Period("2024"),
        pandas.Interval(0, 1),
        pandas.Series([5]),
        Fraction(1, 3),
        5j,
    ],
)
def test_another_type_is_rejected_with_its_full_name(value: Any) -> None:
    """A duration is not a number, and no value is sent as whatever its repr shows."""
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    assert str(refusal({"mx_A": value})).startswith(f"mx_A: cannot encode {name}. ")


@pytest.mark.parametrize("value", [numpy.float32("nan"), numpy.float64("inf"), numpy.longdouble("nan")])
def test_a_missing_number_of_an_array_is_rejected(value: Any) -> None:
    """numpy's NaN is rejected like any number that is not finite."""
    assert str(refusal({"mx_A": value})) == "mx_A: not a finite number. Leave the attribute out."


def test_details_take_scalars_of_arrays() -> None:
    """A code or a flag from a table is sent as Python's own would be; a duration is not a code."""

    def details(code: Any, flag: Any = None) -> Any:
        submission = submissions.capture_opportunity(
            {"Phone": "1"}, search_by="Phone", event_code=code, overwrite_fields=flag
        )
        return json.loads(encode(submission).content)["Opportunity"]

    assert details(numpy.int64(201), numpy.bool_(False)) == {
        "OpportunityEventCode": 201,
        "OverwriteFields": False,
    }
    for wrong in (numpy.timedelta64(5, "D"), numpy.float64(5), True):
        with pytest.raises(InvalidLead, match=r"^OpportunityEventCode: must be a whole number such as 201, "):
            details(wrong)

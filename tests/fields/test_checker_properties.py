"""Any metadata and any lead are checked."""

from __future__ import annotations

import json
from datetime import UTC
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async.attributes import IDENTIFIERS
from leadsquared_async.encoding import encode
from leadsquared_async.fields import FieldChecker, read_fields
from leadsquared_async.submissions import capture_lead
from tests.fields.metadata import checker, entry, select

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KEYS = [
    "SchemaName",
    "schemaname",
    "DisplayName",
    "DataType",
    "RenderTypeTextValue",
    "IsMandatory",
    "Options",
]
KEYS += ["MaxLength", "RangeMin", "RangeMax", "AllowMultiple", "LockAfterCreate", "DefaultValue"]
KINDS = ["Text", "Number", "Email", "Phone", "Website", "Date", "Time", "Select", "Boolean"]
NAMES = st.sampled_from(["FirstName", "mx_A", "mx_B", "SearchBy", "\ud800", "E-mail"])
ODD_ENTRY = st.dictionaries(st.sampled_from(KEYS), JSON | st.sampled_from(KINDS) | NAMES)
VALUES = JSON | st.dates() | st.datetimes() | st.decimals() | st.binary() | st.uuids()


@settings(max_examples=300, deadline=None)
@given(data=JSON | st.lists(ODD_ENTRY | JSON), lead=st.dictionaries(NAMES | st.text(), VALUES))
def test_nothing_raises(data: Any, lead: dict[str, Any]) -> None:
    """Reading and checking never raise, for any metadata and lead."""
    check = FieldChecker(read_fields(data) or ())
    for problem in check.check(lead):
        assert problem.message.isprintable()
        assert problem.suggestion in {None, "SearchBy", *IDENTIFIERS, *check.fields}
    assert check.unknown(lead).keys() <= lead.keys()
    assert len(check.misspelt(lead)) <= len(check.unknown(lead))


PLAIN = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=30)
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12).filter(str.strip)
OPTIONS = st.lists(TEXT, min_size=1, max_size=9, unique=True)
NUMBERS = st.decimals(-(10**6), 10**6, places=2) | st.integers(-(10**6), 10**6)
DATES = st.dates() | st.datetimes(timezones=st.just(UTC)) | st.dates().map(str)


@st.composite
def fields_and_values(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    metadata, lead = [], {}
    for number, kind in enumerate(draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=8))):
        options, several = draw(OPTIONS), draw(st.booleans())
        chosen = draw(st.lists(st.sampled_from(options), min_size=1, max_size=3 if several else 1))
        values: dict[str, st.SearchStrategy[Any]] = {
            "Number": NUMBERS
            | NUMBERS.map(lambda number: f"{number:f}" if isinstance(number, Decimal) else number),
            "Email": st.just("a.b+c@example.org"),
            "Phone": st.integers(1, 999).map(lambda code: f"+{code}-9988776655"),
            "Date": DATES,
            "Time": DATES | st.times().map(lambda moment: moment.strftime("%H:%M:%S")),
            "Boolean": st.booleans() | st.sampled_from(["true", "False", "1", "0", "Yes"]),
            "Select": st.just(";".join(chosen)),
        }
        name = f"mx_Custom_{number}"
        metadata.append(
            select(name, *options, AllowMultiple=several)
            if kind == "Select"
            else entry(name, kind, MaxLength="10" if kind == "Phone" else "30", IsMandatory=True)
        )
        lead[name] = draw(values.get(kind, PLAIN))
    return metadata, lead


@settings(max_examples=300, deadline=None)
@given(fields_and_values())
def test_valid_values_have_no_problem(drawn: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    """For any fields, a lead of valid values has no problem, neither as passed nor as sent."""
    metadata, lead = drawn
    assert checker(*metadata).check(lead) == ()
    texts = {pair["Attribute"]: pair["Value"] for pair in json.loads(encode(capture_lead(lead)).content)}
    assert checker(*metadata).check(texts) == ()

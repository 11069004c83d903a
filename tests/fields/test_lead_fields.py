"""An account's fields: read from any metadata, and found by a similar name."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest

from leadsquared_async.fields import LeadField, read_fields
from leadsquared_async.fields.lead_fields import FieldNames, read_field
from tests.fields.metadata import ACCOUNT, LEAD_TYPE, METADATA, PHONE, checker, entry


def test_a_field_is_read() -> None:
    """Every property that a check or a reader may need is read in its own type."""
    assert read_field(PHONE) == LeadField(
        schema_name="Phone",
        display_name="Phone Number",
        data_type="Phone",
        render_type="Phone",
        max_length=10,
        range_min=Decimal(10),
        is_lead_identifier=True,
        allow_multiple=True,
        lock_after_create=True,
    )
    assert read_field(LEAD_TYPE) == LeadField(
        schema_name="LeadType",
        display_name="Object Type",
        data_type="Select",
        render_type="Dropdown",
        is_mandatory=True,
        options=("OT_0", "OT_1"),
        max_length=50,
        allow_multiple=True,
        default_value="OT_0",
    )


def test_keys_are_read_without_regard_to_case() -> None:
    """The API spells its keys differently from page to page."""
    shouted = read_field({key.upper(): value for key, value in LEAD_TYPE.items()})
    assert shouted is not None
    assert shouted == read_field({**LEAD_TYPE, "Options": [{"value": "OT_0"}, {"VALUE": "OT_1"}]})


@pytest.mark.parametrize(
    ("key", "value", "attribute", "read"),
    [
        ("MaxLength", 200, "max_length", 200),
        ("MaxLength", " 200 ", "max_length", 200),
        ("MaxLength", "0", "max_length", None),
        ("MaxLength", "-1", "max_length", None),
        ("MaxLength", "many", "max_length", None),
        ("MaxLength", "nan", "max_length", None),
        ("MaxLength", "1e999999", "max_length", None),
        ("MaxLength", float("inf"), "max_length", None),
        ("MaxLength", True, "max_length", None),
        ("MaxLength", [5], "max_length", None),
        ("MaxLength", None, "max_length", None),
        ("RangeMax", "99.5", "range_max", Decimal("99.5")),
        pytest.param("RangeMax", 10**5000, "range_max", None, id="5,000 digits"),
        ("IsMandatory", "true", "is_mandatory", True),
        ("IsMandatory", 1, "is_mandatory", True),
        ("IsMandatory", "False", "is_mandatory", False),
        ("IsMandatory", {}, "is_mandatory", False),
        ("LockAfterCreate", 0, "lock_after_create", False),
        ("LockAfterCreate", 1, "lock_after_create", True),
        ("LockAfterCreate", 2, "lock_after_create", False),
        ("DefaultValue", "", "default_value", None),
        ("DefaultValue", 5, "default_value", "5"),
        ("DefaultValue", [], "default_value", None),
        ("DisplayName", 7, "display_name", ""),
        ("DataType", None, "data_type", ""),
        ("Options", "Web", "options", ()),
        ("Options", ["Web", "Fair"], "options", ("Web", "Fair")),
        ("Options", [{"Value": 1}, {"Value": 2.5}], "options", ("1", "2.5")),
        ("Options", [{"Value": ""}, {"Value": None}, {"Value": "Web"}], "options", ("Web",)),
        ("Options", [{"Value": "Web"}, {"Value": "Web"}], "options", ("Web",)),
        ("Options", [{"Value": "Web"}, {"Text": "Fair"}], "options", ()),
        ("Options", [{"Value": "Web"}, {"Value": ["Fair"]}], "options", ()),
    ],
)
def test_what_cannot_be_read_is_left_out(key: str, value: Any, attribute: str, read: Any) -> None:
    """An unreadable property counts as missing; with one unreadable option there are none."""
    field = read_field({"SchemaName": "mx_A", key: value})
    assert field is not None
    assert getattr(field, attribute) == read


@pytest.mark.parametrize("data", [None, "Phone", 5, [], {}, {"SchemaName": " "}, {"SchemaName": 5}, {1: 2}])
def test_an_entry_without_a_name_is_not_a_field(data: Any) -> None:
    """A lead could not name it either."""
    assert read_field(data) is None


def test_the_array_of_fields() -> None:
    """Its entries stay in order, entries that are not fields are skipped; anything else is None."""
    fields = read_fields([*METADATA, None, {"SchemaName": None}, []])
    assert fields is not None
    assert [field.schema_name for field in fields] == [item["SchemaName"] for item in METADATA]
    assert read_fields([]) == ()
    for answer in (None, {}, {"Status": "Error", "ExceptionType": "MXNew"}, "[]", [1, None], [[PHONE]]):
        assert read_fields(answer) is None


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("mx_City", "mx_City"),
        ("MX_CITY", "mx_City"),
        ("city", "mx_City"),
        ("City", "mx_City"),
        ("mx_mx_City", "mx_City"),
        ("mx_Ctiy", "mx_City"),
        ("mx_Citty", "mx_City"),
        ("ProspectId", "ProspectID"),
        ("prospect_id", "ProspectID"),
        ("first name", "FirstName"),
        ("mx_FirstName", "FirstName"),
        ("FristName", "FirstName"),
        ("Email", "EmailAddress"),
        ("E-mail", "EmailAddress"),
        ("email_address", "EmailAddress"),
        ("Phone Number", "Phone"),
        ("Date of visit", "mx_Visit"),
        ("mx_Budgte", "mx_Budget"),
        ("street 1", "mx_Street1"),
        ("mx_Stret2", "mx_Street2"),
        ("mx_Street3", None),
        ("mx_Street", None),
        ("mx_Interest", "mx_Interests"),
        ("Interes", "mx_Interests"),
        ("mx_Height", None),
        ("", None),
        ("mx_", None),
        ("!?", None),
        pytest.param("x" * 100_000, None, id="very long"),
    ],
)
def test_the_nearest_name(name: str, nearest: str | None) -> None:
    """Found despite case, prefix, display name, a beginning or a typo; None if no name is similar."""
    assert ACCOUNT.nearest(name) == nearest


def test_a_beginning_that_only_one_field_has() -> None:
    """Four letters are enough."""
    account = checker(entry("EmailAddress", "Email", "Email Address"), entry("mx_Emil", "Text"))
    assert account.nearest("email") == "EmailAddress"


def test_the_prefix_tells_two_fields_apart() -> None:
    """A system field and a custom one may differ in the prefix only."""
    account = checker(entry("City", "Text"), entry("mx_City", "Text"))
    assert (account.nearest("CITY"), account.nearest("MX_CITY")) == ("City", "mx_City")


def test_a_schema_name_wins_over_a_display_name() -> None:
    """A field whose display name is another's schema name does not take its place."""
    account = checker(entry("mx_Old", "Text", "Company"), entry("Company", "Text", "Employer"))
    assert account.nearest("company") == "Company"
    assert account.nearest("employer") == "Company"


def test_the_same_wrong_name_costs_once() -> None:
    """A file with a misspelt column is checked about as fast as one without."""
    account = FieldNames(LeadField(f"mx_{number:04}_Something_Else") for number in range(1_000))
    account.nearest("mx_Somethin_Els")
    before = time.process_time()
    for _ in range(10_000):
        account.nearest("mx_Somethin_Els")
    assert time.process_time() - before < 1.0
    for number in range(1_200):
        account.nearest(str(number))
    assert len(account._found) <= 500

"""An account's fields, read from whatever its metadata says, and what they find wrong with a lead."""

from __future__ import annotations

import enum
import json
import pickle
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async.encoding import IDENTIFIERS, encode
from leadsquared_async.fields import FieldChecker, FieldProblem, LeadField, ProblemKind, read_fields
from leadsquared_async.submissions import capture_lead

SECRET = "zq-private-4711"

PHONE = {
    "Entity": "1",
    "SchemaName": "Phone",
    "DisplayName": "Phone Number",
    "DataType": "Phone",
    "IsMandatory": False,
    "MaxLength": "10",
    "RenderType": 6,
    "RenderTypeTextValue": "Phone",
    "RangeMin": "10",
    "AllowMultiple": True,
    "CreatedOn": "/Date(1417453996000+0000)/",
    "IsLeadIdentifier": True,
    "LockAfterCreate": 1,
    "IsSortable": True,
}
LEAD_TYPE = {
    "SchemaName": "LeadType",
    "DisplayName": "Object Type",
    "DataType": "Select",
    "IsMandatory": True,
    "Options": [{"Value": "OT_0"}, {"Value": "OT_1"}],
    "MaxLength": "50",
    "RenderTypeTextValue": "Dropdown",
    "DefaultValue": "OT_0",
    "AllowMultiple": True,
    "CreatedOn": "/Date(1751910591000+0000)/",
    "IsLeadIdentifier": False,
    "LockAfterCreate": 2,
}


def entry(name: str, kind: str, display: str = "", **others: Any) -> dict[str, Any]:
    return {
        "SchemaName": name,
        "DisplayName": display or name,
        "DataType": kind,
        "IsMandatory": False,
        **others,
    }


def select(name: str, *options: str, **others: Any) -> dict[str, Any]:
    return entry(name, "Select", Options=[{"Value": option} for option in options], **others)


METADATA: list[Any] = [
    entry("ProspectID", "Text", "Lead Id", MaxLength="50", IsMandatory=True),
    entry("FirstName", "Text", "First Name", MaxLength="20"),
    entry("LastName", "Text", "Last Name", MaxLength="20", IsMandatory=True),
    entry("EmailAddress", "Email", "Email", MaxLength="40"),
    PHONE,
    entry("Mobile", "Phone", "Mobile Number", MaxLength="50"),
    entry("Website", "Website", MaxLength="30"),
    entry("Notes", "Text"),
    select("Source", "Web", "Trade Fair", RenderTypeTextValue="SearchableDropdown"),
    entry("DoNotCall", "Boolean", "Do Not Call", RenderTypeTextValue="CheckBox"),
    LEAD_TYPE,
    entry("mx_City", "Text", "City", MaxLength="100"),
    entry("mx_Street1", "Text", "Address 1", MaxLength="100"),
    entry("mx_Street2", "Text", "Address 2", MaxLength="100"),
    entry("mx_Budget", "Number", "Budget", RangeMin="100", RangeMax="200"),
    entry("mx_Visit", "Date", "Date of Visit", MaxLength="10"),
    entry("mx_Call_At", "Time", "Call At"),
    select(
        "mx_Interests",
        "Golf",
        "Chess",
        AllowMultiple=True,
        RenderTypeTextValue="MultiSelect",
    ),
    select("mx_Plan", "Gold ", "Silver"),
    select("mx_Heard_Of_Us", "Friend", RenderTypeTextValue="DropdownWithOthers"),
    entry("mx_KYC", "CustomObject", "KYC"),
]
LEAD: dict[str, Any] = {
    "FirstName": "Bret",
    "LastName": "Lee",
    "EmailAddress": "bret.lee@example.com",
    "Phone": "+91-9988776655",
    "Website": "https://example.com",
    "Source": "Trade Fair",
    "DoNotCall": False,
    "mx_City": "Bengaluru",
    "mx_Budget": Decimal("12.50"),
    "mx_Visit": datetime(2024, 2, 29, 12, tzinfo=UTC),
    "mx_Interests": "Golf;Chess",
    "SearchBy": "Phone",
}


def checker(*entries: Any) -> FieldChecker:
    fields = read_fields(list(entries) or METADATA)
    assert fields is not None
    return FieldChecker(fields)


ACCOUNT = checker()


def problems(lead: dict[Any, Any], **options: Any) -> list[tuple[str, ProblemKind]]:
    return [(flaw.attribute, flaw.kind) for flaw in ACCOUNT.check(lead, **options)]


def problem_of(name: str, value: Any) -> ProblemKind | None:
    flaws = ACCOUNT.check({name: value}, partial=True)
    assert len(flaws) <= 1
    return flaws[0].kind if flaws else None


def test_a_field_is_read() -> None:
    """Every property that the check and its reader may want comes out in its own type."""
    assert LeadField.read(PHONE) == LeadField(
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
    assert LeadField.read(LEAD_TYPE) == LeadField(
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
    shouted = LeadField.read({key.upper(): value for key, value in LEAD_TYPE.items()})
    assert shouted is not None
    assert shouted == LeadField.read({**LEAD_TYPE, "Options": [{"value": "OT_0"}, {"VALUE": "OT_1"}]})


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
    """An odd property is as good as none; one odd option leaves no list to hold a value against."""
    field = LeadField.read({"SchemaName": "mx_A", key: value})
    assert field is not None
    assert getattr(field, attribute) == read


@pytest.mark.parametrize("data", [None, "Phone", 5, [], {}, {"SchemaName": " "}, {"SchemaName": 5}, {1: 2}])
def test_an_entry_without_a_name_is_no_field(data: Any) -> None:
    """No lead can name it either."""
    assert LeadField.read(data) is None


def test_the_array_of_fields() -> None:
    """Its entries stay in order, those that are no fields are left out; anything else is None."""
    fields = read_fields([*METADATA, None, {"SchemaName": None}, []])
    assert fields is not None
    assert [field.schema_name for field in fields] == [item["SchemaName"] for item in METADATA]
    assert read_fields([]) == ()
    for answer in (None, {}, {"Status": "Error", "ExceptionType": "MXNew"}, "[]", [1, None], [[PHONE]]):
        assert read_fields(answer) is None


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
    """Whatever the metadata and the lead hold, reading and checking find something or nothing."""
    check = FieldChecker(read_fields(data) or ())
    for flaw in check.check(lead):
        assert flaw.message.isprintable()
        assert flaw.suggestion in {None, "SearchBy", *IDENTIFIERS, *check.fields}
    assert check.unknown(lead).keys() <= lead.keys()
    assert len(check.misspelt(lead)) <= len(check.unknown(lead))


def test_a_good_lead_has_no_flaw() -> None:
    """As a caller has it: strings, numbers, moments, flags, SearchBy."""
    assert encode(capture_lead(LEAD)).identified
    assert ACCOUNT.check(LEAD) == ()
    assert ACCOUNT.unknown(LEAD) == {}


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
def test_valid_values_make_no_flaw(drawn: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    """Whatever the fields, a lead of values that they take is good, and so is it as LeadSquared gets it."""
    metadata, lead = drawn
    assert checker(*metadata).check(lead) == ()
    texts = {pair["Attribute"]: pair["Value"] for pair in json.loads(encode(capture_lead(lead)).content)}
    assert checker(*metadata).check(texts) == ()


class Stage(enum.Enum):
    WEB = "Web"
    FAX = "Fax"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("FirstName", "x" * 20, None),
        ("FirstName", "x" * 21, ProblemKind.TOO_LONG),
        ("FirstName", 10**20, ProblemKind.TOO_LONG),
        ("FirstName", "🎉" * 20, None),
        ("FirstName", "", None),
        ("FirstName", UUID(int=5), ProblemKind.TOO_LONG),
        ("Notes", "x" * 10_000, None),
        ("Website", "https://example.com/" + "x" * 11, ProblemKind.TOO_LONG),
        ("Website", "no website at all", None),
        # the country code and what stands between the digits do not count
        ("Phone", "9988776655", None),
        ("Phone", "+91-9988776655", None),
        ("Phone", "+998 (99) 887-766-55", None),
        ("Phone", 9988776655, None),
        ("Phone", "9988776655 ext. 12345", None),
        ("Phone", "9988776655 9988776644", ProblemKind.TOO_LONG),
        ("Phone", "9988776655 / 9988776644", ProblemKind.NOT_A_PHONE),
        ("EmailAddress", "bret.lee@example.com", None),
        ("EmailAddress", "bret@intranet", None),
        ("EmailAddress", " bret.lee@example.com\t", None),
        ("EmailAddress", f" {'x' * 28}@example.com ", None),
        ("EmailAddress", "李明@例え.jp", None),
        ("EmailAddress", "bret.lee.example.com", ProblemKind.NOT_AN_EMAIL),
        ("EmailAddress", "a@b.c;d@e.f", ProblemKind.NOT_AN_EMAIL),
        ("EmailAddress", "bret lee@example.com", ProblemKind.NOT_AN_EMAIL),
        ("EmailAddress", "@example.com", ProblemKind.NOT_AN_EMAIL),
        ("EmailAddress", "bret@", ProblemKind.NOT_AN_EMAIL),
        ("EmailAddress", f"{'x' * 40}@example.com", ProblemKind.TOO_LONG),
        ("EmailAddress", 5, ProblemKind.NOT_AN_EMAIL),
        ("Source", "Web", None),
        ("Source", Stage.WEB, None),
        ("Source", " Web ", None),
        ("Source", Stage.FAX, ProblemKind.NO_OPTION),
        ("Source", "web", ProblemKind.NO_OPTION),
        ("Source", "Web;Trade Fair", ProblemKind.NO_OPTION),
        ("mx_Interests", "Golf; Chess;", None),
        ("mx_Interests", "Golf;Chess;Poker", ProblemKind.NO_OPTION),
        ("mx_Interests", "Golf,Chess", ProblemKind.NO_OPTION),
        ("mx_Plan", "Gold", None),
        ("mx_Plan", "Gold ", None),
        ("mx_Plan", "Go ld", ProblemKind.NO_OPTION),
        ("mx_Heard_Of_Us", "from the radio", None),
        ("LeadType", "OT_2", ProblemKind.NO_OPTION),
        ("DoNotCall", True, None),
        ("DoNotCall", 1, None),
        ("DoNotCall", "FALSE", None),
        ("DoNotCall", "No", None),
        ("DoNotCall", "never", ProblemKind.NOT_A_BOOLEAN),
        ("DoNotCall", 2, ProblemKind.NOT_A_BOOLEAN),
        ("mx_Budget", 5, None),
        ("mx_Budget", -0.5, None),
        ("mx_Budget", Decimal("1E+3"), None),
        ("mx_Budget", " 12.50 ", None),
        ("mx_Budget", "1,000", ProblemKind.NOT_A_NUMBER),
        ("mx_Budget", "5 lakh", ProblemKind.NOT_A_NUMBER),
        ("mx_Budget", "nan", ProblemKind.NOT_A_NUMBER),
        ("mx_Budget", "٣", ProblemKind.NOT_A_NUMBER),
        ("mx_Budget", True, ProblemKind.NOT_A_NUMBER),
        ("mx_Visit", "2024-02-29", None),
        ("mx_Visit", "2024-02-29 23:59:59", None),
        ("mx_Visit", " 2024-02-29\n", None),
        ("mx_Visit", date(2024, 2, 29), None),
        ("mx_Visit", "2023-02-29", ProblemKind.NOT_A_DATE),
        ("mx_Visit", "2024-02-29T23:59:59Z", ProblemKind.NOT_A_DATE),
        ("mx_Visit", "2024-02-29 24:00:00", ProblemKind.NOT_A_DATE),
        ("mx_Visit", "29/02/2024", ProblemKind.NOT_A_DATE),
        ("mx_Visit", "2024-W09-4", ProblemKind.NOT_A_DATE),
        ("mx_Visit", "18:30:00", ProblemKind.NOT_A_DATE),
        ("mx_Visit", 20240229, ProblemKind.NOT_A_DATE),
        ("mx_Call_At", "2024-02-29 18:30:00", None),
        ("mx_Call_At", "18:30", None),
        ("mx_Call_At", "at six", ProblemKind.NOT_A_DATE),
        ("mx_KYC", {"Status": "Pending", "anything": 5}, None),
        ("mx_Budget", {"Status": "Pending"}, None),
        # what clears or is left out, and what `encode` refuses in its own words
        ("mx_Budget", "", None),
        ("mx_Visit", "  ", None),
        ("mx_Visit", None, None),
        ("mx_Visit", datetime(2024, 2, 29), None),  # noqa: DTZ001
        ("mx_Budget", float("nan"), None),
        ("Source", ["Web"], None),
        ("Source", b"Web", None),
    ],
)
def test_one_value(name: str, value: Any, problem: ProblemKind | None) -> None:
    """Each data type has its rule; in doubt there is no flaw."""
    assert problem_of(name, value) is problem


@pytest.mark.parametrize(
    "others",
    [
        {"DataType": "Novel"},
        {"DataType": None},
        {"DataType": "Text", "MaxLength": "a few"},
        {"DataType": "Select", "Options": None},
        {"DataType": "Select", "Options": [{"Value": {}}, {"Value": "a"}]},
        {"DataType": "Select", "Options": [{"Value": "a"}], "RenderTypeTextValue": "ComboBox"},
        {"DataType": "Select", "Options": [{"Value": "a; b"}, {"Value": "c"}], "AllowMultiple": True},
        {"IsMandatory": "perhaps"},
    ],
)
def test_unreadable_metadata_finds_nothing(others: dict[str, Any]) -> None:
    """What cannot be understood of a field is not held against a lead."""
    account = checker({"SchemaName": "mx_A", **others}, PHONE)
    assert account.check({"mx_A": "anything at all"}) == ()
    assert account.check({"Phone": "9988776655"}) == ()


def test_data_types_are_compared_without_case() -> None:
    """As are all words of the metadata."""
    account = checker({**entry("mx_A", "NUMBER"), "IsMandatory": "TRUE"})
    assert [flaw.kind for flaw in account.check({"mx_A": "x"})] == [ProblemKind.NOT_A_NUMBER]
    assert [flaw.kind for flaw in account.check({})] == [ProblemKind.MISSING]


def test_all_flaws_in_order() -> None:
    """Those of the lead in its order, then what it lacks."""
    lead = {"mx_Ctiy": "x", "Source": "Fax", "DoNotCall": "never", "mx_Zip": 5, "FirstName": "Bret"}
    assert problems(lead) == [
        ("mx_Ctiy", ProblemKind.UNKNOWN),
        ("Source", ProblemKind.NO_OPTION),
        ("DoNotCall", ProblemKind.NOT_A_BOOLEAN),
        ("mx_Zip", ProblemKind.UNKNOWN),
        ("LastName", ProblemKind.MISSING),
    ]


@pytest.mark.parametrize("lead", [{}, {"LastName": None}, {"LastName": ""}, {"FirstName": "Bret"}])
def test_a_mandatory_field(lead: dict[str, Any]) -> None:
    """It is asked for in a new lead only; an empty string is no value."""
    assert problems(lead) == [("LastName", ProblemKind.MISSING)]
    assert problems(lead, partial=True) == []


@pytest.mark.parametrize("said", [{"ProspectID": UUID(int=5)}, {" SearchBy": "mx_City"}])
def test_a_lead_that_may_be_there_lacks_nothing(said: dict[str, Any]) -> None:
    """Only LeadSquared knows whether it finds what it is told to look for; by an e-mail address it always
    looks."""
    assert problems({"mx_City": "Pune", **said}) == []
    assert problems({"mx_City": "Pune", **dict.fromkeys(said)}) == [("LastName", ProblemKind.MISSING)]
    assert problems({"EmailAddress": "b@example.com"}) == [("LastName", ProblemKind.MISSING)]


def test_what_leadsquared_fills_in_is_not_missing() -> None:
    """Mandatory fields with a default, and those of the lead's own record, are never asked of the caller."""
    filled = [entry(name, "Text", IsMandatory=True) for name in ("ProspectID", "OwnerId", "CreatedOn")]
    assert checker(LEAD_TYPE, *filled).check({}) == ()


def test_an_unknown_attribute() -> None:
    """It is named with what was probably meant; one that is None is not sent, SearchBy is no attribute."""
    lead = {"mx_Ctiy": "Pune", "mx_Nothing_Like_It": 5, "mx_Gone": None, "SearchBy": "Phone", 5: "five"}
    lead |= {" mx_City ": "Pune", "Phone": "9988776655"}
    city, other = ACCOUNT.check(lead, partial=True)
    assert (city.attribute, city.kind, city.suggestion) == ("mx_Ctiy", ProblemKind.UNKNOWN, "mx_City")
    assert city.message == (
        "mx_Ctiy: this account has no such field (did you mean mx_City?), so LeadSquared would reject the "
        "lead."
    )
    assert (other.attribute, other.suggestion) == ("mx_Nothing_Like_It", None)
    assert "Settings > Leads > Lead Fields" in other.message
    assert ACCOUNT.unknown(lead) == {name: name for name in ("mx_Ctiy", "mx_Nothing_Like_It")}


def test_identifiers_are_always_known() -> None:
    """LeadSquared matches by them on every account, whatever its metadata lists."""
    lead = {"ProspectID": "x", "EmailAddress": "no address", "Phone": "x" * 99}
    flaws = checker(entry("mx_A", "Text")).check(lead)
    assert [flaw.kind for flaw in flaws] == [ProblemKind.NOT_AN_EMAIL, ProblemKind.NOT_A_PHONE]


def test_without_fields_nothing_is_found() -> None:
    """Metadata that came back empty does not make every lead a bad one."""
    assert FieldChecker(()).check(LEAD) == ()
    assert FieldChecker(()).unknown(LEAD) == {}
    assert FieldChecker(()).nearest("mx_City") is None


def test_what_only_letter_case_tells_from_a_field() -> None:
    """Is told apart from what the account does not have; by what LeadSquared matches is known without it."""
    lead = {"emailaddress": "b@example.com", "MX_CITY": "Pune", "mx_Ctiy": "Pune", "mx_city": None}
    misspelt = ACCOUNT.misspelt(lead)
    assert [(flaw.attribute, flaw.suggestion) for flaw in misspelt] == [
        ("emailaddress", "EmailAddress"),
        ("MX_CITY", "mx_City"),
    ]
    assert set(misspelt) < set(ACCOUNT.check(lead, partial=True))
    small = checker(entry("mx_A", "Text"))
    names = {"prospectid": "ProspectID", "ProspectId": "ProspectID", "phone": "Phone", "searchBy": "SearchBy"}
    assert [flaw.suggestion for flaw in small.misspelt(names)] == [*names.values()]
    assert ACCOUNT.misspelt(LEAD) == small.misspelt({"mx_B": 1}) == ()


class Key(enum.StrEnum):
    CITY = "mx_City"
    BUDGET = "mx_Budget"
    WRONG = "mx_Citty"


class OldKey(str, enum.Enum):  # noqa: UP042 - its str() is not its value
    WRONG = "mx_Citty"


def test_names_may_be_enums() -> None:
    """As they may in a lead that is sent."""
    lead = {Key.CITY: "Pune", Key.BUDGET: "much", Key.WRONG: "x"}
    assert problems(lead, partial=True) == [
        ("mx_Budget", ProblemKind.NOT_A_NUMBER),
        ("mx_Citty", ProblemKind.UNKNOWN),
    ]
    assert ACCOUNT.check(lead, partial=True)[1].suggestion == "mx_City"
    twice = {**lead, OldKey.WRONG: "x"}
    assert ACCOUNT.unknown(twice) == dict.fromkeys((Key.WRONG, OldKey.WRONG), "mx_Citty")


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
    """Case, prefix, display names, a beginning and a typo are seen through; nothing near is None."""
    assert ACCOUNT.nearest(name) == nearest


def test_a_beginning_that_only_one_field_has() -> None:
    """It will do from four letters on."""
    account = checker(entry("EmailAddress", "Email", "Email Address"), entry("mx_Emil", "Text"))
    assert account.nearest("email") == "EmailAddress"


def test_the_prefix_tells_two_fields_apart() -> None:
    """Where a system field and a custom one differ in nothing else."""
    account = checker(entry("City", "Text"), entry("mx_City", "Text"))
    assert (account.nearest("CITY"), account.nearest("MX_CITY")) == ("City", "mx_City")


def test_a_schema_name_wins_over_a_display_name() -> None:
    """A field that is shown under another's name does not take its place."""
    account = checker(entry("mx_Old", "Text", "Company"), entry("Company", "Text", "Employer"))
    assert account.nearest("company") == "Company"
    assert account.nearest("employer") == "Company"


def test_the_same_wrong_name_costs_once() -> None:
    """A file with a wrong column is checked about as fast as one without."""
    account = FieldChecker(LeadField(f"mx_{number:04}_Something_Else") for number in range(1_000))
    account.nearest("mx_Somethin_Els")
    before = time.process_time()
    for _ in range(10_000):
        account.nearest("mx_Somethin_Els")
    assert time.process_time() - before < 1.0
    for number in range(1_200):
        account.nearest(str(number))
    assert len(account._names._found) <= 500


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FirstName", "x" * 21, "FirstName: longer than the field's 20 characters. Shorten it."),
        ("Phone", "98" * 7, "Phone: longer than the field's 10 digits. Give one whole number."),
        ("Source", "x", "Source: must be one of the field's options, spelled exactly: Web, Trade Fair."),
        (
            "mx_Interests",
            "x",
            (
                "mx_Interests: must be one of the field's options, spelled exactly: Golf, Chess. "
                "Join several with ;."
            ),
        ),
        (
            "mx_Visit",
            "x",
            "mx_Visit: not a date that LeadSquared reads. Write YYYY-MM-DD HH:MM:SS in UTC, or YYYY-MM-DD.",
        ),
        (
            "mx_Budget",
            "x",
            "mx_Budget: not a number. Write digits, with a point for decimals and no commas.",
        ),
        (
            "EmailAddress",
            "x",
            (
                "EmailAddress: not a single e-mail address such as bret.lee@example.com. "
                "Remove any text around it."
            ),
        ),
        (
            "Phone",
            "x",
            (
                "Phone: not a phone number (an optional +, 5 to 20 digits with separators, an optional "
                "extension). leadsquared_async.phone() removes invisible marks, and prefixes such as tel:"
            ),
        ),
        (
            "Phone",
            "NULL",
            "Phone: a placeholder: leads that share it would become one lead. Leave it out.",
        ),
        ("DoNotCall", "x", "DoNotCall: neither true nor false. Pass a bool."),
        # AllowMultiple alone does not say that there may be several
        ("LeadType", "x", "LeadType: must be one of the field's options, spelled exactly: OT_0, OT_1."),
    ],
)
def test_messages(name: str, value: str, message: str) -> None:
    """They name the attribute, what is wrong and the way out."""
    assert [flaw.message for flaw in ACCOUNT.check({name: value}, partial=True)] == [message]


def test_the_message_of_a_missing_field() -> None:
    """It names the field."""
    (flaw,) = ACCOUNT.check({})
    assert flaw.message == "LastName: mandatory in this account, and the lead has no value for it. Add one."
    assert flaw.suggestion is None


def test_few_options_are_named() -> None:
    """Ten of them, each on one line and cut, and how many there are besides."""
    options = ["a\nb\x1b[31m", "x" * 100, *(f"Option {number}" for number in range(40))]
    (flaw,) = checker(select("mx_A", *options)).check({"mx_A": "x"})
    shown = ", ".join(["a b[31m", f"{'x' * 60}…", *(f"Option {number}" for number in range(8))])
    assert flaw.message.endswith(f"spelled exactly: {shown} and 32 more.")


def test_no_message_holds_a_value() -> None:
    """Whatever is wrong with it, a lead's value stands in no flaw; nor does a key that may be one."""
    lead: dict[str, Any] = dict.fromkeys(ACCOUNT.fields, f"{SECRET}@{SECRET}@{'x' * 200}")
    lead |= {"mx_Nothing_Like_It": SECRET, "mx_Ctiy": SECRET, f"{SECRET}@example.com": "EmailAddress"}
    lead |= {"mx_KYC": {SECRET: SECRET}, "mx_Visit": [SECRET], "ProspectID": f"<{SECRET[:0]}null>"}
    flaws = ACCOUNT.check(lead)
    assert {flaw.kind for flaw in flaws} == {*ProblemKind} - {ProblemKind.MISSING}
    assert SECRET not in repr(flaws)
    assert f"attribute {len(lead)}" in {flaw.attribute for flaw in flaws}
    assert [*ACCOUNT.unknown(lead).values()] == ["mx_Nothing_Like_It", "mx_Ctiy", f"attribute {len(lead)}"]


def test_a_display_name_as_a_key_has_its_suggestion() -> None:
    """A name that is no schema name is not shown, and the field that it means is."""
    (flaw,) = ACCOUNT.check({"FirstName": "Bret", "E-mail": "b@example.com"}, partial=True)
    assert (flaw.attribute, flaw.suggestion) == ("attribute 2", "EmailAddress")
    assert "(did you mean EmailAddress?)" in flaw.message


def test_fields_and_flaws_are_plain_values() -> None:
    """They can be compared, hashed and sent to another process; the mapping of fields cannot be changed."""
    flaws = ACCOUNT.check({"mx_Ctiy": 5})
    values = (*ACCOUNT.fields.values(), *flaws)
    assert pickle.loads(pickle.dumps(values)) == values
    assert len(set(values)) == len(values)
    assert isinstance(flaws[0], FieldProblem)
    with pytest.raises(TypeError):
        ACCOUNT.fields["mx_City"] = ACCOUNT.fields["Phone"]  # type: ignore[index]


def test_the_first_of_two_entries_counts() -> None:
    """A name that the metadata lists twice is one field."""
    account = checker(entry("mx_A", "Text", MaxLength="5"), entry("mx_A", "Number"))
    assert account.check({"mx_A": "Pune"}) == ()
    assert len(account.fields) == 1


def test_a_lead_is_not_changed() -> None:
    """Checking only looks."""
    lead = dict(LEAD)
    ACCOUNT.check(lead)
    assert lead == LEAD


def test_hostile_values_take_no_time() -> None:
    """A megabyte in any field, or as a name, does not hold up the loop."""
    before = time.perf_counter()
    for value in ("9" * 10**6, "a@" * 500_000, ";" * 10**6, "1" * 999_999 + "x", " " * 10**6):
        ACCOUNT.check(dict.fromkeys([*ACCOUNT.fields, value], value))
    assert time.perf_counter() - before < 3.0

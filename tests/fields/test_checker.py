"""The problems of a lead, according to an account's metadata."""

from __future__ import annotations

import enum
import pickle
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from leadsquared_async.encoding import encode
from leadsquared_async.fields import FieldChecker, FieldProblem, ProblemKind
from leadsquared_async.submissions import capture_lead
from tests.fields.metadata import ACCOUNT, LEAD_TYPE, PHONE, checker, entry, select

SECRET = "zq-private-4711"

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


def problems(lead: dict[Any, Any], **options: Any) -> list[tuple[str, ProblemKind]]:
    return [(problem.attribute, problem.kind) for problem in ACCOUNT.check(lead, **options)]


def problem_of(name: str, value: Any) -> ProblemKind | None:
    found = ACCOUNT.check({name: value}, partial=True)
    assert len(found) <= 1
    return found[0].kind if found else None


def test_a_good_lead_has_no_problem() -> None:
    """A lead as callers pass it: strings, numbers, datetimes, flags, SearchBy."""
    assert encode(capture_lead(LEAD)).identified
    assert ACCOUNT.check(LEAD) == ()
    assert ACCOUNT.unknown(LEAD) == {}


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
    """Each data type has its rule; when it is ambiguous, the value is accepted."""
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
    """An unreadable property causes no problem."""
    account = checker({"SchemaName": "mx_A", **others}, PHONE)
    assert account.check({"mx_A": "anything at all"}) == ()
    assert account.check({"Phone": "9988776655"}) == ()


def test_data_types_are_compared_without_case() -> None:
    """So are all words of the metadata."""
    account = checker({**entry("mx_A", "NUMBER"), "IsMandatory": "TRUE"})
    assert [problem.kind for problem in account.check({"mx_A": "x"})] == [ProblemKind.NOT_A_NUMBER]
    assert [problem.kind for problem in account.check({})] == [ProblemKind.MISSING]


def test_all_problems_in_order() -> None:
    """Those of the attributes in their order, then the missing fields."""
    lead = {"mx_Ctiy": "x", "Source": "Fax", "DoNotCall": "never", "mx_Zip": 5, "FirstName": "Bret"}
    assert problems(lead) == [
        ("mx_Ctiy", ProblemKind.UNKNOWN),
        ("Source", ProblemKind.NO_OPTION),
        ("DoNotCall", ProblemKind.NOT_A_BOOLEAN),
        ("mx_Zip", ProblemKind.UNKNOWN),
        ("LastName", ProblemKind.MISSING),
    ]


@pytest.mark.parametrize(
    "first", [{"FirstName": None}, {"FirstName": ""}, {"SearchBy": "Phone"}, {"Notes": "x"}, {5: "five"}]
)
def test_an_attribute_without_a_rule_ends_no_check(first: dict[Any, Any]) -> None:
    """The attributes after it are checked."""
    assert problems({**first, "mx_Budget": "much"}, partial=True) == [("mx_Budget", ProblemKind.NOT_A_NUMBER)]


@pytest.mark.parametrize("lead", [{}, {"LastName": None}, {"LastName": ""}, {"FirstName": "Bret"}])
def test_a_mandatory_field(lead: dict[str, Any]) -> None:
    """Only a new lead needs it; an empty string is not a value."""
    assert problems(lead) == [("LastName", ProblemKind.MISSING)]
    assert problems(lead, partial=True) == []


@pytest.mark.parametrize("said", [{"ProspectID": UUID(int=5)}, {" SearchBy": "mx_City"}])
def test_a_lead_that_may_be_there_lacks_nothing(said: dict[str, Any]) -> None:
    """A lead with SearchBy may exist; an e-mail address alone says nothing, since LeadSquared always searches
    by it."""
    assert problems({"mx_City": "Pune", **said}) == []
    assert problems({"mx_City": "Pune", **dict.fromkeys(said)}) == [("LastName", ProblemKind.MISSING)]
    assert problems({"EmailAddress": "b@example.com"}) == [("LastName", ProblemKind.MISSING)]


def test_what_leadsquared_fills_in_is_not_missing() -> None:
    """Mandatory fields with a default, or that LeadSquared fills in, are never missing."""
    filled = [entry(name, "Text", IsMandatory=True) for name in ("ProspectID", "OwnerId", "CreatedOn")]
    assert checker(LEAD_TYPE, *filled).check({}) == ()


def test_an_unknown_attribute() -> None:
    """It is named with a suggestion; None values are not sent, and SearchBy is no attribute."""
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
    """LeadSquared matches by them in every account, whatever its metadata lists."""
    lead = {"ProspectID": "x", "EmailAddress": "no address", "Phone": "x" * 99}
    found = checker(entry("mx_A", "Text")).check(lead)
    assert [problem.kind for problem in found] == [ProblemKind.NOT_AN_EMAIL, ProblemKind.NOT_A_PHONE]


def test_without_fields_nothing_is_found() -> None:
    """Empty metadata does not make every lead invalid."""
    assert FieldChecker(()).check(LEAD) == ()
    assert FieldChecker(()).check({"Phone": "NULL"}, search_by="Phone") == ()
    assert FieldChecker(()).unknown(LEAD) == {}
    assert FieldChecker(()).nearest("mx_City") is None


def test_what_only_letter_case_tells_from_a_field() -> None:
    """A misspelt case differs from an unknown field; identifiers are known without metadata."""
    lead = {"emailaddress": "b@example.com", "MX_CITY": "Pune", "mx_Ctiy": "Pune", "mx_city": None}
    misspelt = ACCOUNT.misspelt(lead)
    assert [(problem.attribute, problem.suggestion) for problem in misspelt] == [
        ("emailaddress", "EmailAddress"),
        ("MX_CITY", "mx_City"),
    ]
    assert set(misspelt) < set(ACCOUNT.check(lead, partial=True))
    small = checker(entry("mx_A", "Text"))
    names = {"prospectid": "ProspectID", "ProspectId": "ProspectID", "phone": "Phone", "searchBy": "SearchBy"}
    assert [problem.suggestion for problem in small.misspelt(names)] == [*names.values()]
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
    ("name", "value", "message"),
    [
        ("FirstName", "x" * 21, "FirstName: longer than the field's 20 characters. Shorten it."),
        ("Phone", "98" * 7, "Phone: longer than the field's 10 digits. Pass a single number."),
        ("Source", "x", "Source: must be one of the field's options, spelled exactly: Web, Trade Fair."),
        (
            "mx_Interests",
            "x",
            (
                "mx_Interests: must be one of the field's options, spelled exactly: Golf, Chess. "
                "Separate several with ;."
            ),
        ),
        (
            "mx_Visit",
            "x",
            "mx_Visit: not a valid date. Use YYYY-MM-DD HH:MM:SS in UTC, or YYYY-MM-DD.",
        ),
        (
            "mx_Budget",
            "x",
            "mx_Budget: not a number. Use digits, with a point for decimals and no commas.",
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
    """They name the attribute, what is wrong and what to do."""
    assert [problem.message for problem in ACCOUNT.check({name: value}, partial=True)] == [message]


def test_the_message_of_a_missing_field() -> None:
    """It names the field."""
    (problem,) = ACCOUNT.check({})
    assert (
        problem.message == "LastName: mandatory in this account, and the lead has no value for it. Add one."
    )
    assert problem.suggestion is None


def test_few_options_are_named() -> None:
    """Ten options are named, each on one line and truncated, then the number of others."""
    options = ["a\nb\x1b[31m", "x" * 100, *(f"Option {number}" for number in range(40))]
    (problem,) = checker(select("mx_A", *options)).check({"mx_A": "x"})
    shown = ", ".join(["a b[31m", f"{'x' * 60}…", *(f"Option {number}" for number in range(8))])
    assert problem.message.endswith(f"spelled exactly: {shown} and 32 more.")


@pytest.mark.parametrize(("length", "shown"), [(60, "x" * 60), (61, f"{'x' * 60}…")])
def test_an_option_is_shown_up_to_60_characters(length: int, shown: str) -> None:
    """Of a longer one the beginning; ten options are all named."""
    options = ["x" * length, *(f"Option {number}" for number in range(9))]
    (problem,) = checker(select("mx_A", *options)).check({"mx_A": "x"})
    assert problem.message.endswith(f"spelled exactly: {', '.join([shown, *options[1:]])}.")


def test_no_message_holds_a_value() -> None:
    """No problem shows a value of the lead, nor a key that may be personal."""
    lead: dict[str, Any] = dict.fromkeys(ACCOUNT.fields, f"{SECRET}@{SECRET}@{'x' * 200}")
    lead |= {"mx_Nothing_Like_It": SECRET, "mx_Ctiy": SECRET, f"{SECRET}@example.com": "EmailAddress"}
    lead |= {"mx_KYC": {SECRET: SECRET}, "mx_Visit": [SECRET], "ProspectID": f"<{SECRET[:0]}null>"}
    found = ACCOUNT.check(lead)
    assert {problem.kind for problem in found} == {*ProblemKind} - {ProblemKind.MISSING}
    assert SECRET not in repr(found)
    assert f"attribute {len(lead)}" in {problem.attribute for problem in found}
    assert [*ACCOUNT.unknown(lead).values()] == ["mx_Nothing_Like_It", "mx_Ctiy", f"attribute {len(lead)}"]


def test_a_display_name_as_a_key_has_its_suggestion() -> None:
    """A name that is no schema name is not shown; the field that it means is."""
    (problem,) = ACCOUNT.check({"FirstName": "Bret", "E-mail": "b@example.com"}, partial=True)
    assert (problem.attribute, problem.suggestion) == ("attribute 2", "EmailAddress")
    assert "(did you mean EmailAddress?)" in problem.message


def test_fields_and_problems_are_plain_values() -> None:
    """They can be compared, hashed and sent to another process; the mapping of fields cannot be changed."""
    found = ACCOUNT.check({"mx_Ctiy": 5})
    values = (*ACCOUNT.fields.values(), *found)
    assert pickle.loads(pickle.dumps(values)) == values
    assert len(set(values)) == len(values)
    assert isinstance(found[0], FieldProblem)
    with pytest.raises(TypeError):
        ACCOUNT.fields["mx_City"] = ACCOUNT.fields["Phone"]  # type: ignore[index]


def test_the_first_of_two_entries_counts() -> None:
    """A name that the metadata lists twice is one field."""
    account = checker(entry("mx_A", "Text", MaxLength="5"), entry("mx_A", "Number"))
    assert account.check({"mx_A": "Pune"}) == ()
    assert len(account.fields) == 1


def test_a_lead_is_not_changed() -> None:
    """A check changes nothing."""
    lead = dict(LEAD)
    ACCOUNT.check(lead)
    assert lead == LEAD


@pytest.mark.parametrize("name", ["EmailAddress", "Phone", "FirstName"])
def test_a_placeholder_that_the_lead_is_searched_by_is_one_problem(name: str) -> None:
    """Whether the rule of the field has found it already or not."""
    found = problems({"LastName": "Lee", name: "NULL"}, search_by=name, partial=True)
    assert [attribute for attribute, _ in found] == [name]


def test_a_field_called_search_by_is_no_attribute() -> None:
    """Its value names a field, whatever the metadata says of it."""
    account = checker(entry("SearchBy", "Number"), entry("mx_A", "Text", IsMandatory=True))
    assert account.check({"SearchBy": "mx_A"}) == ()


def test_the_field_of_search_by_holds_no_placeholder() -> None:
    """The argument goes before the lead's own SearchBy."""
    lead = {"SearchBy": "FirstName", "FirstName": "NULL", "mx_City": "n/a"}
    assert problems(lead) == [("FirstName", ProblemKind.PLACEHOLDER)]
    assert problems(lead, search_by="mx_City") == [("mx_City", ProblemKind.PLACEHOLDER)]
    assert problems({"LastName": "Lee", "FirstName": "NULL"}) == []


def test_hostile_values_take_no_time() -> None:
    """A megabyte in any field, or as a name, does not block the loop."""
    before = time.process_time()
    for value in ("9" * 10**6, "a@" * 500_000, ";" * 10**6, "1" * 999_999 + "x", " " * 10**6):
        ACCOUNT.check(dict.fromkeys([*ACCOUNT.fields, value], value))
    assert time.process_time() - before < 3.0

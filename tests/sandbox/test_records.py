"""What an account stores: the rules of Lead.Capture and of unique fields, one row each."""

import json
from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async.sandbox import Account, Lead, Request
from leadsquared_async.sandbox.answers import ApplicationError
from leadsquared_async.sandbox.records import Records

from .calls import KEYS, bulk_request, content, row, submission, task_status
from .documented import ACTIVITY, OPPORTUNITY

OLD = "aaaaaaaa-0000-4000-8000-000000000001"
NEW = "bbbbbbbb-0000-4000-8000-000000000002"
STORED = {"ProspectID": OLD, "EmailAddress": "a@b.c", "Phone": "1", "mx_Unique": "u", "Mobile": "7"}


def make_store() -> Records:
    """A store whose ids count up."""
    ids = count(1)
    return Records(lambda: f"id-{next(ids)}")


MATCHES = {
    "no identity: always new": ({"FirstName": "B"}, ""),
    "the id alone": ({"ProspectID": OLD}, "ProspectID"),
    "the id in capitals": ({"ProspectID": OLD.upper()}, "ProspectID"),
    "the id, e-mail equal": ({"ProspectID": OLD, "EmailAddress": "a@b.c"}, "ProspectID"),
    "the id, e-mail differs": ({"ProspectID": OLD, "EmailAddress": "x@y.z"}, ""),
    "the id, phone differs": ({"ProspectID": OLD, "Phone": "2"}, "ProspectID"),
    "an unknown id": ({"ProspectID": NEW}, ""),
    "an unknown id, e-mail matches": ({"ProspectID": NEW, "EmailAddress": "a@b.c"}, "EmailAddress"),
    "an unknown id, phone matches": ({"ProspectID": NEW, "Phone": "1"}, "Phone"),
    "e-mail matches": ({"EmailAddress": "a@b.c"}, "EmailAddress"),
    "e-mail matches in another case": ({"EmailAddress": "A@B.C"}, "EmailAddress"),
    "e-mail matches, phone differs": ({"EmailAddress": "a@b.c", "Phone": "2"}, "EmailAddress"),
    "phone matches": ({"Phone": "1"}, "Phone"),
    "phone matches, e-mail differs": ({"EmailAddress": "x@y.z", "Phone": "1"}, "Phone"),
    "nothing matches": ({"EmailAddress": "x@y.z", "Phone": "2"}, ""),
    "an empty e-mail is none": ({"EmailAddress": "", "FirstName": "B"}, ""),
    "SearchBy a unique field": ({"mx_Unique": "u", "SearchBy": "mx_Unique"}, "mx_Unique"),
    "SearchBy a unique field that matches nothing": ({"mx_Unique": "v", "SearchBy": "mx_Unique"}, ""),
    "SearchBy Mobile": ({"Mobile": "7", "SearchBy": "Mobile"}, "Mobile"),
    "SearchBy the id": ({"ProspectID": OLD, "EmailAddress": "x@y.z", "SearchBy": "ProspectId"}, "ProspectID"),
    "SearchBy first": ({"EmailAddress": "x@y.z", "Phone": "1", "SearchBy": "Phone"}, "Phone"),
    "then the others": ({"EmailAddress": "a@b.c", "Phone": "2", "SearchBy": "Phone"}, "EmailAddress"),
    "SearchBy ignored beside all three": (
        {"ProspectID": OLD, "EmailAddress": "x@y.z", "Phone": "1", "SearchBy": "Phone"},
        "",
    ),
}


@pytest.mark.parametrize(("passed", "matched_by"), MATCHES.values(), ids=MATCHES.keys())
def test_which_lead_a_capture_matches(passed: dict[str, str], matched_by: str):
    """A capture updates the lead that it matches, or creates one; the match is named."""
    store = make_store()
    store.capture(dict(STORED), None, 0.0)
    captured = store.capture(passed, None, 1.0)
    created = not matched_by
    assert (captured.message["IsCreated"], captured.matched_by) == (created, matched_by)
    assert captured.message["RelatedId"] == captured.lead_id
    assert (captured.lead_id == OLD) is not created
    assert len(store.leads) == 1 + created


def test_the_id_of_an_anonymous_visitor_is_kept():
    """A ProspectID that no lead has yet becomes the new lead's id."""
    store = make_store()
    assert store.capture({"ProspectID": NEW, "FirstName": "B"}, None, 0.0).message["RelatedId"] == NEW
    assert store.leads[NEW].attributes["ProspectID"] == NEW


def test_of_several_matches_the_oldest_is_updated():
    """Two leads may share an e-mail address after one was created by id."""
    store = make_store()
    store.capture(dict(STORED), None, 0.0)
    store.capture({"ProspectID": OLD, "EmailAddress": "x@y.z"}, None, 0.0)
    store.capture({"ProspectID": OLD, "EmailAddress": "x@y.z"}, None, 0.0)
    assert len(store.leads) == 3
    assert store.capture({"EmailAddress": "x@y.z"}, None, 0.0).message["RelatedId"] == list(store.leads)[1]


def test_a_lead_is_found_by_its_new_value_only():
    """An update changes the index."""
    store = make_store()
    store.capture(dict(STORED), None, 0.0)
    store.capture({"EmailAddress": "a@b.c", "Phone": "2"}, None, 0.0)
    assert store.capture({"Phone": "2"}, None, 0.0).message["IsCreated"] is False
    assert store.capture({"Phone": "1"}, None, 0.0).message["IsCreated"] is True


def test_phone_numbers_match_exactly():
    """Another spelling is another number; whether LeadSquared compares the digits is not documented."""
    store = make_store()
    store.capture({"Phone": "+91-9988776655"}, None, 0.0)
    for phone, created in (("+91-9988776655", False), ("919988776655", True)):
        assert store.capture({"Phone": phone}, None, 0.0).message["IsCreated"] is created


def test_every_capture_posts_an_activity():
    """A repeated capture posts another activity on the same lead."""
    store = make_store()
    first = store.capture({"EmailAddress": "a@b.c"}, None, 1.0)
    second = store.capture({"EmailAddress": "a@b.c"}, None, 2.0)
    (lead,) = store.leads.values()
    assert [(activity.event, activity.id, activity.at) for activity in lead.activities] == [
        ("Lead Capture", first.message["Id"], 1.0),
        ("Lead Capture", second.message["Id"], 2.0),
    ]


@pytest.mark.parametrize(
    ("behavior", "after"),
    [
        (None, {"FirstName": "New", "LastName": "New", "Phone": "2"}),
        ("DoNotUpdate", {"FirstName": "Old", "LastName": "", "Phone": "1"}),
        ("UpdateOnlyEmptyFields", {"FirstName": "Old", "LastName": "New", "Phone": "1"}),
        ("DoNotUpdateUniqueFields", {"FirstName": "New", "LastName": "New", "Phone": "1"}),
    ],
)
def test_what_an_update_changes(behavior: str | None, after: dict[str, str]):
    """LeadUpdateBehavior decides; without it exactly the passed values change."""
    store = make_store()
    store.capture({"EmailAddress": "a@b.c", "FirstName": "Old", "LastName": "", "Phone": "1"}, None, 0.0)
    passed = {"EmailAddress": "a@b.c", "FirstName": "New", "LastName": "New", "Phone": "2"}
    assert store.capture(passed, behavior, 0.0).message["IsCreated"] is False
    (lead,) = store.leads.values()
    assert lead.attributes == {"EmailAddress": "a@b.c", "ProspectID": lead.id, **after}
    assert len(lead.activities) == 2


@pytest.mark.parametrize(
    ("passed", "behavior", "message"),
    [
        ({"Phone": "1", "SearchBy": "FirstName"}, None, "Invalid SearchBy value provided"),
        ({"Phone": "1", "SearchBy": ""}, None, "Invalid SearchBy value provided"),
        ({"Phone": "1", "SearchBy": "EmailAddress"}, None, "Invalid SearchBy value provided"),
        ({"ProspectID": OLD, "SearchBy": "ProspectID"}, None, "Invalid SearchBy value provided"),
        ({"Phone": "1"}, "Overwrite", "Invalid LeadUpdateBehavior value provided"),
    ],
)
def test_an_invalid_search_by_or_behavior_fails(passed: dict[str, str], behavior: str | None, message: str):
    """SearchBy names a passed, searchable field; for the id it is spelt ProspectId."""
    with pytest.raises(ApplicationError) as caught:
        make_store().capture(passed, behavior, 0.0)
    assert caught.value.exception_type == "MXInvalidInputException"
    assert caught.value.exception_message == message


def test_unknown_attributes_are_named_in_one_sentence():
    """All are named in order; ProspectID, SearchBy and the entries of a field set always exist."""
    store = Records(lambda: "1", ["EmailAddress", "mx_KYC"])
    passed = {
        "mx_B": "1",
        "EmailAddress": "a@b.c",
        "SearchBy": "EmailAddress",
        "ProspectID": OLD,
        "mx_KYC": "",
        "mx_KYC.Status": "",
        "a": "",
    }
    with pytest.raises(ApplicationError) as caught:
        store.capture(passed, None, 0.0)
    assert caught.value.exception_type == "MXUnknownAttributeException"
    assert caught.value.exception_message == "Attribute(s) does not exist - mx_B, a."
    assert store.leads == {}


def test_a_new_lead_needs_its_mandatory_attributes():
    """An empty value is missing; an existing lead needs none of them."""
    store = Records(lambda: "id", mandatory={"LastName", "FirstName"})
    for passed, missing in (
        ({"Phone": "1"}, "FirstName, LastName"),
        ({"Phone": "1", "FirstName": "B", "LastName": ""}, "LastName"),
    ):
        with pytest.raises(ApplicationError) as caught:
            store.capture(passed, None, 0.0)
        assert caught.value.exception_type == "MXMandatoryAttributeMissingException"
        assert caught.value.exception_message == f"Mandatory attribute(s) missing - {missing}."
    assert store.leads == {}
    store.capture({"Phone": "1", "FirstName": "B", "LastName": "L"}, None, 0.0)
    assert store.capture({"Phone": "1"}, None, 0.0).message["IsCreated"] is False


A = {"EmailAddress": "a@b.c", "Phone": "1", "mx_Number": "n1", "FirstName": "Anna"}
B = {"EmailAddress": "x@y.z", "Phone": "2", "mx_Number": "n2", "FirstName": "Bret"}
DUPLICATE = "MXDuplicateEntryException: A Lead with same {} already exists."


def account_of_two(**options: Any) -> tuple[Account, Lead, Lead]:
    """An account that holds A and B."""
    account = Account(limit=None, bulk_limit=None, **options)
    account.decide(bulk_request([row(**A), row(**B)]), 0.0)
    first, second = account.records.leads.values()
    return account, first, second


def reason(account: Account, request: Request, status_path: str) -> str | None:
    """Why processing refused a submission; None if it did not."""
    request_id = content(account.decide(request, 0.0))["RequestID"]
    status = task_status(account, request_id, 100.0, status_path)
    assert (status["Status"] == "FAILURE") == bool(status["StatusReason"])
    return status["StatusReason"] or None


def capture(account: Account, behavior: str = "", **lead: str) -> str | None:
    """Why a capture was refused."""
    query = f"{KEYS}&LeadUpdateBehavior={behavior}"
    return reason(account, submission("/lead/capture", row(**lead), query), "/lead/status")


def update(account: Account, lead: Lead, **values: str) -> str | None:
    """Why an update was refused."""
    query = f"{KEYS}&leadId={lead.id}"
    return reason(account, submission("/lead/update", row(**values), query), "/lead/update/status")


def update_first(account: Account, **values: str) -> str | None:
    """Why an update of the first lead was refused."""
    return update(account, next(iter(account.records.leads.values())), **values)


def bulk(account: Account, **lead: str) -> str | None:
    """Why a row of a bulk call was refused."""
    (answered,) = content(account.decide(bulk_request([row(**lead)]), 0.0))
    if "ExceptionType" not in answered:
        return None
    assert answered["LeadId"] is None
    return f"{answered['ExceptionType']}: {answered['ErrorMessage']}"


def with_activity(account: Account, **lead: str) -> str | None:
    """Why a lead with its activity was refused."""
    body = {"LeadDetails": row(**lead), "Activity": ACTIVITY}
    path = "/activity/createcustom"
    return reason(account, submission(path, body), f"{path}/status")


def with_opportunity(account: Account, **lead: str) -> str | None:
    """Why a lead with its opportunity was refused."""
    body = {"LeadDetails": row(**lead), "Opportunity": OPPORTUNITY}
    path = "/opportunity/capture"
    return reason(account, submission(path, body), f"{path}/status")


MIXED = {"EmailAddress": A["EmailAddress"], "Phone": B["Phone"]}
BY_EMAIL, BY_PHONE = {"SearchBy": "EmailAddress"}, {"SearchBy": "Phone"}


@pytest.mark.parametrize(
    ("call", "lead", "display"),
    [
        (update_first, {"EmailAddress": "x@y.z"}, "Email"),
        (update_first, {"EmailAddress": "X@Y.Z"}, "Email"),
        (update_first, {"Phone": "2", "FirstName": "C"}, "Phone Number"),
        (capture, MIXED, "Phone Number"),
        (capture, MIXED | BY_EMAIL, "Phone Number"),
        (capture, MIXED | BY_PHONE, "Email"),
        (capture, {"ProspectID": "{a}", "Phone": "2"}, "Phone Number"),
        (capture, {"ProspectID": "{a}", "EmailAddress": "x@y.z"}, "Email"),
        (capture, {"ProspectID": "{a}", "EmailAddress": "new@y.z", "Phone": "1"}, "Phone Number"),
        (bulk, MIXED, "Phone Number"),
        (bulk, MIXED | BY_PHONE, "Email"),
        (with_activity, MIXED | BY_EMAIL, "Phone Number"),
        (with_activity, MIXED | BY_PHONE, "Email"),
        (with_opportunity, MIXED | BY_EMAIL, "Phone Number"),
        (with_opportunity, MIXED | BY_PHONE, "Email"),
    ],
)
def test_the_value_of_another_lead_is_refused(call: Any, lead: Mapping[str, str], display: str):
    """The request fails with LeadSquared's words, and nothing of it is stored."""
    account, first, second = account_of_two()
    lead = {name: first.id if value == "{a}" else value for name, value in lead.items()}
    before = [dict(lead.attributes) for lead in (first, second)]
    assert call(account, **lead, mx_Note="new") == DUPLICATE.format(display)
    assert list(account.records.leads.values()) == [first, second]
    assert [lead.attributes for lead in (first, second)] == before
    assert first.activities == second.activities == []
    assert not account.records.opportunities


@pytest.mark.parametrize(
    ("behavior", "lead"),
    [
        ("DoNotUpdateUniqueFields", MIXED),
        ("DoNotUpdateUniqueFields", MIXED | BY_PHONE),
        ("UpdateOnlyEmptyFields", MIXED),
        ("DoNotUpdate", MIXED),
    ],
)
def test_a_behavior_that_keeps_the_field_avoids_the_duplicate(behavior: str, lead: dict[str, str]):
    """SearchBy selects one of the two leads, and the behavior keeps its e-mail address and phone."""
    account, first, second = account_of_two()
    assert capture(account, behavior, **lead, mx_Note="new") is None
    found, other = (second, first) if "SearchBy" in lead else (first, second)
    assert found.attributes.get("mx_Note") == (None if behavior == "DoNotUpdate" else "new")
    assert "mx_Note" not in other.attributes
    assert (first.attributes["Phone"], second.attributes["EmailAddress"]) == ("1", "x@y.z")


def test_a_lead_keeps_and_frees_its_own_values():
    """A lead may repeat its own value; a released value is free; an empty one is never a duplicate."""
    account, first, second = account_of_two()
    assert capture(account, **A) is None
    assert update(account, first, EmailAddress="A@B.C", Phone="") is None
    assert update(account, second, Phone="1") is None
    assert update(account, second, Phone="") is None
    assert capture(account, EmailAddress="c@d.e", Phone="1") is None
    assert len(account.records.leads) == 3


def test_custom_fields_may_be_unique():
    """The error shows the display name, if the account has one."""
    account, first, _ = account_of_two(unique=["mx_Number", "mx_WhatsApp"])
    assert capture(account, EmailAddress="a@b.c", mx_Number="n2") == DUPLICATE.format("Number")
    assert capture(account, EmailAddress="c@d.e", mx_Number="n2") == DUPLICATE.format("Number")
    assert update(account, first, mx_WhatsApp="7") is None
    assert bulk(account, FirstName="C", mx_WhatsApp="7") == DUPLICATE.format("WhatsApp Number")
    assert capture(account, **MIXED) is None
    behavior = "DoNotUpdateUniqueFields"
    assert capture(account, behavior, EmailAddress="a@b.c", mx_Number="n2", mx_Note="new") is None
    assert (first.attributes["mx_Number"], first.attributes["mx_Note"]) == ("n1", "new")


def test_unique_fields_can_be_switched_off():
    """Without unique fields two leads may have one phone number."""
    account, first, second = account_of_two(unique=())
    assert capture(account, **MIXED) is None
    assert first.attributes["Phone"] == second.attributes["Phone"] == "2"


VALUES = {
    "EmailAddress": ["", "a@b.c", "A@b.c", "x@y.z", "n@o.p"],
    "Phone": ["", "1", "2", "3"],
    "mx_Number": ["", "n1", "n2", "n3"],
    "FirstName": ["Anna", "Bret"],
    "SearchBy": ["EmailAddress", "Phone", "mx_Number", "ProspectId"],
    "ProspectID": ["first", "aaaaaaaa-0000-4000-8000-000000000001"],
}
some_leads = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in VALUES.items()}
)
some_calls = st.tuples(
    st.sampled_from(["capture", "update", "bulk", "activity", "opportunity"]),
    st.sampled_from(["", "DoNotUpdate", "UpdateOnlyEmptyFields", "DoNotUpdateUniqueFields"]),
    some_leads,
)


def _request(account: Account, call: str, behavior: str, lead: dict[str, str]) -> Request:
    first = next(iter(account.records.leads), "aaaaaaaa-0000-4000-8000-000000000002")
    pairs = row(**{name: first if value == "first" else value for name, value in lead.items()})
    match call:
        case "update":
            return submission("/lead/update", pairs, f"{KEYS}&leadId={first}")
        case "bulk":
            return bulk_request([pairs, row(EmailAddress="n@o.p", Phone="3"), pairs])
        case "activity":
            return submission("/activity/createcustom", {"LeadDetails": pairs, "Activity": ACTIVITY})
        case "opportunity":
            body = {"LeadDetails": pairs, "Opportunity": OPPORTUNITY}
            return submission("/opportunity/capture", body)
        case _:
            return submission("/lead/capture", pairs, f"{KEYS}&LeadUpdateBehavior={behavior}")


@settings(database=None, deadline=None, max_examples=150)
@given(
    st.lists(some_calls, min_size=3, max_size=12),
    st.sampled_from([("EmailAddress", "Phone"), ("EmailAddress", "Phone", "mx_Number"), ("mx_Number",)]),
)
def test_no_two_leads_ever_share_a_unique_value(
    calls: list[tuple[str, str, dict[str, str]]], unique: tuple[str, ...]
):
    """It holds after any calls, accepted or refused."""
    account = Account(limit=None, bulk_limit=None, unique=unique)
    for now, (call, behavior, lead) in enumerate(calls):
        reply = account.decide(_request(account, call, behavior, lead), now)
        assert reply.status in {200, 400}, json.loads(reply.body)
        account.advance(now + 0.9)
        for name in unique:
            values = [found.attributes.get(name, "").casefold() for found in account.records.leads.values()]
            held = list(filter(None, values))
            assert len(set(held)) == len(held), (name, held)

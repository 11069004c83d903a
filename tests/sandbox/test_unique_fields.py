"""Unique fields: no two leads share a value of one, whichever call would bring that about."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async.sandbox import Account, Lead, Request

from .calls import KEYS, bulk_request, content, row, submission, task_status
from .documented import ACTIVITY, OPPORTUNITY

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
    """With LeadSquared's words, and nothing of the submission is kept."""
    account, first, second = account_of_two()
    lead = {name: first.id if value == "{a}" else value for name, value in lead.items()}
    before = [dict(lead.attributes) for lead in (first, second)]
    assert call(account, **lead, mx_Note="new") == DUPLICATE.format(display)
    assert list(account.records.leads.values()) == [first, second]
    assert [lead.attributes for lead in (first, second)] == before
    assert first.activities == second.activities == []
    assert not account.records.opportunities


@pytest.mark.parametrize(
    ("values", "display"),
    [
        ({"EmailAddress": "x@y.z"}, "Email"),
        ({"EmailAddress": "X@Y.Z"}, "Email"),
        ({"Phone": "2", "FirstName": "C"}, "Phone Number"),
    ],
)
def test_an_update_takes_no_value_of_another_lead(values: dict[str, str], display: str):
    """Not one of its values is changed then."""
    account, first, _ = account_of_two()
    before = dict(first.attributes)
    assert update(account, first, **values) == DUPLICATE.format(display)
    assert first.attributes == before
    assert first.posted_updates == 0


@pytest.mark.parametrize(
    ("behavior", "lead"),
    [
        ("DoNotUpdateUniqueFields", MIXED),
        ("DoNotUpdateUniqueFields", MIXED | BY_PHONE),
        ("UpdateOnlyEmptyFields", MIXED),
        ("DoNotUpdate", MIXED),
    ],
)
def test_what_leaves_the_field_alone_is_taken(behavior: str, lead: dict[str, str]):
    """SearchBy says which of the two leads is meant, and the behavior keeps its e-mail and phone."""
    account, first, second = account_of_two()
    assert capture(account, behavior, **lead, mx_Note="new") is None
    found, other = (second, first) if "SearchBy" in lead else (first, second)
    assert found.attributes.get("mx_Note") == (None if behavior == "DoNotUpdate" else "new")
    assert "mx_Note" not in other.attributes
    assert (first.attributes["Phone"], second.attributes["EmailAddress"]) == ("1", "x@y.z")


def test_a_lead_keeps_and_frees_its_own_values():
    """Its own value is no other lead's; one that it gives up is free; an empty one is nobody's."""
    account, first, second = account_of_two()
    assert capture(account, **A) is None
    assert update(account, first, EmailAddress="A@B.C", Phone="") is None
    assert update(account, second, Phone="1") is None
    assert update(account, second, Phone="") is None
    assert capture(account, EmailAddress="c@d.e", Phone="1") is None
    assert len(account.records.leads) == 3


def test_custom_fields_may_be_unique():
    """By their display name, where the account has one."""
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
    """Then two leads may hold one phone."""
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
    """After any calls, whether they were taken or refused."""
    account = Account(limit=None, bulk_limit=None, unique=unique)
    for now, (call, behavior, lead) in enumerate(calls):
        reply = account.decide(_request(account, call, behavior, lead), now)
        assert reply.status in {200, 400}, json.loads(reply.body)
        account.advance(now + 0.9)
        for name in unique:
            values = [found.attributes.get(name, "").casefold() for found in account.records.leads.values()]
            held = list(filter(None, values))
            assert len(set(held)) == len(held), (name, held)

"""The synchronous host: whose keys they are, the account's fields, and leads in bulk."""

import json
from dataclasses import replace
from typing import Any

import pytest

from leadsquared_async.sandbox import Account, Books, Faults, Request

from .calls import (
    ACCESS_KEY,
    API_KEY,
    BRET,
    FIELDS,
    KEYS,
    SECRET_KEY,
    USER,
    bulk_request,
    capture,
    capture_request,
    content,
    row,
    task_status,
)

KEY_HEADERS = {"x-LSQ-AccessKey": ACCESS_KEY, "x-LSQ-SecretKey": SECRET_KEY}


def fields(account: Account, query: str = "") -> list[dict[str, Any]]:
    reply = account.decide(Request("GET", FIELDS, f"{KEYS}{query}"), 0.0)
    assert reply.status == 200
    return json.loads(reply.body)


EVERY = [Request("GET", FIELDS), Request("GET", USER), bulk_request([row(Phone="1")], query="")]
CALLS = pytest.mark.parametrize("request_", EVERY, ids=["fields", "user", "bulk"])


@CALLS
def test_keys_go_in_the_query_or_in_headers(request_: Request):
    """Both are accepted; the x-api-key is neither needed nor misplaced."""
    account = Account(bulk_limit=None)
    headers = {**request_.headers, **KEY_HEADERS}
    for given in (
        replace(request_, query=KEYS),
        replace(request_, headers=headers),
        replace(request_, headers={**headers, "x-api-key": API_KEY}),
        replace(request_, query=KEYS, headers={**request_.headers, "x-api-key": "wrong"}),
    ):
        assert account.decide(given, 0.0).status == 200
    assert account.misplaced_keys == []


@CALLS
def test_wrong_keys_are_answered_401(request_: Request):
    """The answer is LeadSquared's."""
    account = Account(bulk_limit=None)
    for query in ("", "accessKey=1&secretKey=2", KEYS[:-1]):
        reply = account.decide(replace(request_, query=query), 0.0)
        assert reply.status == 401
        assert content(reply)["ExceptionType"] == "MXUnAuthorizedAccessException"
    assert account.records.leads == {}


def test_another_region_names_the_right_host():
    """UserByAccessKey.Get answers on any host, the other calls name the right one."""
    account = Account(faults=Faults(outage=(0, 10), outage_fault="401-region"), bulk_limit=None)
    for request in (Request("GET", FIELDS, KEYS), bulk_request([row(Phone="1")])):
        reply = account.decide(request, 0.0)
        assert reply.status == 401
        assert "use the host api-in21.leadsquared.com for" in content(reply)["ExceptionMessage"]
    assert b"asyncapi-in21.leadsquared.com" in account.decide(capture_request(BRET), 0.0).body
    assert account.decide(Request("GET", USER, KEYS), 0.0).status == 200
    assert account.records.leads == {}


def test_the_user_names_the_accounts_host():
    """The host has no scheme, as it has been seen."""
    user = content(Account().decide(Request("GET", USER, KEYS), 0.0))
    assert user["LSQCommonServiceURLs"]["api"] == "api-in21.leadsquared.com"
    assert user["Role"] == "Administrator"


def test_the_fields_of_a_realistic_account():
    """It has fields of every type; absent values have no key, and MaxLength is a string."""
    found = fields(Account())
    names = [field["SchemaName"] for field in found]
    assert names[:5] == ["ProspectID", "FirstName", "LastName", "EmailAddress", "Phone"]
    assert {"Source", "ProspectStage", "OwnerId", "Notes", "LeadType", "mx_City", "mx_Zip"} < set(names)
    assert len(names) == len(set(names)) == 60
    types = {"Text", "Number", "Email", "Phone", "Website", "Date", "Time", "Select", "Boolean"}
    assert {field["DataType"] for field in found} == types
    for field in found:
        assert {"SchemaName", "DisplayName", "DataType", "IsMandatory", "IsLeadIdentifier"} <= field.keys()
        assert isinstance(field.get("MaxLength", ""), str)
        assert ("Options" in field) is (field["DataType"] in {"Select", "Boolean"})
        assert all(isinstance(option["Value"], str) for option in field.get("Options", []))
    assert not any(field["IsMandatory"] for field in found)


@pytest.mark.parametrize(("asked", "had"), [(1, 42), (60, 60), (400, 400)])
def test_the_number_of_fields(asked: int, had: int):
    """The account is padded with custom fields; it never has fewer than 42."""
    names = [field["SchemaName"] for field in fields(Account(fields=asked))]
    assert len(names) == len(set(names)) == had


def test_drop_down_values_can_be_left_out():
    """`excludeOptionSets=1` changes nothing else."""
    account = Account()
    slim = [{**field} for field in fields(account, "&excludeOptionSets=1")]
    full = fields(account, "&excludeOptionSets=0")
    assert slim == [{key: value for key, value in field.items() if key != "Options"} for field in full]
    assert slim != full


def test_one_field_can_be_asked_for():
    """A field is found by its exact schema name; an unknown one gives an empty array."""
    account = Account()
    (city,) = fields(account, "&schemaName=mx_City")
    assert (city["SchemaName"], city["DataType"], city["MaxLength"]) == ("mx_City", "Text", "200")
    assert fields(account, "&schemaName=mx_city") == fields(account, "&schemaName=mx_Typo") == []


def test_the_fields_are_exactly_the_attributes():
    """Known fields keep their type, others are text; SearchBy is not a field."""
    account = Account(attributes={"mx_Pet", "Phone", "EmailAddress", "SearchBy"})
    found = fields(account)
    assert [(field["SchemaName"], field["DataType"]) for field in found] == [
        ("EmailAddress", "Email"),
        ("Phone", "Phone"),
        ("mx_Pet", "Text"),
    ]
    assert fields(Account(attributes=[])) == []


def test_a_realistic_account_enforces_its_fields():
    """An unknown attribute fails, and so does a new lead without a mandatory one."""
    account = Account(attributes="account", mandatory=["LastName"])
    marked = [field["SchemaName"] for field in fields(account) if field["IsMandatory"]]
    assert marked == ["LastName"]
    for lead, reason in (
        ({"FirstName": "B", "LastName": "L", "mx_Typo": "x"}, "does not exist - mx_Typo."),
        ({"FirstName": "B", "EmailAddress": "a@b.c"}, "Mandatory attribute(s) missing - LastName."),
    ):
        status = task_status(account, capture(account, 0.0, **lead), 1.0)
        assert status["Status"] == "FAILURE"
        assert (status["StatusReason"] or "").endswith(reason)
    lead = {"FirstName": "B", "LastName": "L", "mx_City": "C", "mx_Course": "Design", "mx_Custom_18": "1"}
    assert task_status(account, capture(account, 1.0, **lead), 2.0)["Status"] == "Success"
    other = Account()
    assert task_status(other, capture(other, 0.0, Phone="1", mx_Typo="x"), 1.0)["Status"] == "Success"


def test_rows_are_matched_as_captures_are():
    """No activity is posted; a row may match the one before it."""
    account = Account()
    capture(account, 0.0, EmailAddress="old@b.c", FirstName="Old")
    account.advance(0.5)
    (old,) = account.records.leads
    rows = [
        row(EmailAddress="new@b.c"),
        row(EmailAddress="OLD@b.c", FirstName="New"),
        row(EmailAddress="new@b.c", Phone="1"),
        row(Phone="2", SearchBy="Phone"),
    ]
    reply = account.decide(bulk_request(rows), 1.0)
    _, new, other = account.records.leads
    assert reply.status == 200
    assert content(reply) == [
        {"RowNumber": 1, "LeadId": new, "LeadCreated": True, "LeadUpdated": False, "AffectedRows": 1},
        {"RowNumber": 2, "LeadId": old, "LeadCreated": False, "LeadUpdated": True, "AffectedRows": 1},
        {"RowNumber": 3, "LeadId": new, "LeadCreated": False, "LeadUpdated": True, "AffectedRows": 1},
        {"RowNumber": 4, "LeadId": other, "LeadCreated": True, "LeadUpdated": False, "AffectedRows": 1},
    ]
    assert account.records.leads[old].attributes["FirstName"] == "New"
    assert [len(lead.activities) for lead in account.records.leads.values()] == [1, 0, 0]


def test_a_failed_row_does_not_stop_the_others():
    """It fails under 200 and carries the exception."""
    account = Account(attributes="account", mandatory=["LastName"])
    rows = [
        row(FirstName="B", LastName="L", mx_Typo="x"),
        row(FirstName="B", LastName="L"),
        row(FirstName="B"),
        row(FirstName="B", LastName="L", SearchBy="FirstName"),
    ]
    reply = account.decide(bulk_request(rows), 0.0)
    assert reply.status == 200
    (lead,) = account.records.leads
    names = ("RowNumber", "LeadId", "LeadCreated", "LeadUpdated", "AffectedRows")
    assert [tuple(answered[name] for name in names) for answered in content(reply)] == [
        (1, None, False, False, 0),
        (2, lead, True, False, 1),
        (3, None, False, False, 0),
        (4, None, False, False, 0),
    ]
    assert [(a.get("ExceptionType"), a.get("ErrorMessage")) for a in content(reply)] == [
        ("MXUnknownAttributeException", "Attribute(s) does not exist - mx_Typo."),
        (None, None),
        ("MXMandatoryAttributeMissingException", "Mandatory attribute(s) missing - LastName."),
        ("MXInvalidInputException", "Invalid SearchBy value provided"),
    ]


@pytest.mark.parametrize(("rows", "status"), [(0, 500), (1, 200), (25, 200), (26, 500)])
def test_a_call_takes_25_rows(rows: int, status: int):
    """More or none is a logical error under 500, and nothing is done."""
    account = Account()
    reply = account.decide(bulk_request([row(Phone=str(number)) for number in range(rows)]), 0.0)
    assert reply.status == status
    assert len(account.records.leads) == (rows if status == 200 else 0)
    if status == 500:
        assert content(reply) == {
            "Status": "Error",
            "ExceptionType": "MXInvalidInputException",
            "ExceptionMessage": "Pass at least 1 lead and at most 25 leads",
        }


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "The body is not valid JSON in UTF-8"),
        ({"Attribute": "Phone", "Value": "1"}, "The body is not an array of leads"),
        (row(Phone="1"), "the body[0] is not an array of Attribute and Value"),
        ([row(Phone="1"), []], "the body[1] has no attribute"),
        ([row(Phone="1"), [{"Attribute": "Phone", "Value": 1}]], "the body[1][0]: Value is not a string"),
    ],
)
def test_a_malformed_body_is_answered_400(body: object, why: str):
    """The whole call fails, and nothing is done."""
    account = Account()
    reply = account.decide(bulk_request(body), 0.0)
    assert (reply.status, content(reply)["ExceptionMessage"]) == (400, why)
    assert account.records.leads == {}


def test_a_bulk_body_is_announced_as_json_and_bounded():
    """Type and size are checked as for a submission."""
    account = Account(bulk_limit=None)
    assert account.decide(bulk_request([row(Phone="1")], headers={}), 0.0).status == 415
    assert account.decide(bulk_request(b" " * (10 * 1024 * 1024 + 1)), 0.0).status == 413


def test_bulk_calls_have_a_limit_of_their_own():
    """Neither limit counts the other's calls, and each is quoted with its own numbers."""
    account = Account(limit=(2, 5.0), bulk_limit=(1, 2.5))
    bulk, message = bulk_request([row(Phone="1")]), "API calls exceeded the limit of {} second(s)"
    replies = [account.decide(bulk, now) for now in (0.0, 0.0, 2.5)]
    assert [reply.status for reply in replies] == [200, 429, 200]
    assert content(replies[1])["ExceptionMessage"] == message.format("1 in 2.5")
    others = [Request("GET", FIELDS, KEYS), capture_request(BRET), Request("GET", USER, KEYS)]
    replies = [account.decide(request, 2.5) for request in others]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert content(replies[-1])["ExceptionMessage"] == message.format("2 in 5")
    assert [(arrival.operation, arrival.over_limit) for arrival in account.arrivals] == [
        *(("bulk", False), ("bulk", True), ("bulk", False)),
        *(("fields", False), ("capture", False), ("user", True)),
    ]


@pytest.mark.parametrize(("counting", "admitted"), [("sliding-log", 1), ("fixed-window", 2)])
def test_bulk_calls_are_counted_the_same_way(counting: str, admitted: int):
    """The bulk limit uses the account's way of counting."""
    account = Account(counting=counting)
    statuses = [account.decide(bulk_request([row(Phone="1")]), now).status for now in (4.9, 5.0)]
    assert statuses.count(200) == admitted


def test_without_a_bulk_limit_a_scripted_429_quotes_the_default():
    """`bulk_limit=None` admits any number of calls."""
    account = Account(bulk_limit=None, faults=Faults(script=("ok",) * 30 + ("429",), operations=("bulk",)))
    replies = [account.decide(bulk_request([row(Phone="1")]), 0.0) for _ in range(31)]
    assert [reply.status for reply in replies] == [200] * 30 + [429]
    assert b"the limit of 1 in 5 second(s)" in replies[-1].body


def test_rows_can_be_missing_from_the_answer():
    """All rows are processed; the same seed leaves out the same ones."""
    rows = [row(Phone=str(number)) for number in range(25)]

    def numbers(seed: int) -> list[int]:
        account = Account(seed=seed, faults=Faults(missing_rows=0.3))
        answer = content(account.decide(bulk_request(rows), 0.0))
        assert len(account.records.leads) == 25
        return [entry["RowNumber"] for entry in answer]

    assert 10 <= len(numbers(1)) < 25
    assert numbers(1) == numbers(1) == sorted(numbers(1))
    assert numbers(1) != numbers(2)
    nothing = Account(faults=Faults(missing_rows=1.0)).decide(bulk_request(rows), 0.0)
    assert (nothing.status, content(nothing)) == (200, [])


@pytest.mark.parametrize(("fault", "taken"), [("503", 0), ("504+taken", 1), ("lost", 1), ("reset", 0)])
def test_faults_decide_whether_the_rows_are_accepted(fault: str, taken: int):
    """Rows are accepted as a submission is; the attempt counts in any case."""
    account = Account(faults=Faults(script=(fault,), operations=("bulk",)))
    request = bulk_request([row(Phone="1")])
    account.decide(request, 0.0)
    assert len(account.records.leads) == taken
    assert Books(account, lambda: 1.0).attempts == {request.body.decode(): 1}

"""What each operation refuses: bodies and queries that the documentation does not know, one row each."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async.sandbox import Account, Books, Request
from leadsquared_async.sandbox.control import answer

from .calls import KEYS, content, row, submission, submit, task_status
from .documented import ACTIVITY, CALL, CONNECTOR, LEAD, LEAD_DETAILS, OPPORTUNITY, TABLE, UPDATE

POST = {"RelatedProspectId": LEAD, **ACTIVITY}
BOTH = {"LeadDetails": LEAD_DETAILS, "Activity": ACTIVITY}
DEAL = {"LeadDetails": LEAD_DETAILS, "Opportunity": OPPORTUNITY}
CHANGE = {"ProspectOpportunityId": LEAD, "OpportunityNote": "Won"}


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


def post(*fields: Any, **changes: Any) -> dict[str, Any]:
    return {**POST, **({"Fields": list(fields)} if fields else {}), **changes}


def deal(**changes: Any) -> dict[str, Any]:
    return {**DEAL, "Opportunity": {**OPPORTUNITY, **changes}}


def both(**changes: Any) -> dict[str, Any]:
    return {**BOTH, "Activity": {**ACTIVITY, **changes}}


def pair(key: str = "Attribute", **more: Any) -> dict[str, Any]:
    return {key: "A", "Value": "b", **more}


@pytest.mark.parametrize(
    "body",
    [
        b'[{"Attribute":"mx_KYC","Value":"","Fields":[{"Attribute":"Status","Value":"Pending"}]}]',
        b'[{"Attribute":"FirstName","Value":""}]',
        b'[{"Attribute":"FirstName","Value":"\\ud800"}]',
        '[{"Attribute":"FirstName","Value":"Ḃret 🦘"}]'.encode(),
        b' [ {"Value":"b", "Attribute":"A"} ] ',
    ],
)
def test_an_unusual_body_is_accepted_and_echoed(body: bytes):
    """Field sets, empty values, lone surrogates, blanks and any order are valid and come back as sent."""
    account = Account()
    request_id = submit(account, "/lead/capture", body)
    status = task_status(account, request_id, 1.0)
    assert status["Status"] == "Success"
    assert status["RequestBody"] == body.decode()


NO_JSON = "The body is not valid JSON in UTF-8"
NO_ARRAY = "The body is not an array of Attribute and Value"
NO_NAME = "the body[0]: Attribute is not a schema name"
NO_STRING = "the body[0]: Value is not a string"
NO_FLAG = "{} must be true or false"
EXCLUSIVE = "OverwriteFields and UpdateEmptyFields cannot be combined"
NO_CODE = "{} is not a whole number"
NO_DURATION = "CallDuration is not a number of seconds"
ACTIVITY_FLAGS = ("ValidateDropDownOptions", "ProcessFilesAsync", "IncludeLeadScore")
IN_ACTIVITY = (*ACTIVITY, *ACTIVITY_FLAGS)
TWO_FLAGS = f"{KEYS}&OverwriteFields=true&UpdateEmptyFields=true"

CAPTURE: list[tuple[object, str]] = [
    *((body, NO_JSON) for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5_000)),
    (b'\xef\xbb\xbf[{"Attribute":"A","Value":"b"}]', NO_JSON),
    *((body, NO_ARRAY) for body in (None, "lead", pair())),
    *((body, "The body has no attribute") for body in ([], row(SearchBy="Phone"))),
    *((body, "the body[0] is not an object") for body in ([1], [[]])),
    *(([body], NO_NAME) for body in ({}, pair(Attribute=""), pair(Attribute=1), pair("attribute"))),
    *(([pair(Value=value)], NO_STRING) for value in (None, 1, float("nan"), True, ["b"])),
    ([{"Attribute": "A"}], NO_STRING),
    ([pair(SchemaName="A")], "the body[0] has keys other than Attribute and Value"),
    ([pair(), pair(Value="c")], "the body[1]: Attribute is a duplicate"),
    ([pair(Fields={})], "the body[0].Fields is not an array of Attribute and Value"),
    ([pair(Fields=[pair(Value=2)])], "the body[0].Fields[0]: Value is not a string"),
    ([pair(Fields=[pair(Fields=[])])], "the body[0].Fields[0] has keys other than Attribute and Value"),
]
ACTIVITIES: list[tuple[object, str]] = [
    ([POST], "The body is not an object"),
    *((body, "RelatedProspectId is missing") for body in (ACTIVITY, post(RelatedProspectId=""))),
    (post(RelatedProspectId=1), "RelatedProspectId is not a string"),
    (without(POST, "ActivityEvent"), NO_CODE.format("ActivityEvent")),
    *((post(ActivityEvent=code), NO_CODE.format("ActivityEvent")) for code in ("201", 201.0, True)),
    (post(ActivityNote=None), "ActivityNote is not a string"),
    *((post(**{flag: "true"}), NO_FLAG.format(flag)) for flag in ACTIVITY_FLAGS),
    (post(Note=""), f"The body has keys other than RelatedProspectId, {', '.join(IN_ACTIVITY)}"),
    (post(Fields={}), "Fields is not an array of SchemaName and Value"),
    (post(1), "Fields[0] is not an object"),
    (post(pair()), "Fields[0]: SchemaName is not a schema name"),
    (post(pair("SchemaName", Value=1)), "Fields[0]: Value is not a string"),
    (post(pair("SchemaName", Attribute="A")), "Fields[0] has keys other than SchemaName and Value"),
    (post(pair("SchemaName"), pair("SchemaName")), "Fields[1]: SchemaName is a duplicate"),
    (post(pair("SchemaName", Fields=[])), "Fields[0]: Attribute is not a schema name"),
    (post(pair(Fields=[pair("SchemaName")])), "Fields[0].Fields[0]: Attribute is not a schema name"),
]
LEADS_AND_ACTIVITIES: list[tuple[object, str]] = [
    (LEAD_DETAILS, "The body is not an object"),
    ({**BOTH, "SearchBy": "Phone"}, "The body has keys other than LeadDetails, Activity"),
    (without(BOTH, "Activity"), "Activity is not an object"),
    (without(BOTH, "LeadDetails"), "LeadDetails is not an array of Attribute and Value"),
    ({**BOTH, "LeadDetails": LEAD_DETAILS[:2]}, "LeadDetails has no SearchBy"),
    ({**BOTH, "LeadDetails": LEAD_DETAILS[2:]}, "LeadDetails has no attribute"),
    (both(ActivityEvent="105"), NO_CODE.format("ActivityEvent")),
    (both(RelatedProspectId=LEAD), f"Activity has keys other than {', '.join(IN_ACTIVITY)}"),
]
OPPORTUNITIES: list[tuple[object, str]] = [
    (deal(Fields=[pair(Fields=[])]), "Fields[0]: SchemaName is not a schema name"),
    (without(DEAL, "Opportunity"), "Opportunity is not an object"),
    ({**DEAL, "LeadDetails": LEAD_DETAILS[:2]}, "LeadDetails has no SearchBy"),
    (
        {**DEAL, "LeadDetails": row(FirstName="Bret", SearchBy="EmailAddress")},
        "LeadDetails has no unique field",
    ),
    *((deal(OpportunityEventCode=code), NO_CODE.format("OpportunityEventCode")) for code in ("12231", None)),
    (deal(OpportunityNote=1), "OpportunityNote is not a string"),
    (deal(OverwriteFields="true"), NO_FLAG.format("OverwriteFields")),
]
UPDATES: list[tuple[object, str]] = [
    (without(CHANGE, "ProspectOpportunityId"), "ProspectOpportunityId is missing"),
    ({**CHANGE, "OpportunityNote": None}, "OpportunityNote is not a string"),
    (
        {**CHANGE, "OpportunityEventCode": 12231},
        "The body has keys other than ProspectOpportunityId, OpportunityNote, Fields",
    ),
    ({**CHANGE, "Fields": [{}]}, "Fields[0]: SchemaName is not a schema name"),
]
CALLS: list[tuple[object, str]] = [
    ({}, "The body has no fields"),
    ([CALL], "The body is not an object"),
    *(({**CALL, "CallDuration": value}, NO_DURATION) for value in (34.5, "34 s", -1, True)),
    ({**CALL, "SourceNumber": 918611795988}, "SourceNumber is not a string"),
    ({**CALL, "Notes": ""}, f"The body has keys other than {', '.join(CALL)}"),
]
# each with its path and query
REFUSED = [
    *(("/lead/capture", KEYS, *refused) for refused in CAPTURE),
    *(
        ("/lead/update", f"{KEYS}{query}", UPDATE, "leadId is missing")
        for query in ("", "&leadId=", "&leadid=1")
    ),
    *(
        ("/lead/update", f"{KEYS}&leadId=1&postUpdatedLead={flag}", UPDATE, NO_FLAG.format("postUpdatedLead"))
        for flag in ("True", "1")
    ),
    *(("/lead/update", f"{KEYS}&leadId=1", *refused) for refused in (({}, NO_ARRAY), *CAPTURE[-8:])),
    *(("/activity/create", KEYS, *refused) for refused in ACTIVITIES),
    *(("/activity/createcustom", KEYS, *refused) for refused in LEADS_AND_ACTIVITIES),
    *(("/opportunity/capture", KEYS, *refused) for refused in OPPORTUNITIES),
    ("/opportunity/capture", f"{KEYS}&DoNotChangeOwner=yes", DEAL, NO_FLAG.format("DoNotChangeOwner")),
    ("/opportunity/capture", TWO_FLAGS, DEAL, EXCLUSIVE),
    ("/opportunity/capture", f"{KEYS}&OverwriteFields=true", deal(UpdateEmptyFields=True), EXCLUSIVE),
    *(("/opportunity/update", KEYS, *refused) for refused in UPDATES),
    *((CONNECTOR, "", *refused) for refused in CALLS),
]


@pytest.mark.parametrize(("path", "query", "body", "why"), REFUSED)
def test_an_undocumented_body_is_answered_400(path: str, query: str, body: object, why: str):
    """An invalid body is refused at once with the reason, and not queued."""
    account = Account()
    reply = account.decide(submission(path, body, query), 0.0)
    assert reply.status == 400
    assert content(reply) == {
        "Status": "Error",
        "ExceptionType": "MXInvalidInputException",
        "ExceptionMessage": why,
    }
    assert sum(len(queue.tasks) for queue in account.queues.values()) == 0


@pytest.mark.parametrize(
    "date",
    [
        *("", "2015-10-11", "2015-10-11T12:13:44", "2015-10-11 12:13", "2015-10-11 12:13:44Z"),
        *("2015-10-11 12:13:44.5", "2015-10-11 12:13:44+05:30", " 2015-10-11 12:13:44"),
        *("2015-13-11 12:13:44", "2015-02-30 12:13:44", "2015-10-11 25:13:44", "2015-10-11 12:13:60"),
        *("11/10/2015 12:13:44", "2015-10-11  12:13:44", "٢٠١٥-10-11 12:13:44", 1444565624, None),
    ],
)
def test_a_date_has_one_form(date: object):
    """A date is `YYYY-MM-DD HH:MM:SS`, and exists."""
    for name, path, query, body in (
        ("ActivityDateTime", "/activity/create", KEYS, post(ActivityDateTime=date)),
        ("ActivityDateTime", "/activity/createcustom", KEYS, both(ActivityDateTime=date)),
        ("OpportunityDateTime", "/opportunity/capture", KEYS, deal(OpportunityDateTime=date)),
        ("StartTime", CONNECTOR, "", {**CALL, "StartTime": date}),
        ("EndTime", CONNECTOR, "", {**CALL, "EndTime": date}),
    ):
        reply = Account().decide(submission(path, body, query), 0.0)
        assert reply.status == 400
        assert content(reply)["ExceptionMessage"] == f"{name} is not a date in the format YYYY-MM-DD HH:MM:SS"


@pytest.mark.parametrize(
    ("path", "query", "body"),
    [
        ("/activity/create", KEYS, {"RelatedProspectId": LEAD, "ActivityEvent": -1}),
        ("/activity/create", KEYS, post(ActivityNote="", Fields=[])),
        *(("/activity/create", KEYS, post(**{flag: True})) for flag in ACTIVITY_FLAGS),
        *(("/activity/createcustom", KEYS, both(**{flag: False})) for flag in ACTIVITY_FLAGS),
        ("/opportunity/capture", KEYS, deal(OverwriteFields=True, UpdateEmptyFields=False)),
        ("/opportunity/capture", f"{KEYS}&UpdateEmptyFields=true&Surprise=1", DEAL),
        ("/opportunity/capture", KEYS, {**DEAL, "LeadDetails": row(mx_Unique="u", SearchBy="mx_Unique")}),
        ("/opportunity/update", KEYS, {"ProspectOpportunityId": LEAD}),
        (CONNECTOR, "", {"SourceNumber": "1", "CallDuration": "1497"}),
        (CONNECTOR, "", {"CallSessionId": ""}),
    ],
)
def test_what_is_optional_may_be_left_out(path: str, query: str, body: object):
    """Notes, dates, fields and flags are optional; an unknown query parameter is ignored."""
    assert Account().decide(submission(path, body, query), 0.0).status == 200


@pytest.mark.parametrize(
    "flag", ["OverwriteFields", "UpdateEmptyFields", "DoNotPostDuplicateActivity", "DoNotChangeOwner"]
)
def test_a_flag_may_be_in_the_query_or_in_the_opportunity(flag: str):
    """Both places are accepted, since neither is documented."""
    for query, body in ((f"{KEYS}&{flag}=true", DEAL), (KEYS, deal(**{flag: True}))):
        account = Account()
        submit(account, "/opportunity/capture", body, 0.0, query)
        account.advance(1.0)
        (opportunity,) = account.records.opportunities.values()
        assert opportunity.flags == (flag,)


@pytest.mark.parametrize("flag", ACTIVITY_FLAGS)
def test_a_flag_of_an_activity_is_stored_with_it(flag: str):
    """Only flags that are true are stored, for a test to look at."""
    for value, stored in ((True, (flag,)), (False, ())):
        account = Account()
        submit(account, "/activity/createcustom", both(**{flag: value}), 0.0)
        account.advance(1.0)
        (lead,) = account.records.leads.values()
        assert lead.activities[-1].flags == stored


def test_an_invalid_search_by_fails_in_processing():
    """A SearchBy that names no searchable field is accepted and fails later, as in a capture."""
    account = Account()
    body = {**BOTH, "LeadDetails": row(EmailAddress="a@b.c", SearchBy="FirstName")}
    request_id = submit(account, "/activity/createcustom", body)
    status = task_status(account, request_id, 1.0, "/activity/createcustom/status")
    assert status["StatusReason"] == "MXInvalidInputException: Invalid SearchBy value provided"


words = st.sampled_from(
    [
        *(*ACTIVITY, *OPPORTUNITY, *CALL, "RelatedProspectId", "ProspectOpportunityId", "LeadDetails"),
        *("Activity", "Opportunity", "Attribute", "SchemaName", "Value", "SearchBy", "2015-10-11 12:13:44"),
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(), inner, max_size=5),
)


@settings(database=None, deadline=None, max_examples=100)
@given(
    st.sampled_from(["capture", *TABLE]), st.binary() | anything.map(lambda value: json.dumps(value).encode())
)
def test_any_body_is_accepted_or_refused(name: str, body: bytes):
    """No body breaks an operation; every accepted one ends in an outcome, and every page shows it."""
    path, query, *_ = TABLE.get(name, ("/lead/capture", KEYS))
    account = Account()
    assert account.decide(submission(path, body, query), 0.0).status in {200, 400}
    books = Books(account, lambda: 1.0)
    assert {request["status"] for request in books.requests} <= {"Success", "FAILURE"}
    for page in ("requests", "leads", "opportunities", "calls", "arrivals", "summary"):
        json.loads(answer(Request("GET", f"/_sandbox/{page}", headers={"host": "localhost"}), books).body)

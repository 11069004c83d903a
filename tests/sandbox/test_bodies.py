"""What each operation refuses: bodies and queries that the documentation does not know, one row each."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async.sandbox import Account

from .calls import KEYS, content, submission, submit, task_status
from .documented import ACTIVITY, CALL, CONNECTOR, LEAD, LEAD_DETAILS, OPPORTUNITY, TABLE, UPDATE

POST = {"RelatedProspectId": LEAD, **ACTIVITY}
BOTH = {"LeadDetails": LEAD_DETAILS, "Activity": ACTIVITY}
DEAL = {"LeadDetails": LEAD_DETAILS, "Opportunity": OPPORTUNITY}
CHANGE: dict[str, Any] = {"ProspectOpportunityId": LEAD, "OpportunityNote": "Won"}
OPPORTUNITY_UPDATE = "/opportunity/update"


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


def deal(**changes: Any) -> dict[str, Any]:
    return {**DEAL, "Opportunity": {**OPPORTUNITY, **changes}}


def both(**changes: Any) -> dict[str, Any]:
    return {**BOTH, "Activity": {**ACTIVITY, **changes}}


FIELD_SET = b'[{"Attribute":"mx_KYC","Value":"","Fields":[{"Attribute":"Status","Value":"Pending"}]}]'


MALFORMED = {
    b"": "The body is not JSON in UTF-8",
    b"{": "The body is not JSON in UTF-8",
    b"\xff\xfe": "The body is not JSON in UTF-8",
    b'\xef\xbb\xbf[{"Attribute":"A","Value":"b"}]': "The body is not JSON in UTF-8",
    b"[" * 100_000: "The body is not JSON in UTF-8",
    b"9" * 5_000: "The body is not JSON in UTF-8",
    b"null": "The body is not an array of Attribute and Value",
    b'"lead"': "The body is not an array of Attribute and Value",
    b'{"Attribute":"A","Value":"b"}': "The body is not an array of Attribute and Value",
    b"[]": "The body holds no attribute",
    b'[{"Attribute":"SearchBy","Value":"Phone"}]': "The body holds no attribute",
    b"[1]": "the body[0] is not an object",
    b"[[]]": "the body[0] is not an object",
    b"[{}]": "the body[0]: Attribute is not a schema name",
    b'[{"Attribute":"","Value":"b"}]': "the body[0]: Attribute is not a schema name",
    b'[{"Attribute":1,"Value":"b"}]': "the body[0]: Attribute is not a schema name",
    b'[{"attribute":"A","value":"b"}]': "the body[0]: Attribute is not a schema name",
    b'[{"Attribute":"A"}]': "the body[0]: Value is not a string",
    b'[{"Attribute":"A","Value":null}]': "the body[0]: Value is not a string",
    b'[{"Attribute":"A","Value":1}]': "the body[0]: Value is not a string",
    b'[{"Attribute":"A","Value":NaN}]': "the body[0]: Value is not a string",
    b'[{"Attribute":"A","Value":true}]': "the body[0]: Value is not a string",
    b'[{"Attribute":"A","Value":["b"]}]': "the body[0]: Value is not a string",
    b'[{"Attribute":"A","Value":"b","SchemaName":"A"}]': "the body[0] holds more than Attribute and Value",
    b'[{"Attribute":"A","Value":"b"},{"Attribute":"A","Value":"c"}]': (
        "the body[1]: Attribute was given before"
    ),
    b'[{"Attribute":"A","Value":"","Fields":{}}]': (
        "the body[0].Fields is not an array of Attribute and Value"
    ),
    b'[{"Attribute":"A","Value":"","Fields":[{"Attribute":"B","Value":2}]}]': (
        "the body[0].Fields[0]: Value is not a string"
    ),
    b'[{"Attribute":"A","Value":"","Fields":[{"Attribute":"B","Value":"","Fields":[]}]}]': (
        "the body[0].Fields[0] holds more than Attribute and Value"
    ),
}


@pytest.mark.parametrize(
    "body",
    [
        FIELD_SET,
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


SEARCHED = "LeadDetails holds no SearchBy"
NO_DATE = " is not a date written YYYY-MM-DD HH:MM:SS"

# (path, query): the bodies that it refuses, each with the reason
REFUSED: dict[tuple[str, str], list[tuple[object, str]]] = {
    ("/lead/capture", KEYS): list(MALFORMED.items()),
    ("/lead/update", KEYS): [(UPDATE, "leadId is missing")],
    ("/lead/update", f"{KEYS}&leadId="): [(UPDATE, "leadId is missing")],
    ("/lead/update", f"{KEYS}&leadid={LEAD}"): [(UPDATE, "leadId is missing")],
    ("/lead/update", f"{KEYS}&leadId={LEAD}&postUpdatedLead=True"): [
        (UPDATE, "postUpdatedLead is neither true nor false")
    ],
    ("/lead/update", f"{KEYS}&leadId={LEAD}&postUpdatedLead=1"): [
        (UPDATE, "postUpdatedLead is neither true nor false")
    ],
    ("/lead/update", f"{KEYS}&leadId={LEAD}"): [
        ({}, "The body is not an array of Attribute and Value"),
        ([], "The body holds no attribute"),
        ([{"Attribute": "A", "Value": 1}], "the body[0]: Value is not a string"),
    ],
    ("/activity/create", KEYS): [
        ([POST], "The body is not an object"),
        (without(POST, "RelatedProspectId"), "RelatedProspectId is missing"),
        ({**POST, "RelatedProspectId": ""}, "RelatedProspectId is missing"),
        ({**POST, "RelatedProspectId": 1}, "RelatedProspectId is not a string"),
        (without(POST, "ActivityEvent"), "ActivityEvent is not a whole number"),
        ({**POST, "ActivityEvent": "201"}, "ActivityEvent is not a whole number"),
        ({**POST, "ActivityEvent": 201.0}, "ActivityEvent is not a whole number"),
        ({**POST, "ActivityEvent": True}, "ActivityEvent is not a whole number"),
        ({**POST, "ActivityNote": None}, "ActivityNote is not a string"),
        ({**POST, "Note": ""}, f"The body holds more than RelatedProspectId, {', '.join(ACTIVITY)}"),
        ({**POST, "Fields": {}}, "Fields is not an array of SchemaName and Value"),
        ({**POST, "Fields": [1]}, "Fields[0] is not an object"),
        (
            {**POST, "Fields": [{"Attribute": "mx_Custom_1", "Value": "1"}]},
            "Fields[0]: SchemaName is not a schema name",
        ),
        ({**POST, "Fields": [{"SchemaName": "mx_Custom_1", "Value": 1}]}, "Fields[0]: Value is not a string"),
        (
            {**POST, "Fields": [{"SchemaName": "mx_Custom_1", "Value": "1", "Attribute": "A"}]},
            "Fields[0] holds more than SchemaName and Value",
        ),
        (
            {**POST, "Fields": [{"SchemaName": "A", "Value": "1"}, {"SchemaName": "A", "Value": "2"}]},
            "Fields[1]: SchemaName was given before",
        ),
        (
            {**POST, "Fields": [{"SchemaName": "mx_KYC", "Value": "", "Fields": []}]},
            "Fields[0]: Attribute is not a schema name",
        ),
        (
            {
                **POST,
                "Fields": [
                    {"Attribute": "mx_KYC", "Value": "", "Fields": [{"SchemaName": "Status", "Value": "P"}]}
                ],
            },
            "Fields[0].Fields[0]: Attribute is not a schema name",
        ),
    ],
    ("/activity/createcustom", KEYS): [
        (LEAD_DETAILS, "The body is not an object"),
        ({**BOTH, "SearchBy": "Phone"}, "The body holds more than LeadDetails, Activity"),
        (without(BOTH, "Activity"), "Activity is not an object"),
        (without(BOTH, "LeadDetails"), "LeadDetails is not an array of Attribute and Value"),
        ({**BOTH, "LeadDetails": LEAD_DETAILS[:2]}, SEARCHED),
        ({**BOTH, "LeadDetails": LEAD_DETAILS[2:]}, "LeadDetails holds no attribute"),
        (both(ActivityEvent="105"), "ActivityEvent is not a whole number"),
        (
            both(RelatedProspectId=LEAD),
            "Activity holds more than ActivityEvent, ActivityNote, ActivityDateTime, Fields",
        ),
    ],
    ("/opportunity/capture", KEYS): [
        (
            deal(Fields=[{"Attribute": "mx_KYC", "Value": "", "Fields": []}]),
            "Fields[0]: SchemaName is not a schema name",
        ),
        (without(DEAL, "Opportunity"), "Opportunity is not an object"),
        ({**DEAL, "LeadDetails": LEAD_DETAILS[:2]}, SEARCHED),
        (
            {
                **DEAL,
                "LeadDetails": [
                    {"Attribute": "FirstName", "Value": "Bret"},
                    {"Attribute": "SearchBy", "Value": "EmailAddress"},
                ],
            },
            "LeadDetails holds no unique field",
        ),
        (
            {**DEAL, "Opportunity": without(OPPORTUNITY, "OpportunityEventCode")},
            "OpportunityEventCode is not a whole number",
        ),
        (deal(OpportunityEventCode="12231"), "OpportunityEventCode is not a whole number"),
        (deal(OpportunityNote=1), "OpportunityNote is not a string"),
        (deal(OverwriteFields="true"), "OverwriteFields is neither true nor false"),
    ],
    ("/opportunity/capture", f"{KEYS}&DoNotPostDuplicateActivity=yes"): [
        (DEAL, "DoNotPostDuplicateActivity is neither true nor false")
    ],
    ("/opportunity/capture", f"{KEYS}&OverwriteFields=true&UpdateEmptyFields=true"): [
        (DEAL, "OverwriteFields and UpdateEmptyFields exclude each other")
    ],
    ("/opportunity/capture", f"{KEYS}&OverwriteFields=true"): [
        (deal(UpdateEmptyFields=True), "OverwriteFields and UpdateEmptyFields exclude each other"),
    ],
    (OPPORTUNITY_UPDATE, KEYS): [
        (without(CHANGE, "ProspectOpportunityId"), "ProspectOpportunityId is missing"),
        ({**CHANGE, "OpportunityNote": None}, "OpportunityNote is not a string"),
        (
            {**CHANGE, "OpportunityEventCode": 12231},
            "The body holds more than ProspectOpportunityId, OpportunityNote, Fields",
        ),
        ({**CHANGE, "Fields": [{}]}, "Fields[0]: SchemaName is not a schema name"),
    ],
    (CONNECTOR, ""): [
        ({}, "The body holds no call"),
        ([CALL], "The body is not an object"),
        ({**CALL, "CallDuration": 34.5}, "CallDuration is not a number of seconds"),
        ({**CALL, "CallDuration": "34 s"}, "CallDuration is not a number of seconds"),
        ({**CALL, "CallDuration": -1}, "CallDuration is not a number of seconds"),
        ({**CALL, "CallDuration": True}, "CallDuration is not a number of seconds"),
        ({**CALL, "SourceNumber": 918611795988}, "SourceNumber is not a string"),
        ({**CALL, "Notes": ""}, f"The body holds more than {', '.join(CALL)}"),
    ],
}


@pytest.mark.parametrize(
    ("path", "query", "body", "why"),
    [(*call, body, why) for call, rows in REFUSED.items() for body, why in rows],
)
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


DATES: dict[str, tuple[str, str, Any]] = {
    "ActivityDateTime": ("/activity/create", KEYS, lambda date: {**POST, "ActivityDateTime": date}),
    "ActivityDateTime ": ("/activity/createcustom", KEYS, lambda date: both(ActivityDateTime=date)),
    "OpportunityDateTime": ("/opportunity/capture", KEYS, lambda date: deal(OpportunityDateTime=date)),
    "StartTime": (CONNECTOR, "", lambda date: {**CALL, "StartTime": date}),
    "EndTime": (CONNECTOR, "", lambda date: {**CALL, "EndTime": date}),
}


@pytest.mark.parametrize("name", DATES)
@pytest.mark.parametrize(
    "date",
    [
        *("", "2015-10-11", "2015-10-11T12:13:44", "2015-10-11 12:13", "2015-10-11 12:13:44Z"),
        *(
            "2015-10-11 12:13:44.5",
            "2015-10-11 12:13:44+05:30",
            " 2015-10-11 12:13:44",
            "11/10/2015 12:13:44",
        ),
        *("2015-13-11 12:13:44", "2015-02-30 12:13:44", "2015-10-11 25:13:44", "2015-10-11 12:13:60"),
        *("2015-10-11  12:13:44", "٢٠١٥-10-11 12:13:44", 1444565624, None),
    ],
)
def test_a_date_has_one_form(name: str, date: object):
    """A date is `YYYY-MM-DD HH:MM:SS`, and exists."""
    path, query, body = DATES[name]
    reply = Account().decide(submission(path, body(date), query), 0.0)
    assert reply.status == 400
    assert content(reply)["ExceptionMessage"] == name.strip() + NO_DATE


@pytest.mark.parametrize(
    ("path", "query", "body"),
    [
        ("/activity/create", KEYS, {"RelatedProspectId": LEAD, "ActivityEvent": -1}),
        ("/activity/create", KEYS, {**POST, "ActivityNote": "", "Fields": []}),
        ("/opportunity/capture", KEYS, deal(OverwriteFields=True, UpdateEmptyFields=False)),
        ("/opportunity/capture", f"{KEYS}&UpdateEmptyFields=true&Surprise=1", DEAL),
        (
            "/opportunity/capture",
            KEYS,
            {
                **deal(),
                "LeadDetails": [
                    {"Attribute": "mx_Unique", "Value": "u"},
                    {"Attribute": "SearchBy", "Value": "mx_Unique"},
                ],
            },
        ),
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


def test_an_invalid_search_by_fails_in_processing():
    """A SearchBy that names no searchable field is accepted and fails later, as in a capture."""
    account = Account()
    details = [
        {"Attribute": "EmailAddress", "Value": "a@b.c"},
        {"Attribute": "SearchBy", "Value": "FirstName"},
    ]
    request_id = submit(account, "/activity/createcustom", {**BOTH, "LeadDetails": details})
    status = task_status(account, request_id, 1.0, "/activity/createcustom/status")
    assert status["StatusReason"] == "MXInvalidInputException: Invalid SearchBy value provided"


words = st.sampled_from(
    [
        *(*ACTIVITY, *OPPORTUNITY, *CALL, "RelatedProspectId", "ProspectOpportunityId"),
        *("LeadDetails", "Activity", "Opportunity", "Attribute", "SchemaName", "Value"),
        *("SearchBy", "EmailAddress", "2015-10-11 12:13:44"),
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(), inner, max_size=5),
)


@settings(database=None, deadline=None, max_examples=100)
@given(
    st.sampled_from(["capture", *TABLE]),
    st.binary() | anything.map(lambda value: json.dumps(value).encode()),
)
def test_any_body_is_accepted_or_refused(name: str, body: bytes):
    """No body breaks an operation, and every accepted one ends in an outcome."""
    path, query, *_ = TABLE.get(name, ("/lead/capture", KEYS))
    account = Account()
    assert account.decide(submission(path, body, query), 0.0).status in {200, 400}
    account.advance(1.0)
    assert {task.status for task in account.queues[name].tasks.values()} <= {"Success", "FAILURE"}

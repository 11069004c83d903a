"""Every operation of the Async API: its paths, its documented body, its outcome, its keys."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from leadsquared_async.sandbox import Account, Books, Faults, Request

from .calls import (
    ACCESS_KEY,
    API_KEY,
    BRET,
    BULK,
    FIELDS,
    HEADERS,
    KEYS,
    USER,
    capture,
    content,
    metrics_request,
    outcome,
    status_request,
    submission,
    submit,
    task_status,
)
from .documented import ACTIVITY, CALL, CONNECTOR, INSTANCE, LEAD, LEAD_DETAILS, OPPORTUNITY, TABLE, UPDATE

CAPTURE = (
    *("/lead/capture", KEYS, json.loads(BRET), "/lead/status", "RequestId"),
    *("/lead/capture/metrics", "ProcessingRatePerMinute", "Lead Capture"),
)
ROWS = pytest.mark.parametrize("name", TABLE)


def with_lead(**options: Any) -> Account:
    """An account with one lead, whose id is LEAD."""
    account = Account(**{"limit": None, **options})
    capture(account, 0.0, ProspectID=LEAD, FirstName="Old", EmailAddress="old@example.com")
    account.advance(0.5)
    return account


@pytest.mark.parametrize("name", ["capture", *TABLE])
def test_the_documented_body_is_accepted_processed_and_echoed(name: str):
    """Submission, status and metrics are at their paths; the status echoes the body."""
    path, query, body, status_path, id_name, metrics_path, rate_name, task_type = TABLE.get(name, CAPTURE)
    account = with_lead()
    reply = account.decide(submission(path, body, query), 1.0)
    assert reply.status == 200
    assert re.fullmatch(
        r'\{"Status":"Request accepted\. Please use below request id to check the status",'
        r'"RequestID":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"\}',
        reply.body.decode(),
    )
    request_id = json.loads(reply.body)["RequestID"]
    assert reply.headers == {"content-type": "application/json"}
    queued = json.loads(account.decide(status_request(request_id, status_path), 1.0).body)
    assert queued == {
        id_name: request_id,
        "TaskStatus": {
            "TaskType": task_type,
            "Status": "In-Queue",
            "StatusReason": "",
            "RequestBody": json.dumps(body),
            "TaskCurrentStep": None,
            "TaskLastStep": None,
            "Message": None,
        },
    }
    waiting = content(account.decide(metrics_request(metrics_path), 1.0))
    assert waiting == {
        "PendingMessages": 1,
        "MaxDelayInSeconds": 0,
        rate_name: 0.1 if name == "capture" else 0.0,
    }
    status = json.loads(account.decide(status_request(request_id, status_path), 2.0).body)
    assert status.pop(id_name) == request_id
    task = status.pop("TaskStatus")
    assert status == {}
    assert (task["TaskType"], task["Status"], task["RequestBody"]) == (task_type, "Success", json.dumps(body))
    names = ["capture", name, "status", "metrics", "status"]
    assert [arrival.operation for arrival in account.arrivals] == names
    assert account.misplaced_keys == []


@ROWS
def test_the_id_of_one_operation_is_unknown_to_the_others(name: str):
    """A status call knows the requests of its own operation only."""
    path, query, body, *_ = TABLE[name]
    account = with_lead()
    request_id = submit(account, path, body, 1.0, query)
    others = {row[3] for other, row in TABLE.items() if other != name} | {"/lead/status"}
    replies = [account.decide(status_request(request_id, other), 2.0) for other in others]
    assert {reply.status for reply in replies} == {404}
    assert {reply.headers["x-sandbox-hint"] for reply in replies} == {f"this RequestID belongs to {name}"}


def test_an_update_changes_what_is_passed_and_nothing_else():
    """Other fields stay; automations are counted only if they are asked for."""
    account = with_lead()
    query = f"{KEYS}&leadId={LEAD.upper()}"
    answer = {"Status": "Success", "Message": {"AffectedRows": 1}}
    for extra, posted in (("", 0), ("&postUpdatedLead=false", 0), ("&postUpdatedLead=true", 1)):
        request_id = submit(account, "/lead/update", UPDATE, 1.0, query + extra)
        assert outcome(account, request_id, "/lead/update/status", 2.0) == answer
        lead = account.records.leads[LEAD]
        assert lead.posted_updates == posted
    assert lead.attributes == {
        "ProspectID": LEAD,
        "FirstName": "Bret",
        "EmailAddress": "old@example.com",
        "mx_City": "",
    }
    assert [activity.event for activity in lead.activities] == ["Lead Capture"]


def test_an_activity_is_added_to_its_lead():
    """It is stored with note, date and fields; the message holds its id."""
    account = with_lead()
    body = {"RelatedProspectId": LEAD, **ACTIVITY}
    answer = outcome(account, submit(account, "/activity/create", body, 1.0), "/activity/create/status", 2.0)
    activity = account.records.leads[LEAD].activities[-1]
    assert answer == {"Status": "Success", "Message": {"Id": activity.id}}
    assert (activity.event, activity.date, activity.note) == (
        "201",
        "2015-10-11 12:13:44",
        "Your Activity Note",
    )
    assert activity.fields == {
        "mx_Custom_1": "123123123",
        "mx_KYC": "",
        "mx_KYC.Status": "Pending",
        "mx_KYC.mx_CustomObject_2": "XYZ12345.png",
    }


def test_a_lead_and_activity_matches_as_a_capture_does():
    """The first creates the lead, the second finds it; each adds one activity, and no Lead Capture."""
    account = Account()
    body = {"LeadDetails": LEAD_DETAILS, "Activity": {"ActivityEvent": 105}}
    for turn, created in ((1.0, True), (2.0, False)):
        request_id = submit(account, "/activity/createcustom", body, turn)
        answer = outcome(account, request_id, "/activity/createcustom/status", turn + 0.5)
        (lead,) = account.records.leads.values()
        assert answer == {
            "Status": "Success",
            "Message": {"Id": lead.activities[-1].id, "RelatedId": lead.id, "IsCreated": created},
        }
    assert [activity.event for activity in lead.activities] == ["105", "105"]


def test_an_opportunity_is_stored_with_its_lead_and_updated():
    """Its lead has an activity for it; an update changes the passed fields and the note."""
    account = Account()
    body = {"LeadDetails": LEAD_DETAILS, "Opportunity": OPPORTUNITY}
    query = f"{KEYS}&DoNotChangeOwner=true"
    answer = outcome(
        account, submit(account, "/opportunity/capture", body, 1.0, query), "/opportunity/capture/status", 2.0
    )
    ((opportunity_id, opportunity),) = Books(account, lambda: 2.0).opportunities.items()
    (lead,) = account.records.leads.values()
    assert answer == {
        "Status": "Success",
        "Message": {"Id": opportunity_id, "RelatedId": lead.id, "IsCreated": True},
    }
    assert (opportunity.lead_id, opportunity.event_code, opportunity.date, opportunity.note) == (
        lead.id,
        12231,
        "2020-12-05 12:13:44",
        "Opportunity capture api",
    )
    assert opportunity.fields == {"mx_Custom_1": "1", "mx_Custom_2": "1"}
    assert opportunity.flags == ("DoNotChangeOwner",)
    assert [activity.event for activity in lead.activities] == ["12231"]
    fields = [{"SchemaName": "mx_Custom_2", "Value": "2"}]
    update = {"ProspectOpportunityId": opportunity_id, "OpportunityNote": "Won", "Fields": fields}
    request_id = submit(account, "/opportunity/update", update, 2.0)
    status = content(account.decide(status_request(request_id, "/opportunity/update/status"), 3.0))
    assert (status["RequestID"], status["TaskStatus"]["TaskType"]) == (request_id, "Opportunity Update")
    updated = {"Status": "Success", "Message": {"AffectedRows": 1}}
    assert json.loads(status["TaskStatus"]["Message"]) == updated
    assert (opportunity.note, opportunity.fields) == ("Won", {"mx_Custom_1": "1", "mx_Custom_2": "2"})
    assert account.decide(metrics_request("/opportunity/update/metrics"), 3.0).status == 200


@pytest.mark.parametrize(("path", "instance"), [(CONNECTOR, None), (f"{CONNECTOR}/{INSTANCE}", INSTANCE)])
def test_a_call_log_is_stored(path: str, instance: str | None):
    """It is stored with its fields and the instance in the path; it needs the x-api-key only."""
    account = Account()
    request_id = submit(account, path, CALL, 0.0, "")
    answer = outcome(account, request_id, "/1/api/telephony/logcallcomplete/status")
    (call,) = Books(account, lambda: 1.0).calls
    assert answer == {"Status": "Success", "Message": {"Id": call.id}}
    assert (call.connector_key, call.instance) == ("159f38f24a332f0c44374f8ebf0fc2bf7d", instance)
    assert call.fields == {**CALL, "CallDuration": "34"}
    assert account.misplaced_keys == []


def test_keys_of_a_call_log_are_misplaced():
    """A call log takes neither accessKey nor secretKey, anywhere."""
    account = Account()
    account.decide(submission(CONNECTOR, CALL, KEYS), 0.0)
    headers = {**HEADERS, "x-LSQ-AccessKey": ACCESS_KEY}
    account.decide(replace(submission(CONNECTOR, CALL, ""), headers=headers), 0.0)
    assert account.misplaced_keys == [
        "call-log: a key in the query",
        "call-log: a key in the header x-lsq-accesskey",
    ]


@pytest.mark.parametrize(
    "rest",
    ["", "/", "/status", "/metrics", "/key/", "/key/not-a-guid", f"/key/{INSTANCE}/more", "/a%2Fb", "s/key"],
)
def test_a_call_log_needs_its_connector_in_the_path(rest: str):
    """The path continues with a key and an optional GUID, and nothing else."""
    reply = Account().decide(submission(f"/1/api/telephony/logcallcomplete{rest}", CALL, ""), 0.0)
    assert (reply.status, content(reply)) == (403, {"message": "Missing Authentication Token"})


UNKNOWN = {
    "update": ("MXInvalidInputException: The lead does not exist.", None),
    "activity": ("MXUnknownProspectActivityException: The lead does not exist.", None),
    "opportunity-update": (
        "MXInvalidInputException: The opportunity does not exist.",
        {"ProspectOpportunityId": LEAD, "OpportunityNote": "Won"},
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_lead_or_opportunity_fails_in_processing(name: str):
    """The submission is accepted, and its status is FAILURE."""
    reason, body = UNKNOWN[name]
    path, query, documented, status_path, *_ = TABLE.get(
        name, ("/opportunity/update", KEYS, body, "/opportunity/update/status")
    )
    account = Account()
    status = task_status(account, submit(account, path, documented, 0.0, query), 1.0, status_path)
    assert (status["Status"], status["StatusReason"], status["Message"]) == ("FAILURE", reason, None)
    assert account.records.leads == {}


@pytest.mark.parametrize("name", ["update", "lead-and-activity", "opportunity"])
def test_an_unknown_attribute_fails_the_whole_request(name: str):
    """Nothing is created or changed, and no activity is posted."""
    path, query, body, status_path, *_ = TABLE[name]
    account = with_lead(attributes={"FirstName", "EmailAddress"})
    status = task_status(account, submit(account, path, body, 1.0, query), 2.0, status_path)
    assert status["StatusReason"] == "MXUnknownAttributeException: Attribute(s) does not exist - mx_City."
    (lead,) = account.records.leads.values()
    assert lead.attributes["FirstName"] == "Old"
    assert len(lead.activities) == 1
    assert account.records.opportunities == {}


@ROWS
def test_submissions_need_their_keys(name: str):
    """The gateway wants the x-api-key, LeadSquared the other two, which a call log does not take."""
    path, query, body, *_ = TABLE[name]
    request = submission(path, body, query)
    account = Account(limit=None)
    assert account.decide(replace(request, headers={"content-type": "application/json"}), 0.0).status == 403
    bare = query.replace(KEYS, "").lstrip("&")
    assert account.decide(replace(request, query=bare), 0.0).status == (200 if name == "call-log" else 401)
    assert account.decide(replace(request, headers={"x-api-key": API_KEY}), 0.0).status == 415


@ROWS
def test_faults_know_every_operation_by_its_name(name: str):
    """A fault of one operation does not affect other calls."""
    path, query, body, status_path, *_ = TABLE[name]
    account = with_lead(faults=Faults(script=("503", "504+taken"), operations=(name,)))
    assert account.decide(status_request("1", status_path), 1.0).status == 404
    for status, taken in ((503, 0), (504, 1)):
        assert account.decide(submission(path, body, query), 1.0).status == status
        assert len(account.queues[name].tasks) == taken


def test_the_queues_are_processed_in_the_order_of_time():
    """An activity finds the lead that was captured before it, however late the state is read."""
    for looks in (1, 50):
        account = Account(processing_rate=60, limit=None)
        early = submit(account, "/activity/create", {"RelatedProspectId": LEAD, "ActivityEvent": 1}, 0.0)
        capture(account, 0.3, ProspectID=LEAD)
        late = submit(account, "/activity/create", {"RelatedProspectId": LEAD, "ActivityEvent": 2}, 0.6)
        for look in range(looks):
            account.advance(5.0 * (look + 1) / looks)
        states = [task_status(account, request, 5.0, "/activity/create/status") for request in (early, late)]
        assert [state["Status"] for state in states] == ["FAILURE", "Success"]


def test_no_repr_of_a_record_shows_personal_data():
    """The reprs of leads, activities, opportunities and phone calls show ids only."""
    account = with_lead()
    for path, query, body, *_ in TABLE.values():
        submit(account, path, body, 1.0, query)
    account.advance(2.0)
    records = account.records
    activities = [activity for lead in records.leads.values() for activity in lead.activities]
    tasks = [queue.tasks for queue in account.queues.values()]
    seen = repr((records.leads, records.opportunities, records.calls, activities, tasks, records))
    assert "12231" in seen
    for secret in (
        *("email@example.com", "Bangalore", "Bret", "Your Activity Note", "123123123", "Opportunity capture"),
        *("8611795988", "159f38f24a332f0c44374f8ebf0fc2bf7d", "Answered"),
    ):
        assert secret not in seen


NO_PATH = {"message": "Missing Authentication Token"}
MOVED = {
    **{f"{name} status": ("GET", row_[3]) for name, row_ in TABLE.items()},
    **{f"{name} metrics": ("GET", row_[5]) for name, row_ in TABLE.items()},
    **{name: ("POST", row_[0]) for name, row_ in TABLE.items() if name != "call-log"},
    "capture": ("POST", "/lead/capture"),
    "capture status": ("GET", "/lead/status"),
    "capture metrics": ("GET", "/lead/capture/metrics"),
    "opportunity-update": ("POST", "/opportunity/update"),
    "opportunity-update status": ("GET", "/opportunity/update/status"),
    "opportunity-update metrics": ("GET", "/opportunity/update/metrics"),
    "fields": ("GET", FIELDS),
    "user": ("GET", USER),
    "bulk": ("POST", BULK),
}


@pytest.mark.parametrize("name", MOVED)
def test_a_moved_call_exists_at_its_new_path_only(name: str):
    """Its default path answers as an unknown path does."""
    method, usual = MOVED[name]
    account = Account(paths={name: "/moved/here"})
    there = Request(method, "/moved/here", headers={"x-api-key": API_KEY})
    assert account.decide(there, 0.0).status in {200, 400, 401}
    gone = account.decide(Request(method, usual, KEYS, {"x-api-key": API_KEY}), 0.0)
    assert (gone.status, content(gone)) == (403, NO_PATH)


def test_a_moved_call_log_keeps_its_connector():
    """The new path continues with key and GUID."""
    account = Account(paths={"call-log": "/telephony/logcall"})
    for rest in ("/key", f"/key/{INSTANCE}"):
        submit(account, f"/telephony/logcall{rest}", {"Status": "Answered"}, 0.0, "")
    assert account.decide(submission(CONNECTOR, {"Status": "Answered"}, ""), 0.0).status == 403


def test_operations_may_share_the_path_of_their_status():
    """Each RequestID is found, whatever its operation, and spelt as that one spells it."""
    account = Account(paths={f"{name} status": "/lead/status" for name in TABLE})
    ids = {"capture": capture(account, 0.0, FirstName="B")}
    for name, (path, query, body, *_) in TABLE.items():
        ids[name] = submit(account, path, body, 0.0, query)
    for request_id in ids.values():
        found = content(account.decide(status_request(request_id), 0.0))
        assert request_id in {found.get("RequestId"), found.get("RequestID")}
    assert account.decide(status_request("1"), 0.0).status == 404


def test_two_calls_may_change_places():
    """The path of a moved call is free for another one."""
    account = Account(paths={"capture": "/lead/update", "update": "/lead/capture"})
    assert account.decide(submission("/lead/update", BRET), 0.0).status == 200
    assert account.decide(submission("/lead/capture", BRET), 0.0).status == 400
    assert [arrival.operation for arrival in account.arrivals] == ["capture", "update"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({"captures": "/lead"}, "paths: no call is called captures"),
        ({"status": "/lead"}, "paths: no call is called status"),
        ({"capture": "lead"}, "paths: a path must begin with a slash, not 'lead'"),
        ({"capture": "/lead/update"}, "paths: two calls have the path /lead/update"),
        ({"update metrics": "/lead/status"}, "paths: two calls have the path /lead/status"),
    ],
)
def test_invalid_paths_are_refused(paths: dict[str, str], message: str):
    """The error names the call or the path."""
    with pytest.raises(ValueError, match=message):
        Account(paths=paths)

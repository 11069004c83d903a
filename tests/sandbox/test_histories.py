"""The history of a lead and of a call: attempts, requests, matches, and the calls that followed them."""

import json

from leadsquared_async.sandbox import Account, Faults
from leadsquared_async.sandbox.histories import MOST_SHOWN, history_of_call, history_of_lead
from leadsquared_async.sandbox.masking import MASK
from leadsquared_async.sandbox.records import Activity

from .calls import (
    ACCESS_KEY,
    API_KEY,
    BRET,
    SECRET_KEY,
    bulk_request,
    capture,
    capture_request,
    row,
    status_request,
    submission,
    submit,
)
from .documented import LEAD_DETAILS, OPPORTUNITY


def numbers(history: dict | None) -> list[int]:
    """The numbers of the calls of a history."""
    assert history is not None
    return [call["number"] for call in history["calls"]]


def test_a_history_shows_no_key_in_any_of_its_texts():
    """Neither in an attribute, a note and an opportunity, nor in a request's reason and message."""
    account = Account()
    submit(account, "/opportunity/capture", {"LeadDetails": LEAD_DETAILS, "Opportunity": OPPORTUNITY})
    account.advance(9.0)
    (lead,), (task,) = account.records.leads.values(), account.tasks
    (opportunity,) = account.records.opportunities.values()
    lead.attributes["mx_Notes"] = opportunity.note = task.reason = task.message = API_KEY
    lead.activities.append(Activity(note=SECRET_KEY))
    shown = json.dumps([history_of_lead(account, lead.id), history_of_call(account, 1)])
    assert shown.count(json.dumps(MASK)[1:-1]) >= 10
    assert [key for key in (API_KEY, SECRET_KEY, ACCESS_KEY) if key in shown] == []


def test_the_history_of_a_lead():
    """Failed attempts, the request, its outcome, later changes and status calls; not other leads."""
    account = Account(limit=(3, 5.0), faults=Faults(script=("500", "ok", "ok", "429")))
    account.decide(capture_request(BRET), 0.0)  # 1: fails
    request_id = capture(account, 1.0, FirstName="Other")
    account.decide(capture_request(BRET), 2.0)  # 3
    account.decide(capture_request(BRET), 2.1)  # 4: over the limit
    changed = submission("/lead/capture", [{"Attribute": "EmailAddress", "Value": "bret.lee@australia.com"}])
    account.decide(changed, 7.0)  # 5
    account.advance(8.0)
    lead_id = next(lead.id for lead in account.records.leads.values() if "EmailAddress" in lead.attributes)
    first, second = (task for task in account.queues["capture"].tasks.values() if task.lead_id == lead_id)
    account.decide(status_request(first.request_id), 9.0)  # 6
    account.decide(status_request(request_id), 9.0)  # 7: another's
    history = history_of_lead(account, lead_id)
    assert numbers(history) == [1, 3, 4, 5, 6]
    assert [(it["request_id"], it["status"], it["matched_by"]) for it in history["requests"]] == [
        (first.request_id, "Success", None),
        (second.request_id, "Success", "EmailAddress"),
    ]
    assert (history["kind"], history["name"], history["contact"]) == (
        "lead",
        "Bret Lee",
        "bret.lee@australia.com",
    )
    assert ["EmailAddress", "bret.lee@australia.com"] in list(map(list, history["lead"]["attributes"]))
    assert [it["event"] for it in history["lead"]["activities"]] == ["Lead Capture", "Lead Capture"]
    assert history["left_out"] == 0
    assert [call["outcome"] for call in history["calls"]] == ["500", "200", "429", "200", "200"]


def test_the_history_of_a_lead_has_its_bulk_calls_and_its_opportunities():
    """Whichever operation changed it."""
    account = Account(limit=None)
    submit(account, "/opportunity/capture", {"LeadDetails": LEAD_DETAILS, "Opportunity": OPPORTUNITY})
    account.advance(1.0)
    (lead_id,) = account.records.leads
    account.decide(bulk_request([row(ProspectID=lead_id, FirstName="New")]), 2.0)
    history = history_of_lead(account, lead_id)
    assert numbers(history) == [1, 2]
    (opportunity,) = history["lead"]["opportunities"]
    assert opportunity["event_code"] == 12231


def test_a_repeated_body_that_made_another_lead_is_not_in_the_history():
    """Without an identity each capture makes a lead of its own."""
    account = Account(limit=None)
    for _ in range(2):
        account.decide(capture_request(FirstName="A"), 0.0)
    account.advance(1.0)
    assert [numbers(history_of_lead(account, lead_id)) for lead_id in account.records.leads] == [[1], [2]]


def test_the_history_of_a_call_that_was_rejected():
    """It has no request and no lead."""
    account = Account()
    account.decide(capture_request(b"[]"), 0.0)
    history = history_of_call(account, 1)
    assert (history["kind"], history["requests"], history["lead"]) == ("call", [], None)
    assert history["call"]["why"] == "The body has no attribute"
    assert numbers(history) == [1]


def test_the_history_of_a_call_has_all_attempts_of_its_submission():
    """Whichever attempt is looked at, and the calls that followed its requests."""
    account = Account(limit=None, faults=Faults(script=("503", "lost+taken", "ok")))
    for now in (0.0, 1.0, 2.0):
        account.decide(capture_request(BRET), now)
    account.decide(capture_request(FirstName="Other"), 2.0)
    ids = list(account.queues["capture"].tasks)
    account.decide(status_request(ids[1]), 3.0)
    for number in (1, 2, 3, 5):
        history = history_of_call(account, number)
        assert numbers(history) == [1, 2, 3, 5]
        assert sorted(it["request_id"] for it in history["requests"]) == sorted(ids[:2])
        assert history["call"]["number"] == number
        assert (history["name"], history["lead"]["id"]) == ("Bret Lee", next(iter(account.records.leads)))


def test_the_history_of_a_failed_request_says_why():
    """The reason is LeadSquared's, and no lead exists."""
    account = Account(attributes={"FirstName"})
    account.decide(capture_request(mx_Typo="A"), 0.0)
    account.advance(1.0)
    (request,) = history_of_call(account, 1)["requests"]
    assert (request["status"], request["lead_id"]) == ("FAILURE", None)
    assert request["reason"] == "MXUnknownAttributeException: Attribute(s) does not exist - mx_Typo."


def test_a_request_that_waits_for_a_retry():
    """System errors so far, on the account's clock."""
    account = Account(processing_rate=60, speed=2, faults=Faults(system_error=1.0))
    account.decide(capture_request(BRET), 1.0)
    account.advance(5.0)
    (request,) = history_of_call(account, 1)["requests"]
    assert (request["status"], request["system_errors"], request["most_system_errors"]) == ("In-Queue", 1, 10)
    assert (request["accepted_at"], request["finished_at"]) == (1.0, None)


def test_a_request_whose_call_is_forgotten_is_still_shown():
    """The lead keeps its requests; a call that is forgotten has no history."""
    account = Account(limit=None)
    account.decide(capture_request(BRET), 0.0)
    for _ in range(1000):
        account.decide(status_request("1"), 0.0)
    account.advance(1.0)
    (lead_id,) = account.records.leads
    history = history_of_lead(account, lead_id)
    assert (len(history["requests"]), history["calls"]) == (1, [])
    assert history_of_call(account, 1) is None


def test_a_long_history_is_cut():
    """The last calls and requests are shown, and how many are left out."""
    account = Account(limit=None)
    for _ in range(MOST_SHOWN + 5):
        account.decide(capture_request(BRET), 0.0)
    account.advance(10.0)
    (lead_id,) = account.records.leads
    for history in (history_of_lead(account, lead_id), history_of_call(account, 3)):
        assert (len(history["requests"]), len(history["calls"])) == (MOST_SHOWN, MOST_SHOWN)
        assert (history["left_out"], numbers(history)[-1]) == (10, MOST_SHOWN + 5)


def test_unknown_histories():
    """None for a lead or a call that does not exist."""
    assert history_of_lead(Account(), "x") is None
    assert history_of_call(Account(), 1) is None


def test_no_history_shows_a_key():
    """Not in attributes, notes, messages or reasons."""
    account = Account(limit=None, attributes={"FirstName", "EmailAddress"})
    for key in (ACCESS_KEY, SECRET_KEY, API_KEY):
        account.decide(capture_request(FirstName=key, EmailAddress="a@b.c"), 0.0)
        account.decide(capture_request(**{key: "x"}), 0.0)
    account.advance(1.0)
    (lead_id,) = account.records.leads
    histories = [history_of_lead(account, lead_id), *(history_of_call(account, n) for n in range(1, 7))]
    shown = json.dumps(histories)
    assert [key for key in (ACCESS_KEY, SECRET_KEY, API_KEY) if key in shown] == []

"""What the window shows of an account, without a socket."""

import json
from collections import Counter
from dataclasses import replace
from urllib.parse import quote

import pytest

from leadsquared_async.sandbox import Account, Faults, Reply, Request
from leadsquared_async.sandbox.answers import dump
from leadsquared_async.sandbox.exchanges import Arrival, Exchange
from leadsquared_async.sandbox.summaries import LONGEST, describe_values
from leadsquared_async.sandbox.views import (
    MINUTE,
    STEP,
    last_minute,
    list_calls,
    list_leads,
    overview,
    show_call,
)

from .calls import (
    ACCESS_KEY,
    API_KEY,
    BRET,
    HEADERS,
    KEYS,
    SECRET_KEY,
    bulk_request,
    capture_request,
    status_request,
    submission,
)
from .calls import row as bulk_row
from .documented import LEAD_DETAILS, OPPORTUNITY

KEPT_KEYS = (ACCESS_KEY, SECRET_KEY, API_KEY, "u%24r")


@pytest.mark.parametrize("key", [ACCESS_KEY, "u$r-a-real-key-of-somebody"])
def test_a_call_shows_no_key_in_any_of_its_texts(key: str):
    """Neither in the path, the reason and the headers of the reply, nor in what was sent."""
    request = Request("GET", f"/lead/{key}", f"accessKey={quote(key)}&a={key}", {"x-note": key}, key.encode())
    arrival = Arrival(0.0, "unknown", "403", False, "GET", request.path, f"no path has {key}")
    reply = Reply(403, {"x-sandbox-hint": f"not {key}", "location": f"/?{quote(key)}"}, key.encode())
    shown = dump(show_call(Account(), Exchange(1, arrival, request, reply, (0, 0))))
    assert key not in shown
    assert quote(key) not in shown


def test_the_overview_counts_calls_requests_and_leads():
    """Calls by how they ended, requests by status."""
    account = Account(
        limit=(4, 5.0), attributes={"FirstName"}, processing_rate=60, faults=Faults(script=("ok", "500"))
    )
    for lead in (
        {"FirstName": "A"},
        {"FirstName": "B"},
        {"mx_Typo": "C"},
        {"FirstName": "D"},
        {"FirstName": "E"},
    ):
        account.decide(capture_request(**lead), 0.0)
    account.decide(capture_request(b"{", query=""), 6.0)
    account.decide(capture_request(FirstName="F"), 6.0)
    account.advance(6.5)
    shown = overview(account, 6.5)
    assert shown["counts"] == {
        "calls": 7,
        "kept_calls": 7,
        "limit": 1,
        "rejected": 1,
        "fault": 1,
        "requests": 4,
        "leads": 2,
    }
    assert shown["statuses"] == {"In-Queue": 1, "Success": 2, "FAILURE": 1}
    assert shown["queues"] == [{"operation": "capture", "pending": 1, "oldest": 0.5}]
    assert shown["settings"]["limit"] == (4, 5.0)
    assert shown["faults"]["script"] == ("ok", "500")


def test_an_empty_account_can_be_shown():
    """Zeros, and no waiting queue."""
    shown = overview(Account(limit=None), 0.0)
    assert set(shown["counts"].values()) == {0}
    assert (shown["statuses"], shown["queues"], shown["minute"]["limit"]) == ({"In-Queue": 0}, [], None)
    assert json.loads(json.dumps(shown)) is not None


def arrival(time: float, outcome: str = "200", operation: str = "capture") -> Arrival:
    return Arrival(time, operation, outcome, outcome == "429", "POST", "/", "")


def test_the_bars_of_the_last_minute():
    """Each bar has its calls by how they ended, and the most within a window that ends in it."""
    arrivals = [arrival(0.1 * n) for n in range(30)] + [arrival(3.0, "429"), arrival(3.0, "500")]
    bars = last_minute(arrivals, 10.0, 5.0)
    assert len(bars) == MINUTE / STEP
    assert [bar["start"] for bar in bars[-2:]] == [9.5, 10.0]
    by_start = {bar["start"]: bar for bar in bars}
    assert by_start[0.0] == {"start": 0.0, "peak": 5, "ok": 5}
    assert by_start[3.0] == {"start": 3.0, "peak": 32, "limit": 1, "rejected": 1}
    assert by_start[5.0]["peak"] == 31
    assert by_start[5.5]["peak"] == 26
    assert by_start[8.0]["peak"] == 0
    assert by_start[-1.0] == {"start": -1.0, "peak": 0}


def test_the_peak_is_exact():
    """A call that arrives when the first one leaves the window does not count beside it."""
    bars = last_minute([arrival(0.0), *(arrival(4.9) for _ in range(24)), arrival(5.0)], 5.0, 5.0)
    assert max(bar["peak"] for bar in bars) == 25


def test_calls_before_the_minute_and_bulk_calls_are_not_drawn():
    """Bulk calls have a limit of their own."""
    bars = last_minute([arrival(1.0), arrival(100.0, operation="bulk"), arrival(100.0)], 100.0, 5.0)
    totals = sum((Counter({tone: bar.get(tone, 0) for tone in ("ok", "limit")}) for bar in bars), Counter())
    assert totals == {"ok": 1}


def test_the_list_of_calls_is_paged_newest_first():
    """`before` continues where a page ended."""
    account = Account(limit=None)
    for _ in range(5):
        account.decide(capture_request(BRET), 0.0)
    page = list_calls(account, limit=2)
    assert ([it["number"] for it in page["calls"]], page["has_more"]) == ([5, 4], True)
    page = list_calls(account, limit=3, before=4)
    assert ([it["number"] for it in page["calls"]], page["has_more"]) == ([3, 2, 1], False)


def test_a_call_in_a_line():
    """Who it is about, how it ended, and what became of its request."""
    account = Account()
    account.decide(capture_request(BRET), 1.0)
    account.advance(2.0)
    (task,) = account.queues["capture"].tasks.values()
    assert list_calls(account)["calls"] == [
        {
            "number": 1,
            "time": 1.0,
            "operation": "capture",
            "method": "POST",
            "path": "/lead/capture",
            "outcome": "200",
            "tone": "ok",
            "why": "",
            "request_id": task.request_id,
            "status": "Success",
            "lead_id": task.lead_id,
            "name": "Bret Lee",
            "contact": "bret.lee@australia.com",
        }
    ]


def test_whom_a_call_is_about():
    """Each kind of body names its lead; a status call that of its request."""
    account = Account(limit=None)
    account.decide(capture_request(BRET), 0.0)
    (request_id,) = account.queues["capture"].tasks
    account.decide(status_request(request_id.upper()), 0.0)
    account.decide(bulk_request([bulk_row(FirstName="A"), bulk_row(FirstName="B")]), 0.0)
    account.decide(
        submission("/opportunity/capture", {"LeadDetails": LEAD_DETAILS, "Opportunity": OPPORTUNITY}), 0.0
    )
    account.decide(capture_request(b"[[], {"), 0.0)
    account.decide(capture_request(b'[1, {}, {"Attribute": 1, "Value": 2}]'), 0.0)
    account.decide(status_request(""), 0.0)
    found = [(it["name"], it["contact"]) for it in list_calls(account)["calls"]]
    first = {entry["Attribute"]: entry["Value"] for entry in LEAD_DETAILS}
    opportunity = describe_values(first)
    assert found[::-1] == [
        ("Bret Lee", "bret.lee@australia.com"),
        ("Bret Lee", "bret.lee@australia.com"),
        ("2 leads", ""),
        (opportunity["name"], opportunity["contact"]),
        ("", ""),
        ("", ""),
        ("", ""),
    ]


def test_a_long_name_is_cut():
    """A row stays a row."""
    name = describe_values({"FirstName": "x" * 5000})["name"]
    assert (len(name), name[-1]) == (LONGEST, "…")


@pytest.mark.parametrize(
    ("kind", "operations"),
    [
        ("all", ["capture", "capture", "status", "unknown", "bulk"]),
        ("submissions", ["capture", "capture", "bulk"]),
        ("problems", ["capture", "unknown"]),
    ],
)
def test_kinds_of_calls(kind: str, operations: list[str]):
    """Submissions leave out calls that only read; problems leave out what was answered with success."""
    account = Account(faults=Faults(script=("ok", "500")))
    for _ in range(2):
        account.decide(capture_request(BRET), 0.0)
    (request_id,) = account.queues["capture"].tasks
    account.decide(status_request(request_id), 0.0)
    account.decide(submission("/nowhere", b""), 0.0)
    account.decide(bulk_request([bulk_row(FirstName="A")]), 0.0)
    calls = list_calls(account, kind=kind)["calls"]
    assert [call["operation"] for call in reversed(calls)] == operations


@pytest.mark.parametrize(
    "search",
    ["bret.LEE@", "Straße", "c:\\\\temp", "415", "content-type", "donotupdate", " FirstName ", "Unsupported"],
)
def test_a_search_looks_at_what_was_sent_and_answered(search: str):
    """In any case, and in JSON's escapes too."""
    account = Account(limit=None)
    body = json.dumps([{"Attribute": "FirstName", "Value": "bret.lee@ Straße c:\\temp"}]).encode()
    call = submission("/lead/capture", body, f"{KEYS}&LeadUpdateBehavior=DoNotUpdate")
    account.decide(replace(call, headers={**HEADERS, "content-type": "text/plain"}), 0.0)
    account.decide(capture_request(b"[]", query=""), 0.0)
    (found,) = list_calls(account, search=search)["calls"]
    assert found["number"] == 1
    assert list_calls(account, search="nothing like it")["calls"] == []


def test_a_request_is_found_by_its_id_and_its_status():
    """With the calls that asked for it."""
    account = Account(attributes={"LastName"})
    account.decide(capture_request(FirstName="A"), 0.0)
    (request_id,) = account.queues["capture"].tasks
    account.decide(status_request(request_id), 1.0)
    assert [it["number"] for it in list_calls(account, search=request_id)["calls"]] == [2, 1]
    assert [it["number"] for it in list_calls(account, search="failure")["calls"]] == [2, 1]


def test_the_list_of_leads():
    """Newest first, paged, searched in all values."""
    account = Account(limit=None)
    for name in ("Ann", "Bret", "Cleo"):
        account.decide(capture_request(FirstName=name, EmailAddress=f"{name}@example.com"), 1.0)
    account.advance(2.0)
    page = list_leads(account, limit=2)
    assert [(it["number"], it["name"], it["contact"]) for it in page["leads"]] == [
        (3, "Cleo", "Cleo@example.com"),
        (2, "Bret", "Bret@example.com"),
    ]
    assert page["has_more"]
    assert [it["name"] for it in list_leads(account, before=2)["leads"]] == ["Ann"]
    (found,) = list_leads(account, search="bret@EXAMPLE")["leads"]
    assert found["id"] in account.records.leads
    assert found["time"] == pytest.approx(1.02)
    assert list_leads(account, search=found["id"])["leads"] == [found]
    assert list_leads(account, search="nobody")["leads"] == []


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": 501}, {"search": "x" * 201}, {"kind": "some"}])
def test_an_invalid_list_raises_value_error(options: dict[str, object]):
    """Nothing unbounded can be asked for."""
    with pytest.raises(ValueError, match="must be"):
        list_calls(Account(), **options)


def test_a_call_is_shown_with_what_was_sent_and_answered():
    """JSON is indented; the hint says why."""
    account = Account()
    account.decide(capture_request(b'[{"Attribute":"A"}]'), 0.0)
    shown = show_call(account, next(iter(account.exchanges)))
    assert shown["body"] == '[\n  {\n    "Attribute": "A"\n  }\n]'
    assert (shown["size"], shown["is_cut"], shown["why"]) == (19, False, "the body[0]: Value is not a string")
    reply = shown["reply"]
    assert (reply["status"], reply["how"]) == (400, "whole")
    assert ["content-type", "application/json"] in list(map(list, reply["headers"]))
    assert '"ExceptionType": "MXInvalidInputException"' in reply["body"]


def test_no_view_shows_a_key():
    """Wherever a call had put it."""
    account = Account(limit=None)
    for key in (ACCESS_KEY, SECRET_KEY, API_KEY):
        account.decide(
            capture_request(FirstName=key, EmailAddress=f"{key}@a.b", query=f"{KEYS}&x={key}"), 0.0
        )
        account.decide(submission(f"/lead/{key}".replace("$", "%24"), b"", ""), 0.0)
        account.decide(submission(f"/1/api/telephony/logcallcomplete/{key[-9:]}", {"Tag": key}, ""), 0.0)
    account.advance(1.0)
    views = [overview(account, 1.0), list_calls(account), list_leads(account)]
    views += [show_call(account, exchange) for exchange in account.exchanges]
    shown = json.dumps(views, ensure_ascii=False)
    assert [key for key in KEPT_KEYS if key in shown] == []
    assert "key" not in list_calls(account)["calls"][0]["path"].replace("connectorKey", "")

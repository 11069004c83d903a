"""The control plane: the books over HTTP, for programs on this machine only."""

import json
from dataclasses import fields, replace

import pytest

from leadsquared_async.sandbox import COUNTERS, Account, Books, Faults, Reply, Request
from leadsquared_async.sandbox.control import answer

from .calls import BRET, capture_request, content, submit
from .documented import LEAD_DETAILS, OPPORTUNITY

HOST = {"host": "127.0.0.1:8025"}


def make_books() -> Books:
    """Books in which one lead was captured."""
    account = Account()
    account.decide(capture_request(BRET), 1.0)
    return Books(account, lambda: 2.0)


def get(page: str) -> Request:
    return Request("GET", f"/_sandbox/{page}", headers=HOST)


def test_the_pages_show_the_books():
    """Each page is what the books hold, with all fields."""
    books = make_books()
    (request,) = content(answer(get("requests"), books))
    assert request.pop("request_id")
    assert request == {
        "operation": "capture",
        "status": "Success",
        "reason": "",
        "system_errors": 0,
        "finished_at": 1.01,
    }
    (lead,) = content(answer(get("leads"), books))
    assert lead["attributes"]["EmailAddress"] == "bret.lee@australia.com"
    assert [activity["event"] for activity in lead["activities"]] == ["Lead Capture"]
    assert content(answer(get("summary"), books)) == books.summary()
    arrivals = content(answer(get("arrivals"), books))
    assert arrivals["most_arrivals"] == 1
    assert arrivals["arrivals"] == [
        {
            "time": 1.0,
            "operation": "capture",
            "outcome": "200",
            "over_limit": False,
            "method": "POST",
            "path": "/lead/capture",
            "why": "",
        }
    ]


def test_the_pages_of_opportunities_and_calls():
    """They list what was stored, with its fields."""
    account = Account()
    submit(account, "/opportunity/capture", {"LeadDetails": LEAD_DETAILS, "Opportunity": OPPORTUNITY})
    submit(account, "/1/api/telephony/logcallcomplete/key", {"Status": "Answered"}, 0.0, "")
    books = Books(account, lambda: 2.0)
    (kept,) = content(answer(get("opportunities"), books))
    assert (kept["event_code"], kept["fields"]) == (12231, {"mx_Custom_1": "1", "mx_Custom_2": "1"})
    (call,) = content(answer(get("calls"), books))
    assert (call["connector_key"], call["fields"]) == ("key", {"Status": "Answered"})
    assert (books.summary()["opportunities"], books.summary()["calls"]) == (1, 1)


def put_faults(books: Books, content: object) -> Reply:
    """PUT something, JSON or bytes."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return answer(replace(get("faults"), method="PUT", body=body), books)


def test_faults_can_be_shown_and_set():
    """PUT sets the faults and answers with all of them."""
    books = make_books()
    assert content(answer(get("faults"), books)) == Faults().to_json() | {
        "script": [],
        "operations": [],
        "processing_script": [],
    }
    reply = put_faults(books, {"script": ["500", "lost"], "latency": 0.5})
    assert reply.status == 200
    assert books.faults == Faults(script=("500", "lost"), latency=0.5)
    assert content(reply) == content(answer(get("faults"), books))


VALUES = {
    "latency": 0.5,
    "jitter": 0.25,
    "tail": 1.0,
    "probabilities": {"500": 0.5},
    "script": ["502"],
    "operations": ["status"],
    "outage": [1.0, 2.0],
    "outage_fault": "401",
    "drip": 0.5,
    "system_error": 0.5,
    "processing_script": ["system-error"],
    "missing_rows": 0.5,
}


@pytest.mark.parametrize("name", [field.name for field in fields(Faults)])
def test_a_put_changes_what_it_names_only(name: str):
    """PUT keeps the faults that it does not name."""
    books = make_books()
    others = {other: value for other, value in VALUES.items() if other != name}
    books.faults = Faults(**others)
    assert content(put_faults(books, {name: VALUES[name]})) == VALUES
    assert content(put_faults(books, {})) == VALUES


@pytest.mark.parametrize(
    ("change", "seen"), [({"latency": 0.5}, [503, 504, 200]), ({"script": ["500", "502"]}, [500, 502, 200])]
)
def test_a_put_restarts_a_script_only_if_it_names_it(change: dict[str, object], seen: list[int]):
    """A script that the PUT does not name continues."""
    account = Account(faults=Faults(script=("500", "503", "504")))
    books = Books(account, lambda: 2.0)
    assert account.decide(capture_request(BRET), 1.0).status == 500
    put_faults(books, change)
    assert [account.decide(capture_request(BRET), 3.0).status for _ in range(3)] == seen


def test_a_put_keeps_the_processing_script_running():
    """The processing script continues as the script of calls does."""
    script = ("system-error", "system-error")
    account = Account(faults=Faults(processing_script=script), processing_rate=60)
    books = Books(account, lambda: 1.5)
    for _ in range(3):
        account.decide(capture_request(BRET), 0.0)
    put_faults(books, {"latency": 0.5})
    assert [request["system_errors"] for request in Books(account, lambda: 4.0).requests] == [1, 1, 0]


def test_a_delete_ends_all_faults():
    """DELETE also ends the faults of the start; a reset restores those."""
    account = Account(faults=Faults(script=("500",) * 9, latency=1.0))
    books = Books(account, lambda: 2.0)
    reply = answer(replace(get("faults"), method="DELETE"), books)
    assert (reply.status, books.faults) == (200, Faults())
    assert content(reply) == content(answer(get("faults"), books))
    assert account.decide(capture_request(BRET), 1.0).status == 200
    books.reset()
    assert account.decide(capture_request(BRET), 1.0).status == 500


WRONG_FAULTS = (
    *(b"", b"[]", b"\xff", b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000),
    *(b'{"script":["' + b"x" * 50_000 + b'"]}', b'{"script":["\\u001b[2J\\r\\n"]}', b'{"script":null}'),
    *(b'{"operations":["captures"]}', b'{"operations":["\\ud800"]}', b'{"' + b"y" * 50_000 + b'":1}'),
    *(b'{"latency":' + b"9" * 5000 + b"}", b'{"latency":' + b"9" * 400 + b"}", b'{"latency":NaN}'),
    *(b'{"latency":{"a":[1]}}', b'{"outage":[0,1e999]}', b'{"outage":{"0":1}}', b'{"outage_fault":["503"]}'),
    *(b'{"probabilities":{"500":' + b"9" * 400 + b"}}", b'{"__class__":"x"}'),
    b'{"script":["ok"]}' + b" " * 65_536,
)


@pytest.mark.parametrize("body", WRONG_FAULTS)
def test_invalid_faults_are_answered_400_and_change_nothing(body: bytes):
    """The error is one short line."""
    books = make_books()
    books.faults = before = Faults(latency=0.5, script=("ok",))
    reply = put_faults(books, body)
    assert reply.status == 400
    error = content(reply)["error"]
    assert 0 < len(error) < 600
    assert error.isprintable()
    assert error.isascii()
    assert books.faults == before


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b"\xff", b"x" * 100_000])
@pytest.mark.parametrize(("method", "page"), [("POST", "reset"), ("DELETE", "faults"), ("GET", "summary")])
def test_an_unneeded_body_is_ignored(method: str, page: str, body: bytes):
    """Calls without a body ignore one that is sent."""
    books = make_books()
    assert answer(replace(get(page), method=method, body=body), books).status in {200, 204}
    assert books.accepted == (page != "reset")


def put_settings(books: Books, content: object) -> Reply:
    """PUT something, JSON or bytes."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return answer(replace(get("settings"), method="PUT", body=body), books)


SETTINGS = {
    "limit": [25, 5.0],
    "bulk_limit": [1, 5.0],
    "counting": "sliding-log",
    "count_refused": False,
    "processing_rate": 6000.0,
    "paths": {},
    "keys": "query",
}
OTHER_SETTINGS = {
    "limit": [2, 10.0],
    "bulk_limit": None,
    "counting": "gcra",
    "count_refused": True,
    "processing_rate": 60.0,
    "paths": {"capture metrics": "/lead/metrics", "activity status": None},
    "keys": "headers",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_put_changes_the_named_settings_only(name: str):
    """PUT keeps what it does not name and answers with all; a reset restores the settings of the start."""
    books = make_books()
    assert content(answer(get("settings"), books)) == SETTINGS
    assert content(put_settings(books, {name: OTHER_SETTINGS[name]})) == SETTINGS | {
        name: OTHER_SETTINGS[name]
    }
    assert content(put_settings(books, {})) == SETTINGS | {name: OTHER_SETTINGS[name]}
    books.reset()
    assert content(answer(get("settings"), books)) == SETTINGS


def test_a_changed_limit_holds_from_the_next_call_on():
    """Counting restarts at zero with the new algorithm, and a 429 names the new numbers."""
    account = Account(limit=(1, 5.0), bulk_limit=(3, 5.0))
    books = Books(account, lambda: 1.0)
    assert [account.decide(capture_request(BRET), 1.0).status for _ in range(2)] == [200, 429]
    put_settings(books, {"limit": [2, 4], "counting": "fixed-window"})
    replies = [account.decide(capture_request(BRET), 3.9) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert "limit of 2 in 4 second(s)" in content(replies[-1])["ExceptionMessage"]
    assert account.decide(capture_request(BRET), 4.0).status == 200
    put_settings(books, {"limit": None})
    assert {account.decide(capture_request(BRET), 4.0).status for _ in range(100)} == {200}


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"\xff", b'{"limit":[0,5]}', b'{"limit":[1000001,5]}', b'{"limit":[1,1e-9]}'),
        *(b'{"limit":[2.5,5]}', b'{"limit":[true,5]}', b'{"limit":[1,NaN]}', b'{"limit":25}'),
        *(b'{"counting":"leaky"}', b'{"counting":["gcra"]}', b'{"count_refused":1}', b'{"seed":1}'),
        *(b'{"limit":[1,' + b"9" * 400 + b"]}", b'{"\\ud800":1}', b'{"counting":"gcra"}' + b" " * 65_536),
    ],
)
def test_invalid_settings_are_answered_400_and_change_nothing(body: bytes):
    """The error is one short line."""
    books = make_books()
    reply = put_settings(books, body)
    assert reply.status == 400
    error = content(reply)["error"]
    assert 0 < len(error) < 600
    assert error.isprintable()
    assert content(answer(get("settings"), books)) == SETTINGS


@pytest.mark.parametrize("counting", COUNTERS)
@pytest.mark.parametrize("limit", [(1, 0.001), (1_000_000, 0.001), (1, 86_400.0), (1_000_000, 86_400)])
def test_every_valid_limit_can_be_counted(counting: str, limit: tuple[int, float]):
    """The smallest and the largest numbers overflow nothing, even late."""
    account = Account(limit=limit, counting=counting, count_refused=True)
    assert {account.decide(capture_request(BRET), at).status for at in (0.0, 1e9, 1e9)} <= {200, 429}


def test_an_unknown_page_is_404():
    """The error lists the pages that exist; the hint repeats it."""
    reply = answer(get("secrets"), make_books())
    assert reply.status == 404
    assert "reset, faults, requests, leads, arrivals, summary" in content(reply)["error"]
    assert content(reply) == {"error": reply.headers["x-sandbox-hint"]}


@pytest.mark.parametrize(
    ("method", "page", "allowed"), [("GET", "reset", "POST"), ("POST", "faults", "GET, PUT, DELETE")]
)
def test_a_wrong_method_is_405(method: str, page: str, allowed: str):
    """The error and the Allow header list the methods that exist."""
    reply = answer(replace(get(page), method=method), make_books())
    assert (reply.status, reply.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8025", "localhost", "LOCALHOST:80", "[::1]", "[::1]:80"]
)
@pytest.mark.parametrize(
    "others",
    [{}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}, {"User-Agent": "Mozilla/5.0"}],
)
def test_loopback_hosts_are_accepted(host: str, others: dict[str, str]):
    """Any port is accepted, and so is a browser's address bar."""
    assert answer(replace(get("summary"), headers={"Host": host, **others}), make_books()).status == 200


NOT_LOOPBACK = (
    *("", "evil.example", "evil.example:8025", "127.0.0.1.evil.example", "localhost.evil.example", "0.0.0.0"),
    *("evil@127.0.0.1", "evil:pw@127.0.0.1:8025", "@127.0.0.1", "127.0.0.1@evil.example", "[::1", "::1"),
    *("evil.example#127.0.0.1", "127.0.0.1:", "127.0.0.1:80:80", "127.0.0.1:123456", "127.0.0.1:\u0661"),
    *("127.0.0.1:80/path", "127.0.0.1?", "127.0.0.1\n", " 127.0.0.1", "127.0.0.1, evil.example", "127.1"),
    *("localhost.", "127.0.0.2", "2130706433", "[::1]evil", "[::1%25lo]", "[::ffff:127.0.0.1]"),
    *("loca\u017fhost", "http://127.0.0.1"),
)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        *({"host": host} for host in NOT_LOOPBACK),
        *({**HOST, "origin": origin} for origin in ("https://evil.example", "null", "")),
        *({**HOST, "sec-fetch-site": site} for site in ("cross-site", "same-site", "", "none, cross-site")),
        *({**HOST, "origin": origin} for origin in ("https://127.0.0.1:8025", "http://127.0.0.1:8026")),
        {**HOST, "origin": "http://localhost:8025"},
        {"host": "evil.example:8025", "origin": "http://evil.example:8025"},
        {**HOST, "sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8025"},
    ],
)
def test_web_pages_are_refused(headers: dict[str, str]):
    """Neither another site's page nor a name that resolves to this machine is accepted."""
    books = make_books()
    for method, page in (("GET", ""), ("GET", "leads"), ("POST", "reset"), ("PUT", "faults")):
        assert answer(Request(method, f"/_sandbox/{page}", headers=headers), books).status == 403
    assert books.accepted == 1

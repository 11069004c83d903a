"""The pages of the window: files, data, the test lead, and who may ask for them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from leadsquared_async import sandbox
from leadsquared_async.sandbox import COUNTERS, FAULTS, Account, Books, Faults, Reply, Request
from leadsquared_async.sandbox.control import ROUTES, answer, is_for_the_control_plane
from leadsquared_async.sandbox.counters import COUNTER_TEXTS
from leadsquared_async.sandbox.faults import FAULT_GROUPS

from .calls import ACCESS_KEY, API_KEY, BRET, SECRET_KEY, capture_request, content

HOST = {"host": "127.0.0.1:8025"}
BROWSER = {**HOST, "accept": "text/html,application/xhtml+xml,*/*;q=0.8", "sec-fetch-site": "none"}
SAME_ORIGIN = {**HOST, "origin": "http://127.0.0.1:8025", "sec-fetch-site": "same-origin"}
FILES = sorted((Path(sandbox.__file__).parent / "window").iterdir())


def books_of(account: Account, now: float = 2.0) -> Books:
    return Books(account, lambda: now)


def make_books() -> Books:
    account = Account()
    account.decide(capture_request(BRET), 1.0)
    return books_of(account)


def get(page: str, headers: dict[str, str] = HOST) -> Request:
    path, _, query = page.partition("?")
    return Request("GET", f"/_sandbox/{path}", query, headers)


def post(page: str, body: object, headers: dict[str, str], method: str = "POST") -> Request:
    return Request(method, f"/_sandbox/{page}", "", headers, json.dumps(body).encode())


def test_a_browser_gets_the_window_and_a_program_the_index():
    """The address is the same."""
    reply = answer(get("", BROWSER), make_books())
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert b"<title>LeadSquared sandbox</title>" in reply.body
    assert "calls" in content(answer(get("", {**HOST, "accept": "*/*"}), make_books()))


@pytest.mark.parametrize("path", ["/", "/_sandbox"])
def test_a_browser_is_redirected_to_the_window(path: str):
    """Wherever it starts."""
    request = Request("GET", path, headers=BROWSER)
    assert is_for_the_control_plane(request)
    reply = answer(request, make_books())
    assert (reply.status, reply.headers["location"]) == (302, "/_sandbox/")


def test_other_clients_get_from_the_root_what_leadsquared_answers():
    """The path does not exist there."""
    assert not is_for_the_control_plane(Request("GET", "/", headers={**HOST, "accept": "*/*"}))
    assert not is_for_the_control_plane(Request("POST", "/", headers=BROWSER))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_of_the_window_is_served(file: Path):
    """With its type; a file that is not served would be dead weight in the wheel."""
    page = "" if file.suffix == ".html" else f"window/{file.name}"
    reply = answer(get(page, BROWSER), make_books())
    types = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    assert reply.headers["content-type"].partition(";")[0] == types[file.suffix]
    assert reply.body == file.read_bytes()


@pytest.mark.parametrize(
    "name", ["window/../control.py", "window/window_pages.py", "window/", "window/.", "window/x.js"]
)
def test_no_other_file_is_served(name: str):
    """Names are looked up, not joined to a path."""
    assert answer(get(name), make_books()).status == 404


def test_the_icon_is_where_browsers_ask_for_it():
    """Such a request is no call of a client."""
    request = Request("GET", "/favicon.ico", headers=HOST)
    assert is_for_the_control_plane(request)
    assert answer(request, make_books()).headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize("page", ["", "window/window.js", "summary", "leads", "nothing", "window/events"])
def test_every_reply_is_protected(page: str):
    """Nothing is cached, embedded, guessed or run that is not the window's own."""
    headers = answer(get(page, BROWSER), make_books()).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.suffix != ".svg"], ids=lambda file: file.name
)
def test_the_window_needs_no_other_host_and_makes_no_html_of_data(file: Path):
    """No address but its own, no inline script or style, and no way from a value to HTML."""
    text = re.sub(r'http://www\.w3\.org/2000/svg"|^ *//.*', "", file.read_text("utf-8"), flags=re.MULTILINE)
    assert set(re.findall(r"\w*://[^/\s\"$]*", text)) <= {"http://127.0.0.1:8025"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(", text)
    if file.suffix == ".html":
        assert not re.search(r"<style|<script(?! [^>]*src=)|\sstyle=|\son[a-z]+=", text)


def test_the_data_of_the_window():
    """Overview, lists and histories are JSON."""
    books = make_books()
    (lead_id,) = books.leads
    assert content(answer(get("window/overview"), books))["counts"]["calls"] == 1
    (call,) = content(answer(get("window/calls?search=bret&kind=submissions&before=2"), books))["calls"]
    assert call["number"] == 1
    (lead,) = content(answer(get("window/leads?limit=1"), books))["leads"]
    assert lead["id"] == lead_id
    assert content(answer(get(f"window/history?lead={lead_id}"), books))["kind"] == "lead"
    assert content(answer(get("window/history?call=1"), books))["call"]["number"] == 1


@pytest.mark.parametrize(
    ("page", "status"),
    [
        *(("window/calls?limit=0", 400), ("window/calls?limit=x", 400), ("window/calls?before=-1", 400)),
        *(("window/calls?kind=x", 400), ("window/leads?limit=501", 400), ("window/history?call=\u0661", 400)),
        *(("window/history", 404), ("window/history?call=9", 404), ("window/history?lead=x", 404)),
        (f"window/leads?search={'x' * 201}", 400),
        (f"window/calls?limit={'9' * 5000}", 400),
    ],
)
def test_invalid_questions_are_answered_with_an_error(page: str, status: int):
    """One short line each."""
    reply = answer(get(page), make_books())
    assert reply.status == status
    assert 0 < len(content(reply)["error"]) < 200


def test_the_choices_are_all_faults_and_all_counters():
    """A new fault or counter needs a line in the window."""
    choices = content(answer(get("window/choices"), make_books()))
    assert {name for group in choices["faults"].values() for name in group} == set(FAULTS) - {"ok"}
    assert set(choices["counting"]) == set(COUNTERS)
    assert (choices["faults"], choices["counting"]) == (FAULT_GROUPS, COUNTER_TEXTS)


def test_settings_can_be_changed():
    """PUT changes what it names, and answers with all."""
    books = make_books()
    reply = answer(post("settings", {"counting": "gcra", "limit": [5, 1]}, HOST, "PUT"), books)
    expected = {
        "limit": [5, 1],
        "bulk_limit": [1, 5.0],
        "counting": "gcra",
        "count_refused": False,
        "processing_rate": 6000.0,
        "paths": {},
        "keys": "query",
    }
    assert content(reply) == expected
    assert content(answer(get("settings"), books)) == expected
    assert answer(post("settings", {"limit": "x"}, HOST, "PUT"), books).status == 400
    assert content(answer(get("settings"), books)) == expected


def send(books: Books, body: object, headers: dict[str, str] = HOST) -> Reply:
    return answer(post("window/test-lead", body, headers), books)


def test_a_test_lead_is_a_call_like_any_other():
    """It counts towards the limit, is processed, and its answer has the call's number."""
    books = books_of(Account(limit=(1, 5.0), paths={"capture": "/moved"}))
    attributes = {"FirstName": "Bret", "EmailAddress": "bret.lee@example.com"}
    assert content(send(books, {"attributes": attributes})) == {"call": 1}
    assert content(send(books, {"attributes": attributes})) == {"call": 2}
    assert [(it.path, it.outcome) for it in books.arrivals] == [("/moved", "200"), ("/moved", "429")]
    assert books.misplaced_keys == []
    (lead,) = Books(books.account, lambda: 3.0).leads.values()
    assert lead.attributes == attributes | {"ProspectID": lead.id}


def test_a_test_lead_that_does_not_arrive_has_no_number():
    """The fault `refused` leaves no record."""
    books = books_of(Account(faults=Faults(script=("refused",))))
    assert content(send(books, {"attributes": {"FirstName": "A"}})) == {"call": None}


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"attributes": {}},
        {"attributes": []},
        {"attributes": {"A": 1}},
        {"attributes": {f"a{n}": "" for n in range(101)}},
    ],
)
def test_an_invalid_test_lead_is_answered_400(body: object):
    """Nothing is sent."""
    books = make_books()
    assert send(books, body).status == 400
    assert len(books.arrivals) == 1


def changes(headers: dict[str, str]) -> list[int]:
    """The statuses of all kinds of changes."""
    books = make_books()
    requests = [
        post("window/test-lead", {"attributes": {"FirstName": "A"}}, headers),
        post("settings", {"counting": "gcra"}, headers, "PUT"),
        post("faults", {"latency": 1}, headers, "PUT"),
        replace(get("faults", headers), method="DELETE"),
        replace(get("reset", headers), method="POST"),
    ]
    return [answer(request, books).status for request in requests]


def test_the_window_itself_may_change_the_sandbox():
    """Its requests have the sandbox's own origin and JSON."""
    headers = {**SAME_ORIGIN, "content-type": "application/json"}
    assert changes(headers) == [200, 200, 200, 200, 204]
    assert changes({**headers, "host": "LOCALHOST:80", "origin": "http://localhost:80"}) == [
        200,
        200,
        200,
        200,
        204,
    ]


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"],
)
def test_a_browser_may_change_nothing_with_a_form(content_type: str):
    """Any page may send a form; only its own origin may send JSON."""
    assert changes({**SAME_ORIGIN, "content-type": content_type}) == [415] * 5
    assert changes({**HOST, "sec-fetch-site": "none", "content-type": content_type}) == [415] * 5


def test_a_program_may_send_any_type():
    """curl -d sends that of a form."""
    assert changes({**HOST, "content-type": "application/x-www-form-urlencoded"}) == [200, 200, 200, 200, 204]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example:8025"},
        {**HOST, "origin": "http://evil.example"},
        {**HOST, "origin": "null"},
        {**HOST, "origin": "http://127.0.0.1:8026"},
        {**HOST, "sec-fetch-site": "cross-site"},
        {"host": "evil.example", "origin": "http://evil.example", "sec-fetch-site": "same-origin"},
    ],
)
def test_other_sites_are_refused_on_every_page(headers: dict[str, str]):
    """Not even the files are shown to them."""
    books = make_books()
    for page, methods in ROUTES.items():
        for method in methods:
            request = post(page, {}, {**headers, "content-type": "application/json"}, method)
            assert answer(request, books).status == 403, page
    assert len(books.arrivals) == 1


LINK = {**BROWSER, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def test_a_link_on_another_site_opens_the_window():
    """The page has no data; it may not be embedded, and no other page opens that way."""
    assert answer(get("", LINK), make_books()).status == 200
    assert answer(Request("GET", "/", headers=LINK), make_books()).status == 302
    assert answer(get("", {**LINK, "sec-fetch-dest": "iframe"}), make_books()).status == 403
    assert answer(get("", {**LINK, "host": "evil.example"}), make_books()).status == 403
    assert answer(get("", {**LINK, "accept": "*/*"}), make_books()).status == 403
    for page in ("leads", "window/overview", "window/window.js"):
        assert answer(get(page, LINK), make_books()).status == 403


def test_the_window_may_not_call_leadsquared():
    """Its own origin is for the control plane only."""
    request = replace(capture_request(BRET), headers={**capture_request(BRET).headers, **SAME_ORIGIN})
    assert not is_for_the_control_plane(request)
    assert answer(request, make_books()).status == 403


def test_no_page_of_the_window_shows_a_key():
    """The test lead is sent with the sandbox's keys, and they are masked."""
    books = make_books()
    send(books, {"attributes": {"FirstName": "A", "mx_Notes": API_KEY}})
    later = Books(books.account, lambda: 3.0)
    pages = [
        "window/overview",
        "window/calls",
        "window/leads",
        "window/history?call=1",
        "window/history?call=2",
    ]
    shown = "".join(answer(get(page), later).body.decode() for page in pages)
    assert [key for key in (ACCESS_KEY, SECRET_KEY, API_KEY, "u%24r") if key in shown] == []

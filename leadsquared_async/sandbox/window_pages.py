"""The pages of the sandbox's window: its files, the data that it shows, and the test lead that it sends."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from leadsquared_async.sandbox.answers import JSON_TYPE, Reply, Request, dump
from leadsquared_async.sandbox.books import Books
from leadsquared_async.sandbox.counters import COUNTER_TEXTS
from leadsquared_async.sandbox.faults import FAULT_GROUPS
from leadsquared_async.sandbox.histories import history_of_call, history_of_lead
from leadsquared_async.sandbox.operations import CALL_NAMES
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY
from leadsquared_async.sandbox.views import list_calls, list_leads, overview

PROTECTION: Mapping[str, str] = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Headers of each reply: nothing is stored, embedded or run that is not the window's own."""

EVENTS = "text/event-stream"
ICON = "window/icon.svg"
MOST_ATTRIBUTES = 100

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FILES = (
    "window.css",
    "window.js",
    "lists.js",
    "history.js",
    "controls.js",
    "chart.js",
    "page.js",
    "icon.svg",
)


def show_file(name: str) -> Reply:
    """A file of the window."""
    content = files("leadsquared_async.sandbox").joinpath("window", name).read_bytes()
    return Reply(200, {"content-type": _TYPES[name.rpartition(".")[2]]}, content)


def _show_file(name: str, _books: Books, _request: Request) -> Reply:
    return show_file(name)


def event_of(books: Books) -> bytes:
    """The overview as a server-sent event."""
    return f"event: overview\ndata: {dump(overview(books.account, books.now))}\n\n".encode()


def send_test_lead(books: Books, content: object) -> object:
    """Capture a lead with the sandbox's keys, as any client does; it counts towards the limit.

    `content` is `{"attributes": {name: value}}`. Return the number of the call; None if it did not arrive.
    Raises ValueError for invalid input.
    """
    account = books.account
    passed = cast("dict[str, Any]", content).get("attributes") if isinstance(content, dict) else None
    attributes = cast("dict[str, Any]", passed) if isinstance(passed, dict) else {}
    if not 1 <= len(attributes) <= MOST_ATTRIBUTES or not all(
        isinstance(value, str) for value in attributes.values()
    ):
        raise ValueError(
            f'A test lead has 1 to {MOST_ATTRIBUTES} attributes: {{"attributes": {{"FirstName": "Bret"}}}}'
        )
    body = json.dumps([{"Attribute": name, "Value": value} for name, value in attributes.items()]).encode()
    path = account.settings.paths.get("capture", "/lead/capture")
    if path is None:
        raise ValueError("The setting paths removes capture")
    query = urlencode({"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY})
    headers = {"content-type": JSON_TYPE, "x-api-key": API_KEY, "user-agent": "sandbox window"}
    if account.settings.keys == "headers":
        query, headers = "", {**headers, "x-lsq-accesskey": ACCESS_KEY, "x-lsq-secretkey": SECRET_KEY}
    before = account.exchanges.count
    account.decide(Request("POST", path, query, headers, body), books.now)
    return {"call": account.exchanges.count if account.exchanges.count > before else None}


def _show_history(books: Books, request: Request) -> object:
    query = _query(request)
    if "lead" in query:
        history = history_of_lead(books.account, query["lead"])
    else:
        history = history_of_call(books.account, _whole(query, "call", 0))
    if history is None:
        raise LookupError("This call or lead does not exist or is no longer stored")
    return history


def _list_calls(books: Books, request: Request) -> object:
    return list_calls(books.account, kind=_query(request).get("kind", "all"), **_page(request))


def _list_leads(books: Books, request: Request) -> object:
    return list_leads(books.account, **_page(request))


def _show_choices(_books: Books, _request: Request) -> object:
    return {"faults": FAULT_GROUPS, "counting": COUNTER_TEXTS, "calls": sorted(CALL_NAMES)}


WINDOW_ROUTES: Mapping[str, Mapping[str, Callable[[Books, Request], object]]] = {
    **{f"window/{name}": {"GET": partial(_show_file, name)} for name in _FILES},
    "window/overview": {"GET": lambda books, _: overview(books.account, books.now)},
    "window/events": {"GET": lambda _books, _request: Reply(200, {"content-type": EVENTS})},
    "window/choices": {"GET": _show_choices},
    "window/calls": {"GET": _list_calls},
    "window/leads": {"GET": _list_leads},
    "window/history": {"GET": _show_history},
}


def _query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.query))


def _page(request: Request) -> dict[str, Any]:
    query = _query(request)
    before = _whole(query, "before", 0) if "before" in query else None
    return {"search": query.get("search", ""), "before": before, "limit": _whole(query, "limit", 100)}


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ValueError(f"{name} must be a whole number")
    return int(text)

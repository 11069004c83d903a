"""The control plane: the books over HTTP, under `/_sandbox/`.

It needs no keys and is not limited, so it keeps browsers out: a page that a user has open elsewhere must
neither read the leads nor set faults, not even by pointing its own name at this machine (DNS rebinding).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from leadsquared_async.sandbox.books import Books
from leadsquared_async.sandbox.faults import Faults
from leadsquared_async.sandbox.messages import HINT, JSON_TYPE, Reply, Request, json_reply

PREFIX = "/_sandbox/"
INDEX = frozenset({"/", "/_sandbox"})
"""Paths that are answered as `/_sandbox/` is."""
MOST_OF_A_BODY = 64 * 1024
LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


def answer(request: Request, books: Books) -> Reply:
    """Answer a request to the control plane."""
    if is_from_a_browser(request):
        return _error(403, "The sandbox is for programs on this machine, not for pages of other sites")
    page = "" if request.path in INDEX else request.path.removeprefix(PREFIX)
    methods = ROUTES.get(page)
    if methods is None:
        return _error(404, f"There is no such page: choose from {', '.join(filter(None, ROUTES))}")
    act = methods.get(request.method)
    if act is None:
        return _error(405, f"Only {', '.join(methods)}", {"allow": ", ".join(methods)})
    return act(books, request)


def _show_index(books: Books, _request: Request) -> Reply:
    pages = [f"{method} {PREFIX}{page}" for page, methods in ROUTES.items() for method in methods]
    index = {
        "sandbox": "A LeadSquared for tests, on this machine only",
        "instance": books.instance,
        "calls": books.paths,
        "keys": "Submissions take accessKey and secretKey in the query and x-api-key as a header",
        "control": pages,
    }
    return Reply(200, {"content-type": JSON_TYPE}, json.dumps(index, indent=2).encode())


def _reset(books: Books, _request: Request) -> Reply:
    books.reset()
    return Reply(204)


def _show_faults(books: Books, _request: Request) -> Reply:
    return json_reply(200, books.faults.to_json())


def _set_faults(books: Books, request: Request) -> Reply:
    if len(request.body) > MOST_OF_A_BODY:
        return _error(400, f"The body is longer than {MOST_OF_A_BODY} bytes")
    try:
        content = json.loads(request.body.decode())
    except (ValueError, RecursionError):
        return _error(400, "The body is not JSON in UTF-8")
    try:
        books.change_faults(content)
    except ValueError as error:
        return _error(400, str(error))
    return _show_faults(books, request)


def _end_faults(books: Books, request: Request) -> Reply:
    books.faults = Faults()
    return _show_faults(books, request)


def _list_requests(books: Books, _request: Request) -> Reply:
    return json_reply(200, books.requests)


def _list_leads(books: Books, _request: Request) -> Reply:
    return json_reply(200, [asdict(lead) for lead in books.leads.values()])


def _list_arrivals(books: Books, _request: Request) -> Reply:
    arrivals = [asdict(arrival) for arrival in books.arrivals]
    return json_reply(200, {"most_arrivals": books.most_arrivals(), "arrivals": arrivals})


def _summarise(books: Books, _request: Request) -> Reply:
    return json_reply(200, books.summary())


def _list_opportunities(books: Books, _request: Request) -> Reply:
    return json_reply(200, [asdict(opportunity) for opportunity in books.opportunities.values()])


def _list_calls(books: Books, _request: Request) -> Reply:
    return json_reply(200, [asdict(call) for call in books.calls])


ROUTES: Mapping[str, Mapping[str, Callable[[Books, Request], Reply]]] = {
    "": {"GET": _show_index},
    "reset": {"POST": _reset},
    "faults": {"GET": _show_faults, "PUT": _set_faults, "DELETE": _end_faults},
    "requests": {"GET": _list_requests},
    "leads": {"GET": _list_leads},
    "arrivals": {"GET": _list_arrivals},
    "summary": {"GET": _summarise},
    "opportunities": {"GET": _list_opportunities},
    "calls": {"GET": _list_calls},
}


def is_for_the_control_plane(request: Request) -> bool:
    """Whether it is about the sandbox, and not a call of LeadSquared's."""
    return request.path.startswith(PREFIX) or (request.method == "GET" and request.path in INDEX)


def is_from_a_browser(request: Request) -> bool:
    """Whether a web page may have sent it: it names an origin, comes from another site's page, or names a
    host that is made to resolve here."""
    headers = request.headers
    return (
        "origin" in headers
        or headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
        or LOOPBACK.fullmatch(headers.get("host", "")) is None
    )


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    content: dict[str, Any] = {"error": message}
    return json_reply(status, content, {**(headers or {}), HINT: message})

"""The control plane: the books over HTTP and the sandbox's window, under `/_sandbox/`.

It needs no keys and has no rate limit. It rejects other websites, so that none can read leads or set faults,
not even by DNS rebinding.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict

from leadsquared_async.sandbox.answers import HINT, JSON_TYPE, Reply, Request
from leadsquared_async.sandbox.books import Books
from leadsquared_async.sandbox.faults import Faults
from leadsquared_async.sandbox.window_pages import (
    ICON,
    PROTECTION,
    WINDOW_ROUTES,
    send_test_lead,
    show_file,
)

PREFIX = "/_sandbox/"
INDEX = frozenset({"/", "/_sandbox"})
"""Aliases of `/_sandbox/` for browsers; programs get there from the second one only."""
FAVICON = "/favicon.ico"
LARGEST_CONTROL_BODY = 64 * 1024
LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


def is_for_the_control_plane(request: Request) -> bool:
    """Whether it is for the sandbox itself, not a LeadSquared call."""
    if request.path.startswith(PREFIX):
        return True
    if request.path == "/" and not wants_html(request):
        return False
    return request.method == "GET" and request.path in INDEX | {FAVICON}


def wants_html(request: Request) -> bool:
    """Whether a browser is to show the reply as a page."""
    return "text/html" in request.headers.get("accept", "")


def is_from_a_browser(request: Request) -> bool:
    """Whether a web page may have sent it: it has an origin, is cross-site, or its host is not loopback."""
    return "origin" in request.headers or is_from_another_site(request)


def is_from_another_site(request: Request) -> bool:
    """Whether a web page of another origin may have sent it, or one whose name resolves to this machine."""
    headers = request.headers
    host = headers.get("host", "")
    return (
        LOOPBACK.fullmatch(host) is None
        or headers.get("origin", f"http://{host}").lower() != f"http://{host}".lower()
        or headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
    )


def answer(request: Request, books: Books) -> Reply:
    """Answer a request to the control plane."""
    reply = _answer(request, books)
    return Reply(reply.status, {**PROTECTION, **reply.headers}, reply.body)


def _answer(request: Request, books: Books) -> Reply:
    if is_from_another_site(request) and not _opens_the_window(request):
        return _error(403, "The sandbox accepts requests from this machine, not from other websites")
    if not is_for_the_control_plane(request):
        return _error(403, "The sandbox accepts this call from programs, not from web pages")
    if request.path in INDEX and wants_html(request):
        return Reply(302, {"location": PREFIX})
    page = "" if request.path in INDEX else request.path.removeprefix(PREFIX)
    methods = ROUTES.get(ICON if request.path == FAVICON else page)
    if methods is None:
        return _error(404, f"This page does not exist: choose from {', '.join(filter(None, PAGES))}")
    act = methods.get(request.method)
    if act is None:
        return _error(405, f"This page accepts {', '.join(methods)}", {"allow": ", ".join(methods)})
    if request.method != "GET" and _is_a_form(request):
        return _error(415, f"A browser must send the header Content-Type: {JSON_TYPE}")
    try:
        content = act(books, request)
    except ValueError as error:
        return _error(400, str(error))
    except LookupError as error:
        return _error(404, str(error.args[0]))
    if isinstance(content, Reply):
        return content
    return Reply(204) if content is None else _json(200, content)


def _opens_the_window(request: Request) -> bool:
    """Whether a browser opens the window, perhaps by a link on another site; the page has no data."""
    return (
        LOOPBACK.fullmatch(request.headers.get("host", "")) is not None
        and (request.method, request.headers.get("sec-fetch-mode")) == ("GET", "navigate")
        and request.headers.get("sec-fetch-dest") == "document"
        and request.path in INDEX | {PREFIX}
        and wants_html(request)
    )


def _is_a_form(request: Request) -> bool:
    """Whether a browser sent it with a type that other sites may send without asking. curl may send any."""
    is_browser = "origin" in request.headers or "sec-fetch-site" in request.headers
    return is_browser and request.headers.get("content-type", "").partition(";")[0].strip() != JSON_TYPE


def _show_index(books: Books, request: Request) -> object:
    if wants_html(request):
        return show_file("index.html")
    return {
        "sandbox": "A LeadSquared emulator for tests, on this machine only",
        "instance": books.instance,
        "calls": books.paths,
        "keys": "Submissions take accessKey and secretKey in the query and x-api-key as a header",
        "control": [f"{method} {PREFIX}{page}" for page in PAGES for method in ROUTES[page]],
    }


def _decode(request: Request) -> object:
    if len(request.body) > LARGEST_CONTROL_BODY:
        raise ValueError(f"The body is longer than {LARGEST_CONTROL_BODY} bytes")
    try:
        return json.loads(request.body.decode())
    except (ValueError, RecursionError):
        raise ValueError("The body is not valid JSON in UTF-8") from None


def _set_faults(books: Books, request: Request) -> object:
    books.change_faults(_decode(request))
    return books.faults.to_json()


def _clear_faults(books: Books, _: Request) -> object:
    books.faults = Faults()
    return books.faults.to_json()


def _set_settings(books: Books, request: Request) -> object:
    books.change_settings(_decode(request))
    return books.account.settings.to_json()


def _send_test_lead(books: Books, request: Request) -> object:
    return send_test_lead(books, _decode(request))


ROUTES: Mapping[str, Mapping[str, Callable[[Books, Request], object]]] = {
    "": {"GET": _show_index},
    "openapi.json": {"GET": lambda books, _: books.openapi},
    "reset": {"POST": lambda books, _: books.reset()},
    "faults": {"GET": lambda books, _: books.faults.to_json(), "PUT": _set_faults, "DELETE": _clear_faults},
    "requests": {"GET": lambda books, _: books.requests},
    "leads": {"GET": lambda books, _: list(map(asdict, books.leads.values()))},
    "arrivals": {
        "GET": lambda books, _: {
            "most_arrivals": books.most_arrivals(),
            "arrivals": list(map(asdict, books.arrivals)),
        }
    },
    "summary": {"GET": lambda books, _: books.summary()},
    "opportunities": {"GET": lambda books, _: list(map(asdict, books.opportunities.values()))},
    "calls": {"GET": lambda books, _: list(map(asdict, books.calls))},
    "settings": {"GET": lambda books, _: books.account.settings.to_json(), "PUT": _set_settings},
    **WINDOW_ROUTES,
    "window/test-lead": {"POST": _send_test_lead},
}
"""The handler of each page and method.

It returns JSON, None for 204, or a Reply; ValueError becomes 400 and LookupError 404.
"""

PAGES = tuple(page for page in ROUTES if not page.startswith("window/") or "." not in page)
"""The pages that are listed: all but the files that only the window loads."""


def _json(status: int, content: object, headers: Mapping[str, str] | None = None) -> Reply:
    """Indented JSON in ASCII, so that a lone surrogate in a lead stays escaped."""
    body = json.dumps(content, indent=2).encode()
    return Reply(status, {"content-type": JSON_TYPE, **(headers or {})}, body)


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    return _json(status, {"error": message}, {**(headers or {}), HINT: message})

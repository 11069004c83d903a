"""Which paths exist, and what a request must look like before it is taken."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qsl, unquote

from leadsquared_async.sandbox.answers import ELSEWHERE, forbidden, too_large, wrong_keys, wrong_type
from leadsquared_async.sandbox.leads import LeadStore
from leadsquared_async.sandbox.messages import JSON_TYPE, Reply, Request
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY, Settings

Work = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class Operation:
    """One of the Async API's submissions, with its status and its metrics."""

    name: str
    task_type: str
    submit: str
    status: str
    metrics: str
    read: Callable[[object, dict[str, str], LeadStore], Work]
    """Makes the work out of a decoded body and the query, or raises MalformedError."""


class MalformedError(Exception):
    """The body is not what the operation takes; the message says why without showing a value."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks for."""

    operation: Operation
    kind: str
    """`submit`, `status` or `metrics`."""

    @property
    def name(self) -> str:
        """The word for it in faults and books: the operation's name, or `status`, or `metrics`."""
        return self.operation.name if self.kind == "submit" else self.kind


def read_capture(body: object, query: dict[str, str], store: LeadStore) -> Work:
    """Make a capture out of an array of `{"Attribute": …, "Value": …}`."""
    passed = _pairs(body, "")
    if not passed.keys() - {"SearchBy"}:
        raise MalformedError("The body holds no attribute")
    behavior = query.get("LeadUpdateBehavior")
    return lambda at: store.capture(passed, behavior, at)


OPERATIONS = (
    Operation(
        name="capture",
        task_type="Lead Capture",
        submit="/lead/capture",
        status="/lead/status",
        metrics="/lead/capture/metrics",
        read=read_capture,
    ),
)
"""Every operation of the Async API that the sandbox plays."""

_CALLS = {
    (method, getattr(operation, kind)): Call(operation, kind)
    for operation in OPERATIONS
    for method, kind in (("POST", "submit"), ("GET", "status"), ("GET", "metrics"))
}

CALL_NAMES = frozenset(call.name for call in _CALLS.values())
"""The words for calls in faults and books."""


def locate(request: Request) -> Call | None:
    """What `request` asks for, or None when its path and method name nothing."""
    return _CALLS.get((request.method, request.path))


def read_query(request: Request) -> dict[str, str]:
    """The decoded query; of a name given twice the last counts."""
    return dict(parse_qsl(request.query, keep_blank_values=True))


def refuse_api_key(request: Request) -> Reply | None:
    """The gateway's refusal of a call without the right x-api-key."""
    return None if request.headers.get("x-api-key") == API_KEY else forbidden()


def refuse_keys(request: Request, query: dict[str, str], settings: Settings) -> Reply | None:
    """LeadSquared's refusal of a submission without the right accessKey and secretKey."""
    given = (query.get("accessKey"), query.get("secretKey"))
    if settings.header_keys and given == (None, None):
        given = (request.headers.get("x-lsq-accesskey"), request.headers.get("x-lsq-secretkey"))
    return None if given == (ACCESS_KEY, SECRET_KEY) else wrong_keys()


def refuse_form(request: Request, settings: Settings) -> Reply | None:
    """The gateway's refusal of a body that is too large or not announced as JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON_TYPE:
        return wrong_type()
    return too_large() if len(request.body) > settings.max_body else None


def decode(body: bytes) -> tuple[str, object]:
    """The body as text and as JSON; raises MalformedError if it is neither UTF-8 nor JSON."""
    try:
        text = body.decode()
        return text, json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedError("The body is not JSON in UTF-8") from None


def misplaced_keys(request: Request, call: Call | None, settings: Settings) -> list[str]:
    """Where the request carries a key that does not belong there, in words that do not show it.

    The access and secret key belong in the query of submissions (with `header_keys` also in their headers),
    the x-api-key in its header, and none of them at another origin.
    """
    submits = call is not None and call.kind == "submit"
    query = parse_qsl(request.query, keep_blank_values=True)
    at_home = {"x-api-key": API_KEY}
    if submits and settings.header_keys:
        at_home |= {"x-lsq-accesskey": ACCESS_KEY, "x-lsq-secretkey": SECRET_KEY}
    in_query = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY} if submits else {}
    checks = [
        ("the query", any(_strays(name, value, in_query) for name, value in query)),
        *((f"the header {name}", _strays(name, value, at_home)) for name, value in request.headers.items()),
        ("the path", _holds_key(unquote(request.path))),
        ("the body", any(key.encode() in request.body for key in _KEYS)),
        ("a request to another origin", _is_elsewhere(request) and _carries_key(request, query)),
    ]
    name = "unknown path" if call is None else call.name
    return [f"{name}: a key in {place}" for place, misplaced in checks if misplaced]


_KEYS = (ACCESS_KEY, SECRET_KEY, API_KEY)
_KEY_NAMES = frozenset({"accesskey", "secretkey", "x-lsq-accesskey", "x-lsq-secretkey"})


def _holds_key(text: str) -> bool:
    return any(key in text for key in _KEYS)


def _strays(name: str, value: str, at_home: dict[str, str]) -> bool:
    if name in at_home:
        return _holds_key(value) and value != at_home[name]
    return name.lower() in _KEY_NAMES or _holds_key(value)


def _is_elsewhere(request: Request) -> bool:
    return request.headers.get("host", "").partition(":")[0] == ELSEWHERE


def _carries_key(request: Request, query: list[tuple[str, str]]) -> bool:
    return any(_holds_key(value) for value in (*request.headers.values(), *(value for _, value in query)))


def _pairs(value: object, within: str) -> dict[str, str]:
    """Attribute and value of each entry; the entries of a custom field set are named `mx_Set.Entry`."""
    if not isinstance(value, list):
        raise MalformedError(f"{within or 'The body'} is not an array of Attribute and Value")
    found: dict[str, str] = {}
    for position, entry in enumerate(cast("list[object]", value)):
        place = f"{within or 'the body'}[{position}]"
        if not isinstance(entry, dict):
            raise MalformedError(f"{place} is not an object")
        pair = cast("dict[str, object]", entry)
        attribute = pair.get("Attribute")
        text = pair.get("Value")
        if not isinstance(attribute, str) or not attribute:
            raise MalformedError(f"{place}: Attribute is not a schema name")
        if not isinstance(text, str):
            raise MalformedError(f"{place}: Value is not a string")
        if attribute in found:
            raise MalformedError(f"{place}: Attribute was given before")
        if pair.keys() - {"Attribute", "Value", "Fields"} or (within and "Fields" in pair):
            raise MalformedError(f"{place} holds more than Attribute and Value")
        found[attribute] = text
        if "Fields" in pair:
            inner = _pairs(pair["Fields"], f"{place}.Fields")
            found |= {f"{attribute}.{name}": nested for name, nested in inner.items()}
    return found

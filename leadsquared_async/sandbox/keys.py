"""Who may call: the keys of a request, and where they stray."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from leadsquared_async.sandbox.answers import ELSEWHERE, RefusedError, too_large, wrong_keys, wrong_type
from leadsquared_async.sandbox.messages import JSON_TYPE, Request, hinted, one_line
from leadsquared_async.sandbox.routes import Call
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY, Settings

_IN_QUERY = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
_IN_HEADERS = {"x-lsq-accesskey": ACCESS_KEY, "x-lsq-secretkey": SECRET_KEY}
_NAMES = frozenset({"accesskey", "secretkey", *_IN_HEADERS})
_KEYS = (ACCESS_KEY, SECRET_KEY, API_KEY)


def read_query(request: Request) -> dict[str, str]:
    """The decoded query; of a name given twice the last counts."""
    return dict(parse_qsl(request.query, keep_blank_values=True))


def has_api_key(request: Request, call: Call) -> bool:
    """Whether the gateway lets the call in; the synchronous host asks for no x-api-key."""
    return call.kind == "sync" or request.headers.get("x-api-key") == API_KEY


def api_key_hint(request: Request) -> str:
    """What is wrong with the x-api-key, without its value."""
    is_there = "x-api-key" in request.headers
    return f"the header x-api-key is {'not the key of this sandbox' if is_there else 'missing'}"


def check_keys(request: Request, query: Mapping[str, str], call: Call, settings: Settings) -> None:
    """Raises RefusedError when the accessKey and secretKey that the call needs are missing or wrong."""
    if not call.takes_keys:
        return
    given = tuple(query.get(name) for name in _IN_QUERY)
    if _takes_header_keys(call, settings) and given == (None, None):
        given = tuple(request.headers.get(name) for name in _IN_HEADERS)
    if given != (ACCESS_KEY, SECRET_KEY):
        raise RefusedError(hinted(wrong_keys(), _keys_hint(given)))


def check_form(request: Request, settings: Settings) -> None:
    """Raises RefusedError when a body is too large or not announced as JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON_TYPE:
        raise RefusedError(wrong_type())
    if len(request.body) > settings.max_body:
        raise RefusedError(too_large(settings.max_body))


def misplaced_keys(request: Request, call: Call | None, settings: Settings) -> list[str]:
    """Where the request carries a key that does not belong there, in words that do not show it.

    The access and secret key belong in the query of submissions (with `header_keys` also in their headers)
    and in query or headers on the synchronous host, the x-api-key in its header, and none of them at another
    origin. A call log takes the x-api-key only.
    """
    query = parse_qsl(request.query, keep_blank_values=True)
    in_headers = {"x-api-key": API_KEY}
    if call is not None and _takes_header_keys(call, settings):
        in_headers |= _IN_HEADERS
    in_query = _IN_QUERY if call is not None and call.takes_keys else {}
    checks = [
        ("the query", any(_strays(name, value, in_query) for name, value in query)),
        *(
            (f"the header {name}", _strays(name, value, in_headers))
            for name, value in request.headers.items()
        ),
        ("the path", _holds_key(unquote(request.path))),
        ("the body", any(key.encode() in request.body for key in _KEYS)),
        ("a request to another origin", _is_elsewhere(request) and _carries_key(request, query)),
    ]
    name = "unknown path" if call is None else call.name
    return [f"{name}: a key in {place}" for place, misplaced in checks if misplaced]


def shown_path(request: Request, call: Call | None) -> str:
    """The path for people: without a connector's key, and without a key that strayed there."""
    path = request.path
    if call is not None and call.rest:
        path = f"{path.removesuffix('/'.join(call.rest))}{{connectorKey}}"
    return "(a path that holds a key)" if _holds_key(unquote(path)) else one_line(path, 200)


def _keys_hint(given: tuple[str | None, ...]) -> str:
    """Which of accessKey and secretKey is wrong, without a value."""
    wrong = [
        f"{name} is {'missing from the query' if value is None else 'not the key of this sandbox'}"
        for (name, right), value in zip(_IN_QUERY.items(), given, strict=True)
        if value != right
    ]
    access_key = given[0]
    if access_key and "$" not in access_key:
        wrong.append("an accessKey contains a $, which a shell expands unless it is in single quotes")
    return "; ".join(wrong)


def _takes_header_keys(call: Call, settings: Settings) -> bool:
    return call.kind == "sync" or (call.takes_keys and settings.header_keys)


def _holds_key(text: str) -> bool:
    return any(key in text for key in _KEYS)


def _strays(name: str, value: str, at_home: Mapping[str, str]) -> bool:
    if name in at_home:
        return _holds_key(value) and value != at_home[name]
    return name.lower() in _NAMES or _holds_key(value)


def _is_elsewhere(request: Request) -> bool:
    return request.headers.get("host", "").partition(":")[0] == ELSEWHERE


def _carries_key(request: Request, query: list[tuple[str, str]]) -> bool:
    return any(_holds_key(value) for value in (*request.headers.values(), *(value for _, value in query)))

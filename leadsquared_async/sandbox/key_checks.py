"""Where a request may have the keys, and which keys are missing, wrong or misplaced; texts show no key."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from leadsquared_async.sandbox.answers import ELSEWHERE, WRONG_KEYS, RejectedError, Request, one_line
from leadsquared_async.sandbox.operations import Call
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY

IN_QUERY = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
_IN_HEADERS = {"x-lsq-accesskey": ACCESS_KEY, "x-lsq-secretkey": SECRET_KEY}
_PLACES = {"query": "the query", "headers": "the headers", "both": "the query and the headers"}
_KEY_NAMES = frozenset({"accesskey", "secretkey", *_IN_HEADERS})
_ALL_KEYS = (ACCESS_KEY, SECRET_KEY, API_KEY)


def misplaced_keys(request: Request, call: Call | None, keys: str = "query") -> list[str]:
    """Describe each wrong place in which the request has a key, without showing the key.

    The access and secret keys belong where `keys` says, as in `Settings.keys`, and in the query or headers of
    synchronous calls. The x-api-key belongs in its header; a call log takes no other key. Another origin gets
    no key.
    """
    place = _place_of_keys(call, keys)
    in_query = IN_QUERY if place in {"query", "both"} else {}
    in_headers = {"x-api-key": API_KEY} | (_IN_HEADERS if place in {"headers", "both"} else {})
    query = parse_qsl(request.query, keep_blank_values=True)
    carried = [("the query", name, value, in_query) for name, value in query]
    carried += [(_header(name), name, value, in_headers) for name, value in request.headers.items()]
    places = [place for place, name, value, right in carried if _is_misplaced(name, value, right)]
    if _holds_key(unquote(request.path)):
        places.append("the path")
    if any(key.encode() in request.body for key in _ALL_KEYS):
        places.append("the body")
    if request.headers.get("host", "").partition(":")[0] == ELSEWHERE and any(
        _holds_key(value) for _, _, value, _ in carried
    ):
        places.append("a request to another origin")
    name = "unknown path" if call is None else call.name
    return [f"{name}: a key in {place}" for place in dict.fromkeys(places)]


def shown_path(request: Request, call: Call | None) -> str:
    """The path for display, without a connector's key or a misplaced key."""
    path = request.path
    if call is not None and call.rest:
        path = f"{path.removesuffix('/'.join(call.rest))}{{connectorKey}}"
    return "(a path with a key)" if _holds_key(unquote(path)) else one_line(path, 200)


def _place_of_keys(call: Call | None, keys: str) -> str | None:
    """Where the call has its accessKey and secretKey: "query", "headers" or "both"; None if it takes none."""
    if call is None or not call.takes_keys:
        return None
    return "both" if call.kind == "sync" else keys


def check_keys(request: Request, query: Mapping[str, str], call: Call, keys: str) -> None:
    """Raise RejectedError if the call needs an accessKey and a secretKey, and one is missing or wrong."""
    place = _place_of_keys(call, keys)
    if place is None:
        return
    given: tuple[str | None, ...] = (None, None)
    if place in {"query", "both"}:
        given = tuple(query.get(name) for name in IN_QUERY)
    if place in {"headers", "both"} and given == (None, None):
        given = tuple(request.headers.get(name) for name in _IN_HEADERS)
    if given == (ACCESS_KEY, SECRET_KEY):
        return
    wrong = [
        f"{name} is {f'missing from {_PLACES[place]}' if value is None else 'not the key of this sandbox'}"
        for (name, right), value in zip(IN_QUERY.items(), given, strict=True)
        if value != right
    ]
    if given[0] and "$" not in given[0]:
        wrong.append("an accessKey contains a $: put it in single quotes in a shell")
    raise RejectedError(WRONG_KEYS, "; ".join(wrong))


def _header(name: str) -> str:
    """A header in words; its name is in lower case."""
    is_key = any(key.lower() in name for key in _ALL_KEYS)
    return "the name of a header" if is_key else f"the header {name}"


def _holds_key(text: str) -> bool:
    return any(key in text for key in _ALL_KEYS)


def _is_misplaced(name: str, value: str, allowed: Mapping[str, str]) -> bool:
    if name in allowed:
        return _holds_key(value) and value != allowed[name]
    return name.lower() in _KEY_NAMES or _holds_key(value)

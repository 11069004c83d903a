"""The answers of LeadSquared and of the AWS API Gateway in front of it, word for word where they are known.

LeadSquared's errors are `{"Status": "Error", "ExceptionType": "MX…", "ExceptionMessage": …}`
(https://apidocs.leadsquared.com/error-handling/), the gateway's are `{"message": …}`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from http import HTTPStatus

JSON_TYPE = "application/json"

HINT = "x-sandbox-hint"
"""The header in which the sandbox says why it refused a call; LeadSquared does not send it."""


class How(StrEnum):
    """How an answer goes out on the wire."""

    WHOLE = "whole"
    """As it should."""
    DRIP_HEADERS = "drip-headers"
    """Eight bytes at a time, from the status line on."""
    DRIP_BODY = "drip-body"
    """The headers at once, the body eight bytes at a time."""
    HALF_BODY = "half-body"
    """Half of the announced body, then the connection closes."""
    LOST = "lost"
    """Not at all: the connection closes in order, without an answer."""
    RESET = "reset"
    """Not at all: the connection is reset."""
    REFUSED = "refused"
    """Not at all: there was no connection."""
    HANG = "hang"
    """Not at all: the connection stays open until the client gives up."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it came off the wire; its repr shows neither keys nor personal data."""

    method: str
    path: str
    """Without the query, still percent-encoded."""
    query: str = field(default="", repr=False)
    """Without the question mark, still percent-encoded."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Names in lower case."""
    body: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        lowered = {name.lower(): value for name, value in self.headers.items()}
        object.__setattr__(self, "headers", lowered)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, when it goes out and how; its repr does not show the body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = field(default=b"", repr=False)
    delay: float = 0.0
    """Seconds from the decision until the answer reaches the client."""
    how: How = How.WHOLE
    pace: float = 0.0
    """Seconds between two pieces of an answer that drips."""


def in_eights(data: bytes) -> list[bytes]:
    """Cut `data` into the pieces of eight bytes in which an answer drips."""
    return [data[start : start + 8] for start in range(0, len(data), 8)]


def json_reply(status: int, content: object, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply whose body is `content` as JSON."""
    return Reply(status, {"content-type": JSON_TYPE, **(headers or {})}, dump(content).encode())


def dump(content: object) -> str:
    """JSON without blanks, in ASCII, so that a lone surrogate in a lead cannot break an answer."""
    return json.dumps(content, separators=(",", ":"))


def hinted(reply: Reply, hint: str) -> Reply:
    """The reply with a header for whoever reads it; the body stays LeadSquared's."""
    return replace(reply, headers={**reply.headers, HINT: hint})


def one_line(text: str, most: int) -> str:
    """Text from outside as one line of bounded length, without anything that a terminal obeys."""
    shown = "".join(c if c.isascii() and c.isprintable() else "?" for c in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def raw_head(reply: Reply) -> bytes:
    """Status line and headers as HTTP/1.1 puts them on the wire, for a connection that closes afterwards."""
    headers = {**reply.headers, "content-length": str(len(reply.body)), "connection": "close"}
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


ELSEWHERE = "elsewhere.invalid"
"""The other origin that a redirect points to; `.invalid` never resolves (RFC 2606)."""

RIGHT_HOST = "asyncapi-in21.leadsquared.com"
"""The host that the answer to a call on the wrong regional host names."""

RIGHT_SYNC_HOST = "api-in21.leadsquared.com"
"""The synchronous host of the same region."""


class ApplicationError(Exception):
    """What LeadSquared calls an application error: its type starts with `MX`, and it is final."""

    def __init__(self, exception_type: str, exception_message: str) -> None:
        super().__init__(exception_type)
        self.exception_type = exception_type
        self.exception_message = exception_message


class RefusedError(Exception):
    """What the account refuses by itself, whatever fault the call meets."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


def mx(
    status: int, exception_type: str, exception_message: str, headers: dict[str, str] | None = None
) -> Reply:
    """LeadSquared's error body under any HTTP status."""
    content = {"Status": "Error", "ExceptionType": exception_type, "ExceptionMessage": exception_message}
    return json_reply(status, content, headers)


def gateway(status: int, message: str, headers: dict[str, str] | None = None) -> Reply:
    """The gateway's error body."""
    return json_reply(status, {"message": message}, headers)


def accepted(request_id: str) -> Reply:
    """The answer to every submission that was taken (https://apidocs.leadsquared.com/capture-leads-async/)."""
    status = "Request accepted. Please use below request id to check the status"
    return json_reply(200, {"Status": status, "RequestID": request_id})


def over_limit(calls: int, per: float, style: str = "mx", retry_after: str | None = None) -> Reply:
    """The answer to a call over the limit: `mx`, `gateway`, `mx-200` or `mx-403`; all four have been seen."""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    if style == "gateway":
        return gateway(429, "Too Many Requests", headers)
    status = {"mx": 429, "mx-200": 200, "mx-403": 403}[style]
    message = f"API calls exceeded the limit of {calls} in {per:g} second(s)"
    return mx(status, "MXAPIRateLimitExceededException", message, headers)


def quota_used_up() -> Reply:
    """The gateway's answer once the day's calls are used up."""
    return gateway(429, "Limit Exceeded")


def no_such_path(hint: str) -> Reply:
    """The gateway's answer to a path or method that does not exist."""
    return hinted(gateway(403, "Missing Authentication Token"), hint)


def forbidden() -> Reply:
    """The gateway's answer when the x-api-key is missing or wrong."""
    return gateway(403, "Forbidden")


def wrong_keys() -> Reply:
    """LeadSquared's answer when accessKey or secretKey is missing or wrong."""
    return mx(401, "MXUnAuthorizedAccessException", "Invalid AccessKey or SecretKey")


def wrong_region(right_host: str = RIGHT_HOST) -> Reply:
    """LeadSquared's answer on the wrong regional host: it names the right one."""
    message = f"Unauthorized access. Please use the host {right_host} for this account"
    return mx(401, "MXUnAuthorizedAccessException", message)


def wrong_type() -> Reply:
    """The gateway's answer to a body that is not announced as JSON."""
    return hinted(gateway(415, "Unsupported Media Type"), f"send the header Content-Type: {JSON_TYPE}")


def too_large(most: int) -> Reply:
    """The gateway's answer to a body over its bound, in bytes."""
    return hinted(gateway(413, "Request Too Long"), f"the body is longer than {most} bytes")


def malformed(why: str, where: str = "") -> Reply:
    """LeadSquared's answer to a request that it cannot take; neither text holds a value of the request."""
    return hinted(mx(400, "MXInvalidInputException", why), f"{why}{where and f': {where}'}")


def unknown_id() -> Reply:
    """The answer to the status of a RequestID that is not known, or not yet; nobody has documented it."""
    return gateway(404, "Not Found")


def duplicate(status: int) -> Reply:
    """A permanent, logical error: it comes under 500 and under 200 alike."""
    return mx(status, "MXDuplicateEntryException", "A Lead with same Email already exists.")


def html() -> Reply:
    """What a proxy or a maintenance page puts in place of the answer."""
    body = b"<!doctype html><html><body><h1>We will be back soon</h1></body></html>"
    return Reply(200, {"content-type": "text/html"}, body)


def empty() -> Reply:
    """A 200 without a body."""
    return Reply(200)


def empty_object() -> Reply:
    """A 200 whose JSON says nothing."""
    return json_reply(200, {})


def huge() -> Reply:
    """A 200 of more than a megabyte."""
    return json_reply(200, {"Padding": "x" * 1_200_000})


def redirect() -> Reply:
    """A redirect to another origin that asks for the same method and body again."""
    return Reply(307, {"location": f"https://{ELSEWHERE}/lead/capture"})

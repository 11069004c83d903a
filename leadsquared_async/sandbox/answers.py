"""HTTP requests and replies as values, and the replies of LeadSquared and its gateway.

Texts are LeadSquared's own where they are known. LeadSquared's errors are
`{"Status": "Error", "ExceptionType": "MX…", "ExceptionMessage": …}`
(https://apidocs.leadsquared.com/error-handling/). Those of the AWS API Gateway in front of it are
`{"message": …}`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from http import HTTPStatus

JSON_TYPE = "application/json"

HINT = "x-sandbox-hint"
"""The header in which the sandbox explains a rejection; LeadSquared does not send it."""

ELSEWHERE = "elsewhere.invalid"
"""The target of a redirect to another origin; `.invalid` never resolves (RFC 2606)."""

ASYNC_HOST = "asyncapi-in21.leadsquared.com"
SYNC_HOST = "api-in21.leadsquared.com"
"""The account's regional hosts, as in the reply to a call to another region."""


class How(StrEnum):
    """How a reply is sent."""

    WHOLE = "whole"
    """At once."""
    DRIP_HEADERS = "drip-headers"
    """Eight bytes at a time, from the status line on."""
    DRIP_BODY = "drip-body"
    """The headers at once, the body eight bytes at a time."""
    HALF_BODY = "half-body"
    """Half of the body that Content-Length announces, then the connection closes."""
    LOST = "lost"
    """No reply: the connection closes."""
    RESET = "reset"
    """No reply: the connection is reset."""
    REFUSED = "refused"
    """No reply: the connection is refused."""
    HANG = "hang"
    """No reply: the connection stays open until the client gives up."""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as received; its repr shows neither keys nor personal data."""

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
    """An HTTP reply, and when and how to send it; its repr does not show the body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = field(default=b"", repr=False)
    delay: float = 0.0
    """Seconds from the decision until the reply reaches the client."""
    how: How = How.WHOLE
    pace: float = 0.0
    """Seconds between the pieces of a dripped reply."""

    @property
    def head(self) -> bytes:
        """The HTTP/1.1 status line and headers, on a connection that closes afterwards."""
        headers = {**self.headers, "content-length": str(len(self.body)), "connection": "close"}
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class ApplicationError(Exception):
    """LeadSquared's application error: it is final, and its type starts with `MX`."""

    def __init__(self, exception_type: str, exception_message: str) -> None:
        super().__init__(exception_type)
        self.exception_type = exception_type
        self.exception_message = exception_message


class RejectedError(Exception):
    """The account's own rules reject the request; faults do not override that."""

    def __init__(self, reply: Reply, hint: str) -> None:
        super().__init__()
        self.reply = hinted(reply, hint)


class MalformedError(RejectedError):
    """The request is malformed. The texts explain why without showing a value.

    `where` is the position of the error, for the hint only, if `why` does not state it.
    """

    def __init__(self, why: str, where: str = "") -> None:
        super().__init__(mx(400, "MXInvalidInputException", why), f"{why}: {where}" if where else why)


def json_reply(status: int, content: object) -> Reply:
    """A reply whose body is `content` as JSON."""
    return Reply(status, {"content-type": JSON_TYPE}, dump(content).encode())


def dump(content: object) -> str:
    """Compact JSON in ASCII, so that a lone surrogate in a lead cannot break a reply."""
    return json.dumps(content, separators=(",", ":"))


def hinted(reply: Reply, hint: str) -> Reply:
    """The reply with the sandbox's explanation as a header; the body stays LeadSquared's."""
    return replace(reply, headers={**reply.headers, HINT: hint})


def in_eights(data: bytes) -> list[bytes]:
    """Split `data` into pieces of eight bytes."""
    return [data[start : start + 8] for start in range(0, len(data), 8)]


def one_line(text: str, most: int) -> str:
    """Untrusted text as one line of at most `most` characters, without control characters."""
    shown = "".join(c if c.isascii() and c.isprintable() else "?" for c in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def mx(status: int, exception_type: str, exception_message: str) -> Reply:
    """LeadSquared's error body under any HTTP status."""
    content = {"Status": "Error", "ExceptionType": exception_type, "ExceptionMessage": exception_message}
    return json_reply(status, content)


def gateway(status: int, message: str) -> Reply:
    """The gateway's error body."""
    return json_reply(status, {"message": message})


def wrong_region(right_host: str) -> Reply:
    """LeadSquared's reply on another region's host; it names the right host."""
    message = f"Unauthorized access. Please use the host {right_host} for this account"
    return mx(401, "MXUnAuthorizedAccessException", message)


FORBIDDEN = gateway(403, "Forbidden")
"""The gateway's reply to a missing or wrong x-api-key."""

NO_PATH = gateway(403, "Missing Authentication Token")
"""The gateway's reply to an unknown method and path, whatever the keys."""

WRONG_KEYS = mx(401, "MXUnAuthorizedAccessException", "Invalid AccessKey or SecretKey")
"""LeadSquared's reply to a missing or wrong accessKey or secretKey."""

TOO_LONG = gateway(413, "Request Too Long")
"""The gateway's reply to a body that is too long."""

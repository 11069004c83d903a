"""What goes in and what comes out: a request, a reply, and how the reply goes out on the wire."""

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

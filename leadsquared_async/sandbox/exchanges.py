"""The last calls of an account, each with its request, its reply and what it led to. Memory is bounded."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import parse_qsl

from leadsquared_async.sandbox.answers import Reply, Request
from leadsquared_async.sandbox.processing import Task

Tone = Literal["ok", "limit", "rejected", "fault"]
"""A call was answered with success, with a 429, with a rejection of the account, or it met another fault."""

FAULT = "fault "
"""Precedes the name of an injected fault in `Arrival.why`."""
MOST_KEPT = 1_000
"""Calls; older ones are forgotten."""
LARGEST_KEPT = 64 * 1024
"""Bytes of a body; the rest is cut."""
MOST_BYTES = 8 * 1024 * 1024
"""Bytes of all bodies together."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call that reached the account, answered or not."""

    time: float
    """Seconds on the clock that drives the account."""
    operation: str
    """`capture`, `status`, `bulk` and so on, or `unknown` for a path that does not exist."""
    outcome: str
    """The HTTP status of the reply; `lost`, `reset` or `hang` if none was sent."""
    over_limit: bool
    """Whether the rate limit rejected it; False for a scripted 429."""
    method: str
    path: str
    """Without the query and without a connector's key."""
    why: str
    """Why the call was rejected, or which fault was injected; otherwise empty. It contains no values."""

    @property
    def tone(self) -> Tone:
        """How the call ended, in a word."""
        if self.over_limit or self.outcome == "429":
            return "limit"
        if self.why.startswith(FAULT):
            return "fault"
        return "ok" if self.outcome == "200" else "rejected"


@dataclass(slots=True)
class Effects:
    """What a call led to, whatever its reply was."""

    task: Task | None = None
    """The request that was queued."""
    lead_ids: Sequence[str] = ()
    """The leads that a bulk call stored."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A call with its request and reply; its repr shows neither keys nor personal data."""

    number: int
    """From 1 on, in order of arrival; a reset starts at 1 again."""
    arrival: Arrival
    request: Request
    """As received, with its keys; a long body is cut."""
    reply: Reply
    """The reply that LeadSquared or the fault gave, sent or not; a long body is cut."""
    sizes: tuple[int, int]
    """Bytes of both bodies before they were cut."""
    effects: Effects = field(default_factory=Effects, repr=False)

    @property
    def submission(self) -> tuple[object, ...]:
        """What was submitted where, without the keys: equal in all attempts of one submission."""
        query = [pair for pair in parse_qsl(self.request.query) if pair[0] not in {"accessKey", "secretKey"}]
        return self.request.path, *query, self.request.body, self.sizes[0]


class Exchanges:
    """The last calls, at most `MOST_KEPT` with at most `MOST_BYTES`."""

    __slots__ = ("_bytes", "_kept", "count", "tones")

    def __init__(self) -> None:
        self.count = 0
        """How many calls there were, with those that are forgotten."""
        self.tones: Counter[Tone] = Counter()
        """How many of them ended in which way."""
        self._kept: deque[Exchange] = deque()
        self._bytes = 0

    def __iter__(self) -> Iterator[Exchange]:
        """Oldest first."""
        return iter(self._kept)

    def __reversed__(self) -> Iterator[Exchange]:
        """Newest first."""
        return reversed(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, arrival: Arrival, request: Request, reply: Reply, effects: Effects) -> None:
        """Keep a call, and forget the oldest ones if that is too much."""
        self.count += 1
        self.tones[arrival.tone] += 1
        sizes = len(request.body), len(reply.body)
        if sizes[0] > LARGEST_KEPT:
            request = replace(request, body=request.body[:LARGEST_KEPT])
        if sizes[1] > LARGEST_KEPT:
            reply = replace(reply, body=reply.body[:LARGEST_KEPT])
        exchange = Exchange(self.count, arrival, request, reply, sizes, effects)
        self._kept.append(exchange)
        self._bytes += _bytes_of(exchange)
        while len(self._kept) > MOST_KEPT or self._bytes > MOST_BYTES:
            self._bytes -= _bytes_of(self._kept.popleft())

    def find(self, number: int) -> Exchange | None:
        """The call with this number, if it is still kept."""
        first = self.count - len(self._kept) + 1
        return self._kept[number - first] if first <= number <= self.count else None


def _bytes_of(exchange: Exchange) -> int:
    return len(exchange.request.body) + len(exchange.reply.body)

"""The records of an account: in Python as `Books`, over HTTP as the control plane under `/_sandbox/`.

The control plane needs no keys and has no rate limit. It rejects browsers, so that no website can read leads
or set faults, not even by DNS rebinding.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypedDict, cast

from leadsquared_async.sandbox.account import Account, limit_of
from leadsquared_async.sandbox.answers import HINT, JSON_TYPE, Reply, Request
from leadsquared_async.sandbox.bodies import values_of
from leadsquared_async.sandbox.counters import most_in_any_window
from leadsquared_async.sandbox.exchanges import Arrival
from leadsquared_async.sandbox.faults import Faults
from leadsquared_async.sandbox.processing import Task
from leadsquared_async.sandbox.records import Lead, Opportunity, PhoneCall


class RequestState(TypedDict):
    """An accepted request and its state."""

    request_id: str
    operation: str
    status: str
    reason: str
    system_errors: int
    finished_at: float | None
    """Seconds on the clock that drives the account; None while the request is queued."""


class Books:
    """The records of `account` at the time that `clock` returns, in seconds on the account's clock.

    The attributes contain personal data; the repr does not.
    """

    __slots__ = ("_account", "_clock")

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock

    @property
    def now(self) -> float:
        """Seconds on the sandbox's clock."""
        return self._clock()

    @property
    def instance(self) -> str:
        """A random id that changes with each run and each reset, even with a seed."""
        return self._account.instance

    @property
    def paths(self) -> Sequence[str]:
        """Method and path of every call."""
        return self._account.paths

    @property
    def arrivals(self) -> Sequence[Arrival]:
        """Every call that reached the account, in order."""
        return self._account.arrivals

    def most_arrivals(self, per: float | None = None, operation: str | None = None) -> int:
        """The most calls that arrived within any `per` seconds, by default the window of their limit.

        `operation` selects the calls; the default is all that share `limit`, that is, all but `bulk`.
        """
        if per is None:
            _, per = limit_of(self._account.settings, operation or "")
        times = [
            arrival.time
            for arrival in self.arrivals
            if (arrival.operation != "bulk" if operation is None else arrival.operation == operation)
        ]
        return most_in_any_window(times, per)

    @property
    def by_outcome(self) -> Mapping[str, int]:
        """The number of calls by outcome: an HTTP status, `lost`, `reset` or `hang`."""
        return Counter(arrival.outcome for arrival in self.arrivals)

    @property
    def over_limit(self) -> int:
        """How many calls the rate limit rejected, without scripted 429s."""
        return sum(arrival.over_limit for arrival in self.arrivals)

    @property
    def requests(self) -> Sequence[RequestState]:
        """The accepted requests of each operation, in order."""
        speed = self._up_to_date().settings.speed
        return [
            RequestState(
                request_id=task.request_id,
                operation=task.operation.name,
                status=task.status,
                reason=task.reason,
                system_errors=task.errors,
                finished_at=None if task.finished_at is None else task.finished_at / speed,
            )
            for task in self._tasks
        ]

    def submitted(self, operation: str = "capture") -> list[dict[str, str]]:
        """The values of each accepted submission of an operation, oldest first.

        By schema name, or by the key of the body or the query that has them.
        """
        return [
            {**values_of(json.loads(task.body)), **task.query}
            for task in self._tasks
            if task.operation.name == operation
        ]

    @property
    def accepted(self) -> int:
        """How many submissions were accepted, whether or not the client received the reply."""
        return len(self._tasks)

    @property
    def repeated(self) -> int:
        """How many accepted submissions repeat the body of an earlier one."""
        return self.accepted - len({task.body for task in self._tasks})

    @property
    def attempts(self) -> Mapping[str, int]:
        """How often each body was submitted, accepted or not."""
        return self._account.attempts

    @property
    def leads(self) -> Mapping[str, Lead]:
        """The leads by id, oldest first."""
        return self._up_to_date().records.leads

    @property
    def opportunities(self) -> Mapping[str, Opportunity]:
        """The opportunities by id, oldest first."""
        return self._up_to_date().records.opportunities

    @property
    def calls(self) -> Sequence[PhoneCall]:
        """The logged phone calls, oldest first."""
        return self._up_to_date().records.calls

    @property
    def duplicates(self) -> int:
        """How many leads belong to a person who already has an older lead."""
        return self._up_to_date().records.duplicates()

    @property
    def misplaced_keys(self) -> Sequence[str]:
        """A description of each key that was sent in the wrong place, without the key."""
        return self._account.misplaced_keys

    @property
    def faults(self) -> Faults:
        """The current faults; assign others to replace them from now on."""
        return self._account.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._account.set_faults(faults, self._clock())

    def change_faults(self, content: object) -> None:
        """Change the options of `Faults` that a decoded JSON object names, and keep the others.

        Scripts that it does not name continue. Raises ValueError for invalid input.
        """
        faults = self.faults.changed(content)
        keep = {"script", "processing_script"} - set(cast("dict[str, object]", content))
        self._account.set_faults(faults, self._clock(), keep=keep)

    def summary(self) -> dict[str, Any]:
        """The counts, and `now` in seconds, as a mapping for JSON without personal data."""
        return {
            "now": self.now,
            "arrivals": len(self.arrivals),
            "most_arrivals": self.most_arrivals(),
            "by_outcome": dict(self.by_outcome),
            "over_limit": self.over_limit,
            "accepted": self.accepted,
            "by_status": dict(Counter(request["status"] for request in self.requests)),
            "repeated": self.repeated,
            "most_attempts": max(self.attempts.values(), default=0),
            "leads": len(self.leads),
            "duplicates": self.duplicates,
            "opportunities": len(self.opportunities),
            "calls": len(self.calls),
            "misplaced_keys": list(self.misplaced_keys),
        }

    def reset(self) -> None:
        """Delete all records. Restore the initial faults and random draws; the clock continues."""
        self._account.reset()

    @property
    def _tasks(self) -> list[Task]:
        return self._account.tasks

    def _up_to_date(self) -> Account:
        self._account.advance(self._clock())
        return self._account


PREFIX = "/_sandbox/"
INDEX = frozenset({"/", "/_sandbox"})
"""Aliases of `/_sandbox/`."""
LARGEST_CONTROL_BODY = 64 * 1024
LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


def is_for_the_control_plane(request: Request) -> bool:
    """Whether it is for the sandbox itself, not a LeadSquared call."""
    return request.path.startswith(PREFIX) or (request.method == "GET" and request.path in INDEX)


def is_from_a_browser(request: Request) -> bool:
    """Whether a web page may have sent it: it has an origin, is cross-site, or its host is not loopback."""
    headers = request.headers
    return (
        "origin" in headers
        or headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
        or LOOPBACK.fullmatch(headers.get("host", "")) is None
    )


def answer(request: Request, books: Books) -> Reply:
    """Answer a request to the control plane."""
    if is_from_a_browser(request):
        return _error(403, "The sandbox accepts requests from programs on this machine, not from web pages")
    page = "" if request.path in INDEX else request.path.removeprefix(PREFIX)
    methods = ROUTES.get(page)
    if methods is None:
        return _error(404, f"This page does not exist: choose from {', '.join(filter(None, ROUTES))}")
    act = methods.get(request.method)
    if act is None:
        return _error(405, f"This page accepts {', '.join(methods)}", {"allow": ", ".join(methods)})
    try:
        content = act(books, request.body)
    except ValueError as error:
        return _error(400, str(error))
    return Reply(204) if content is None else _json(200, content)


def _show_index(books: Books, _body: bytes) -> object:
    return {
        "sandbox": "A LeadSquared emulator for tests, on this machine only",
        "instance": books.instance,
        "calls": books.paths,
        "keys": "Submissions take accessKey and secretKey in the query and x-api-key as a header",
        "control": [f"{method} {PREFIX}{page}" for page, methods in ROUTES.items() for method in methods],
    }


def _set_faults(books: Books, body: bytes) -> object:
    if len(body) > LARGEST_CONTROL_BODY:
        raise ValueError(f"The body is longer than {LARGEST_CONTROL_BODY} bytes")
    try:
        content = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise ValueError("The body is not valid JSON in UTF-8") from None
    books.change_faults(content)
    return books.faults.to_json()


def _clear_faults(books: Books, _body: bytes) -> object:
    books.faults = Faults()
    return books.faults.to_json()


ROUTES: Mapping[str, Mapping[str, Callable[[Books, bytes], object]]] = {
    "": {"GET": _show_index},
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
}
"""The handler of each page and method: it returns JSON, or None for 204; ValueError becomes 400."""


def _json(status: int, content: object, headers: Mapping[str, str] | None = None) -> Reply:
    """Indented JSON in ASCII, so that a lone surrogate in a lead stays escaped."""
    body = json.dumps(content, indent=2).encode()
    return Reply(status, {"content-type": JSON_TYPE, **(headers or {})}, body)


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    return _json(status, {"error": message}, {**(headers or {}), HINT: message})

"""The records of an account: in Python as `Books`, over HTTP as the control plane under `/_sandbox/`.

The control plane needs no keys and has no limit, so it refuses browsers: a page of another site must neither
read the leads nor set faults, not even by pointing its own name at this machine (DNS rebinding).
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypedDict, cast

from leadsquared_async.sandbox.account import Account, Arrival, limit_of
from leadsquared_async.sandbox.answers import HINT, JSON_TYPE, Reply, Request
from leadsquared_async.sandbox.counters import most_in_any_window
from leadsquared_async.sandbox.faults import Faults
from leadsquared_async.sandbox.processing import Task
from leadsquared_async.sandbox.records import Lead, Opportunity, PhoneCall


class RequestState(TypedDict):
    """One accepted request and its state."""

    request_id: str
    operation: str
    status: str
    reason: str
    system_errors: int
    finished_at: float | None
    """Seconds on the clock that drives the account; None while it is in the queue."""


class Books:
    """A view of `account` at the time that `clock` returns (seconds, the clock that drives the account).

    Personal data can be reached through it by name; its repr shows none.
    """

    __slots__ = ("_account", "_clock")

    def __init__(self, account: Account, clock: Callable[[], float]) -> None:
        self._account = account
        self._clock = clock

    @property
    def now(self) -> float:
        """The time of the sandbox's clock, in seconds."""
        return self._clock()

    @property
    def instance(self) -> str:
        """An id of this sandbox; each run and each reset changes it, even with a seed."""
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
        """The most calls that arrived in any `per` seconds; by default in the seconds of their limit.

        `operation` names the calls; by default all that share `limit`, which are all but `bulk`.
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
        """How many calls ended in each HTTP status, or in `lost`, `reset`, `hang`."""
        return Counter(arrival.outcome for arrival in self.arrivals)

    @property
    def over_limit(self) -> int:
        """How many calls the limit rejected, without scripted 429s."""
        return sum(arrival.over_limit for arrival in self.arrivals)

    @property
    def requests(self) -> Sequence[RequestState]:
        """Every accepted request, in order for each operation."""
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

    @property
    def accepted(self) -> int:
        """How many submissions were accepted, whether or not the client received the answer."""
        return len(self._tasks)

    @property
    def repeated(self) -> int:
        """How many submissions were accepted although the same body had been accepted before."""
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
        """How many leads there are beyond the first of each person."""
        return self._up_to_date().records.duplicates()

    @property
    def misplaced_keys(self) -> Sequence[str]:
        """Every time a key was sent to a wrong place, described without the key."""
        return self._account.misplaced_keys

    @property
    def faults(self) -> Faults:
        """How the account misbehaves now; assign other faults to change it from now on."""
        return self._account.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._account.set_faults(faults, self._clock())

    def change_faults(self, content: object) -> None:
        """Change the faults that a decoded JSON object names, and keep the others.

        A script that it does not name continues. Raises ValueError for invalid input.
        """
        faults = self.faults.changed(content)
        keep = {"script", "processing_script"} - set(cast("dict[str, object]", content))
        self._account.set_faults(faults, self._clock(), keep=keep)

    def summary(self) -> dict[str, Any]:
        """The counts as a mapping for JSON, with `now` in seconds; no personal data."""
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
        """Forget everything. Faults and draws start over; the clock does not."""
        self._account.reset()

    @property
    def _tasks(self) -> list[Task]:
        return [task for queue in self._account.queues.values() for task in queue.tasks.values()]

    def _up_to_date(self) -> Account:
        self._account.advance(self._clock())
        return self._account


PREFIX = "/_sandbox/"
INDEX = frozenset({"/", "/_sandbox"})
"""Paths that are answered as `/_sandbox/` is."""
LARGEST_CONTROL_BODY = 64 * 1024
LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


def is_for_the_control_plane(request: Request) -> bool:
    """Whether it is for the sandbox itself, and not a LeadSquared call."""
    return request.path.startswith(PREFIX) or (request.method == "GET" and request.path in INDEX)


def is_from_a_browser(request: Request) -> bool:
    """Whether a web page may have sent it: it names an origin or another site's page, or its host is not this
    machine's loopback."""
    headers = request.headers
    return (
        "origin" in headers
        or headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
        or LOOPBACK.fullmatch(headers.get("host", "")) is None
    )


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
        return _error(405, f"This page takes {', '.join(methods)}", {"allow": ", ".join(methods)})
    try:
        content = act(books, request.body)
    except ValueError as error:
        return _error(400, str(error))
    return Reply(204) if content is None else _json(200, content)


def _show_index(books: Books, _body: bytes) -> object:
    return {
        "sandbox": "A LeadSquared for tests, on this machine only",
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
        raise ValueError("The body is not JSON in UTF-8") from None
    books.change_faults(content)
    return books.faults.to_json()


def _end_faults(books: Books, _body: bytes) -> object:
    books.faults = Faults()
    return books.faults.to_json()


ROUTES: Mapping[str, Mapping[str, Callable[[Books, bytes], object]]] = {
    "": {"GET": _show_index},
    "reset": {"POST": lambda books, _: books.reset()},
    "faults": {"GET": lambda books, _: books.faults.to_json(), "PUT": _set_faults, "DELETE": _end_faults},
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
"""The control plane: what each page and method answers as JSON, or nothing; ValueError is a 400."""


def _json(status: int, content: object, headers: Mapping[str, str] | None = None) -> Reply:
    """JSON for people as well; a lone surrogate in a lead stays escaped."""
    body = json.dumps(content, indent=2).encode()
    return Reply(status, {"content-type": JSON_TYPE, **(headers or {})}, body)


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    return _json(status, {"error": message}, {**(headers or {}), HINT: message})

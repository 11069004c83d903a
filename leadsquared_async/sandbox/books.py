"""What an account has seen: the truth that a test compares a client's claims with."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, cast

from leadsquared_async.sandbox.account import Account, Arrival
from leadsquared_async.sandbox.faults import Faults
from leadsquared_async.sandbox.gate import DEFAULT_BULK_LIMIT, DEFAULT_LIMIT
from leadsquared_async.sandbox.leads import Lead
from leadsquared_async.sandbox.limits import most_in_any_window
from leadsquared_async.sandbox.records import Opportunity, PhoneCall


class RequestState(TypedDict):
    """One accepted request and where it stands."""

    request_id: str
    operation: str
    status: str
    reason: str
    system_errors: int
    finished_at: float | None
    """Seconds on the clock that drives the account; None while it is in the queue."""


class Books:
    """A view of `account` at the time that `clock` tells (seconds, the clock that drives the account).

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
        """An id of this sandbox, which changes with each run and each reset, whatever the seed."""
        return self._account.instance

    @property
    def paths(self) -> Sequence[str]:
        """Method and path of every call that exists."""
        return self._account.paths

    @property
    def arrivals(self) -> Sequence[Arrival]:
        """Every call that reached the account, in order."""
        return self._account.arrivals

    def most_arrivals(self, per: float | None = None, operation: str | None = None) -> int:
        """The most calls that arrived in any `per` seconds; by default in the seconds of their limit.

        `operation` names the calls; by default all that share `limit`, so all but `bulk`.
        """
        settings = self._account.settings
        if per is None:
            limit, default = settings.limit, DEFAULT_LIMIT
            if operation == "bulk":
                limit, default = settings.bulk_limit, DEFAULT_BULK_LIMIT
            per = (limit or default)[1]
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
        """How many calls the limit refused, under whatever status; scripted 429s are not among them."""
        return sum(arrival.over_limit for arrival in self.arrivals)

    @property
    def requests(self) -> Sequence[RequestState]:
        """Every accepted request, in order for each operation."""
        self._advance()
        speed = self._account.settings.speed
        return [
            RequestState(
                request_id=task.request_id,
                operation=operation,
                status=task.status,
                reason=task.reason,
                system_errors=task.errors,
                finished_at=None if task.finished_at is None else task.finished_at / speed,
            )
            for operation, queue in self._account.queues.items()
            for task in queue.tasks.values()
        ]

    @property
    def accepted(self) -> int:
        """How many submissions were taken, whether the client heard of it or not."""
        return sum(len(queue.tasks) for queue in self._account.queues.values())

    @property
    def repeated(self) -> int:
        """How many submissions were taken although the same body had been taken before."""
        bodies = Counter(
            task.body for queue in self._account.queues.values() for task in queue.tasks.values()
        )
        return bodies.total() - len(bodies)

    @property
    def attempts(self) -> Mapping[str, int]:
        """How often each body was submitted, taken or not."""
        return self._account.attempts

    @property
    def leads(self) -> Mapping[str, Lead]:
        """The leads by id, oldest first."""
        self._advance()
        return self._account.store.leads

    @property
    def opportunities(self) -> Mapping[str, Opportunity]:
        """The opportunities by id, oldest first."""
        self._advance()
        return self._account.records.opportunities

    @property
    def calls(self) -> Sequence[PhoneCall]:
        """The phone calls that were logged, oldest first."""
        self._advance()
        return self._account.records.calls

    @property
    def duplicates(self) -> int:
        """How many leads there are beyond the first of each person."""
        self._advance()
        return self._account.store.duplicates()

    @property
    def misplaced_keys(self) -> Sequence[str]:
        """Every time a key was sent where it does not belong, in words that do not show it."""
        return self._account.misplaced_keys

    @property
    def faults(self) -> Faults:
        """How the account misbehaves now; assign other faults to change it from now on."""
        return self._account.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._account.set_faults(faults, self._clock())

    def change_faults(self, content: object) -> None:
        """Change the faults that a decoded JSON object names, and leave the others as they are.

        Raises ValueError for invalid input.
        """
        faults = self.faults.changed(content)
        go_on = {"script", "processing_script"} - set(cast("dict[str, object]", content))
        self._account.set_faults(faults, self._clock(), go_on=go_on)

    def summary(self) -> dict[str, Any]:
        """The counts, as a mapping that JSON can hold, with `now` in seconds; no personal data."""
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
        """Forget everything; faults and draws start over, the clock goes on."""
        self._account.reset()

    def _advance(self) -> None:
        self._account.advance(self._clock())

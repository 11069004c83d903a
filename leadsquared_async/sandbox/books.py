"""The records of an account, in Python. `control` has them over HTTP."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from leadsquared_async.sandbox.account import Account, limit_of
from leadsquared_async.sandbox.bodies import values_of
from leadsquared_async.sandbox.counters import most_in_any_window
from leadsquared_async.sandbox.exchanges import Arrival
from leadsquared_async.sandbox.faults import Faults
from leadsquared_async.sandbox.openapi.description import describe
from leadsquared_async.sandbox.processing import RequestState, Task
from leadsquared_async.sandbox.records import Lead, Opportunity, PhoneCall


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
    def account(self) -> Account:
        """The account, in which everything is processed that is due by now."""
        self._account.advance(self._clock())
        return self._account

    @property
    def instance(self) -> str:
        """A random id that changes with each run and each reset, even with a seed."""
        return self._account.instance

    @property
    def paths(self) -> Sequence[str]:
        """Method and path of every call."""
        return self._account.paths

    @property
    def openapi(self) -> dict[str, Any]:
        """An OpenAPI 3.1 description of the calls and of the control plane."""
        return describe(self._account.settings.paths, self._account.settings.keys)

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
        speed = self.account.settings.speed
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
        return self.account.records.leads

    @property
    def opportunities(self) -> Mapping[str, Opportunity]:
        """The opportunities by id, oldest first."""
        return self.account.records.opportunities

    @property
    def calls(self) -> Sequence[PhoneCall]:
        """The logged phone calls, oldest first."""
        return self.account.records.calls

    @property
    def duplicates(self) -> int:
        """How many leads belong to a person who already has an older lead."""
        return self.account.records.duplicates()

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

    def change_settings(self, content: object) -> None:
        """Change the settings that a decoded JSON object names; `settings.CHANGEABLE` lists the names.

        A changed limit forgets earlier calls; a reset restores the initial settings. Raises ValueError for
        invalid input.
        """
        self._account.change_settings(content, self._clock())

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
        """Delete all records. Restore the initial settings, faults and random draws; the clock continues."""
        self._account.reset()

    @property
    def _tasks(self) -> list[Task]:
        return self._account.tasks

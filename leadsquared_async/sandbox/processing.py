"""The processing queue of an operation: FIFO at a constant rate; system errors are retried later.

Nothing runs in the background: the state is computed on demand.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import TypedDict

from leadsquared_async.sandbox.answers import ApplicationError, dump
from leadsquared_async.sandbox.bodies import Work
from leadsquared_async.sandbox.operations import Operation

RETRIES = (30, 120, 420, 900, 1800, 2700, 3600, 5400, 7200, 10800)
"""Seconds from each system error to the next attempt: 30 s, 2, 7, 15, 30, 45, 60 min, 1.5, 2 and 3 h
(https://apidocs.leadsquared.com/async-api/)."""

RATE_WINDOW = 600.0
"""Seconds over which the metrics average the processing rate."""


class RequestState(TypedDict):
    """An accepted request and its state."""

    request_id: str
    operation: str
    status: str
    reason: str
    system_errors: int
    finished_at: float | None
    """Seconds on the clock that drives the account; None while the request is queued."""


@dataclass(slots=True)
class Task:
    """An accepted request; its repr shows no personal data."""

    request_id: str
    operation: Operation
    body: str = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    """Without the keys."""
    work: Work = field(repr=False)
    accepted_at: float
    """Seconds on the queue's clock, like `finished_at`."""
    status: str = "In-Queue"
    reason: str = ""
    message: str | None = field(default=None, repr=False)
    errors: int = 0
    """System errors so far."""
    finished_at: float | None = None
    lead_id: str = ""
    """The lead that it created or changed, if any."""
    matched_by: str = ""
    """The attribute by which that lead was found; empty for a new lead."""

    def as_status(self) -> dict[str, object]:
        """The reply to the status call (https://apidocs.leadsquared.com/capture-leads-async/)."""
        is_final = self.finished_at is not None
        retry = f"Retry {self.errors} of {len(RETRIES)}" if self.errors and not is_final else None
        return {
            self.operation.id_name: self.request_id,
            "TaskStatus": {
                "TaskType": self.operation.task_type,
                "Status": self.status,
                "StatusReason": self.reason,
                "TaskCurrentStep": retry,
                "TaskLastStep": "Processing" if self.errors or is_final else None,
                "RequestBody": self.body,
                "Message": self.message,
            },
        }


class ProcessingQueue:
    """Processes `rate` requests a minute, one at a time; times are seconds on the queue's clock.

    `meets_system_error` is called once for each attempt.
    """

    def __init__(self, rate: float, meets_system_error: Callable[[], bool]) -> None:
        self.tasks: dict[str, Task] = {}
        self.finished: Counter[str] = Counter()
        """How many requests ended with which status."""
        self._interval = 60 / rate
        self._meets_system_error = meets_system_error
        self._ready: list[tuple[float, int, Task]] = []
        self._order = count()
        self._free_at = 0.0
        self._processed: deque[float] = deque()

    def put(self, task: Task) -> None:
        """Queue a request at its `accepted_at`."""
        self.tasks[task.request_id] = task
        heappush(self._ready, (task.accepted_at, next(self._order), task))

    def set_rate(self, rate: float, now: float) -> None:
        """Process `rate` requests a minute from `now` on; what is being processed starts again."""
        self._interval = 60 / rate
        self._free_at = max(self._free_at, now)

    @property
    def pending(self) -> int:
        """How many requests wait, for their turn or for a retry."""
        return len(self._ready)

    def oldest(self, now: float) -> float:
        """When the request that waits longest was accepted; `now` if none waits."""
        return min((task.accepted_at for _, _, task in self._ready), default=now)

    def next_at(self) -> float:
        """When the next request is processed; infinity if the queue is empty."""
        return max(self._free_at, self._ready[0][0]) + self._interval if self._ready else inf

    def step(self) -> None:
        """Process the next request."""
        at = self._free_at = self.next_at()
        task = heappop(self._ready)[2]
        self._processed.append(at)
        if self._meets_system_error():
            self._retry_later(task, at)
            return
        try:
            stored = task.work(at)
        except ApplicationError as error:
            self._finish(task, at, "FAILURE", f"{error.exception_type}: {error.exception_message}")
        else:
            task.message = dump({"Status": "Success", "Message": stored.message})
            task.lead_id, task.matched_by = stored.lead_id, stored.matched_by
            self._finish(task, at, "Success", "")

    def metrics(self, now: float, rate_name: str) -> dict[str, object]:
        """The reply to the metrics call: pending requests, age of the oldest, requests processed a minute."""
        while self._processed and now - self._processed[0] >= RATE_WINDOW:
            self._processed.popleft()
        return {
            "PendingMessages": self.pending,
            "MaxDelayInSeconds": int(now - self.oldest(now)),
            rate_name: round(len(self._processed) / (RATE_WINDOW / 60), 1),
        }

    def _retry_later(self, task: Task, at: float) -> None:
        if task.errors == len(RETRIES):
            self._finish(task, at, "ERROR", f"System error after {len(RETRIES)} retries")
            return
        heappush(self._ready, (at + RETRIES[task.errors], next(self._order), task))
        task.errors += 1
        task.reason = "System error, will be retried"

    def _finish(self, task: Task, at: float, status: str, reason: str) -> None:
        task.status, task.reason, task.finished_at = status, reason, at
        self.finished[status] += 1

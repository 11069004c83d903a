"""The queue behind the Async API: first in, first out, at a steady rate, system errors tried again later.

An outcome may show some time after its request's turn, so that outcomes can come out of order.

Nothing runs in the background: what has happened by a time is worked out when somebody asks. Unless said
otherwise times are seconds on the queue's own clock.
"""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import TypedDict

from leadsquared_async.sandbox.answers import ApplicationError
from leadsquared_async.sandbox.messages import dump

RETRIES = (30, 120, 420, 900, 1800, 2700, 3600, 5400, 7200, 10800)
"""Seconds to the next try after each system error: 30 s, 2, 7, 15, 30, 45, 60 min, 1.5, 2 and 3 h
(https://apidocs.leadsquared.com/async-api/)."""

RATE_WINDOW = 600.0
"""Seconds over which the metrics count what was processed."""

IN_QUEUE = "In-Queue"
SUCCESS = "Success"
ERROR = "ERROR"


class Metrics(TypedDict):
    """The answer of a metrics call."""

    PendingMessages: int
    MaxDelayInSeconds: int
    ProcessingRatePerMinute: float


@dataclass(slots=True)
class Task:
    """One accepted request on its way to its outcome; its repr shows no personal data."""

    request_id: str
    task_type: str
    body: str = field(repr=False)
    work: Callable[[float], object] = field(repr=False)
    """Does what was asked for at a time; returns the synchronous API's answer or raises ApplicationError."""
    accepted_at: float
    known_from: float
    """Seconds on the account's clock from which its status can be asked for."""
    id_name: str = "RequestId"
    """How its status spells the id."""
    status: str = IN_QUEUE
    reason: str = ""
    current_step: str | None = None
    last_step: str | None = None
    message: str | None = field(default=None, repr=False)
    errors: int = 0
    """System errors that it has met."""
    finished_at: float | None = None

    def as_status(self) -> dict[str, object]:
        """The status call's answer (https://apidocs.leadsquared.com/capture-leads-async/)."""
        return {
            self.id_name: self.request_id,
            "TaskStatus": {
                "TaskType": self.task_type,
                "Status": self.status,
                "StatusReason": self.reason,
                "TaskCurrentStep": self.current_step,
                "TaskLastStep": self.last_step,
                "RequestBody": self.body,
                "Message": self.message,
            },
        }


class ProcessingQueue:
    """Processes `rate` requests a minute, one after the other.

    `delay` draws the seconds from a request's turn until its outcome shows; `meets_system_error` is asked
    once for each try. `rejected` and `retrying` are the statuses of a request that ended in an application
    error and of one that waits for its next try.
    """

    def __init__(
        self,
        *,
        rate: float,
        delay: Callable[[], float],
        meets_system_error: Callable[[], bool],
        rejected: str,
        retrying: str,
    ) -> None:
        self.tasks: dict[str, Task] = {}
        self._interval = 60 / rate
        self._delay = delay
        self._meets_system_error = meets_system_error
        self._rejected = rejected
        self._retrying = retrying
        self._pending: dict[str, Task] = {}
        self._ready: list[tuple[float, int, Task]] = []
        self._outcomes: list[tuple[float, int, Task]] = []
        self._order = count()
        self._free_at = 0.0
        self._processed: deque[float] = deque()

    def put(self, task: Task) -> None:
        """Take a request in at its `accepted_at`."""
        self.advance(task.accepted_at)
        self.tasks[task.request_id] = self._pending[task.request_id] = task
        heappush(self._ready, (task.accepted_at, next(self._order), task))

    def advance(self, now: float) -> None:
        """Process all that is done by `now`."""
        while self.next_at() <= now:
            self.step()

    def next_at(self) -> float:
        """When the next thing happens; infinity if nothing is left to do."""
        return min(self._turn(), self._shows())

    def step(self) -> None:
        """Let the next thing happen."""
        turn, shows = self._turn(), self._shows()
        if shows <= turn:
            self._process(heappop(self._outcomes)[2], shows)
        else:
            self._free_at = turn
            heappush(self._outcomes, (turn + self._delay(), next(self._order), heappop(self._ready)[2]))

    def metrics(self, now: float) -> Metrics:
        """What is queued, how late the oldest is, and how much was processed in the last ten minutes."""
        self.advance(now)
        while self._processed and now - self._processed[0] >= RATE_WINDOW:
            self._processed.popleft()
        oldest = next(iter(self._pending.values()), None)
        return {
            "PendingMessages": len(self._pending),
            "MaxDelayInSeconds": 0 if oldest is None else int(now - oldest.accepted_at),
            "ProcessingRatePerMinute": round(len(self._processed) / (RATE_WINDOW / 60), 1),
        }

    def _turn(self) -> float:
        return max(self._free_at, self._ready[0][0]) + self._interval if self._ready else inf

    def _shows(self) -> float:
        return self._outcomes[0][0] if self._outcomes else inf

    def _process(self, task: Task, at: float) -> None:
        self._processed.append(at)
        if self._meets_system_error():
            self._put_off(task, at)
            return
        try:
            answer = task.work(at)
        except ApplicationError as error:
            task.status = self._rejected
            task.reason = f"{error.exception_type}: {error.exception_message}"
        else:
            task.status = SUCCESS
            task.reason = ""
            task.message = dump(answer)
        self._finish(task, at)

    def _put_off(self, task: Task, at: float) -> None:
        if task.errors == len(RETRIES):
            task.status = ERROR
            task.reason = f"System error, given up after {len(RETRIES)} retries"
            self._finish(task, at)
            return
        heappush(self._ready, (at + RETRIES[task.errors], next(self._order), task))
        task.errors += 1
        task.status = self._retrying
        task.reason = "System error, to be retried"
        task.current_step = f"Retry {task.errors} of {len(RETRIES)}"
        task.last_step = "Processing"

    def _finish(self, task: Task, at: float) -> None:
        task.finished_at = at
        task.current_step = None
        task.last_step = "Processing"
        del self._pending[task.request_id]


def advance_all(queues: Collection[ProcessingQueue], now: float) -> None:
    """Process all that is done by `now`, in the order of time across the queues.

    What they share (leads, ids, draws) must not depend on who looks when.
    """
    while True:
        queue = min(queues, key=ProcessingQueue.next_at)
        if queue.next_at() > now:
            return
        queue.step()

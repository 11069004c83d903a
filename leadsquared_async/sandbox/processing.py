"""The queue behind the Async API: first in, first out, at a steady rate, system errors tried again later.

An outcome may show some time after its request's turn, so that outcomes can come out of order.

Nothing runs in the background: what has happened by a time is worked out when somebody asks. Unless said
otherwise times are seconds on the queue's own clock.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random
from typing import TypedDict

from leadsquared_async.sandbox.answers import (
    ApplicationError,
    Reply,
    Request,
    accepted,
    dump,
    empty,
    hinted,
    json_reply,
    unknown_id,
)
from leadsquared_async.sandbox.bodies import MalformedError, Submission, decode
from leadsquared_async.sandbox.faults import FaultSource
from leadsquared_async.sandbox.operations import OPERATIONS, Call, Operation
from leadsquared_async.sandbox.records import Records
from leadsquared_async.sandbox.settings import Settings

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


class Queues:
    """The queues of an account, by the name of their operation; `now` is seconds on the account's clock."""

    def __init__(
        self, settings: Settings, records: Records, faults: FaultSource, new_id: Callable[[], str]
    ) -> None:
        self._settings = settings
        self._records = records
        self._new_id = new_id
        self._delays = Random(f"delays {settings.seed or 0}")
        self.by_name = {
            operation.name: ProcessingQueue(
                rate=settings.processing_rate,
                delay=self._delay,
                meets_system_error=faults.system_error,
                rejected=settings.rejected_status,
                retrying=settings.retrying_status,
            )
            for operation in OPERATIONS
        }

    def advance(self, now: float) -> None:
        """Process what is done by `now`."""
        advance_all(self.by_name.values(), now * self._settings.speed)

    def submit(
        self, request: Request, query: Mapping[str, str], call: Call, now: float, *, taken: bool
    ) -> Reply:
        """Accept what is well formed, and take it in unless it is lost on the way.

        Raises MalformedError.
        """
        text, content = decode(request.body)
        (operation,) = call.operations
        task = Task(
            work=operation.read(Submission(content, query, call.rest), self._records),
            request_id=self._new_id(),
            task_type=operation.task_type,
            body=text,
            accepted_at=now * self._settings.speed,
            known_from=now + self._settings.known_after,
            id_name=operation.id_name,
        )
        if taken:
            self.by_name[operation.name].put(task)
        return accepted(task.request_id)

    def status(self, query: Mapping[str, str], call: Call, now: float) -> Reply:
        """Where a request stands, if it is one of the call's operations; raises MalformedError."""
        request_id = query.get("RequestID")
        if not request_id:
            raise MalformedError("RequestID is missing")
        for operation in call.operations:
            task = self.by_name[operation.name].tasks.get(request_id.lower())
            if task is not None and now >= task.known_from:
                return json_reply(200, task.as_status())
        unknown = unknown_id() if self._settings.unknown_id == "404" else empty()
        return hinted(unknown, self._unknown_hint(request_id.lower(), call))

    def _unknown_hint(self, request_id: str, call: Call) -> str:
        for name, queue in self.by_name.items():
            task = queue.tasks.get(request_id)
            if task is not None:
                is_early = any(name == operation.name for operation in call.operations)
                return "this RequestID is not known yet" if is_early else f"this RequestID belongs to {name}"
        return "no request of this sandbox has this RequestID; a restart or a reset forgets all requests"

    def metrics(self, operation: Operation, now: float) -> Reply:
        """How long the operation's queue is."""
        metrics = self.by_name[operation.name].metrics(now * self._settings.speed)
        rate = metrics["ProcessingRatePerMinute"]
        counts = {name: metrics[name] for name in ("PendingMessages", "MaxDelayInSeconds")}
        return json_reply(200, {**counts, operation.rate_name: rate})

    def _delay(self) -> float:
        """From a request's turn in the queue until its outcome shows."""
        return self._delays.uniform(0, 2 * self._settings.disorder)

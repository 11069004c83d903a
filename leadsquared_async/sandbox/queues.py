"""The asynchronous side of an account: submissions go in, their status and the metrics come out.

Each operation has a queue of its own.
"""

from collections.abc import Callable, Mapping
from random import Random

from leadsquared_async.sandbox.answers import accepted, empty, unknown_id
from leadsquared_async.sandbox.bodies import MalformedError, decode
from leadsquared_async.sandbox.faults import FaultSource
from leadsquared_async.sandbox.messages import Reply, Request, hinted, json_reply
from leadsquared_async.sandbox.operations import OPERATIONS, Operation
from leadsquared_async.sandbox.processing import ProcessingQueue, Task, advance_all
from leadsquared_async.sandbox.records import Records
from leadsquared_async.sandbox.routes import Call
from leadsquared_async.sandbox.settings import Settings
from leadsquared_async.sandbox.submissions import Submission


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

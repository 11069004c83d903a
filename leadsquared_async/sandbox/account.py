"""A LeadSquared account in memory: requests and the time go in, replies come out.

No socket, no clock, no await. What has been processed by now is worked out when somebody asks.
"""

from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Unpack
from uuid import UUID

from leadsquared_async.sandbox.answers import (
    accepted,
    empty,
    malformed,
    no_such_path,
    over_limit,
    quota_used_up,
    unknown_id,
)
from leadsquared_async.sandbox.faults import Fault, Faults, FaultSource
from leadsquared_async.sandbox.leads import LeadStore
from leadsquared_async.sandbox.limits import COUNTERS
from leadsquared_async.sandbox.messages import How, Reply, Request, json_reply
from leadsquared_async.sandbox.processing import ProcessingQueue, Task
from leadsquared_async.sandbox.rules import (
    CALL_NAMES,
    OPERATIONS,
    Call,
    MalformedError,
    Operation,
    decode,
    locate,
    misplaced_keys,
    read_query,
    refuse_api_key,
    refuse_form,
    refuse_keys,
)
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY, Options, Settings

DAY = 86_400.0
DEFAULT_LIMIT = (25, 5.0)
"""What a scripted 429 quotes where there is no limit."""

UNANSWERED = frozenset({How.LOST, How.RESET, How.HANG})


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call that reached the account, whatever became of it."""

    time: float
    """Seconds on the clock that drives the account."""
    operation: str
    """`capture`, `status`, `metrics`, or `unknown` for a path that does not exist."""
    outcome: str
    """The HTTP status of the answer; `lost`, `reset` or `hang` if none went out."""
    over_limit: bool
    """Whether the limit refused it (a scripted 429 is no such refusal)."""


class Account:
    """A LeadSquared account that plays by `Settings` (given as keyword arguments).

    Drive it with `decide(request, now)`, where `now` is seconds that never go back. Raises ValueError for
    settings that make no sense.
    """

    access_key = ACCESS_KEY
    secret_key = SECRET_KEY
    api_key = API_KEY

    def __init__(self, **options: Unpack[Options]) -> None:
        self.settings = Settings(**options)
        _check_operations(self.settings.faults)
        self.reset()

    def reset(self) -> None:
        """Forget everything: leads, requests, arrivals, counts; faults and draws start over."""
        settings = self.settings
        limit = settings.limit
        self.arrivals: list[Arrival] = []
        self.misplaced_keys: list[str] = []
        self.attempts: Counter[str] = Counter()
        self._ids = Random(f"ids {settings.seed}")
        self._delays = Random(f"delays {settings.seed}")
        self._faults = FaultSource(settings.faults, settings.seed)
        self._counter = None
        if limit is not None:
            make = COUNTERS[settings.counting]
            self._counter = make(*limit, phase=settings.phase, count_refused=settings.count_refused)
        self._day = 0
        self._calls_today = 0
        self.store = LeadStore(self._new_id, settings.attributes)
        self.queues = {
            operation.name: ProcessingQueue(
                rate=settings.processing_rate,
                delay=self._delay,
                meets_system_error=self._faults.system_error,
                rejected=settings.rejected_status,
                retrying=settings.retrying_status,
            )
            for operation in OPERATIONS
        }

    @property
    def faults(self) -> Faults:
        """How it misbehaves now."""
        return self._faults.faults

    def set_faults(self, faults: Faults, now: float) -> None:
        """Misbehave otherwise from `now` on; raises ValueError for an operation that does not exist."""
        _check_operations(faults)
        self.advance(now)
        self._faults.replace(faults)

    def transit(self) -> float:
        """Draw the seconds of one way: to be waited for before `decide`, which draws the way back itself."""
        return self._faults.transit()

    def advance(self, now: float) -> None:
        """Process what is done by `now`."""
        for queue in self.queues.values():
            queue.advance(now * self.settings.speed)

    def decide(self, request: Request, now: float) -> Reply:
        """Answer a request that arrives at `now` (seconds); it is counted at this moment, answered or not."""
        self.advance(now)
        call = locate(request)
        name = "unknown" if call is None else call.name
        fault = self._faults.draw(name, now)
        if fault.how is How.REFUSED:
            return Reply(503, delay=self.transit(), how=fault.how)
        self.misplaced_keys += misplaced_keys(request, call, self.settings)
        if call is not None and call.kind == "submit":
            self.attempts[request.body.decode("utf-8", "replace")] += 1
        answer, refused = self._judge(request, call, fault, now)
        outcome = fault.how.value if fault.how in UNANSWERED else str(answer.status)
        self.arrivals.append(Arrival(now, name, outcome, refused))
        return replace(answer, delay=self.transit(), how=fault.how, pace=self.faults.drip)

    def _judge(self, request: Request, call: Call | None, fault: Fault, now: float) -> tuple[Reply, bool]:
        """The answer, and whether it is the limit's refusal."""
        if call is None:
            return no_such_path(), False
        if (refusal := refuse_api_key(request)) is not None:
            return refusal, False
        if self._counter is not None and not self._counter.admit(now):
            return self._over_limit(), True
        if self._is_quota_used_up(now):
            return quota_used_up(), False
        return self._answer(request, call, fault, now), False

    def _over_limit(self) -> Reply:
        calls, per = self.settings.limit or DEFAULT_LIMIT
        return over_limit(calls, per, self.settings.refusal, self.settings.retry_after)

    def _is_quota_used_up(self, now: float) -> bool:
        if self.settings.daily_quota is None:
            return False
        day = int(now // DAY)
        if day != self._day:
            self._day = day
            self._calls_today = 0
        self._calls_today += 1
        return self._calls_today > self.settings.daily_quota

    def _answer(self, request: Request, call: Call, fault: Fault, now: float) -> Reply:
        query = read_query(request)
        if call.kind == "submit":
            task = self._read(request, query, call.operation, now)
            if isinstance(task, Reply):
                return task
            if fault.taken:
                self.queues[call.operation.name].put(task)
            answer = accepted(task.request_id)
        elif call.kind == "status":
            answer = self._status(query, call.operation, now)
        else:
            answer = json_reply(200, self.queues[call.operation.name].metrics(now * self.settings.speed))
        if fault.over_limit:
            return self._over_limit()
        return answer if fault.answer is None else fault.answer()

    def _read(
        self, request: Request, query: dict[str, str], operation: Operation, now: float
    ) -> Task | Reply:
        """What a submission asks for, or why it is refused."""
        settings = self.settings
        refusal = refuse_keys(request, query, settings) or refuse_form(request, settings)
        if refusal is not None:
            return refusal
        try:
            text, content = decode(request.body)
            work = operation.read(content, query, self.store)
        except MalformedError as error:
            return malformed(str(error))
        return Task(
            request_id=self._new_id(),
            task_type=operation.task_type,
            body=text,
            work=work,
            accepted_at=now * settings.speed,
            known_from=now + settings.known_after,
        )

    def _status(self, query: dict[str, str], operation: Operation, now: float) -> Reply:
        request_id = query.get("RequestID")
        if not request_id:
            return malformed("RequestID is missing")
        task = self.queues[operation.name].tasks.get(request_id.lower())
        if task is None or now < task.known_from:
            return unknown_id() if self.settings.unknown_id == "404" else empty()
        return json_reply(200, task.as_status())

    def _delay(self) -> float:
        """From a request's turn in the queue until its outcome shows."""
        return self._delays.uniform(0, 2 * self.settings.disorder)

    def _new_id(self) -> str:
        return str(UUID(int=self._ids.getrandbits(128), version=4))


def _check_operations(faults: Faults) -> None:
    if unknown := set(faults.operations) - CALL_NAMES:
        raise ValueError(f"no operation is called {', '.join(sorted(unknown))}")

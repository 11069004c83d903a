"""An in-memory LeadSquared account: it takes requests and the time, and returns replies.

Pure: no socket, no clock, no await. Processing is simulated on demand, up to the given time.
"""

import collections
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Unpack
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

from leadsquared_async.sandbox.answers import (
    FORBIDDEN,
    HINT,
    JSON_TYPE,
    NO_PATH,
    SYNC_HOST,
    TOO_LONG,
    How,
    MalformedError,
    RejectedError,
    Reply,
    Request,
    gateway,
    hinted,
    json_reply,
    mx,
    one_line,
    wrong_region,
)
from leadsquared_async.sandbox.bodies import Submission, decode
from leadsquared_async.sandbox.checks import brief, check
from leadsquared_async.sandbox.counters import COUNTERS, Counter
from leadsquared_async.sandbox.exchanges import FAULT, Arrival, Effects, Exchanges
from leadsquared_async.sandbox.faults import IS_FAULTS, Fault, Faults, FaultSource
from leadsquared_async.sandbox.key_checks import IN_QUERY, check_keys, misplaced_keys, shown_path
from leadsquared_async.sandbox.lead_search import FINDERS, find_lead
from leadsquared_async.sandbox.operations import CALL_NAMES, OPERATIONS, Call, Routes
from leadsquared_async.sandbox.processing import ProcessingQueue, Task
from leadsquared_async.sandbox.records import Records
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY, Options, Settings
from leadsquared_async.sandbox.sync import (
    create_or_update,
    displays_of,
    fields_of,
    list_fields,
    read_bulk,
    show_user,
)

LARGEST_BODY = 10 * 1024 * 1024
"""Bytes: the limit of the AWS API Gateway."""

UNANSWERED = frozenset({How.LOST, How.RESET, How.HANG})


class Account:
    """An emulated LeadSquared account. The keyword arguments are the fields of `Settings`.

    Call `decide(request, now)` for each request; `now` is in seconds and must not decrease. Raises ValueError
    for an invalid option.
    """

    access_key = ACCESS_KEY
    secret_key = SECRET_KEY
    api_key = API_KEY

    __slots__ = (
        *("arrivals", "attempts", "exchanges", "instance", "misplaced_keys", "queues", "records"),
        *("revision", "settings", "started_on"),
        *("_bulk_counter", "_counter", "_faults", "_fields", "_ids"),
        *("_initial_settings", "_lock", "_routes"),
    )

    def __init__(self, **options: Unpack[Options]) -> None:
        self.settings = Settings(**options)
        self._lock = threading.RLock()  # a test may look while its sandbox runs in another thread
        _check_operations(self.settings.faults)
        self._initial_settings = self.settings
        self._fields = fields_of(self.settings)
        self.revision = 0
        """Grows with each change of the account."""
        self.started_on = datetime(2026, 1, 1, tzinfo=UTC)
        """The date at the time 0, for the dates of leads."""
        self.reset()

    def reset(self) -> None:
        """Delete all leads, requests, arrivals and counts. Restore the initial settings, faults and seed."""
        with self._lock:
            self._reset()

    def _reset(self) -> None:
        settings = self.settings = self._initial_settings
        self._routes = Routes(settings.paths)
        self.revision += 1
        self.instance = str(uuid4())
        """A random id that changes with each reset, even with a seed."""
        self.arrivals: list[Arrival] = []
        """Every call that reached the account, in order."""
        self.exchanges = Exchanges()
        """The last calls, each with its request and its reply."""
        self.misplaced_keys: list[str] = []
        """A description of each key that was sent in the wrong place, without the key."""
        self.attempts: collections.Counter[str] = collections.Counter()
        """How often each body was submitted, accepted or not."""
        self._ids = None if settings.seed is None else Random(f"ids {settings.seed}")
        self._faults = FaultSource(settings.faults, settings.seed or 0)
        self._counter = self._make_counter(settings.limit)
        self._bulk_counter = self._make_counter(settings.bulk_limit)
        self.records = Records(
            self._new_id,
            None if settings.attributes is None else [field.name for field in self._fields],
            mandatory=settings.mandatory,
            unique=displays_of(settings.unique, self._fields),
        )
        """The stored leads, opportunities and phone calls."""
        self.queues = {
            operation.name: ProcessingQueue(settings.processing_rate, self._faults.system_error)
            for operation in OPERATIONS
        }
        """The processing queue of each operation, by the operation's name."""

    @property
    def paths(self) -> Sequence[str]:
        """Method and path of every call, such as `POST /lead/capture`."""
        return self._routes.known

    @property
    def tasks(self) -> list[Task]:
        """The accepted requests of each operation, in order."""
        with self._lock:
            return [task for queue in self.queues.values() for task in queue.tasks.values()]

    @property
    def faults(self) -> Faults:
        """The current faults."""
        return self._faults.faults

    def set_faults(self, faults: Faults, now: float, *, keep: Collection[str] = ()) -> None:
        """Replace the faults from `now` on. The scripts named in `keep` continue; others restart.

        Raises ValueError if `faults` is not a `Faults` or names an unknown operation.
        """
        check("faults", IS_FAULTS, faults)
        _check_operations(faults)
        with self._lock:
            self.advance(now)
            self.revision += 1
            self._faults.replace(faults, keep)

    def change_settings(self, content: object, now: float) -> None:
        """Change the settings that a decoded JSON object names; `settings.CHANGEABLE` lists the names.

        It applies from `now` on; a changed limit forgets earlier calls. Raises ValueError for invalid input.
        """
        with self._lock:
            before, settings = self.settings, self.settings.changed(content)
            routes = Routes(settings.paths)
            self.advance(now)
            self.revision += 1
            self.settings, self._routes = settings, routes
            if settings.processing_rate != before.processing_rate:
                for queue in self.queues.values():
                    queue.set_rate(settings.processing_rate, now * settings.speed)
            if _counting_of(settings) != _counting_of(before):
                self._counter = self._make_counter(settings.limit)
                self._bulk_counter = self._make_counter(settings.bulk_limit)

    def find_task(self, request_id: str) -> Task | None:
        """The accepted request with this RequestID."""
        request_id = request_id.lower()
        return next((q.tasks[request_id] for q in self.queues.values() if request_id in q.tasks), None)

    def transit(self) -> float:
        """Draw a request's delay in seconds. Wait for it before `decide`, which draws the reply's delay."""
        return self._faults.transit()

    def advance(self, now: float) -> None:
        """Process the requests due by `now` in order of time, as the queues share leads, ids and draws."""
        until = now * self.settings.speed
        with self._lock:
            while (queue := min(self.queues.values(), key=ProcessingQueue.next_at)).next_at() <= until:
                queue.step()
                self.revision += 1

    def decide(self, request: Request, now: float) -> Reply:
        """Answer a request that arrives at `now` (seconds). It counts at this moment, answered or not."""
        with self._lock:
            return self._decide(request, now)

    def _decide(self, request: Request, now: float) -> Reply:
        self.advance(now)
        call = self._routes.locate(request)
        name = "unknown" if call is None else call.name
        fault = self._faults.draw(name, now)
        if fault.how is How.REFUSED:  # it never arrives
            return Reply(503, {HINT: f"{FAULT}{fault.name}"}, delay=self.transit(), how=fault.how)
        self.misplaced_keys += misplaced_keys(request, call, self.settings.keys)
        if call is not None and (call.kind == "submit" or call.name == "bulk"):
            self.attempts[request.body.decode("utf-8", "replace")] += 1
        effects = Effects()
        answer, over_limit = self._check_and_answer(request, call, fault, effects, now)
        outcome = fault.how.value if fault.how in UNANSWERED else str(answer.status)
        why = answer.headers.get(HINT, "" if fault.name == "ok" else f"{FAULT}{fault.name}")
        arrival = Arrival(
            now, name, outcome, over_limit, one_line(request.method, 20), shown_path(request, call), why
        )
        self.arrivals.append(arrival)
        reply = replace(answer, delay=self.transit(), how=fault.how, pace=self.faults.drip)
        self.exchanges.add(arrival, request, reply, effects)
        self.revision += 1
        return reply

    def _check_and_answer(
        self, request: Request, call: Call | None, fault: Fault, effects: Effects, now: float
    ) -> tuple[Reply, bool]:
        """Return the reply, and whether the rate limit rejected the call."""
        if call is None:
            return hinted(NO_PATH, self._routes.hint(request)), False
        if call.kind != "sync" and request.headers.get("x-api-key") != API_KEY:
            problem = "not the key of this sandbox" if "x-api-key" in request.headers else "missing"
            return hinted(FORBIDDEN, f"the header x-api-key is {problem}"), False
        counter = self._bulk_counter if call.name == "bulk" else self._counter
        if counter is not None and not counter.admit(now):
            return hinted(self._over_limit(call), "over the limit"), True
        return self._answer(request, call, fault, effects, now), False

    def _answer(self, request: Request, call: Call, fault: Fault, effects: Effects, now: float) -> Reply:
        try:
            answer = self._serve(request, call, fault, effects, now)
        except RejectedError as error:
            return error.reply
        if fault.how in UNANSWERED and not fault.taken:
            return Reply(503)  # never sent; a RequestID of nothing would mislead the log and the window
        if fault.over_limit:
            return self._over_limit(call)
        if fault.regional and call.kind == "sync":
            # UserByAccessKey.Get answers on every regional host, and names the right one.
            return answer if call.name == "user" else wrong_region(SYNC_HOST)
        return fault.answer or answer

    def _serve(self, request: Request, call: Call, fault: Fault, effects: Effects, now: float) -> Reply:
        """Answer as without faults; raises RejectedError."""
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        check_keys(request, query, call, self.settings.keys)
        if call.kind == "submit" or call.name == "bulk":
            _check_form(request)
        match call.kind:
            case "submit":
                task = self._read_submission(request, query, call, now)
                if fault.taken:
                    self.queues[task.operation.name].put(task)
                    effects.task = task
                confirmation = "Request accepted. Please use below request id to check the status"
                return json_reply(200, {"Status": confirmation, "RequestID": task.request_id})
            case "status":
                return self._status(query, call)
            case "metrics":
                (operation,) = call.operations
                queue, at = self.queues[operation.name], now * self.settings.speed
                return json_reply(200, queue.metrics(at, operation.rate_name))
            case "sync" if call.name == "user":
                return show_user()
            case "sync" if call.name == "fields":
                return list_fields(query, self._fields)
            case "sync" if call.name in FINDERS:
                return find_lead(call.name, query, self.records, self._moment)
            case "sync":
                rows, at = read_bulk(request.body), now * self.settings.speed
                answers = create_or_update(rows if fault.taken else (), self.records, at)
                effects.lead_ids = [str(answer["LeadId"]) for answer in answers if answer["LeadId"]]
                return json_reply(200, [answer for answer in answers if not self._faults.row_is_missing()])

    def _read_submission(self, request: Request, query: Mapping[str, str], call: Call, now: float) -> Task:
        """The request that a well-formed submission makes; raises RejectedError for another."""
        text, content = decode(request.body)
        (operation,) = call.operations
        work = operation.read(Submission(content, query, call.rest), self.records)
        shown = {name: value for name, value in query.items() if name not in IN_QUERY}
        return Task(self._new_id(), operation, text, shown, work, now * self.settings.speed)

    def _status(self, query: Mapping[str, str], call: Call) -> Reply:
        request_id = query.get("RequestID")
        if not request_id:
            raise MalformedError("RequestID is missing")
        task = self.find_task(request_id)
        if task is not None and task.operation in call.operations:
            return json_reply(200, task.as_status())
        hint = "the sandbox has no request with this RequestID; a restart or a reset deletes all requests"
        if task is not None:
            hint = f"this RequestID belongs to {task.operation.name}"
        # LeadSquared does not document its answer to an unknown RequestID.
        return hinted(gateway(404, "Not Found"), hint)

    def _over_limit(self, call: Call) -> Reply:
        calls, per = limit_of(self.settings, call.name)
        message = f"API calls exceeded the limit of {calls} in {per:g} second(s)"
        return mx(429, "MXAPIRateLimitExceededException", message)

    def _make_counter(self, limit: tuple[int, float] | None) -> Counter | None:
        if limit is None:
            return None
        settings = self.settings
        return COUNTERS[settings.counting](*limit, count_refused=settings.count_refused)

    def _moment(self, at: float) -> datetime:
        return self.started_on + timedelta(seconds=at / self.settings.speed)

    def _new_id(self) -> str:
        return str(uuid4() if self._ids is None else UUID(int=self._ids.getrandbits(128), version=4))


def limit_of(settings: Settings, call: str) -> tuple[int, float]:
    """The limit of a call, by name; LeadSquared's default if the account has no limit."""
    if call == "bulk":
        return settings.bulk_limit or (1, 5.0)
    return settings.limit or (25, 5.0)


def _counting_of(settings: Settings) -> tuple[object, ...]:
    return settings.limit, settings.bulk_limit, settings.counting, settings.count_refused


def _check_form(request: Request) -> None:
    """Raise RejectedError if the Content-Type is not JSON or the body is too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON_TYPE:
        raise RejectedError(
            gateway(415, "Unsupported Media Type"), f"send the header Content-Type: {JSON_TYPE}"
        )
    if len(request.body) > LARGEST_BODY:
        raise RejectedError(TOO_LONG, f"the body is longer than {LARGEST_BODY} bytes")


def _check_operations(faults: Faults) -> None:
    if unknown := set(faults.operations) - CALL_NAMES:
        raise ValueError(
            f"operations: {brief(min(unknown))} does not exist: choose from {', '.join(sorted(CALL_NAMES))}"
        )

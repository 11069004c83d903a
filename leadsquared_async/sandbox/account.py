"""A LeadSquared account in memory: requests and the time go in, replies come out.

No socket, no clock, no await. What has been processed by now is worked out when somebody asks.
"""

import collections
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Unpack
from urllib.parse import parse_qsl, unquote
from uuid import UUID, uuid4

from leadsquared_async.sandbox.answers import (
    ELSEWHERE,
    HINT,
    JSON_TYPE,
    How,
    RefusedError,
    Reply,
    Request,
    forbidden,
    hinted,
    malformed,
    no_such_path,
    one_line,
    over_limit,
    quota_used_up,
    too_large,
    wrong_keys,
    wrong_region,
    wrong_type,
)
from leadsquared_async.sandbox.bodies import MalformedError
from leadsquared_async.sandbox.checks import brief
from leadsquared_async.sandbox.counters import COUNTERS, Counter
from leadsquared_async.sandbox.faults import Fault, Faults, FaultSource, check_faults
from leadsquared_async.sandbox.operations import CALL_NAMES, Call, Routes
from leadsquared_async.sandbox.processing import ProcessingQueue, Queues
from leadsquared_async.sandbox.records import LeadStore, Records
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY, Options, Settings
from leadsquared_async.sandbox.sync import (
    create_or_update,
    displays_of,
    fields_of,
    list_fields,
    read_bulk,
    show_user,
)

UNANSWERED = frozenset({How.LOST, How.RESET, How.HANG})


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call that reached the account, whatever became of it."""

    time: float
    """Seconds on the clock that drives the account."""
    operation: str
    """`capture`, `status`, `bulk` and so on, or `unknown` for a path that does not exist."""
    outcome: str
    """The HTTP status of the answer; `lost`, `reset` or `hang` if none went out."""
    over_limit: bool
    """Whether the limit refused it (a scripted 429 is no such refusal)."""
    method: str
    path: str
    """Without the query and a connector's key."""
    why: str
    """Why the call was refused, or which fault applied, without its values; else empty."""


class Account:
    """A LeadSquared account that plays by `Settings` (given as keyword arguments).

    Drive it with `decide(request, now)`, where `now` is seconds that never go back. Raises ValueError for
    settings that make no sense.
    """

    access_key = ACCESS_KEY
    secret_key = SECRET_KEY
    api_key = API_KEY

    __slots__ = (
        *("_arrivals", "_attempts", "_faults", "_fields", "_gate", "_ids", "_instance", "_misplaced_keys"),
        *("_queues", "_records", "_routes", "_settings", "_store"),
    )

    def __init__(self, **options: Unpack[Options]) -> None:
        self._settings = Settings(**options)
        _check_operations(self._settings.faults)
        self._routes = Routes(self._settings.paths)
        self._fields = fields_of(self._settings)
        self.reset()

    def reset(self) -> None:
        """Forget everything: leads, requests, arrivals, counts; faults and draws start over."""
        settings = self._settings
        self._arrivals: list[Arrival] = []
        self._misplaced_keys: list[str] = []
        self._attempts: collections.Counter[str] = collections.Counter()
        self._instance = str(uuid4())
        self._ids = None if settings.seed is None else Random(f"ids {settings.seed}")
        self._faults = FaultSource(settings.faults, settings.seed or 0)
        self._gate = Gate(settings)
        self._store = LeadStore(
            self._new_id,
            None if settings.attributes is None else [field.name for field in self._fields],
            mandatory=settings.mandatory,
            unique=displays_of(settings.unique, self._fields),
            by_digits=settings.phone_matching == "digits",
        )
        self._records = Records(self._store, self._new_id, settings.opportunity_answer)
        self._queues = Queues(settings, self._records, self._faults, self._new_id)

    @property
    def settings(self) -> Settings:
        """Its rules."""
        return self._settings

    @property
    def instance(self) -> str:
        """An id of this account, which changes with each reset, whatever the seed."""
        return self._instance

    @property
    def arrivals(self) -> Sequence[Arrival]:
        """Every call that reached it, in order."""
        return self._arrivals

    @property
    def misplaced_keys(self) -> Sequence[str]:
        """Every time a key was sent where it does not belong, in words that do not show it."""
        return self._misplaced_keys

    @property
    def attempts(self) -> Mapping[str, int]:
        """How often each body was submitted, taken or not."""
        return self._attempts

    @property
    def store(self) -> LeadStore:
        """Its leads."""
        return self._store

    @property
    def records(self) -> Records:
        """What it keeps beside its leads."""
        return self._records

    @property
    def queues(self) -> Mapping[str, ProcessingQueue]:
        """The queue of each operation, by its name."""
        return self._queues.by_name

    @property
    def paths(self) -> Sequence[str]:
        """Method and path of every call that exists, such as `POST /lead/capture`."""
        return self._routes.known

    @property
    def faults(self) -> Faults:
        """How it misbehaves now."""
        return self._faults.faults

    def set_faults(self, faults: Faults, now: float, *, go_on: Collection[str] = ()) -> None:
        """Apply other faults from `now` on; scripts named in `go_on` do not start again.

        Raises ValueError for an unknown operation, and if these are not `Faults`.
        """
        _check_operations(check_faults("faults", faults))
        self.advance(now)
        self._faults.replace(faults, go_on=go_on)

    def transit(self) -> float:
        """Draw the seconds of one way: to be waited for before `decide`, which draws the way back itself."""
        return self._faults.transit()

    def advance(self, now: float) -> None:
        """Process what is done by `now`."""
        self._queues.advance(now)

    def decide(self, request: Request, now: float) -> Reply:
        """Answer a request that arrives at `now` (seconds); it is counted at this moment, answered or not."""
        self.advance(now)
        call = self._routes.locate(request)
        name = "unknown" if call is None else call.name
        fault = self._faults.draw(name, now)
        if fault.how is How.REFUSED:
            return Reply(503, {HINT: f"fault {fault.name}"}, delay=self.transit(), how=fault.how)
        self._misplaced_keys += misplaced_keys(request, call, self._settings)
        if call is not None and (call.kind == "submit" or call.name == "bulk"):
            self._attempts[request.body.decode("utf-8", "replace")] += 1
        answer, refused = self._judge(request, call, fault, now)
        outcome = fault.how.value if fault.how in UNANSWERED else str(answer.status)
        why = answer.headers.get(HINT, "" if fault.name == "ok" else f"fault {fault.name}")
        self._arrivals.append(
            Arrival(now, name, outcome, refused, one_line(request.method, 20), shown_path(request, call), why)
        )
        return replace(answer, delay=self.transit(), how=fault.how, pace=self.faults.drip)

    def _judge(self, request: Request, call: Call | None, fault: Fault, now: float) -> tuple[Reply, bool]:
        """The answer, and whether it is the limit's refusal."""
        if call is None:
            return no_such_path(self._routes.hint(request)), False
        if not has_api_key(request, call):
            return hinted(forbidden(), api_key_hint(request)), False
        if not self._gate.admits(call.name, now):
            return hinted(self._gate.over_limit(call.name), "over the limit"), True
        if not self._gate.has_quota(now):
            return hinted(quota_used_up(), "the daily quota is used up"), False
        return self._answer(request, call, fault, now), False

    def _answer(self, request: Request, call: Call, fault: Fault, now: float) -> Reply:
        try:
            answer = self._serve(request, call, fault, now)
        except MalformedError as error:
            return malformed(str(error), error.where)
        except RefusedError as refused:
            return refused.reply
        if fault.over_limit:
            return self._gate.over_limit(call.name)
        if fault.regional and call.kind == "sync":
            # The one call that answers on any regional host tells which one is right.
            return answer if call.name == "user" else wrong_region(self._settings.api_host)
        return answer if fault.answer is None else fault.answer()

    def _serve(self, request: Request, call: Call, fault: Fault, now: float) -> Reply:
        """The answer without a fault; raises MalformedError and RefusedError."""
        query = read_query(request)
        check_keys(request, query, call, self._settings)
        match call.kind:
            case "submit":
                check_form(request, self._settings)
                return self._queues.submit(request, query, call, now, taken=fault.taken)
            case "status":
                return self._queues.status(query, call, now)
            case "metrics":
                return self._queues.metrics(call.operations[0], now)
            case "sync":
                return self._serve_at_once(request, query, call, fault)

    def _serve_at_once(self, request: Request, query: dict[str, str], call: Call, fault: Fault) -> Reply:
        if call.name == "user":
            return show_user(self._settings.api_host)
        if call.name == "fields":
            return list_fields(query, self._fields)
        check_form(request, self._settings)
        rows = read_bulk(request.body)
        return create_or_update(rows if fault.taken else (), self._store, self._faults.missing_row)

    def _new_id(self) -> str:
        return str(uuid4() if self._ids is None else UUID(int=self._ids.getrandbits(128), version=4))


def _check_operations(faults: Faults) -> None:
    if unknown := set(faults.operations) - CALL_NAMES:
        raise ValueError(
            f"no operation is called {brief(min(unknown))}: choose from {', '.join(sorted(CALL_NAMES))}"
        )


_IN_QUERY = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
_IN_HEADERS = {"x-lsq-accesskey": ACCESS_KEY, "x-lsq-secretkey": SECRET_KEY}
_NAMES = frozenset({"accesskey", "secretkey", *_IN_HEADERS})
_KEYS = (ACCESS_KEY, SECRET_KEY, API_KEY)


def read_query(request: Request) -> dict[str, str]:
    """The decoded query; of a name given twice the last counts."""
    return dict(parse_qsl(request.query, keep_blank_values=True))


def has_api_key(request: Request, call: Call) -> bool:
    """Whether the gateway lets the call in; the synchronous host asks for no x-api-key."""
    return call.kind == "sync" or request.headers.get("x-api-key") == API_KEY


def api_key_hint(request: Request) -> str:
    """What is wrong with the x-api-key, without its value."""
    is_there = "x-api-key" in request.headers
    return f"the header x-api-key is {'not the key of this sandbox' if is_there else 'missing'}"


def check_keys(request: Request, query: Mapping[str, str], call: Call, settings: Settings) -> None:
    """Raises RefusedError when the accessKey and secretKey that the call needs are missing or wrong."""
    if not call.takes_keys:
        return
    given = tuple(query.get(name) for name in _IN_QUERY)
    if _takes_header_keys(call, settings) and given == (None, None):
        given = tuple(request.headers.get(name) for name in _IN_HEADERS)
    if given != (ACCESS_KEY, SECRET_KEY):
        raise RefusedError(hinted(wrong_keys(), _keys_hint(given)))


def check_form(request: Request, settings: Settings) -> None:
    """Raises RefusedError when a body is too large or not announced as JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON_TYPE:
        raise RefusedError(wrong_type())
    if len(request.body) > settings.max_body:
        raise RefusedError(too_large(settings.max_body))


def misplaced_keys(request: Request, call: Call | None, settings: Settings) -> list[str]:
    """Where the request carries a key that does not belong there, in words that do not show it.

    The access and secret key belong in the query of submissions (with `header_keys` also in their headers)
    and in query or headers on the synchronous host, the x-api-key in its header, and none of them at another
    origin. A call log takes the x-api-key only.
    """
    query = parse_qsl(request.query, keep_blank_values=True)
    in_headers = {"x-api-key": API_KEY}
    if call is not None and _takes_header_keys(call, settings):
        in_headers |= _IN_HEADERS
    in_query = _IN_QUERY if call is not None and call.takes_keys else {}
    checks = [
        ("the query", any(_strays(name, value, in_query) for name, value in query)),
        *(
            (f"the header {name}", _strays(name, value, in_headers))
            for name, value in request.headers.items()
        ),
        ("the path", _holds_key(unquote(request.path))),
        ("the body", any(key.encode() in request.body for key in _KEYS)),
        ("a request to another origin", _is_elsewhere(request) and _carries_key(request, query)),
    ]
    name = "unknown path" if call is None else call.name
    return [f"{name}: a key in {place}" for place, misplaced in checks if misplaced]


def shown_path(request: Request, call: Call | None) -> str:
    """The path for people: without a connector's key, and without a key that strayed there."""
    path = request.path
    if call is not None and call.rest:
        path = f"{path.removesuffix('/'.join(call.rest))}{{connectorKey}}"
    return "(a path that holds a key)" if _holds_key(unquote(path)) else one_line(path, 200)


def _keys_hint(given: tuple[str | None, ...]) -> str:
    """Which of accessKey and secretKey is wrong, without a value."""
    wrong = [
        f"{name} is {'missing from the query' if value is None else 'not the key of this sandbox'}"
        for (name, right), value in zip(_IN_QUERY.items(), given, strict=True)
        if value != right
    ]
    access_key = given[0]
    if access_key and "$" not in access_key:
        wrong.append("an accessKey contains a $, which a shell expands unless it is in single quotes")
    return "; ".join(wrong)


def _takes_header_keys(call: Call, settings: Settings) -> bool:
    return call.kind == "sync" or (call.takes_keys and settings.header_keys)


def _holds_key(text: str) -> bool:
    return any(key in text for key in _KEYS)


def _strays(name: str, value: str, at_home: Mapping[str, str]) -> bool:
    if name in at_home:
        return _holds_key(value) and value != at_home[name]
    return name.lower() in _NAMES or _holds_key(value)


def _is_elsewhere(request: Request) -> bool:
    return request.headers.get("host", "").partition(":")[0] == ELSEWHERE


def _carries_key(request: Request, query: list[tuple[str, str]]) -> bool:
    return any(_holds_key(value) for value in (*request.headers.values(), *(value for _, value in query)))


DAY = 86_400.0
DEFAULT_LIMIT = (25, 5.0)
DEFAULT_BULK_LIMIT = (1, 5.0)
"""What a scripted 429 quotes where there is no limit."""


class Gate:
    """Counts each call, and refuses what is too much."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._counter = self._make(settings.limit)
        self._bulk_counter = self._make(settings.bulk_limit)
        self._day = 0
        self._calls_today = 0

    def admits(self, name: str, now: float) -> bool:
        """Count a call named so against its limit."""
        counter = self._bulk_counter if name == "bulk" else self._counter
        return counter is None or counter.admit(now)

    def has_quota(self, now: float) -> bool:
        """Count a call against the day's quota, whatever it is named."""
        if self._settings.daily_quota is None:
            return True
        day = int(now // DAY)
        if day != self._day:
            self._day = day
            self._calls_today = 0
        self._calls_today += 1
        return self._calls_today <= self._settings.daily_quota

    def over_limit(self, name: str) -> Reply:
        """The refusal of a call named so, with the numbers of its limit."""
        settings = self._settings
        if name == "bulk":
            calls, per = settings.bulk_limit or DEFAULT_BULK_LIMIT
        else:
            calls, per = settings.limit or DEFAULT_LIMIT
        return over_limit(calls, per, settings.refusal, settings.retry_after)

    def _make(self, limit: tuple[int, float] | None) -> Counter | None:
        if limit is None:
            return None
        settings = self._settings
        make = COUNTERS[settings.counting]
        return make(*limit, phase=settings.phase, count_refused=settings.count_refused)

"""The metrics, and the instruments that record them.

No attribute has a value of a lead, a reference or a RequestID, and errors have a bounded number of names, so
that the number of series stays bounded.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Histogram, Observation

from leadsquared_async._version import __version__
from leadsquared_async.telemetry.gauges import observed

__all__ = ["METRICS", "Attributes", "Instruments", "Metric", "instruments"]

Attributes = tuple[tuple[str, str | int], ...]
MOST_KINDS = 100
"""Exception names come from LeadSquared, and a broken server might send any number of them."""
OTHER = "_OTHER"
"""The error type beyond `MOST_KINDS` names, as in OpenTelemetry's conventions."""
BATCH = 100
"""Events recorded together; they take about a millisecond."""

_SHORT = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
_LONG = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 10_800.0, 36_000.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: its name.
        kind: how it is recorded.
        unit: in UCUM's notation.
        description: one sentence.
        attributes: the attributes that its points may have.
        boundaries: upper bounds of a histogram's buckets.
        is_greatest: whether a gauge takes the greatest of its readings with the same attributes; else it
            takes their sum.
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    description: str
    attributes: tuple[str, ...]
    boundaries: tuple[float, ...] = ()
    is_greatest: bool = False


OPERATION, CLIENT, LANE = "leadsquared.operation", "leadsquared.client", "leadsquared.lane"
LIMIT, STATE, OUTBOX = "leadsquared.limit", "leadsquared.state", "leadsquared.outbox"
OUTCOME, KIND, SCOPE = "leadsquared.outcome", "leadsquared.kind", "leadsquared.scope"
OWNER, ERROR, STATUS = "leadsquared.owner", "error.type", "http.response.status_code"

METRICS = (
    Metric(
        "leadsquared.calls",
        "counter",
        "{call}",
        "Calls that ended, by outcome: accepted, rejected, unknown or not_sent.",
        (OPERATION, OUTCOME, ERROR, CLIENT),
    ),
    Metric(
        "leadsquared.call.duration",
        "histogram",
        "s",
        "Duration of calls, including waits for the rate limit and retries.",
        (OPERATION, OUTCOME, ERROR, CLIENT),
        _SHORT,
    ),
    Metric(
        "leadsquared.limit.wait",
        "histogram",
        "s",
        "Time that calls waited for the rate limit; calls that did not wait are not recorded.",
        (LANE, CLIENT),
        _SHORT,
    ),
    Metric(
        "leadsquared.attempts",
        "counter",
        "{attempt}",
        "Attempts, by HTTP status, or by error if there was no answer.",
        (OPERATION, STATUS, ERROR, CLIENT),
    ),
    Metric(
        "leadsquared.throttled",
        "counter",
        "{attempt}",
        "Attempts that LeadSquared rejected because the account is over its rate limit (429).",
        (CLIENT,),
    ),
    Metric(
        "leadsquared.limit.tokens",
        "gauge",
        "{token}",
        "Free tokens: calls that may be sent now, by limit (calls or bulk calls).",
        (LIMIT, CLIENT),
    ),
    Metric(
        "leadsquared.limit.waiters",
        "gauge",
        "{call}",
        "Calls waiting for the rate limit.",
        (LIMIT, LANE, CLIENT),
    ),
    Metric(
        "leadsquared.outbox.items",
        "gauge",
        "{item}",
        "Items in the outbox file, by state.",
        (STATE, OUTBOX, CLIENT),
    ),
    Metric(
        "leadsquared.outbox.oldest.age",
        "gauge",
        "s",
        "Age of the oldest item that is not final, by state.",
        (STATE, OUTBOX, CLIENT),
        is_greatest=True,
    ),
    Metric(
        "leadsquared.dead_letters",
        "counter",
        "{item}",
        "Submissions that ended rejected or unknown and whose error no caller got.",
        (OPERATION, STATE, KIND, OWNER, CLIENT),
    ),
    Metric(
        "leadsquared.held",
        "gauge",
        "{scope}",
        "1 while delivery of a scope (all, file, or an operation) is on hold, else 0.",
        (SCOPE, OUTBOX, CLIENT),
        is_greatest=True,
    ),
    Metric(
        "leadsquared.follow.lag",
        "histogram",
        "s",
        "Time from the start of following a request until its outcome is known.",
        (OPERATION, OUTCOME, CLIENT),
        _LONG,
    ),
    Metric(
        "leadsquared.follow.waiting",
        "gauge",
        "{request}",
        "Accepted requests being followed whose outcome is not known yet.",
        (OPERATION, CLIENT),
    ),
)


class Instruments:
    """One instrument for each metric, shared by all clients and outboxes: the API cannot remove a callback.

    Recording each event at once in the SDK would add a tenth to the time of a call. So counters are read when
    they are collected, and events are recorded in batches.

    Attributes:
        histograms: by name.
    """

    def __init__(self, meter: metrics.Meter) -> None:
        self.histograms: dict[str, Histogram] = {}
        self._totals: dict[str, Counter[Attributes]] = {}
        self._kinds: set[str] = set()
        self._waiting: deque[Callable[[], None]] = deque()
        self._lock = threading.RLock()
        for it in METRICS:
            if it.kind == "counter":
                self._totals[it.name] = Counter()
                callback = partial(self._count, it.name)
                meter.create_observable_counter(it.name, [callback], it.unit, it.description)
            elif it.kind == "histogram":
                self.histograms[it.name] = meter.create_histogram(
                    it.name, it.unit, it.description, explicit_bucket_boundaries_advisory=it.boundaries
                )
            else:
                meter.create_observable_gauge(it.name, [partial(_observe, it)], it.unit, it.description)

    def record(self, work: Callable[[], None]) -> None:
        """Run `work` with the next batch, at the latest when metrics are collected; from any thread."""
        self._waiting.append(work)
        if len(self._waiting) >= BATCH:
            self._record_waiting()

    def _record_waiting(self) -> None:
        with self._lock:
            while self._waiting:
                self._waiting.popleft()()

    def add(self, name: str, amount: int, attributes: Attributes) -> None:
        """Count something; from any thread."""
        with self._lock:
            self._totals[name][attributes] += amount

    def kind(self, name: str) -> str:
        """The name of an error as an attribute, so that the number of series stays bounded."""
        with self._lock:
            if len(self._kinds) < MOST_KINDS:
                self._kinds.add(name)
        return name if name in self._kinds else OTHER

    def _count(self, name: str, _: CallbackOptions) -> list[Observation]:
        with self._lock:
            self._record_waiting()
            totals = list(self._totals[name].items())
        return [Observation(total, dict(attributes)) for attributes, total in totals]


@cache
def instruments() -> Instruments:
    """The process's instruments, created once, with the global meter provider."""
    return Instruments(metrics.get_meter_provider().get_meter("leadsquared_async", __version__))


def _observe(metric: Metric, _: CallbackOptions) -> list[Observation]:
    reduce = max if metric.is_greatest else sum
    return [Observation(reduce(values), dict(key)) for key, values in observed(metric.name).items()]

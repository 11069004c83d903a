"""What goes wrong between a client and LeadSquared: by probability, by script or for some time.

A fault either replaces the answer (`503`, `html`) or changes how it goes out (`lost`, `drip-body`); `FAULTS`
lists them. A name followed by `+taken`, as in `504+taken`, means that the lead was accepted before the fault
occurred. The account's own refusals (keys, limit, body) take precedence over any fault.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from random import Random
from typing import Any, Self, cast

from leadsquared_async.sandbox.answers import (
    How,
    Reply,
    duplicate,
    forbidden,
    gateway,
    html,
    huge,
    json_reply,
    quota_used_up,
    redirect,
    wrong_keys,
    wrong_region,
)
from leadsquared_async.sandbox.checks import DAY, Check, brief, by_name, check_span, number, strings, wrong


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a call goes wrong."""

    name: str
    answer: Callable[[], Reply] | None = None
    """The answer that replaces the true one; None keeps that."""
    taken: bool = False
    """Whether a submission is accepted all the same."""
    how: How = How.WHOLE
    over_limit: bool = False
    """Whether the answer quotes the limit of the call."""
    regional: bool = False
    """Whether the answer names the right host, which is another one for the synchronous API."""


OK = Fault("ok", taken=True)

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        OK,
        Fault("401", wrong_keys),
        Fault("401-region", wrong_region, regional=True),
        Fault("403", forbidden),
        Fault("429", over_limit=True),
        Fault("quota", quota_used_up),
        Fault("500", lambda: gateway(500, "Internal server error")),
        Fault("500-mx", lambda: duplicate(500)),
        Fault("502", lambda: gateway(502, "Internal server error")),
        Fault("503", lambda: gateway(503, "Service Unavailable")),
        Fault("504", lambda: gateway(504, "Endpoint request timed out")),
        Fault("200-mx", lambda: duplicate(200)),
        Fault("html", html),
        Fault("empty", lambda: Reply(200)),
        Fault("empty-object", lambda: json_reply(200, {})),
        Fault("huge", huge),
        Fault("redirect", redirect),
        Fault("lost", taken=True, how=How.LOST),
        Fault("half-body", taken=True, how=How.HALF_BODY),
        Fault("drip-headers", taken=True, how=How.DRIP_HEADERS),
        Fault("drip-body", taken=True, how=How.DRIP_BODY),
        Fault("reset", how=How.RESET),
        Fault("refused", how=How.REFUSED),
        Fault("hang", how=How.HANG),
    )
}
"""Every fault by its name."""


def find_fault(name: str) -> Fault:
    """The fault called `name`; raises ValueError if there is none."""
    base, plus, taken = name.partition("+")
    fault = FAULTS.get(base)
    if fault is None or (plus and (taken != "taken" or fault.how is How.REFUSED)):
        raise ValueError(
            f"no fault is called {brief(name)}: choose from {', '.join(FAULTS)}; '+taken' may follow"
        )
    return replace(fault, taken=True, name=name) if plus else fault


@dataclass(frozen=True, kw_only=True)  # without slots, whose frozen classes fail oddly on unknown names
class Faults:
    """How a sandbox misbehaves; by default not at all. Raises ValueError for an invalid option.

    A round trip takes `latency` seconds, plus up to `jitter` seconds (uniform), plus a delay whose mean is
    `tail` seconds (exponential). Half of it passes before the call arrives and is counted; the other half,
    drawn anew, before the answer is back.

    A call meets the `outage`, else the next entry of `script`, else a draw from `probabilities`.
    """

    latency: float = 0.0
    jitter: float = 0.0
    tail: float = 0.0
    probabilities: Mapping[str, float] = field(default_factory=dict[str, float])
    """By the fault's name; their sum is at most 1, the rest is `ok`."""
    script: tuple[str, ...] = ()
    """The faults of the next calls, in order; `ok` for none."""
    operations: tuple[str, ...] = ()
    """The calls that meet faults: `capture`, `status`, `bulk` and so on. Empty: all."""
    outage: tuple[float, float] | None = None
    """From and until, in seconds of the sandbox's clock, every call meets `outage_fault`."""
    outage_fault: str = "503"
    drip: float = 0.1
    """Seconds between two pieces of an answer that drips."""
    system_error: float = 0.0
    """The probability that processing a request meets a system error and is retried later."""
    processing_script: tuple[str, ...] = ()
    """`ok` or `system-error` for the next requests that are processed, in order."""
    missing_rows: float = 0.0
    """The probability that a processed row of a bulk call is missing from the answer."""

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))
        for name in (*self.script, *self.probabilities, self.outage_fault):
            find_fault(name)
        for name, probability in self.probabilities.items():
            number(most=1)(name, probability)
        if sum(self.probabilities.values()) > 1 + 1e-9:
            raise ValueError("the probabilities of the faults add up to more than 1")
        if unknown := set(self.processing_script) - {"ok", "system-error"}:
            raise wrong("processing_script", "a list of 'ok' and 'system-error'", min(unknown))

    def changed(self, content: object) -> Self:
        """These faults with the changes in a decoded JSON object; raises ValueError for invalid input."""
        if not isinstance(content, dict):
            raise ValueError("faults are a JSON object")  # noqa: TRY004 - the content is wrong, not the call
        changes = cast("dict[str, Any]", content)
        names = [field.name for field in fields(self)]
        if unknown := sorted(changes.keys() - set(names)):
            raise ValueError(
                f"no option of Faults is called {brief(unknown[0])}: choose from {', '.join(names)}"
            )
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """The same as a mapping for JSON."""
        return asdict(self)


def check_faults(name: str, value: object) -> Faults:
    """An instance of `Faults`."""
    if not isinstance(value, Faults):
        raise wrong(name, "a Faults(...)", value)
    return value


def _check_name(name: str, value: object) -> object:
    if not isinstance(value, str):
        raise wrong(name, "the name of a fault", value)
    return value


_strings = strings("a list or tuple of strings", ordered=True)

_CHECKS: Mapping[str, Check] = {
    "latency": number(most=DAY),
    "jitter": number(most=DAY),
    "tail": number(most=DAY),
    "probabilities": by_name("a mapping from the fault's name to its probability"),
    "script": _strings,
    "operations": _strings,
    "outage": check_span,
    "outage_fault": _check_name,
    "drip": number(most=DAY),
    "system_error": number(most=1),
    "processing_script": _strings,
    "missing_rows": number(most=1),
}


class FaultSource:
    """Draws faults and delays; the same seed gives the same draws."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.faults = faults
        self._script = iter(faults.script)
        self._processing = iter(faults.processing_script)
        # One stream for each purpose: latency switched on must not change which call fails.
        self._calls = Random(f"calls {seed}")
        self._ways = Random(f"ways {seed}")
        self._errors = Random(f"errors {seed}")
        self._rows = Random(f"rows {seed}")

    def replace(self, faults: Faults, *, go_on: Collection[str] = ()) -> None:
        """Apply other faults. Draws continue; scripts start over, except those named in `go_on`."""
        self.faults = faults
        if "script" not in go_on:
            self._script = iter(faults.script)
        if "processing_script" not in go_on:
            self._processing = iter(faults.processing_script)

    def transit(self) -> float:
        """Seconds of one way between client and server."""
        faults = self.faults
        jitter = self._ways.uniform(0, faults.jitter)
        tail = self._ways.expovariate(1 / faults.tail) if faults.tail else 0.0
        return (faults.latency + jitter + tail) / 2

    def draw(self, call: str, now: float) -> Fault:
        """The fault that the call of this name meets at `now` (seconds)."""
        faults = self.faults
        chance = self._calls.random()
        if faults.operations and call not in faults.operations:
            return OK
        if faults.outage is not None and faults.outage[0] <= now < faults.outage[1]:
            return find_fault(faults.outage_fault)
        if (scripted := next(self._script, None)) is not None:
            return find_fault(scripted)
        for name, probability in faults.probabilities.items():
            chance -= probability
            if chance < 0:
                return find_fault(name)
        return OK

    def row_is_missing(self) -> bool:
        """Whether the next row of a bulk call is missing from the answer."""
        return self._rows.random() < self.faults.missing_rows

    def system_error(self) -> bool:
        """Whether the request that is processed now meets a system error."""
        chance = self._errors.random()
        if (scripted := next(self._processing, None)) is not None:
            return scripted == "system-error"
        return chance < self.faults.system_error

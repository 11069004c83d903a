"""What goes wrong between a client and LeadSquared, by probability, by script or for a time.

A fault either takes the place of the answer (`503`, `html`) or changes how the answer goes out (`lost`,
`drip-body`). `FAULTS` lists them. A name followed by `+taken`, as in `504+taken`, says that the lead was
taken before the fault struck. What the account itself refuses (keys, limit, body) it refuses under any fault.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf
from random import Random
from typing import Any, Self, cast

from leadsquared_async.sandbox.answers import (
    How,
    Reply,
    duplicate,
    empty,
    empty_object,
    forbidden,
    gateway,
    html,
    huge,
    quota_used_up,
    redirect,
    wrong_keys,
    wrong_region,
)
from leadsquared_async.sandbox.checks import LONGEST, brief, number, wrong


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a call goes wrong."""

    name: str
    answer: Callable[[], Reply] | None = None
    """What is answered in place of the true answer; None leaves that."""
    taken: bool = False
    """Whether a submission is taken all the same."""
    how: How = How.WHOLE
    over_limit: bool = False
    """Whether the answer is the account's own answer to a call over its limit."""
    regional: bool = False
    """Whether the answer names the right host; the synchronous host names its own."""


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
        Fault("empty", empty),
        Fault("empty-object", empty_object),
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
    return replace(fault, name=name, taken=True) if plus else fault


@dataclass(frozen=True, kw_only=True)  # without slots, whose frozen classes fail oddly on unknown names
class Faults:
    """How a sandbox misbehaves; by default not at all. Raises ValueError for what makes no sense.

    A round trip takes `latency` seconds, plus up to `jitter` seconds (uniform), plus a delay whose mean is
    `tail` seconds (exponential). Half of it passes before the call arrives, and is counted; the other half,
    drawn anew, before the answer is back.

    A call meets the `outage`, else the next entry of `script`, else a draw from `probabilities`.
    """

    latency: float = 0.0
    jitter: float = 0.0
    tail: float = 0.0
    probabilities: Mapping[str, float] = field(default_factory=dict[str, float])
    """By the fault's name; they add up to 1 at most, the rest is `ok`."""
    script: tuple[str, ...] = ()
    """The faults of the next calls, in order, `ok` among them."""
    operations: tuple[str, ...] = ()
    """`capture`, `status`, `bulk` and so on: the calls that meet faults. None named: all."""
    outage: tuple[float, float] | None = None
    """From and until, in seconds of the sandbox's clock, every call meets `outage_fault`."""
    outage_fault: str = "503"
    drip: float = 0.1
    """Seconds between two pieces of an answer that drips."""
    system_error: float = 0.0
    """The probability that processing a request meets a system error, and is tried again later."""
    processing_script: tuple[str, ...] = ()
    """`ok` or `system-error` for the next requests that are processed, in order."""
    missing_rows: float = 0.0
    """The probability that a row of a bulk call is done and left out of the answer."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "probabilities", _mapping("probabilities", self.probabilities))
        for name in ("script", "operations", "processing_script"):
            object.__setattr__(self, name, _strings(name, getattr(self, name)))
        for name in (*self.script, *self.probabilities, *_strings("outage_fault", [self.outage_fault])):
            find_fault(name)
        for name in ("latency", "jitter", "tail", "drip"):
            number(most=LONGEST)(name, getattr(self, name))
        shares = {"system_error": self.system_error, "missing_rows": self.missing_rows}
        for name, probability in {**self.probabilities, **shares}.items():
            number(most=1)(name, probability)
        if sum(self.probabilities.values()) > 1 + 1e-9:
            raise ValueError("the probabilities of the faults add up to more than 1")
        if unknown := set(self.processing_script) - {"ok", "system-error"}:
            raise ValueError(f"processing must be 'ok' or 'system-error', not {brief(min(unknown))}")
        if self.outage is not None:
            object.__setattr__(self, "outage", _span(self.outage))

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
        """The same as a mapping that JSON can hold."""
        return asdict(self)


class FaultSource:
    """Draws what `faults` say, the same for the same seed."""

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
        """Go on with other faults: the draws go on, scripts start at the beginning, save those in `go_on`."""
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

    def draw(self, operation: str, now: float) -> Fault:
        """The fault that a call of `operation` meets at `now` (seconds)."""
        faults = self.faults
        chance = self._calls.random()
        if faults.operations and operation not in faults.operations:
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

    def missing_row(self) -> bool:
        """Whether the next row of a bulk call is left out of the answer."""
        return self._rows.random() < self.faults.missing_rows

    def system_error(self) -> bool:
        """Whether the request that is processed now meets a system error."""
        chance = self._errors.random()
        if (scripted := next(self._processing, None)) is not None:
            return scripted == "system-error"
        return chance < self.faults.system_error


def check_faults(name: str, value: object) -> Faults:
    """Faults, and nothing that merely looks like them."""
    if not isinstance(value, Faults):
        raise wrong(name, "a Faults(...)", value)
    return value


def _strings(name: str, value: object) -> tuple[str, ...]:
    given = value
    if isinstance(value, (list, tuple)):
        entries = cast("list[object] | tuple[object, ...]", value)
        if all(isinstance(entry, str) for entry in entries):
            return cast("tuple[str, ...]", tuple(entries))
    raise wrong(name, "a list or tuple of strings", given)


def _mapping(name: str, value: object) -> dict[str, float]:
    given = value
    if isinstance(value, Mapping):
        found = cast("Mapping[object, object]", value)
        if all(isinstance(key, str) for key in found):
            return dict(cast("Mapping[str, float]", value))
    raise wrong(name, "a mapping from the fault's name to its probability", given)


def _span(value: object) -> tuple[float, float]:
    if isinstance(value, (list, tuple)):
        match cast("list[object] | tuple[object, ...]", value):
            case [int() | float() as start, int() | float() as end] if -inf < start <= end < inf:
                return (start, end)
            case _:
                pass
    raise ValueError("outage is two times in seconds, the earlier one first")

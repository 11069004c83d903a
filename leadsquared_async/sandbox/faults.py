"""Fault injection: by probability, by script, or during an outage.

A fault either replaces the reply (`503`, `html`) or changes how it is sent (`lost`, `drip-body`); `FAULTS`
lists them. The suffix `+taken`, as in `504+taken`, means that the lead was accepted before the fault
occurred. The account's own rejections (keys, limit, body) take precedence over faults.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf
from random import Random
from typing import Any, Self, cast

from leadsquared_async.sandbox.answers import (
    ASYNC_HOST,
    ELSEWHERE,
    FORBIDDEN,
    NO_PATH,
    WRONG_KEYS,
    How,
    Reply,
    gateway,
    json_reply,
    mx,
    wrong_region,
)
from leadsquared_async.sandbox.checks import (
    DAY,
    Rule,
    brief,
    by_name,
    check,
    check_all,
    number,
    pair,
    strings,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a call fails."""

    name: str
    answer: Reply | None = None
    """The reply to send instead of the real one; None keeps the real one."""
    taken: bool = False
    """Whether a submission is accepted despite the fault."""
    how: How = How.WHOLE
    over_limit: bool = False
    """Whether the reply is a 429 that states the call's limit."""
    regional: bool = False
    """Whether the reply names the right host, which differs for the synchronous API."""


OK = Fault("ok", taken=True)
_DUPLICATE = ("MXDuplicateEntryException", "A Lead with same Email already exists.")
"""A permanent error that has been observed with status 500 and with 200."""
_PAGE = b"<!doctype html><html><body><h1>We will be back soon</h1></body></html>"

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        OK,
        Fault("401", WRONG_KEYS),
        Fault("401-region", wrong_region(ASYNC_HOST), regional=True),
        Fault("403", FORBIDDEN),
        Fault("no-path", NO_PATH),
        Fault("429", over_limit=True),
        Fault("quota", gateway(429, "Limit Exceeded")),
        Fault("500", gateway(500, "Internal server error")),
        Fault("500-mx", mx(500, *_DUPLICATE)),
        Fault("502", gateway(502, "Internal server error")),
        Fault("503", gateway(503, "Service Unavailable")),
        Fault("504", gateway(504, "Endpoint request timed out")),
        Fault("200-mx", mx(200, *_DUPLICATE)),
        Fault("html", Reply(200, {"content-type": "text/html"}, _PAGE)),
        Fault("empty", Reply(200)),
        Fault("empty-object", json_reply(200, {})),
        Fault("huge", json_reply(200, {"Padding": "x" * 1_200_000})),
        Fault("redirect", Reply(307, {"location": f"https://{ELSEWHERE}/lead/capture"})),
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

FAULT_GROUPS: Mapping[str, Mapping[str, str]] = {
    "Server errors": {
        "500": "Internal server error",
        "502": "Bad gateway",
        "503": "Service unavailable",
        "504": "Gateway timeout",
        "500-mx": "A permanent rejection with status 500",
        "200-mx": "A permanent rejection with status 200",
    },
    "Connection": {
        "lost": "The lead is accepted, but the connection closes without a reply",
        "half-body": "The lead is accepted, but only half of the reply arrives",
        "drip-headers": "The reply arrives slowly, headers included",
        "drip-body": "The body of the reply arrives slowly",
        "hang": "No reply, while the connection stays open",
        "reset": "The connection is reset before the call is read",
        "refused": "The call does not arrive; the connection is reset",
    },
    "Limits and keys": {
        "429": "Over the limit, regardless of the count",
        "quota": "The daily quota is used up",
        "401": "Wrong accessKey or secretKey",
        "401-region": "Keys of another region",
        "403": "Wrong x-api-key",
        "no-path": "The path does not exist, as on a wrong host",
    },
    "Unexpected replies": {
        "html": "An HTML page with status 200",
        "empty": "Status 200 without a body",
        "empty-object": "{} with status 200",
        "huge": "More than a megabyte of JSON",
        "redirect": "A redirect to another host",
    },
}
"""What each fault does, in a line; all but `ok`."""


def describe_fault(name: str) -> str:
    """What a fault does, in a line, such as that of `lost+taken`; the name itself if no line is known."""
    base, plus, _ = name.partition("+")
    line = next((lines[base] for lines in FAULT_GROUPS.values() if base in lines), name)
    return f"{line}; the lead is accepted all the same" if plus and not FAULTS[base].taken else line


def find_fault(name: str) -> Fault:
    """The fault called `name`; raises ValueError for an unknown name."""
    base, plus, taken = name.partition("+")
    fault = FAULTS.get(base)
    if fault is None or (plus and (taken != "taken" or fault.how is How.REFUSED)):
        raise ValueError(
            f"no fault is called {brief(name)}: choose from {', '.join(FAULTS)}, optionally with '+taken'"
        )
    return replace(fault, taken=True, name=name) if plus else fault


@dataclass(frozen=True, kw_only=True)  # no slots: an unknown name would raise an obscure TypeError
class Faults:
    """The faults of a sandbox, by default none. Raises ValueError for an invalid option.

    A round trip takes `latency` seconds, plus up to `jitter` seconds (uniform), plus a delay with a mean of
    `tail` seconds (exponential). One half passes before the call arrives and is counted; the other half is
    drawn separately and delays the reply.

    A call gets the fault of the `outage`, else the next one in `script`, else a draw from `probabilities`.
    """

    latency: float = 0.0
    jitter: float = 0.0
    tail: float = 0.0
    probabilities: Mapping[str, float] = field(default_factory=dict[str, float])
    """By the fault's name; the sum is at most 1, and the rest is `ok`."""
    script: tuple[str, ...] = ()
    """The faults of the next calls, in order; `ok` for none."""
    operations: tuple[str, ...] = ()
    """The calls that get faults: `capture`, `status`, `bulk` and so on. Empty: all."""
    outage: tuple[float, float] | None = None
    """Start and end, in seconds on the sandbox's clock; each call in between gets `outage_fault`."""
    outage_fault: str = "503"
    drip: float = 0.1
    """Seconds between the pieces of a dripped reply."""
    system_error: float = 0.0
    """The probability that processing a request fails with a system error and is retried later."""
    processing_script: tuple[str, ...] = ()
    """`ok` or `system-error` for the next processing attempts, in order."""
    missing_rows: float = 0.0
    """The probability that a processed row of a bulk call is missing from the reply."""

    def __post_init__(self) -> None:
        check_all(self, _RULES)
        for name in (*self.script, *self.probabilities, self.outage_fault):
            find_fault(name)
        for name, probability in self.probabilities.items():
            check(name, number(1), probability)
        if sum(self.probabilities.values()) > 1 + 1e-9:
            raise ValueError("probabilities: the sum must be at most 1")
        for entry in self.processing_script:
            check("processing_script", _PROCESSING, entry)

    def changed(self, content: object) -> Self:
        """A copy with the options in a decoded JSON object; raises ValueError for invalid input."""
        if not isinstance(content, dict):
            raise ValueError("faults must be a JSON object")  # noqa: TRY004 - the content is invalid, not the call
        changes = cast("dict[str, Any]", content)
        names = [field.name for field in fields(self)]
        if unknown := sorted(changes.keys() - set(names)):
            raise ValueError(f"Faults has no option {brief(unknown[0])}: choose from {', '.join(names)}")
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """All options, as a mapping for JSON."""
        return asdict(self)


IS_FAULTS: Rule = ("a Faults(...)", lambda value: isinstance(value, Faults))

_PROCESSING: Rule = ("a list of 'ok' and 'system-error'", lambda entry: entry in {"ok", "system-error"})
_STRINGS = strings("a list or tuple of strings", (list, tuple))

_RULES: Mapping[str, Rule] = {
    "latency": number(DAY),
    "jitter": number(DAY),
    "tail": number(DAY),
    "probabilities": by_name("a mapping from fault names to probabilities"),
    "script": _STRINGS,
    "operations": _STRINGS,
    "outage": pair(
        "two times in seconds, the earlier one first", lambda start, end: -inf < start <= end < inf
    ),
    "outage_fault": ("the name of a fault", lambda value: isinstance(value, str)),
    "drip": number(DAY),
    "system_error": number(1),
    "processing_script": _STRINGS,
    "missing_rows": number(1),
}


class FaultSource:
    """Draws faults and delays; the same seed gives the same draws."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.replace(faults)
        # One stream for each purpose, so that adding latency does not change which calls fail.
        self._calls = Random(f"calls {seed}")
        self._ways = Random(f"ways {seed}")
        self._errors = Random(f"errors {seed}")
        self._rows = Random(f"rows {seed}")

    def replace(self, faults: Faults, keep: Collection[str] = ()) -> None:
        """Replace the faults. Draws and the scripts named in `keep` continue; other scripts restart."""
        self.faults = faults
        if "script" not in keep:
            self._script = iter(faults.script)
        if "processing_script" not in keep:
            self._processing = iter(faults.processing_script)

    def transit(self) -> float:
        """Draw the delay in seconds of one direction between client and server."""
        faults = self.faults
        jitter = self._ways.uniform(0, faults.jitter)
        tail = self._ways.expovariate(1 / faults.tail) if faults.tail else 0.0
        return (faults.latency + jitter + tail) / 2

    def draw(self, call: str, now: float) -> Fault:
        """The fault for a call of this name at `now` (seconds)."""
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
        """Whether the next row of a bulk call is missing from the reply."""
        return self._rows.random() < self.faults.missing_rows

    def system_error(self) -> bool:
        """Whether the next processing attempt fails with a system error."""
        chance = self._errors.random()
        if (scripted := next(self._processing, None)) is not None:
            return scripted == "system-error"
        return chance < self.faults.system_error

"""The options of a sandbox."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, TypedDict, cast

from leadsquared_async.sandbox.checks import (
    DAY,
    Rule,
    brief,
    by_name,
    check_all,
    is_number,
    optional,
    pair,
    strings,
    whole,
)
from leadsquared_async.sandbox.counters import COUNTERS
from leadsquared_async.sandbox.faults import IS_FAULTS, Faults

ACCESS_KEY = "u$r" + "0123456789abcdef" * 2
SECRET_KEY = "fedcba9876" * 4
API_KEY = "SandboxKey" * 4

KEY_PLACES = ("query", "headers", "both")

Attributes = Literal["account"] | Collection[str] | None


class Options(TypedDict, total=False):
    """The fields of `Settings`, as keyword arguments."""

    limit: tuple[int, float] | None
    bulk_limit: tuple[int, float] | None
    counting: str
    count_refused: bool
    attributes: Attributes
    mandatory: Collection[str]
    unique: Collection[str]
    fields: int
    paths: Mapping[str, str | None]
    keys: Literal["query", "headers", "both"]
    processing_rate: float
    speed: float
    faults: Faults
    seed: int | None


@dataclass(frozen=True, kw_only=True)  # no slots: an unknown name would raise an obscure TypeError
class Settings:
    """The options of a sandbox. Raises ValueError for an invalid option."""

    limit: tuple[int, float] | None = (25, 5.0)
    """Calls, and the window in seconds; all calls but bulk calls share it. None: no limit."""
    bulk_limit: tuple[int, float] | None = (1, 5.0)
    """The separate limit of bulk calls. None: no limit."""
    counting: str = "sliding-log"
    """The algorithm that counts calls: a name in `COUNTERS`."""
    count_refused: bool = False
    """Whether rejected calls count towards the limit."""
    attributes: Attributes = None
    """The schema names that exist, besides ProspectID and SearchBy. `account`: the fields of a realistic
    account. None: every name exists."""
    mandatory: Collection[str] = ()
    """The schema names that a new lead must have; the lead fields list them as mandatory."""
    unique: Collection[str] = ("EmailAddress", "Phone")
    """The schema names whose values must be unique. Comparisons ignore the case of e-mail addresses."""
    fields: int = 60
    """How many fields the realistic account has, at least 42; the others are custom fields."""
    paths: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    """Overrides of paths, by call: `activity` for a submission, `activity status`, `activity metrics`, `bulk`
    and so on. The default path of an overridden call no longer exists. None: the call does not exist."""
    keys: Literal["query", "headers", "both"] = "query"
    """Where a submission has its accessKey and secretKey. LeadSquared documents the query; synchronous calls
    may have them in either place."""
    processing_rate: float = 6000.0
    """Requests that each operation's queue processes per minute."""
    speed: float = 1.0
    """How many times faster the clock of the processing queues runs. The limit is not affected."""
    faults: Faults = field(default_factory=Faults)
    """The faults at the start and after a reset."""
    seed: int | None = None
    """With a seed, the same calls give the same replies, including ids. None: ids differ after each start and
    reset, but faults and delays do not."""

    def __post_init__(self) -> None:
        check_all(self, _RULES)

    def changed(self, content: object) -> Self:
        """A copy with the options in a decoded JSON object; raises ValueError for invalid input."""
        if not isinstance(content, dict):
            raise ValueError("settings must be a JSON object")  # noqa: TRY004 - the content is invalid, not the call
        changes = cast("dict[str, Any]", content)
        if unknown := sorted(changes.keys() - set(CHANGEABLE)):
            choices = ", ".join(CHANGEABLE)
            raise ValueError(f"the setting {brief(unknown[0])} cannot be changed: choose from {choices}")
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """The options that can be changed while the sandbox runs, as a mapping for JSON."""
        return {name: getattr(self, name) for name in CHANGEABLE}


CHANGEABLE = ("limit", "bulk_limit", "counting", "count_refused", "processing_rate", "paths", "keys")
"""The options that can be changed while the sandbox runs."""

_LIMIT = pair(
    "1 to 1000000 calls in 0.001 to 86400 seconds, such as [25, 5]",
    lambda calls, per: isinstance(calls, int) and 1 <= calls <= 1_000_000 and 0.001 <= per <= DAY,
)
_NAMES = strings("a collection of schema names")
_SPEED: Rule = ("a number above 0, at most 1e+12", lambda value: value != 0 and is_number(value, 0, 1e12))

_RULES: Mapping[str, Rule] = {
    "limit": _LIMIT,
    "bulk_limit": _LIMIT,
    "counting": (f"one of {', '.join(COUNTERS)}", lambda value: isinstance(value, str) and value in COUNTERS),
    "count_refused": ("True or False", lambda value: isinstance(value, bool)),
    "attributes": optional(_NAMES, None, "account"),
    "mandatory": _NAMES,
    "unique": _NAMES,
    "fields": whole(1, 10_000),
    "paths": by_name(
        "a mapping from the name of a call to its path, or to None",
        lambda path: path is None or isinstance(path, str),
    ),
    "keys": (f"one of {', '.join(KEY_PLACES)}", lambda value: isinstance(value, str) and value in KEY_PLACES),
    "processing_rate": _SPEED,
    "speed": _SPEED,
    "faults": IS_FAULTS,
    "seed": optional(whole(-(2**63), 2**63), None),
}

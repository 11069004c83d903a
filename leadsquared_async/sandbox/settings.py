"""What a sandbox can be told, with the defaults and what they stand for."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict, get_args

from leadsquared_async.sandbox.answers import RIGHT_SYNC_HOST
from leadsquared_async.sandbox.checks import (
    LONGEST,
    check_flag,
    check_limit,
    check_text,
    check_texts,
    names,
    number,
    one_of,
    or_none,
    whole,
)
from leadsquared_async.sandbox.counters import COUNTERS
from leadsquared_async.sandbox.faults import Faults, check_faults

ACCESS_KEY = "u$r" + "0123456789abcdef" * 2
SECRET_KEY = "fedcba9876" * 4
API_KEY = "SandboxKey" * 4

RefusalStyle = Literal["mx", "gateway", "mx-200", "mx-403"]
UnknownID = Literal["404", "empty"]
RejectedStatus = Literal["FAILURE", "ERROR"]
RetryingStatus = Literal["In-Queue", "ERROR"]
PhoneMatching = Literal["exact", "digits"]
OpportunityAnswer = Literal["wrapped", "flat"]
Attributes = Literal["account"] | Collection[str] | None


class Options(TypedDict, total=False):
    """The fields of `Settings`, as keyword arguments."""

    limit: tuple[int, float] | None
    bulk_limit: tuple[int, float] | None
    counting: str
    phase: float
    count_refused: bool
    refusal: RefusalStyle
    retry_after: str | None
    daily_quota: int | None
    header_keys: bool
    max_body: int
    attributes: Attributes
    mandatory: Collection[str]
    unique: Collection[str]
    fields: int
    phone_matching: PhoneMatching
    opportunity_answer: OpportunityAnswer
    paths: Mapping[str, str]
    api_host: str
    unknown_id: UnknownID
    known_after: float
    processing_rate: float
    disorder: float
    speed: float
    rejected_status: RejectedStatus
    retrying_status: RetryingStatus
    faults: Faults
    seed: int | None


@dataclass(frozen=True, kw_only=True)  # without slots, whose frozen classes fail oddly on unknown names
class Settings:
    """A sandbox's rules. Raises ValueError for what makes no sense."""

    limit: tuple[int, float] | None = (25, 5.0)
    """Calls in seconds, all but bulk calls together. None: no limit."""
    bulk_limit: tuple[int, float] | None = (1, 5.0)
    """Bulk calls in seconds, counted the same way and apart from the others. None: no limit."""
    counting: str = "sliding-log"
    """How calls are counted: a name in `limits.COUNTERS`."""
    phase: float = 0.0
    """Seconds by which the edges of windows are moved."""
    count_refused: bool = False
    """Whether a refused call counts as well."""
    refusal: RefusalStyle = "mx"
    """What a call over the limit is answered: LeadSquared's 429 (`mx`), the gateway's (`gateway`), or
    LeadSquared's body under another status (`mx-200`, `mx-403`)."""
    retry_after: str | None = None
    """The Retry-After header of such an answer, sent as it stands. None: none, as documented."""
    daily_quota: int | None = None
    """Calls in each 86,400 seconds of the sandbox's clock. None: any number."""
    header_keys: bool = False
    """Whether submissions may carry their keys in the headers `x-LSQ-AccessKey` and `x-LSQ-SecretKey`, not in
    the query."""
    max_body: int = 10 * 1024 * 1024
    """Bytes of a body at most; the default is the API Gateway's."""
    attributes: Attributes = None
    """The schema names that this account has; ProspectID and SearchBy always exist. `account`: the fields of
    a believable account. None: every name."""
    mandatory: Collection[str] = ()
    """The schema names without which no lead is created; the lead fields say so of them."""
    unique: Collection[str] = ("EmailAddress", "Phone")
    """The schema names whose values no two leads share; e-mail addresses are compared without their case."""
    fields: int = 60
    """How many fields the believable account has, padded with custom ones; it never has fewer than 42."""
    phone_matching: PhoneMatching = "exact"
    """Whether phone numbers match when they are `exact`ly the same, or when their `digits` are."""
    opportunity_answer: OpportunityAnswer = "wrapped"
    """How the status of a captured opportunity tells its ids: as other operations do (`wrapped`), or as the
    synchronous API does (`flat`)."""
    paths: Mapping[str, str] = field(default_factory=dict[str, str])
    """Calls that are elsewhere than expected: `activity` for a submission, `activity status`,
    `activity metrics`, `bulk` and so on, each with its path. The usual place then does not exist."""
    api_host: str = RIGHT_SYNC_HOST
    """The API host that UserByAccessKey.Get names, as it stands."""
    unknown_id: UnknownID = "404"
    """What the status of an unknown RequestID is: a `404`, or a 200 without a body (`empty`)."""
    known_after: float = 0.0
    """Seconds for which the RequestID of an accepted request stays unknown."""
    processing_rate: float = 6000.0
    """Requests processed a minute."""
    disorder: float = 0.0
    """Seconds by which an outcome may come earlier or later than its turn in the queue (uniform, on the
    queue's clock); turns are as many seconds later for it, since no outcome comes before its processing."""
    speed: float = 1.0
    """Seconds that pass for the processing queue in one second of the sandbox's clock; the limit keeps to the
    latter."""
    rejected_status: RejectedStatus = "FAILURE"
    """The status of a request that ended in an application error."""
    retrying_status: RetryingStatus = "In-Queue"
    """The status of a request that waits for its next try after a system error."""
    faults: Faults = field(default_factory=Faults)
    """How it misbehaves at first, and after a reset."""
    seed: int | None = None
    """With a seed, the same calls give the same answers, ids included. None: each run and each reset has its
    own ids; faults, delays and disorder are still the same in every run."""

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))


_CHECKS: Mapping[str, Callable[[str, object], object]] = {
    "limit": check_limit,
    "bulk_limit": check_limit,
    "counting": one_of(COUNTERS),
    "phase": number(least=-LONGEST, most=LONGEST),
    "count_refused": check_flag,
    "refusal": one_of(get_args(RefusalStyle)),
    "retry_after": or_none(check_text),
    "daily_quota": or_none(whole(0, 10**12)),
    "header_keys": check_flag,
    "max_body": whole(0, 10**12),
    "attributes": names(None, "account"),
    "mandatory": names(),
    "unique": names(),
    "fields": whole(1, 10_000),
    "phone_matching": one_of(get_args(PhoneMatching)),
    "opportunity_answer": one_of(get_args(OpportunityAnswer)),
    "paths": check_texts,
    "api_host": check_text,
    "unknown_id": one_of(get_args(UnknownID)),
    "known_after": number(most=LONGEST),
    "processing_rate": number(more_than=0, most=1e12),
    "disorder": number(most=LONGEST),
    "speed": number(more_than=0, most=1e12),
    "rejected_status": one_of(get_args(RejectedStatus)),
    "retrying_status": one_of(get_args(RetryingStatus)),
    "faults": check_faults,
    "seed": or_none(whole(-(2**63), 2**63)),
}

"""What an attempt came to, read off its answer: the body first, the status second.

Pure. LeadSquared answers permanent errors with HTTP 500, and the same body also arrives under HTTP 200, so
the status alone says little (apidocs.leadsquared.com, "Error handling", and what integrations have met).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from leadsquared_async.errors import (
    APIError,
    AuthenticationFailed,
    BadRequest,
    ConnectionFailed,
    Delivery,
    Fault,
    Forbidden,
    LeadSquaredError,
    NoSuchPath,
    NotFound,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Scope,
    ServerError,
    Timeout,
)
from leadsquared_async.models import Refusal, decoded, field_of, has_field, id_in, text_in

__all__ = [
    "Again",
    "Expect",
    "Outcome",
    "Reply",
    "classify",
    "given_up",
    "host_in",
    "refusal_of",
    "retry_after",
    "unanswered",
]

MAX_BODY = 1_000_000
MAX_RETRY_AFTER = 3600.0
"""A longer Retry-After (seconds) is taken for a mistake: it would silence the account for hours."""


class Again(Enum):
    """Is another attempt of any use?"""

    NO = "no"
    YES = "yes"
    A_FEW_TIMES = "a few times, and then it is refused for good"
    IF_REPEATABLE = "if the call may be made twice"


class Expect(Enum):
    """What a good answer holds."""

    REQUEST_ID = "a RequestID"
    JSON = "JSON, or nothing"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came: status, headers (looked up in lower case), body as text, cut off at 1 MB."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)
    cut_off: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to.

    Attributes:
        delivery: whether it arrived.
        fault: who has to act; None when nobody has.
        scope: which other calls would come to the same.
        again: is another attempt of any use?
        error: what to raise if there is none; None for a success.
        summary: what happened, in words that hold nothing secret or personal.
        throttled: the rate limit refused it.
        counted: False while the server may count it later than its end: it never answered.
        pause: what the server asked for, in seconds.
        limit: the account's own limit (calls, seconds), when the answer names it.
        request_id: the RequestID of an accepted submission.
        data: the decoded body.
    """

    delivery: Delivery
    fault: Fault | None
    scope: Scope | None
    again: Again
    error: type[LeadSquaredError] | None
    summary: str
    throttled: bool = False
    counted: bool = True
    pause: float | None = None
    limit: tuple[int, float] | None = None
    request_id: str | None = None
    status_code: int | None = None
    exception_type: str | None = None
    exception_message: str | None = field(default=None, repr=False)
    body: str | None = field(default=None, repr=False)
    data: Any = field(default=None, repr=False)

    @property
    def succeeded(self) -> bool:
        """Whether this is what the call was made for."""
        return self.error is None


def unanswered(*, sent: bool, timed_out: bool, cause: str) -> Outcome:
    """The outcome of an attempt that got no whole answer.

    Args:
        sent: whether any of it may have reached the server.
        timed_out: whether time ran out, or else the connection failed.
        cause: what happened, in words that hold nothing secret.
    """
    return Outcome(
        delivery=Delivery.UNKNOWN if sent else Delivery.NOT_SENT,
        fault=Fault.SERVER,
        scope=Scope.OPERATION if sent else Scope.SERVER,
        again=Again.IF_REPEATABLE if sent else Again.YES,
        error=Timeout if timed_out else ConnectionFailed,
        summary=cause,
        counted=not sent,
    )


def given_up(outcome: Outcome) -> Outcome:
    """What the last attempt came to, now that there is no other: an exception that stays is a refusal."""
    if outcome.again is not Again.A_FEW_TIMES:
        return outcome
    return replace(
        outcome,
        delivery=Delivery.REJECTED,
        fault=Fault.LEAD,
        scope=Scope.LEAD,
        error=Rejected,
        summary=f"LeadSquared failed to process it each time ({outcome.status_code})",
    )


def classify(reply: Reply, expect: Expect, now: datetime) -> Outcome:
    """What an answer means for the call.

    Args:
        reply: the answer.
        expect: what a good one would hold.
        now: the wall time, to read a Retry-After that is a date.
    """
    try:
        data = None if reply.cut_off else decoded(reply.body)
    except ValueError:
        data = None
    said = _Said.read(data)
    verdict = _verdict(reply, said, data, expect)
    return Outcome(
        delivery=verdict.delivery,
        fault=verdict.fault,
        scope=verdict.scope,
        again=verdict.again,
        error=verdict.error,
        summary=f"{verdict.summary} ({reply.status})" if verdict is _THROTTLED else verdict.summary,
        throttled=verdict is _THROTTLED,
        pause=retry_after(reply.headers.get("retry-after"), now) if verdict.again is not Again.NO else None,
        limit=said.limit if verdict is _THROTTLED else None,
        request_id=said.request_id,
        status_code=reply.status,
        exception_type=None if said.refusal is None else said.refusal.exception_type,
        exception_message=said.exception_message,
        body=reply.body,
        data=data,
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """What LeadSquared or its gateway put into words, in whichever spelling."""

    refusal: Refusal | None
    gateway_message: str | None
    request_id: str | None
    limit: tuple[int, float] | None

    @classmethod
    def read(cls, data: object) -> _Said:
        refusal = Refusal.read(data)
        gateway_message = text_in(field_of(data, "message"))
        words = text_in(field_of(data, "ExceptionMessage")) or gateway_message
        limit = _LIMIT.fullmatch(words) if words else None
        return cls(
            refusal=refusal,
            gateway_message=gateway_message,
            request_id=id_in(field_of(data, "RequestID")),
            limit=_sane_limit(limit) if limit else None,
        )

    @property
    def exception_message(self) -> str | None:
        return None if self.refusal is None else self.refusal.exception_message

    @property
    def words(self) -> str:
        return " ".join(part for part in (self.exception_message, self.gateway_message) if part)


# The whole message: a refusal may repeat a lead's value, and a visitor is not to set the account's limit.
_LIMIT = re.compile(
    r"\s*API calls exceeded the limit of (\d{1,6}) in (\d{1,6}) second(?:\(s\)|s)?[.\s]*", re.IGNORECASE
)


def _sane_limit(match: re.Match[str]) -> tuple[int, float] | None:
    calls, per = int(match[1]), float(match[2])
    return (calls, per) if 1 <= calls <= 10_000 and 0 < per <= 3600 else None


@dataclass(frozen=True, slots=True)
class _Verdict:
    """One row of the table of answers."""

    delivery: Delivery
    fault: Fault | None
    scope: Scope | None
    again: Again
    error: type[LeadSquaredError] | None
    summary: str


_THROTTLED = _Verdict(
    Delivery.REJECTED, Fault.LIMIT, None, Again.YES, RateLimited, "the account is over its rate limit"
)
_QUOTA = _Verdict(
    Delivery.REJECTED,
    Fault.ACCOUNT,
    Scope.ACCOUNT,
    Again.NO,
    QuotaExceeded,
    "the account's calls of the day are used up",
)
_AUTHENTICATION = _Verdict(
    Delivery.REJECTED,
    Fault.ACCOUNT,
    Scope.ACCOUNT,
    Again.NO,
    AuthenticationFailed,
    "LeadSquared does not accept the keys: check them, the region, and that their user is active",
)
_NOT_FOUND = _Verdict(
    Delivery.REJECTED,
    Fault.ACCOUNT,
    Scope.OPERATION,
    Again.NO,
    NotFound,
    "LeadSquared knows no such path or request: check the host",
)
_NO_PATH = _Verdict(
    Delivery.REJECTED,
    Fault.ACCOUNT,
    Scope.OPERATION,
    Again.NO,
    NoSuchPath,
    "the path does not exist on this host: check the host",
)
_FORBIDDEN = _Verdict(
    Delivery.REJECTED,
    Fault.ACCOUNT,
    Scope.ACCOUNT,
    Again.NO,
    Forbidden,
    "the gateway refused the call: check the x-api-key",
)
_REFUSED = _Verdict(
    Delivery.REJECTED, Fault.LEAD, Scope.LEAD, Again.NO, Rejected, "LeadSquared refuses the lead"
)
_EXCEPTION = _Verdict(
    Delivery.UNKNOWN,
    Fault.SERVER,
    Scope.LEAD,
    Again.A_FEW_TIMES,
    ServerError,
    "LeadSquared failed to process it",
)
_ACCEPTED = _Verdict(Delivery.ACCEPTED, None, None, Again.NO, None, "accepted")
_NO_ANSWER_IN_IT = _Verdict(
    Delivery.UNKNOWN,
    Fault.SERVER,
    Scope.OPERATION,
    Again.IF_REPEATABLE,
    ServerError,
    "the answer holds no RequestID",
)
_INVALID_ID_IN_IT = _Verdict(
    Delivery.UNKNOWN,
    Fault.SERVER,
    Scope.LEAD,
    Again.IF_REPEATABLE,
    ServerError,
    "the RequestID in the answer is invalid",
)

_ACCOUNT_STATUSES = {
    401: _AUTHENTICATION,
    403: _FORBIDDEN,
    404: _NOT_FOUND,
    415: _Verdict(
        Delivery.REJECTED,
        Fault.ACCOUNT,
        Scope.OPERATION,
        Again.NO,
        APIError,
        "the host does not take JSON (415): check the host",
    ),
}


def _verdict(reply: Reply, said: _Said, data: Any, expect: Expect) -> _Verdict:
    """The first row that fits; the order is the rule."""
    status = reply.status
    if said.gateway_message == "Limit Exceeded" and not said.request_id:
        return _QUOTA
    refused = None if said.refusal is None else refusal_of(said.refusal)
    if status == 429 or refused is _THROTTLED or (said.limit and status >= 400):
        return _THROTTLED
    if status in _ACCOUNT_STATUSES or said.gateway_message == "Missing Authentication Token":
        return _account_verdict(status, said)
    if refused is not None and not (refused is _EXCEPTION and status in _OF_THE_BODY):
        return refused
    if status in _TAKEN or (expect is Expect.JSON and 200 <= status < 300):
        return _success_or_not(reply, said, data, expect)
    if 300 <= status < 400:
        host = host_in(reply.headers.get("x-location", "")) or "another address"
        return _Verdict(
            Delivery.UNKNOWN
            if status == 303
            else Delivery.REJECTED,  # "see other" follows a post that was taken
            Fault.ACCOUNT,
            Scope.OPERATION,
            Again.NO,
            APIError,
            f"the host redirects ({status}) to {host}, which is not followed with keys: check the host",
        )
    if status >= 500:
        again = Again.YES if status in {500, 503} else Again.IF_REPEATABLE
        return _Verdict(
            Delivery.UNKNOWN,
            Fault.SERVER,
            Scope.OPERATION,
            again,
            ServerError,
            f"LeadSquared failed ({status})",
        )
    if status in _OF_THE_BODY:
        what = "cannot be read by LeadSquared" if status == 400 else "is too large for LeadSquared"
        return _Verdict(
            Delivery.REJECTED, Fault.LEAD, Scope.LEAD, Again.NO, BadRequest, f"the body {what} ({status})"
        )
    if status == 408:
        return _Verdict(
            Delivery.UNKNOWN,
            Fault.SERVER,
            Scope.OPERATION,
            Again.IF_REPEATABLE,
            ServerError,
            "LeadSquared waited too long (408)",
        )
    if 200 <= status < 300:
        return _NO_ANSWER_IN_IT
    return _Verdict(
        Delivery.REJECTED,
        Fault.ACCOUNT,
        Scope.OPERATION,
        Again.NO,
        APIError,
        f"the host refuses the call ({status}): check the host",
    )


_TAKEN = {200, 201, 202}
_OF_THE_BODY = {400, 413}
# The whole message, as above: a lead's value that is repeated is not to stop the account.
_ABOUT_KEYS = re.compile(
    r"\s*(?:invalid user details|un-?authori[sz]ed(?: (?:access|request|user))?|access (?:is )?denied"
    r"|authentication (?:failed|failure)|(?:invalid|wrong) (?:access|secret|api)[ -]?key"
    r"(?: or secret[ -]?key)?)[!.\s]*",
    re.IGNORECASE,
)


def refusal_of(refusal: Refusal) -> _Verdict:
    """What a refusal means, of a whole call or of one row of it."""
    name = (refusal.exception_type or "").lower()
    if name == "mxapiratelimitexceededexception":
        return _THROTTLED
    if re.search("authenti|authori[sz]", name):
        return _AUTHENTICATION
    if refusal.exception_type and not refusal.is_mx:
        return _EXCEPTION
    if not name and _ABOUT_KEYS.fullmatch(refusal.exception_message or ""):
        return _AUTHENTICATION
    return _REFUSED


def _account_verdict(status: int, said: _Said) -> _Verdict:
    if said.gateway_message == "Missing Authentication Token":
        return _NO_PATH
    named = _HOST.search(said.words[:2000])
    if status == 401 and named:
        # A key of another region is answered with the host that it belongs to.
        return _Verdict(
            Delivery.REJECTED,
            Fault.ACCOUNT,
            Scope.ACCOUNT,
            Again.NO,
            AuthenticationFailed,
            f"LeadSquared does not accept the keys on this host and names {named[0]}: pass region= or host=",
        )
    return _ACCOUNT_STATUSES[status]


_HOST = re.compile(r"\b[a-z0-9-]{1,63}\.leadsquared\.com\b", re.IGNORECASE)


def _success_or_not(reply: Reply, said: _Said, data: Any, expect: Expect) -> _Verdict:
    if expect is Expect.REQUEST_ID:
        if said.request_id:
            return _ACCEPTED
        return _INVALID_ID_IN_IT if has_field(data, "RequestID") else _NO_ANSWER_IN_IT
    if data is None and (reply.cut_off or reply.body.removeprefix("\ufeff").strip() not in {"", "null"}):
        what = "is longer than 1 MB" if reply.cut_off else "is not JSON"
        return _Verdict(
            Delivery.UNKNOWN,
            Fault.SERVER,
            Scope.OPERATION,
            Again.IF_REPEATABLE,
            ServerError,
            f"the answer {what} ({reply.status})",
        )
    return _ACCEPTED


def host_in(url: str) -> str:
    """The host of a URL, and nothing else of it, since a redirect's query repeats the keys; "" if none."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return host if re.fullmatch(r"[a-z0-9.\-]{1,253}", host) else ""


def retry_after(value: str | None, now: datetime) -> float | None:
    """A Retry-After header in seconds from `now`; None if none makes sense (RFC 9110, 10.2.3)."""
    if not value:
        return None
    try:
        pause = float(value) if re.fullmatch(r"\s*\d+(\.\d*)?\s*", value) else _until(value, now)
    except (ValueError, OverflowError, TypeError):
        return None
    return pause if math.isfinite(pause) and 0 <= pause <= MAX_RETRY_AFTER else None


def _until(date: str, now: datetime) -> float:
    then = parsedate_to_datetime(date)
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds())

"""Classifies the answer to an attempt, first by its body, then by its status.

Pure. LeadSquared answers permanent errors with HTTP 500, and sometimes the same body with HTTP 200, so the
status alone is not enough (apidocs.leadsquared.com, "Error handling", and reports from integrations).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from leadsquared_async.errors import (
    ABOUT_DUPLICATE,
    DUPLICATE,
    APIError,
    AuthenticationFailed,
    BadRequest,
    ConnectionFailed,
    Delivery,
    Duplicate,
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
    "Classification",
    "ExpectedBody",
    "Outcome",
    "Reply",
    "RetryHint",
    "classify",
    "classify_refusal",
    "host_in",
    "outcome_without_answer",
    "retry_after",
]

MAX_BODY = 1_000_000
MAX_RETRY_AFTER = 3600.0
"""A longer Retry-After (seconds) is ignored as a mistake: it would stop the account for hours."""


class RetryHint(Enum):
    """Whether another attempt can succeed."""

    NO = "no"
    YES = "yes"
    A_FEW_TIMES = "a few times, then it counts as rejected"
    IF_REPEATABLE = "only if the call may be made twice"


class ExpectedBody(Enum):
    """What the body of a successful answer contains."""

    REQUEST_ID = "a RequestID"
    JSON = "JSON, or nothing"


@dataclass(frozen=True, slots=True)
class Reply:
    """A raw answer: status, headers (lower-case names), body as text, cut off at 1 MB."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)
    cut_off: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one attempt.

    Attributes:
        delivery: whether the call arrived.
        fault: who has to act, if anyone.
        scope: which other calls would fail in the same way.
        retry: whether another attempt can succeed.
        error: what to raise if there is no other attempt; None for a success.
        summary: what happened, without secrets and personal data.
        throttled: whether the rate limit rejected it.
        counted: False if the server has not answered, so it may count the call later.
        pause: the Retry-After, in seconds.
        limit: the account's own limit (calls, seconds), when the answer names it.
        request_id: the RequestID of an accepted submission.
        data: the decoded body.
    """

    delivery: Delivery
    fault: Fault | None
    scope: Scope | None
    retry: RetryHint
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
        return self.error is None


def outcome_without_answer(*, sent: bool, timed_out: bool, cause: str) -> Outcome:
    """The outcome of an attempt that got no complete answer.

    Args:
        sent: whether any of it may have reached the server.
        timed_out: whether it timed out; else the connection failed.
        cause: what happened, without secrets.
    """
    return Outcome(
        delivery=Delivery.UNKNOWN if sent else Delivery.NOT_SENT,
        fault=Fault.SERVER,
        scope=Scope.OPERATION if sent else Scope.SERVER,
        retry=RetryHint.IF_REPEATABLE if sent else RetryHint.YES,
        error=Timeout if timed_out else ConnectionFailed,
        summary=cause,
        counted=not sent,
    )


def classify(reply: Reply, expected: ExpectedBody, now: datetime) -> Outcome:
    """The outcome of an attempt that was answered.

    Args:
        reply: the answer.
        expected: what a successful one contains.
        now: the wall time, to read a Retry-After that is a date.
    """
    try:
        data = None if reply.cut_off else decoded(reply.body)
    except ValueError:
        data = None
    parsed = _ParsedError.read(data)
    row = _classification(reply, parsed, data, expected)
    throttled = row is _THROTTLED
    if throttled:
        row = row._replace(summary=f"{row.summary} ({reply.status})")
    return Outcome(
        *row,
        throttled=throttled,
        pause=None if row.retry is RetryHint.NO else retry_after(reply.headers.get("retry-after"), now),
        limit=parsed.limit if throttled else None,
        request_id=parsed.request_id,
        status_code=reply.status,
        exception_type=None if parsed.refusal is None else parsed.refusal.exception_type,
        exception_message=parsed.exception_message,
        body=reply.body,
        data=data,
    )


@dataclass(frozen=True, slots=True)
class _ParsedError:
    """The error that LeadSquared or its gateway put in the body, in any spelling."""

    refusal: Refusal | None
    gateway_message: str | None
    request_id: str | None
    limit: tuple[int, float] | None

    @classmethod
    def read(cls, data: object) -> _ParsedError:
        gateway_message = text_in(field_of(data, "message"))
        message = text_in(field_of(data, "ExceptionMessage")) or gateway_message
        limit = _LIMIT.fullmatch(message) if message else None
        return cls(
            refusal=Refusal.read(data),
            gateway_message=gateway_message,
            request_id=id_in(field_of(data, "RequestID")),
            limit=_sane_limit(limit) if limit else None,
        )

    @property
    def exception_message(self) -> str | None:
        return None if self.refusal is None else self.refusal.exception_message

    @property
    def messages(self) -> str:
        return " ".join(part for part in (self.exception_message, self.gateway_message) if part)


# Whole messages only: a rejection may quote a lead's value, which must not set the account's limit.
_LIMIT = re.compile(
    r"\s*API calls exceeded the limit of (\d{1,6}) in (\d{1,6}) second(?:\(s\)|s)?[.\s]*", re.IGNORECASE
)


def _sane_limit(match: re.Match[str]) -> tuple[int, float] | None:
    calls, per = int(match[1]), float(match[2])
    return (calls, per) if 1 <= calls <= 10_000 and 0 < per <= 3600 else None


class Classification(NamedTuple):
    """A row of the table of answers: the first fields of an `Outcome`."""

    delivery: Delivery
    fault: Fault | None
    scope: Scope | None
    retry: RetryHint
    error: type[LeadSquaredError] | None
    summary: str


def _of_account(error: type[APIError], scope: Scope, summary: str) -> Classification:
    return Classification(Delivery.REJECTED, Fault.ACCOUNT, scope, RetryHint.NO, error, summary)


def _of_lead(error: type[APIError], summary: str) -> Classification:
    return Classification(Delivery.REJECTED, Fault.LEAD, Scope.LEAD, RetryHint.NO, error, summary)


def _unknown(scope: Scope, retry: RetryHint, summary: str) -> Classification:
    return Classification(Delivery.UNKNOWN, Fault.SERVER, scope, retry, ServerError, summary)


_ACCEPTED = Classification(Delivery.ACCEPTED, None, None, RetryHint.NO, None, "accepted")
_THROTTLED = Classification(
    Delivery.REJECTED, Fault.LIMIT, None, RetryHint.YES, RateLimited, "the account is over its rate limit"
)
_QUOTA = _of_account(QuotaExceeded, Scope.ACCOUNT, "the account's daily quota of calls is used up")
_BAD_KEYS = _of_account(
    AuthenticationFailed,
    Scope.ACCOUNT,
    "LeadSquared does not accept the keys: check them, the region, and that their user is active",
)
_FORBIDDEN = _of_account(Forbidden, Scope.ACCOUNT, "the gateway rejected the call: check the x-api-key")
_NOT_FOUND = _of_account(NotFound, Scope.OPERATION, "unknown path or RequestID (404): check the host")
_NO_PATH = _of_account(NoSuchPath, Scope.OPERATION, "the path does not exist on this host: check the host")
_NO_JSON = _of_account(APIError, Scope.OPERATION, "the host does not accept JSON (415): check the host")
_REJECTED = _of_lead(Rejected, "LeadSquared rejected the lead")
_DUPLICATE = _of_lead(Duplicate, f"LeadSquared rejected the lead: {ABOUT_DUPLICATE}")
_UNREADABLE = _of_lead(BadRequest, "LeadSquared cannot read the body (400)")
_TOO_LARGE = _of_lead(BadRequest, "the body is too large for LeadSquared (413)")
_EXCEPTION = _unknown(Scope.LEAD, RetryHint.A_FEW_TIMES, "LeadSquared failed to process it")
_TIMED_OUT = _unknown(Scope.OPERATION, RetryHint.IF_REPEATABLE, "LeadSquared timed out (408)")
_NO_ID = _unknown(Scope.OPERATION, RetryHint.IF_REPEATABLE, "the answer contains no RequestID")
_INVALID_ID = _unknown(Scope.LEAD, RetryHint.IF_REPEATABLE, "the RequestID in the answer is invalid")

_BY_STATUS = {401: _BAD_KEYS, 403: _FORBIDDEN, 404: _NOT_FOUND, 415: _NO_JSON}  # whatever the body says
_BY_STATUS_ALONE = {400: _UNREADABLE, 408: _TIMED_OUT, 413: _TOO_LARGE}  # if the body says nothing
_SUBMITTED = {200, 201, 202}


def _classification(reply: Reply, parsed: _ParsedError, data: Any, expected: ExpectedBody) -> Classification:
    """The first matching row; the order matters."""
    status = reply.status
    if parsed.gateway_message == "Limit Exceeded" and not parsed.request_id:
        return _QUOTA
    refused = None if parsed.refusal is None else classify_refusal(parsed.refusal)
    if status == 429 or refused is _THROTTLED or (parsed.limit and status >= 400):
        return _THROTTLED
    if parsed.gateway_message == "Missing Authentication Token":
        return _NO_PATH
    if status in _BY_STATUS:
        return _wrong_region(parsed) or _BAD_KEYS if status == 401 else _BY_STATUS[status]
    if refused is not None and not (refused is _EXCEPTION and status in {400, 413}):
        return refused
    is_success = 200 <= status < 300
    if status in _SUBMITTED or (is_success and expected is ExpectedBody.JSON):
        return _success_or_not(reply, parsed, data, expected)
    if 300 <= status < 400:
        return _redirect(status, reply.headers.get("location", ""))
    if status >= 500:
        retry = RetryHint.YES if status in {500, 503} else RetryHint.IF_REPEATABLE
        return _unknown(Scope.OPERATION, retry, f"LeadSquared failed ({status})")
    if status in _BY_STATUS_ALONE:
        return _BY_STATUS_ALONE[status]
    if is_success:
        return _NO_ID
    return _of_account(APIError, Scope.OPERATION, f"the host rejected the call ({status}): check the host")


# Whole messages only, as above: a quoted lead value must not stop the account.
_ABOUT_KEYS = re.compile(
    r"\s*(?:invalid user details|un-?authori[sz]ed(?: (?:access|request|user))?|access (?:is )?denied"
    r"|authentication (?:failed|failure)|(?:invalid|wrong) (?:access|secret|api)[ -]?key"
    r"(?: or secret[ -]?key)?)[!.\s]*",
    re.IGNORECASE,
)


def classify_refusal(refusal: Refusal) -> Classification:
    """The classification of a rejection, of a whole call or of one of its rows."""
    name = (refusal.exception_type or "").lower()
    if name == "mxapiratelimitexceededexception":
        return _THROTTLED
    if re.search("authenti|authori[sz]", name):
        return _BAD_KEYS
    if refusal.exception_type and not refusal.is_mx:
        return _EXCEPTION
    if name == DUPLICATE.lower():
        return _DUPLICATE
    if not name and _ABOUT_KEYS.fullmatch(refusal.exception_message or ""):
        return _BAD_KEYS
    return _REJECTED


_HOST = re.compile(r"\b[a-z0-9-]{1,63}\.leadsquared\.com\b", re.IGNORECASE)


def _wrong_region(parsed: _ParsedError) -> Classification | None:
    """LeadSquared answers a key of another region with the host of that region."""
    named = _HOST.search(parsed.messages[:2000])
    if named is None:
        return None
    return _BAD_KEYS._replace(
        summary=f"LeadSquared does not accept the keys on this host and names {named[0]}: "
        "pass region= or host="
    )


def _redirect(status: int, location: str) -> Classification:
    row = _of_account(
        APIError,
        Scope.OPERATION,
        f"the host redirects ({status}) to {host_in(location) or 'another address'}, and redirects with "
        "keys are not followed: check the host",
    )
    # "See Other" may follow an accepted post.
    return row._replace(delivery=Delivery.UNKNOWN) if status == 303 else row


def _success_or_not(reply: Reply, parsed: _ParsedError, data: Any, expected: ExpectedBody) -> Classification:
    if expected is ExpectedBody.REQUEST_ID:
        if parsed.request_id:
            return _ACCEPTED
        return _INVALID_ID if has_field(data, "RequestID") else _NO_ID
    if data is None and (reply.cut_off or reply.body.removeprefix("\ufeff").strip() not in {"", "null"}):
        what = "is longer than 1 MB" if reply.cut_off else "is not JSON"
        return _unknown(Scope.OPERATION, RetryHint.IF_REPEATABLE, f"the answer {what} ({reply.status})")
    return _ACCEPTED


def host_in(url: str) -> str:
    """The host of a URL, without the query, where redirects repeat the keys; "" if there is none."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return host if re.fullmatch(r"[a-z0-9.\-]{1,253}", host) else ""


def retry_after(value: str | None, now: datetime) -> float | None:
    """A Retry-After header in seconds from `now`; None if it is missing or invalid (RFC 9110, 10.2.3)."""
    if not value:
        return None
    try:
        pause = float(value) if re.fullmatch(r"\s*\d+(\.\d*)?\s*", value) else _until(value, now)
    except (ValueError, OverflowError, TypeError):
        return None
    return pause if pause <= MAX_RETRY_AFTER else None


def _until(date: str, now: datetime) -> float:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - slow to import, and rarely needed

    then = parsedate_to_datetime(date)
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds())

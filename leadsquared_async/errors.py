"""Every error: who has to act, and whether the lead may have arrived.

Every error the package raises is a `LeadSquaredError`. Its message contains no keys and no personal data.
LeadSquared's unredacted answer is only in the attributes `APIError.body` and `APIError.exception_message`,
which may contain personal data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, TypedDict, Unpack

from leadsquared_async.printable import one_line

if TYPE_CHECKING:
    from leadsquared_async.models import RequestStatus

__all__ = [
    "ABOUT_DUPLICATE",
    "DUPLICATE",
    "APIError",
    "AuthenticationFailed",
    "BadRequest",
    "ClientClosed",
    "ConfigurationError",
    "ConnectionFailed",
    "DeadlineExceeded",
    "Delivery",
    "Duplicate",
    "Facts",
    "Fault",
    "Forbidden",
    "InvalidLead",
    "KeyReused",
    "LeadSquaredError",
    "NoSuchPath",
    "NotFound",
    "OutboxError",
    "OutboxFull",
    "QuotaExceeded",
    "RateLimited",
    "Rejected",
    "Scope",
    "ServerError",
    "StillProcessing",
    "Timeout",
    "exception_in",
    "join",
    "kind_of_error",
    "rejected_later",
]


class Delivery(StrEnum):
    """Whether a lead arrived, after an attempt or the whole call."""

    ACCEPTED = "accepted"
    """LeadSquared accepted it and returned a RequestID."""
    NOT_SENT = "not_sent"
    """It was never sent: sending it again cannot create a duplicate."""
    REJECTED = "rejected"
    """LeadSquared answered and did not accept it."""
    UNKNOWN = "unknown"
    """It was sent, and may have arrived."""


class Fault(StrEnum):
    """Who has to act before the call can succeed."""

    LEAD = "lead"
    """The author of the lead: it is invalid, or LeadSquared rejected it."""
    ACCOUNT = "account"
    """The operator of the account: keys, host, permissions, proxy or quota."""
    LIMIT = "limit"
    """Nobody: the account is over its rate limit, and a later call succeeds."""
    SERVER = "server"
    """LeadSquared, or the network: a later call may succeed."""


class Scope(StrEnum):
    """What else an error affects: which other calls would fail in the same way."""

    LEAD = "lead"
    """No other call: the error is about this lead or RequestID."""
    OPERATION = "operation"
    """Other calls of the same operation, such as all captures."""
    ACCOUNT = "account"
    """Every call of the account, or of this client."""
    SERVER = "server"
    """Every call to this host, since it cannot be reached."""


def join(deliveries: Iterable[Delivery]) -> Delivery:
    """The delivery of a whole call, from those of its attempts.

    Accepted if any attempt was; else unknown if any was; else rejected if any was; else not sent.
    """
    seen = set(deliveries)
    for delivery in (Delivery.ACCEPTED, Delivery.UNKNOWN, Delivery.REJECTED):
        if delivery in seen:
            return delivery
    return Delivery.NOT_SENT


class Facts(TypedDict, total=False):
    """The attributes of every error; see `LeadSquaredError`."""

    delivery: Delivery
    fault: Fault | None
    scope: Scope | None
    attempts: int
    waited: float
    operation: str | None
    reference: str | None
    safe_to_retry: bool
    summary: str


class LeadSquaredError(Exception):
    """The root of every error of this package.

    Attributes:
        message: the text that `str` shows, on one line; an attribute, so that serialisers include it.
        summary: what happened, on one line, without any text of LeadSquared.
        delivery: whether the lead may have arrived, over all attempts of the call.
        fault: who has to act; None for the calling code (a closed client, its own deadline).
        scope: which other calls would fail in the same way; None if it affects no others.
        attempts: how many attempts were made.
        waited: seconds spent waiting for the rate limit and between attempts.
        operation: what was called, such as "leads.capture".
        reference: the caller's own id for the lead, as it was passed.
        safe_to_retry: whether sending it again unchanged may succeed and cannot create a duplicate.
    """

    def __init__(self, message: str = "", **facts: Unpack[Facts]) -> None:
        self.message = one_line(message)
        super().__init__(self.message)
        self.summary = one_line(facts.get("summary") or self.message)
        self.delivery = facts.get("delivery", Delivery.NOT_SENT)
        self.fault = facts.get("fault")
        self.scope = facts.get("scope")
        self.attempts = facts.get("attempts", 0)
        self.waited = facts.get("waited", 0.0)
        self.operation = facts.get("operation")
        self.reference = facts.get("reference")
        self.safe_to_retry = facts.get("safe_to_retry", False)


class ConfigurationError(LeadSquaredError, ValueError):
    """An option, a key or an argument is invalid. Nothing was sent."""


class InvalidLead(LeadSquaredError, ValueError):
    """The lead cannot be encoded unambiguously. Nothing was sent.

    Attributes:
        attribute: the invalid schema name; None for the lead as a whole, or a name that may be personal.
    """

    def __init__(self, message: str = "", *, attribute: str | None = None) -> None:
        super().__init__(message, fault=Fault.LEAD, scope=Scope.LEAD)
        self.attribute = attribute


class ClientClosed(LeadSquaredError, RuntimeError):
    """The client was used before entering, after closing, from another event loop or after a fork."""

    def __init__(self, message: str = "", **facts: Unpack[Facts]) -> None:
        super().__init__(message, **(Facts(scope=Scope.ACCOUNT) | facts))


class DeadlineExceeded(LeadSquaredError):
    """The whole call did not end within its `deadline`; its cause is the last attempt's error, if any."""


class StillProcessing(LeadSquaredError):
    """A wait ended before LeadSquared finished. The request has not failed: it is still queued.

    Call `leads.wait` again with the same `request_id` to continue.

    Attributes:
        request_id: the request that was followed.
        last_status: the last status that was fetched, if any.
    """

    def __init__(
        self,
        message: str = "",
        *,
        request_id: str = "",
        last_status: RequestStatus | None = None,
        **facts: Unpack[Facts],
    ) -> None:
        super().__init__(message, **facts)
        self.request_id = request_id
        self.last_status = last_status


class OutboxError(LeadSquaredError):
    """The outbox's file cannot be used, or cannot store a lead. Nothing was sent."""


class OutboxFull(OutboxError):
    """The outbox's file has reached `max_bytes`. This lead was not stored."""


class KeyReused(OutboxError, ValueError):
    """The key already belongs to another lead. This one was not stored."""


class ConnectionFailed(LeadSquaredError):
    """No answer: the connection failed."""


class Timeout(ConnectionFailed):
    """No answer within `timeout` seconds."""


class APIError(LeadSquaredError):
    """LeadSquared, or its gateway, answered with an error.

    Attributes:
        status_code: the HTTP status.
        exception_type: LeadSquared's ExceptionType, such as "MXUnknownAttributeException".
        exception_message: LeadSquared's ExceptionMessage, unchanged; may contain personal data.
        body: the answer as text, at most 1 MB; may contain personal data.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int | None = None,
        exception_type: str | None = None,
        exception_message: str | None = None,
        body: str | None = None,
        **facts: Unpack[Facts],
    ) -> None:
        super().__init__(message, **facts)
        self.status_code = status_code
        self.exception_type = exception_type
        self.exception_message = exception_message
        self.body = body


class BadRequest(APIError):
    """LeadSquared cannot read the body (400), or it is too large (413)."""


class AuthenticationFailed(APIError):
    """The keys are wrong, or belong to another region (401, or an MX body about authentication)."""


class Forbidden(APIError):
    """The gateway rejected the call (403): check the x-api-key."""


class NotFound(APIError):
    """Unknown RequestID or path (404)."""


class NoSuchPath(NotFound):
    """The path does not exist on this host (the gateway's "Missing Authentication Token")."""


class Rejected(APIError):
    """LeadSquared rejected this lead permanently; its MX... exception has the reason."""

    @staticmethod
    def of(status: RequestStatus) -> Rejected | None:
        """The error of a request that failed in processing, such as `Duplicate`; None unless it failed.

        Example:
            if (error := Rejected.of(await lsq.leads.wait(receipt))) is not None:
                raise error
        """
        return rejected_later(status.reason) if status.is_final and not status.succeeded else None


class Duplicate(Rejected):
    """Another lead has the same value in a unique field, such as EmailAddress (MXDuplicateEntryException).

    Or the e-mail address belongs to one lead, and the phone number to another. Find that lead with
    `leads.find`, then update it, or leave the field out.
    """


class RateLimited(APIError):
    """The account is over its rate limit (429)."""


class QuotaExceeded(RateLimited):
    """The account's daily quota of calls is used up."""


class ServerError(APIError):
    """LeadSquared failed (5xx), or sent an invalid answer."""


_EXCEPTION = re.compile(r"\s*(MX[A-Za-z]{3,80}|[A-Z][A-Za-z]{0,70}Exception)\b", re.ASCII)


def exception_in(reason: str | None) -> str | None:
    """LeadSquared's name of the exception that a reason begins with."""
    match = _EXCEPTION.match(reason or "")
    return None if match is None else match[1]


DUPLICATE = "MXDuplicateEntryException"
ABOUT_DUPLICATE = (
    "another lead has the same value in a unique field. Find that lead with leads.find, then update it with "
    "leads.update, or leave the field out"
)


def rejected_later(reason: str | None) -> Rejected:
    """The error of a request that LeadSquared accepted and then rejected in processing.

    Args:
        reason: LeadSquared's words, such as "MXDuplicateEntryException: ..."; they are not in the message.
    """
    name = exception_in(reason)
    kind, what = (
        (Duplicate, f": {ABOUT_DUPLICATE}") if (name or "").upper() == DUPLICATE.upper() else (Rejected, "")
    )
    said = (reason or "").strip().removeprefix(name or "").removeprefix(":").strip()
    return kind(
        f"LeadSquared accepted it, and then rejected it{what}",
        exception_type=name,
        exception_message=said or None,
        delivery=Delivery.ACCEPTED,
        fault=Fault.LEAD,
        scope=Scope.LEAD,
    )


def kind_of_error(error: BaseException) -> str:
    """LeadSquared's name of the exception, else ours."""
    return exception_in(getattr(error, "exception_type", None)) or type(error).__name__

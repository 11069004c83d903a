"""`make_error`: errors as the client raises them, for tests that replace the client with a mock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, Unpack

from leadsquared_async import errors
from leadsquared_async.errors import Delivery, Facts, Fault, LeadSquaredError, Scope
from leadsquared_async.models import RequestStatus

__all__ = ["ErrorFacts", "make_error"]

E = TypeVar("E", bound=LeadSquaredError)


class ErrorFacts(Facts, total=False):
    """The attributes of all errors; an error has those of its class."""

    status_code: int | None
    exception_type: str | None
    exception_message: str | None
    body: str | None
    attribute: str | None
    request_id: str
    last_status: RequestStatus | None


def make_error(kind: type[E], /, message: str | None = None, **facts: Unpack[ErrorFacts]) -> E:
    """An error like those that `leads.capture` or the outbox raises.

    `RateLimited` is raised as the cause of a `DeadlineExceeded` only.

    Example:
        lsq.leads.capture.side_effect = make_error(Rejected, reference="form-4711")

    Args:
        kind: the class of the error.
        message: its text; by default one like the client's.
        facts: attributes to set, in place of the usual ones of such an error.

    Raises:
        TypeError: the error has no such attribute.
    """
    text, known = "", ErrorFacts(operation="leads.capture")
    for base in reversed(kind.__mro__):
        if base in _USUAL:
            text, usual = _USUAL[base]
            known |= usual
    error = kind(text if message is None else message)
    for name, value in (known | facts).items():
        if not hasattr(error, name):
            raise TypeError(f"{kind.__name__} has no attribute {name!r}")
        setattr(error, name, value)
    return error


_OF_THE_ACCOUNT = ErrorFacts(fault=Fault.ACCOUNT, scope=Scope.ACCOUNT)
_OF_THE_LEAD = ErrorFacts(fault=Fault.LEAD, scope=Scope.LEAD)
_AFTER_SIX = ErrorFacts(fault=Fault.SERVER, safe_to_retry=True, attempts=6, waited=7.5)
_OF_THE_SERVER = _AFTER_SIX | ErrorFacts(scope=Scope.OPERATION, delivery=Delivery.UNKNOWN)
_OF_THE_CONNECTION = _AFTER_SIX | ErrorFacts(scope=Scope.SERVER, delivery=Delivery.NOT_SENT)

_USUAL: Mapping[type, tuple[str, ErrorFacts]] = {
    errors.ConfigurationError: ("timeout must be a number of seconds above 0", {"operation": None}),
    errors.InvalidLead: (
        "mx_City: cannot encode object. Pass a string.",
        {**_OF_THE_LEAD, "attribute": "mx_City"},
    ),
    errors.ClientClosed: (
        "this client is closed: its `async with` block has ended",
        {"scope": Scope.ACCOUNT, "operation": None},
    ),
    errors.DeadlineExceeded: (
        "leads.capture: deadline of 10 s exceeded before another attempt. Not sent.",
        {**_OF_THE_CONNECTION, "attempts": 3},
    ),
    errors.StillProcessing: (
        "leads.capture: the request is not finished after 10 s: it was accepted and is still queued",
        {"delivery": Delivery.ACCEPTED, "request_id": "7d0a4d3c-0f3e-4a53-9d6b-5a1b6a0c9e11"},
    ),
    errors.OutboxError: ("the outbox cannot be written: the disk is full", {"operation": None}),
    errors.OutboxFull: ("the outbox has reached its max_bytes", {}),
    errors.KeyReused: ("the key already belongs to another lead: use a new key for each lead", {}),
    errors.ConnectionFailed: ("leads.capture: no connection. Not sent.", _OF_THE_CONNECTION),
    errors.Timeout: ("leads.capture: no answer within 30 s. It may have arrived.", _OF_THE_SERVER),
    errors.APIError: (
        "leads.capture: unexpected redirect (307). Not accepted.",
        {
            "fault": Fault.ACCOUNT,
            "scope": Scope.OPERATION,
            "delivery": Delivery.REJECTED,
            "attempts": 1,
            "status_code": 307,
            "body": "",
        },
    ),
    errors.BadRequest: (
        "leads.capture: LeadSquared cannot read the body (400). Not accepted.",
        {**_OF_THE_LEAD, "status_code": 400},
    ),
    errors.AuthenticationFailed: (
        "leads.capture: LeadSquared does not accept the keys. Not accepted.",
        {
            **_OF_THE_ACCOUNT,
            "status_code": 401,
            "exception_type": "MXUnAuthorizedAccessException",
            "exception_message": "Invalid AccessKey or SecretKey",
        },
    ),
    errors.Forbidden: (
        "leads.capture: the gateway rejected the call (403): check the x-api-key. Not accepted.",
        {**_OF_THE_ACCOUNT, "status_code": 403},
    ),
    errors.NotFound: (
        "leads.capture: unknown path or RequestID (404): check the host. Not accepted.",
        {"status_code": 404},
    ),
    errors.NoSuchPath: (
        "leads.capture: the path does not exist on this host: check the host. Not accepted.",
        {"status_code": 403},
    ),
    errors.Rejected: (
        "leads.capture: LeadSquared rejected the lead: MXInvalidInputException. Not accepted.",
        {
            **_OF_THE_LEAD,
            "status_code": 500,
            "exception_type": "MXInvalidInputException",
            "exception_message": "Invalid SearchBy value provided",
        },
    ),
    errors.Duplicate: (
        f"leads.capture: LeadSquared rejected the lead: {errors.ABOUT_DUPLICATE}. Not accepted.",
        {
            "exception_type": "MXDuplicateEntryException",
            "exception_message": "A Lead with same Email already exists.",
        },
    ),
    errors.RateLimited: (
        "leads.capture: the account is over its rate limit (429). Not accepted.",
        {
            "fault": Fault.LIMIT,
            "scope": None,
            "safe_to_retry": True,
            "status_code": 429,
            "exception_type": "MXAPIRateLimitExceededException",
            "exception_message": "API calls exceeded the limit of 25 in 5 second(s)",
        },
    ),
    errors.QuotaExceeded: (
        "leads.capture: the account's daily quota of calls is used up. Not accepted.",
        {**_OF_THE_ACCOUNT, "safe_to_retry": False, "exception_type": None, "exception_message": None},
    ),
    errors.ServerError: (
        "leads.capture: LeadSquared failed (503). It may have arrived.",
        {**_OF_THE_SERVER, "status_code": 503},
    ),
}
"""The text of each error and what differs from its base class; tests compare both with the client."""

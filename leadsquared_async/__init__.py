"""An asyncio client for LeadSquared's Async API that keeps to its limit and loses no lead."""

from typing import TYPE_CHECKING, Any

from leadsquared_async._version import __version__
from leadsquared_async.batch import CaptureResult, Results, WaitResult
from leadsquared_async.client import LeadSquared
from leadsquared_async.config import Credentials, RateLimit, RetryPolicy, Secret
from leadsquared_async.errors import (
    APIError,
    AuthenticationFailed,
    BadRequest,
    ClientClosed,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    Delivery,
    Fault,
    Forbidden,
    InvalidLead,
    KeyReused,
    LeadSquaredError,
    NotFound,
    OutboxError,
    OutboxFull,
    QuotaExceeded,
    RateLimited,
    Rejected,
    ServerError,
    StillProcessing,
    Timeout,
)
from leadsquared_async.models import QueueMetrics, Receipt, RequestState, RequestStatus
from leadsquared_async.sending.bucket import Lane, LimitSnapshot
from leadsquared_async.sending.session import Snapshot

if TYPE_CHECKING:
    from leadsquared_async.outbox import ItemState, Outbox, OutboxEntry, OutboxItem, OutboxSnapshot, Ticket

__all__ = [
    "APIError",
    "AuthenticationFailed",
    "BadRequest",
    "CaptureResult",
    "ClientClosed",
    "ConfigurationError",
    "ConnectionFailed",
    "Credentials",
    "DeadlineExceeded",
    "Delivery",
    "Fault",
    "Forbidden",
    "InvalidLead",
    "ItemState",
    "KeyReused",
    "Lane",
    "LeadSquared",
    "LeadSquaredError",
    "LimitSnapshot",
    "NotFound",
    "Outbox",
    "OutboxEntry",
    "OutboxError",
    "OutboxFull",
    "OutboxItem",
    "OutboxSnapshot",
    "QueueMetrics",
    "QuotaExceeded",
    "RateLimit",
    "RateLimited",
    "Receipt",
    "Rejected",
    "RequestState",
    "RequestStatus",
    "Results",
    "RetryPolicy",
    "Secret",
    "ServerError",
    "Snapshot",
    "StillProcessing",
    "Ticket",
    "Timeout",
    "WaitResult",
    "__version__",
]

_OUTBOX = frozenset({"ItemState", "Outbox", "OutboxEntry", "OutboxItem", "OutboxSnapshot", "Ticket"})


def __getattr__(name: str) -> Any:
    """The outbox brings sqlite3 and filelock: only for those who use it."""
    if name not in _OUTBOX:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from leadsquared_async import outbox  # noqa: PLC0415
    except ImportError as error:
        if error.name != "filelock":
            raise
        raise ImportError("the outbox needs filelock: install leadsquared_async with [outbox]") from error
    return getattr(outbox, name)

"""An asyncio client for LeadSquared's Async API that keeps to its limit and loses no lead."""

from leadsquared_async._version import __version__
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
    LeadSquaredError,
    NotFound,
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

__all__ = [
    "APIError",
    "AuthenticationFailed",
    "BadRequest",
    "ClientClosed",
    "ConfigurationError",
    "ConnectionFailed",
    "Credentials",
    "DeadlineExceeded",
    "Delivery",
    "Fault",
    "Forbidden",
    "InvalidLead",
    "Lane",
    "LeadSquared",
    "LeadSquaredError",
    "LimitSnapshot",
    "NotFound",
    "QueueMetrics",
    "QuotaExceeded",
    "RateLimit",
    "RateLimited",
    "Receipt",
    "Rejected",
    "RequestState",
    "RequestStatus",
    "RetryPolicy",
    "Secret",
    "ServerError",
    "Snapshot",
    "StillProcessing",
    "Timeout",
    "__version__",
]

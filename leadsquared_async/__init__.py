"""An asyncio client for LeadSquared's Async API that respects the rate limit and loses no lead."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from leadsquared_async._version import __version__

if TYPE_CHECKING:
    from leadsquared_async import submissions
    from leadsquared_async.client import LeadSquared
    from leadsquared_async.config import Credentials, RateLimit, RetryPolicy, Secret
    from leadsquared_async.contact import phone
    from leadsquared_async.errors import (
        APIError,
        AuthenticationFailed,
        BadRequest,
        ClientClosed,
        ConfigurationError,
        ConnectionFailed,
        DeadlineExceeded,
        Delivery,
        Duplicate,
        Fault,
        Forbidden,
        InvalidLead,
        KeyReused,
        LeadSquaredError,
        NoSuchPath,
        NotFound,
        OutboxError,
        OutboxFull,
        QuotaExceeded,
        RateLimited,
        Rejected,
        Scope,
        ServerError,
        StillProcessing,
        Timeout,
    )
    from leadsquared_async.events import Event
    from leadsquared_async.http.session import Snapshot
    from leadsquared_async.limiter.interface import Limiter, LimitSnapshot
    from leadsquared_async.limiter.lanes import Lane
    from leadsquared_async.limiter.redis_limits import SharedLimiter
    from leadsquared_async.models import QueueMetrics, Receipt, RequestState, RequestStatus
    from leadsquared_async.outbox import ItemState, Outbox, OutboxItem, OutboxSnapshot, Ticket
    from leadsquared_async.resources.account_report import AccountCheck, AccountReport
    from leadsquared_async.resources.lead_search import FoundLead
    from leadsquared_async.results import Result, Results
    from leadsquared_async.submissions import Submission

import_module("leadsquared_async.limiter.lock")  # first: it determines what a fork calls last

__all__ = [
    "APIError",
    "AccountCheck",
    "AccountReport",
    "AuthenticationFailed",
    "BadRequest",
    "ClientClosed",
    "ConfigurationError",
    "ConnectionFailed",
    "Credentials",
    "DeadlineExceeded",
    "Delivery",
    "Duplicate",
    "Event",
    "Fault",
    "Forbidden",
    "FoundLead",
    "InvalidLead",
    "ItemState",
    "KeyReused",
    "Lane",
    "LeadSquared",
    "LeadSquaredError",
    "LimitSnapshot",
    "Limiter",
    "NoSuchPath",
    "NotFound",
    "Outbox",
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
    "Result",
    "Results",
    "RetryPolicy",
    "Scope",
    "Secret",
    "ServerError",
    "SharedLimiter",
    "Snapshot",
    "StillProcessing",
    "Submission",
    "Ticket",
    "Timeout",
    "__version__",
    "phone",
    "submissions",
]

_HOMES = (
    *("errors", "config", "models", "results", "submissions", "limiter.lanes", "limiter.interface"),
    *("http.session", "client"),
)
"""The modules of the names, those first that import least."""
_OPTIONAL = {
    "outbox": ("ItemState", "Outbox", "OutboxItem", "OutboxSnapshot", "Ticket"),
    "contact": ("phone",),
    "events": ("Event",),
    "limiter.redis_limits": ("SharedLimiter",),
    "resources.account_report": ("AccountCheck", "AccountReport"),
    "resources.lead_search": ("FoundLead",),
}
"""The names of modules that few need; the outbox needs sqlite3."""


def __getattr__(name: str) -> Any:
    """Import a name on first use; pytest imports this package in every project, for its plugin."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "submissions":
        return import_module(f"{__name__}.submissions")
    homes = [module for module, names in _OPTIONAL.items() if name in names] or _HOMES
    modules = (import_module(f"{__name__}.{home}") for home in homes)
    value = globals()[name] = next(getattr(module, name) for module in modules if name in module.__all__)
    return value


def __dir__() -> list[str]:
    return __all__

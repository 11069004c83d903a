"""`make_result` and `make_results`: results of the client, for tests that replace the client with a mock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from leadsquared_async.config import RateLimit
from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.errors import LeadSquaredError
from leadsquared_async.fields import ProblemKind
from leadsquared_async.models import RequestState
from leadsquared_async.results import Result, Results

__all__ = ["make_result", "make_results"]

R = TypeVar("R")
T = TypeVar("T")


def make_result(kind: type[R], /, **values: Any) -> R:
    """A result of a successful call, with any values that you pass.

    Example:
        lsq.leads.wait.return_value = make_result(RequestStatus, state=RequestState.FAILED)

    Args:
        kind: the class of the result, such as `Receipt`.
        values: fields to set. The other fields of a `RequestStatus` match its `state`.

    Raises:
        TypeError: `kind` is not the class of a result, or has no such field.
    """
    usual = _USUAL.get(kind.__name__)
    if usual is None:
        raise TypeError(f"{kind.__name__} is not a result: choose from {', '.join(_USUAL)}")
    if kind.__name__ == "RequestStatus":
        usual = {**usual, **_BY_STATE[values.get("state", RequestState.SUCCEEDED)]}
    return kind(**{**usual, **values})


def make_results(results: Iterable[Result[T]] = (), error: LeadSquaredError | None = None) -> Results[T]:
    """The results of many calls, as `capture_many` returns them.

    Example:
        lsq.leads.capture_many.return_value = make_results([make_result(Result, item=lead)])

    Args:
        results: the result of each item.
        error: raised by the iteration after the last result, such as an account-level error.
    """
    return _Made(results, error)


class _Made(Results[T]):
    def __init__(self, results: Iterable[Result[T]], error: LeadSquaredError | None) -> None:
        self._results = iter(results)
        self._error = error

    async def __anext__(self) -> Result[T]:
        for result in self._results:
            return result
        raise self._error or StopAsyncIteration

    async def __aexit__(self, *exc_info: object) -> None: ...


_IDS = {"request_id": "7d0a4d3c-0f3e-4a53-9d6b-5a1b6a0c9e11"}
_LEAD = {"lead_id": "2c9f8e41-6b57-4d0a-8a3f-1e2d3c4b5a69"}
_MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_BY_STATE: Mapping[RequestState, Mapping[str, Any]] = {
    RequestState.SUCCEEDED: {"raw_state": "Success", "is_final": True, "created": True, **_LEAD},
    RequestState.FAILED: {
        "raw_state": "FAILURE",
        "is_final": True,
        "reason": "MXDuplicateEntryException: A Lead with same Email already exists.",
    },
    RequestState.QUEUED: {"raw_state": "In-Queue", "is_final": False},
    RequestState.OTHER: {"raw_state": "Paused", "is_final": False},
}

_USUAL: Mapping[str, Mapping[str, Any]] = {
    "Receipt": {**_IDS, "attempts": 1, "waited": 0.0},
    "RequestStatus": {**_IDS, "state": RequestState.SUCCEEDED, "task_type": "Lead Capture"},
    "Result": {"index": 0, "item": None},
    "QueueMetrics": {"pending": 0, "max_delay": 0.0, "rate_per_minute": 6000.0},
    "Snapshot": {"limit": None, "bulk_limit": None, "abandoned": 0},
    "LimitSnapshot": {
        "limit": RateLimit(25, per=5.0),
        "declared": RateLimit(25, per=5.0),
        "ceiling": None,
        "free": 25,
        "in_flight": 0,
        "withdrawn": 0,
        "next_due": None,
        "paused": 0.0,
    },
    "AccountCheck": {"name": "keys", "verdict": "ok", "detail": "the keys are valid"},
    "AccountReport": {"checks": ()},
    "FoundLead": {"id": _LEAD["lead_id"], "fields": {"ProspectID": _LEAD["lead_id"], "FirstName": "Bret"}},
    "LeadField": {"schema_name": "mx_City", "display_name": "City", "data_type": "Text"},
    "FieldProblem": {
        "attribute": "mx_Ctiy",
        "kind": ProblemKind.UNKNOWN,
        "message": "no field of this account has this name",
        "suggestion": "mx_City",
    },
    "Ticket": {"id": 1, "key": None, "is_new": True, "state": ItemState.PENDING},
    "OutboxItem": {
        "id": 1,
        "key": None,
        "reference": None,
        "operation": "leads.capture",
        "state": ItemState.CONFIRMED,
        "lead": None,
        "details": None,
        "is_erased": True,
        "put_at": _MOMENT,
        "changed_at": _MOMENT,
        "attempts": 1,
        "created": True,
        "reason": None,
        **_IDS,
        **_LEAD,
    },
    "OutboxSnapshot": {
        "counts": dict.fromkeys(ItemState, 0),
        "oldest": None,
        "blocked": None,
        "fault": None,
        "next_probe": None,
        "delivers": True,
        "file_system": "ext4",
        "size": 4096,
        "max_bytes": 1_000_000_000,
    },
    "TaskOutcome": {"operation": "leads.capture", "state": ItemState.CONFIRMED, **_IDS, **_LEAD},
}
"""By the name of the class, since not every installation has all of them."""

"""The tree of errors, what each carries, and what none of them shows."""

from __future__ import annotations

import builtins
import copy
import importlib
import itertools
import pickle
import pkgutil
from typing import Any

import pytest

import leadsquared_async
from leadsquared_async import (
    Delivery,
    Fault,
    InvalidLead,
    Lane,
    LeadSquaredError,
    LimitSnapshot,
    QueueMetrics,
    RateLimit,
    Receipt,
    RequestState,
    RequestStatus,
    RetryPolicy,
    Scope,
    Snapshot,
)
from leadsquared_async.delivery.item_retries import UnforeseenError
from leadsquared_async.errors import Facts, join
from leadsquared_async.outbox.file_account import OtherAccountError
from leadsquared_async.outbox.rows import UnreadableRowError

TREE = """
LeadSquaredError: Exception
ConfigurationError: LeadSquaredError ValueError
InvalidLead: LeadSquaredError ValueError
ClientClosed: LeadSquaredError RuntimeError
DeadlineExceeded: LeadSquaredError
StillProcessing: LeadSquaredError
OutboxError: LeadSquaredError
OutboxFull: OutboxError
KeyReused: OutboxError ValueError
ConnectionFailed: LeadSquaredError
Timeout: ConnectionFailed
APIError: LeadSquaredError
BadRequest: APIError
AuthenticationFailed: APIError
Forbidden: APIError
NotFound: APIError
NoSuchPath: NotFound
Rejected: APIError
Duplicate: Rejected
RateLimited: APIError
QuotaExceeded: RateLimited
ServerError: APIError
"""
PARENTS = {name: parents.split() for name, parents in (row.split(": ") for row in TREE.split("\n") if row)}
CLASSES: dict[str, Any] = {name: getattr(leadsquared_async, name) for name in PARENTS}


def descendants(kind: type[BaseException]) -> set[type[BaseException]]:
    children = kind.__subclasses__()
    return {kind}.union(*(descendants(child) for child in children))


@pytest.mark.parametrize("name", PARENTS)
def test_where_an_error_stands(name: str) -> None:
    """Each error has its documented parents, and its own name among the exports."""
    assert name in leadsquared_async.__all__
    parents = [CLASSES.get(parent) or getattr(builtins, parent) for parent in PARENTS[name]]
    assert list(CLASSES[name].__bases__) == parents


def test_the_tree_is_whole() -> None:
    """Each error of the package is in the tree, but for three of the outbox: two reach callers as the
    `OutboxError` that they are, the third never."""
    for module in pkgutil.walk_packages(leadsquared_async.__path__, "leadsquared_async."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    inside = {
        kind for kind in descendants(LeadSquaredError) if kind.__module__.startswith("leadsquared_async")
    }
    assert inside - set(CLASSES.values()) == {UnreadableRowError, OtherAccountError, UnforeseenError}
    assert UnreadableRowError.__bases__ == OtherAccountError.__bases__ == (CLASSES["OutboxError"],)
    assert set(CLASSES.values()) < inside


def test_the_words_that_are_stored() -> None:
    """Delivery, fault and scope are plain words, that logs, rows and JSON keep."""
    assert [str(delivery) for delivery in Delivery] == ["accepted", "not_sent", "rejected", "unknown"]
    assert [str(fault) for fault in Fault] == ["lead", "account", "limit", "server"]
    assert [str(scope) for scope in Scope] == ["lead", "operation", "account", "server"]
    assert [str(state) for state in RequestState] == ["queued", "succeeded", "failed", "other"]


FACTS = Facts(
    delivery=Delivery.UNKNOWN,
    fault=Fault.SERVER,
    scope=Scope.OPERATION,
    safe_to_retry=True,
    attempts=3,
    waited=1.5,
    operation="leads.capture",
    reference="form-4711",
)
STATUS = RequestStatus(
    request_id="5a8f9f0e",
    state=RequestState.FAILED,
    raw_state="ERROR",
    is_final=False,
    reason="because",
    lead_id="1",
    activity_id="2",
    created=True,
    task_type="Lead Capture",
    message={"Status": "Error", "Message": [1]},
    request_body="[]",
)
OWN: dict[str, dict[str, Any]] = {
    "InvalidLead": {"attribute": "mx_KYC.Status"},
    "StillProcessing": {"request_id": "5a8f9f0e", "last_status": STATUS},
    "APIError": {
        "status_code": 500,
        "exception_type": "MXDuplicateEntryException",
        "exception_message": "A Lead with same Email already exists.",
        "body": "{}",
    },
}


def own(kind: type[Any]) -> dict[str, Any]:
    return {name: value for base in kind.__mro__ for name, value in OWN.get(base.__name__, {}).items()}


def filled(kind: type[Any]) -> Any:
    facts = {} if kind is InvalidLead else FACTS
    return kind("leads.capture: it failed", **own(kind), **facts)


ROUND_TRIPS = [copy.copy, copy.deepcopy] + [
    lambda thing, protocol=protocol: pickle.loads(pickle.dumps(thing, protocol))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
]


@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
@pytest.mark.parametrize("name", CLASSES)
def test_errors_survive_pickling_and_copying(name: str, round_trip: Any) -> None:
    """An error that crosses to another process says there all that it said here."""
    error = filled(CLASSES[name])
    error.add_note("seen in row 7")
    again = round_trip(error)
    assert type(again) is type(error)
    assert again is not error
    assert (again.args, vars(again), str(again)) == (error.args, vars(error), str(error))
    for attribute, value in {**own(CLASSES[name]), **({} if name == "InvalidLead" else FACTS)}.items():
        assert getattr(again, attribute) == value


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_made_without_facts(name: str) -> None:
    """Without facts nothing was sent; only a lead that cannot be encoded is the lead's fault."""
    error = CLASSES[name]()
    assert (error.delivery, error.attempts, error.waited) == (Delivery.NOT_SENT, 0, 0.0)
    assert (error.operation, error.reference) == (None, None)
    assert error.fault is (Fault.LEAD if name == "InvalidLead" else None)


@pytest.mark.parametrize("name", CLASSES)
def test_what_an_error_carries_is_not_shown(name: str) -> None:
    """Message, args and repr hold the message alone, as does JSON that is made of its attributes; what may be
    personal is reached by name."""
    error = filled(CLASSES[name])
    assert error.args == ("leads.capture: it failed",)
    assert str(error) == error.message == vars(error)["message"] == "leads.capture: it failed"
    assert repr(error) == f"{name}('leads.capture: it failed')"
    assert CLASSES[name]().message == ""


@pytest.mark.parametrize(
    "text", ["two\nlines", "\x1b[2J", "\u202ex", "\ud800", "\u2028", "x" * 500_000], ids=ascii
)
@pytest.mark.parametrize("name", CLASSES)
def test_an_error_is_one_line(name: str, text: str) -> None:
    """Whatever of other people's text a message repeats."""
    error = CLASSES[name](f"leads.capture: {text}")
    for shown in (str(error), error.message, repr(error), *error.args):
        assert shown.isprintable()
        assert len(shown) < 1100


RESULTS = [
    Receipt("5a8f9f0e", 1, 0.5, "form-4711"),
    STATUS,
    QueueMetrics(1, 2.0, 24.8),
    RateLimit(10, 5.0, 0.04),
    RetryPolicy(attempts=2, unknown="never"),
    Snapshot(
        LimitSnapshot(
            limit=RateLimit(10),
            declared=RateLimit(25),
            ceiling="said so",
            free=1,
            in_flight=2,
            withdrawn=3,
            waiting={Lane.BATCH: 4},
            next_due=None,
            paused=0.0,
            granted=5,
            rate_limited=6,
        ),
        bulk_limit=None,
        abandoned=0,
    ),
]


@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_results_survive_pickling_and_copying(result: Any, round_trip: Any) -> None:
    """Results are values: they cross to another process, compare equal, and do not change."""
    again = round_trip(result)
    assert again == result
    assert type(again) is type(result)
    for attribute in result.__dataclass_fields__:
        with pytest.raises(AttributeError):
            setattr(again, attribute, None)


LANDED = {Delivery.ACCEPTED, Delivery.UNKNOWN}


@pytest.mark.parametrize(
    "attempts", [deliveries for size in (1, 2, 3) for deliveries in itertools.product(Delivery, repeat=size)]
)
def test_the_delivery_of_a_whole_call(attempts: tuple[Delivery, ...]) -> None:
    """Accepted over unknown over rejected over not sent, in any order: what may have landed stays said."""
    whole = join(attempts)
    order = [Delivery.ACCEPTED, Delivery.UNKNOWN, Delivery.REJECTED, Delivery.NOT_SENT]
    assert whole is min(attempts, key=order.index)
    assert (whole in LANDED) is bool(LANDED.intersection(attempts))
    assert join([join(attempts[:1]), join(attempts[1:] or attempts[:1])]) is whole


def test_no_attempt_is_not_sent() -> None:
    """A call that never got as far as an attempt was not sent."""
    assert join([]) is Delivery.NOT_SENT
    assert join(iter([Delivery.REJECTED])) is Delivery.REJECTED

"""When a call is retried, and after which pause."""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import AsyncRetrying, RetryCallState

from leadsquared_async import Delivery, Fault, Rejected, RetryPolicy, Scope, ServerError
from leadsquared_async.http.run import Attempt, retrying
from leadsquared_async.operations import Idempotency
from leadsquared_async.protocol import Outcome, RetryHint
from leadsquared_async.retry import may_retry, without_attempts_left


def outcome(
    delivery: Delivery = Delivery.NOT_SENT, retry: RetryHint = RetryHint.YES, **fields: Any
) -> Outcome:
    return Outcome(delivery, Fault.SERVER, Scope.OPERATION, retry, ServerError, "it failed", **fields)


def allowed(what: Outcome, repeat: Idempotency = Idempotency.NONE, unknown: Any = "safe") -> bool:
    return may_retry(what, repeat, RetryPolicy(unknown=unknown))


CERTAIN = [Delivery.NOT_SENT, Delivery.REJECTED]


@pytest.mark.parametrize("delivery", list(Delivery))
@pytest.mark.parametrize("repeat", list(Idempotency))
@pytest.mark.parametrize("unknown", ["safe", "always", "never"])
def test_a_final_answer_is_never_retried(delivery: Delivery, repeat: Idempotency, unknown: str) -> None:
    """No option retries a call whose answer says that it would fail again."""
    assert not allowed(outcome(delivery, RetryHint.NO), repeat, unknown)


@pytest.mark.parametrize("delivery", CERTAIN)
@pytest.mark.parametrize("retry", [RetryHint.YES, RetryHint.IF_REPEATABLE])
@pytest.mark.parametrize("repeat", list(Idempotency))
@pytest.mark.parametrize("unknown", ["safe", "always", "never"])
def test_a_call_that_has_not_arrived_is_retried(
    delivery: Delivery, retry: RetryHint, repeat: Idempotency, unknown: str
) -> None:
    """A call that was not accepted cannot be doubled, so `unknown` has no say in it."""
    assert allowed(outcome(delivery, retry), repeat, unknown)


@pytest.mark.parametrize(
    ("retry", "repeat", "safe", "never"),
    [
        # 500 and 503: the API says that the call failed
        (RetryHint.YES, Idempotency.READ, True, True),
        (RetryHint.YES, Idempotency.MATCHED, True, False),
        (RetryHint.YES, Idempotency.NONE, True, False),
        # 502, 504, timeouts, lost connections: the API says nothing
        (RetryHint.IF_REPEATABLE, Idempotency.READ, True, True),
        (RetryHint.IF_REPEATABLE, Idempotency.MATCHED, True, False),
        (RetryHint.IF_REPEATABLE, Idempotency.NONE, False, False),
    ],
)
def test_a_call_that_may_have_arrived(retry: RetryHint, repeat: Idempotency, safe: bool, never: bool) -> None:
    """The operation decides under "safe"; "always" and "never" override it, but never for a read."""
    what = outcome(Delivery.UNKNOWN, retry)
    assert allowed(what, repeat, "safe") is safe
    assert allowed(what, repeat, "never") is never
    assert allowed(what, repeat, "always")
    assert may_retry(what, repeat, RetryPolicy()) is safe


def after(
    what: Outcome | None = None,
    *,
    number: int = 1,
    counted: int = 1,
    exceptions: int = 0,
    left: float | None = None,
    chance: float = 1.0,
    repeat: Idempotency = Idempotency.NONE,
    **policy: Any,
) -> tuple[AsyncRetrying, RetryCallState]:
    """tenacity's objects after the attempt of that number, with its pause drawn."""

    async def unused(seconds: float) -> None: ...

    rules = retrying(repeat, RetryPolicy(**policy), sleep=unused, before_sleep=lambda state: None)
    state = RetryCallState(rules, None, (), {})
    state.attempt_number = number
    state.set_result(Attempt(what or outcome(), counted, exceptions, left))
    with mock.patch("random.uniform", lambda low, high: low + chance * (high - low)):
        state.upcoming_sleep = rules.wait(state)
    return rules, state


def pause(what: Outcome | None = None, **fields: Any) -> float:
    _, state = after(what, **fields)
    return state.upcoming_sleep


def bound(what: Outcome | None = None, **fields: Any) -> str | None:
    """What rules out another attempt."""
    rules, state = after(what, **fields)
    assert rules.retry_error_callback is not None
    if not rules.stop(state):
        return None
    return "deadline" if rules.retry_error_callback(state).out_of_time else "attempts"


@pytest.mark.parametrize(
    ("number", "upper"),
    [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (6, 16.0), (7, 20.0), (8, 20.0), (5000, 20.0)],
)
def test_pauses_have_full_jitter(number: int, upper: float) -> None:
    """A pause is drawn from 0 to min(base * 2^n, cap): the upper bound doubles until it is the cap."""
    assert pause(number=number) == upper
    assert pause(number=number, chance=0.25) == upper / 4
    assert pause(number=number, chance=0.0) == 0.0


@pytest.mark.parametrize(
    ("asked", "chance", "expected"),
    [(None, 1.0, 0.5), (0.0, 1.0, 0.5), (0.3, 1.0, 0.5), (3.0, 1.0, 3.0), (3.0, 0.0, 3.0), (30.0, 0.5, 30.0)],
)
def test_retry_after_is_a_floor(asked: float | None, chance: float, expected: float) -> None:
    """A Retry-After lengthens a pause, beyond the cap as well, and never shortens it."""
    assert pause(outcome(pause=asked), chance=chance) == expected


@pytest.mark.parametrize(
    ("counted", "expected"), [(1, None), (2, None), (3, "attempts"), (4, "attempts"), (100, "attempts")]
)
def test_attempts_are_bounded(counted: int, expected: str | None) -> None:
    """`attempts` includes the first one."""
    assert bound(counted=counted, attempts=3) == expected


@pytest.mark.parametrize(
    ("counted", "exceptions", "attempts", "expected"),
    [
        (1, 1, 6, None),
        (2, 2, 6, None),
        (3, 3, 6, "attempts"),
        (5, 1, 6, None),
        (6, 1, 6, "attempts"),
        (2, 2, 2, "attempts"),
        (1, 1, 1, "attempts"),
    ],
)
def test_a_dotnet_exception_has_three_attempts(
    counted: int, exceptions: int, attempts: int, expected: str | None
) -> None:
    """Or as many as the policy allows, if those are fewer; other failures do not count."""
    what = outcome(Delivery.UNKNOWN, RetryHint.A_FEW_TIMES)
    assert bound(what, counted=counted, exceptions=exceptions, attempts=attempts) == expected


@pytest.mark.parametrize(("exceptions", "is_rejected"), [(1, False), (2, False), (3, True)])
def test_a_dotnet_exception_that_persists_is_a_rejection(exceptions: int, is_rejected: bool) -> None:
    """Fewer of them may be the outage that the other attempts met."""
    what = outcome(Delivery.UNKNOWN, RetryHint.A_FEW_TIMES, status_code=500)
    last = without_attempts_left(what, exceptions)
    assert is_rejected or last is what
    if is_rejected:
        assert (last.delivery, last.fault, last.scope) == (Delivery.REJECTED, Fault.LEAD, Scope.LEAD)
        assert (last.retry, last.error) == (RetryHint.NO, Rejected)
        assert last.summary == "LeadSquared failed to process it each time (500)"


def test_the_default_policy() -> None:
    """Six attempts, pauses from half a second to twenty, and no lead made twice."""
    policy = RetryPolicy()
    assert (policy.attempts, policy.base, policy.cap, policy.unknown) == (6, 0.5, 20.0, "safe")


@pytest.mark.parametrize(
    ("left", "expected"), [(None, None), (1.0, None), (0.51, None), (0.5, "deadline"), (0.0, "deadline")]
)
def test_no_pause_outlasts_the_deadline(left: float | None, expected: str | None) -> None:
    """A pause that would end at the deadline or later is not begun."""
    assert bound(left=left) == expected


def test_a_429_counts_towards_the_deadline_only() -> None:
    """No number of attempts ends a call that the rate limit rejects."""
    rejected = outcome(Delivery.REJECTED, throttled=True)
    assert bound(rejected, number=1000, counted=1000, attempts=1) is None
    assert pause(rejected, number=1000, counted=1000, attempts=1) == 20.0
    assert bound(rejected, counted=0, left=0.4) == "deadline"


@pytest.mark.parametrize(
    ("asked", "expected"), [(None, None), (60.0, None), (60.1, "attempts"), (3600.0, "attempts")]
)
def test_a_long_retry_after_ends_the_call(asked: float | None, expected: str | None) -> None:
    """With a deadline or without: an outbox holds and says so instead of sleeping in a call; a 429 waits."""
    assert bound(outcome(pause=asked)) == expected
    assert bound(outcome(pause=asked), left=7200.0) == expected
    assert bound(outcome(Delivery.REJECTED, throttled=True, pause=asked)) is None


def test_the_bound_that_an_error_names() -> None:
    """A deadline that has passed goes first; one that only the pause would pass, after the attempts."""
    assert bound(counted=9, left=0.0) == "deadline"
    assert bound(counted=9, left=0.1) == "attempts"
    assert bound(counted=2, left=0.1) == "deadline"
    assert bound(counted=9, left=None) == "attempts"


@settings(max_examples=300, deadline=None)
@given(
    what=st.builds(
        outcome,
        st.sampled_from(Delivery),
        st.sampled_from(RetryHint),
        throttled=st.booleans(),
        pause=st.none() | st.floats(0, 3600),
    ),
    number=st.integers(1, 10_000),
    base=st.floats(0, 1e308),
    cap=st.floats(0, 1e308),
    chance=st.floats(0, 1),
)
def test_any_pause_can_be_slept(what: Outcome, number: int, base: float, cap: float, chance: float) -> None:
    """It is finite, from Retry-After to the larger of Retry-After and cap."""
    floor = what.pause or 0.0
    drawn = pause(what, number=number, base=base, cap=cap, chance=chance)
    assert math.isfinite(drawn)
    assert floor <= drawn <= max(floor, cap)


async def test_an_error_of_the_function_is_raised_at_once() -> None:
    """tenacity retries attempts that ended with an outcome, and nothing else."""
    calls = 0

    async def broken() -> Attempt:
        nonlocal calls
        calls += 1
        raise TypeError

    rules, _ = after()
    with pytest.raises(TypeError):
        await rules(broken)
    assert calls == 1

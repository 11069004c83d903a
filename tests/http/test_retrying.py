"""Is a call made again, and after how long?"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async import Delivery, Fault, RetryPolicy, Scope, ServerError
from leadsquared_async.http.retry import Bound, Decision, Progress, decide
from leadsquared_async.operations import Idempotency
from leadsquared_async.protocol import Again, Outcome

FIRST = Progress(failures=1, counted=1, elapsed=0.0, left=None)


def outcome(delivery: Delivery = Delivery.NOT_SENT, again: Again = Again.YES, **fields: Any) -> Outcome:
    return Outcome(delivery, Fault.SERVER, Scope.OPERATION, again, ServerError, "it failed", **fields)


def decision(
    what: Outcome | None = None,
    repeat: Idempotency = Idempotency.NONE,
    progress: Progress = FIRST,
    chance: float = 1.0,
    **policy: Any,
) -> Decision:
    return decide(what or outcome(), repeat, RetryPolicy(**policy), progress, chance)


CERTAIN = [Delivery.NOT_SENT, Delivery.REJECTED]


@pytest.mark.parametrize("delivery", list(Delivery))
@pytest.mark.parametrize("repeat", list(Idempotency))
@pytest.mark.parametrize("unknown", ["safe", "always", "never"])
def test_what_is_of_no_use_is_never_repeated(delivery: Delivery, repeat: Idempotency, unknown: str) -> None:
    """No option makes a call again whose answer says that it would fare the same."""
    assert decision(outcome(delivery, Again.NO), repeat, unknown=unknown) == Decision(again=False)


@pytest.mark.parametrize("delivery", CERTAIN)
@pytest.mark.parametrize("again", [Again.YES, Again.IF_REPEATABLE])
@pytest.mark.parametrize("repeat", list(Idempotency))
@pytest.mark.parametrize("unknown", ["safe", "always", "never"])
def test_what_has_not_arrived_is_repeated(
    delivery: Delivery, again: Again, repeat: Idempotency, unknown: str
) -> None:
    """A call that was not taken cannot be doubled, so `unknown` has no say in it."""
    assert decision(outcome(delivery, again), repeat, unknown=unknown).again


@pytest.mark.parametrize(
    ("again", "repeat", "safe", "never"),
    [
        # 500 and 503: the API says that the call failed
        (Again.YES, Idempotency.READ, True, True),
        (Again.YES, Idempotency.MATCHED, True, False),
        (Again.YES, Idempotency.NONE, True, False),
        # 502, 504, timeouts, lost connections: nobody says anything
        (Again.IF_REPEATABLE, Idempotency.READ, True, True),
        (Again.IF_REPEATABLE, Idempotency.MATCHED, True, False),
        (Again.IF_REPEATABLE, Idempotency.NONE, False, False),
    ],
)
def test_what_may_have_arrived(again: Again, repeat: Idempotency, safe: bool, never: bool) -> None:
    """The operation decides under "safe"; "always" and "never" override it, but never for a read."""
    what = outcome(Delivery.UNKNOWN, again)
    assert decision(what, repeat, unknown="safe").again is safe
    assert decision(what, repeat, unknown="never").again is never
    assert decision(what, repeat, unknown="always").again
    assert decision(what, repeat).again is safe


@pytest.mark.parametrize(
    ("failures", "upper"),
    [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (6, 16.0), (7, 20.0), (8, 20.0), (5000, 20.0)],
)
def test_pauses_are_full_jitter(failures: int, upper: float) -> None:
    """A pause is drawn from 0 to min(base * 2^n, cap): it doubles, and stops at the cap."""
    progress = Progress(failures, 1, 0.0, None)
    assert decision(progress=progress, chance=1.0).pause == upper
    assert decision(progress=progress, chance=0.25).pause == upper / 4
    assert decision(progress=progress, chance=0.0).pause == 0.0


@pytest.mark.parametrize(
    ("asked", "chance", "pause"),
    [(None, 1.0, 0.5), (0.0, 1.0, 0.5), (0.3, 1.0, 0.5), (3.0, 1.0, 3.0), (3.0, 0.0, 3.0), (30.0, 0.5, 30.0)],
)
def test_retry_after_is_a_floor(asked: float | None, chance: float, pause: float) -> None:
    """A Retry-After lengthens a pause, beyond the cap as well, and never shortens it."""
    assert decision(outcome(pause=asked), chance=chance).pause == pause


@pytest.mark.parametrize(
    ("counted", "bound"),
    [(1, None), (2, None), (3, Bound.ATTEMPTS), (4, Bound.ATTEMPTS), (100, Bound.ATTEMPTS)],
)
def test_attempts_are_bounded(counted: int, bound: Bound | None) -> None:
    """The attempts of the policy are all there are, the first one included."""
    assert decision(progress=Progress(counted, counted, 0.0, None), attempts=3).bound is bound


def test_the_policy_that_nobody_chose() -> None:
    """Six attempts within a minute, pauses from half a second to twenty, and no lead made twice."""
    policy = RetryPolicy()
    assert (policy.attempts, policy.within, policy.base, policy.cap) == (6, 60.0, 0.5, 20.0)
    assert policy.unknown == "safe"


def test_one_attempt_is_none_again() -> None:
    """attempts=1 makes no call twice, and says that it was the bound that forbade it."""
    assert decision(attempts=1) == Decision(again=True, bound=Bound.ATTEMPTS, pause=0.5)


@pytest.mark.parametrize(
    ("elapsed", "chance", "bound"),
    [
        (0.0, 1.0, None),
        (9.5, 1.0, None),
        (9.6, 1.0, Bound.WITHIN),
        (9.6, 0.0, None),
        (10.0, 0.0, None),
        (10.1, 0.0, Bound.WITHIN),
    ],
)
def test_no_attempt_starts_after_within(elapsed: float, chance: float, bound: Bound | None) -> None:
    """An attempt starts within so many seconds of the first one, its own pause included."""
    progress = Progress(1, 1, elapsed, None)
    assert decision(progress=progress, chance=chance, within=10.0).bound is bound


@pytest.mark.parametrize(
    ("left", "bound"), [(None, None), (1.0, None), (0.51, None), (0.5, Bound.DEADLINE), (0.0, Bound.DEADLINE)]
)
def test_no_pause_outlasts_the_deadline(left: float | None, bound: Bound | None) -> None:
    """A pause at whose end the deadline is over is not begun."""
    assert decision(progress=Progress(1, 1, 0.0, left)).bound is bound


def test_refusals_use_up_nothing_but_the_deadline() -> None:
    """A 429 is neither bounded by `attempts` nor by `within`."""
    refused = outcome(Delivery.REJECTED, throttled=True)
    late = Progress(failures=1000, counted=1000, elapsed=1e6, left=None)
    assert decision(refused, progress=late, attempts=1, within=0.0) == Decision(again=True, pause=20.0)
    short = Progress(failures=1, counted=0, elapsed=0.0, left=0.4)
    assert decision(refused, progress=short).bound is Bound.DEADLINE


def test_the_bound_that_is_named() -> None:
    """A deadline that has passed goes first; one that only the pause would pass, after the others."""
    assert decision(progress=Progress(9, 9, 99.0, 0.0)).bound is Bound.DEADLINE
    assert decision(progress=Progress(9, 9, 99.0, 0.1)).bound is Bound.ATTEMPTS
    assert decision(progress=Progress(2, 2, 59.9, 0.1)).bound is Bound.WITHIN
    assert decision(progress=Progress(2, 2, 1.0, 0.1)).bound is Bound.DEADLINE
    assert decision(progress=Progress(9, 9, 99.0, None)).bound is Bound.ATTEMPTS


@settings(max_examples=300, deadline=None)
@given(
    what=st.builds(
        outcome,
        st.sampled_from(Delivery),
        st.sampled_from(Again),
        throttled=st.booleans(),
        pause=st.none() | st.floats(0, 3600),
    ),
    repeat=st.sampled_from(Idempotency),
    progress=st.builds(
        Progress,
        failures=st.integers(1, 10_000),
        counted=st.integers(0, 10_000),
        elapsed=st.floats(0, 1e9),
        left=st.none() | st.floats(0, 1e9),
    ),
    policy=st.builds(
        RetryPolicy,
        attempts=st.integers(1, 100),
        within=st.floats(0, 1e308),
        base=st.floats(0, 1e308),
        cap=st.floats(0, 1e308),
        unknown=st.sampled_from(["safe", "always", "never"]),
    ),
    chance=st.floats(0, 1),
)
def test_any_decision_can_be_kept(
    what: Outcome, repeat: Idempotency, progress: Progress, policy: RetryPolicy, chance: float
) -> None:
    """A pause is finite, from the floor to the larger of floor and cap; without another attempt it is 0."""
    made = decide(what, repeat, policy, progress, chance)
    floor = what.pause or 0.0
    if made.again:
        assert math.isfinite(made.pause)
        assert floor <= made.pause <= max(floor, policy.cap)
    else:
        assert made == Decision(again=False, bound=None, pause=0.0)

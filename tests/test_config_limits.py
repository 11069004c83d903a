"""The rate limit, the retry policy and durations: what numbers they take."""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async import ConfigurationError, RateLimit, RetryPolicy
from leadsquared_async.config import rate_limit_from, seconds


def refusal(call: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        call(*args, **options)
    return str(caught.value)


NAN, INF = float("nan"), float("inf")
NO_NUMBERS = [None, "5", True, NAN, INF, -INF, 1j, [5], pytest.param(10**400, id="401 digits")]


@pytest.mark.parametrize("calls", [0, -1, 10_001, 2.0, *NO_NUMBERS])
def test_calls_are_a_whole_number(calls: Any) -> None:
    """A limit has from 1 to 10,000 calls."""
    assert refusal(RateLimit, calls) == "RateLimit: calls must be a whole number from 1 to 10,000"


@pytest.mark.parametrize("per", [0, -5, -0.0, 86_400.1, 1e9, *NO_NUMBERS])
def test_a_window_is_a_number_of_seconds(per: Any) -> None:
    """A window has a length, of a day at most."""
    wrong = "RateLimit: per must be a number of seconds above 0, at most 86,400 (a day)"
    assert refusal(RateLimit, 25, per) == wrong
    assert RateLimit(25, per=86_400).per == 86_400


@pytest.mark.parametrize("margin", [-0.01, 1.01, 2, *NO_NUMBERS])
def test_a_margin_is_a_share(margin: Any) -> None:
    """A margin is a share, not a percentage."""
    assert refusal(RateLimit, 25, 5.0, margin) == "RateLimit: margin must be a number from 0 to 1"


@pytest.mark.parametrize(
    ("limit", "spacing"),
    [
        (RateLimit(25), 0.204),
        (RateLimit(25, per=5.0, margin=0.0), 0.2),
        (RateLimit(24, per=5.0, margin=0.04), 5 / 24 * 1.04),
        (RateLimit(1, per=1), 1.02),
        (RateLimit(10_000, per=0.5, margin=1), 0.0001),
    ],
)
def test_spacing(limit: RateLimit, spacing: float) -> None:
    """Paced calls are per / calls apart, and the margin more."""
    assert limit.spacing == pytest.approx(spacing, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("25/5", RateLimit(25, 5.0)),
        ("10/5", RateLimit(10, 5.0)),
        (" 10 / 2.5 \n", RateLimit(10, 2.5)),
        ("1/60", RateLimit(1, 60.0)),
        ("10000/0.000001", RateLimit(10_000, 0.000001)),
    ],
)
def test_a_limit_as_text(text: str, limit: RateLimit) -> None:
    """Calls, a slash, seconds; a limit writes itself so that it can be read again."""
    assert RateLimit.parse(text) == limit
    assert rate_limit_from(None, {"LEADSQUARED_RATE_LIMIT": text}) == limit


IN_THE_ENVIRONMENT = "LEADSQUARED_RATE_LIMIT must be calls/seconds, such as 20/5, with 1 to 10,000 calls"


@pytest.mark.parametrize(
    "text",
    [
        *("25", "25/", "/5", "25/5/1", "25 per 5", "25:5", "25,5", "-25/5", "25/-5", "2.5/5", "25/.5"),
        *("25/5s", "25/1e3", "1e9/5", "25/inf", "nan/5", "1_0/5", "0x19/5", "25/5\x00", "999999/5"),
        *("25/9999999", "\u0662\u0665/5", ""),
    ],
)
def test_a_text_that_is_no_limit(text: str) -> None:
    """Anything else names the option or the variable, and the way to write it."""
    assert refusal(RateLimit.parse, text) == (
        'rate_limit (or LEADSQUARED_RATE_LIMIT) must be calls/seconds, such as "25/5"'
    )
    if text:
        assert refusal(rate_limit_from, None, {"LEADSQUARED_RATE_LIMIT": text}) == IN_THE_ENVIRONMENT


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("0/5", "calls"), ("25/0", "per"), ("25/86401", "per"), ("99999/5", "calls")],
)
def test_a_limit_of_nothing(text: str, wrong: str) -> None:
    """A text that is written right may still be out of range."""
    assert refusal(RateLimit.parse, text).startswith(f"RateLimit: {wrong} must be")
    assert refusal(rate_limit_from, None, {"LEADSQUARED_RATE_LIMIT": text}) == IN_THE_ENVIRONMENT


def test_where_the_limit_comes_from() -> None:
    """The argument, else the variable, else LeadSquared's 25 calls in 5 seconds."""
    outside = {"LEADSQUARED_RATE_LIMIT": "10/5"}
    assert rate_limit_from(RateLimit(3, 1), outside) == RateLimit(3, 1)
    assert rate_limit_from(None, outside) == RateLimit(10, 5.0)
    for blank in ("", " ", "\n"):  # as a compose file passes on what nobody has filled in
        assert rate_limit_from(None, {"LEADSQUARED_RATE_LIMIT": blank}) == RateLimit(25, 5.0, 0.02)
    assert rate_limit_from(None, {}) == RateLimit(25, 5.0, 0.02)
    assert str(RateLimit(10, 2.5)) == "10/2.5"
    assert refusal(rate_limit_from, (25, 5), {}) == (
        "rate_limit must be a RateLimit, such as RateLimit(25, per=5.0)"
    )


@pytest.mark.parametrize(
    ("mine", "other", "both"),
    [
        (RateLimit(25, 5), RateLimit(10, 5), RateLimit(10, 5)),
        (RateLimit(10, 5), RateLimit(25, 5), RateLimit(10, 5)),
        (RateLimit(25, 5), RateLimit(25, 60), RateLimit(25, 60)),
        (RateLimit(25, 5), RateLimit(100, 60), RateLimit(25, 15)),
        (RateLimit(25, 5), RateLimit(99, 60), RateLimit(25, 20)),
        (RateLimit(25, 5), RateLimit(1, 0.1), RateLimit(1, 5)),
        (RateLimit(24, 5, 0.04), RateLimit(25, 5), RateLimit(24, 5, 0.04)),
        (RateLimit(25, 5, 0.0), RateLimit(25, 5, 0.5), RateLimit(25, 5, 0.5)),
    ],
)
def test_two_limits_in_one(mine: RateLimit, other: RateLimit, both: RateLimit) -> None:
    """A limit that keeps to two has the smaller burst, no shorter window, and the larger margin."""
    assert mine.within(other) == both


def keeps_to(times: list[Fraction], calls: int, per: Fraction) -> bool:
    """Whether no half-open window of `per` holds more than `calls`, wherever it starts."""
    return all(bisect_left(times, start + per) - index <= calls for index, start in enumerate(times))


def greedy(calls: int, per: Fraction, gaps: list[Fraction]) -> list[Fraction]:
    """The earliest calls that a limit allows, each at least its gap after the one before."""
    times: list[Fraction] = []
    now = Fraction(0)
    for gap in gaps:
        now += gap
        if len(times) >= calls:
            now = max(now, times[-calls] + per)
        times.append(now)
    return times


limits = st.builds(RateLimit, calls=st.integers(1, 8), per=st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0, 5.0]))


@settings(max_examples=300, deadline=None)
@given(
    mine=limits,
    other=limits,
    gaps=st.lists(
        st.sampled_from([Fraction(0), Fraction(0), Fraction(1, 8), Fraction(1), Fraction(3)]), max_size=40
    ),
)
def test_what_keeps_to_one_keeps_to_both(mine: RateLimit, other: RateLimit, gaps: list[Fraction]) -> None:
    """By brute force: no schedule within the joint limit passes either of the two, in any window."""
    both = mine.within(other)
    calls = both.calls
    # Exact, where the limit itself holds the nearest float.
    per = max(Fraction(mine.per), Fraction(other.per) / (other.calls // calls))
    assert both.per == pytest.approx(float(per), rel=1e-15)
    times = greedy(calls, per, gaps)
    assert keeps_to(times, calls, per)
    for limit in (mine, other):
        assert keeps_to(times, limit.calls, Fraction(limit.per))


@pytest.mark.parametrize("attempts", [0, -1, 1.0, *NO_NUMBERS[:-1]])
def test_attempts_are_a_whole_number(attempts: Any) -> None:
    """There is at least one attempt."""
    assert refusal(RetryPolicy, attempts=attempts) == (
        "RetryPolicy: attempts must be a whole number of at least 1"
    )


@pytest.mark.parametrize("name", ["base", "cap"])
@pytest.mark.parametrize("value", [-0.1, -1, *NO_NUMBERS])
def test_a_policys_seconds(name: str, value: Any) -> None:
    """Pauses and bounds are seconds, 0 or more."""
    assert refusal(RetryPolicy, **{name: value}) == (
        f"RetryPolicy: {name} must be a number of seconds, 0 or more"
    )
    assert getattr(RetryPolicy(**{name: 0}), name) == 0


@pytest.mark.parametrize("unknown", ["", "Safe", "yes", None, True, ["safe"], {}])
def test_a_policys_word(unknown: Any) -> None:
    """What to do with the unknown is one of three words."""
    assert refusal(RetryPolicy, unknown=unknown) == (
        'RetryPolicy: unknown must be "safe", "always" or "never"'
    )


@pytest.mark.parametrize("value", [0, -1, -0.0, *NO_NUMBERS])
def test_durations(value: Any) -> None:
    """A timeout and a deadline are seconds above 0; they come out as floats."""
    assert refusal(seconds, "timeout", value) == "timeout must be a number of seconds above 0"
    assert isinstance(seconds("timeout", 5), float)

"""The ways of counting, each at its edges."""

import random

import pytest

from leadsquared_async.sandbox import COUNTERS, most_in_any_window

# Four calls in four seconds: every number below is exact in binary.
EDGES: dict[str, list[tuple[str, list[tuple[float, bool]]]]] = {
    "sliding-log": [
        ("a full window refuses", [(0, True), (0, True), (0, True), (0, True), (0, False)]),
        ("open at its end", [(0, True), (1, True), (2, True), (3, True), (3.9375, False), (4, True)]),
        (
            "one leaves, one enters",
            [(0, True), (1, True), (1, True), (1, True), (4, True), (4.5, False), (5, True)],
        ),
    ],
    "fixed-window": [
        ("starts over at the edge", [(0, True), (0, True), (0, True), (0, True), (3.75, False), (4, True)]),
        (
            "twice the limit across an edge",
            [(3.5, True)] * 4 + [(3.5, False)] + [(4, True)] * 4 + [(4, False)],
        ),
        ("a skipped window", [(0, True)] * 4 + [(9, True)] * 4 + [(9, False)]),
    ],
    "sliding-counter": [
        ("nothing of the previous window is gone", [(0, True)] * 4 + [(4, False)]),
        ("rounded down: 3.75 is 3", [(0, True)] * 4 + [(4.25, True), (4.25, False)]),
        ("half of it is gone", [(0, True)] * 4 + [(6, True), (6, True), (6, False)]),
        ("a window apart nothing is left", [(0, True)] * 4 + [(8, True)] * 4 + [(8, False)]),
    ],
    "sliding-counter-strict": [
        ("not rounded: 3.75 is too much", [(0, True)] * 4 + [(4.25, False), (4.9375, False), (5, True)]),
        ("half of it is gone", [(0, True)] * 4 + [(6, True), (6, True), (6, False)]),
        ("a window apart nothing is left", [(0, True)] * 4 + [(8, True)] * 4 + [(8, False)]),
    ],
    "token-bucket": [
        ("full at first", [(100, True)] * 4 + [(100, False)]),
        (
            "a token a second",
            [(0, True)] * 4 + [(0.9375, False), (1, True), (1, False), (3, True), (3, True), (3, False)],
        ),
        ("never more than full", [(0, True), (50, True), (50, True), (50, True), (50, True), (50, False)]),
    ],
    "gcra": [
        ("a burst at first", [(100, True)] * 4 + [(100, False)]),
        (
            "one a second",
            [(0, True)] * 4 + [(0.9375, False), (1, True), (1, False), (3, True), (3, True), (3, False)],
        ),
        ("never more than a burst", [(0, True), (50, True), (50, True), (50, True), (50, True), (50, False)]),
    ],
}


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        pytest.param(name, calls, id=f"{name}: {rule}")
        for name, rules in EDGES.items()
        for rule, calls in rules
    ],
)
def test_a_counter_at_its_edges(name: str, calls: list[tuple[float, bool]]):
    """Each call is admitted or refused as the table says."""
    counter = COUNTERS[name](4, 4.0)
    assert [(time, counter.admit(time)) for time, _ in calls] == calls


def test_every_counter_is_in_the_table():
    """Every way of counting has its edges tested."""
    assert set(EDGES) == set(COUNTERS)


@pytest.mark.parametrize("name", COUNTERS)
def test_nothing_is_admitted_while_refused_calls_count(name: str):
    """Eight calls a second against one a second: none is admitted once refused calls count."""
    counter = COUNTERS[name](4, 4.0, count_refused=True)
    admitted = [counter.admit(step / 8) for step in range(8 * 4)]
    assert admitted == [True] * 4 + [False] * 28


@pytest.mark.parametrize("name", ["fixed-window", "sliding-counter", "sliding-counter-strict"])
@pytest.mark.parametrize("phase", [-1.0, 0.0, 1.5, 103.0])
def test_a_phase_moves_the_edges_of_windows(name: str, phase: float):
    """The same calls are admitted when they move with the edges."""
    random_ = random.Random(1)
    times = sorted(random_.uniform(0, 100) for _ in range(200))
    still, moved = COUNTERS[name](4, 4.0), COUNTERS[name](4, 4.0, phase=phase)
    assert [still.admit(time) for time in times] == [moved.admit(time + phase) for time in times]


def test_the_sliding_log_never_admits_more_than_the_limit_in_any_window():
    """It holds for random traffic."""
    random_ = random.Random(2)
    counter = COUNTERS["sliding-log"](25, 5.0)
    now, admitted = 0.0, []
    for _ in range(20_000):
        now += random_.expovariate(8)
        if counter.admit(now):
            admitted.append(now)
    assert most_in_any_window(admitted, 5.0) == 25


def test_token_bucket_and_gcra_are_the_same_rule():
    """They agree on random traffic."""
    random_ = random.Random(3)
    bucket, gcra = COUNTERS["token-bucket"](25, 5.0), COUNTERS["gcra"](25, 5.0)
    now = 0.0
    for _ in range(20_000):
        now += random_.expovariate(6)
        assert bucket.admit(now) is gcra.admit(now)


@pytest.mark.parametrize("name", ["token-bucket", "gcra"])
def test_rounding_errors_refuse_no_call_that_is_on_time(name: str):
    """A call each 0.2 s after a burst is always admitted, although 0.2 is not exact."""
    counter = COUNTERS[name](25, 5.0)
    assert all(counter.admit(0.0) for _ in range(25))
    assert all(counter.admit(0.2 * step) for step in range(1, 20_000))


@pytest.mark.parametrize("name", COUNTERS)
@pytest.mark.parametrize(("calls", "per"), [(0, 5.0), (-1, 5.0), (25, 0.0), (25, -1.0)])
def test_a_limit_that_admits_nothing_is_invalid(name: str, calls: int, per: float):
    """A limit is at least one call in more than 0 seconds."""
    with pytest.raises(ValueError, match="a limit must be at least 1 call"):
        COUNTERS[name](calls, per)


@pytest.mark.parametrize(
    ("times", "most"),
    [
        ([], 0),
        ([7.0], 1),
        ([0.0, 0.0, 0.0], 3),
        ([0.0, 5.0, 10.0], 1),
        ([0.0, 4.875, 5.0], 2),
        ([0.0, 1.0, 2.0, 6.0, 6.5, 6.75, 6.875], 5),
    ],
)
def test_the_most_in_any_window(times: list[float], most: int):
    """Half-open windows: two calls exactly `per` apart are not in the same one."""
    assert most_in_any_window(times, 5.0) == most

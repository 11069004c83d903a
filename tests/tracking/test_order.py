"""Which requests the tracker polls, and when, against a simulated queue: calls and delays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async.tracking.order import PUT_OFF, TOGETHER, QueueOrder
from leadsquared_async.tracking.sweep_pause import FIRST_PAUSE, LONGEST_PAUSE, LONGEST_STALL
from tests.tracking.queues import follow, ready_times

ACCEPTED = [number * 0.2 for number in range(1000)]
RATE = 25.0
SEEDS = range(6)


def asks(order: QueueOrder, now: float, finished: set[str]) -> list[str]:
    """Sweep once, and return the polled requests."""
    asked: list[str] = []
    sweep = order.sweep(now)
    group: Sequence[str] = next(sweep, ())
    while group:
        asked += group
        try:
            group = sweep.send([name in finished for name in group])
        except StopIteration:
            break
    return asked


def order_of(*names: str) -> QueueOrder:
    order = QueueOrder()
    for name in names:
        order.add(name)
    return order


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("queue", "calls", "seconds"),
    [({"held_back": 0.02}, 1.4, 20.0), ({"disorder": 60.0}, 2.0, 60.0)],
    ids=["first in, first out, 2 % held back", "outcomes up to 60 s before or after their turn"],
)
def test_the_calls_and_the_delay_of_a_request_are_bounded(
    queue: dict[str, float], calls: float, seconds: float, seed: int
) -> None:
    """A request costs at most so many calls, and 95 % of the outcomes are known within so many seconds."""
    result = follow(ACCEPTED, ready_times(ACCEPTED, rate=RATE, seed=seed, **queue))
    assert len(result.lags) == 1000
    assert result.calls_each <= calls
    assert result.share_within(seconds) >= 0.95


@pytest.mark.parametrize("rate", [6.0, 60.0, 300.0, 6000.0])
@pytest.mark.parametrize("round_trip", [0.05, 1.0])
def test_at_other_rates_it_keeps_up(rate: float, round_trip: float) -> None:
    """From 6 to 6,000 a minute, 5 a second coming in, outcomes are known within 20 s."""
    ready = ready_times(ACCEPTED, rate=rate, seed=1)
    result = follow(ACCEPTED, ready, round_trip=round_trip)
    assert result.share_within(20.0) >= 0.95
    assert result.calls_each <= 1.7


def test_what_is_finished_already_is_found_faster_than_one_a_round_trip() -> None:
    """A thousand finished requests are known in less than 150 s with round trips of a second."""
    result = follow([0.0] * 1000, [0.0] * 1000, round_trip=1.0)
    assert result.calls_each == 1.0
    assert max(time for time, _ in result.calls) < 150.0
    assert result.together == TOGETHER


@pytest.mark.parametrize("disorder", [0.0, 60.0])
@pytest.mark.parametrize(("hours", "most"), [(1, 300), (10, 2000)])
def test_a_queue_that_stands_still_costs_a_few_calls_a_minute(hours: int, most: int, disorder: float) -> None:
    """It costs two to three; after the stall outcomes are known as soon as before."""
    end = 600.0 + hours * 3600.0
    ready = ready_times(ACCEPTED, rate=RATE, seed=1, stall=(600.0, end), disorder=disorder)
    result = follow(ACCEPTED, ready)
    assert sum(600.0 + 2 * disorder <= time < end for time, _ in result.calls) <= most
    later = [lag for name, lag in result.lags.items() if ready[int(name)] > end + 600.0]
    assert len(later) > 400
    assert sum(lag <= 20.0 + disorder for lag in later) / len(later) >= 0.95
    assert max(result.lags.values()) <= 240.0


def test_the_calls_of_a_stall_do_not_grow_with_its_length() -> None:
    """The tenth hour of a stall costs no more than the second."""
    ready = [10 * 3600.0 + 2.4 * number for number in range(1000)]
    result = follow([0.0] * 1000, ready, until=10 * 3600.0)
    hours = [sum(hour * 3600 <= time < (hour + 1) * 3600 for time, _ in result.calls) for hour in range(10)]
    assert hours[9] <= hours[1] + 10


def test_neighbours_that_are_delayed_delay_nobody_else() -> None:
    """Requests behind 25 that are delayed for ten minutes are known within a minute."""
    ready = ready_times(ACCEPTED, rate=RATE, seed=1)
    held_back = range(200, 225)
    for number in held_back:
        ready[number] += 600.0
    result = follow(ACCEPTED, ready)
    behind = {name: lag for name, lag in result.lags.items() if int(name) >= held_back.stop}
    assert max(behind.values()) <= 60.0
    last = [lag for name, lag in behind.items() if int(name) >= 500]
    assert sum(lag <= 20.0 for lag in last) / len(last) >= 0.9
    assert sum(int(name) >= 500 for _, name in result.calls) / 500 <= 1.4


def test_two_neighbours_that_are_held_back_do_not_stop_the_line() -> None:
    """A finished request behind both shows that they were overtaken."""
    order = order_of("a", "b", "c", "d", "e")
    now, asked = 0.0, []
    while "e" not in asked:
        now += order.schedule.pause
        assert now < 60.0
        asked += asks(order, now, {"c", "d", "e"})
    assert asked.count("c") == asked.count("d") == asked.count("e") == 1
    assert "c" not in order


def test_a_sweep_ends_at_the_first_that_is_new_and_unfinished() -> None:
    """In order, each sweep makes one call that finds nothing."""
    order = order_of("a", "b", "c", "d")
    assert asks(order, 1.0, {"a", "b"}) == ["a", "b", "c"]
    assert asks(order, 9.0, {"c"}) == ["c", "d"]


def test_what_was_overtaken_is_asked_for_on_the_servers_schedule() -> None:
    """A request delayed forever is polled about as often as LeadSquared retries it, then hourly."""
    order = order_of("held", "b", "c", "d")
    calls: list[float] = []
    now = 0.0
    while now < 40_000.0:
        now += order.schedule.pause
        calls += [now for name in asks(order, now, {"b", "c", "d"}) if name == "held"]
    pauses = [later - earlier for earlier, later in pairwise(calls[2:])]
    assert len(calls) <= 2 + len(PUT_OFF) + 9
    for pause, wanted in zip(pauses, [*PUT_OFF[1:], *[3600.0] * 8], strict=False):
        assert wanted - 1e-6 <= pause <= wanted + LONGEST_STALL


def test_a_single_request_is_known_within_a_tenth_of_its_wait() -> None:
    """No request behind it shows that it was overtaken, so it is polled in proportion to its wait."""
    for seconds in (2.0, 60.0, 1200.0, 7200.0, 30_000.0):
        result = follow([0.0], [seconds])
        assert result.lags["0"] <= max(LONGEST_PAUSE, LONGEST_STALL + 0.1 * seconds)
        assert len(result.calls) <= 100


def test_quiet_hours_before_say_nothing_about_the_queue() -> None:
    """A form after an idle hour is known as soon as the first was."""
    forms = sorted([*(hour * 3600.0 for hour in range(50)), *(hour * 3600.0 + 1.0 for hour in range(50))])
    result = follow(forms, [form + (30.0 if number % 2 else 2.0) for number, form in enumerate(forms)])
    assert max(result.lags.values()) <= LONGEST_PAUSE + 1.0


@pytest.mark.parametrize("others", [[], ["held"]])
def test_joining_where_nobody_tells_anything_restarts_the_short_pause(others: list[str]) -> None:
    """The first poll comes a second later in an empty order, or one of overtaken requests."""
    order = order_of(*others)
    for name in others:
        order.add("b")
        asks(order, 1.0, set())
        assert asks(order, 2.0, {"b"}) == [name, "b"]
    for sweep in range(3, 20):
        asks(order, float(sweep), set())
    assert order.schedule.pause > 2 * FIRST_PAUSE
    order.add("new")
    assert order.schedule.pause == FIRST_PAUSE


def test_the_time_in_which_nobody_waited_says_nothing_about_the_rate() -> None:
    """After quiet hours the first finished request does not delay the next sweep."""
    order = order_of("a")
    assert asks(order, 1.0, {"a"}) == ["a"]
    order.add("b")
    order.add("c")
    assert asks(order, 3601.0, {"b"}) == ["b", "c"]
    assert order.schedule.pause <= 4.0


def test_joining_a_line_that_moves_leaves_its_pause() -> None:
    """A new request comes last and does not make the tracker poll more often."""
    order = order_of("a", "b")
    for now in range(1, 5):
        asks(order, float(now), set())
    pause = order.schedule.pause
    order.add("new")
    assert order.schedule.pause == pause > FIRST_PAUSE


def test_one_that_leaves_in_the_middle_of_a_sweep_is_not_asked_for() -> None:
    """It is polled neither in the rest of the sweep nor later; the others are."""
    order = order_of("a", "b", "c", "d")
    sweep = order.sweep(1.0)
    assert next(sweep) == ["a"]
    order.remove("a")
    order.remove("b")
    assert sweep.send([True]) == ["c"]
    assert sweep.send([True]) == ["d"]
    with pytest.raises(StopIteration):
        sweep.send([False])
    assert [*order._entries] == ["d"]


def test_a_sweep_that_breaks_off_concludes_nothing() -> None:
    """Pauses grow up to a minute without answers, and each sweep polls one request first."""
    order = order_of(*map(str, range(50)))
    assert len(asks(order, 1.0, set(map(str, range(40))))) > 40
    for _ in range(20):
        next(order.sweep(100.0))
        order.schedule.got_no_answer()
    assert order.schedule.pause == LONGEST_STALL
    assert len(next(order.sweep(1000.0))) == 1


def check_a_history(rounds: list[int], ready: list[float]) -> None:
    """Follow requests that come and are finished at any time, some of which leave."""
    accepted = [0.0] * len(ready)
    leaving = dict(enumerate(rounds))
    order = QueueOrder()
    left: set[str] = set()
    sweeps = iter(range(10**6))

    def leave_some(now: float) -> None:
        name = str(leaving.get(next(sweeps), -1))
        if name in order:
            order.remove(name)
            left.add(name)

    result = follow(accepted, ready, order=order, between=leave_some, until=200_000.0)
    assert not order
    assert set(result.lags) | left == set(map(str, range(len(ready))))
    seen: set[str] = set()
    for time, name in result.calls:
        assert name not in seen
        if ready[int(name)] <= time:
            seen.add(name)
    assert result.together <= TOGETHER


@settings(deadline=None, max_examples=150)
@given(
    rounds=st.lists(st.integers(0, 60), max_size=30),
    ready=st.lists(st.one_of(st.just(0.0), st.floats(0.0, 600.0), st.floats(0.0, 30_000.0)), max_size=60),
)
def test_whatever_the_order_all_is_known_in_the_end(rounds: list[int], ready: list[float]) -> None:
    """Each finished request is found, known ones are not polled, and at most eight are polled at once."""
    check_a_history(rounds, ready)

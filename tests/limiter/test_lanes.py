"""Turns between lanes: a higher lane goes first, and no lane starves."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async import Lane
from leadsquared_async.limiter.lanes import OVERTAKES, Lanes, Turns

FORM, BATCH, POLL = Lane.INTERACTIVE, Lane.BATCH, Lane.STATUS


@dataclass(frozen=True)
class Head:
    """The first waiter of a lane."""

    lane: Lane
    number: int


def grants(order: list[Lane], count: int, *, is_poll_due: bool = True) -> str:
    """The first letters of the lanes that are granted, if each lane has waiters without end.

    Args:
        order: in which the first waiters of the lanes came.
        count: of grants.
        is_poll_due: whether the pace of polls allows them all the time.
    """
    turns, arrivals, numbers = Turns(), len(order), {lane: place for place, lane in enumerate(order)}
    granted = ""
    for _ in range(count):
        heads = [Head(lane, numbers[lane]) for lane in Lane if lane in numbers]
        head, turns = turns.next(heads, is_poll_due=is_poll_due)
        granted += head.lane.name[0]
        numbers[head.lane] = arrivals
        arrivals += 1
    return granted


@pytest.mark.parametrize(
    ("order", "is_poll_due", "expected"),
    [
        ([BATCH], True, "BBBB"),
        # A form that is the oldest passes nobody.
        ([BATCH, FORM], True, "IIIIIIIB" + "I" + "IIIIIIIB"),
        ([FORM, BATCH], True, "I" + "IIIIIIIB" + "I" + "IIIIIIIB"),
        ([POLL, FORM], True, "IIIIIIIS" + "I" + "IIIIIIIS"),
        # A batch holds thousands, so the age of a poll makes no difference.
        ([BATCH, POLL], True, "BBBBBBBS" * 2),
        ([POLL, BATCH], True, "BBBBBBBS" * 2),
        ([BATCH, POLL], False, "B" * 16),
        ([BATCH, POLL, FORM], True, "IIIIIIIS" + "IIIIIIIB" + "IIIIIIIS"),
    ],
)
def test_who_goes_next(order: list[Lane], is_poll_due: bool, expected: str) -> None:
    """Seven calls may pass an older waiter; beside forms, batches and polls alternate."""
    assert grants(order, len(expected), is_poll_due=is_poll_due) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([None, *Lane]), st.booleans()), min_size=20, max_size=200))
def test_of_any_eight_grants_at_least_seven_are_in_lane_order(
    steps: list[tuple[Lane | None, bool]],
) -> None:
    """A grant past a waiter of a higher lane happens at most once in eight, in any order of arrivals."""
    lanes: dict[Lane, deque[int]] = {lane: deque() for lane in Lane}
    turns, in_order = Turns(), list[bool]()
    for number, (comes, is_poll_due) in enumerate(steps):
        if comes is not None:
            lanes[comes].append(number)
            continue
        heads = [Head(lane, lanes[lane][0]) for lane in Lane if lanes[lane]]
        if heads:
            head, turns = turns.next(heads, is_poll_due=is_poll_due)
            assert lanes[head.lane].popleft() == head.number
            in_order.append(head is heads[0])
    assert all(in_order[start : start + OVERTAKES + 1].count(False) <= 1 for start in range(len(in_order)))


def test_waiters_leave_from_anywhere_and_the_others_keep_their_order() -> None:
    """The head of a lane is the oldest that is left, or the oldest that may go; nobody leaves twice."""
    lanes = Lanes[Head]()
    assert not lanes
    waiters = [Head(lane, number) for number, lane in enumerate([POLL, FORM, FORM, BATCH, FORM])]
    for waiter in waiters:
        lanes.add(waiter)
    assert lanes.counts == (3, 1, 1)
    assert lanes.heads() == [waiters[1], waiters[3], waiters[0]]
    assert lanes.heads(lambda waiter: waiter.number in {2, 4}) == [waiters[2]]
    assert [lanes.remove(waiters[2]), lanes.remove(waiters[2])] == [True, False]
    assert lanes.remove(waiters[1])
    assert list(lanes) == [waiters[4], waiters[3], waiters[0]]
    lanes.clear()
    assert (bool(lanes), lanes.heads()) == (False, [])

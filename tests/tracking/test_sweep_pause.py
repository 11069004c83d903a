"""The pause between two sweeps, from what the sweeps before it found."""

from __future__ import annotations

import pytest

from leadsquared_async.tracking.sweep_pause import (
    FIRST_PAUSE,
    FRUITLESS_SWEEPS,
    LONGEST_PAUSE,
    LONGEST_STALL,
    SweepPause,
)


def test_a_rate_needs_two_moments() -> None:
    """The first sweep that finds any, and another at the same moment, leave the first pause."""
    pauses = SweepPause()
    pauses.found(9, now=10.0, worth=30)
    assert pauses.pause == FIRST_PAUSE
    pauses.found(9, now=10.0, worth=30)
    assert pauses.pause == FIRST_PAUSE
    assert pauses.expected(20.0) == 0.0


def test_the_next_sweep_comes_when_enough_should_be_finished() -> None:
    """`worth` over the rate, which is smoothed; between the first and the longest pause."""
    pauses = SweepPause()
    pauses.found(1, now=0.0, worth=10)
    pauses.found(10, now=5.0, worth=10)
    assert pauses.pause == 5.0
    assert pauses.expected(8.0) == 6.0
    pauses.found(40, now=10.0, worth=19)  # 8 a second after 2: 0.7 * 2 + 0.3 * 8 = 3.8
    assert pauses.pause == pytest.approx(5.0)
    pauses.found(40, now=15.0, worth=1)
    assert pauses.pause == FIRST_PAUSE
    pauses.found(40, now=20.0, worth=10_000)
    assert pauses.pause == LONGEST_PAUSE


def test_pauses_grow_while_nothing_is_found() -> None:
    """Up to 15 s, then to a tenth of the time without any, up to a minute; a find starts over."""
    pauses = SweepPause()
    seen: list[float] = []
    for _ in range(60):
        pauses.found_nothing(beyond_stragglers=False)
        seen.append(pauses.pause)
    assert seen[0] == pytest.approx(1.6)
    assert seen == sorted(seen)
    assert LONGEST_PAUSE in seen
    assert seen[-1] == LONGEST_STALL
    assert not pauses.is_stalled
    pauses.found(1, now=0.0, worth=1)
    assert (pauses.pause, pauses.backoff) == (FIRST_PAUSE, 0.0)


def test_a_queue_is_stalled_after_some_sweeps_in_vain() -> None:
    """Of requests that were due; a sweep without an answer is one, and a restart forgets them."""
    pauses = SweepPause()
    for _ in range(FRUITLESS_SWEEPS - 1):
        pauses.found_nothing(beyond_stragglers=True)
    assert not pauses.is_stalled
    pauses.got_no_answer()
    assert pauses.is_stalled
    pauses.restart()
    assert (pauses.is_stalled, pauses.pause, pauses.backoff) == (False, FIRST_PAUSE, 0.0)

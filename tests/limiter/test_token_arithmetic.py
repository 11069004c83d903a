"""The token bucket step by step: each number it gives, by hand."""

from __future__ import annotations

import pytest

from leadsquared_async import Lane, RateLimit
from leadsquared_async.limiter.tokens import (
    CLEAN_WINDOWS,
    LATENESS,
    MOST_CLEAN_WINDOWS,
    NEVER,
    Tokens,
    is_far_below,
    spacing_of,
)

LIMIT = RateLimit(4, per=2.0, margin=0.0)
"""Four tokens, 0.5 s apart."""
HAIR = 1e-4
START = 1_000.0


def bucket(*, spent: int = 0, ended: int = 0, limit: RateLimit = LIMIT) -> Tokens:
    """One that spent so many tokens at `START`, of which so many ended at once."""
    tokens = Tokens(limit)
    for _ in range(spent):
        tokens.take(START)
    for _ in range(ended):
        tokens.release(START, counted=True)
    return tokens


@pytest.mark.parametrize(
    ("named", "is_far"),
    [
        (RateLimit(25, per=50.0), False),
        (RateLimit(25, per=50.1), True),
        (RateLimit(3, per=5.0), False),
        (RateLimit(2, per=5.0), True),
        (RateLimit(10_000, per=60.0), False),
        (RateLimit(10_000, per=60.1), True),
        (RateLimit(25, per=5.0), False),
    ],
)
def test_a_tenth_of_the_declared_rate_is_still_believed(named: RateLimit, is_far: bool) -> None:
    """A rate below a tenth of the declared one, or a window over a minute, needs a second answer."""
    assert is_far_below(named, RateLimit(25, per=5.0)) is is_far


def test_a_long_window_is_believed_if_the_declared_one_is_as_long() -> None:
    """The declared window sets the bound when it is over a minute."""
    assert not is_far_below(RateLimit(10, per=120.0), RateLimit(10, per=120.0))
    assert is_far_below(RateLimit(10, per=121.0), RateLimit(10, per=120.0))


@pytest.mark.parametrize(
    ("lane", "spacing"), [(Lane.INTERACTIVE, 0.5), (Lane.BATCH, 0.5), (Lane.STATUS, 1.0)]
)
def test_polls_are_two_spacings_apart(lane: Lane, spacing: float) -> None:
    """The other lanes are one spacing apart."""
    assert spacing_of(lane, LIMIT) == spacing


def test_a_new_bucket_is_full() -> None:
    """Nothing is out, due, paused or withdrawn, and nothing will change."""
    tokens = Tokens(LIMIT)
    assert (tokens.free, tokens.out, tokens.held, tokens.capacity, tokens.withdrawn) == (4, 0, 4, 4, 0)
    assert tokens.next_due == tokens.next_change() == tokens.tried_again_at == NEVER
    assert tokens.paused_until == tokens.next_poll_at == -NEVER
    assert tokens.burst_spared_at(START) == START
    assert tokens.is_idle(START)


@pytest.mark.parametrize(
    ("spent", "ended", "after", "lane", "may"),
    [
        (0, 0, 0.0, Lane.INTERACTIVE, True),
        (0, 0, 0.0, Lane.BATCH, True),
        (0, 0, 0.0, Lane.STATUS, True),
        (4, 0, 0.0, Lane.INTERACTIVE, False),
        (3, 3, 0.0, Lane.INTERACTIVE, True),
        (3, 0, 0.0, Lane.INTERACTIVE, True),
        # While a token is missing, batches and polls leave the burst to forms.
        (1, 1, 0.0, Lane.BATCH, False),
        (1, 1, 0.49, Lane.BATCH, False),
        (1, 1, 0.5, Lane.BATCH, True),
        (1, 1, 0.5, Lane.STATUS, True),
        (2, 2, 0.9, Lane.BATCH, False),
        (2, 2, 1.0, Lane.BATCH, True),
        (1, 0, 0.0, Lane.BATCH, False),
        (1, 0, 1.9, Lane.BATCH, False),
        (1, 0, 2.0, Lane.BATCH, True),
        (4, 4, 1.9, Lane.INTERACTIVE, False),
        (4, 4, 2.1, Lane.INTERACTIVE, True),
    ],
)
def test_who_may_take_a_token(spent: int, ended: int, after: float, lane: Lane, may: bool) -> None:
    """Forms take any free token; batches and polls only one that spares the burst."""
    tokens = bucket(spent=spent, ended=ended)
    tokens.settle(START + after)
    assert tokens.may_take(lane, START + after) is may


def test_a_paused_bucket_gives_nothing_until_the_pause_is_over() -> None:
    """At the very end of the pause a token may be taken again; a shorter pause does not shorten it."""
    tokens = Tokens(LIMIT)
    tokens.pause(START + 3.0)
    tokens.pause(START + 1.0)
    assert tokens.paused_until == START + 3.0
    assert not tokens.may_take(Lane.INTERACTIVE, START + 2.9)
    assert tokens.may_take(Lane.INTERACTIVE, START + 3.0)
    assert tokens.earliest(START, 0) == START + 3.0
    assert not tokens.is_idle(START)
    assert tokens.is_idle(START + 3.0)


def test_only_a_poll_delays_the_next_poll() -> None:
    """It is two spacings later; calls of other lanes change nothing."""
    tokens = Tokens(LIMIT)
    tokens.take(START, Lane.BATCH)
    assert tokens.next_poll_at == -NEVER
    tokens.take(START, Lane.STATUS)
    assert tokens.next_poll_at == START + 1.0
    for _ in range(2):
        tokens.release_unused()
    assert not tokens.may_take(Lane.STATUS, START + 0.9)
    assert tokens.may_take(Lane.STATUS, START + 1.0)
    assert tokens.may_take(Lane.BATCH, START + 0.9)
    assert tokens.earliest_of(Lane.STATUS, START, 2) == START + 3.0
    assert tokens.earliest_of(Lane.STATUS, START + 5.0, 1) == START + 6.0
    assert tokens.earliest_of(Lane.BATCH, START, 2) == START
    slow = Tokens(RateLimit(4, per=4.0, margin=0.0))
    assert slow.earliest_of(Lane.STATUS, START, 2) == START + 4.0


def test_tokens_return_one_window_after_their_call_and_one_spacing_apart() -> None:
    """The first after the window, the others a spacing each, less the tenth that the first may be late."""
    tokens = bucket(spent=4, ended=4)
    returned = []
    for _ in range(4):
        returned.append(tokens.next_due - START)
        assert tokens.next_change() == tokens.next_due
        tokens.settle(tokens.next_due)
    assert returned == pytest.approx([2.0, 2.45, 2.95, 3.45], abs=HAIR)
    assert returned[0] >= 2.0 + 5e-7  # a hair more than the window, since floats round
    assert (tokens.free, tokens.next_due) == (4, NEVER)


def test_without_a_free_token_the_burst_is_spared_when_the_next_is_due() -> None:
    """It is `NEVER` while all are in flight."""
    assert bucket(spent=4).burst_spared_at(START) == NEVER
    tokens = bucket(spent=4, ended=4)
    assert tokens.burst_spared_at(START) == tokens.next_due


@pytest.mark.parametrize(("late", "moved"), [(0.04, -0.01), (0.05, 0.0), (0.2, 0.15)])
def test_a_slightly_late_token_does_not_delay_the_ones_after_it(late: float, moved: float) -> None:
    """A tenth of a spacing is forgiven: the slots stay; only what is beyond it moves them."""
    tokens = bucket(spent=3, ended=1)
    tokens.release(START + 0.5 + late, counted=True)
    tokens.release(START + 0.5 + late, counted=True)
    due = [time - START for time in tokens._due]
    assert due == pytest.approx([2.0, 2.5 + late, 3.0 + moved], abs=HAIR)
    assert LATENESS * LIMIT.spacing == 0.05


def test_a_call_without_an_answer_counts_for_another_window() -> None:
    """Its token returns two windows after the call ended."""
    tokens = bucket(spent=1)
    tokens.release(START + 1.0, counted=False)
    assert (tokens.out, tokens.free, tokens.held) == (0, 3, 4)
    assert (tokens.next_due, tokens.next_change()) == (NEVER, START + 3.0)
    assert tokens.burst_spared_at(START + 1.0) == START + 2.0
    later = bucket(spent=2)
    later.release(START + 1.0, counted=False)
    later.release(START + 1.5, counted=False)
    assert later.next_change() == START + 3.0
    tokens.settle(START + 2.9)
    assert tokens.next_due == NEVER
    tokens.settle(START + 3.0)
    assert tokens.next_due == pytest.approx(START + 5.0, abs=HAIR)


def test_a_token_that_was_not_used_is_free_at_once() -> None:
    """It delays nothing."""
    tokens = bucket(spent=2)
    tokens.release_unused()
    assert (tokens.free, tokens.out, tokens.held, tokens.next_due) == (3, 1, 4, NEVER)
    tokens.release_unused()
    assert (tokens.free, tokens.out, tokens.held) == (4, 0, 4)


@pytest.mark.parametrize(
    ("spent", "ended", "now", "ahead", "earliest"),
    [
        (0, 0, 0.0, 0, 0.0),
        (0, 0, 0.0, 3, 0.0),
        (4, 4, 0.0, 0, 2.0),
        (4, 4, 0.0, 1, 2.45),
        (4, 4, 0.0, 3, 3.45),
        (4, 4, 0.0, 4, 3.95),
        (4, 4, 0.0, 6, 4.95),
        (4, 4, 2.6, 0, 2.6),
        (4, 0, 0.0, 0, 2.0),
        (4, 0, 0.0, 1, 2.5),
        (4, 1, 0.0, 1, 2.45),
        (2, 2, 0.0, 2, 2.0),
    ],
)
def test_the_earliest_time_of_a_call(spent: int, ended: int, now: float, ahead: int, earliest: float) -> None:
    """It is now, when a token is due, or a spacing each after the last that is due."""
    tokens = bucket(spent=spent, ended=ended)
    assert tokens.earliest(START + now, ahead) - START == pytest.approx(earliest, abs=HAIR)


# 429s


def test_a_429_withdraws_one_token_a_spacing_and_pauses() -> None:
    """Each clean window returns one; the last token is never withdrawn."""
    tokens = Tokens(LIMIT)
    assert not tokens.count_429(START, None, None)
    assert (tokens.withdrawn, tokens.capacity, tokens.free, tokens.held) == (1, 3, 3, 3)
    assert tokens.paused_until == START + 0.5
    assert not tokens.count_429(START + 0.4, None, None)
    assert tokens.withdrawn == 1
    for number in range(1, 6):
        tokens.count_429(START + number, None, None)
    assert (tokens.withdrawn, tokens.capacity, tokens.free) == (3, 1, 1)
    assert tokens.next_change() == START + 7.0
    for number, left in [(1.9, 3), (2.0, 2), (4.0, 1), (6.0, 0)]:
        tokens.settle(START + 5.0 + number)
        assert tokens.withdrawn == left
    tokens.settle(START + 30.0)
    assert (tokens.free, tokens.held, tokens.next_change()) == (4, 4, NEVER)
    assert tokens.is_idle(START + 30.0)


def test_a_token_that_comes_back_after_a_429_takes_a_window() -> None:
    """It is due one window after the clean window ended."""
    tokens = Tokens(LIMIT)
    tokens.count_429(START, None, None)
    tokens.settle(START + 2.0)
    assert (tokens.free, tokens.held) == (3, 4)
    assert tokens.next_due == pytest.approx(START + 4.0, abs=HAIR)


def test_a_withdrawn_token_that_is_out_is_not_replaced() -> None:
    """While more tokens are out than the capacity, a clean window adds none."""
    tokens = bucket(spent=4)
    tokens.count_429(START, None, None)
    assert (tokens.capacity, tokens.held) == (3, 4)
    tokens.settle(START + 2.0)
    assert (tokens.capacity, tokens.held, tokens.next_due) == (4, 4, NEVER)


def test_tokens_out_beyond_the_capacity_are_dropped_as_they_return() -> None:
    """Used or not, and all those that are due if more are still out."""
    tokens = bucket(spent=4)
    tokens.count_429(START, None, None)
    tokens.release_unused()
    assert (tokens.free, tokens.out, tokens.held) == (0, 3, 3)
    tokens = bucket(spent=4)
    for number in range(3):
        tokens.count_429(START + number, None, None)
    for left in (3, 2, 1):
        tokens.release(START + 3.0, counted=True)
        assert (tokens.out, len(tokens._due)) == (left, 0)
    tokens.release(START + 3.0, counted=True)
    assert (tokens.free, tokens.out, len(tokens._due)) == (0, 0, 1)


@pytest.mark.parametrize(
    ("limit", "pause", "until"),
    [
        (LIMIT, None, 0.5),
        (LIMIT, 0.1, 0.1),
        (LIMIT, 7.0, 7.0),
        (RateLimit(1, per=600.0), None, 60.0),
    ],
)
def test_the_pause_after_a_429(limit: RateLimit, pause: float | None, until: float) -> None:
    """It is what the server asked for, else one spacing, at most a minute."""
    tokens = Tokens(limit)
    tokens.count_429(START, pause, None)
    assert tokens.paused_until == START + until


def test_dropped_tokens_move_the_later_ones_up() -> None:
    """The tokens left are due as if the dropped one had never been there."""
    tokens = bucket(spent=4, ended=4)
    tokens.count_429(START, None, None)
    due = [time - START for time in tokens._due]
    assert due == pytest.approx([2.0, 2.5, 3.0], abs=HAIR)
    assert (tokens.held, tokens.capacity) == (3, 3)


def test_free_tokens_are_dropped_before_those_that_are_due() -> None:
    """One free token is dropped, and the due ones stay."""
    tokens = bucket(spent=3, ended=3)
    before = [*tokens._due]
    tokens.count_429(START, None, None)
    assert (tokens.free, [*tokens._due]) == (0, before)


def test_the_declared_limit_is_tried_again_later_after_each_failure() -> None:
    """After 12 clean windows, then 24, 48, up to 768; after a success, 12 again."""
    tokens, now = Tokens(RateLimit(25, per=5.0)), START
    named = RateLimit(10, per=5.0)
    waits = []
    for _ in range(9):
        assert tokens.count_429(now, None, named)
        tokens.take(now)  # an idle account tries nothing
        waits.append((tokens.tried_again_at - now) / 5.0)
        assert tokens.patience == tokens.tried_again_at - now
        now = tokens.tried_again_at
        tokens.settle(now - 0.01)
        assert tokens.learnt == named
        tokens.settle(now)
        assert tokens.learnt is None
        assert tokens.limit == tokens.declared
        tokens.release_unused()
        now += 1.0
    assert waits == [min(CLEAN_WINDOWS * 2**n, MOST_CLEAN_WINDOWS) for n in range(9)]
    assert tokens.count_429(now + 10_000.0, None, named)
    tokens.take(now + 10_000.0)
    assert tokens.patience == CLEAN_WINDOWS * 5.0


@pytest.mark.parametrize(
    ("declared", "named", "window"),
    [
        (RateLimit(25, per=5.0), RateLimit(25, per=30.0), 30.0),
        (RateLimit(25, per=5.0), RateLimit(25, per=100.0), 60.0),
        (RateLimit(25, per=5.0), RateLimit(5, per=1.0), 5.0),
        (RateLimit(250, per=90.0), RateLimit(240, per=90.0), 90.0),
    ],
)
def test_the_window_of_the_patience(declared: RateLimit, named: RateLimit, window: float) -> None:
    """It is the learnt limit's, at most a minute, or the declared one's if that is longer."""
    tokens = Tokens(declared)
    assert tokens.count_429(START, None, named) or tokens.count_429(START, None, named)
    assert tokens.patience == CLEAN_WINDOWS * window


def test_an_idle_account_keeps_the_learnt_limit() -> None:
    """Nothing is tried again while nothing is out or due, so that calls do not resume with a burst."""
    tokens = Tokens(RateLimit(25, per=5.0))
    assert tokens.count_429(START, None, RateLimit(10, per=5.0))
    tokens.settle(START + 1_000.0)
    assert tokens.learnt is not None
    assert not tokens.is_idle(START + 1_000.0)
    assert tokens.tried_again_at == NEVER
    tokens.take(START + 1_000.0)
    assert tokens.tried_again_at == START + CLEAN_WINDOWS * 5.0
    tokens.settle(START + 1_000.0)
    assert tokens.learnt is None


def test_a_second_lower_limit_lowers_the_first() -> None:
    """Both apply; one that is no lower withdraws a token instead."""
    tokens = Tokens(RateLimit(25, per=5.0))
    assert tokens.count_429(START, None, RateLimit(20, per=5.0))
    assert tokens.withdrawn == 0
    assert tokens.count_429(START + 1, None, RateLimit(10, per=5.0))
    assert tokens.limit == tokens.learnt == RateLimit(10, per=5.0)
    assert not tokens.count_429(START + 2, None, RateLimit(20, per=5.0))
    assert (tokens.limit.calls, tokens.withdrawn) == (10, 1)


def test_a_doubt_lasts_as_long_as_the_patience() -> None:
    """The second answer is believed just before the clean windows are over, and not after."""
    for after, believed in [(59.9, True), (60.0, False)]:
        tokens, named = Tokens(RateLimit(25, per=5.0)), RateLimit(2, per=5.0)
        assert not tokens.count_429(START, None, named)
        assert tokens.count_429(START + after, None, named) is believed


@pytest.mark.parametrize(("after", "windows"), [(119.9, 24), (120.0, 12)])
def test_a_trial_that_lasts_as_long_as_the_patience_has_succeeded(after: float, windows: int) -> None:
    """A 429 before its end doubles the time to the next trial; one at its end does not."""
    tokens, named = Tokens(RateLimit(25, per=5.0)), RateLimit(10, per=5.0)
    assert tokens.count_429(START, None, named)
    tokens.take(START)
    tokens.settle(START + 60.0)
    assert tokens.learnt is None
    assert tokens.count_429(START + after, None, named)
    assert tokens.patience == windows * 5.0


# Limits that change


def test_the_same_limit_again_changes_nothing() -> None:
    """Only another limit is a change."""
    tokens = bucket(spent=2, ended=1)
    before = [*tokens._due]
    assert not tokens.set_declared(START, LIMIT)
    assert ([*tokens._due], tokens.free, tokens.out) == (before, 2, 1)
    assert tokens.set_declared(START, RateLimit(5, per=2.0))


def test_a_smaller_limit_counts_calls_in_flight_and_late() -> None:
    """What is out or unanswered is not free as well."""
    tokens = Tokens(RateLimit(4, per=10.0, margin=0.0))
    for _ in range(2):
        tokens.take(START)
    tokens.release(START, counted=False)
    assert tokens.set_declared(START, RateLimit(3, per=10.0, margin=0.0))
    assert (tokens.out, len(tokens._late), tokens.free, tokens.held) == (1, 1, 1, 3)


def test_a_longer_window_moves_what_is_due_and_unanswered() -> None:
    """Both count for the new window from when their call ended."""
    tokens = bucket(spent=2, ended=1)
    tokens.release(START, counted=False)
    assert tokens.set_declared(START, RateLimit(4, per=8.0, margin=0.0))
    assert [*tokens._late] == [START + 8.0]
    assert tokens.next_due == pytest.approx(START + 8.0, abs=HAIR)
    assert tokens.free == 2


def test_withdrawn_tokens_never_exceed_a_smaller_limit() -> None:
    """One token is left."""
    tokens = Tokens(LIMIT)
    for number in range(3):
        tokens.count_429(START + number, None, None)
    assert tokens.withdrawn == 3
    tokens.set_declared(START + 3.0, RateLimit(2, per=2.0))
    assert (tokens.withdrawn, tokens.capacity) == (1, 1)


def test_a_pause_that_nobody_asked_for_shrinks_with_the_limit() -> None:
    """A spacing of the new limit is enough; a Retry-After stays."""
    for pause, until in [(None, 0.5), (30.0, 30.0)]:
        tokens = Tokens(RateLimit(1, per=40.0, margin=0.0))
        tokens.count_429(START, pause, None)
        tokens.set_declared(START, RateLimit(20, per=10.0, margin=0.0))
        assert tokens.paused_until == START + until


@pytest.mark.parametrize(
    ("former", "limit", "out", "until"),
    [
        # A window below LeadSquared's own: calls made before have to leave that.
        (RateLimit(4, per=5.0), RateLimit(2, per=1.0), False, 5.0),
        (RateLimit(4, per=60.0), RateLimit(2, per=1.0), False, 5.0),
        (RateLimit(4, per=3.0), RateLimit(2, per=1.0), False, 3.0),
        (RateLimit(4, per=60.0), RateLimit(2, per=10.0), False, None),
        (RateLimit(4, per=60.0), RateLimit(2, per=5.0), False, None),
        (RateLimit(4, per=1.0), RateLimit(2, per=5.0), False, None),
        (RateLimit(4, per=5.0), RateLimit(2, per=1.0), True, 6.0),
    ],
)
def test_a_shorter_window_waits_for_calls_of_the_longer(
    former: RateLimit, limit: RateLimit, out: bool, until: float | None
) -> None:
    """From the end of the last call, or from now while one is in flight."""
    tokens = bucket(spent=1, ended=0 if out else 1, limit=former)
    tokens.set_declared(START + 1.0, limit)
    if until is None:
        assert tokens.paused_until < START
    else:
        assert tokens.paused_until == pytest.approx(START + until, abs=HAIR)


def test_a_shorter_window_does_not_wait_for_calls_made_before_the_former() -> None:
    """Calls that ended before the longer window was declared were spaced by a shorter one."""
    tokens = bucket(spent=1, ended=1, limit=RateLimit(4, per=1.0))
    tokens.set_declared(START + 1.0, RateLimit(4, per=5.0))
    tokens.set_declared(START + 1.5, RateLimit(4, per=1.0))
    assert tokens.paused_until < START + 1.5
    at_once = bucket(spent=1, limit=RateLimit(4, per=1.0))
    at_once.release(START + 1.0, counted=True)
    at_once.set_declared(START + 1.0, RateLimit(4, per=5.0))
    at_once.set_declared(START + 1.5, RateLimit(4, per=1.0))
    assert at_once.paused_until == pytest.approx(START + 6.0, abs=HAIR)


def test_a_call_that_ended_exactly_one_new_window_ago_still_counts() -> None:
    """Its token is due a hair later."""
    tokens = bucket(spent=1, ended=1)
    tokens.settle(START + 10.0)
    assert tokens.free == 4
    tokens.set_declared(START + 10.0, RateLimit(4, per=10.0, margin=0.0))
    assert (tokens.free, tokens.held) == (3, 4)
    tokens.set_declared(START + 10.0, RateLimit(4, per=9.0, margin=0.0))
    assert tokens.held == 4


def test_unknown_calls_ended_no_later_than_the_oldest_known_one() -> None:
    """A larger limit fills up with the oldest."""
    tokens = Tokens(RateLimit(2, per=2.0))
    for end in (0.0, 1.0):
        tokens.take(START)
        tokens.release(START + end, counted=True)
    tokens.set_declared(START + 1.0, LIMIT)
    assert [*tokens._ends] == [START, START, START, START + 1.0]


def test_the_ends_of_calls_stay_in_order_when_the_window_shrinks() -> None:
    """A call without an answer counts as ended before those that ended after it."""
    tokens = bucket(spent=2, limit=RateLimit(4, per=10.0))
    tokens.release(START, counted=False)
    tokens.release(START + 9.0, counted=True)
    tokens.set_declared(START + 9.5, RateLimit(4, per=6.0))
    tokens.settle(START + 9.5)
    assert [*tokens._ends][-2:] == [START + 6.0, START + 9.0]


# Calls of a process that was killed


@pytest.mark.parametrize(("calls", "free"), [(None, 0), (0, 4), (1, 3), (4, 0), (9, 0)])
def test_calls_of_before_are_assumed_to_be_unanswered(calls: int | None, free: int) -> None:
    """Their tokens return two windows after they ended; all of them if their number is unknown."""
    tokens = Tokens(LIMIT)
    tokens.assume_spent(START, START - 1.0, calls)
    assert (tokens.free, tokens.out, tokens.held) == (free, 0, 4)
    if free < 4:
        tokens.settle(START + 1.0)
        assert tokens.next_due == pytest.approx(START + 3.0, abs=HAIR)


def test_calls_of_long_ago_are_due_at_once() -> None:
    """A process that was killed two windows ago costs nothing."""
    tokens = Tokens(LIMIT)
    tokens.assume_spent(START, START - 10.0)
    assert (tokens.free, tokens.next_due) == (1, NEVER) or tokens.free == 4


def test_calls_assumed_later_are_in_order_with_the_others() -> None:
    """What ended first returns first."""
    tokens = bucket(spent=1)
    tokens.release(START, counted=False)
    tokens.assume_spent(START, START - 1.0, 1)
    assert [*tokens._late] == [START + 1.0, START + 2.0]


def test_tokens_that_are_back_by_now_are_assumed_to_be_spent_as_well() -> None:
    """Those that were due before are free first."""
    tokens = bucket(spent=4, ended=4)
    tokens.assume_spent(START + 10.0, START + 10.0)
    assert (tokens.free, len(tokens._late)) == (0, 4)

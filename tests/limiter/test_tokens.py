"""The token bucket when its limit changes, by declaration and by the server."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async import RateLimit
from leadsquared_async.limiter.tokens import REMEMBERED, Tokens

DEFAULT = RateLimit(25, per=5.0)
START = 1_000.0

limits = st.builds(
    RateLimit,
    st.sampled_from([1, 2, 10, 25, 60, 200]),
    st.sampled_from([0.2, 1.0, 2.0, 5.0, 60.0, 600.0, 86_400.0]),
)


def use(tokens: Tokens, now: float, seconds: float, *, answered: bool = True) -> list[float]:
    """Take every token as soon as it is there; returns when."""
    taken: list[float] = []
    end = now + seconds
    while True:
        tokens.settle(now)
        while tokens.free and now >= tokens.paused_until:
            tokens.take(now)
            tokens.release(now, counted=answered)
            taken.append(now)
        wait = tokens.paused_until if now < tokens.paused_until else tokens.next_change()
        if wait > end:
            tokens.settle(end)
            return taken
        now = wait


@dataclass(frozen=True)
class Spell:
    """A limit, for how long, and whether calls are made as fast as it allows."""

    limit: RateLimit
    seconds: float
    busy: bool
    answered: bool


spells = st.builds(Spell, limits, st.sampled_from([0.0, 0.5, 2.0]), st.booleans(), st.booleans())


@settings(max_examples=100, deadline=None)
@given(st.lists(spells, max_size=6), limits)
def test_a_limit_kept_for_a_while_leaves_no_trace_beyond_one_window_of_the_next(
    before: list[Spell], limit: RateLimit
) -> None:
    """One window after the change all tokens are free that no call holds."""
    tokens, now = Tokens(DEFAULT), START
    for spell in before:
        tokens.set_declared(now, spell.limit)
        tokens.settle(now)
        if spell.busy:
            use(tokens, now, spell.seconds, answered=spell.answered)
        now += spell.seconds
    tokens.settle(now)
    tokens.set_declared(now, limit)
    tokens.settle(now)
    unanswered = len(tokens._late)
    # The first is there within a window, and then one a spacing: what spending them all now would cost.
    for place, due in enumerate(tokens._due):
        assert due <= now + limit.per + (place + 1) * limit.spacing
    # Before a shorter window than LeadSquared's own, all calls that it may still count have to leave that.
    windows = limit.per * (2 if unanswered else 1)
    if any(each.per < REMEMBERED for each in [limit, *(spell.limit for spell in before)]):
        windows = max(windows, 2 * REMEMBERED)
    assert tokens.earliest(now, 0) <= now + windows + 2 * limit.spacing
    assert all(late <= now + limit.per for late in tokens._late)
    assert tokens.held == limit.calls or unanswered > limit.calls
    tokens.settle(now + 3 * limit.per + (limit.calls + 1) * limit.spacing)
    assert tokens.free == limit.calls


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(limits, st.sampled_from([0.0, 1.0, 4.0, 30.0]), st.booleans()), min_size=1, max_size=8)
)
def test_calls_made_under_any_limits_keep_to_the_one_in_force(
    changes: list[tuple[RateLimit, float, bool]],
) -> None:
    """After each change no call exceeds the window in force."""
    tokens, now, sent = Tokens(DEFAULT), START, list[float]()
    for limit, seconds, busy in changes:
        tokens.set_declared(now, limit)
        if busy:
            for when in use(tokens, now, min(seconds, 40 * limit.spacing)):
                sent.append(when)
                assert sum(when - limit.per < earlier for earlier in sent) <= limit.calls
        now += seconds


FASTER = [
    (RateLimit(25, per=5.0), RateLimit(5, per=1.0)),
    (RateLimit(25, per=5.0), RateLimit(1, per=0.2)),
    (RateLimit(25, per=1.0), RateLimit(1, per=0.04)),
    (RateLimit(25, per=1.0), RateLimit(5, per=0.2)),
    (RateLimit(10, per=2.0), RateLimit(2, per=1.0)),
]


@pytest.mark.parametrize("busy", [0.0, 0.3, 0.9, 7.0])
@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize(("wide", "narrow"), FASTER, ids=str)
def test_a_shorter_window_lets_no_more_through_than_the_longer_before_it(
    wide: RateLimit, narrow: RateLimit, answered: bool, busy: float
) -> None:
    """This holds for bursts under a wide window, and then two shorter ones of the same rate."""
    shortest = RateLimit(1, per=narrow.per / narrow.calls)
    for then in ([narrow], [shortest], [narrow, shortest]):
        tokens, now = Tokens(wide), START
        sent = use(tokens, now, busy, answered=answered)
        now += busy
        for limit in then:
            tokens.set_declared(now, limit)
            sent += use(tokens, now, 0.1 if limit is not then[-1] else wide.per)
            now += 0.1
        made_before = [when for when in sent if when <= START + busy]
        for first in made_before:
            assert sum(first <= when < first + wide.per for when in sent) <= wide.calls, (then, first)


def test_two_limits_that_alternate_cost_no_more_than_the_smaller() -> None:
    """Calls are made between a client's 1 call in 600 s that comes and goes every 2 s."""
    tokens, now, sent = Tokens(DEFAULT), START, 0
    for _ in range(30):
        tokens.set_declared(now, RateLimit(1, per=600.0))
        sent += len(use(tokens, now, 2.0))
        now += 2.0
        tokens.set_declared(now, DEFAULT)
        sent += len(use(tokens, now, 2.0))
        now += 2.0
    assert sent >= 0.9 * 30 * 2.0 * 5


def test_a_small_limit_for_two_seconds_costs_an_idle_account_nothing() -> None:
    """A token is free at once afterwards, and all of them within one window."""
    tokens = Tokens(DEFAULT)
    tokens.set_declared(START, RateLimit(1, per=600.0))
    tokens.set_declared(START + 2, DEFAULT)
    tokens.settle(START + 2)
    assert tokens.free
    tokens.settle(START + 2 + DEFAULT.per)
    assert tokens.free == 25


def test_tokens_that_a_larger_limit_adds_come_one_a_spacing() -> None:
    """Raising a limit causes no burst."""
    tokens = Tokens(RateLimit(10, per=5.0))
    tokens.set_declared(START, DEFAULT)
    sent = use(tokens, START, 4.0)
    at_once = sum(when == START for when in sent)
    assert at_once == 11
    assert sent[at_once] == pytest.approx(START + DEFAULT.spacing)


@pytest.mark.parametrize("long", [RateLimit(1, per=600.0), RateLimit(25, per=600.0), RateLimit(3, per=60.0)])
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("spent", [1, 25])
def test_a_window_that_shrinks_again_holds_nothing_back_longer_than_itself(
    long: RateLimit, counted: bool, spent: int
) -> None:
    """The next token comes within two of the new windows, lowered before or after the calls."""
    for lowered_first in (False, True):
        tokens = Tokens(DEFAULT)
        if lowered_first:
            tokens.set_declared(0.0, long)
        for _ in range(min(spent, tokens.free)):
            tokens.take(0.0)
            tokens.release(0.1, counted=counted)
        tokens.set_declared(0.2, long)
        tokens.settle(1.0)
        tokens.set_declared(1.0, DEFAULT)
        tokens.settle(1.0 + 2 * DEFAULT.per + 0.01)
        assert tokens.free >= 1
        tokens.settle(1.0 + 4 * DEFAULT.per)
        assert (tokens.free, tokens.held) == (25, 25)


def test_a_token_of_a_call_without_an_answer_comes_back_before_that_of_a_later_one() -> None:
    """It is due two windows after the call ended, though another call ended meanwhile."""
    tokens = Tokens(RateLimit(2, per=5.0))
    for _ in range(2):
        tokens.take(START)
    tokens.release(START, counted=False)
    tokens.release(START + 7.0, counted=True)
    tokens.settle(START + 10.01)
    assert tokens.free == 1


# Limits that the server names

FAR = [RateLimit(1, per=3600.0), RateLimit(1, per=5.0), RateLimit(2, per=5.0), RateLimit(10_000, per=61.0)]
NEAR = [RateLimit(10, per=5.0), RateLimit(3, per=5.0), RateLimit(60, per=60.0)]


@pytest.mark.parametrize("named", FAR, ids=str)
def test_a_limit_far_below_the_declared_needs_a_second_answer(named: RateLimit) -> None:
    """One answer costs a pause and a token; a second with the same limit is believed."""
    tokens = Tokens(DEFAULT)
    assert not tokens.count_429(START, None, named)
    assert (tokens.limit, tokens.doubted, tokens.withdrawn) == (DEFAULT, named, 1)
    other = RateLimit(named.calls, named.per + 1)
    assert not tokens.count_429(START + 1, None, other)
    assert not tokens.count_429(START + 2, None, named)
    lowered = tokens.count_429(START + 3, None, named)
    assert lowered == (DEFAULT.within(named) != DEFAULT)
    assert tokens.limit == DEFAULT.within(named)


def test_a_doubted_limit_is_forgotten_after_clean_windows() -> None:
    """Two such answers an hour apart count as first ones."""
    tokens = Tokens(DEFAULT)
    assert not tokens.count_429(START, None, FAR[0])
    assert not tokens.count_429(START + 3600, None, FAR[0])
    assert tokens.limit == DEFAULT


@pytest.mark.parametrize("named", NEAR, ids=str)
def test_a_learnt_limit_is_given_up_after_clean_windows(named: RateLimit) -> None:
    """It applies at once, and the declared one is tried after twelve windows without a 429."""
    tokens = Tokens(DEFAULT)
    assert tokens.count_429(START, None, named)
    assert tokens.limit == DEFAULT.within(named)
    clean = 12 * tokens.limit.per
    use(tokens, START, clean - 0.1)
    assert tokens.limit == DEFAULT.within(named)
    use(tokens, START + clean - 0.1, 10.0)
    assert (tokens.limit, tokens.learnt) == (DEFAULT, None)


def test_each_attempt_that_fails_doubles_the_time_to_the_next() -> None:
    """It grows from 1 to 64 minutes for an account of 10 in 5 s; a success resets it."""
    named, tokens, now = RateLimit(10, per=5.0), Tokens(DEFAULT), START
    waits = []
    for _ in range(9):
        assert tokens.count_429(now, None, named)
        tokens.take(now)
        waits.append(tokens.tried_again_at - now)
        now = tokens.tried_again_at
        tokens.settle(now)
        tokens.release(now, counted=True)
        assert tokens.limit == DEFAULT
        now += 1.0
    assert waits == [60, 120, 240, 480, 960, 1920, 3840, 3840, 3840]
    now += 3841
    assert tokens.count_429(now, None, named)
    tokens.take(now)
    assert tokens.tried_again_at - now == 60


def test_an_idle_account_is_not_tried_with_a_burst() -> None:
    """The attempt begins with a call, and its additional tokens come one a spacing."""
    tokens = Tokens(DEFAULT)
    tokens.count_429(START, None, NEAR[0])
    now = START + 3600
    tokens.settle(now)
    assert tokens.limit.calls == 10
    assert sum(when == now for when in use(tokens, now, 1.0)) <= 12


def test_a_declared_limit_that_changes_keeps_what_was_learnt() -> None:
    """A new declaration keeps the learnt limit, and the next attempt keeps the declaration."""
    tokens = Tokens(DEFAULT)
    tokens.count_429(START, None, RateLimit(10, per=5.0))
    tokens.set_declared(START, RateLimit(20, per=5.0))
    assert tokens.limit == RateLimit(10, per=5.0)
    use(tokens, START, 70.0)
    assert tokens.limit == RateLimit(20, per=5.0)

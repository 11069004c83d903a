"""The token bucket at the ends of its ranges: one token, one spacing, and surplus of each kind."""

from __future__ import annotations

import pytest

from leadsquared_async import RateLimit
from leadsquared_async.limiter.tokens import Tokens
from tests.limiter.test_token_arithmetic import HAIR, LIMIT, START, bucket


def test_a_limit_of_one_call() -> None:
    """Its token comes back one window after the call."""
    tokens = bucket(spent=1, ended=1, limit=RateLimit(1, per=2.0, margin=0.0))
    assert tokens.next_due == pytest.approx(START + 2.0, abs=HAIR)
    tokens.settle(START + 2.1)
    assert (tokens.free, tokens.held) == (1, 1)


def test_a_bucket_is_idle_once_its_tokens_are_due() -> None:
    """Nobody else needs to look at it before."""
    tokens = bucket(spent=1, ended=1)
    assert not tokens.is_idle(START + 1.9)
    assert tokens.is_idle(START + 2.1)


def test_a_429_one_spacing_after_another_withdraws_a_token() -> None:
    """One withdrawal per spacing includes its end."""
    tokens = Tokens(LIMIT)
    tokens.count_429(START, None, None)
    tokens.count_429(START + LIMIT.spacing, None, None)
    assert tokens.withdrawn == 2


def test_a_surplus_is_dropped_while_calls_without_an_answer_count() -> None:
    """A token that returns beyond the capacity does not wait for them."""
    tokens = bucket(spent=4)
    tokens.release(START, counted=False)
    tokens.release(START, counted=False)
    tokens.count_429(START, None, None)
    tokens.release(START, counted=True)
    assert (tokens.out, tokens.held, tokens.capacity) == (1, 3, 3)


def test_a_smaller_limit_frees_the_tokens_of_a_shorter_window_one_by_one() -> None:
    """Two of two calls ended one new window ago: one token is free now, the other a spacing later."""
    tokens = bucket(spent=2, ended=2)
    tokens.set_declared(START + 1.5, RateLimit(2, per=1.0, margin=0.0))
    assert tokens.free == 1
    assert tokens.next_due == pytest.approx(START + 2.0, abs=HAIR)


def test_a_shorter_window_waits_for_the_last_of_several_calls_without_an_answer() -> None:
    """The server may still count each of them for the longer window."""
    tokens = bucket(spent=2, limit=RateLimit(4, per=5.0))
    tokens.release(START, counted=False)
    tokens.release(START + 1.0, counted=False)
    tokens.set_declared(START + 1.0, RateLimit(2, per=1.0))
    assert tokens.paused_until == pytest.approx(START + 11.0, abs=HAIR)

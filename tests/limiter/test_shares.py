"""What one process may use of a limit while the store does not answer."""

from __future__ import annotations

import pytest

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.shares import share_of, spend_of_share
from leadsquared_async.limiter.tokens import Tokens
from tests.limiter.world import DEFAULT


def test_a_share_is_a_part_of_the_calls_or_a_longer_window() -> None:
    """25 calls by 4 are 6 each; by 100, one in 20 seconds; 16 processes are assumed if none are known."""
    assert share_of(DEFAULT, 4) == RateLimit(6, per=5.0)
    assert share_of(DEFAULT, 25) == RateLimit(1, per=5.0)
    assert share_of(DEFAULT, 100) == RateLimit(1, per=20.0)
    assert share_of(RateLimit(48, per=5.0), None) == RateLimit(3, per=5.0)


@pytest.mark.parametrize("held", [0, 2, 6, 9])
@pytest.mark.parametrize("free", [0, 1, 6])
def test_the_tokens_of_a_share_are_all_there_after_a_window(held: int, free: int) -> None:
    """All tokens of a share are back within a window of its start."""
    share = RateLimit(6, per=5.0)
    tokens = Tokens(share)
    spend_of_share(tokens, 100.0, held=held, free=free, phase=0.5)
    assert tokens.out == held
    assert tokens.free == min(free, max(0, 6 - held))
    tokens.settle(105.2)
    assert tokens.free == max(0, 6 - held)
    for _ in range(held):
        tokens.release(105.2, counted=True)
    tokens.settle(120.0)
    assert tokens.is_idle(120.0)

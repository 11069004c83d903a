"""What a process keeps to by itself while the store cannot be reached: its share of the limit."""

from __future__ import annotations

from leadsquared_async.config import LONGEST_WINDOW, RateLimit
from leadsquared_async.limiter.tokens import Tokens

__all__ = ["UNKNOWN", "share_of", "tokens_of_share"]

UNKNOWN = 16
"""How many processes there are taken to be as long as none was ever seen."""


def share_of(limit: RateLimit, processes: int) -> RateLimit:
    """The part of the limit that one of so many processes may use; below one call it is a longer window."""
    calls = limit.calls // processes
    if calls:
        return RateLimit(calls, limit.per, limit.margin)
    return RateLimit(1, min(LONGEST_WINDOW, limit.per * processes / limit.calls), limit.margin)


def tokens_of_share(share: RateLimit, now: float, *, held: int, free: int, phase: float) -> Tokens:
    """The tokens of a share, as those of the whole were when the store was last heard.

    Args:
        share: the limit of this process.
        now: the loop's time.
        held: its calls in flight; they may be more than the share.
        free: how many may be spent at once. The rest comes back evenly over one window.
        phase: from 0 to 1, where in its spacing each of the rest comes: not at once in all processes.
    """
    tokens = Tokens(share)
    in_flight = min(held, share.calls)
    for _ in range(in_flight):
        tokens.take(now)
    rest = max(0, tokens.free - free)
    for place in range(rest):
        tokens.take(now)
        # A call that ended then is due back by now and so many parts of the window.
        tokens.give(now - share.per * (1 - (place + phase) / rest), counted=True)
    tokens.out += held - in_flight
    return tokens

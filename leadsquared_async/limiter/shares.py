"""The share of a limit that one process may use while the store does not answer. Pure."""

from __future__ import annotations

from leadsquared_async.config import LONGEST_WINDOW, RateLimit
from leadsquared_async.limiter.tokens import Tokens

__all__ = ["share_of", "spend_of_share"]

ASSUMED_PROCESSES = 16
"""The number of processes assumed before the first reply."""


def share_of(limit: RateLimit, processes: int | None) -> RateLimit:
    """The share of each process; if it is less than one call, the window becomes longer instead.

    Args:
        limit: the limit of all.
        processes: how many share it; None before the store's first reply.
    """
    processes = processes or ASSUMED_PROCESSES
    calls = limit.calls // processes
    if calls:
        return RateLimit(calls, limit.per, limit.margin)
    return RateLimit(1, min(LONGEST_WINDOW, limit.per * processes / limit.calls), limit.margin)


def spend_of_share(tokens: Tokens, now: float, *, held: int, free: int, phase: float) -> None:
    """Initialise a share's tokens from the state that the store last reported.

    Args:
        tokens: of the share.
        now: the loop's time.
        held: calls in flight, which may exceed the share.
        free: how many may be spent at once. The others return evenly over one window.
        phase: the offset of their return, in spacings, so that processes do not all send at once.
    """
    share = tokens.limit
    in_flight = min(held, share.calls)
    for _ in range(in_flight):
        tokens.take(now)
    rest = max(0, tokens.free - free)
    for place in range(rest):
        tokens.take(now)
        # The end time of a call whose token returns after that part of the window.
        tokens.release(now - share.per * (1 - (place + phase) / rest), counted=True)
    tokens.out += held - in_flight

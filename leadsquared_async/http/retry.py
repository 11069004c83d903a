"""Is there another attempt, and after how long? Pure: time and chance come in as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from leadsquared_async.config import RetryPolicy
from leadsquared_async.errors import Delivery
from leadsquared_async.operations import Idempotency
from leadsquared_async.protocol import Again, Outcome

__all__ = ["Bound", "Decision", "Progress", "decide"]


FEW = 3
"""Attempts at what LeadSquared fails at with an exception of its own."""


class Bound(Enum):
    """What keeps a call from another attempt that would have been of use."""

    ATTEMPTS = "attempts"
    WITHIN = "within"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call has come.

    Attributes:
        failures: attempts that failed, refusals by the rate limit included.
        counted: those of them that use up `RetryPolicy.attempts`: all but the refusals.
        elapsed: seconds since the first attempt started, less those spent under refusals.
        left: seconds until the call's deadline; None if it has none.
    """

    failures: int
    counted: int
    elapsed: float
    left: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do after an attempt.

    Attributes:
        again: whether another attempt is of use and allowed.
        bound: the bound that forbids it all the same; None when there is room.
        pause: seconds to wait before it.
    """

    again: bool
    bound: Bound | None = None
    pause: float = 0.0


DONE = Decision(again=False)


def decide(
    outcome: Outcome, repeat: Idempotency, policy: RetryPolicy, progress: Progress, chance: float
) -> Decision:
    """Decide what follows an attempt.

    Args:
        outcome: what the attempt came to.
        repeat: may the call be made twice?
        policy: the caller's bounds.
        progress: how far the call has come, this attempt included.
        chance: a number from 0 to 1, evenly drawn.
    """
    if not _of_use(outcome, repeat, policy):
        return DONE
    backoff = min(policy.base * 2.0 ** min(progress.failures - 1, 64), policy.cap)
    pause = max(chance * backoff, outcome.pause or 0.0)
    return Decision(again=True, bound=_bound(outcome, policy, progress, pause), pause=pause)


def _of_use(outcome: Outcome, repeat: Idempotency, policy: RetryPolicy) -> bool:
    if outcome.again is Again.NO:
        return False
    if outcome.delivery is not Delivery.UNKNOWN or repeat is Idempotency.READ or policy.unknown == "always":
        return True
    if policy.unknown == "never":
        return False
    return outcome.again is not Again.IF_REPEATABLE or repeat is Idempotency.MATCHED


def _bound(outcome: Outcome, policy: RetryPolicy, progress: Progress, pause: float) -> Bound | None:
    if progress.left is not None and progress.left <= 0:
        return Bound.DEADLINE
    # Before a pause that would be too long: an error that was the last anyway is told as what it is.
    if not outcome.throttled:
        most = min(policy.attempts, FEW) if outcome.again is Again.A_FEW_TIMES else policy.attempts
        if progress.counted >= most:
            return Bound.ATTEMPTS
        if progress.elapsed + pause > policy.within:
            return Bound.WITHIN
    if progress.left is not None and pause >= progress.left:
        return Bound.DEADLINE
    return None

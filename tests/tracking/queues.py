"""LeadSquared's queue as the pure core of the tracking sees it: who is finished when, in seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from random import Random

from leadsquared_async.tracking.order import QueueOrder

RETRIES = (30, 120, 420, 900, 1800, 2700, 3600, 5400, 7200, 10800)
"""Seconds to the next try after each system error."""


def ready_times(
    accepted: Sequence[float],
    *,
    rate: float,
    seed: int,
    held_back: float = 0.0,
    disorder: float = 0.0,
    stall: tuple[float, float] = (0.0, 0.0),
) -> list[float]:
    """When each request is finished.

    Args:
        accepted: when LeadSquared got them.
        rate: requests processed a minute, first in, first out; what is tried again goes to the back.
        held_back: the share of tries that meet a system error.
        disorder: seconds by which an outcome comes before or after its turn, at most.
        stall: nothing is processed from the first moment until the second.
    """
    chance = Random(seed)
    ready = [0.0] * len(accepted)
    waiting = [(time, number, 0) for number, time in enumerate(accepted)]
    heapify(waiting)
    free_at = 0.0
    while waiting:
        since, number, errors = heappop(waiting)
        free_at = max(free_at, since) + 60 / rate
        if stall[0] <= free_at < stall[1]:
            free_at = stall[1]
        if chance.random() < held_back and errors < len(RETRIES):
            heappush(waiting, (free_at + RETRIES[errors], number, errors + 1))
        else:
            ready[number] = free_at + disorder + chance.uniform(-disorder, disorder)
    return ready


@dataclass
class Following:
    """The cost and the delays of following many requests.

    Attributes:
        calls: when each call was made, and for whom.
        lags: seconds from being ready to being known, for each request.
        together: the most requests polled at once.
    """

    calls: list[tuple[float, str]] = field(default_factory=list)
    lags: dict[str, float] = field(default_factory=dict)
    together: int = 0

    @property
    def calls_each(self) -> float:
        """Calls a request."""
        return len(self.calls) / len(self.lags)

    def share_within(self, seconds: float) -> float:
        """The share of the outcomes known so soon after they were ready."""
        return sum(lag <= seconds for lag in self.lags.values()) / len(self.lags)


def follow(
    accepted: Sequence[float],
    ready: Sequence[float],
    *,
    round_trip: float = 0.2,
    order: QueueOrder | None = None,
    until: float = float("inf"),
    between: Callable[[float], None] = lambda now: None,
) -> Following:
    """Follow requests from when they are accepted until all are known, as the tracker does."""
    order = QueueOrder() if order is None else order
    result = Following()
    times = {str(number): time for number, time in enumerate(ready)}
    coming = sorted((time, number) for number, time in enumerate(accepted))[::-1]
    now = 0.0
    while (order or coming) and now < until:
        wake = now + order.schedule.pause
        if not order:
            wake = now = max(now, coming[-1][0])
        while coming and coming[-1][0] <= wake:
            joined, number = coming.pop()
            order.add(str(number))
            wake = min(wake, max(now, joined) + order.schedule.pause)
        now = wake
        between(now)
        sweep = order.sweep(now)
        asked = next(sweep, ())
        while asked:
            result.together = max(result.together, len(asked))
            result.calls += ((now, name) for name in asked)
            now += round_trip
            answers = [times[name] <= now - round_trip / 2 for name in asked]
            for name, is_finished in zip(asked, answers, strict=True):
                if is_finished:
                    result.lags[name] = now - times[name]
            try:
                asked = sweep.send(answers)
            except StopIteration:
                break
    return result

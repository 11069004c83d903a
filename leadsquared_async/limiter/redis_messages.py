"""The messages between a process and the store: a request about the calls of one account, and the reply.

A request states how things are, not what changed: losing a request or its reply does no harm,
since the next one says again how many calls are in flight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

from leadsquared_async.config import RateLimit

__all__ = [
    "VERSION",
    "End",
    "Incompatible",
    "Known",
    "OutOfBounds",
    "RateLimited",
    "Reply",
    "Request",
    "StoreUnavailable",
]

VERSION = 1
"""Of the state in the store. Processes that speak different versions do not share an account."""

_MICRO = 1e6
_OK, _INCOMPATIBLE = 0, 1
_DAMAGED = 2
_TICK = 1.0
"""Seconds by which an answer may be beyond its bounds, for rounding and a lease of nearly nothing."""
_HUGE = 2**53
_HOUR, _DAY = 3_600 * 10**6, 86_400 * 10**6
_MOST = 10_000
_BOUNDS = (
    *((0, 2), (0, _HUGE), (0, _HUGE), (0, _HUGE)),  # status, at, born, steps
    *((0, _MOST), (0, _MOST), (0, _MOST)),  # granted
    *(
        (-1, _DAY),
        (0, _MOST),
        (0, 4 * _DAY),
        (0, _HOUR),
        (0, _MOST),
    ),  # again, free, first, paused, withdrawn
    *((1, _MOST), (1, _DAY), (0, 10**6)),  # limit
    *((0, 10**6), (0, 1), (0, 2)),  # processes, learnt, begun
)
"""The least and the most that each number of an answer may be."""


class StoreUnavailable(Exception):
    """The store could not be reached, or did not do what it was asked; the message says why."""


class Incompatible(Exception):
    """The state in the store is of a version that this one cannot read.

    Attributes:
        version: its version; 0 if it is no state of a bucket at all.
    """

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


class OutOfBounds(Exception):
    """The answer cannot be one of the script."""


@dataclass(frozen=True, slots=True)
class End:
    """A call that has ended.

    Attributes:
        age: seconds since then.
        counted: False if it got no answer, so that the server may count it later.
    """

    age: float
    counted: bool


@dataclass(frozen=True, slots=True)
class RateLimited:
    """One or several answers of 429 that the store does not know of yet.

    Attributes:
        until: the loop's time until which the server wants silence; None if it did not say.
        named: the account's limit (calls, seconds), where it was named.
    """

    until: float | None
    named: tuple[int, float] | None

    def then(self, later: RateLimited | None) -> RateLimited:
        """This one, and another that came later."""
        if later is None:
            return self
        ends = [until for until in (self.until, later.until) if until is not None]
        return RateLimited(max(ends) if ends else None, later.named or self.named)

    def left(self, now: float) -> float | None:
        """Seconds of silence that are left."""
        return None if self.until is None else max(0.0, self.until - now)


@dataclass(frozen=True, slots=True)
class Known:
    """What the process last heard of the state, by which the store sees that it has lost something.

    Attributes:
        born: names the state.
        steps: how often it had changed.
        expected: what the state's clock should show by now, in seconds.
    """

    born: int
    steps: int
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One process, at one moment.

    Attributes:
        process: its name.
        number: of this request; an older one that arrives late is not heard.
        channel: where it listens for hints that its turn comes earlier than the last reply said.
        declared: the limit it wants kept.
        lease: seconds until its calls in flight are taken for lost, if nothing more is heard of it.
        presence: seconds until it is taken for gone.
        keep: seconds for which the state outlives this request.
        held: its calls in flight.
        waiting: how many wait for a token, by lane.
        ends: calls that ended since it was last answered, the oldest first.
        all_ends_count: whether calls among them were made without a token of the store.
        rate_limited: whether the server answered 429 meanwhile.
        pause: seconds for which the server wants silence.
        named: the limit that the server named.
        assumed: unknown calls of an earlier process (None: as many as there are tokens), and seconds since
            the last one ended.
        known: what it last heard; None if nothing.
        leaving: whether it is the last request.
    """

    process: str
    number: int
    channel: str
    declared: RateLimit
    lease: float
    presence: float
    keep: float
    held: int = 0
    waiting: tuple[int, int, int] = (0, 0, 0)
    ends: tuple[End, ...] = ()
    all_ends_count: bool = False
    rate_limited: bool = False
    pause: float | None = None
    named: tuple[int, float] | None = None
    assumed: tuple[int | None, float] | None = None
    known: Known | None = None
    leaving: bool = False

    def arguments(self) -> list[str | int]:
        """For the script; times in microseconds, rounded to the safe side."""
        calls, per = self.named or (0, 0.0)
        assumed, assumed_age = self.assumed or (0, 0.0)
        known = self.known or Known(0, 0, 0.0)
        return [
            VERSION,
            self.process,
            self.number,
            self.channel,
            self.declared.calls,
            _up(self.declared.per),
            _up(self.declared.margin),
            _up(self.lease),
            _up(self.presence),
            math.ceil(self.keep * 1e3),
            self.held,
            *self.waiting,
            int(self.all_ends_count),
            int(self.rate_limited),
            -1 if self.pause is None else _up(self.pause),
            calls,
            _up(per),
            -1 if assumed is None else assumed,
            _down(assumed_age),
            known.born,
            known.steps,
            _up(known.expected),
            int(self.leaving),
            *(_down(end.age) if end.counted else -1 - _down(end.age) for end in self.ends),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the store answered.

    Attributes:
        at: what the state's clock shows, in seconds.
        born: names the state.
        steps: how often it has changed.
        granted: tokens for the process, by lane; they are spent as of now.
        again: seconds until it should ask again for those who still wait; None if none do.
        free: tokens that may be spent at once.
        first: seconds until the earliest token beyond the free ones.
        paused: seconds for which nothing is spent.
        withdrawn: tokens out of use since the server answered 429.
        limit: what all keep to.
        processes: how many are present.
        learnt: whether the server named the limit.
        begun_as_spent: whether the state is new, and all its tokens count as spent just before.
        stale: whether the request came after a later one, and nothing was done.
        was_damaged: whether the state before was none that the script can have written.
    """

    at: float
    born: int
    steps: int
    granted: tuple[int, int, int]
    again: float | None
    free: int
    first: float
    paused: float
    withdrawn: int
    limit: RateLimit
    processes: int
    learnt: bool
    begun_as_spent: bool = False
    stale: bool = False
    was_damaged: bool = False

    @classmethod
    def read(cls, answer: object) -> Reply:
        """From what the script returned.

        Raises:
            Incompatible: the state is of another version.
            OutOfBounds: it is no answer of the script.
        """
        numbers = _numbers(answer)
        if numbers[:1] == [_INCOMPATIBLE] and len(numbers) > 1:
            raise Incompatible(numbers[1])
        if len(numbers) < len(_BOUNDS) or not all(
            least <= number <= most for number, (least, most) in zip(numbers, _BOUNDS, strict=False)
        ):
            raise OutOfBounds
        (status, at, born, steps, forms, batch, polls, again, free, first, paused, withdrawn) = numbers[:12]
        (calls, per, margin, processes, learnt, begun) = numbers[12:18]
        return cls(
            at=at / _MICRO,
            born=born,
            steps=steps,
            granted=(forms, batch, polls),
            again=None if again < 0 else again / _MICRO,
            free=free,
            first=first / _MICRO,
            paused=paused / _MICRO,
            withdrawn=withdrawn,
            limit=RateLimit(calls, per / _MICRO, margin / _MICRO),
            processes=processes,
            learnt=bool(learnt),
            begun_as_spent=begun > 0,
            stale=status != _OK,
            was_damaged=begun == _DAMAGED,
        )

    def fits(self, request: Request) -> bool:
        """Whether the script can have answered that to this request: no more and no later than was asked."""
        waits = False
        for granted, asked in zip(self.granted, request.waiting, strict=True):
            if granted > asked:
                return False
            waits |= granted < asked
        if self.stale or request.leaving:
            return True
        all_spent = self.limit.per + (self.limit.calls + 2) * self.limit.spacing
        if self.again is None:
            return not waits
        return self.again <= request.lease / 3 + _TICK and self.first <= max(self.paused, all_spent) + _TICK


def _numbers(answer: object) -> list[int]:
    items = cast("list[object]", answer) if isinstance(answer, list) else []
    numbers = [item for item in items if isinstance(item, int) and not isinstance(item, bool)]
    return numbers if len(numbers) == len(items) else []


def _up(seconds: float) -> int:
    return math.ceil(seconds * _MICRO - 1e-3)


def _down(seconds: float) -> int:
    return math.floor(max(0.0, seconds) * _MICRO)

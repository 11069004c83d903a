"""The messages between a process and the store: a request about the calls of one account, and the reply.

A request reports the current state, not changes, so a lost request or reply does no harm: the next request
reports the state again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

from leadsquared_async.config import RateLimit

__all__ = ["CALLS_BEFORE", "VERSION", "Incompatible", "StoreReply", "StoreRequest", "StoreUnavailable"]

VERSION = 1
"""The version of the state in the store. Processes with different versions cannot share an account."""

_MICRO = 1e6
_OK, _INCOMPATIBLE = 0, 1
_BEGUN_AS_SPENT, _DAMAGED = 1, 2
_NUMBERS = 18
"""The length of the script's answer."""

CALLS_BEFORE = -1
"""In place of a known state's `born`: this process knows no state, and calls were made before."""


class StoreUnavailable(Exception):
    """The store could not be reached or did not run the request; the message says why."""


class Incompatible(Exception):
    """This version cannot read the state in the store.

    Attributes:
        version: the state's version; 0 if it is not a bucket's state.
    """

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRequest:
    """The state of one process at one moment.

    Attributes:
        process: its id.
        number: of this request; an older one that arrives later is ignored.
        channel: where it gets hints that its turn comes earlier than the last reply said.
        declared: the limit that it declares.
        lease: seconds until its calls in flight count as ended without an answer, unless it asks again.
        presence: seconds until it counts as gone, unless it asks again.
        keep: seconds for which the state outlives this request.
        held: its calls in flight.
        waiting: its callers waiting for a token, by lane.
        ends: calls that ended since the last reply, oldest first: seconds ago, and False without an answer,
            so that the server may count it later.
        all_ends_count: whether `ends` includes calls made without a token of the store.
        rate_limited: whether the server answered 429 since the last reply.
        pause: the pause in seconds that the server requested.
        named: the limit that the server stated.
        known: the state in the last reply, by which the store detects lost data: its `born`, its `steps`, and
            the time in seconds that its clock should show now.
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
    ends: tuple[tuple[float, bool], ...] = ()
    all_ends_count: bool = False
    rate_limited: bool = False
    pause: float | None = None
    named: tuple[int, float] | None = None
    known: tuple[int, int, float] = (0, 0, 0.0)
    leaving: bool = False

    def arguments(self) -> list[str | int]:
        """The script's arguments; times in microseconds, rounded conservatively."""
        calls, per = self.named or (0, 0.0)
        born, steps, expected = self.known
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
            born,
            steps,
            _up(expected),
            int(self.leaving),
            *(_down(age) if counted else -1 - _down(age) for age, counted in self.ends),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReply:
    """The store's reply.

    Attributes:
        at: the time on the state's clock, in seconds.
        born: identifies the state.
        steps: how often the state has changed.
        granted: tokens granted to the process, by lane; they are already spent.
        again: seconds until the process should ask again for its remaining waiters; None if it has none.
        free: tokens that may be spent at once.
        first: seconds until the earliest token beyond the free ones.
        paused: seconds left in which no token is spent.
        withdrawn: tokens withdrawn after 429s.
        limit: the limit for all processes.
        processes: how many are present.
        learnt: whether the server stated the limit.
        begun_as_spent: whether the state is new, with all tokens just spent.
        was_damaged: whether the script had not written the previous state.
        stale: whether the request arrived after a later one and was ignored.
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
    begun_as_spent: bool
    was_damaged: bool
    stale: bool

    @classmethod
    def read(cls, answer: object) -> StoreReply:
        """Read the script's answer.

        Raises:
            Incompatible: the state has another version.
            StoreUnavailable: the answer is invalid.
        """
        numbers = cast("list[int]", answer) if isinstance(answer, list) else []
        if not all(type(number) is int for number in numbers):
            numbers = []
        if len(numbers) == 2 and numbers[0] == _INCOMPATIBLE:
            raise Incompatible(numbers[1])
        if len(numbers) != _NUMBERS:
            raise StoreUnavailable("its answer is invalid")
        (status, at, born, steps, forms, batch, polls, again, free, first, paused, withdrawn) = numbers[:12]
        (calls, per, margin, processes, learnt, begun) = numbers[12:]
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
            begun_as_spent=begun >= _BEGUN_AS_SPENT,
            was_damaged=begun == _DAMAGED,
            stale=status != _OK,
        )


def _up(seconds: float) -> int:
    return math.ceil(seconds * _MICRO - 1e-3)


def _down(seconds: float) -> int:
    return math.floor(max(0.0, seconds) * _MICRO)

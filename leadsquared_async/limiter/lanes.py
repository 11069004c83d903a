"""Lanes, the callers that wait in them, and the order of the lanes. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Generic, NamedTuple, Protocol, TypeVar

__all__ = ["OVERTAKES", "Lane", "Lanes", "Turns", "Waiting"]

OVERTAKES = 7
"""Consecutive grants that may pass an older waiter; the next grant goes to that waiter."""


class Lane(IntEnum):
    """Priority of a call while it waits for a token. Within a lane, calls go in the order of arrival."""

    INTERACTIVE = 0
    """Calls that a person waits for, such as forms. Only this lane may burst."""
    BATCH = 1
    """Many leads; paced, so that a single form does not wait behind them."""
    STATUS = 2
    """Polls; at most half of the rate, even without other calls."""


class Waiting(Protocol):
    """A caller that waits for a token.

    Attributes:
        lane: the lane.
        number: its order of arrival over all lanes.
    """

    @property
    def lane(self) -> Lane: ...
    @property
    def number(self) -> int: ...


W = TypeVar("W", bound=Waiting)


class Lanes(Generic[W]):
    """The waiters of all lanes, in each lane in the order of arrival. They may leave from the middle."""

    def __init__(self) -> None:
        # A plain dict would find its first item in O(n) after many have left.
        self._lanes: tuple[OrderedDict[int, W], ...] = tuple(OrderedDict() for _ in Lane)

    def __bool__(self) -> bool:
        forms, batch, polls = self._lanes
        return bool(forms or batch or polls)

    def __iter__(self) -> Iterator[W]:
        for lane in self._lanes:
            yield from lane.values()

    @property
    def counts(self) -> tuple[int, int, int]:
        """The number of waiters in each lane."""
        forms, batch, polls = self._lanes
        return len(forms), len(batch), len(polls)

    def add(self, waiter: W) -> None:
        """Put a new waiter behind the others of its lane."""
        self._lanes[waiter.lane][waiter.number] = waiter

    def remove(self, waiter: W) -> bool:
        """Return whether it was there."""
        return self._lanes[waiter.lane].pop(waiter.number, None) is not None

    def clear(self) -> None:
        """Remove all."""
        for lane in self._lanes:
            lane.clear()

    def heads(self, may_go: Callable[[W], bool] | None = None) -> list[W]:
        """The first waiter of each lane, highest lane first; with `may_go`, the first that may go."""
        if may_go is None:
            return [next(iter(lane.values())) for lane in self._lanes if lane]
        firsts = (next(filter(may_go, lane.values()), None) for lane in self._lanes)
        return [waiter for waiter in firsts if waiter is not None]


class Turns(NamedTuple):
    """The order of lanes. A higher lane goes first, but no lane starves.

    After seven consecutive forms that passed an older waiter, the oldest waiter goes; after seven batch calls
    that passed a poll, the poll goes. If forms never stop, batches and polls alternate.

    Attributes:
        passed: consecutive grants of each lane that passed an older waiter.
        is_polls_turn: whether the last grant not used by a form went to a poll.
    """

    passed: tuple[int, ...] = (0, 0, 0)
    is_polls_turn: bool = False

    def next(self, heads: Sequence[W], *, is_poll_due: bool) -> tuple[W, Turns]:
        """Return the waiter whose turn it is, and the turns after its grant.

        Args:
            heads: the first waiter of each lane that has waiters, highest lane first; not empty.
            is_poll_due: whether the pacing of polls allows one now.
        """
        first = heads[0]
        if len(heads) == 1:
            return first, _FRESH[self.is_polls_turn]
        is_form = first.lane is Lane.INTERACTIVE
        # Behind a long batch, a poll would be the oldest only after the whole batch.
        passed = min(heads, key=_number) if is_form else heads[-1]
        is_due = passed.lane is not Lane.STATUS or is_poll_due
        if first is not passed and not (self.passed[first.lane] >= OVERTAKES and is_due):
            counts = list(self.passed)
            counts[first.lane] = min(OVERTAKES, counts[first.lane] + 1)
            return first, Turns(tuple(counts), self.is_polls_turn)
        if is_form and passed.lane is Lane.BATCH:
            last, is_polls_turn = heads[-1], not self.is_polls_turn
            is_due = last.lane is not Lane.STATUS or is_poll_due
            return (last if is_polls_turn and is_due else passed), _FRESH[is_polls_turn]
        return passed, _FRESH[self.is_polls_turn]


_FRESH = (Turns(), Turns(is_polls_turn=True))


def _number(head: Waiting) -> int:
    return head.number

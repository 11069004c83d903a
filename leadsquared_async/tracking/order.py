"""Whom to ask next, and when: the requests that are followed, in the order in which LeadSquared got them.

Pure: answers and the time come in as arguments, in seconds of any monotonic clock. LeadSquared's queue is
first in, first out, apart from the requests that it tries again. So a sweep asks from the oldest on until one
is still in the queue, and costs little more than one call a request. If it is the very one at which the last
sweep ended, one further behind is asked: is that one finished, the first was overtaken. What was overtaken is
*left behind*, and asked for now and then. Where many are overtaken, the queue is no queue: then a sweep goes
on to where most are still unfinished. The order decides what it costs, never what comes out.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Generator, Sequence
from itertools import islice
from operator import itemgetter

from leadsquared_async.tracking.schedule import LONGEST_STALL, PATIENCE, Pace

__all__ = ["LEFT_BEHIND", "Line"]

WORTH_A_SWEEP = 4
"""So many should be finished at each sweep: with fewer, the call for the one that is not costs too much."""
WORTH_A_LOOSE_SWEEP = 3
LEFT_BEHIND = (40.0, 40.0, 60.0, 120.0, 420.0, 900.0, 1800.0, 2700.0, 3600.0)
"""Seconds after which one that was overtaken is asked for again; then every hour. LeadSquared tries a request
again after 30 s, 2, 7, 15, 30, 45, 60 min, 1.5, 2 and 3 h (apidocs.leadsquared.com, "Async API")."""
FEW = 2
"""So many requests in a row at which LeadSquared fails end a sweep: it may fail at all of them."""
TOGETHER = 8
"""Requests asked for at the same moment, at most."""

_LOOSE = 0.08
"""Share of the finished requests that were overtaken, from which on the order is not relied upon."""
_ORDERLY = 0.03
"""And from which down it is again."""
_MEMORY = 0.08
_UNFINISHED = 0.40
"""What an unfinished one counts towards the end of a loose sweep; a finished one: 1 minus this, against."""
_FADING = 0.6


class _Place:
    __slots__ = ("asked", "due", "failures", "overtaken", "put_off")

    def __init__(self) -> None:
        self.asked = 0
        self.failures = 0
        self.overtaken = False
        self.put_off = 0
        self.due = 0.0


class Line:
    """The requests that are followed, oldest first.

    Attributes:
        pace: when the next sweep should be.
    """

    def __init__(self) -> None:
        self.pace = Pace()
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._overtaken = 0.0
        self._is_loose = False
        self._is_stalled = False
        self._surplus = 0.0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._places

    def join(self, request_id: str) -> None:
        """Follow a request too, as the youngest."""
        if all(place.due for place in self._places.values()):
            self.pace.restart()  # nobody in it tells when this one will be done
        self._places.setdefault(request_id, _Place())

    def leave(self, request_id: str) -> None:
        """Follow it no more."""
        self._places.pop(request_id, None)

    def sweep(self, now: float) -> Generator[Sequence[str], Sequence[bool | None], None]:
        """Ask once around: yields the requests to ask for, and is sent for each whether it is finished.

        None for one means that nobody answered, which says nothing of it. Others are asked then: it may be
        the only one at which LeadSquared fails. While nothing is heard at all, a sweep asks for one alone.
        """
        found = moved = failed = 0
        is_heard = False
        trailing: list[_Place] = []
        passed: set[str] = set()
        overtaken: set[str] = set()
        waiting = self._due(now)
        expected = self.pace.expected(now)
        is_over = False
        while not is_over and (asked := self._next(waiting, self._together(expected, found))):
            for name, is_finished in zip(asked, (yield asked), strict=True):
                place = self._places.get(name)
                failed = failed + 1 if is_finished is None else 0
                if place is None or not self._is_heard(place, is_finished, now):
                    continue  # it left meanwhile, or nothing was heard of it
                is_heard = True
                if is_finished:
                    found += 1
                    moved += not place.put_off
                    self._finished(name, place, trailing, now)
                    overtaken |= passed
                elif name in overtaken:
                    place.asked += 1
                    self._overtake(place, now)
                else:
                    is_over |= self._unfinished(place, trailing, now)
            is_over |= failed >= (1 if self._is_stalled else FEW)
            passed = set()
            if self._goes_on:
                is_over = self._surplus >= 1 and bool(waiting) and self._is_new(waiting[0])
            elif trailing and not moved and waiting:
                passed = self._look_further(waiting)
        self._is_stalled = failed > 0 and not is_heard
        if self._is_stalled:
            self.pace.stall()
        else:
            self._conclude(found, trailing, now)

    def _due(self, now: float) -> deque[str]:
        """Those that it is time to ask for, in order; while nobody answers, another one first each time."""
        due = [(place.failures, name) for name, place in self._places.items() if place.due <= now]
        if self._is_stalled:
            due.sort(key=itemgetter(0))
        return deque(name for _, name in due)

    @staticmethod
    def _is_heard(place: _Place, is_finished: bool | None, now: float) -> bool:
        """Note whether anything was heard of it; if not, it is passed over for a while."""
        if is_finished is None:
            place.failures += 1
            place.due = now + min(LONGEST_STALL, 2.0 ** min(place.failures, 10))
        elif place.failures:
            place.failures, place.due = 0, 0.0
        return is_finished is not None

    def _conclude(self, found: int, trailing: Sequence[_Place], now: float) -> None:
        """Decide when to sweep next."""
        self._surplus *= _FADING
        self._is_loose = self._overtaken > (_ORDERLY if self._is_loose else _LOOSE)
        if not found:
            self.pace.nothing(of_many=bool(trailing))
            return
        if self.pace.stands_still:
            self._forgive(now)
        self.pace.found(found, now, WORTH_A_LOOSE_SWEEP if self._is_loose else WORTH_A_SWEEP)
        if not any(place.asked for place in self._places.values()):
            self.pace.restart()  # all that are left joined meanwhile: nobody tells when they will be done

    @property
    def _goes_on(self) -> bool:
        """Whether a sweep goes on past the unfinished; while nothing moves that would find nothing either."""
        return self._is_loose and not self.pace.stands_still

    def _together(self, expected: float, found: int) -> int:
        """How many to ask for at once: more while many should be finished, or many were."""
        if self.pace.fruitless and not found:
            return 1
        return max(1, min(TOGETHER, max(int(expected - found) // 2, found // 4)))

    def _next(self, waiting: deque[str], together: int) -> Sequence[str]:
        """The next to ask for, without those that left."""
        asked: list[str] = []
        while waiting and len(asked) < together:
            name = waiting.popleft()
            if name in self._places:
                asked.append(name)
        return asked

    def _look_further(self, waiting: deque[str]) -> set[str]:
        """Move one that is further behind to the front, and return those that it passed.

        It is the further behind, the longer nothing was found: many in a row may have been held back.
        """
        reach = self.pace.fruitless % len(waiting).bit_length()
        ahead = min(2**reach, len(waiting)) - 1
        name = waiting[ahead]
        del waiting[ahead]
        passed = set(islice(waiting, ahead))
        waiting.appendleft(name)
        return passed

    def _is_new(self, name: str) -> bool:
        place = self._places.get(name)
        return place is not None and not place.asked

    def _finished(self, name: str, place: _Place, trailing: list[_Place], now: float) -> None:
        del self._places[name]
        self._overtaken += _MEMORY * (place.overtaken - self._overtaken)
        if not place.asked:
            self._surplus = _FADING * self._surplus - 2 * (1 - _UNFINISHED)
        if not place.put_off:
            for straggler in trailing:
                self._overtake(straggler, now)
            trailing.clear()

    def _unfinished(self, place: _Place, trailing: list[_Place], now: float) -> bool:
        """Note it, and say whether the sweep is over."""
        place.asked += 1
        is_new = place.asked == 1
        if is_new:
            self._surplus = _FADING * self._surplus + 2 * _UNFINISHED
        if place.put_off:
            self._put_off(place, now)
            return False
        if self._goes_on:
            self._put_off(place, now)
        elif place.asked >= PATIENCE:
            place.due = now + self.pace.backoff
        trailing.append(place)
        # One that was unfinished at the last sweep too may be a straggler: look behind it.
        return (is_new or len(trailing) > 1) and not self._goes_on

    def _overtake(self, place: _Place, now: float) -> None:
        place.overtaken = True
        if not self._goes_on:
            self._put_off(place, now)

    def _put_off(self, place: _Place, now: float) -> None:
        place.due = now + LEFT_BEHIND[min(place.put_off, len(LEFT_BEHIND) - 1)]
        place.put_off += 1

    def _forgive(self, now: float) -> None:
        """The queue moves again: that it stood still is held against nobody."""
        for place in self._places.values():
            place.due = min(place.due, now)
            place.put_off = min(place.put_off, 1)

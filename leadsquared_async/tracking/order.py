"""Which requests to poll next, in the order in which LeadSquared received them.

Pure: answers and the time, in seconds of any monotonic clock, are arguments. LeadSquared's queue is first in,
first out, except for requests that it retries. So a sweep polls from the oldest request until one is still
queued, which costs little more than one call per request. If the last sweep ended at the same request, a
later one is polled: if it is finished, the first was overtaken. Overtaken requests are *put off*, and polled
at growing intervals. If many are overtaken, the order is unreliable: then a sweep continues until most
requests are unfinished. The order affects the number of calls, never the outcome.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Generator, Sequence
from itertools import islice
from operator import itemgetter

from leadsquared_async.tracking.sweep_pause import FRUITLESS_SWEEPS, LONGEST_STALL, SweepPause

__all__ = ["PUT_OFF", "QueueOrder"]

WORTH_A_SWEEP = 4
"""Finished requests that a sweep should find; with fewer, the call for the unfinished one costs too much."""
WORTH_A_LOOSE_SWEEP = 3
PUT_OFF = (40.0, 40.0, 60.0, 120.0, 420.0, 900.0, 1800.0, 2700.0, 3600.0)
"""Seconds after which an overtaken request is polled again; then every hour. LeadSquared retries a request
after 30 s, 2, 7, 15, 30, 45, 60 min, 1.5, 2 and 3 h (apidocs.leadsquared.com, "Async API")."""
FAILED_TO_END = 2
"""Consecutive failed polls that end a sweep, since the others may fail too."""
TOGETHER = 8
"""Most requests polled at once."""

_LOOSE = 0.08
"""The order counts as unreliable above this share of overtaken requests among finished ones."""
_ORDERLY = 0.03
"""It counts as reliable again from this share down."""
_MEMORY = 0.08
_UNFINISHED = 0.40
"""The weight of an unfinished request towards the end of a loose sweep; a finished one has 1 minus this."""
_FADING = 0.6


class _Entry:
    __slots__ = ("due", "failures", "overtaken", "polls", "put_off")

    def __init__(self) -> None:
        self.failures = 0
        self.overtaken = False
        self.polls = 0
        self.put_off = 0
        self.due = 0.0


class QueueOrder:
    """The requests that are followed, oldest first.

    Attributes:
        schedule: when the next sweep is due.
    """

    def __init__(self) -> None:
        self.schedule = SweepPause()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._overtaken = 0.0
        self._is_loose = False
        self._is_stalled = False
        self._surplus = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._entries

    def add(self, request_id: str) -> None:
        """Follow one more request, as the youngest."""
        if all(entry.due for entry in self._entries.values()):
            self.schedule.restart()  # no other request shows when this one will finish
        self._entries.setdefault(request_id, _Entry())

    def remove(self, request_id: str) -> None:
        """Stop following a request."""
        self._entries.pop(request_id, None)

    def sweep(self, now: float) -> Generator[Sequence[str], Sequence[bool | None], None]:
        """Yield the requests to poll at once; the caller sends for each whether it is finished.

        None means that there was no answer. Others are polled then, since it may be the only one that fails.
        While no poll is answered, a sweep polls a single request.
        """
        found = moved = failed = 0
        is_answered = False
        trailing: list[_Entry] = []
        passed: set[str] = set()
        overtaken: set[str] = set()
        waiting = self._due(now)
        expected = self.schedule.expected(now)
        is_over = False
        while not is_over and (asked := self._next(waiting, self._together(expected, found))):
            for name, is_finished in zip(asked, (yield asked), strict=True):
                entry = self._entries.get(name)
                failed = failed + 1 if is_finished is None else 0
                if entry is None or not self._is_answered(entry, is_finished, now):
                    continue  # it was removed meanwhile, or not answered
                is_answered = True
                if is_finished:
                    found += 1
                    moved += not entry.put_off
                    self._finished(name, entry, trailing, now)
                    overtaken |= passed
                elif name in overtaken:
                    entry.polls += 1
                    self._overtake(entry, now)
                else:
                    is_over |= self._unfinished(entry, trailing, now)
            is_over |= failed >= (1 if self._is_stalled else FAILED_TO_END)
            passed = set()
            if self._continues:
                is_over = self._surplus >= 1 and bool(waiting) and self._is_new(waiting[0])
            elif trailing and not moved and waiting:
                passed = self._look_further(waiting)
        self._is_stalled = failed > 0 and not is_answered
        if self._is_stalled:
            self.schedule.got_no_answer()
        else:
            self._conclude(found, trailing, now)

    def _due(self, now: float) -> deque[str]:
        """The requests that are due, in order; if no poll was answered, the one that failed least first."""
        due = [(entry.failures, name) for name, entry in self._entries.items() if entry.due <= now]
        if self._is_stalled:
            due.sort(key=itemgetter(0))
        return deque(name for _, name in due)

    @staticmethod
    def _is_answered(entry: _Entry, is_finished: bool | None, now: float) -> bool:
        """Record whether there was an answer; if not, skip the request for a while."""
        if is_finished is None:
            entry.failures += 1
            entry.due = now + min(LONGEST_STALL, 2.0 ** min(entry.failures, 10))
        elif entry.failures:
            entry.failures, entry.due = 0, 0.0
        return is_finished is not None

    def _conclude(self, found: int, trailing: Sequence[_Entry], now: float) -> None:
        """Decide when to sweep next."""
        self._surplus *= _FADING
        self._is_loose = self._overtaken > (_ORDERLY if self._is_loose else _LOOSE)
        if not found:
            self.schedule.found_nothing(beyond_stragglers=bool(trailing))
            return
        if self.schedule.is_stalled:
            self._end_stall(now)
        self.schedule.found(found, now, WORTH_A_LOOSE_SWEEP if self._is_loose else WORTH_A_SWEEP)
        if not any(entry.polls for entry in self._entries.values()):
            self.schedule.restart()  # the others are new: none shows when they will finish

    @property
    def _continues(self) -> bool:
        """Whether a sweep continues past unfinished requests; in a stall that would find nothing."""
        return self._is_loose and not self.schedule.is_stalled

    def _together(self, expected: float, found: int) -> int:
        """How many to poll at once: more if many should be finished, or many were."""
        if self.schedule.fruitless and not found:
            return 1
        return max(1, min(TOGETHER, max(int(expected - found) // 2, found // 4)))

    def _next(self, waiting: deque[str], together: int) -> Sequence[str]:
        """The next to poll, without those that were removed."""
        asked: list[str] = []
        while waiting and len(asked) < together:
            name = waiting.popleft()
            if name in self._entries:
                asked.append(name)
        return asked

    def _look_further(self, waiting: deque[str]) -> set[str]:
        """Move a later request to the front, and return those that it passed.

        The longer nothing was found, the later that request is: many consecutive ones may be delayed.
        """
        reach = self.schedule.fruitless % len(waiting).bit_length()
        ahead = min(2**reach, len(waiting)) - 1
        name = waiting[ahead]
        del waiting[ahead]
        passed = set(islice(waiting, ahead))
        waiting.appendleft(name)
        return passed

    def _is_new(self, name: str) -> bool:
        entry = self._entries.get(name)
        return entry is not None and not entry.polls

    def _finished(self, name: str, entry: _Entry, trailing: list[_Entry], now: float) -> None:
        del self._entries[name]
        self._overtaken += _MEMORY * (entry.overtaken - self._overtaken)
        if not entry.polls:
            self._surplus = _FADING * self._surplus - 2 * (1 - _UNFINISHED)
        if not entry.put_off:
            for straggler in trailing:
                self._overtake(straggler, now)
            trailing.clear()

    def _unfinished(self, entry: _Entry, trailing: list[_Entry], now: float) -> bool:
        """Record it, and return whether the sweep is over."""
        entry.polls += 1
        is_new = entry.polls == 1
        if is_new:
            self._surplus = _FADING * self._surplus + 2 * _UNFINISHED
        if entry.put_off:
            self._put_off(entry, now)
            return False
        if self._continues:
            self._put_off(entry, now)
        elif entry.polls >= FRUITLESS_SWEEPS:
            entry.due = now + self.schedule.backoff
        trailing.append(entry)
        # A request that was unfinished in the last sweep too may be a straggler: look behind it.
        return (is_new or len(trailing) > 1) and not self._continues

    def _overtake(self, entry: _Entry, now: float) -> None:
        entry.overtaken = True
        if not self._continues:
            self._put_off(entry, now)

    def _put_off(self, entry: _Entry, now: float) -> None:
        entry.due = now + PUT_OFF[min(entry.put_off, len(PUT_OFF) - 1)]
        entry.put_off += 1

    def _end_stall(self, now: float) -> None:
        """The queue moves again: requests that were put off in the stall are due now."""
        for entry in self._entries.values():
            entry.due = min(entry.due, now)
            entry.put_off = min(entry.put_off, 1)

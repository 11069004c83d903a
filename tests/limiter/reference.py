"""What the script in the store has to do, in Python: the tokens are those of the local bucket.

Slow and plain, with the time as an argument. The script is tested against it, and it stands for the store
where many processes are simulated in virtual time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.queue import OVERTAKES, POLLS_APART
from leadsquared_async.limiter.redis_messages import Reply, Request
from leadsquared_async.limiter.tokens import NEVER, Tokens

GRACE = 0.5
LEAP = 0.5
WORTH_A_HINT = 0.01
NOT_AT_ONCE = 0.001


@dataclass
class Process:
    """One process, as the store knows it."""

    number: int = 0
    channel: str = ""
    declared: RateLimit = field(default_factory=lambda: RateLimit(25))
    lease: float = 0.0
    present: float = 0.0
    gone: bool = False
    out: int = 0
    told: float = -NEVER
    waiting: list[int] = field(default_factory=lambda: [0, 0, 0])
    tickets: list[int] = field(default_factory=lambda: [0, 0, 0])


@dataclass(frozen=True)
class Head:
    """The first that waits in a lane of a process."""

    process: str
    lane: Lane
    ticket: int


class SharedTokens(Tokens):
    """Tokens that may be spent behind their back."""

    __slots__ = ()

    def seize(self, now: float) -> None:
        """A call was made without a token: the next that would be free stands for it."""
        if self.free:
            self.free -= 1
        elif self._due:
            self._due.popleft()
        elif self._late:
            self._late.popleft()
        self.out += 1
        self._last_taken = now

    def lose(self, ended: float, calls: int) -> None:
        """So many calls in flight are lost from sight."""
        for _ in range(calls):
            self.give(ended, counted=False)
        self.sort()

    def sort(self) -> None:
        late = sorted(self._late)
        self._late.clear()
        self._late.extend(late)

    def spend_all(self, now: float) -> None:
        for _ in range(self.free):
            self.free -= 1
            self._return(now)

    def paced_after(self, ahead: int, now: float) -> float:
        free, self.free = self.free, self.free - ahead
        try:
            return self.paced_at(now) if self.free else NEVER
        finally:
            self.free = free


class State:
    """The state of one account and kind of limit.

    Args:
        wall: the server's clock, in seconds.
        request: the first that it hears.
        just_started: whether the server has only just begun.
    """

    def __init__(self, wall: float, request: Request, *, just_started: bool) -> None:
        self.born = round(wall * 1e6)
        self.began = wall
        self.steps = 0
        self.offset = 0.0
        self.at = wall
        self.was_out_of_reach = False
        self.tokens = SharedTokens(request.declared)
        self.spent_at = -NEVER
        self.last_poll = -NEVER
        self.ticket = 0
        self.passed = [0, 0, 0]
        self.polls_turn = False
        self.processes: dict[str, Process] = {}
        self.hints: list[tuple[str, float]] = []
        self.doubted = self.begun_as_spent = request.known is not None or just_started
        if self.doubted:
            self.spend_all()

    def run(self, wall: float, request: Request) -> Reply:
        """Hear one request."""
        self.hints = []
        begun_as_spent, self.begun_as_spent = self.begun_as_spent, False
        self._go_on(wall, request)
        mine = self.processes.get(request.process)
        stale = mine is not None and mine.number >= request.number
        granted, again = [0, 0, 0], None
        self._settle()
        if not stale:
            self._make_up_for_loss(request)
            mine = self.processes.setdefault(request.process, Process())
            self._hear(mine, request)
            self._forget_the_absent(request.process)
            if not request.leaving:
                granted = self._grant_all(request.process)
                again = self._next_question(request)
            self._hint(request.process)
        self.steps += 1
        now, tokens = self.at, self.tokens
        return Reply(
            at=now,
            born=self.born,
            steps=self.steps,
            granted=(granted[0], granted[1], granted[2]),
            again=again,
            free=tokens.free,
            first=max(0.0, tokens.earliest(now, tokens.free) - now),
            paused=max(0.0, tokens.paused_until - now),
            withdrawn=tokens.withdrawn,
            limit=tokens.limit,
            processes=sum(not process.gone for process in self.processes.values()),
            learnt=tokens.learnt is not None,
            begun_as_spent=begun_as_spent,
            stale=stale,
        )

    def spend_all(self) -> None:
        self.tokens.spend_all(self.at)
        self.spent_at = self.at

    def _go_on(self, wall: float, request: Request) -> None:
        now = wall + self.offset
        known = request.known
        if known is not None and known.born == self.born and now > known.expected + LEAP:
            now = known.expected
        silence = now - self.at
        self.at = max(now, self.at)
        self.offset = self.at - wall
        busy = any(process.out or any(process.waiting) for process in self.processes.values())
        self.was_out_of_reach = silence > request.lease / 2 and (busy or request.all_ends_count)

    def _settle(self) -> None:
        for process in self.processes.values():
            if process.out and process.lease <= self.at:
                self.tokens.lose(process.lease, process.out)
                process.out = 0
        self.tokens.settle(self.at)

    def _make_up_for_loss(self, request: Request) -> None:
        known = request.known
        if known is not None and known.born != self.born:
            if not self.doubted:
                self.doubted = True
                self.spend_all()
        elif known is not None and known.steps > self.steps:
            self.steps = known.steps
            self.spend_all()
        if self.was_out_of_reach:
            self.spend_all()

    def _hear(self, mine: Process, request: Request) -> None:
        now, tokens = self.at, self.tokens
        mine.number, mine.channel, mine.declared = request.number, request.channel, request.declared
        mine.lease, mine.present = now + request.lease, now + request.presence
        mine.gone = request.leaving
        self._hear_of_calls(mine, request)
        tokens.keep_to(now, self._agreed())
        if request.refused:
            told = None if request.told is None else RateLimit(*request.told, request.declared.margin)
            tokens.refuse(now, request.pause, told)
            tokens._drop_surplus()
        if request.recalled is not None and now - request.recalled[1] < self.began:
            tokens.recall(request.recalled[0], now, now - request.recalled[1])
        self._settle()
        for lane in Lane:
            mine.waiting[lane] = 0 if request.leaving else request.waiting[lane]
            if not mine.waiting[lane]:
                mine.tickets[lane] = 0
            elif not mine.tickets[lane]:
                mine.tickets[lane] = self._ticket()

    def _hear_of_calls(self, mine: Process, request: Request) -> None:
        surplus = mine.out - request.held
        unknown = len(request.ends) - min(max(surplus, 0), len(request.ends))
        for place, end in enumerate(request.ends):
            ended = self.at - end.age
            if place >= unknown:
                surplus -= 1
                self._give(ended, counted=end.counted)
            elif (
                request.all_ends_count
                and ended + (0 if end.counted else self.tokens.limit.per) > self.spent_at
            ):
                self.tokens.seize(self.at)
                self._give(ended, counted=end.counted)
        for _ in range(surplus):
            self.tokens.untake()
        for _ in range(-surplus):
            self.tokens.seize(self.at)
        mine.out = request.held

    def _give(self, ended: float, *, counted: bool) -> None:
        self.tokens.give(ended, counted=counted)
        self.tokens.sort()

    def _agreed(self) -> RateLimit:
        limits = [process.declared for process in self.processes.values() if not process.gone]
        if not limits:
            return self.tokens.declared
        first, *rest = sorted(limits, key=lambda limit: (-limit.per, limit.calls, limit.margin))
        for other in rest:
            first = first.within(other)
        return first

    def _ticket(self) -> int:
        self.ticket += 1
        return self.ticket

    def _heads(self) -> list[Head]:
        heads = []
        for lane in Lane:
            waiting = [
                Head(name, lane, process.tickets[lane])
                for name, process in self.processes.items()
                if process.tickets[lane]
            ]
            if waiting:
                heads.append(min(waiting, key=lambda head: head.ticket))
        return heads

    def _is_due(self, head: Head) -> bool:
        return head.lane is not Lane.STATUS or self.at >= self._next_poll()

    def _turn(self) -> tuple[Head, Lane, list[int], bool] | None:
        heads = self._heads()
        if not heads:
            return None
        first = heads[0]
        passed = min(heads, key=lambda head: head.ticket) if first.lane is Lane.INTERACTIVE else heads[-1]
        if first == passed or (self.passed[first.lane] >= OVERTAKES and self._is_due(passed)):
            polls_turn = self.polls_turn
            if first.lane is Lane.INTERACTIVE and passed.lane is Lane.BATCH:
                polls_turn = not polls_turn
                passed = heads[-1] if polls_turn and self._is_due(heads[-1]) else passed
            return passed, first.lane, [0, 0, 0], polls_turn
        counters = list(self.passed)
        counters[first.lane] = min(OVERTAKES, counters[first.lane] + 1)
        return first, first.lane, counters, self.polls_turn

    def _ahead_of(self, name: str, lane: Lane) -> tuple[int, int]:
        """All calls, and the polls among them."""
        mine = self.processes[name].tickets[lane]
        higher = sum(sum(process.waiting[:lane]) for process in self.processes.values())
        same = sum(0 < process.tickets[lane] < mine for process in self.processes.values())
        return higher + same, same if lane is Lane.STATUS else 0

    def _polls_apart(self) -> float:
        return POLLS_APART * self.tokens.limit.spacing

    def _next_poll(self) -> float:
        return self.last_poll + self._polls_apart()

    def _may_take(self, lane: Lane, ahead: int, polls: int) -> bool:
        tokens = self.tokens
        if tokens.free <= ahead or self.at < tokens.paused_until:
            return False
        if lane is Lane.STATUS and (polls or self.at < self._next_poll()):
            return False
        return lane is Lane.INTERACTIVE or tokens.paced_after(ahead, self.at) <= self.at

    def _grant_all(self, name: str) -> list[int]:
        granted = [0, 0, 0]
        while self.tokens.free and self.at >= self.tokens.paused_until:
            turn = self._turn()
            if turn is not None and turn[0].process == name and self._may_take(turn[1], 0, 0):
                lane, self.passed, self.polls_turn = turn[0].lane, turn[2], turn[3]
            else:
                tickets = self.processes[name].tickets
                mine = [each for each in Lane if tickets[each]]
                may = [each for each in mine if self._may_take(each, *self._ahead_of(name, each))]
                if not may:
                    break
                lane = may[0]
            self._grant(name, lane)
            granted[lane] += 1
        return granted

    def _grant(self, name: str, lane: Lane) -> None:
        process = self.processes[name]
        self.tokens.take(self.at)
        if lane is Lane.STATUS:
            self.last_poll = self.at
        process.out += 1
        process.waiting[lane] -= 1
        process.tickets[lane] = self._ticket() if process.waiting[lane] else 0

    def _when(self, lane: Lane, ahead: int, polls: int) -> float:
        start = self.tokens.earliest(self.at, ahead)
        if lane is not Lane.INTERACTIVE and self.tokens.free > ahead:
            start = max(start, self.tokens.paced_after(ahead, self.at))
        if lane is Lane.STATUS:
            start = max(start, max(self.at, self._next_poll()) + polls * self._polls_apart())
        return start

    def _next_question(self, request: Request) -> float | None:
        mine = self.processes[request.process]
        starts = [
            self._when(lane, *self._ahead_of(request.process, lane)) for lane in Lane if mine.tickets[lane]
        ]
        if not starts:
            return None
        again = max(NOT_AT_ONCE, min(min(starts) - self.at, request.lease / 3))
        mine.told = self.at + again
        return again

    def _hint(self, name: str) -> None:
        turn = self._turn()
        if turn is None or turn[0].process == name:
            return
        process = self.processes[turn[0].process]
        start = max(self.at, self._when(turn[1], 0, 0))
        if process.told > start + WORTH_A_HINT:
            self.hints.append((process.channel, start - self.at))
            process.told = start

    def _forget_the_absent(self, name: str) -> None:
        for other, process in list(self.processes.items()):
            if other != name and process.told + GRACE < self.at:
                process.waiting, process.tickets = [0, 0, 0], [0, 0, 0]
            if not process.out and (process.gone or process.present <= self.at):
                del self.processes[other]

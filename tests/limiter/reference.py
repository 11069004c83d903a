"""What the script in the store has to do, in Python: the tokens and turns are those of one process.

Slow and plain, with the time as an argument. The script is tested against it, and it stands for the store
where many processes are simulated in virtual time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.lanes import Lane, Turns
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
    ask_at: float = -NEVER
    waiting: list[int] = field(default_factory=lambda: [0, 0, 0])
    tickets: list[int] = field(default_factory=lambda: [0, 0, 0])


@dataclass(frozen=True)
class Head:
    """The first that waits in a lane of a process."""

    process: str
    lane: Lane
    number: int


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

    def release(self, now: float, *, counted: bool) -> None:
        self.out -= 1
        if counted:
            self._return(now)
        else:
            self._late.append(now + self.limit.per)

    def lose(self, ended: float, calls: int) -> None:
        """So many calls in flight are lost from sight."""
        for _ in range(calls):
            self.release(ended, counted=False)
        self.sort()

    def sort(self) -> None:
        late = sorted(self._late)
        self._late.clear()
        self._late.extend(late)

    def spend_all(self, now: float) -> None:
        for _ in range(self.free):
            self.free -= 1
            self._return(now)


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
        self.ticket = 0
        self.turns = Turns()
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
        if request.rate_limited:
            named = None if request.named is None else RateLimit(*request.named, request.declared.margin)
            tokens.count_429(now, request.pause, named)
        if request.assumed is not None and now - request.assumed[1] < self.began:
            tokens.assume_spent(now, now - request.assumed[1], request.assumed[0])
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
                self._release(ended, counted=end.counted)
            elif (
                request.all_ends_count
                and ended + (0 if end.counted else self.tokens.limit.per) > self.spent_at
            ):
                self.tokens.seize(self.at)
                self._release(ended, counted=end.counted)
        for _ in range(surplus):
            self.tokens.release_unused()
        for _ in range(-surplus):
            self.tokens.seize(self.at)
        mine.out = request.held

    def _release(self, ended: float, *, counted: bool) -> None:
        self.tokens.release(ended, counted=counted)
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
                heads.append(min(waiting, key=lambda head: head.number))
        return heads

    def _turn(self) -> tuple[Head, Lane, Turns] | None:
        """The head whose turn it is, the lane that gives it its claim, and the turns after it."""
        heads = self._heads()
        if not heads:
            return None
        head, turns = self.turns.next(heads, is_poll_due=self.at >= self.tokens.next_poll)
        return head, heads[0].lane, turns

    def _ahead_of(self, name: str, lane: Lane) -> tuple[int, int]:
        """All calls, and the polls among them."""
        mine = self.processes[name].tickets[lane]
        higher = sum(sum(process.waiting[:lane]) for process in self.processes.values())
        same = sum(0 < process.tickets[lane] < mine for process in self.processes.values())
        return higher + same, same if lane is Lane.STATUS else 0

    def _grant_all(self, name: str) -> list[int]:
        granted = [0, 0, 0]
        while self.tokens.free and self.at >= self.tokens.paused_until:
            turn = self._turn()
            if turn is not None and turn[0].process == name and self.tokens.may_take(turn[1], self.at):
                lane, self.turns = turn[0].lane, turn[2]
            else:
                tickets = self.processes[name].tickets
                mine = [each for each in Lane if tickets[each]]
                may = [
                    each for each in mine if self.tokens.may_take(each, self.at, *self._ahead_of(name, each))
                ]
                if not may:
                    break
                lane = may[0]
            self._grant(name, lane)
            granted[lane] += 1
        return granted

    def _grant(self, name: str, lane: Lane) -> None:
        process = self.processes[name]
        self.tokens.take(self.at, lane)
        process.out += 1
        process.waiting[lane] -= 1
        process.tickets[lane] = self._ticket() if process.waiting[lane] else 0

    def _next_question(self, request: Request) -> float | None:
        mine = self.processes[request.process]
        starts = [
            self.tokens.expected(lane, self.at, *self._ahead_of(request.process, lane))
            for lane in Lane
            if mine.tickets[lane]
        ]
        if not starts:
            return None
        again = max(NOT_AT_ONCE, min(min(starts) - self.at, request.lease / 3))
        mine.ask_at = self.at + again
        return again

    def _hint(self, name: str) -> None:
        turn = self._turn()
        if turn is None or turn[0].process == name:
            return
        process = self.processes[turn[0].process]
        start = max(self.at, self.tokens.expected(turn[1], self.at, 0, 0))
        if process.ask_at > start + WORTH_A_HINT:
            self.hints.append((process.channel, start - self.at))
            process.ask_at = start

    def _forget_the_absent(self, name: str) -> None:
        for other, process in list(self.processes.items()):
            if other != name and process.ask_at + GRACE < self.at:
                process.waiting, process.tickets = [0, 0, 0], [0, 0, 0]
            if not process.out and (process.gone or process.present <= self.at):
                del self.processes[other]

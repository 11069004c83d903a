"""The limiter, whatever its callers, the network, the server and the process do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from leadsquared_async import Lane, RateLimit
from leadsquared_async.limiter.interface import NoTokenInTime
from leadsquared_async.limiter.local_grantor import LocalGrantor
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.limiter.tokens import Tokens
from leadsquared_async.sandbox import COUNTERS
from tests import virtual

LIMITS = [RateLimit(25, per=5.0), RateLimit(3, per=1.0), RateLimit(1, per=2.0), RateLimit(8, per=0.8)]
COUNTINGS = ("sliding-log", "fixed-window", "token-bucket", "gcra")
"""The countings under which no network makes a call exceed the limit. A sliding counter can refuse one of two
calls that were sent one spacing apart but arrive together, one window after 25 others."""

ticks = st.integers(0, 60).map(lambda number: number / 20)
"""Coarse on purpose: many things at the same moment is where queues go wrong."""
shares = st.sampled_from([0.0, 0.5, 1.0])
lanes = st.sampled_from(Lane)


@dataclass(eq=False)
class Call:
    """A call in flight: when it was sent."""

    sent: float


class TokensMachine(RuleBasedStateMachine):
    """The arithmetic alone: one limit, calls that arrive at any moment between their start and their end, and
    processes that are killed."""

    @initialize(limit=st.sampled_from(LIMITS))
    def begin(self, limit: RateLimit) -> None:
        self.limit = limit
        self.tokens = Tokens(limit)
        self.now = 1_000.0
        self.calls: list[Call] = []
        self.arrivals: list[float] = []

    @rule(seconds=ticks)
    def wait(self, seconds: float) -> None:
        self.now += seconds * self.limit.per / 2

    @rule(lane=lanes, most=st.integers(1, 30))
    def send(self, lane: Lane, most: int) -> None:
        """As many as may be sent now."""
        self.tokens.settle(self.now)
        for _ in range(most):
            if not self.tokens.may_take(lane, self.now):
                return
            self.tokens.take(self.now, lane)
            self.calls.append(Call(self.now))

    @rule(lane=lanes, most=st.integers(1, 30))
    def send_when_possible(self, lane: Lane, most: int) -> None:
        """Many one after the other, each as soon as it may be: the next change is enough to wait for."""
        for _ in range(most):
            self.tokens.settle(self.now)
            for _attempt in range(200):
                if self.tokens.may_take(lane, self.now):
                    break
                due = max(self.tokens.earliest_of(lane, self.now, 0), self.tokens.burst_spared_at(self.now))
                if due == float("inf") or due <= self.now:
                    due = self.tokens.next_change()
                if due == float("inf"):
                    return  # all are in flight
                self.now = max(due, self.now + 1e-6)
                self.tokens.settle(self.now)
            else:
                raise AssertionError("no token comes, however long it is waited for")
            self.tokens.take(self.now, lane)
            self.calls.append(Call(self.now))

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 1000), share=shares, most=st.integers(1, 30))
    def answer(self, which: int, share: float, most: int) -> None:
        """Calls end; each arrived somewhere in between."""
        for _ in range(min(most, len(self.calls))):
            call = self.calls.pop(which % len(self.calls))
            self.arrivals.append(call.sent + share * (self.now - call.sent))
            self.tokens.release(self.now, counted=True)

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 1000), share=shares)
    def give_up(self, which: int, share: float) -> None:
        """A call gets no answer; the server counts it at some moment within a window."""
        self.calls.pop(which % len(self.calls))
        self.arrivals.append(self.now + share * self.limit.per)
        self.tokens.release(self.now, counted=False)

    @precondition(lambda self: self.calls)
    @rule()
    def unused(self) -> None:
        """A call whose token was just taken is not sent after all."""
        if self.calls[-1].sent == self.now:
            self.calls.pop()
            self.tokens.release_unused()

    @rule(share=shares)
    def crash(self, share: float) -> None:
        """The process is killed; the next one knows how many calls it had made, and not when they arrive."""
        spent = self.limit.calls - self.tokens.free
        self.tokens = Tokens(self.limit)
        self.tokens.assume_spent(self.now, self.now, spent)
        self.arrivals += [self.now + share * self.limit.per for _ in self.calls]
        self.calls.clear()

    @invariant()
    def no_token_is_lost_or_made(self) -> None:
        assert self.tokens.out == len(self.calls)
        assert self.tokens.free >= 0
        assert self.tokens.held == self.tokens.capacity == self.limit.calls

    def teardown(self) -> None:
        if not hasattr(self, "tokens"):
            return
        for call in self.calls:
            self.arrivals.append(call.sent)
            self.tokens.release(self.now, counted=True)
        self.tokens.settle(self.now + 3 * self.limit.per + (self.limit.calls + 1) * self.limit.spacing)
        assert (self.tokens.free, self.tokens.held) == (self.limit.calls, self.limit.calls)
        self.arrivals.sort()
        for name in COUNTINGS:
            for phase in (0.0, 0.3, 0.7):
                counter = COUNTERS[name](
                    self.limit.calls, self.limit.per - 1e-6, phase=phase * self.limit.per
                )
                refused = [time for time in self.arrivals if not counter.admit(time)]
                assert not refused, f"{name} refuses calls at {refused} of {self.arrivals}"


@dataclass(eq=False)
class Waiting:
    """A caller of the queue.

    Attributes:
        task: waits for a token.
        ended: whether its call has ended.
    """

    task: asyncio.Task[bool]
    ended: bool = False


class QueueMachine(RuleBasedStateMachine):
    """The queue in virtual time: lanes, cancellations, deadlines, 429s, and clients with other limits."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = virtual.VirtualLoop()
        self.loop.run_until_complete(self._open())
        self.callers: list[Waiting] = []
        self.declared = [LIMITS[0]]

    async def _open(self) -> None:
        self.queue = TokenQueue(LocalGrantor(LIMITS[0]))
        self.queue.join(LIMITS[0])

    def _settle(self, seconds: float = 0.0) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def _do(self, act: object, *values: object, **named: object) -> None:
        async def do() -> None:
            act(*values, **named)  # type: ignore[operator]

        self.loop.run_until_complete(do())

    @property
    def in_flight(self) -> list[Waiting]:
        return [
            it
            for it in self.callers
            if it.task.done() and not it.task.cancelled() and it.task.result() and not it.ended
        ]

    @rule(lane=lanes, count=st.integers(1, 30), deadline=st.none() | ticks)
    def call(self, lane: Lane, count: int, deadline: float | None) -> None:
        async def acquire() -> bool:
            until = None if deadline is None else self.loop.time() + deadline
            try:
                await self.queue.acquire(lane, until)
            except NoTokenInTime:
                return False
            assert until is None or self.loop.time() <= until + 1e-6
            return True

        self.callers += [Waiting(self.loop.create_task(acquire())) for _ in range(count)]
        self._settle()

    @rule(seconds=ticks)
    def wait(self, seconds: float) -> None:
        self._settle(seconds)

    @precondition(lambda self: self.in_flight)
    @rule(counted=st.booleans(), most=st.integers(1, 30))
    def end(self, counted: bool, most: int) -> None:
        for caller in self.in_flight[:most]:
            caller.ended = True
            self._do(self.queue.release, counted=counted)

    @precondition(lambda self: self.in_flight)
    @rule()
    def unused(self) -> None:
        self.in_flight[-1].ended = True
        self._do(self.queue.release_unused)

    @rule(which=st.integers(0, 1000), most=st.integers(1, 10))
    def cancel(self, which: int, most: int) -> None:
        waiting = [it for it in self.callers if not it.task.done()]
        for caller in waiting[which % (len(waiting) + 1) :][:most]:
            caller.task.cancel()
        self._settle()

    @rule(
        pause=st.none() | ticks,
        named=st.none() | st.sampled_from([(10, 5.0), (1, 5.0), (25, 5.0), (100, 60.0), (2, 3600.0)]),
    )
    def refuse(self, pause: float | None, named: tuple[int, float] | None) -> None:
        self._do(self.queue.on_rate_limited, pause, named)

    @rule(limit=st.sampled_from(LIMITS))
    def join(self, limit: RateLimit) -> None:
        self.declared.append(limit)
        self._do(self.queue.join, limit)

    @precondition(lambda self: len(self.declared) > 1)
    @rule()
    def leave(self) -> None:
        self._do(self.queue.leave, self.declared.pop())

    @invariant()
    def books_agree(self) -> None:
        async def look() -> None:
            state = self.queue.snapshot()
            assert state.in_flight == len(self.in_flight)
            assert sum(state.waiting.values()) == sum(not it.task.done() for it in self.callers)
            assert state.free >= 0

        self.loop.run_until_complete(look())

    def teardown(self) -> None:
        try:
            # Everybody gets a token in the end, if those who have one go on.
            for _ in range(4 * len(self.callers) + 10):
                if all(it.task.done() for it in self.callers):
                    break
                self.end_all()
                self._settle(3600.0)
            assert all(it.task.done() for it in self.callers), "somebody waits for ever"
            self.end_all()
            self._settle(200_000.0)
            self._do(lambda: None)

            async def look() -> None:
                state = self.queue.snapshot()
                assert (state.free, state.in_flight, state.withdrawn) == (state.limit.calls, 0, 0)
                assert not any(state.waiting.values())

            self.loop.run_until_complete(look())
        finally:
            self.loop.close()

    def end_all(self) -> None:
        for caller in self.in_flight:
            caller.ended = True
            self._do(self.queue.release)

"""An event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Each loop begins later than any before it has ended: nothing that outlives a loop meets an earlier clock.
_epochs = itertools.count(1)
EPOCH = 1e4
_numbers = itertools.count()
STEP = 1 / 64
"""Seconds between two ticks of Windows' clock, which `time.monotonic` reads before Python 3.13."""


class _Selector(selectors.DefaultSelector):
    """Never waits: the time it is asked to wait for has passed when it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.now = next(_epochs) * EPOCH
        self.wakes_at_ticks = False
        self.answers: list[tuple[float, int, asyncio.Future[None]]] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            until = math.inf if timeout is None else self.now + timeout
            if self.wakes_at_ticks and self.now < until < math.inf:
                until = math.ceil(until / STEP) * STEP
            if self.answers and self.answers[0][0] <= until:
                moment, _, answer = heapq.heappop(self.answers)
                self.now = max(self.now, moment)
                if not answer.done():
                    answer.set_result(None)
                return ready
            if timeout is None:
                raise RuntimeError("the loop waits for something that no timer brings")
            # At least by a little: where a float is coarser than the clock's resolution, asyncio would ask
            # for no time at all, for ever.
            self.now = max(until, math.nextafter(self.now, math.inf))
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """For code that waits for timers only; sockets are not waited for."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual.now

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As uvloop does: what is due already is a plain Handle, which knows no time."""
        if when > self.time():
            return super().call_at(when, callback, *args, context=context)
        return cast("asyncio.TimerHandle", self.call_soon(callback, *args, context=context))

    @property
    def exact(self) -> float:
        """The time that has passed, whatever the clock shows."""
        return self._virtual.now


class CoarseLoop(VirtualLoop):
    """Its clock ticks 64 times in a second, and its timers end at a tick, as on Windows."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual.wakes_at_ticks = True
        self._virtual.now += 0.5 * STEP  # between ticks
        self._clock_resolution = STEP  # asyncio calls what is due within one step

    def time(self) -> float:
        """Virtual seconds at the last tick."""
        return math.floor(self.exact / STEP) * STEP


async def exchange(seconds: float) -> None:
    """Wait for a network, which answers between ticks, too."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    answer: asyncio.Future[None] = loop.create_future()
    heapq.heappush(loop._virtual.answers, (loop.exact + seconds, next(_numbers), answer))
    await answer


def exact_time() -> float:
    """The time that has passed in the running loop, whatever its clock shows."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.exact


def stand_still(seconds: float) -> None:
    """Let time pass in which the running loop does nothing, as while other code blocks it."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._virtual.now += seconds


def run(main: Callable[[], Coroutine[Any, Any, T]], loop: type[VirtualLoop] = VirtualLoop) -> T:
    """Run a coroutine function in virtual time."""
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main())


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in a loop whose clock jumps."""

    def run_test() -> None:
        run(test)

    run_test.__name__, run_test.__doc__ = test.__name__, test.__doc__
    return run_test

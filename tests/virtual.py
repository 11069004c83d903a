"""An event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
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


class _Selector(selectors.DefaultSelector):
    """Never waits: the time it is asked to wait for has passed when it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.now = next(_epochs) * EPOCH

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("the loop waits for something that no timer brings")
            # At least by a little: where a float is coarser than the clock's resolution, asyncio would ask
            # for no time at all, for ever.
            self.now = max(self.now + timeout, math.nextafter(self.now, math.inf))
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


def stand_still(seconds: float) -> None:
    """Let time pass in which the running loop does nothing, as while other code blocks it."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._virtual.now += seconds


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in a loop whose clock jumps."""

    def run_test() -> None:
        run(test)

    run_test.__name__, run_test.__doc__ = test.__name__, test.__doc__
    return run_test

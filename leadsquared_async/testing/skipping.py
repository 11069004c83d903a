"""`without_waiting`: a test's waits end at once."""

from __future__ import annotations

import asyncio
import heapq
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import Context
from itertools import count
from types import TracebackType
from typing import Self

from leadsquared_async.clock import Skipper, Wait, clock
from leadsquared_async.limiter.event_loops import running_loop
from leadsquared_async.sandbox import skipping

__all__ = ["without_waiting"]

ROUNDS = 8
"""Iterations of the event loop before time is skipped, so that woken tasks can start waits or calls."""


class without_waiting:  # noqa: N801 - used like a function
    """End the waits of all clients, outboxes and sandboxes of this process at once.

    Waits for the rate limit, between attempts, for a Retry-After and between polls end at once, in the order
    in which they would expire, and the processing queue of a sandbox advances as if the time had passed. The
    number and the order of calls stay the same. `asyncio.sleep`, `time` and waits of other code are not
    affected. `timeout`, the latency of a sandbox, and the waits of a `SharedLimiter` or of a limiter of your
    own are not skipped.

    Example:
        with without_waiting() as waits:
            status = await lsq.leads.wait(receipt)
        assert waits.skipped < 60

    Attributes:
        skipped: seconds skipped in the block so far.
    """

    def __init__(self) -> None:
        self._outer: Skipper | None = None
        self._began = 0.0

    @property
    def skipped(self) -> float:
        return clock.skipped - self._began

    def __enter__(self) -> Self:
        self._outer, self._began = clock.skipper, clock.skipped
        clock.skipper = self._outer or _Skipper()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        clock.skipper = self._outer


class _Skipper:
    """Ends the earliest wait of each loop whenever no attempt is in progress in any loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts = 0
        self._loops: dict[asyncio.AbstractEventLoop, _LoopWaits] = {}

    def call_later(
        self,
        loop: asyncio.AbstractEventLoop,
        delay: float,
        callback: Callable[[], object],
        context: Context | None,
    ) -> Wait:
        waits = self._loops.get(loop)
        if waits is None:
            with self._lock:
                self._loops = {loop: waits for loop, waits in self._loops.items() if not loop.is_closed()}
                waits = self._loops[loop] = _LoopWaits(self, loop)
        return waits.add(delay, callback, context)

    @contextmanager
    def busy(self) -> Generator[None]:
        with self._lock:
            self._attempts += 1
        try:
            yield
        finally:
            with self._lock:
                self._attempts -= 1
                free = [] if self._attempts else list(self._loops.values())
            for waits in free:
                waits.skip_soon()

    @property
    def is_busy(self) -> bool:
        return self._attempts > 0

    def skip(self, seconds: float) -> None:
        with self._lock:
            clock.skipped += seconds
            skipping.skip(seconds)


class _LoopWaits:
    """The waits of one loop. Each also has a real timer, in case no time is skipped."""

    def __init__(self, skipper: _Skipper, loop: asyncio.AbstractEventLoop) -> None:
        self._skipper = skipper
        self._loop = loop
        self._waits: list[tuple[float, int, _Wait]] = []
        self._numbers = count()
        self._is_skipping = False

    def add(self, delay: float, callback: Callable[[], object], context: Context | None) -> Wait:
        wait = _Wait(callback)
        wait.timer = self._loop.call_later(delay, wait.end, context=context)
        wait.context = context
        heapq.heappush(self._waits, (self._now() + delay, next(self._numbers), wait))
        self.skip_soon()
        return wait

    def skip_soon(self) -> None:
        if not self._waits or self._is_skipping or not self._loop.is_running():
            return
        self._is_skipping = True
        if running_loop() is self._loop:
            self._loop.call_soon(self._after, ROUNDS)
            return
        try:
            self._loop.call_soon_threadsafe(self._after, ROUNDS)
        except RuntimeError:  # it was closed just now
            self._is_skipping = False

    def _after(self, rounds: int) -> None:
        if self._skipper is not clock.skipper or self._skipper.is_busy:
            self._is_skipping = False
        elif rounds:
            self._loop.call_soon(self._after, rounds - 1)
        else:
            self._is_skipping = False
            self._skip_to_the_next()

    def _skip_to_the_next(self) -> None:
        while self._waits:
            at, _, wait = heapq.heappop(self._waits)
            if not wait.is_over:
                self._skipper.skip(max(0.0, at - self._now()))
                self._loop.call_soon(wait.end, context=wait.context)
                break
        self.skip_soon()

    def _now(self) -> float:
        return self._loop.time() + clock.skipped


class _Wait:
    timer: asyncio.TimerHandle
    context: Context | None

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback = callback
        self.is_over = False

    def end(self) -> None:
        if not self.is_over:
            self.cancel()
            self._callback()

    def cancel(self) -> None:
        self.is_over = True
        self.timer.cancel()

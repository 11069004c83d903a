"""`without_waiting`: a test's waits end at once."""

from __future__ import annotations

import asyncio
import heapq
import math
import threading
from asyncio import AbstractEventLoop
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import Context
from itertools import count
from types import TracebackType
from typing import Self

from leadsquared_async.clock import Callback, Wait, clock, running_loop
from leadsquared_async.sandbox import skipping

__all__ = ["without_waiting"]

ROUNDS = 8
"""Iterations of the event loop before time is skipped, so that woken tasks can start waits or calls."""
LOOK_AGAIN = 0.001
"""Seconds until a loop checks again whether the earliest wait is its own."""


class without_waiting:  # noqa: N801 - used like a function
    """End the waits of all clients, outboxes and sandboxes of this process at once.

    Waits for the rate limit, between attempts, for a Retry-After and between polls end at once, in the order
    in which they would expire, and the processing queue of a sandbox advances as if the time had passed. The
    number and the order of calls stay the same. `asyncio.sleep`, `time` and waits of other code are not
    affected. `timeout`, the latency of a sandbox, the waits of a `SharedLimiter` or of a limiter of your own,
    and waits that began before the block are not skipped.

    Example:
        with without_waiting() as waits:
            status = await lsq.leads.wait(receipt)
        assert waits.skipped < 60
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._ended: float | None = None

    @property
    def skipped(self) -> float:
        """Seconds skipped in the block so far."""
        return (clock.skipped if self._ended is None else self._ended) - self._began

    def __enter__(self) -> Self:
        self._began, self._ended = clock.skipped, None
        _skipper.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = clock.skipped
        _skipper.end()


class _Skipper:
    """Ends the earliest wait of all loops whenever no attempt is in progress in any of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = 0  # which may overlap, in tasks or threads
        self._attempts = 0
        self._loops: dict[AbstractEventLoop, _LoopWaits] = {}

    def begin(self) -> None:
        with self._lock:
            self._blocks += 1
            clock.skipper = self
        self._skip_soon()

    def end(self) -> None:
        with self._lock:
            self._blocks -= 1
            if not self._blocks:
                clock.skipper = None

    def call_later(
        self, loop: AbstractEventLoop, delay: float, callback: Callback, context: Context | None
    ) -> Wait:
        return self._waits_of(loop).add(delay, callback, context)

    @contextmanager
    def busy(self) -> Generator[None]:
        with self._lock:
            self._attempts += 1
        try:
            yield
        finally:
            with self._lock:
                self._attempts -= 1
            self.hold()  # its task may be about to wait
            self._skip_soon()

    @property
    def may_skip(self) -> bool:
        return self._blocks > 0 and not self._attempts

    def hold(self) -> None:
        waits = self._waits_of(asyncio.get_running_loop())
        with self._lock:
            waits.skip_soon()

    def skip_to(self, mine: _LoopWaits) -> bool:
        """Skip to the first wait of a loop, unless another has an earlier one or running tasks."""
        with self._lock:
            left = mine.left
            others = [it for it in self._loops.values() if it is not mine and it.is_running]
            if any(it.is_looking or it.left < left for it in others):
                return False
            clock.skipped += max(0.0, left)
            skipping.skip(max(0.0, left))
            return True

    def _waits_of(self, loop: AbstractEventLoop) -> _LoopWaits:
        waits = self._loops.get(loop)
        if waits is None:
            with self._lock:
                self._loops = {loop: waits for loop, waits in self._loops.items() if not loop.is_closed()}
                waits = self._loops[loop] = _LoopWaits(self, loop)
        return waits

    def _skip_soon(self) -> None:
        if self.may_skip:
            for waits in list(self._loops.values()):
                waits.skip_soon()


_skipper = _Skipper()


class _LoopWaits:
    """The waits of one loop. Each also has a real timer, in case no time is skipped."""

    def __init__(self, skipper: _Skipper, loop: AbstractEventLoop) -> None:
        self._skipper = skipper
        self._loop = loop
        self._waits: list[tuple[float, int, _Wait]] = []
        self._numbers = count()
        self.is_looking = False  # whether it runs rounds of the loop before it skips

    @property
    def is_running(self) -> bool:
        return self._loop.is_running()

    @property
    def left(self) -> float:
        """Seconds until the earliest wait ends."""
        for at, _, _ in self._waits[:1]:
            return at - self._now()
        return math.inf

    def add(self, delay: float, callback: Callback, context: Context | None) -> Wait:
        wait = _Wait(callback)
        wait.timer = self._loop.call_later(delay, wait.end, context=context)
        wait.context = context
        heapq.heappush(self._waits, (self._now() + delay, next(self._numbers), wait))
        self.skip_soon()
        return wait

    def skip_soon(self) -> None:
        """Skip if nothing happens in `ROUNDS` rounds; without a wait, delay the others as long."""
        if self.is_looking or not self.is_running:
            return
        self.is_looking = True
        if running_loop() is self._loop:
            self._loop.call_soon(self._after, ROUNDS)
            return
        try:
            self._loop.call_soon_threadsafe(self._after, ROUNDS)
        except RuntimeError:  # it was closed just now
            self.is_looking = False

    def _after(self, rounds: int) -> None:
        if self._skipper.may_skip and rounds:
            self._loop.call_soon(self._after, rounds - 1)
            return
        self.is_looking = False
        while self._waits and self._waits[0][2].is_over:
            heapq.heappop(self._waits)
        if not self._waits or not self._skipper.may_skip:
            return
        if not self._skipper.skip_to(self):
            self._loop.call_later(LOOK_AGAIN, self.skip_soon)
            return
        _, _, wait = heapq.heappop(self._waits)
        self._loop.call_soon(wait.end, context=wait.context)
        self.skip_soon()

    def _now(self) -> float:
        return self._loop.time() + clock.skipped


class _Wait:
    timer: asyncio.TimerHandle
    context: Context | None

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self.is_over = False

    def end(self) -> None:
        if not self.is_over:
            self.cancel()
            self._callback()

    def cancel(self) -> None:
        self.is_over = True
        self.timer.cancel()

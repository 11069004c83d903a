"""The time by which the client waits: the event loop's, plus the seconds that a test has skipped.

Waits for tokens, retries and polls use `clock`. `testing.without_waiting` sets its skipper, which lets them
pass at once. Without one, its methods are those of the event loop.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from contextvars import Context
from typing import Protocol

__all__ = ["Callback", "Skipper", "Wait", "clock", "running_loop"]

Callback = Callable[[], object]


class Wait(Protocol):
    """A callback that will be called later, like `asyncio.TimerHandle`."""

    def cancel(self) -> None:
        """Do not call it."""
        ...


class Skipper(Protocol):
    """Lets waits pass at once, the shortest first."""

    def call_later(
        self, loop: AbstractEventLoop, delay: float, callback: Callback, context: Context | None
    ) -> Wait:
        """Like `loop.call_later`."""
        ...

    def busy(self) -> AbstractContextManager[None]:
        """Skip nothing inside."""
        ...

    def hold(self) -> None:
        """Skip nothing until the tasks of this loop have gone on: one of them may begin a wait."""
        ...


class _Clock:
    """The clock of all clients of this process.

    Attributes:
        skipper: lets waits pass at once; None outside tests.
        skipped: seconds that were skipped so far; never decreases.
    """

    def __init__(self) -> None:
        self.skipper: Skipper | None = None
        self.skipped = 0.0

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        if self.skipper is not None:
            self.skipper.hold()
        return asyncio.get_running_loop().time() + self.skipped

    def of(self, loop: AbstractEventLoop) -> Callable[[], float]:
        """`now` of this loop, whichever loop is running."""
        return lambda: loop.time() + self.skipped

    def call_later(
        self, loop: AbstractEventLoop, delay: float, callback: Callback, context: Context | None = None
    ) -> Wait:
        """Call `callback` in the loop after `delay` seconds."""
        if self.skipper is None:
            return loop.call_later(delay, callback, context=context)
        return self.skipper.call_later(loop, delay, callback, context)

    async def sleep(self, seconds: float) -> None:
        """Like `asyncio.sleep`."""
        if self.skipper is None:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            async with self.timeout(seconds):
                await asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncGenerator[None]:
        """Like `asyncio.timeout`."""
        async with asyncio.timeout(seconds) as limit:
            if seconds is None or self.skipper is None:
                yield
                return
            loop = asyncio.get_running_loop()

            def end() -> None:
                if not limit.expired():
                    limit.reschedule(loop.time())

            wait = self.skipper.call_later(loop, seconds, end, None)
            try:
                yield
            finally:
                wait.cancel()

    def busy(self) -> AbstractContextManager[None]:
        """Wraps an attempt: nothing is skipped while its answer may come."""
        return _NOTHING if self.skipper is None else self.skipper.busy()


_NOTHING = nullcontext()

clock = _Clock()


def running_loop() -> AbstractEventLoop | None:
    """The running loop; None without one, as in another thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

"""Ctrl-C: the first stops gracefully, the second exits at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Self, TypeVar

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.cli.exits import ExitStatus

__all__ = ["Interrupted", "Stop", "run_until_stopped"]

SHOW_CURSOR = "\x1b[?25h"
LOOK_EVERY = 0.1
ECHO = 0.3
"""Seconds within which a second signal is a copy of the first: `timeout` and other wrappers send it twice."""
BREAK = getattr(signal, "SIGBREAK", None)
"""Ctrl-Break on Windows: the only signal there that a program can send to a process of another group."""
SIGNALS = tuple(number for number in (signal.SIGINT, signal.SIGTERM, BREAK) if number is not None)
HANG_UP = getattr(signal, "SIGHUP", None)
"""The end of the terminal or the session; `nohup` ignores it, and Windows has none."""

T = TypeVar("T")


class Interrupted(Exception):
    pass


class Stop:
    """Whether a stop was asked for, by a signal or by the clock; a context manager that listens for both.

    The second signal exits at once. With `on_hang_up` the end of the terminal is a signal, too: for a command
    that writes nothing but a log.
    """

    def __init__(self, *, on_hang_up: bool = False) -> None:
        is_ignored = HANG_UP is None or signal.getsignal(HANG_UP) is signal.SIG_IGN
        self._signals = SIGNALS if HANG_UP is None or is_ignored or not on_hang_up else (*SIGNALS, HANG_UP)
        self._signalled_at: float | None = None
        self._raises = False
        self._at: float | None = None
        self._reason = ""
        self._before: dict[int, Any] = {}

    def after(self, seconds: float, reason: str) -> None:
        self._at, self._reason = time.monotonic() + seconds, reason

    @property
    def why(self) -> str | None:
        """Why a stop was asked for; None if it was not."""
        if self._signalled_at is not None:
            return "interrupted"
        if self._at is not None and time.monotonic() >= self._at:
            return self._reason
        return None

    def check(self) -> None:
        if self.why is not None:
            raise Interrupted

    async def unless(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something, and cancel it when a stop is asked for."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                self.check()
                await asyncio.wait([task], timeout=LOOK_EVERY)
            return task.result()
        finally:
            await uninterrupted(_ended(task))

    @contextmanager
    def at_once(self) -> Generator[None]:
        """For a block that waits for a person or for input outside the event loop: a signal interrupts it."""
        self.check()
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def __enter__(self) -> Self:
        with suppress(ValueError):  # only the main thread receives signals
            for number in self._signals:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signalled_at is None:
            self._signalled_at = now
            if self._raises:
                raise Interrupted
        elif now - self._signalled_at > ECHO:
            if sys.stderr.isatty():
                sys.stderr.write(SHOW_CURSOR)
                sys.stderr.flush()
            os._exit(ExitStatus.LEFT)


def run_until_stopped(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; a signal cancels it and raises `Interrupted`."""
    with Stop() as stop:
        return asyncio.run(stop.unless(work))


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

"""Turns the tasks of an operation away while none of them gets through, and lets one at a time try."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from leadsquared_async.delivery.hold import Gate
from leadsquared_async.errors import Fault, LeadSquaredError
from leadsquared_async.logs import ClientLog

__all__ = ["Turnstile"]

AT_ONCE = 32
"""Tasks that are sent or wait for a token: more would only be tried in vain before it shows that none gets
through."""
LOOK_EVERY = 1.0
"""Seconds between two looks whether the worker stops."""


class Turnstile:
    """The gate of one operation in one worker process, in the running loop's time.

    Args:
        operation: its name.
        is_stopping: whether nothing may begin any more.
        log: the client's.
    """

    def __init__(self, operation: str, is_stopping: Callable[[], bool], log: ClientLog) -> None:
        self._log = log
        self._operation = operation
        self._is_stopping = is_stopping
        self._gate = Gate()
        self._inside: set[object] = set()
        self._probe: object | None = None
        self._changed = asyncio.Event()

    async def enter(self, task: object, within: float) -> bool:
        """Whether this task may try; waits for room, so many seconds at most, but not while all are held.

        Tasks that waited here for LeadSquared would take a worker's places from those of other operations.
        """
        last = _now() + within
        while not self._is_stopping() and _now() < last:
            if self._gate.reason is not None:
                if self._probe is not None or _now() < self._gate.probe_at:
                    return False
                self._probe = task
                return True
            if len(self._inside) < AT_ONCE:
                self._inside.add(task)
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._changed.wait()
        return False

    @property
    def pause(self) -> float:
        """Seconds after which a task that may not try should come again."""
        return 0.0 if self._gate.reason is None else max(LOOK_EVERY, self._gate.probe_at - _now())

    def may_go(self, task: object) -> bool:
        """Whether it may be sent at this moment: it is the one that tries, or nothing is held."""
        return not self._is_stopping() and (self._gate.reason is None or self.is_tried_by(task))

    def is_tried_by(self, task: object) -> bool:
        """Whether it is the one that tries."""
        return self._probe is task

    def passed(self) -> None:
        """A task of the operation got through: all may go."""
        if self._gate.open():
            self._log.warning("tasks: handing over %s again", self._operation, extra={"event": "unblocked"})

    def failed(self, error: LeadSquaredError) -> None:
        """One failed by what is not its own fault: all wait."""
        fault = Fault.ACCOUNT if error.fault is Fault.ACCOUNT else Fault.SERVER
        if self._gate.close(str(error), fault, _now(), random.random()):
            self._log.warning(
                "tasks: holding all of %s, and trying again in %.0f s: %s",
                self._operation,
                max(0.0, self._gate.probe_at - _now()),
                error,
                extra={"event": "blocked", "fault": fault.value},
            )

    def left(self, task: object) -> None:
        """It tries no more, however it ended."""
        if self._probe is task:
            self._probe = None
        self._inside.discard(task)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _now() -> float:
    return asyncio.get_running_loop().time()

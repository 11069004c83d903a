"""Which tasks of an operation may be sent now: while it is held, only the one that is probed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

from leadsquared_async.delivery.hold import Hold
from leadsquared_async.logs import ClientLog

__all__ = ["Admission"]

AT_ONCE = 32
"""Tasks that are sent or wait for a token: of more, all would be tried in vain before the first one fails."""
LOOK_EVERY = 1.0
"""Seconds between two looks whether the worker stops."""


class Admission:
    """Of one operation in one worker process.

    Args:
        operation: its name.
        is_stopping: whether nothing may begin any more.
        log: the client's.

    Attributes:
        hold: whether the operation is held.
    """

    def __init__(self, operation: str, is_stopping: Callable[[], bool], log: ClientLog) -> None:
        self._is_stopping = is_stopping
        self._inside: set[object] = set()
        self._changed = asyncio.Event()
        self.hold = Hold(f"tasks: %s all of {operation}", log, _now, random.random)

    async def enter(self, task: object, within: float) -> bool:
        """Whether this task may try; waits for room, so many seconds at most, but not while all are held.

        Tasks that waited here for LeadSquared would take a worker's places from those of other operations.
        """
        last = _now() + within
        while not self._is_stopping() and _now() < last:
            if self.hold.reason is not None:
                if not self.hold.may_probe:
                    return False
                self.hold.probe = task
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
        return 0.0 if self.hold.reason is None else max(LOOK_EVERY, self.hold.until_probe)

    def may_send(self, task: object) -> bool:
        """Whether it may be sent at this moment: it is the one that is probed, or nothing is held."""
        return not self._is_stopping() and self.hold.may_send(task)

    def leave(self, task: object) -> None:
        """It tries no more, however it ended."""
        if self.hold.probe is task:
            self.hold.probe = None
        self._inside.discard(task)
        self._changed.set()
        self._changed = asyncio.Event()


def _now() -> float:
    return asyncio.get_running_loop().time()

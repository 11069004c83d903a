"""What a queue has in each event loop that uses it: callers that wait, calls in flight, one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.tokens import NEVER

__all__ = ["Alarm", "LoopClosed", "LoopUse", "running_loop"]


class Alarm:
    """One timer of a loop. It remembers its own time, since a handle of uvloop has no `when()`.

    Args:
        loop: the loop.
        ring: what to call.

    Attributes:
        at: the moment for which it is set, on the caller's clock; `NEVER` while it is not set.
        context: an empty one, so that the timer of all callers keeps no caller's context alive.
    """

    __slots__ = ("_handle", "_loop", "_ring", "at", "context")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.Handle | None = None
        self.at = NEVER
        self.context = Context()

    def set(self, at: float, now: float) -> None:
        """Ring at that moment only; if the loop raises, an earlier setting stays."""
        if at == self.at:
            return
        handle = None
        if at < NEVER and not self._loop.is_closed():
            handle = self._loop.call_later(max(0.0, at - now), self._rung, context=self.context)
        self.cancel()
        self._handle, self.at = handle, at

    def cancel(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self.at = None, NEVER

    def _rung(self) -> None:
        self._handle, self.at = None, NEVER
        self._ring()


class LoopUse:
    """The use that one event loop makes of a queue.

    Args:
        loop: the loop.
        look_after: grants what there is to grant, in that loop.

    Attributes:
        declared: the limits of its open clients.
        waiting: its callers that wait.
        out: its calls in flight.
        lost: calls that were counted as ended while the loop did not run; their tokens are back already.
        alarm: when its waiters are looked after.
        context: of all that it is asked to call.
        asked_at: the moment for which another loop has asked it to set its alarm.
        is_handed: whether another loop has granted it a token that it has not noticed yet.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, look_after: Callable[[LoopUse], None]) -> None:
        self.loop = loop
        self.declared: list[RateLimit] = []
        self.waiting = self.out = self.lost = 0
        self._look_after = partial(look_after, self)
        self.alarm = Alarm(loop, self._look_after)
        self.context = self.alarm.context
        self.asked_at = NEVER
        self.is_handed = False

    @property
    def may_be_granted(self) -> bool:
        """Whether it may be granted a token: a blocked loop must not collect the tokens of the others."""
        return self.loop.is_running() and not self.is_handed

    def end_call(self) -> bool:
        """End one of its calls; return whether the call's token has still to be released."""
        if self.lost:
            self.lost -= 1
        elif self.out:
            self.out -= 1
            return True
        return False

    def look_soon(self) -> None:
        """Have its waiters looked after, in its own loop.

        Raises:
            LoopClosed: the loop was closed.
        """
        self.call_soon(self._look_after)

    def call_soon(self, what: Callable[[], None]) -> None:
        """Call it in that loop.

        Raises:
            LoopClosed: the loop was closed.
        """
        try:
            self.loop.call_soon_threadsafe(what, context=self.context)
        except RuntimeError as error:
            raise LoopClosed from error


class LoopClosed(Exception):
    """Nothing can be done in that loop any more."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The running loop; None without one, as where a coroutine is thrown away."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

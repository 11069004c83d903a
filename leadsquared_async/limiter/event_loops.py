"""What a queue has in each event loop that uses it: callers that wait, calls in flight, one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.tokens import NEVER

__all__ = ["LoopClosed", "LoopTimer", "LoopUse", "running_loop"]


class LoopTimer:
    """One timer of a loop. It remembers its own time, since a handle of uvloop has no `when()`.

    Attributes:
        at: the moment for which it is set, on the caller's clock; `NEVER` while it is not set.
        context: an empty one, so that the timer of all callers keeps no caller's context alive.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.Handle | None = None
        self.at = NEVER
        self.context = Context()

    def set(self, at: float, now: float) -> None:
        """Fire at that moment only; if the loop raises, an earlier setting stays."""
        if at == self.at:
            return
        handle = None
        if at < NEVER and not self._loop.is_closed():
            handle = self._loop.call_later(max(0.0, at - now), self._fire, context=self.context)
        self.cancel()
        self._handle, self.at = handle, at

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self.at = None, NEVER

    def _fire(self) -> None:
        self._handle, self.at = None, NEVER
        self._callback()


class LoopUse:
    """The use that one event loop makes of a queue.

    Args:
        loop: the loop.
        dispatch: grants what there is to grant, in that loop.

    Attributes:
        declared: the limits of its open clients.
        waiting: its callers that wait.
        out: its calls in flight.
        lost: calls that were counted as ended while the loop did not run; their tokens are back already.
        timer: when tokens are granted to its callers.
        context: of all that it is asked to call.
        asked_at: the moment for which another loop has asked it to set its timer.
        is_handed: whether another loop has granted it a token that it has not noticed yet.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, dispatch: Callable[[LoopUse], None]) -> None:
        self.loop = loop
        self.declared: list[RateLimit] = []
        self.waiting = self.out = self.lost = 0
        self._dispatch = partial(dispatch, self)
        self.timer = LoopTimer(loop, self._dispatch)
        self.context = self.timer.context
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

    def dispatch_soon(self) -> None:
        """Grant tokens in that loop; raises `LoopClosed`."""
        self.call_soon(self._dispatch)

    def call_soon(self, what: Callable[[], None]) -> None:
        """Call it in that loop; raises `LoopClosed`."""
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

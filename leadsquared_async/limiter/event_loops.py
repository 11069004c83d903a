"""The event loops that use a queue, and its state in each: clients, calls in flight, one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import Context
from functools import partial, reduce

from leadsquared_async.clock import Wait, running_loop
from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.tokens import NEVER
from leadsquared_async.logs import ClientEvents

__all__ = ["LoopClosed", "LoopTimer", "LoopUse", "LoopUses", "real_later"]

CallLater = Callable[[asyncio.AbstractEventLoop, float, Callable[[], object], Context], Wait]


def real_later(
    loop: asyncio.AbstractEventLoop, delay: float, callback: Callable[[], object], context: Context
) -> Wait:
    """`clock.call_later` without skipping."""
    return loop.call_later(delay, callback, context=context)


class LoopTimer:
    """One timer of a loop. It stores its time because uvloop's handles have no `when()`.

    Args:
        loop: the loop.
        callback: called when the time has come.
        call_later: `clock.call_later`, or `real_later` if the timer waits for another process.

    Attributes:
        at: the time for which it is set, on the caller's clock; `NEVER` if it is not set.
        context: an empty context, so that the shared timer keeps no caller's context alive.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None], call_later: CallLater
    ) -> None:
        self._loop = loop
        self._callback = callback
        self._call_later = call_later
        self._handle: Wait | None = None
        self.at = NEVER
        self.context = Context()

    def set(self, at: float, now: float) -> None:
        """Fire at `at` only; if the loop raises, the earlier time stays set."""
        if at == self.at:
            return
        handle = None
        if at < NEVER and not self._loop.is_closed():
            handle = self._call_later(self._loop, max(0.0, at - now), self._fire, self.context)
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
    """A queue's state in one event loop.

    Args:
        loop: the loop.
        dispatch: grants available tokens in that loop.
        call_later: sets its timers.

    Attributes:
        declared: the limits of its open clients.
        events: those of its open clients.
        waiting: its waiting callers.
        out: its calls in flight.
        lost: calls counted as ended while the loop was not running; their tokens are already back.
        timer: grants tokens to its callers.
        context: the context for its callbacks.
        asked_at: the time for which another loop has asked it to set its timer.
        has_pending_grant: whether another loop has granted it a token that it has not yet processed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        dispatch: Callable[[LoopUse], None],
        call_later: CallLater,
    ) -> None:
        self.loop = loop
        self.declared: list[RateLimit] = []
        self.events: list[ClientEvents] = []
        self.waiting = self.out = self.lost = 0
        self._dispatch = partial(dispatch, self)
        self.timer = LoopTimer(loop, self._dispatch, call_later)
        self.context = self.timer.context
        self.call_later = partial(call_later, loop)
        self.asked_at = NEVER
        self.has_pending_grant = False

    @property
    def may_be_granted(self) -> bool:
        """Whether it may be granted a token; a blocked loop must not collect the other loops' tokens."""
        return self.loop.is_running() and not self.has_pending_grant

    def end_call(self) -> bool:
        """End one of its calls; return whether the call's token must still be released."""
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
        """Call `what` in that loop; raises `LoopClosed`."""
        try:
            self.loop.call_soon_threadsafe(what, context=self.context)
        except RuntimeError as error:
            raise LoopClosed from error


class LoopUses:
    """A queue's state in all event loops that use it.

    Args:
        dispatch: grants available tokens in a loop.
        call_later: sets its timers.

    Attributes:
        only: the state in the only loop; None if there are several. Finding the running loop is slow.
    """

    def __init__(self, dispatch: Callable[[LoopUse], None], call_later: CallLater) -> None:
        self._dispatch = dispatch
        self._call_later = call_later
        self._uses: dict[asyncio.AbstractEventLoop, LoopUse] = {}
        self.only: LoopUse | None = None

    def __iter__(self) -> Iterator[LoopUse]:
        return iter(list(self._uses.values()))  # the body of the loop may remove one

    def here(self) -> LoopUse | None:
        """The state in the running loop."""
        loop = running_loop()
        return None if loop is None else self._uses.get(loop)

    def add(self) -> LoopUse:
        """The state in the running loop, which did not use the queue before."""
        loop = asyncio.get_running_loop()
        use = self._uses[loop] = LoopUse(loop, self._dispatch, self._call_later)
        self._count()
        return use

    def remove(self, use: LoopUse) -> None:
        """Forget an ended loop."""
        del self._uses[use.loop]
        self._count()

    def clear(self) -> list[LoopUse]:
        """Forget all loops, and return what they were."""
        uses = list(self)
        self._uses.clear()
        self._count()
        return uses

    def _count(self) -> None:
        self.only = next(iter(self._uses.values())) if len(self._uses) == 1 else None

    def events(self) -> ClientEvents | None:
        """Those of the first open client."""
        return next((events for use in self for events in use.events), None)

    def smallest_limit(self) -> RateLimit | None:
        """The smallest limit that the open clients declare."""
        # Sorted as in the script of a shared limit, so that the order of clients does not matter.
        declared = sorted(
            (limit for use in self for limit in use.declared),
            key=lambda limit: (-limit.per, limit.calls, limit.margin),
        )
        return reduce(RateLimit.within, declared) if declared else None

    def dispatch_soon(self) -> None:
        """Grant tokens soon, in all loops with waiters."""
        for use in self:
            if use.waiting:
                with suppress(LoopClosed):
                    use.dispatch_soon()

    def stop(self) -> None:
        """Cancel all timers."""
        for use in self:
            use.timer.cancel()


class LoopClosed(Exception):
    """The loop is closed."""

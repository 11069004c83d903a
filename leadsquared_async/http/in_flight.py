"""Running exchanges, each in its own task, so that its caller can be cancelled at any moment.

A native cancellation (`asyncio.wait_for`, a task group) inside httpx 0.28 leaks a slot of its pool
(encode/httpcore issue 1093), and a lead that was sent has an outcome even if no caller waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

from leadsquared_async.errors import Delivery, join
from leadsquared_async.http.call import Call
from leadsquared_async.limiter.interface import Limiter
from leadsquared_async.logs import ClientEvents
from leadsquared_async.protocol import Outcome, outcome_without_answer

__all__ = ["InFlight"]

LAST_WAIT = 1.0
"""Seconds to wait for a cancelled exchange to end; only a custom transport needs them."""
_BROKEN_OFF = outcome_without_answer(
    sent=True, timed_out=False, cause="the client was closed before the answer came"
)


class InFlight:
    """The exchanges of one client.

    Args:
        events: gets the outcome of each submission whose caller was cancelled.

    Attributes:
        abandoned: exchanges whose caller was cancelled before they ended.
    """

    def __init__(self, events: ClientEvents) -> None:
        self.abandoned = 0
        self._events = events
        self._tasks: dict[asyncio.Task[Outcome], Call] = {}
        self._unwanted: set[asyncio.Task[Outcome]] = set()
        self._breaking_off = False

    async def run(
        self,
        call: Call,
        exchange: Coroutine[Any, Any, Outcome],
        limiter: Limiter,
        earlier: Sequence[Delivery] = (),
    ) -> Outcome:
        """Run an exchange to its end and then return its token, even if the caller is cancelled.

        Args:
            call: what is sent.
            exchange: sends it.
            limiter: gets the token back.
            earlier: the deliveries of the call's earlier attempts.
        """
        # Like `asyncio.shield`, with one callback fewer.
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        try:
            task = asyncio.create_task(exchange, name=f"leadsquared_async {call.operation}")
        except BaseException:  # a task factory is the caller's code
            exchange.close()
            limiter.release_unused()
            raise
        self._tasks[task] = call
        # A callback, because a task that is cancelled before its first step never reaches a `finally`.
        task.add_done_callback(partial(self._ended, limiter, answer))
        try:
            return await answer
        except asyncio.CancelledError:
            self.abandoned += 1
            if call.writes:
                task.add_done_callback(partial(self._tell_left, call, tuple(earlier)))
            else:
                self._unwanted.add(task)
            raise

    def leave(self, call: Call, earlier: Sequence[Delivery], last: Outcome) -> None:
        """Tell of a call that its caller leaves between two attempts, if it may have arrived."""
        if call.writes and not call.recorded and join(earlier) is Delivery.UNKNOWN:
            self.abandoned += 1
            self._tell(call, Delivery.UNKNOWN, last)

    async def finish(self, grace: float) -> None:
        """Wait up to `grace` seconds for running exchanges; reads without a caller are cancelled at once."""
        if wanted := self._tasks.keys() - self._unwanted:
            await asyncio.wait(wanted, timeout=grace)

    async def break_off(self) -> None:
        """Cancel the running exchanges."""
        self._breaking_off = True
        late = list(self._tasks)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=LAST_WAIT)

    def _ended(self, limiter: Limiter, answer: asyncio.Future[Outcome], task: asyncio.Task[Outcome]) -> None:
        """Pass the outcome on before returning the token: a custom limiter may raise."""
        call = self._tasks.pop(task)
        self._unwanted.discard(task)
        outcome = self._outcome_of(task)
        if not answer.done():
            if outcome is not None:
                answer.set_result(outcome)
            elif task.cancelled():
                answer.cancel()
            elif (error := task.exception()) is not None:
                answer.set_exception(error)
        try:
            if outcome is not None and outcome.throttled:
                limiter.on_rate_limited(outcome.pause, outcome.limit)
        finally:
            limiter.release(counted=outcome is not None and outcome.counted)
            if outcome is not None and not outcome.succeeded and self._events.wants(logging.DEBUG):
                self._tell_failed(call, outcome)

    def _outcome_of(self, task: asyncio.Task[Outcome]) -> Outcome | None:
        """None if it failed, or was cancelled by anything except closing the client."""
        if task.cancelled():
            return _BROKEN_OFF if self._breaking_off else None
        return task.result() if task.exception() is None else None

    def _tell_left(self, call: Call, earlier: tuple[Delivery, ...], task: asyncio.Task[Outcome]) -> None:
        """Tell the outcome of an exchange whose caller was cancelled."""
        outcome = self._outcome_of(task)
        failure = None if outcome is not None or task.cancelled() else task.exception()
        last = Delivery.UNKNOWN if outcome is None else outcome.delivery
        self._tell(call, join((*earlier, last)), outcome, failure)

    def _tell_failed(self, call: Call, outcome: Outcome) -> None:
        from leadsquared_async.http.call_events import attempt_failed  # noqa: PLC0415 - slow to import

        self._events.emit(attempt_failed(call, outcome))

    def _tell(
        self, call: Call, delivery: Delivery, outcome: Outcome | None, failure: BaseException | None = None
    ) -> None:
        from leadsquared_async.http.call_events import left  # noqa: PLC0415 - slow to import

        self._events.emit(left(call, delivery, outcome, failure))

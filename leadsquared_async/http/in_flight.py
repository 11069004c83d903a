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
from leadsquared_async.logs import ClientLog
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
        log: records each exchange whose caller was cancelled.

    Attributes:
        abandoned: exchanges whose caller was cancelled before they ended.
    """

    def __init__(self, log: ClientLog) -> None:
        self.abandoned = 0
        self._log = log
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
            if not call.writes:
                self._unwanted.add(task)
            task.add_done_callback(partial(self._log_abandoned, call, tuple(earlier)))
            raise

    def leave(self, call: Call, earlier: Sequence[Delivery], last: Outcome) -> None:
        """Log a call that its caller leaves between two attempts, if it may have arrived."""
        if call.writes and not call.recorded and join(earlier) is Delivery.UNKNOWN:
            self.abandoned += 1
            self._log_lost(call, Delivery.UNKNOWN, None, f"{last.summary}; it may have arrived")

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
        del self._tasks[task]
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

    def _outcome_of(self, task: asyncio.Task[Outcome]) -> Outcome | None:
        """None if it failed, or was cancelled by anything except closing the client."""
        if task.cancelled():
            return _BROKEN_OFF if self._breaking_off else None
        return task.result() if task.exception() is None else None

    def _log_abandoned(self, call: Call, earlier: tuple[Delivery, ...], task: asyncio.Task[Outcome]) -> None:
        """Log the outcome of an exchange whose caller was cancelled."""
        request_id, delivery = None, Delivery.UNKNOWN
        if (outcome := self._outcome_of(task)) is not None:
            request_id, delivery = outcome.request_id, outcome.delivery
            what = f"was accepted, RequestID {request_id}" if request_id else outcome.summary
        elif task.cancelled():
            what = "was cancelled; it may have arrived"
        else:
            what = f"failed with {type(task.exception()).__name__}; it may have arrived"
        self._log_lost(call, join((*earlier, delivery)), request_id, what)

    def _log_lost(self, call: Call, delivery: Delivery, request_id: str | None, what: str) -> None:
        is_lost = call.writes and not call.recorded and delivery in {Delivery.UNKNOWN, Delivery.REJECTED}
        self._log.log(
            logging.ERROR if is_lost else logging.WARNING if call.writes else logging.DEBUG,
            "%s: abandoned by its caller %s: %s",
            call.operation,
            f"(reference {call.reference})" if call.reference else "(without a reference)",
            what,
            extra={
                "event": delivery.value if is_lost else "abandoned",
                "operation": call.operation,
                "reference": call.reference,
                "request_id": request_id,
                "delivery": delivery.value,
            },
        )

"""Sends the tasks of one operation, and holds them while all of its calls fail."""

from __future__ import annotations

import asyncio
import random

from redis.exceptions import RedisError

from leadsquared_async.client import LeadSquared, parts_of
from leadsquared_async.delivery.hold import Hold
from leadsquared_async.delivery.item_retries import ATTEMPTS, HeldError, patient
from leadsquared_async.errors import APIError, ConnectionFailed, Delivery, Fault, LeadSquaredError
from leadsquared_async.integrations.taskiq.lease import Lease
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import Receipt
from leadsquared_async.resources.submit import send_encoded
from leadsquared_async.retry import may_repeat
from leadsquared_async.submissions import Submission

__all__ = ["OperationSender"]

AT_ONCE = 32
"""Concurrent tasks of one operation; with more, all would be sent before the first one fails."""


class OperationSender:
    """Sends the tasks of one operation in one worker.

    Args:
        client: sends them.
        operation: the operation's name.
        lane: the lane of all tasks.

    Attributes:
        hold: whether its tasks are held.
    """

    def __init__(self, client: LeadSquared, operation: str, lane: Lane) -> None:
        self._parts = parts_of(client)
        self._lane = lane
        self._places = asyncio.Semaphore(AT_ONCE)
        self.hold = Hold(
            "tasks",
            f"every item of {operation}",
            operation,
            events=self._parts.sender.events,
            clock=asyncio.get_running_loop().time,
            random=random.random,
        )

    async def send(self, submission: Submission, lease: Lease) -> Receipt | LeadSquaredError | None:
        """Send a task and update the hold; None if it is held. The caller must be `without_locals`."""
        async with self._places:
            if self.hold.reason is not None:
                if not self.hold.may_probe:
                    return None
                self.hold.probe = lease
            try:
                receipt = await self._send(submission, lease)
            except HeldError:
                return None
            except LeadSquaredError as error:
                if error.fault is Fault.LEAD:
                    if isinstance(error, APIError):  # this package's own errors say nothing about LeadSquared
                        self.hold.succeed()
                elif error.scope is not None:
                    self.hold.fail(error)
                return error
            finally:
                if self.hold.probe is lease:
                    self.hold.probe = None
            self.hold.succeed()
            return receipt

    async def _send(self, submission: Submission, lease: Lease) -> Receipt:
        prepared = await self._parts.preparer.prepare(submission)
        repeat = prepared.operation.idempotency(identified=prepared.identified)
        is_repeatable = may_repeat(repeat, self._parts.sender.settings.retry)
        if not is_repeatable and await lease.was_marked():
            raise ConnectionFailed(
                "the worker died while sending it: check whether it arrived before you send it again",
                delivery=Delivery.UNKNOWN,
            )

        async def before_send() -> None:
            if not self.hold.may_send(lease):
                raise HeldError
            if not is_repeatable:
                try:
                    await lease.mark()
                except RedisError:
                    raise HeldError from None  # if this worker dies, the next one must find the mark

        sender = patient(self._parts.sender, 1 if self.hold.probe is lease else ATTEMPTS)
        try:
            return await send_encoded(sender, prepared, self._lane, before_send)
        except LeadSquaredError as error:
            error.safe_to_retry = error.safe_to_retry or is_repeatable  # its own is about its last attempt
            raise

"""Running calls with their rows; after a failure, each row is retried or ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.clock import clock
from leadsquared_async.delivery.hold import Holds
from leadsquared_async.delivery.item_retries import (
    ATTEMPTS,
    HeldError,
    UnforeseenError,
    final_state,
    is_of_the_item,
    patient,
    pause_after,
)
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import (
    APIError,
    ClientClosed,
    Delivery,
    Fault,
    LeadSquaredError,
    OutboxError,
    Scope,
)
from leadsquared_async.events import DeliveryStopped
from leadsquared_async.http.redaction import traceback_without_values, without_locals
from leadsquared_async.http.run import BeforeSend
from leadsquared_async.http.sender import Sender
from leadsquared_async.outbox.file_account import FileAccount
from leadsquared_async.outbox.rows import BULK, Row, UnreadableRowError, stored, write_named
from leadsquared_async.outbox.settle import Settler
from leadsquared_async.retry import may_repeat

__all__ = ["RowCalls"]

LAST_WAIT = 1.0
"""The most seconds to store the rows of aborted calls as pending again."""
READ_AGAIN_AFTER = 1.0
"""Seconds until a row is tried again whose account could not be read."""

R = TypeVar("R")


class RowCalls:
    """The running calls and the failures of each row.

    Attributes:
        calls: the rows of each running call.
        failures: how often each row has failed.
        ended: why sending has stopped; None while it continues.
    """

    def __init__(self, settler: Settler, holds: Holds, sender: Sender, account: FileAccount) -> None:
        self._settler = settler
        self._holds = holds
        self._account = account
        self._sender = patient(sender, ATTEMPTS)
        self._probing = patient(sender, 1)
        self._events = sender.events
        self._log = sender.events.log
        self._policy = sender.settings.retry
        self._parked: dict[int, float] = {}
        self._rounds: Counter[int] = Counter()
        self._is_stopping = False
        self._refused: set[int] = set()  # between two attempts, and LeadSquared does not have them
        self._broken_off: list[Row] = []
        self.calls: dict[asyncio.Task[None], list[Row]] = {}
        self.failures: Counter[int] = Counter()
        self.ended: LeadSquaredError | None = None

    @property
    def is_over(self) -> bool:
        """Whether no more calls are started."""
        return self._is_stopping or self.ended is not None

    def end(self, error: LeadSquaredError) -> None:
        """Stop sending, for this reason."""
        if self.ended is None:
            self.ended = error
            self._events.emit(DeliveryStopped(owner="outbox", reason=error.summary))

    def under_way(self) -> set[int]:
        """The rows of all running calls."""
        return {row.id for rows in self.calls.values() for row in rows}

    def waiting_to_retry(self) -> set[int]:
        """The failed rows that wait for a retry."""
        now = clock.now()
        self._parked = {row: due for row, due in self._parked.items() if due > now}
        return set(self._parked)

    @property
    def has_parked(self) -> bool:
        """Whether failed rows wait for a retry."""
        return bool(self._parked)

    @property
    def is_due(self) -> bool:
        """Whether the pause of a row has ended since `waiting_to_retry` was last called."""
        return any(due <= clock.now() for due in self._parked.values())

    def start(self, rows: list[Row], work: Callable[[list[Row]], Awaitable[None]]) -> asyncio.Task[None]:
        """Start a call in its own task."""
        for row in rows:
            self._parked.pop(row.id, None)
        name = f"leadsquared_async outbox row {rows[0].id}"
        call = asyncio.create_task(self._run(rows, work), name=name)
        self.calls[call] = rows
        call.add_done_callback(self._done)
        return call

    async def read(self, row: Row) -> EncodedSubmission | None:
        """A row's submission; if it cannot be read, end the row and return None."""
        try:
            return stored(row)
        except UnreadableRowError as flaw:
            await self._settler.unreadable(row, flaw)
            return None

    @without_locals
    async def send(
        self,
        rows: list[Row],
        call: Callable[[Sender, BeforeSend], Awaitable[R]],
        has_token: Callable[[], None] = lambda: None,
    ) -> R | None:
        """Store the rows as sending in one commit, then make the call; if it fails, settle the rows and
        return None.

        Args:
            rows: rows of one operation.
            call: makes the call with a sender and a function to await before sending.
            has_token: called once the rows are stored.
        """
        operation, probe = rows[0].operation, rows[0].id

        def check() -> None:
            if self.is_over or not self._holds.may_send(operation, probe):
                raise HeldError

        async def before_send() -> None:
            await self._check_account(rows)
            check()
            if not await self._settler.sending(rows):  # on each attempt: a row may have been forgotten since
                raise HeldError
            has_token()
            check()
            self._refused.difference_update(row.id for row in rows)

        sender = self._probing if self._holds.is_probe(operation, probe) else self._sender
        links = tuple(row.traceparent for row in rows if row.traceparent is not None)
        sender = replace(sender, before_retry=partial(self._before_retry, rows), links=links)
        try:
            result = await self._finish(rows, call(sender, before_send))
        except HeldError:
            await self._put_back(rows, 0)
        except ClientClosed as error:
            self.end(error)
            if error.safe_to_retry:
                await self._put_back(rows, error.attempts)
        except LeadSquaredError as error:
            await self.fail(rows, error)
        else:
            self._holds.succeed(operation)
            return result
        return None

    async def _check_account(self, rows: list[Row]) -> None:
        """Stop sending if a callable has returned the keys of another account than the file's."""
        try:
            refusal = await self._account.refusal()
        except OutboxError:  # not at once again: other reads may succeed
            self._parked |= {row.id: clock.now() + READ_AGAIN_AFTER for row in rows}
            raise HeldError from None
        if refusal is not None:
            self.end(refusal)

    def _before_retry(self, rows: list[Row], delivery: Delivery) -> None:
        if delivery is Delivery.UNKNOWN:
            return
        if self.is_over:
            raise HeldError
        self._refused.update(row.id for row in rows)

    async def _finish(self, rows: list[Row], call: Awaitable[R]) -> R:
        try:
            return await call
        except asyncio.CancelledError:
            self._broken_off += [row for row in rows if row.id in self._refused]
            raise
        finally:
            self._refused.difference_update(row.id for row in rows)

    async def fail(self, rows: list[Row], error: LeadSquaredError) -> None:
        """Handle the failure of a whole call."""
        operation = rows[0].operation
        if error.fault is not Fault.LEAD:
            self._holds.fail(operation, error, rows[0].id)
        elif isinstance(error, APIError):  # errors raised by this package say nothing about LeadSquared
            self._holds.succeed(operation)
        if error.fault is Fault.LEAD and len(rows) > 1:  # one row is invalid: smaller calls find it
            self.failures.update(row.id for row in rows)
            await self._put_back(rows, error.attempts)
        else:
            is_own = len(rows) == 1 and is_of_the_item(error)
            await asyncio.gather(*(self._retry_or_end(row, error, is_own=is_own) for row in rows))

    async def fail_row(self, row: Row, error: LeadSquaredError) -> None:
        """Handle a row that a bulk call's answer reports as failed, or does not mention."""
        if is_of_the_item(error):
            if self.may_repeat(row):
                error.delivery = Delivery.REJECTED  # LeadSquared names what failed
        elif error.delivery is Delivery.UNKNOWN:
            error.scope = Scope.LEAD  # the call as a whole did not fail
        elif error.fault is not Fault.LEAD and error.scope is not None:
            self._holds.fail(row.operation, error, row.id)
        await self._retry_or_end(row, error, is_own=is_of_the_item(error))

    def forget(self, row: Row) -> None:
        """Reset the failures of a row that is final or accepted."""
        del self.failures[row.id], self._rounds[row.id]

    def may_repeat(self, row: Row) -> bool:
        """Whether it may be sent again if it is unknown whether it arrived; False once it was accepted."""
        repeat = write_named(row.operation).idempotency(identified=row.identified)
        return row.request_id is None and may_repeat(repeat, self._policy)

    async def aclose(self, grace: float) -> None:
        """Start no more calls, let running ones finish within `grace` seconds, and leave the rest pending."""
        self._is_stopping = True
        sent = [call for call, rows in self.calls.items() if any(map(self._may_have_arrived, rows))]
        for call in self.calls:
            if call not in sent:
                call.cancel()
        try:
            if sent:
                await asyncio.wait(sent, timeout=grace)
        finally:
            for call in self.calls:
                call.cancel()
            await uninterrupted(self._end_calls())

    def _may_have_arrived(self, row: Row) -> bool:
        return row.is_sending and row.id not in self._refused

    async def _end_calls(self) -> None:
        if self.calls:
            await asyncio.wait(list(self.calls))
        with suppress(TimeoutError):  # the disk failed: the next start decides
            async with asyncio.timeout(LAST_WAIT):
                await self._put_back(self._broken_off, 0)

    async def _put_back(self, rows: Iterable[Row], attempts: int) -> None:
        await asyncio.gather(*(self._settler.pending(row, attempts) for row in rows if row.is_sending))

    async def _retry_or_end(self, row: Row, error: LeadSquaredError, *, is_own: bool) -> None:
        self.failures[row.id] += 1
        self._rounds[row.id] += is_own
        # The error's own advice is about its last attempt, and that of a bulk call about all its rows.
        may_be_repeated = self.may_repeat(row) or (row.operation != BULK and error.safe_to_retry)
        state = final_state(error, self._rounds[row.id], may_be_repeated=may_be_repeated)
        if state is None:
            self._parked[row.id] = clock.now() + pause_after(self.failures[row.id])
            await self._settler.pending(row, error.attempts)
        else:
            self.forget(row)
            await self._settler.end(row, state, error)

    async def _run(self, rows: list[Row], work: Callable[[list[Row]], Awaitable[None]]) -> None:
        try:
            await work(rows)
        except Exception as error:
            # A bug must not stop other rows. The error stays here: a task's repr would show its message.
            if not any(self._rounds[row.id] for row in rows):
                self._log.error("outbox: row %d failed with %s", rows[0].id, traceback_without_values(error))
            may_have_arrived = any(row.is_sending for row in rows)
            unforeseen = UnforeseenError(error, rows[0].operation, may_have_arrived=may_have_arrived)
            unforeseen.safe_to_retry = not may_have_arrived or all(map(self.may_repeat, rows))
            await self.fail(rows, unforeseen)

    def _done(self, call: asyncio.Task[None]) -> None:
        for row in self.calls.pop(call):
            self._holds.end_probe(row.id)
        self._settler.changed.set()

"""Chooses the next rows and sends them, each alone or in a bulk call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import product

from leadsquared_async.clock import clock
from leadsquared_async.delivery.hold import Hold, Holds
from leadsquared_async.errors import LeadSquaredError, OutboxError
from leadsquared_async.http.sender import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.operations import BULK_MOST, OPERATIONS
from leadsquared_async.outbox.file_account import FileAccount
from leadsquared_async.outbox.recovery import recover
from leadsquared_async.outbox.row_calls import RowCalls
from leadsquared_async.outbox.rows import BULK, FILES, FORMS, Row
from leadsquared_async.outbox.settle import Settler
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.resources.bulk_call import RowOutcome, send_rows
from leadsquared_async.resources.submit import send_encoded

__all__ = ["Deliverer"]

AT_ONCE = 32
"""The most rows being sent or waiting for a token; more would exceed the rate limit anyway."""
FRESH_AT_ONCE = 32
"""The most newly put forms, in addition."""
LOOK_EVERY = 0.2
"""Seconds between checks for rows put by other processes."""
LOOK_FOR_UNKNOWN_EVERY = 1.0
SOME = 100
"""Rows of unknown operations read at a time."""


class Deliverer:
    """Sends the rows of an outbox, in one process at a time.

    The oldest row goes first, forms before files, and forms put since the last check before all others. A
    failed row waits for its pause. While its operation is held, only one row is probed.

    Up to 25 bulk rows share a call. Only one call waits for a token, and the next is assembled after that, so
    that rows put meanwhile share a call. Rows of a failed call are sent in smaller calls, at last one by one:
    this isolates the invalid row and rejects no other.

    Args:
        put_before: the last row that was put before the outbox was open; forms after it are fresh. None if
            another process delivered then.
    """

    def __init__(
        self,
        writer: Writer,
        settler: Settler,
        holds: Holds,
        sender: Sender,
        follow: Callable[[Row], None],
        *,
        account: FileAccount,
        put_before: int | None,
    ) -> None:
        self._writer = writer
        self._settler = settler
        self._holds = holds
        self._account = account
        self._follow = follow
        self._calls = RowCalls(settler, holds, sender, account)
        self._fresh: set[asyncio.Task[None]] = set()
        self._waiting_bulk: list[Row] | None = None
        self._unknown_at = 0.0
        self._put_before = put_before
        self._seen = 0
        self._version = -1

    @property
    def ended(self) -> LeadSquaredError | None:
        """Why sending has stopped; None while it continues."""
        return self._calls.ended

    def end(self, error: LeadSquaredError) -> None:
        """Stop sending, for this reason."""
        self._calls.end(error)

    async def run(self) -> None:
        """Send existing and new rows until cancelled or until the client is closed."""
        is_recovered = False
        is_news = True
        while self.ended is None:
            try:
                if not is_recovered:
                    if self._put_before is None:
                        self._put_before = await self._writer.read(Store.last_id)
                    await recover(self._writer, self._settler, self._calls)
                    self._seen = self._put_before
                    is_recovered = True
                await self._end_unknown()
                if is_news or any(hold.may_probe for _, hold in self._holds.to_probe()):
                    await self._claim()
                is_news = await self._wait_for_news()
                self._writer.unblock("read")
            except OutboxError as error:
                self._writer.block("read", error)
                is_news = True  # the next round must read again, or `unblock` would be wrong
                await asyncio.sleep(LOOK_EVERY)

    async def aclose(self, grace: float) -> None:
        """Start no more calls, let running ones finish within `grace` seconds, and leave the rest pending."""
        await self._calls.aclose(grace)

    async def _end_unknown(self) -> None:
        """End rows put by another version with an operation that this version does not know."""
        if clock.now() < self._unknown_at:
            return
        while unknown := await self._writer.read(Store.of_unknown_operations, SOME):
            for row in unknown:
                await self._calls.read(row)
        self._unknown_at = clock.now() + LOOK_FOR_UNKNOWN_EVERY

    async def _wait_for_news(self) -> bool:
        """Wait a moment; return whether there may be rows to claim."""
        changed = self._writer.changed
        try:
            async with self._pause():
                await changed.wait()
        except TimeoutError:
            pass
        else:
            changed.clear()
            return True
        if not self._writer.is_writable:
            return await self._writer.try_writing()
        version = await self._writer.read(Store.version)
        is_news, self._version = version != self._version, version
        return is_news or self._calls.is_due

    def _pause(self) -> AbstractAsyncContextManager[object]:
        """The time until the next look; a test skips it only while rows wait for a retry or a probe."""
        if self._holds.first is None and not self._calls.has_parked:
            return asyncio.timeout(LOOK_EVERY)
        return clock.timeout(LOOK_EVERY)

    # Which row goes next

    async def _claim(self) -> None:
        if not self._writer.is_writable or self._calls.is_over:
            return
        for operation, hold in self._holds.to_probe():
            await self._claim_probe(operation, hold)
        free = [operation for operation in OPERATIONS if not self._holds.holds(operation)]
        takes_bulk = self._waiting_bulk is None and self._holds.sending(BULK).reason is None
        if not free and not takes_bulk:
            return
        skipped, seen = {*self._calls.under_way(), *self._calls.waiting_to_retry()}, self._seen
        fresh_room, room = FRESH_AT_ONCE - len(self._fresh), self._room

        def choose(store: Store) -> tuple[list[Row], int, list[Row], list[Row], list[Row]]:
            # The last id is read first: rows put in between count as new the next time.
            last = store.last_id()
            fresh = store.next_rows(FORMS, fresh_room, skipped, seen, free)
            seen_now = seen if fresh_room <= 0 else last if len(fresh) < fresh_room else fresh[-1].id
            older = {*skipped, *(row.id for row in fresh)}
            forms = store.next_rows(FORMS, room, older, operations=free)
            files = store.next_rows(FILES, room - len(forms), older, operations=free)
            together = list[Row]()
            for lane in (FORMS, FILES) if takes_bulk else ():
                together += store.next_rows(lane, BULK_MOST - len(together), skipped, operations=[BULK])
            return fresh, seen_now, forms, files, together

        fresh, self._seen, forms, files, together = await self._writer.read(choose)
        for row in fresh:
            if (call := self._start([row], Lane.INTERACTIVE)) is not None:
                self._fresh.add(call)
                call.add_done_callback(self._fresh.discard)
        for row in forms:
            self._start([row], Lane.INTERACTIVE if row.id > self._seen else Lane.BATCH)
        for row in files:
            self._start([row])
        self._start(self._together(together))

    @property
    def _room(self) -> int:
        alone = sum(rows[0].operation != BULK for rows in self._calls.calls.values())
        return AT_ONCE - (alone - len(self._fresh))

    async def _claim_probe(self, operation: str | None, hold: Hold) -> None:
        """Probe one row, preferably one that has not failed; while few have failed, the probe need not wait.

        A hold of every row is probed with an operation that has not failed, if there is one: otherwise a
        single failing operation would hold all the others.
        """
        is_due = not hold.until_probe
        is_busy = operation == BULK and any(rows[0].operation == BULK for rows in self._calls.calls.values())
        if hold.probe is not None or is_busy or (hold.is_certain and not is_due):
            return
        operations = self._holds.in_turn() if operation is None else [operation]
        for without in (self._calls.failures, ()) if is_due else (self._calls.failures,):
            for name, lane in product(operations, (FORMS, FILES)):
                if rows := await self._next(name, lane, without):
                    if operation is None:
                        self._holds.probe(name, rows[0].id)
                    hold.probe = rows[0].id
                    self._start(rows)
                    return
        if is_due:
            hold.release()

    async def _next(self, operation: str, lane: int, without: Iterable[int]) -> list[Row]:
        skipped = {*self._calls.under_way(), *without}
        return await self._writer.read(Store.next_rows, lane, 1, skipped, operations=[operation])

    def _together(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that may share a call: half as many after each failure of one of them."""
        most, together = BULK_MOST, list[Row]()
        for row in rows:
            most = min(most, max(1, BULK_MOST >> self._calls.failures[row.id]))
            if len(together) >= most:
                break
            together.append(row)
        return together

    # How it is sent

    def _start(self, rows: list[Row], lane: Lane = Lane.BATCH) -> asyncio.Task[None] | None:
        if not rows or self._calls.is_over:
            return None
        if rows[0].operation != BULK:
            return self._calls.start(rows, lambda rows: self._deliver(rows[0], lane))
        self._waiting_bulk = rows
        call = self._calls.start(rows, self._deliver_bulk)
        call.add_done_callback(lambda _: self._has_token(rows))
        return call

    async def _deliver(self, row: Row, lane: Lane) -> None:
        submission = await self._calls.read(row)
        if submission is None:
            return
        receipt = await self._calls.send(
            [row], lambda sender, before_send: send_encoded(sender, submission, lane, before_send)
        )
        if receipt is not None:
            self._calls.forget(row)
            row.request_id = receipt.request_id
            await self._settler.accepted(row, receipt.attempts, receipt.request_id)
            self._follow(row)
            await self._account.accepted()

    async def _deliver_bulk(self, rows: list[Row]) -> None:
        found = [(row, it) for row in rows if (it := await self._calls.read(row)) is not None]
        if not found:
            return
        readable, submissions = [row for row, _ in found], [submission for _, submission in found]
        outcomes = await self._calls.send(
            readable,
            lambda sender, before_send: send_rows(sender, submissions, Lane.BATCH, before_send),
            lambda: self._has_token(rows),
        )
        if outcomes is not None:
            await asyncio.gather(*map(self._settle, readable, outcomes))

    def _has_token(self, rows: list[Row]) -> None:
        if self._waiting_bulk is rows:
            self._waiting_bulk = None
            self._writer.changed.set()  # the next call may be assembled

    async def _settle(self, row: Row, outcome: RowOutcome) -> None:
        if outcome.error is not None:
            await self._calls.fail_row(row, outcome.error)
        else:
            assert outcome.status is not None
            self._calls.forget(row)
            await self._settler.confirmed(
                row, outcome.status.lead_id, outcome.status.created, outcome.attempts
            )
            await self._account.accepted()

"""Rows are claimed, sent, and put into the state that LeadSquared's answer gives them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import product

from leadsquared_async.delivery.hold import Hold, Holds
from leadsquared_async.delivery.policy import (
    ATTEMPTS,
    ItemState,
    is_of_the_item,
)
from leadsquared_async.errors import (
    ConnectionFailed,
    Delivery,
    Fault,
    LeadSquaredError,
    OutboxError,
)
from leadsquared_async.http.redaction import without_locals
from leadsquared_async.http.sender import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, BULK_MOST, OPERATIONS
from leadsquared_async.outbox.attempts import Attempts, end_calls
from leadsquared_async.outbox.rows import (
    BEFORE_ALL,
    FILES,
    FORMS,
    Row,
    UnreadableRowError,
    stored,
)
from leadsquared_async.outbox.settle import Settler
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.resources.bulk_call import RowOutcome, send_rows
from leadsquared_async.resources.submit import send_encoded

__all__ = ["BulkDeliverer", "Deliverer"]

AT_ONCE = 32
"""Rows under way or waiting for a token; more than the limit lets through would not help."""
FRESH_AT_ONCE = 32
"""Forms beyond them that were put a moment ago."""
LOOK_EVERY = 0.2
"""Seconds between two looks for what other processes have put."""
LOOK_FOR_STRAYS_EVERY = 1.0
SOME = 100
"""Rows that one look reads."""


class Deliverer:
    """Sends the rows of an outbox; there is one of it for a file.

    Args:
        writer: the way to the file.
        settler: stores what becomes of a row.
        holds: say what may be sent.
        sender: the client's way out.
        follow: called with each row that was accepted.
    """

    def __init__(
        self,
        writer: Writer,
        settler: Settler,
        holds: Holds,
        sender: Sender,
        follow: Callable[[Row], None],
    ) -> None:
        self._writer = writer
        self._settler = settler
        self._holds = holds
        self._follow = follow
        self._attempts = Attempts(settler, holds, sender)
        self._bulk = BulkDeliverer(writer, settler, holds, Attempts(settler, holds, sender))
        self._fresh: set[asyncio.Task[None]] = set()
        self._strays_at = 0.0
        self._seen = 0
        self._version = -1

    @property
    def ended(self) -> LeadSquaredError | None:
        """Why nothing is sent any more; None if it is."""
        return self._attempts.ended or self._bulk.attempts.ended

    def end(self, error: LeadSquaredError) -> None:
        """Send nothing more, for this reason."""
        self._attempts.end(error)
        self._bulk.attempts.end(error)

    async def run(self) -> None:
        """Send what is there and what comes, until cancelled or until the client is closed."""
        is_recovered = False
        is_news = True
        while self.ended is None:
            try:
                if not is_recovered:
                    await self._recover()
                    is_recovered = True
                await self._end_strays()
                if is_news or self._may_probe() or self._bulk.is_due:
                    await self._claim()
                    await self._bulk.claim()
                is_news = await self._news()
                self._writer.can_read()
            except OutboxError as error:
                self._writer.cannot_read(error)
                is_news = True  # all of it is tried again, or it would seem to be readable
                await asyncio.sleep(LOOK_EVERY)

    async def aclose(self, grace: float) -> None:
        """Begin no call; finish within `grace` seconds what is on its way, and leave the rest pending."""
        await end_calls([self._attempts, self._bulk.attempts], grace)

    @without_locals
    async def _recover(self) -> None:
        """Decide on the rows that were on their way when an earlier process died."""
        while rows := await self._writer.read(Store.in_state, ItemState.SENDING, SOME):
            for row in rows:
                await self._recover_row(row)
        await self._settler.end_accepted()
        while await self._writer.write(Store.release_orphans, SOME):
            pass
        self._seen = await self._writer.read(Store.last_id)

    async def _recover_row(self, row: Row) -> None:
        try:
            stored(row)
        except UnreadableRowError as flaw:
            await self._settler.unreadable(row, flaw)
            return
        if self._attempts.may_repeat(row):
            await self._settler.pending(row, 0)
        else:
            reason = "the process died while it was on its way: look for it before it is sent again"
            error = ConnectionFailed(reason, delivery=Delivery.UNKNOWN)
            await self._settler.end(row, ItemState.UNKNOWN, error)

    async def _end_strays(self) -> None:
        """End rows of an operation that this version does not know: another version has put them."""
        if _now() < self._strays_at:
            return
        while strays := await self._writer.read(Store.stray, SOME):
            for row in strays:
                await self._attempts.readable([row])
        self._strays_at = _now() + LOOK_FOR_STRAYS_EVERY

    async def _news(self) -> bool:
        """Wait a little; whether there may be something to claim."""
        changed = self._settler.changed
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await changed.wait()
        except TimeoutError:
            pass
        else:
            changed.clear()
            return True
        if self._writer.stuck is not None:
            return await self._writer.is_writable()
        version = await self._writer.read(Store.version)
        is_news, self._version = version != self._version, version
        return is_news or self._attempts.is_due

    def _may_probe(self) -> bool:
        return any(hold.may_probe for _, hold in self._holds.to_probe())

    async def _claim(self) -> None:
        if self._writer.stuck is not None or self._attempts.is_over:
            return
        for operation, hold in self._holds.to_probe():
            if hold.probe is None:
                await self._claim_probe(operation, hold)
        free = [operation for operation in OPERATIONS if not self._holds.holds(operation)]
        if not free:
            return
        parked = self._attempts.parked()
        await self._claim_fresh(free, parked)
        for lane in (FORMS, FILES):
            room = AT_ONCE - (len(self._attempts.calls) - len(self._fresh))
            if room > 0:
                for row in await self._claimed(free, lane, room, parked):
                    is_fresh = lane == FORMS and row.id > self._seen
                    self._start(row, Lane.INTERACTIVE if is_fresh else Lane.BATCH)

    async def _claim_fresh(self, operations: Sequence[str], parked: Iterable[int]) -> None:
        """The forms that came since the last look."""
        room = FRESH_AT_ONCE - len(self._fresh)
        if room <= 0:
            return
        # Before they are claimed: what comes in between is fresh the next time.
        last = await self._writer.read(Store.last_id)
        fresh = await self._claimed(operations, FORMS, room, parked, after=self._seen)
        self._seen = last if len(fresh) < room else fresh[-1].id
        for row in fresh:
            if (call := self._start(row, Lane.INTERACTIVE)) is not None:
                self._fresh.add(call)
                call.add_done_callback(self._fresh.discard)

    async def _claim_probe(self, operation: str | None, hold: Hold) -> None:
        """One row, none that failed before if there is another; while few failed, that need not wait.

        A hold of every row is probed with an operation that did not fail, if there is one: else an operation
        that fails alone would hold the others for as long as it fails.
        """
        is_due = not hold.until_probe
        if not is_due and hold.is_certain:
            return
        operations = self._holds.in_turn() if operation is None else [operation]
        for without in (self._attempts.failures, ()) if is_due else (self._attempts.failures,):
            for name, lane in product(operations, (FORMS, FILES)):
                if rows := await self._claimed([name], lane, 1, without):
                    if operation is None:
                        self._holds.probe(name, rows[0].id)
                    hold.probe = rows[0].id
                    self._start(rows[0], Lane.BATCH)
                    return
        if is_due:
            hold.release()

    async def _claimed(
        self,
        operations: Sequence[str],
        lane: int,
        most: int,
        without: Iterable[int],
        *,
        after: float = BEFORE_ALL,
    ) -> list[Row]:
        skipped = {*self._attempts.under_way(), *without}
        return await self._writer.read(Store.claim, lane, most, skipped, after, operations)

    def _start(self, row: Row, lane: Lane) -> asyncio.Task[None] | None:
        if self._attempts.is_over:
            return None
        return self._attempts.start([row], lambda rows: self._deliver(rows, lane))

    async def _deliver(self, rows: list[Row], lane: Lane) -> None:
        row = rows[0]
        _, submissions = await self._attempts.readable(rows)
        if not submissions:
            return
        receipt = await self._attempts.send(
            rows, lambda sender, before_send: send_encoded(sender, submissions[0], lane, before_send)
        )
        if receipt is not None:
            self._attempts.forget(row)
            self._holds.succeed(row.operation)
            row.request_id = receipt.request_id
            await self._settler.accepted(row, receipt.attempts, receipt.request_id)
            self._follow(row)


class BulkDeliverer:
    """Sends the bulk rows of an outbox, up to 25 in a call; each gets the state that its part of the answer
    gives it.

    One call at a time waits for its token, and the next is made up when it has it, so that rows which come
    meanwhile share one. Rows of a call that failed as a whole go in smaller ones, each alone in the end: so
    the invalid one is found, and no other is rejected for it. They are held apart from the other rows, since
    they go to another host, under a limit of its own.

    Args:
        writer: the way to the file.
        settler: stores what becomes of a row.
        holds: say what may be sent.
        attempts: the calls under way.
    """

    def __init__(self, writer: Writer, settler: Settler, holds: Holds, attempts: Attempts) -> None:
        self._writer = writer
        self._settler = settler
        self._hold = holds.sending(BULK_CREATE_OR_UPDATE.name)
        self._waiting: list[Row] | None = None
        self.attempts = attempts

    @property
    def is_due(self) -> bool:
        """Whether time alone has brought something to be sent."""
        if self._waiting is not None:
            return False
        if self._hold.reason is not None:
            return self._hold.may_probe and not self.attempts.calls
        return self.attempts.is_due

    async def claim(self) -> None:
        """Make up the next call, unless one waits for its token."""
        if self._waiting is not None or self._writer.stuck is not None or self.attempts.is_over:
            return
        if self._hold.reason is not None:
            rows = await self._claim_probe()
        else:
            rows = self._together(await self._claimed(BULK_MOST, self.attempts.parked()))
        if not rows or self.attempts.is_over:
            return
        self._waiting = rows
        call = self.attempts.start(rows, self._deliver)
        call.add_done_callback(lambda _: self._has_token(rows))

    async def _claim_probe(self) -> list[Row]:
        """One row alone, if there is one that has not failed; while few calls have, it need not wait."""
        is_due = not self._hold.until_probe
        if self.attempts.calls or (not is_due and self._hold.is_certain):
            return []
        rows = await self._claimed(1, self.attempts.failures)
        if not rows and is_due:
            rows = await self._claimed(1, ())
        if rows:
            self._hold.probe = rows[0].id
        elif is_due:
            self._hold.release()
        return rows

    async def _claimed(self, most: int, without: Iterable[int]) -> list[Row]:
        """The oldest rows that may be sent, forms first; never two of one identity."""
        skipped, bulk = {*without, *self.attempts.under_way()}, (BULK_CREATE_OR_UPDATE.name,)
        forms = await self._writer.read(Store.claim, FORMS, most, skipped, BEFORE_ALL, bulk)
        room = most - len(forms)
        return forms + await self._writer.read(Store.claim, FILES, room, skipped, BEFORE_ALL, bulk)

    def _together(self, rows: Sequence[Row]) -> list[Row]:
        """So many of them as may share a call: half as many after each failure of one of them."""
        most, together = BULK_MOST, list[Row]()
        for row in rows:
            most = min(most, max(1, BULK_MOST >> self.attempts.failures[row.id]))
            if len(together) >= most:
                break
            together.append(row)
        return together

    async def _deliver(self, rows: list[Row]) -> None:
        good, submissions = await self.attempts.readable(rows)
        if not submissions:
            return
        outcomes = await self.attempts.send(
            good,
            lambda sender, before_send: send_rows(sender, submissions, Lane.BATCH, before_send),
            lambda: self._has_token(rows),
        )
        if outcomes is not None:
            self._hold.succeed()
            await asyncio.gather(*map(self._settle, good, outcomes))

    def _has_token(self, rows: list[Row]) -> None:
        if self._waiting is rows:
            self._waiting = None
            self._settler.changed.set()  # the next one may be made up

    async def _settle(self, row: Row, outcome: RowOutcome) -> None:
        """Its part of the answer is final, unless it is missing: then it is sent again, a few times."""
        error, attempts = outcome.error, self.attempts
        if error is None:
            attempts.forget(row)
            assert outcome.status is not None
            status = outcome.status
            await self._settler.confirmed(row, status.lead_id, status.created, outcome.attempts)
        elif error.fault is Fault.LEAD:
            await attempts.finish(row, ItemState.REJECTED, error)
        elif error.delivery is Delivery.REJECTED:  # the limit or the keys: it was not taken, and can be
            if error.scope is not None:
                self._hold.fail(error, row.id)
            attempts.failures[row.id] += 1
            await attempts.retry(row, error, attempts.failures[row.id] + attempts.missing[row.id])
        elif attempts.missing[row.id] + 1 < ATTEMPTS and attempts.may_repeat(row):
            attempts.missing[row.id] += 1
            await attempts.retry(row, error, attempts.failures[row.id] + attempts.missing[row.id])
        else:
            is_rejected = is_of_the_item(error) and attempts.may_repeat(row)
            state = ItemState.REJECTED if is_rejected else ItemState.UNKNOWN
            await attempts.finish(row, state, error)


def _now() -> float:
    return asyncio.get_running_loop().time()

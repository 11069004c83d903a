"""Rows are claimed, sent, and put into the state that LeadSquared's answer gives them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from itertools import product

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.delivery.policy import (
    ATTEMPTS,
    ROUNDS,
    HeldError,
    UnforeseenError,
    is_of_the_row,
    may_repeat,
    patient,
    pause_after,
)
from leadsquared_async.errors import (
    APIError,
    ClientClosed,
    ConnectionFailed,
    Delivery,
    Fault,
    LeadSquaredError,
    OutboxError,
)
from leadsquared_async.http.redaction import traceback_without_values, without_locals
from leadsquared_async.http.sender import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.operations import OPERATIONS
from leadsquared_async.outbox.deliver_bulk import BulkDeliverer
from leadsquared_async.outbox.holding import Holding
from leadsquared_async.outbox.holdings import Holdings
from leadsquared_async.outbox.items import ItemState
from leadsquared_async.outbox.rows import (
    BEFORE_ALL,
    FILES,
    FORMS,
    Claim,
    UnreadableRowError,
    stored,
    write_named,
)
from leadsquared_async.outbox.settle import Ledger
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.resources.submit import send_encoded

__all__ = ["Deliverer"]

AT_ONCE = 32
"""Rows under way or waiting for a token; more than the limit lets through is of no use."""
FRESH_AT_ONCE = 32
"""Forms beyond them that somebody has just put."""
LOOK_EVERY = 0.2
"""Seconds between two looks for what other processes have put."""
LOOK_FOR_STRAYS_EVERY = 1.0
SOME = 100
"""Rows that one look takes up."""


class Deliverer:
    """Sends the rows of an outbox; there is one of it for a file.

    Args:
        writer: the way to the file.
        ledger: notes what became of them.
        holdings: what may be sent.
        sender: the client's way out.
        follow: called with each row that was accepted.

    Attributes:
        ended: why nothing is sent any more; None if it is.
        bulk: sends the rows that share calls, beside it and under a limit of their own.
    """

    def __init__(
        self,
        writer: Writer,
        ledger: Ledger,
        holdings: Holdings,
        sender: Sender,
        follow: Callable[[Claim], None],
    ) -> None:
        self._writer = writer
        self._ledger = ledger
        self._holdings = holdings
        self._sender = patient(sender, ATTEMPTS)
        self._probing = patient(sender, 1)
        self._log = sender.log
        self._policy = sender.settings.retry
        self._follow = follow
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._fresh: set[int] = set()
        self._rows: dict[int, Claim] = {}
        self._parked: dict[int, float] = {}
        self._failures: dict[int, int] = {}
        self._own_failures: Counter[int] = Counter()
        self._strays_at = 0.0
        self._seen = 0
        self._version = -1
        self._probes: dict[str | None, int] = {}  # rows by what they probe for: an operation, or everything
        self._stopping = False
        self.ended: LeadSquaredError | None = None
        self.bulk = BulkDeliverer(writer, ledger, sender, self._is_over, self.end)

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
                if is_news or self._may_probe() or self.bulk.is_due:
                    await self._claim()
                    await self.bulk.claim()
                is_news = await self._news()
                self._ledger.can_read()
            except OutboxError as error:
                self._ledger.cannot_read(error)
                is_news = True  # all of it is tried again, or it would seem to be readable
                await asyncio.sleep(LOOK_EVERY)

    def end(self, error: LeadSquaredError) -> None:
        """Send nothing more, for this reason."""
        self.ended = self.ended or error

    @without_locals
    async def _recover(self) -> None:
        """Decide on the rows that were on their way when an earlier process died."""
        while rows := await self._writer.read(lambda store: store.in_state(ItemState.SENDING, SOME)):
            for row in rows:
                await self._recover_row(row)
        await self._ledger.end_accepted()
        await self._writer.write(lambda store: store.open_hidden())
        while await self._writer.write(lambda store: store.close_ended(SOME)):
            pass
        while await self._writer.write(lambda store: store.release_orphans(SOME)):
            pass
        self._seen = await self._writer.read(lambda store: store.last_id())

    async def _recover_row(self, row: Claim) -> None:
        try:
            stored(row)
        except UnreadableRowError as flaw:
            await self._ledger.unreadable(row, flaw)
            return
        if self._may_repeat(row):
            await self._ledger.pending(row, 0)
        else:
            reason = "the process died while it was on its way: look for it before it is sent again"
            await self._ledger.unknown(row, ConnectionFailed(reason, delivery=Delivery.UNKNOWN))

    async def _end_strays(self) -> None:
        """End what this version cannot send: another one, or somebody's hand, has put it."""
        if self._now() < self._strays_at:
            return
        if await self._writer.read(lambda store: store.hides_rows()):
            await self._writer.write(lambda store: store.open_hidden())
        while odd := await self._writer.read(lambda store: store.out_of_lane(SOME)):
            await self._writer.write(partial(Store.put_into_lane, rows=odd))
        while strays := await self._writer.read(lambda store: store.stray(SOME)):
            for row in strays:
                try:
                    stored(row)
                except UnreadableRowError as flaw:
                    await self._ledger.unreadable(row, flaw)
                else:
                    await self._ledger.unreadable(row, UnreadableRowError("its state is invalid"))
        self._strays_at = self._now() + LOOK_FOR_STRAYS_EVERY

    async def aclose(self, grace: float) -> None:
        """Send nothing more; finish what is on its way within `grace` seconds, and leave the rest pending."""
        self._stopping = True
        sent = [task for row, task in self._under_way.items() if self._rows[row].is_sending]
        sent += self.bulk.sent()
        for task in (*self._under_way.values(), *self.bulk.calls):
            if task not in sent:
                task.cancel()
        try:
            if sent:
                await asyncio.wait(sent, timeout=grace)
        finally:
            rest = [*self._under_way.values(), *self.bulk.calls]
            for task in rest:
                task.cancel()
            await uninterrupted(_ended(rest))

    async def _news(self) -> bool:
        """Wait a little; whether there may be something to claim."""
        changed = self._ledger.changed
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await changed.wait()
        except TimeoutError:
            pass
        else:
            changed.clear()
            return True
        if self._ledger.stuck is not None:
            return await self._ledger.is_writable()
        version = await self._writer.read(lambda store: store.version())
        is_news, self._version = version != self._version, version
        now = self._now()
        return is_news or any(due <= now for due in self._parked.values())

    def _may_probe(self) -> bool:
        return any(
            holding.reason is not None and not holding.until_probe and what not in self._probes
            for what, holding in self._gates()
        )

    def _gates(self) -> list[tuple[str | None, Holding]]:
        """What may have to be probed for: everything, or else each operation."""
        if self._holdings.every.reason is not None:
            return [(None, self._holdings.every)]
        return [(operation, self._holdings.sending(operation)) for operation in OPERATIONS]

    async def _claim(self) -> None:
        if self._ledger.stuck is not None or self._stopping:
            return
        for what, holding in self._gates():
            if holding.reason is not None and what not in self._probes:
                await self._claim_probe(what, holding)
        free = [operation for operation in OPERATIONS if not self._holdings.holds(operation)]
        if not free:
            return
        now = self._now()
        self._parked = {row: due for row, due in self._parked.items() if due > now}
        await self._claim_fresh(free)
        for lane in (FORMS, FILES):
            room = AT_ONCE - (len(self._under_way) - len(self._fresh))
            if room > 0:
                for row in await self._claimed(free, lane, room, self._parked):
                    is_fresh = lane == FORMS and row.id > self._seen
                    self._start(row, Lane.INTERACTIVE if is_fresh else Lane.BATCH)

    async def _claim_fresh(self, operations: Sequence[str]) -> None:
        """The forms that came since the last look."""
        room = FRESH_AT_ONCE - len(self._fresh)
        if room <= 0:
            return
        # Before they are claimed: what comes in between is fresh the next time.
        last = await self._writer.read(lambda store: store.last_id())
        fresh = await self._claimed(operations, FORMS, room, self._parked, after=self._seen)
        self._seen = last if len(fresh) < room else fresh[-1].id
        for row in fresh:
            self._fresh.add(row.id)
            self._start(row, Lane.INTERACTIVE)

    async def _claim_probe(self, what: str | None, holding: Holding) -> None:
        """One row, none that failed before if there is another; while few failed, that need not wait.

        What holds everything is tried with an operation that did not meet it, if there is one: else an
        operation that fails alone would hold the others for as long as it fails.
        """
        is_due = not holding.until_probe
        if not is_due and holding.is_certain:
            return
        operations = self._holdings.in_turn() if what is None else [what]
        for without in (self._failures, ()) if is_due else (self._failures,):
            for operation, lane in product(operations, (FORMS, FILES)):
                if rows := await self._claimed([operation], lane, 1, without):
                    self._probes[what] = rows[0].id
                    if what is None:
                        self._holdings.probes(operation)
                    self._start(rows[0], Lane.BATCH)
                    return
        if is_due:
            holding.end_untried()

    async def _claimed(
        self,
        operations: Sequence[str],
        lane: int,
        most: int,
        without: Iterable[int],
        *,
        after: float = BEFORE_ALL,
    ) -> list[Claim]:
        skipped = {*self._under_way, *without}
        return await self._writer.read(lambda store: store.claim(lane, most, skipped, after, operations))

    def _start(self, row: Claim, lane: Lane) -> None:
        if row.id in self._under_way or self._stopping:
            return
        self._parked.pop(row.id, None)
        self._rows[row.id] = row
        task = asyncio.create_task(self._attempt(row, lane), name=f"leadsquared_async outbox row {row.id}")
        self._under_way[row.id] = task
        task.add_done_callback(lambda _: self._done(row.id))

    def _done(self, row: int) -> None:
        del self._under_way[row]
        del self._rows[row]
        self._fresh.discard(row)
        self._probes = {what: probe for what, probe in self._probes.items() if probe != row}
        self._ledger.changed.set()

    async def _attempt(self, row: Claim, lane: Lane) -> None:
        try:
            await self._deliver(row, lane)
        except UnreadableRowError as flaw:
            await self._ledger.unreadable(row, flaw)
        except Exception as error:
            # A fault in somebody's code is not to stop the others. It does not leave the task, whose repr
            # would show its words.
            if not self._own_failures[row.id]:
                self._log.error("outbox: row %d failed with %s", row.id, traceback_without_values(error))
            unforeseen = UnforeseenError(error, row.operation, may_have_arrived=row.is_sending)
            unforeseen.safe_to_retry = not row.is_sending or self._may_repeat(row)
            await self._failed(row, unforeseen)

    @without_locals
    async def _deliver(self, row: Claim, lane: Lane) -> None:
        submission = stored(row)
        sender = self._probing if row.id in self._probes.values() else self._sender

        def check() -> None:
            if self._is_over() or not self._may_go(row):
                raise HeldError

        async def before_send() -> None:
            check()
            if not await self._ledger.sending(row):  # each time: it may have been forgotten since
                raise HeldError
            check()

        try:
            receipt = await send_encoded(sender, submission, lane, before_send)
        except HeldError:
            if row.is_sending:
                await self._ledger.pending(row, 0)
        except ClientClosed as error:
            self.end(error)
            if row.is_sending and error.safe_to_retry:
                await self._ledger.pending(row, error.attempts)
        except LeadSquaredError as error:
            await self._failed(row, error)
        else:
            self._is_over_for(row)
            self._holdings.passed(row.operation)
            row.request_id = receipt.request_id
            await self._ledger.accepted(row, receipt.attempts, receipt.request_id)
            self._follow(row)

    def _may_go(self, row: Claim) -> bool:
        """Whether nothing holds it, or it is the one that probes."""
        if self._probes.get(None) == row.id:
            return True
        is_probe = self._probes.get(row.operation) == row.id
        return not self._holdings.holds(row.operation) or (is_probe and self._holdings.every.reason is None)

    async def _failed(self, row: Claim, error: LeadSquaredError) -> None:
        if error.fault is Fault.LEAD:
            self._is_over_for(row)
            if isinstance(error, APIError):  # what is refused here says nothing of LeadSquared
                self._holdings.passed(row.operation)
            await self._ledger.rejected(row, error)
            return
        self._holdings.failed(row.operation, error, row.id)
        if error.delivery is Delivery.UNKNOWN and not error.safe_to_retry:
            self._is_over_for(row)
            await self._ledger.unknown(row, error)
            return
        if is_of_the_row(error):
            self._own_failures[row.id] += 1
            if self._own_failures[row.id] >= ROUNDS:
                self._is_over_for(row)
                await self._ledger.given_up(row, error)
                return
        failures = self._failures[row.id] = self._failures.get(row.id, 0) + 1
        self._parked[row.id] = self._now() + pause_after(failures)
        await self._ledger.pending(row, error.attempts)

    def _may_repeat(self, row: Claim) -> bool:
        """Whether it may be sent again when nobody knows whether it arrived; not once it did."""
        write = write_named(row.operation)
        return row.request_id is None and may_repeat(write, self._policy, identified=row.identified)

    def _is_over_for(self, row: Claim) -> None:
        self._failures.pop(row.id, None)
        del self._own_failures[row.id]

    def _is_over(self) -> bool:
        return self._stopping or self.ended is not None

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


async def _ended(tasks: Collection[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)

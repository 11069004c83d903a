"""Rows that share calls: up to 25 go in one, and each gets the state that its part of the answer gives it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

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
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import APIError, ClientClosed, Delivery, Fault, LeadSquaredError
from leadsquared_async.http.redaction import traceback_without_values, without_locals
from leadsquared_async.http.sender import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, BULK_MOST
from leadsquared_async.outbox.holding import Holding
from leadsquared_async.outbox.rows import FILES, FORMS, Claim, UnreadableRowError, stored
from leadsquared_async.outbox.settle import Ledger
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.resources.bulk_call import RowOutcome, send_rows

__all__ = ["BulkDeliverer"]

_BULK = (BULK_CREATE_OR_UPDATE.name,)


class BulkDeliverer:
    """Sends the bulk rows of an outbox, when its `Deliverer` says that there may be some.

    One call at a time waits for its token, and others are made up when it has it, so that rows which come
    meanwhile share one. Rows of a call that failed as a whole go in smaller ones, each alone in the end: so
    the one whose fault it is is found, and no other is rejected for it. What is held for a fault of the
    synchronous host or its limit is held here only; the other rows go on.

    Args:
        writer: the way to the file.
        ledger: notes what became of them.
        sender: the client's way out.
        is_over: whether nothing more is to be sent.
        end: called with the error that ends all delivering.

    Attributes:
        holding: whether anything may be sent.
        calls: the rows of each call under way.
    """

    def __init__(
        self,
        writer: Writer,
        ledger: Ledger,
        sender: Sender,
        is_over: Callable[[], bool],
        end: Callable[[LeadSquaredError], None],
    ) -> None:
        self._writer = writer
        self._ledger = ledger
        self._sender = patient(sender, ATTEMPTS)
        self._probing = patient(sender, 1)
        self._log = sender.log
        self._policy = sender.settings.retry
        self._is_over = is_over
        self._end = end
        self._waiting: list[Claim] | None = None
        self._parked: dict[int, float] = {}
        self._failures: Counter[int] = Counter()
        self._missing: Counter[int] = Counter()
        self._own_failures: Counter[int] = Counter()
        self.holding = Holding(sender.log, "holding every bulk lead", "delivering every bulk lead again")
        self.calls: dict[asyncio.Task[None], list[Claim]] = {}

    @property
    def is_due(self) -> bool:
        """Whether time alone has brought something to be sent."""
        if self._waiting is not None:
            return False
        if self.holding.reason is not None:
            return not self.holding.until_probe and not self.calls
        now = self._now()
        return any(due <= now for due in self._parked.values())

    def sent(self) -> list[asyncio.Task[None]]:
        """The calls that are on their way."""
        return [call for call, rows in self.calls.items() if any(row.is_sending for row in rows)]

    async def claim(self) -> None:
        """Make up the next call, unless one waits for its token."""
        if self._waiting is not None or self._ledger.stuck is not None or self._is_over():
            return
        if self.holding.reason is not None:
            await self._claim_probe()
            return
        now = self._now()
        self._parked = {row: due for row, due in self._parked.items() if due > now}
        self._start(self._together(await self._claimed(BULK_MOST, self._parked)), is_probe=False)

    async def _claim_probe(self) -> None:
        """One row alone, if there is one that has not failed; while few calls have, it need not wait."""
        is_due = not self.holding.until_probe
        if self.calls or (not is_due and self.holding.is_certain):
            return
        rows = await self._claimed(1, self._failures)
        if not rows and is_due:
            rows = await self._claimed(1, ())
            if not rows:
                self.holding.end_untried()
        self._start(rows, is_probe=True)

    async def _claimed(self, most: int, without: Iterable[int]) -> list[Claim]:
        """The oldest rows that may be sent, forms first; never two of one identity."""
        skipped = {*without, *(row.id for rows in self.calls.values() for row in rows)}

        def claim(store: Store) -> list[Claim]:
            forms = store.claim(FORMS, most, skipped, operations=_BULK)
            return forms + store.claim(FILES, most - len(forms), skipped, operations=_BULK)

        return await self._writer.read(claim)

    def _together(self, rows: Sequence[Claim]) -> list[Claim]:
        """So many of them as may share a call: half as many after each failure of one of them."""
        most, together = BULK_MOST, list[Claim]()
        for row in rows:
            most = min(most, max(1, BULK_MOST >> self._failures[row.id]))
            if len(together) >= most:
                break
            together.append(row)
        return together

    def _start(self, rows: list[Claim], *, is_probe: bool) -> None:
        if not rows or self._is_over():
            return
        self._waiting = rows
        for row in rows:
            self._parked.pop(row.id, None)
        name = f"leadsquared_async outbox bulk call from row {rows[0].id}"
        call = asyncio.create_task(self._attempt(rows, is_probe=is_probe), name=name)
        self.calls[call] = rows
        call.add_done_callback(self._done)

    def _done(self, call: asyncio.Task[None]) -> None:
        self._waits_no_more(self.calls.pop(call))
        self._ledger.changed.set()

    def _waits_no_more(self, rows: list[Claim]) -> None:
        if self._waiting is rows:
            self._waiting = None
            self._ledger.changed.set()  # the next one may be made up

    async def _attempt(self, rows: list[Claim], *, is_probe: bool) -> None:
        try:
            await self._deliver(rows, is_probe=is_probe)
        except Exception as error:
            # A fault in somebody's code is not to stop the others. It does not leave the task, whose repr
            # would show its words.
            if not any(self._own_failures[row.id] for row in rows):
                first = rows[0].id
                self._log.error(
                    "outbox: the bulk call from row %d failed with %s", first, traceback_without_values(error)
                )
            is_sending = any(row.is_sending for row in rows)
            unforeseen = UnforeseenError(error, rows[0].operation, may_have_arrived=is_sending)
            await self._failed(rows, unforeseen)

    @without_locals
    async def _deliver(self, rows: list[Claim], *, is_probe: bool) -> None:
        submissions = await self._submissions(rows)
        if not submissions:
            return

        def check() -> None:
            if self._is_over() or (self.holding.reason is not None and not is_probe):
                raise HeldError

        async def before_send() -> None:
            check()
            await self._note_sending(rows)
            self._waits_no_more(rows)
            check()

        sender = self._probing if is_probe else self._sender
        try:
            outcomes = await send_rows(sender, submissions, Lane.BATCH, before_send)
        except HeldError:
            await self._put_back(rows, 0)
        except ClientClosed as error:
            self._end(error)
            if error.safe_to_retry:
                await self._put_back(rows, error.attempts)
        except LeadSquaredError as error:
            await self._failed(rows, error)
        else:
            self.holding.end()
            await asyncio.gather(*map(self._settle, rows, outcomes))

    async def _submissions(self, rows: list[Claim]) -> list[EncodedSubmission]:
        """What they submit; those that cannot be read end, and leave the call."""
        submissions: list[EncodedSubmission] = []
        for row in rows.copy():
            try:
                submissions.append(stored(row))
            except UnreadableRowError as flaw:
                rows.remove(row)
                await self._ledger.unreadable(row, flaw)
        return submissions

    async def _note_sending(self, rows: Sequence[Claim]) -> None:
        """All in one commit; if one may not be sent, such as one that was forgotten, none is.

        Raises:
            HeldError: one may not.
        """
        if not all(await asyncio.gather(*map(self._ledger.sending, rows))):
            raise HeldError

    async def _put_back(self, rows: Iterable[Claim], attempts: int) -> None:
        await asyncio.gather(*(self._ledger.pending(row, attempts) for row in rows if row.is_sending))

    async def _settle(self, row: Claim, outcome: RowOutcome) -> None:
        """Its part of the answer is final, unless it is missing: then it is sent again, a few times."""
        error = outcome.error
        if error is None:
            self._is_over_for(row)
            assert outcome.status is not None
            await self._ledger.confirmed(
                row, outcome.status.lead_id, outcome.status.created, outcome.attempts
            )
        elif error.fault is Fault.LEAD:
            await self._reject(row, error)
        elif error.delivery is Delivery.REJECTED:  # the limit or the keys: it was not taken, and can be
            if error.scope is not None:
                self.holding.because_of(error, row.id)
            self._failures[row.id] += 1
            await self._try_again(row, error)
        elif self._missing[row.id] + 1 < ATTEMPTS and self._may_repeat(row):
            self._missing[row.id] += 1
            await self._try_again(row, error)
        elif is_of_the_row(error) and self._may_repeat(row):
            await self._reject(row, error)
        else:
            await self._give_up(row, error)

    async def _failed(self, rows: Sequence[Claim], error: LeadSquaredError) -> None:
        """The call failed as a whole."""
        if error.fault is Fault.LEAD:
            if isinstance(error, APIError):  # what is refused here says nothing of LeadSquared
                self.holding.end()
            if len(rows) == 1:
                await self._reject(rows[0], error)
                return
            self._note_failure(rows)
            await self._put_back(rows, error.attempts)
            return
        self.holding.because_of(error, rows[0].id)
        self._note_failure(rows)
        if is_of_the_row(error) and len(rows) == 1 and (error.safe_to_retry or self._may_repeat(rows[0])):
            self._own_failures[rows[0].id] += 1
            if self._own_failures[rows[0].id] >= ROUNDS:
                self._is_over_for(rows[0])
                await self._ledger.given_up(rows[0], error)
                return
        is_clear = error.delivery is not Delivery.UNKNOWN or error.safe_to_retry
        await asyncio.gather(
            *(
                self._try_again(row, error)
                if is_clear or self._may_repeat(row)
                else self._give_up(row, error)
                for row in rows
            )
        )

    def _may_repeat(self, row: Claim) -> bool:
        return may_repeat(BULK_CREATE_OR_UPDATE, self._policy, identified=row.identified)

    async def _try_again(self, row: Claim, error: LeadSquaredError) -> None:
        self._park([row], pause_after(self._failures[row.id] + self._missing[row.id]))
        await self._ledger.pending(row, error.attempts)

    async def _reject(self, row: Claim, error: LeadSquaredError) -> None:
        self._is_over_for(row)
        await self._ledger.rejected(row, error)

    async def _give_up(self, row: Claim, error: LeadSquaredError) -> None:
        self._is_over_for(row)
        await self._ledger.unknown(row, error)

    def _note_failure(self, rows: Iterable[Claim]) -> None:
        self._failures.update(row.id for row in rows)

    def _is_over_for(self, row: Claim) -> None:
        del self._failures[row.id], self._missing[row.id], self._own_failures[row.id]

    def _park(self, rows: Iterable[Claim], seconds: float) -> None:
        until = self._now() + seconds
        self._parked.update((row.id, until) for row in rows)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

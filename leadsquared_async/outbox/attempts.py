"""Calls under way, each with its rows, and what failed before: shared by single rows and bulk calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TypeVar

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.delivery.hold import Holds
from leadsquared_async.delivery.policy import (
    ATTEMPTS,
    HeldError,
    ItemState,
    UnforeseenError,
    final_state,
    is_of_the_item,
    may_repeat,
    patient,
    pause_after,
)
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import APIError, ClientClosed, Fault, LeadSquaredError
from leadsquared_async.http.redaction import traceback_without_values, without_locals
from leadsquared_async.http.run import BeforeSend
from leadsquared_async.http.sender import Sender
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE
from leadsquared_async.outbox.rows import Row, UnreadableRowError, stored, write_named
from leadsquared_async.outbox.settle import Settler

__all__ = ["Attempts", "end_calls"]

R = TypeVar("R")


class Attempts:
    """The calls of one kind that are under way.

    Args:
        settler: stores what becomes of a row.
        holds: say what may be sent.
        sender: the client's way out.

    Attributes:
        ended: why nothing is sent any more; None if it is.
        is_stopping: whether no call begins any more.
        calls: the rows of each call under way.
        failures: how often each row has failed.
        missing: how often each row was missing from the answer to a bulk call.
    """

    def __init__(self, settler: Settler, holds: Holds, sender: Sender) -> None:
        self._settler = settler
        self._holds = holds
        self._sender = patient(sender, ATTEMPTS)
        self._probing = patient(sender, 1)
        self._log = sender.log
        self._policy = sender.settings.retry
        self._parked: dict[int, float] = {}
        self._rounds: Counter[int] = Counter()
        self.calls: dict[asyncio.Task[None], list[Row]] = {}
        self.failures: Counter[int] = Counter()
        self.missing: Counter[int] = Counter()
        self.ended: LeadSquaredError | None = None
        self.is_stopping = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be sent."""
        return self.is_stopping or self.ended is not None

    def end(self, error: LeadSquaredError) -> None:
        """Send nothing more, for this reason."""
        self.ended = self.ended or error

    def under_way(self) -> set[int]:
        """The rows of all calls."""
        return {row.id for rows in self.calls.values() for row in rows}

    def parked(self) -> set[int]:
        """The rows that have failed and wait before they are tried again."""
        now = _now()
        self._parked = {row: due for row, due in self._parked.items() if due > now}
        return set(self._parked)

    @property
    def is_due(self) -> bool:
        """Whether a row has waited long enough after its failure."""
        now = _now()
        return any(due <= now for due in self._parked.values())

    def start(self, rows: list[Row], work: Callable[[list[Row]], Awaitable[None]]) -> asyncio.Task[None]:
        """Begin a call in a task of its own."""
        for row in rows:
            self._parked.pop(row.id, None)
        name = f"leadsquared_async outbox row {rows[0].id}"
        call = asyncio.create_task(self._run(rows, work), name=name)
        self.calls[call] = rows
        call.add_done_callback(self._done)
        return call

    async def readable(self, rows: list[Row]) -> tuple[list[Row], list[EncodedSubmission]]:
        """The rows that can be sent, and what they submit; the others end."""
        good: list[Row] = []
        submissions: list[EncodedSubmission] = []
        for row in rows:
            try:
                submissions.append(stored(row))
                good.append(row)
            except UnreadableRowError as flaw:
                await self._settler.unreadable(row, flaw)
        return good, submissions

    @without_locals
    async def send(
        self,
        rows: list[Row],
        call: Callable[[Sender, BeforeSend], Awaitable[R]],
        has_token: Callable[[], None] = lambda: None,
    ) -> R | None:
        """Make a call with rows that are noted as sending first, in one commit; None if it failed, and its
        rows are settled.

        Args:
            rows: of one operation.
            call: makes it, with a sender and what is to be awaited before sending.
            has_token: called once the rows are noted.
        """
        operation, probe = rows[0].operation, rows[0].id

        def check() -> None:
            if self.is_over or not self._holds.may_send(operation, probe):
                raise HeldError

        async def before_send() -> None:
            check()
            if not await self._settler.sending(rows):  # each time: a row may have been forgotten since
                raise HeldError
            has_token()
            check()

        sender = self._probing if self._holds.is_probe(operation, probe) else self._sender
        try:
            return await call(sender, before_send)
        except HeldError:
            await self.put_back(rows, 0)
        except ClientClosed as error:
            self.end(error)
            if error.safe_to_retry:
                await self.put_back(rows, error.attempts)
        except LeadSquaredError as error:
            await self.fail(rows, error)
        return None

    async def put_back(self, rows: Iterable[Row], attempts: int) -> None:
        """Make those of them pending that were noted as sending."""
        await asyncio.gather(*(self._settler.pending(row, attempts) for row in rows if row.is_sending))

    async def fail(self, rows: Sequence[Row], error: LeadSquaredError) -> None:
        """The call failed as a whole."""
        operation = rows[0].operation
        if error.fault is not Fault.LEAD:
            self._holds.fail(operation, error, rows[0].id)
        elif isinstance(error, APIError):  # an error raised here says nothing about LeadSquared
            self._holds.succeed(operation)
        self.failures.update(row.id for row in rows)
        if error.fault is Fault.LEAD and len(rows) > 1:  # one of them is invalid: smaller calls find it
            await self.put_back(rows, error.attempts)
        elif len(rows) == 1:
            self._rounds[rows[0].id] += is_of_the_item(error)
            await self._fail_one(rows[0], error)
        else:
            await asyncio.gather(*(self._fail_one(row, error) for row in rows))

    async def retry(self, row: Row, error: LeadSquaredError, failures: int) -> None:
        """Make it pending, and wait before it is tried again."""
        self._parked[row.id] = _now() + pause_after(failures)
        await self._settler.pending(row, error.attempts)

    async def finish(self, row: Row, state: ItemState, error: LeadSquaredError) -> None:
        """It ends rejected or unknown."""
        self.forget(row)
        await self._settler.end(row, state, error)

    def forget(self, row: Row) -> None:
        """It is final, or accepted: its failures count no more."""
        del self.failures[row.id], self.missing[row.id], self._rounds[row.id]

    def may_repeat(self, row: Row) -> bool:
        """Whether it may be sent again when nobody knows whether it arrived; not once it was accepted."""
        write = write_named(row.operation)
        return row.request_id is None and may_repeat(write, self._policy, identified=row.identified)

    async def _fail_one(self, row: Row, error: LeadSquaredError) -> None:
        # The error of a bulk call speaks of all its rows together.
        is_bulk = row.operation == BULK_CREATE_OR_UPDATE.name
        may_be_repeated = error.safe_to_retry or (is_bulk and self.may_repeat(row))
        state = final_state(error, self._rounds[row.id], may_be_repeated=may_be_repeated)
        if state is None:
            await self.retry(row, error, self.failures[row.id])
        else:
            await self.finish(row, state, error)

    async def _run(self, rows: list[Row], work: Callable[[list[Row]], Awaitable[None]]) -> None:
        try:
            await work(rows)
        except Exception as error:
            # A bug must not stop the others. It does not leave the task, whose repr would show its words.
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


async def end_calls(groups: Sequence[Attempts], grace: float) -> None:
    """Begin no call; finish within `grace` seconds those that are on their way, and leave the rest pending.

    One function for all groups: a gather that is cancelled would leave the others behind.
    """
    for group in groups:
        group.is_stopping = True
    calls = {call: rows for group in groups for call, rows in group.calls.items()}
    sent = [call for call, rows in calls.items() if any(row.is_sending for row in rows)]
    for call in calls:
        if call not in sent:
            call.cancel()
    try:
        if sent:
            await asyncio.wait(sent, timeout=grace)
    finally:
        rest = [call for group in groups for call in group.calls]
        for call in rest:
            call.cancel()
        await uninterrupted(_ended(rest))


async def _ended(tasks: Collection[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)


def _now() -> float:
    return asyncio.get_running_loop().time()

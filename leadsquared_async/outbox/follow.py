"""Follows accepted rows to their outcome."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from leadsquared_async.delivery.hold import Holds
from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.errors import (
    ClientClosed,
    ConfigurationError,
    Delivery,
    Fault,
    LeadSquaredError,
    NotFound,
    OutboxError,
    Scope,
)
from leadsquared_async.operations import OPERATIONS, Certainty
from leadsquared_async.outbox.file_account import FileAccount
from leadsquared_async.outbox.rows import BEFORE_ALL, Row, UnreadableRowError, write_named
from leadsquared_async.outbox.settle import Settler
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.tracking import GRACE, Follower, Tracker, Trackers, request_id_of

__all__ = ["Confirmer"]

FOLLOWED = 10_000
"""Rows followed at the same time: LeadSquared may take hours for some."""
AT_ONCE = 500
PATIENCE = 3600.0
"""Seconds for which an unknown RequestID is polled."""
LOOK_EVERY = 1.0
TRIES = 3
"""How often a guessed status path may reject the keys before it counts as wrong."""


class Confirmer:
    """Follows the accepted rows of an outbox.

    The status paths of some operations are guesses. If one does not work, its rows end as accepted with that
    reason, and one row retries the path periodically.

    Args:
        account: the file's. Keys of another one would find none of its requests.
        end: stops delivery, for that reason.
    """

    def __init__(
        self,
        writer: Writer,
        settler: Settler,
        holds: Holds,
        trackers: Trackers,
        *,
        account: FileAccount,
        end: Callable[[OutboxError], None],
    ) -> None:
        self._writer = writer
        self._settler = settler
        self._holds = holds
        holds.on_certain = self._leave_held
        self._trackers = trackers
        self._account = account
        self._end = end
        self._rows: dict[int, Row] = {}
        self._followers: dict[int, Follower] = {}
        self._done: list[tuple[int, Follower]] = []
        self._unreadable: list[tuple[Row, UnreadableRowError]] = []
        self._news = asyncio.Event()
        self._has_more = True
        self._answers: Counter[str] = Counter()
        self._lost: dict[str, LeadSquaredError] = {}  # why outcomes cannot be fetched, by operation

    def follow(self, row: Row) -> None:
        """Follow an accepted row."""
        if (flaw := _flaw_of(row)) is not None:
            self._unreadable.append((row, flaw))
            self._news.set()
        elif len(self._rows) >= FOLLOWED:
            self._has_more = True
        else:
            row.content = None  # there may be thousands
            self._rows[row.id] = row
            self._ask_for(row)

    async def run(self) -> None:
        """Follow accepted rows until cancelled or until the client is closed."""
        try:
            while True:
                if self._has_more and len(self._rows) <= FOLLOWED // 2:
                    await self._load()
                while self._unreadable:
                    await self._settler.lost(*self._unreadable[0])
                    del self._unreadable[0]
                self._note_answers()
                await self._end_lost()
                if len(self._followers) < len(self._rows):
                    for row in self._rows.values():
                        self._ask_for(row)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._news.wait()
                self._news.clear()
                try:
                    refusal = await self._account.refusal()
                except OutboxError:
                    continue  # retried in a second
                if refusal is not None:
                    self._end(refusal)
                    return  # the rows stay accepted
                done, self._done = self._done, []
                settling = (self._settle(row, follower) for row, follower in done)
                for error in await asyncio.gather(*settling, return_exceptions=True):
                    if error is not None:
                        raise error
        except ClientClosed:
            pass  # the rows stay accepted
        finally:
            for row_id, follower in list(self._followers.items()):
                self._leave(row_id, follower)

    async def _load(self) -> None:
        """Read rows that were accepted earlier."""
        self._has_more, after = False, BEFORE_ALL
        while not self._has_more:
            try:
                rows = await self._writer.read(Store.in_state, ItemState.ACCEPTED, AT_ONCE, after)
            except OutboxError:
                self._has_more = True  # retried in a second
                return
            for row in rows:
                if row.id not in self._rows:
                    self.follow(row)
            if len(rows) < AT_ONCE:
                return
            after = rows[-1].id

    def _note_answers(self) -> None:
        """Resume operations for which LeadSquared has known a request since the last check."""
        for operation in OPERATIONS:
            answers = self._tracker(operation).answers
            if answers > self._answers[operation]:
                self._answers[operation] = answers
                self._lost.pop(operation, None)
                self._holds.following(operation).succeed()

    async def _end_lost(self) -> None:
        """End the rows of operations whose outcomes cannot be fetched, until the next retry."""
        for operation, error in self._lost.items():
            if self._holds.following(operation).until_probe:
                for row in [row for row in self._rows.values() if row.operation == operation]:
                    if row.id in self._followers:
                        self._leave(row.id, self._followers[row.id])
                    await self._settler.unfollowed(row, error)
                    del self._rows[row.id]

    def _ask_for(self, row: Row) -> None:
        if row.id in self._followers or not self._holds.may_follow(row.operation):
            return
        assert row.request_id is not None
        patience = GRACE if self._is_guess(row.operation) else PATIENCE
        follower = self._tracker(row.operation).follow(
            row.request_id, patience=patience, reference=row.reference
        )
        self._followers[row.id] = follower
        follower.outcome.add_done_callback(lambda _: self._is_done(row.id, follower))

    def _is_done(self, row: int, follower: Follower) -> None:
        self._done.append((row, follower))
        self._news.set()

    async def _settle(self, row_id: int, follower: Follower) -> None:
        row = self._rows.get(row_id)
        if row is None or self._followers.get(row_id) is not follower:
            return  # no longer followed, or followed by a new follower
        del self._followers[row_id]
        error = follower.outcome.exception()
        if error is None:
            status = follower.outcome.result()
            if status.succeeded:
                await self._settler.confirmed(row, status.lead_id, status.created)
            else:
                await self._settler.failed(row, status.reason or status.raw_state)
        elif isinstance(error, ClientClosed) or not isinstance(error, LeadSquaredError):
            raise error
        elif error.scope is not Scope.LEAD:
            self._fail(row.operation, error)
            return  # it is polled again
        elif isinstance(error, NotFound) and follower.patience < PATIENCE:
            if self._is_guess(row.operation):
                self._fail(row.operation, error)
            return  # it is polled again, for longer if the path is now known to be right
        else:
            await self._settler.lost(row, error)
        del self._rows[row_id]

    def _fail(self, operation: str, error: LeadSquaredError) -> None:
        """Hold following for this operation, or for all."""
        self._holds.fail_to_follow(operation, error)
        hold = self._holds.following(operation)
        if not hold.has_failed or not self._is_guess(operation):
            return
        is_about_the_path = isinstance(error, NotFound) or (
            error.scope is Scope.OPERATION and error.fault is Fault.ACCOUNT
        )
        is_refused = error.fault is Fault.ACCOUNT and hold.failures >= TRIES
        if is_about_the_path or is_refused:
            self._lost[operation] = error

    def _is_guess(self, operation: str) -> bool:
        """Whether the status path may be wrong, so that "not found" may mean the path or the request."""
        tracker = self._tracker(operation)
        return tracker.path.certainty is not Certainty.DOCUMENTED and not tracker.answers

    def _tracker(self, operation: str) -> Tracker:
        return self._trackers.of(OPERATIONS[operation])

    def _leave_held(self) -> None:
        for row, follower in list(self._followers.items()):
            if not self._holds.may_follow(self._rows[row].operation):
                self._leave(row, follower)

    def _leave(self, row: int, follower: Follower) -> None:
        del self._followers[row]
        self._tracker(self._rows[row].operation).leave(follower)
        follower.outcome.cancel()


def _flaw_of(row: Row) -> UnreadableRowError | None:
    """Why its outcome cannot be fetched."""
    try:
        if write_named(row.operation).name not in OPERATIONS:
            return UnreadableRowError(
                f"{row.operation} has no outcomes to follow", delivery=Delivery.ACCEPTED
            )
        request_id_of(row.request_id or "")
    except ConfigurationError:
        return UnreadableRowError("its RequestID is invalid", delivery=Delivery.ACCEPTED)
    except UnreadableRowError as flaw:
        flaw.delivery = Delivery.ACCEPTED
        return flaw
    return None

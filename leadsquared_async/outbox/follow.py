"""Accepted rows are followed to their outcome."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from itertools import islice

from leadsquared_async.errors import (
    ClientClosed,
    ConfigurationError,
    Delivery,
    LeadSquaredError,
    NotFound,
    OutboxError,
    Scope,
)
from leadsquared_async.operations import OPERATIONS
from leadsquared_async.outbox.holdings import Holdings
from leadsquared_async.outbox.items import ItemState
from leadsquared_async.outbox.rows import BEFORE_ALL, Claim, UnreadableRowError, write_named
from leadsquared_async.outbox.settle import Ledger
from leadsquared_async.outbox.status_paths import StatusPaths
from leadsquared_async.outbox.store import Store
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.tracking import GRACE, Follower, Trackers, request_id_of

__all__ = ["Confirmer"]

FOLLOWED = 10_000
"""Rows followed at the same moment. LeadSquared may hold some back for hours; others go on beside them."""
AT_ONCE = 500
PATIENCE = 3600.0
"""Seconds for which an id that LeadSquared does not know is asked for again, at a path that is right."""
LOOK_EVERY = 1.0
TRIED = 100
"""Rows by which it is tried whether the outcomes of an operation can be asked for again."""


class Confirmer:
    """Follows the accepted rows of an outbox.

    Where the outcomes of an operation cannot be asked for, its rows stay accepted and nobody waits for them;
    now and then it is tried again.

    Args:
        writer: the way to the file.
        ledger: notes what became of them.
        holdings: what may be asked for.
        trackers: ask.
    """

    def __init__(self, writer: Writer, ledger: Ledger, holdings: Holdings, trackers: Trackers) -> None:
        self._writer = writer
        self._ledger = ledger
        self._holdings = holdings
        holdings.on_hold = self._leave_held
        self._paths = StatusPaths(writer, trackers)
        self._rows: dict[int, Claim] = {}
        self._followers: dict[int, Follower] = {}
        self._settled: list[tuple[int, Follower]] = []
        self._unreadable: list[tuple[Claim, UnreadableRowError]] = []
        self._news = asyncio.Event()
        self._has_more = True
        self._passed_by: list[int] = []
        self._given_up: set[str] = set()
        self._told: dict[str, str] | None = None

    def follow(self, row: Claim) -> None:
        """Follow a row that was accepted a moment ago."""
        if (flaw := _flaw_of(row)) is not None:
            self._unreadable.append((row, flaw))
            self._news.set()
            return
        if len(self._rows) >= FOLLOWED:
            self._has_more = True
        else:
            row.content = None  # there may be thousands
            self._rows[row.id] = row
            self._ask_for(row)
        if self._holdings.following(row.operation).has_failed:
            self._passed_by.append(row.id)
            self._news.set()

    async def run(self) -> None:
        """Follow what is accepted, until cancelled or until the client is closed."""
        try:
            while True:
                with suppress(OutboxError):  # tried again in a second
                    await self._mind_the_paths()
                    if self._has_more and len(self._rows) <= FOLLOWED // 2:
                        await self._load()
                    await self._pass_by()
                while self._unreadable:
                    await self._ledger.lost(*self._unreadable[0])
                    del self._unreadable[0]
                self._ask_for_all()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._news.wait()
                self._news.clear()
                settled, self._settled = self._settled, []
                settling = (self._settle(row, follower) for row, follower in settled)
                for error in await asyncio.gather(*settling, return_exceptions=True):
                    if error is not None:
                        raise error
        except ClientClosed:
            pass  # the rows stay accepted
        finally:
            self._leave_all()

    async def _mind_the_paths(self) -> None:
        """Go on with what is answered again, and tell other processes what is not."""
        if self._told is None:
            await self._paths.read()
            self._told = await self._writer.read(lambda store: store.lost())
        for operation in await self._paths.answered():
            following = self._holdings.following(operation)
            self._has_more |= following.reason is not None
            following.end()
        if (lost := self._holdings.lost) != self._told:
            await self._writer.write(lambda store: store.set_lost(lost))
            self._told = lost

    async def _load(self) -> None:
        """Take up what was accepted before."""
        after = BEFORE_ALL
        self._has_more = False
        while not self._has_more:
            try:
                rows = await self._writer.read(
                    partial(
                        Store.in_state,
                        state=ItemState.ACCEPTED,
                        most=AT_ONCE,
                        after=after,
                        without=self._holdings.unfollowed,
                    )
                )
            except OutboxError:
                self._has_more = True
                return
            for row in rows:
                if row.id not in self._rows:
                    self.follow(row)
            if len(rows) < AT_ONCE:
                return
            after = rows[-1].id

    async def _pass_by(self) -> None:
        """Let nobody wait for rows that are not followed."""
        while self._given_up:
            operation = next(iter(self._given_up))
            rows = await self._writer.read(partial(Store.waited_for, operation=operation, most=AT_ONCE))
            if not rows:
                self._given_up.discard(operation)
            self._passed_by += rows
            await self._write_passed_by()
        await self._write_passed_by()

    async def _write_passed_by(self) -> None:
        if self._passed_by:
            rows = tuple(self._passed_by)
            await self._writer.write(lambda store: store.pass_by(rows))
            del self._passed_by[: len(rows)]
            self._ledger.changed.set()

    def _ask_for_all(self) -> None:
        if len(self._followers) < len(self._rows):
            for row in self._rows.values():
                self._ask_for(row)
        if unfollowed := self._holdings.unfollowed:
            for operation in unfollowed.keys() - {row.operation for row in self._rows.values()}:
                self._holdings.following(operation).end_untried()  # there is none to try with

    def _ask_for(self, row: Claim) -> None:
        if row.id in self._followers or not self._holdings.may_follow(row.operation):
            return
        assert row.request_id is not None
        patience = PATIENCE if self._paths.is_known(row.operation) else GRACE
        follower = self._paths.tracker(row.operation).follow(row.request_id, patience=patience)
        self._followers[row.id] = follower
        follower.outcome.add_done_callback(lambda _: self._is_settled(row.id, follower))

    def _is_settled(self, row: int, follower: Follower) -> None:
        self._settled.append((row, follower))
        self._news.set()

    async def _settle(self, row_id: int, follower: Follower) -> None:
        row = self._rows.get(row_id)
        if row is None or self._followers.get(row_id) is not follower:
            return  # it was left, and perhaps is followed anew
        del self._followers[row_id]
        error = follower.outcome.exception()
        if error is None:
            status = follower.outcome.result()
            if status.succeeded:
                await self._ledger.confirmed(row, status.lead_id, status.created)
            else:
                await self._ledger.failed(row, status.reason or status.raw_state)
        elif isinstance(error, ClientClosed) or not isinstance(error, LeadSquaredError):
            raise error
        elif error.scope is Scope.LEAD:
            if isinstance(error, NotFound) and follower.patience < PATIENCE:
                if not self._paths.is_known(row.operation):
                    self._give_up(row.operation, error)
                return  # by now the path is known to be right: there is more patience with it
            await self._ledger.lost(row, error)
        else:
            self._give_up(row.operation, error)
            return  # it stays accepted, and is asked for again
        del self._rows[row_id]

    def _give_up(self, operation: str, error: LeadSquaredError) -> None:
        """For now: the outcomes of this operation cannot be asked for, or nothing can."""
        self._holdings.not_followed(operation, error)
        if not self._holdings.following(operation).has_failed:
            return
        self._paths.mark(operation)
        self._given_up.add(operation)
        mine = [row.id for row in self._rows.values() if row.operation == operation]
        for row in islice(mine, max(0, len(mine) - TRIED)):
            del self._rows[row]  # there may be thousands, and they are loaded again

    def _leave_held(self) -> None:
        for row, follower in list(self._followers.items()):
            if not self._holdings.may_follow(self._rows[row].operation):
                self._leave(row, follower)

    def _leave_all(self) -> None:
        for row, follower in list(self._followers.items()):
            self._leave(row, follower)

    def _leave(self, row: int, follower: Follower) -> None:
        del self._followers[row]
        self._paths.tracker(self._rows[row].operation).leave(follower)
        follower.outcome.cancel()


def _flaw_of(row: Claim) -> UnreadableRowError | None:
    """Why nobody can ask for its outcome."""
    try:
        if write_named(row.operation).name not in OPERATIONS:
            return UnreadableRowError(f"{row.operation} has no outcomes", delivery=Delivery.ACCEPTED)
        request_id_of(row.request_id or "")
    except ConfigurationError:
        return UnreadableRowError("its RequestID is invalid", delivery=Delivery.ACCEPTED)
    except UnreadableRowError as flaw:
        flaw.delivery = Delivery.ACCEPTED
        return flaw
    return None

"""Accepted rows are followed to their outcome."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial

from leadsquared_async.errors import (
    ClientClosed,
    Fault,
    LeadSquaredError,
    NoSuchPath,
    NotFound,
    OutboxError,
)
from leadsquared_async.operations import operation_named
from leadsquared_async.outbox.holding import Holding
from leadsquared_async.outbox.items import ItemState
from leadsquared_async.outbox.ledger import Ledger
from leadsquared_async.outbox.store import Claim, Store
from leadsquared_async.outbox.writer import Writer
from leadsquared_async.tracking import Follower, Tracker, Trackers

__all__ = ["Confirmer"]

logger = logging.getLogger("leadsquared_async")

FOLLOWED = 10_000
"""Rows followed at the same moment. LeadSquared may hold some back for hours; others go on beside them."""
AT_ONCE = 500
PATIENCE = 3600.0
"""Seconds for which an id that LeadSquared does not know is asked for again."""
LOOK_EVERY = 1.0
LOST_PATH_PAUSE = 900.0
"""Seconds until the status of an operation is asked for again whose path does not exist."""


class Confirmer:
    """Follows the accepted rows of an outbox.

    Args:
        writer: the way to the file.
        ledger: notes what became of them.
        holding: while everything is held nothing is asked for.
        trackers: ask.
    """

    def __init__(
        self,
        writer: Writer,
        ledger: Ledger,
        holding: Holding,
        trackers: Trackers,
    ) -> None:
        self._writer = writer
        self._ledger = ledger
        self._holding = holding
        self._trackers = trackers
        self._lost: dict[str, float] = {}
        holding.on_hold = self._leave_all
        self._rows: dict[int, Claim] = {}
        self._followers: dict[int, Follower] = {}
        self._settled: list[tuple[int, Follower]] = []
        self._news = asyncio.Event()
        self._has_more = True

    def follow(self, row: Claim) -> None:
        """Follow a row that was accepted a moment ago."""
        if len(self._rows) >= FOLLOWED:
            self._has_more = True
            return
        row.content = None  # there may be thousands
        self._rows[row.id] = row
        if not self._holding.is_certain:
            self._ask_for(row)

    async def run(self) -> None:
        """Follow what is accepted, until cancelled or until the client is closed."""
        try:
            while True:
                if self._has_more and len(self._rows) <= FOLLOWED // 2:
                    await self._load()
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

    async def _load(self) -> None:
        """Take up what was accepted before."""
        after = 0
        self._has_more = False
        while not self._has_more:
            try:
                rows = await self._writer.read(
                    partial(Store.in_state, state=ItemState.ACCEPTED, most=AT_ONCE, after=after)
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

    def _ask_for_all(self) -> None:
        if not self._holding.is_certain and len(self._followers) < len(self._rows):
            for row in self._rows.values():
                self._ask_for(row)

    def _ask_for(self, row: Claim) -> None:
        if row.id in self._followers:
            return
        assert row.request_id is not None
        if self._lost.get(row.operation, 0.0) > asyncio.get_running_loop().time():
            return
        follower = self._tracker_of(row).follow(row.request_id, patience=PATIENCE)
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
                await self._ledger.rejected(row, status.reason or status.raw_state)
        elif isinstance(error, ClientClosed):
            raise error
        elif isinstance(error, NoSuchPath):
            self._leave_out(row.operation, error)
            return  # it stays accepted
        elif isinstance(error, NotFound) or getattr(error, "fault", None) is Fault.LEAD:
            await self._ledger.unknown(row, f"it was accepted, but {error}")
        else:
            if isinstance(error, LeadSquaredError):
                self._holding.because_of(error)
            return  # it stays accepted, and is asked for again
        del self._rows[row_id]

    def _leave_out(self, operation: str, error: NoSuchPath) -> None:
        """The path of its status is wrong: no reason to hold what is sent, nor to ask every second."""
        now = asyncio.get_running_loop().time()
        if self._lost.get(operation, 0.0) <= now:
            logger.error("outbox: what was accepted is not followed: %s", error)
            self._lost[operation] = now + LOST_PATH_PAUSE

    def _tracker_of(self, row: Claim) -> Tracker:
        return self._trackers.of(operation_named(row.operation))

    def _leave_all(self) -> None:
        for row, follower in self._followers.items():
            self._tracker_of(self._rows[row]).leave(follower)
            follower.outcome.cancel()
        self._followers.clear()

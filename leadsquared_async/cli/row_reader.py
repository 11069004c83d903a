"""Reads the rows of a file, and decides by an outbox what to do with each. Changes nothing."""

from __future__ import annotations

import asyncio
from array import array
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from itertools import islice

from leadsquared_async import ItemState, Outbox, OutboxItem
from leadsquared_async.cli.files.makers import RowMaker
from leadsquared_async.cli.files.spool import AT_ONCE, Entry, Spool
from leadsquared_async.cli.files.tables import Table
from leadsquared_async.cli.findings import LINES_SHOWN, Findings
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.outbox import states_in, states_of

__all__ = ["RowReader", "RowStatus", "Rows"]

DELIVERED = frozenset({ItemState.CONFIRMED, ItemState.ACCEPTED})


class RowStatus(IntEnum):
    """What an outbox knows of a row, and so what is done with it."""

    REFUSED = 0
    """Nothing: it cannot be sent."""
    NEW = 1
    """It is put into the outbox."""
    WAITING = 2
    """It is in the outbox, and not accepted yet."""
    ACCEPTED = 3
    """LeadSquared accepted it in an earlier run; its outcome is still unknown."""
    DELIVERED = 4
    """Nothing: an earlier run delivered it."""
    FAILED = 5
    """Nothing: it ended rejected or unknown in an earlier run."""
    REPEATED = 6
    """Another row has its key."""


@dataclass(slots=True)
class Rows:
    """The rows of the file, once they are read.

    `statuses` have the order of the spool. `blank` counts rows without a cell. `reused` says by line why rows
    are refused whose keys belong to other values. `unmatched` counts rows of which LeadSquared makes a new
    lead each time; `unmatched_lines` has the first of them. `left_over` are the ids of pending rows that an
    earlier run with this file put and that are no longer in it; `other_pending` counts other pending rows of
    the outbox.
    """

    spool: Spool
    statuses: array[int] = field(default_factory=lambda: array("b"))
    blank: int = 0
    findings: Findings = field(default_factory=Findings)
    reused: dict[int, str] = field(default_factory=dict[int, str])
    unmatched: int = 0
    unmatched_lines: list[int] = field(default_factory=list[int])
    left_over: list[int] = field(default_factory=list[int])
    other_pending: int = 0

    def first_line_with(self, key: str) -> int:
        """The line of the first row that has a key and could be sent."""
        statuses = iter(self.statuses)
        return next(
            entry.row.line
            for piece in self.spool.pieces()
            for entry, status in zip(piece, statuses, strict=False)
            if entry.key == key and status != RowStatus.REFUSED
        )

    def count(self, *statuses: RowStatus) -> int:
        return sum(self.statuses.count(status) for status in statuses)


@dataclass(slots=True, kw_only=True)
class RowReader:
    """Reads a file, and compares it with an outbox, if there is one.

    The keys of rows delivered before `since` get the suffix `again`, unless it is empty, so that they are
    sent once more.
    """

    maker: RowMaker
    stop: Stop
    name: str
    outbox: Outbox | None
    confirm: bool
    again: str
    since: datetime
    # The hashes of the outbox keys of all rows in memory; rows whose hashes are equal by chance are put.
    _seen: set[int] = field(default_factory=set[int], init=False)

    async def read(self, table: Table, spool: Spool) -> Rows:
        rows = Rows(spool)
        source = iter(table)
        while True:
            with self.stop.at_once():  # a pipe may have nothing to read for a long time
                piece = [self.maker.make(row, f"{self.name}:{row.line}") for row in islice(source, AT_ONCE)]
            await asyncio.sleep(0)  # a cancellation ends it here
            if not piece:
                break
            await self._add(piece, rows)
        rows.blank = table.blank
        await self._find_others(rows)
        return rows

    async def _find_others(self, rows: Rows) -> None:
        """Find the rows of the outbox that will be sent and are not in the file."""
        if self.outbox is None:
            return
        for state in (ItemState.PENDING, ItemState.SENDING):
            async with aclosing(states_in(self.outbox, state)) as items:
                async for item in items:
                    if item.key is not None and hash(item.key) in self._seen:
                        continue
                    # Its reference names the file whose run put it.
                    is_ours = item.key is not None and (item.reference or "").rpartition(":")[0] == self.name
                    if is_ours and state is ItemState.PENDING:
                        rows.left_over.append(item.id)
                    else:
                        rows.other_pending += 1

    async def _add(self, piece: list[Entry], rows: Rows) -> None:
        found = await self._found(piece)
        if self.again:
            for entry in piece:
                if entry.key is not None and entry.key in found and found[entry.key].state in DELIVERED:
                    entry.again = self.again
            found |= await self._found(piece)
            for entry in piece:  # not one that was delivered for the first time since then
                if (
                    entry.again
                    and entry.outbox_key not in found
                    and found[entry.key or ""].changed_at >= self.since
                ):
                    entry.again = ""
        for entry in piece:
            key = entry.outbox_key
            item = None if key is None else found.get(key)
            status = self._status(entry, item)
            if status is RowStatus.REFUSED:
                rows.findings.add(entry.row.line, entry.flaws)
            elif self.maker.makes_leads and entry.submission and entry.submission.identity is None:
                rows.unmatched += 1
                if len(rows.unmatched_lines) < LINES_SHOWN:
                    rows.unmatched_lines.append(entry.row.line)
            rows.statuses.append(status)
            rows.spool.add(entry)

    async def _found(self, piece: list[Entry]) -> dict[str, OutboxItem]:
        if self.outbox is None:
            return {}
        return await states_of(self.outbox, (key for entry in piece if (key := entry.outbox_key) is not None))

    def _status(self, entry: Entry, item: OutboxItem | None) -> RowStatus:
        # A row that an earlier run put is not checked against the account's fields again.
        if entry.key is None or entry.submission is None or (entry.flaws and item is None):
            return RowStatus.REFUSED
        if (known := hash(entry.outbox_key)) in self._seen:
            return RowStatus.REPEATED
        self._seen.add(known)
        if item is None:
            return RowStatus.NEW
        if item.state in {ItemState.PENDING, ItemState.SENDING}:
            return RowStatus.WAITING
        if item.state is ItemState.ACCEPTED and self.confirm:
            return RowStatus.ACCEPTED
        return RowStatus.DELIVERED if item.state in DELIVERED else RowStatus.FAILED

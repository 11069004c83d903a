"""The rows of a file, read and compared with an outbox: what is to be done with each. Changes nothing."""

from __future__ import annotations

import asyncio
from array import array
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from itertools import islice

from leadsquared_async import ItemState, Outbox, OutboxItem
from leadsquared_async.cli.files.makers import RowMaker
from leadsquared_async.cli.files.spool import AT_ONCE, Entry, Spool
from leadsquared_async.cli.files.tables import Table
from leadsquared_async.cli.findings import Findings
from leadsquared_async.cli.stopping import Stop

__all__ = ["Fate", "RowReader", "Rows"]

DELIVERED = frozenset({ItemState.CONFIRMED, ItemState.ACCEPTED})


class Fate(IntEnum):
    """What is to be done with a row."""

    REFUSED = 0
    """Nothing: it cannot be sent."""
    NEW = 1
    """It is put into the outbox."""
    WAITING = 2
    """It is in the outbox, and not accepted yet."""
    ACCEPTED = 3
    """LeadSquared has accepted it in an earlier run, and its outcome is to be learnt."""
    DELIVERED = 4
    """It was delivered in an earlier run."""
    FAILED = 5
    """It ended rejected or unknown in an earlier run."""
    REPEATED = 6
    """Another row has its key."""


@dataclass(slots=True)
class Rows:
    """The rows of the file, once they are read.

    Attributes:
        spool: all of them.
        fates: what is to be done with each, in the same order.
        blank: how many more have no cell.
        findings: what is wrong with them.
        left_over: rows that an earlier run with this file has left in the outbox, and that it makes no more.
        others: how many more rows of the outbox are to be sent.
    """

    spool: Spool
    fates: array[int] = field(default_factory=lambda: array("b"))
    blank: int = 0
    findings: Findings = field(default_factory=Findings)
    left_over: list[int] = field(default_factory=list[int])
    others: int = 0

    def count(self, *fates: Fate) -> int:
        """How many rows have one of these fates."""
        return sum(self.fates.count(fate) for fate in fates)


class RowReader:
    """Reads a file, and compares it with an outbox.

    Args:
        maker: makes of each row what is sent.
        stop: ends it early.
        name: what references call the file.
        outbox: open; None if there is none.
        confirm: whether rows that were accepted are followed.
        again: what the keys of rows end with that are sent once more; empty to send none once more.
    """

    def __init__(
        self, maker: RowMaker, stop: Stop, name: str, outbox: Outbox | None, *, confirm: bool, again: str
    ) -> None:
        self._maker = maker
        self._stop = stop
        self._name = name
        self._outbox = outbox
        self._confirm = confirm
        self._again = again
        self._seen: dict[bytes, int] = {}

    def first_line_with(self, key: str) -> int:
        """The line of the first row that has a key and could be sent."""
        return self._seen[_digest(key)]

    async def read(self, table: Table, spool: Spool) -> Rows:
        """Read the whole file.

        Raises:
            Unreadable: it cannot be read for certain.
            Interrupted: a stop was asked for.
        """
        rows = Rows(spool)
        waiting = await self._waiting(rows)
        source = iter(table)
        while True:
            with self._stop.at_once():  # a pipe may have nothing to read for a long time
                piece = [self._maker.make(row, f"{self._name}:{row.line}") for row in islice(source, AT_ONCE)]
            await asyncio.sleep(0)  # cancelled here, where nothing is open half-way
            if not piece:
                break
            await self._judge(piece, rows, waiting)
        rows.blank = table.blank
        rows.left_over = [item.id for item in waiting.values() if self._has_made(item)]
        rows.others += len(waiting) - len(rows.left_over)
        return rows

    async def _waiting(self, rows: Rows) -> dict[str, OutboxItem]:
        """The rows of the outbox that are still to be sent, by key."""
        found = dict[str, OutboxItem]()
        if self._outbox is None:
            return found
        for state in (ItemState.PENDING, ItemState.SENDING):
            async for item in self._outbox.items(state):
                if item.key is None:
                    rows.others += 1
                else:
                    found[item.key] = item
        return found

    def _has_made(self, item: OutboxItem) -> bool:
        """Whether an earlier run with this file has made a row of the outbox."""
        return item.state is ItemState.PENDING and (item.reference or "").rpartition(":")[0] == self._name

    async def _judge(self, piece: list[Entry], rows: Rows, waiting: dict[str, OutboxItem]) -> None:
        found = await self._found(piece)
        if self._again:
            for entry in piece:
                if entry.key is not None and entry.key in found and found[entry.key].state in DELIVERED:
                    entry.again = self._again
            found |= await self._found(piece)
        for entry in piece:
            key = entry.outbox_key
            item = None if key is None else found.get(key)
            fate = self._fate(entry, item)
            if fate is Fate.REFUSED:
                rows.findings.add(entry.row.line, entry.flaws)
            elif key is not None:
                waiting.pop(key, None)
            rows.fates.append(fate)
            rows.spool.add(entry)

    async def _found(self, piece: list[Entry]) -> dict[str, OutboxItem]:
        if self._outbox is None:
            return {}
        return await self._outbox.find(key for entry in piece if (key := entry.outbox_key) is not None)

    def _fate(self, entry: Entry, item: OutboxItem | None) -> Fate:
        # What an earlier run has sent is no longer refused for what the account's fields say now.
        if entry.key is None or entry.submission is None or (entry.flaws and item is None):
            return Fate.REFUSED
        if self._seen.setdefault(_digest(entry.key), entry.row.line) != entry.row.line:
            return Fate.REPEATED
        if item is None:
            return Fate.NEW
        if item.state in {ItemState.PENDING, ItemState.SENDING}:
            return Fate.WAITING
        if item.state is ItemState.ACCEPTED and self._confirm:
            return Fate.ACCEPTED
        return Fate.DELIVERED if item.state in DELIVERED else Fate.FAILED


def _digest(key: str) -> bytes:
    """A key in 16 bytes: those of all rows are in memory."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()

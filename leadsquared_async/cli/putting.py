"""Puts the rows of a file into an outbox, and refuses those whose key belongs to other values."""

from __future__ import annotations

from leadsquared_async import ItemState, Outbox
from leadsquared_async.cli.files.rows import Flaw
from leadsquared_async.cli.files.spool import Entry
from leadsquared_async.cli.findings import Findings
from leadsquared_async.cli.row_reader import Rows, RowStatus
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import KeyReused
from leadsquared_async.outbox import put_each

__all__ = ["put_rows"]

KEY_REUSED = (
    "its key was used before with other values: use another key, or send the row as a change without a key"
)
KEY_TWICE = "the same key as line {line}, with other values: use another key, or no keys"


async def put_rows(outbox: Outbox, rows: Rows, stop: Stop, *, has_own_keys: bool) -> Findings:
    """Put the new rows; with keys of the user's also those whose values may have changed.

    Changes the statuses of the rows that are refused, and returns why.
    """
    findings, index = Findings(), 0
    for piece in rows.spool.pieces():
        stop.check()
        wanted = dict[int, Entry]()
        submissions = list[tuple[EncodedSubmission, str]]()
        for position, entry in enumerate(piece, start=index):
            status, key = rows.statuses[position], entry.outbox_key
            if status in {RowStatus.NEW, RowStatus.REPEATED} or (has_own_keys and status > RowStatus.NEW):
                assert entry.submission is not None
                assert key is not None
                wanted[position] = entry
                submissions.append((entry.submission, key))
        index += len(piece)
        answers = await put_each(outbox, submissions)
        for (position, entry), answer in zip(wanted.items(), answers, strict=True):
            if isinstance(answer, KeyReused) and (why := await _why_refused(outbox, entry, rows)):
                rows.statuses[position] = RowStatus.REFUSED
                rows.reused[entry.row.line] = why
                findings.add(entry.row.line, (Flaw("", why),))
    return findings


async def _why_refused(outbox: Outbox, entry: Entry, rows: Rows) -> str | None:
    """Why a row whose key has other values is refused; None if it replaces a rejected row."""
    key = entry.outbox_key
    assert entry.key is not None
    assert entry.submission is not None
    assert key is not None
    first = rows.first_line_with(entry.key)
    if first != entry.row.line:
        return KEY_TWICE.format(line=first)
    if entry.flaws:
        return str(entry.flaws[0])
    item = (await outbox.find([key])).get(key)
    if item is not None and item.state is ItemState.REJECTED and await outbox.discard(item):
        await put_each(outbox, [(entry.submission, key)])
        return None
    return KEY_REUSED

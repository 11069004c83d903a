"""Count the outcomes of the rows of a file, and write them to private files."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from leadsquared_async import ItemState, Outbox, OutboxItem
from leadsquared_async.cli.exits import CommandFailedError
from leadsquared_async.cli.files.headings import plain_heading
from leadsquared_async.cli.files.mapping import MappingError
from leadsquared_async.cli.files.private_files import Draft, open_private, without_links
from leadsquared_async.cli.files.sheets import Rejects, inert, sheet
from leadsquared_async.cli.files.spool import Entry
from leadsquared_async.cli.files.tables import Table
from leadsquared_async.cli.row_reader import Rows, RowStatus
from leadsquared_async.delivery.reasons import kind_of
from leadsquared_async.outbox import states_of
from leadsquared_async.printable import one_line

__all__ = ["Outcomes", "Reports"]

BEGINS = "Line,RequestID,LeadID,Outcome,Reason"
COLUMNS = (*BEGINS.split(","), "Operation", "Key", "Reference")
REFUSED, PENDING = "refused", "pending"


@dataclass(slots=True)
class Outcomes:
    """Counts of the outcomes of the rows of a file, in this run or an earlier one.

    Counts are by the outbox's state, or "refused" for what could not be sent. Each reason why rows were
    rejected has its count and the first line. `unwritten` says why the files could not be written.
    """

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])
    reasons: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    rejects: Path | None = None
    out: Path | None = None
    is_beside: bool = False  # the file that was named could not be replaced
    unwritten: str | None = None


class Reports:
    """The files that a run writes at its end; a context manager that deletes incomplete ones.

    `out` also has the `columns` of the input. Neither file may be one of `others`, and `out` may not be an
    input in `given`; rejects get another name than it.
    """

    def __init__(
        self,
        out: Path | None,
        rejects: Path | None,
        columns: Sequence[str],
        others: Collection[Path],
        given: Collection[Path] = (),
    ) -> None:
        if out is not None and rejects is not None and without_links(out) == without_links(rejects):
            raise CommandFailedError("--out and --rejects are the same file: choose two names")
        if columns and out is None:
            raise CommandFailedError("--out-columns needs --out: pass both")
        self._columns = [plain_heading(name) for name in columns]
        self._out = self._rejects = None
        with ExitStack() as stack:
            if out is not None:
                draft = Draft(out, others=[*others, *given], begins=(BEGINS.encode(),))
                self._out = stack.enter_context(draft)
            if rejects is not None:
                self._rejects = stack.enter_context(Draft(rejects, others=others, beside=given))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def check_columns(self, table: Table) -> None:
        for name in self._columns:
            if table.names is not None and name not in table.names:
                raise MappingError(f'--out-columns "{name}": no column has that heading')

    async def write(
        self,
        table: Table,
        rows: Rows,
        outbox: Outbox | None,
        attributes: Collection[str],
        *,
        is_written: bool = True,
    ) -> Outcomes:
        """Look up every row, in the order of the file, and write its outcome, or only count it.

        Reasons may show the schema names `attributes`.
        """
        outcomes, write_out, rejects = Outcomes(), None, None
        with ExitStack() as stack:
            if is_written and self._out is not None:
                write_out = sheet(stack.enter_context(open_private(self._out.part)))
                write_out((*COLUMNS, *self._columns))
            if is_written and self._rejects is not None:
                rejects = stack.enter_context(Rejects(self._rejects.part, table))
            statuses = iter(rows.statuses)
            for piece in rows.spool.pieces(submissions=False):
                keys = [key for entry in piece if (key := entry.outbox_key) is not None]
                found = {} if outbox is None else await states_of(outbox, keys)
                for entry, status in zip(piece, statuses, strict=False):
                    line, item = entry.row.line, None
                    if status == RowStatus.REFUSED:
                        outcome, reason = REFUSED, rows.reused.get(line) or "; ".join(map(str, entry.flaws))
                    else:
                        item = found.get(entry.outbox_key or "")
                        outcome, reason = _outcome(item)
                    outcomes.rows += 1
                    outcomes.counts[outcome] += 1
                    if outcome == ItemState.REJECTED:
                        kind = kind_of(reason, attributes)
                        count, first = outcomes.reasons.get(kind, (0, line))
                        outcomes.reasons[kind] = (count + 1, first)
                    if rejects is not None and outcome in {REFUSED, ItemState.REJECTED}:
                        rejects.write(entry.row, inert(one_line(reason)))
                    if write_out is not None:
                        write_out(self._cells(entry, item, outcome, one_line(reason)))
        if write_out is not None and self._out is not None:
            outcomes.out = self._out.place(_loses)
            outcomes.is_beside = outcomes.out != self._out.given
        if rejects is not None and self._rejects is not None and self._rejects.part.exists():
            outcomes.rejects = self._rejects.place_and_keep()
        return outcomes

    def _cells(self, entry: Entry, item: OutboxItem | None, outcome: str, reason: str) -> Iterable[Any]:
        request_id, lead_id, operation, reference = (
            (item.request_id, item.lead_id, item.operation, item.reference) if item is not None else ("",) * 4
        )
        given = dict(zip(entry.row.names, entry.row.cells, strict=False))
        columns = (given.get(name) for name in self._columns)
        known = (entry.row.line, request_id, lead_id, outcome, reason, operation, entry.key, reference)
        return (*known, *columns)


def _outcome(item: OutboxItem | None) -> tuple[str, str]:
    if item is None or item.state in {ItemState.PENDING, ItemState.SENDING}:
        return PENDING, ""
    return item.state.value, item.reason or ""


def _loses(there: Path, new: Path) -> bool:
    """Whether the file there has ids that the new one lacks: it belongs to another input."""
    return not _ids(there) <= _ids(new)


def _ids(path: Path) -> set[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {found for row in csv.DictReader(file) if (found := row.get("RequestID") or row.get("LeadID"))}

"""What became of each row of a file: counted, and written into private files."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO

from leadsquared_async import ItemState, Outbox, OutboxItem
from leadsquared_async.cli.exits import CommandFailedError
from leadsquared_async.cli.fates import Fate, Rows
from leadsquared_async.cli.files.mapping import MappingError
from leadsquared_async.cli.files.private_files import Draft, open_private, without_links
from leadsquared_async.cli.files.rejects import Rejects
from leadsquared_async.cli.files.rows import plain_heading
from leadsquared_async.cli.files.sheets import inert, sheet
from leadsquared_async.cli.files.spool import Entry
from leadsquared_async.cli.files.tables import Table
from leadsquared_async.delivery.reasons import kind_of
from leadsquared_async.outbox import states_of
from leadsquared_async.printable import one_line

__all__ = ["COLUMNS", "Files", "Outcomes", "Reporter"]

BEGINS = "Line,RequestID,LeadID,Outcome,Reason"
COLUMNS = (*BEGINS.split(","), "Operation", "Key", "Reference")
REFUSED, PENDING = "refused", "pending"


@dataclass(slots=True)
class Outcomes:
    """How many rows of the file ended how, in this run or an earlier one.

    Attributes:
        rows: all of them.
        counts: by outcome: a state of the outbox, or "refused" for what could not be sent.
        reasons: why rows were rejected: in a word, how many, and the line of the first.
        rejects: where the rows that need fixing are; None if there are none, or nobody wanted them.
        out: where the outcomes of all rows are; None if nobody wanted them.
        is_beside: whether that is another file than was named, which holds those of another input.
        unwritten: why a file that somebody wanted could not be written; None if it was.
    """

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])
    reasons: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    rejects: Path | None = None
    out: Path | None = None
    is_beside: bool = False
    unwritten: str | None = None


class Files:
    """The files that a run writes at its end; a context manager that clears up.

    Args:
        out: of the outcomes of all rows; None if nobody wants them.
        rejects: of the rows that need fixing; None if nobody wants them.
        columns: of the input, which `out` has as well.
        others: files of the run that they must not be.
        given: the file that is read, beside which its own rejects are written.

    Raises:
        CommandFailedError: a file of another kind is in the way.
        OSError: nothing can be written there.
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
            raise CommandFailedError("--out-columns is about the file of --out: pass both")
        self.columns = columns
        with ExitStack() as stack:
            self.out = None
            if out is not None:
                self.out = stack.enter_context(
                    Draft(out, others=[*others, *given], begins=(BEGINS.encode(),))
                )
            self.rejects = (
                None if rejects is None else stack.enter_context(Draft(rejects, others=others, beside=given))
            )
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


class Reporter:
    """Looks up the rows of a file and writes what became of them.

    Args:
        table: the file.
        files: to write.
        attributes: schema names that may be shown.

    Raises:
        MappingError: a column that `--out` is to have is none of the file.
    """

    def __init__(self, table: Table, files: Files, attributes: Collection[str]) -> None:
        self._table = table
        self._files = files
        self._attributes = attributes
        self._columns = [plain_heading(name) for name in files.columns]
        for name in self._columns:
            if table.names is not None and name not in table.names:
                raise MappingError(f'--out-columns "{name}": no column has that heading')

    async def report(
        self, rows: Rows, outbox: Outbox | None, reused: Mapping[int, str], *, write: bool = True
    ) -> Outcomes:
        """Look up every row, in the order of the file, and write what became of it.

        Args:
            rows: of the file.
            outbox: that they went through, open; None if none of them did.
            reused: why rows were refused whose keys the outbox has for others, by line.
            write: whether to write the files; otherwise the rows are only counted.
        """
        outcomes = Outcomes()
        with ExitStack() as stack:
            write_out = self._open_out(stack) if write else None
            rejects = None
            if write and self._files.rejects is not None:
                rejects = stack.enter_context(Rejects(self._files.rejects.part, self._table))
            fates = iter(rows.fates)
            for piece in rows.spool.pieces(submissions=False):
                keys = [key for entry in piece if (key := entry.outbox_key) is not None]
                found = {} if outbox is None else await states_of(outbox, keys)
                for entry, fate in zip(piece, fates, strict=False):
                    line, item = entry.row.line, None
                    if fate == Fate.REFUSED:
                        outcome, reason = REFUSED, reused.get(line) or "; ".join(map(str, entry.flaws))
                    else:
                        item = found.get(entry.outbox_key or "")
                        outcome, reason = _outcome(item)
                    outcomes.rows += 1
                    outcomes.counts[outcome] += 1
                    if outcome == ItemState.REJECTED:
                        kind = kind_of(reason, self._attributes)
                        count, first = outcomes.reasons.get(kind, (0, line))
                        outcomes.reasons[kind] = (count + 1, first)
                    if rejects is not None and outcome in {REFUSED, ItemState.REJECTED}:
                        rejects.write(entry.row, inert(one_line(reason)))
                    if write_out is not None:
                        write_out(self._cells(entry, item, outcome, one_line(reason)))
        if write:
            self._place(outcomes)
        return outcomes

    def _open_out(self, stack: ExitStack) -> Callable[[Iterable[object]], None] | None:
        if self._files.out is None:
            return None
        file: TextIO = os.fdopen(open_private(self._files.out.part), "w", encoding="utf-8", newline="")
        write = sheet(stack.enter_context(file))
        write((*COLUMNS, *self._files.columns))
        return write

    def _cells(self, entry: Entry, item: OutboxItem | None, outcome: str, reason: str) -> Iterable[Any]:
        known = (
            ("", "", "", "")
            if item is None
            else (item.request_id, item.lead_id, item.operation, item.reference)
        )
        request_id, lead_id, operation, reference = known
        given = dict(zip(entry.row.names, entry.row.cells, strict=False))
        columns = (given.get(name) for name in self._columns)
        return (
            entry.row.line,
            request_id,
            lead_id,
            outcome,
            reason,
            operation,
            entry.key,
            reference,
            *columns,
        )

    def _place(self, outcomes: Outcomes) -> None:
        files = self._files
        if files.out is not None:
            outcomes.out = files.out.place_beside(_loses)
            outcomes.is_beside = outcomes.out != files.out.given
        if files.rejects is not None and files.rejects.part.exists():
            outcomes.rejects = files.rejects.place_and_keep()


def _outcome(item: OutboxItem | None) -> tuple[str, str]:
    """In a word, and the reason."""
    if item is None or item.state in {ItemState.PENDING, ItemState.SENDING}:
        return PENDING, ""
    return item.state.value, item.reason or ""


def _loses(there: Path, new: Path) -> bool:
    """Whether a file of outcomes knows of leads that the other does not: another input's."""
    return not _ids(there) <= _ids(new)


def _ids(path: Path) -> set[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {found for row in csv.DictReader(file) if (found := row.get("RequestID") or row.get("LeadID"))}

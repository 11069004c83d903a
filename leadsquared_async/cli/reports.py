"""What became of each row of an input: counted, and written into private files."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TextIO

from leadsquared_async import ItemState, Outbox, OutboxItem
from leadsquared_async.cli.exits import CommandFailedError
from leadsquared_async.cli.files.private_files import Draft, open_private, without_links
from leadsquared_async.cli.files.rejects import Rejects
from leadsquared_async.cli.files.sheets import inert, sheet
from leadsquared_async.cli.files.source import Input, Line, in_pieces
from leadsquared_async.cli.putting import AT_ONCE
from leadsquared_async.delivery.reasons import kind_of
from leadsquared_async.printable import one_line

__all__ = ["COLUMNS", "Files", "Outcomes", "report"]

BEGINS = "Line,RequestID,LeadID,Outcome,Reason"
COLUMNS = (*BEGINS.split(","), "Operation")
REFUSED, PENDING = "refused", "pending"


@dataclass(slots=True)
class Outcomes:
    """How many rows of the input ended how, in this run or an earlier one.

    Attributes:
        rows: all of them.
        counts: by outcome: a state of the outbox, or "refused" for what could not be sent.
        kinds: why rows were rejected.
        rejects: where the rows to be mended are; None if there are none, or nobody wanted them.
        out: where the outcomes of all rows are; None if nobody wanted them.
        is_beside: whether that is another file than was named, which holds those of another input.
        is_unwritten: whether a file that somebody wanted could not be written.
    """

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])
    kinds: Counter[str] = field(default_factory=Counter[str])
    rejects: Path | None = None
    out: Path | None = None
    is_beside: bool = False
    is_unwritten: bool = False


class Files:
    """The files that a run writes at its end; a context manager that clears up.

    Args:
        out: of the outcomes of all rows; None if nobody wants them.
        rejects: of the rows to be mended; None if nobody wants them.
        others: files of the run that they must not be.

    Raises:
        CommandFailedError: a file of another kind is in the way.
        OSError: nothing can be written there.
    """

    def __init__(self, out: Path | None, rejects: Path | None, others: Collection[Path]) -> None:
        if out is not None and rejects is not None and without_links(out) == without_links(rejects):
            raise CommandFailedError("--out and --rejects are the same file; choose two names")
        with ExitStack() as stack:
            self.out = None
            if out is not None:
                begins = (BEGINS.encode(),)
                self.out = stack.enter_context(Draft(out, others=others, begins=begins))
            self.rejects = None if rejects is None else stack.enter_context(Draft(rejects, others=others))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


async def report(
    source: Input,
    outbox: Outbox | None,
    files: Files,
    *,
    reused: Mapping[int, str],
    unfit: Collection[int] = (),
    attributes: Collection[str] = (),
) -> Outcomes:
    """Look up every row of the input, in the order of the file, and write what became of it.

    Args:
        source: the input.
        outbox: that its rows went through, open; None if none of them did.
        files: to write.
        reused: why rows are refused whose keys belong to other leads, by line.
        unfit: lines of rows that were left out, since they do not fit the account's lead fields.
        attributes: schema names that may be shown.
    """
    outcomes = Outcomes()
    with ExitStack() as stack:
        out = None if files.out is None else stack.enter_context(_outcomes_file(files.out))
        rejects = None
        if files.rejects is not None:
            rejects = stack.enter_context(Rejects(str(files.rejects.part), source.table))
        for piece in in_pieces(source.lines(), AT_ONCE):
            keys = [line.key for line in piece if line.key is not None]
            found = {} if outbox is None else await outbox.find(keys)
            for line in piece:
                item = None if line.key is None else found.get(line.key)
                is_unfit = bool(line.flaws) and (item is None or line.row.line in unfit)
                outcome, reason = _outcome(line, item, line.why if is_unfit else reused.get(line.row.line))
                outcomes.rows += 1
                outcomes.counts[outcome] += 1
                if outcome == ItemState.REJECTED:
                    outcomes.kinds[kind_of(reason, attributes)] += 1
                if rejects is not None and outcome in {REFUSED, ItemState.REJECTED}:
                    rejects.write(line.row, inert(one_line(reason or "")))
                if out is not None:
                    is_its_own = item is not None and outcome != REFUSED
                    ids = (item.request_id, item.lead_id) if item is not None and is_its_own else ("", "")
                    operation = "" if item is None else item.operation
                    out((line.row.line, *ids, outcome, one_line(reason or ""), operation))
    _place(files, outcomes)
    return outcomes


def _place(files: Files, outcomes: Outcomes) -> None:
    if files.out is not None:
        outcomes.out = files.out.place_beside(_loses)
        outcomes.is_beside = outcomes.out != files.out.given
    if files.rejects is not None and files.rejects.part.exists():
        outcomes.rejects = files.rejects.place_and_keep()


def _loses(there: Path, new: Path) -> bool:
    """Whether a file of outcomes knows of leads that the other does not: another input's."""
    return not _ids(there) <= _ids(new)


def _ids(path: Path) -> set[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {found for row in csv.DictReader(file) if (found := row.get("RequestID") or row.get("LeadID"))}


def _outcome(line: Line, item: OutboxItem | None, refused: str | None) -> tuple[str, str | None]:
    """In a word, and the reason."""
    if (flaw := line.flaw or refused) is not None:
        return REFUSED, flaw
    if item is None or item.state in {ItemState.PENDING, ItemState.SENDING}:
        return PENDING, None
    return item.state.value, item.reason


@contextmanager
def _outcomes_file(draft: Draft) -> Generator[Callable[[Iterable[object]], None]]:
    file: TextIO = os.fdopen(open_private(draft.part), "w", encoding="utf-8", newline="")
    with file:
        write = sheet(file)
        write(COLUMNS)
        yield write

"""The input of a run: a private copy that can be read more than once, and its rows as leads or refusals."""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar

from leadsquared_async.cli.exits import CommandFailedError
from leadsquared_async.cli.files.mapping import LeadMapping, Refused
from leadsquared_async.cli.files.rows import ROW_LIMIT, Row
from leadsquared_async.cli.files.tables import Table, opened
from leadsquared_async.cli.stopping import Stop
from leadsquared_async.encoding import SEARCH_BY, encode
from leadsquared_async.errors import InvalidLead
from leadsquared_async.fields import FieldProblem
from leadsquared_async.submissions import Submission, UpdateBehavior, bulk_lead, capture_lead

__all__ = ["STDIN", "Input", "Line", "Reading", "Source", "in_pieces"]

STDIN = "-"
FLAWS_SHOWN = 5
BEGINNING = 8 * ROW_LIMIT
"""Bytes that hold the header and the first row in any encoding, each of at most `ROW_LIMIT` characters."""
NO_SEARCH_BY = "SearchBy: does not name one attribute that the row contains, such as EmailAddress"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is to be read; None: recognised."""

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the input, and the lead that it makes, or why it makes none.

    Attributes:
        row: as read.
        lead: what is sent; None if it is refused, or the input makes no leads.
        key: what tells it from others in all runs; None if it is refused.
        flaw: why it is refused, with its line and column; None if it is not.
        flaws: what the account's lead fields say against it: it is refused, unless an earlier run has put it
            into the outbox.
    """

    row: Row
    lead: Mapping[str, Any] | None = field(repr=False)
    key: str | None = field(repr=False)
    flaw: str | None
    flaws: tuple[FieldProblem, ...] = ()

    @property
    def why(self) -> str:
        """Why it is refused, with its line; empty if nothing is against it."""
        if self.flaw is not None or not self.flaws:
            return self.flaw or ""
        said = " ".join(flaw.message for flaw in self.flaws[:FLAWS_SHOWN])
        more = f" And {len(self.flaws) - FLAWS_SHOWN} more." if len(self.flaws) > FLAWS_SHOWN else ""
        return f"line {self.row.line}: {said}{more}"


class Input(ABC):
    """The rows of a file or of standard input, the same at each reading, whatever becomes of the file.

    Args:
        path: of the file; "-" for standard input.
        reading: how to read it.
        folder: for the copy, which has no name, is nobody else's, and goes with the process.
        stop: breaks off the reading of what is slow to come.

    Raises:
        CommandFailedError: the folder cannot be written.
        OSError: the file cannot be read, or there is no room for the copy.
        Unreadable, Refused: it cannot be read for certain, or a column has no place.
    """

    def __init__(self, path: str, reading: Reading, *, folder: Path | None, stop: Stop) -> None:
        name = os.fsencode(Path(path).name).decode("utf-8", "replace")  # what SQLite and a terminal take
        self.name = "standard input" if path == STDIN else name
        self._suffix = Path(path).suffix.lower()
        self._reading = reading
        self._copy = _new_copy(folder)
        try:
            with stop.at_once():
                self._fill(path)
            self.table = self.open()
            self._check_table(self.table)
        except BaseException:
            self._copy.close()
            raise

    @abstractmethod
    def _check_table(self, table: Table) -> None:
        """Refuse what none of its rows could be sent of."""

    @abstractmethod
    def _line(self, row: Row) -> Line:
        """What a row makes."""

    @abstractmethod
    def entry(self, line: Line) -> Submission:
        """What goes into the outbox for a line that is not refused."""

    def _fill(self, path: str) -> None:
        """Copy the input, unless its first row cannot be read: it may have no end."""
        stream = opened(path)
        with nullcontext() if path == STDIN else stream:
            beginning = stream.read(BEGINNING)
            self._copy.write(beginning)
            if len(beginning) == BEGINNING:
                next(iter(self.open()), None)
                self._copy.seek(0, os.SEEK_END)
                shutil.copyfileobj(stream, self._copy)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the copy."""
        self._copy.close()

    def open(self) -> Table:
        """Its table, from the beginning."""
        self._copy.seek(0)
        reading = self._reading
        return Table(
            self._copy,
            suffix=self._suffix,
            format=reading.format,
            encoding=reading.encoding,
            delimiter=reading.delimiter,
        )

    def lines(self) -> Iterator[Line]:
        """Its rows from the beginning; one reading at a time.

        Raises:
            Unreadable: at the first line that cannot be read for certain.
        """
        for row in self.open():
            yield self._line(row)

    def reference(self, line: Line) -> str:
        """Where a lead comes from, for log lines."""
        return f"{self.name}:{line.row.line}"

    def made(self, reference: str | None) -> bool:
        """Whether a reference is of a run with an input of this name."""
        return reference is not None and reference.rpartition(":")[0] == self.name


class Source(Input):
    """An input whose rows make leads.

    Args:
        path: of the file; "-" for standard input.
        reading: how to read it.
        mapping: how rows become leads.
        update_behavior: of all of them.
        bulk: whether they go in bulk calls, which know no `update_behavior`.
        host: that they go to, since a trial run elsewhere says nothing about this one.
        folder: for the copy.
        stop: breaks off the reading.

    Attributes:
        check: what the account's lead fields say against a lead; None while they are not known.

    Raises:
        As `Input` does.
    """

    def __init__(
        self,
        path: str,
        reading: Reading,
        mapping: LeadMapping,
        *,
        update_behavior: UpdateBehavior | None,
        host: str,
        folder: Path | None,
        stop: Stop,
        bulk: bool = False,
    ) -> None:
        self._mapping = mapping
        self._update_behavior: UpdateBehavior | None = update_behavior
        self._bulk = bulk
        # One lead both ways is two things to send: a capture posts an activity.
        self._options = {"update_behavior": update_behavior, "host": host, "bulk": "yes" if bulk else None}
        self.check: Callable[[Mapping[str, Any]], tuple[FieldProblem, ...]] | None = None
        super().__init__(path, reading, folder=folder, stop=stop)

    @property
    def attributes(self) -> frozenset[str]:
        """The schema names that stand in the file's header or in options, and so may be shown."""
        columns = (self._mapping.columns.get(column, column) for column in self.table.columns or ())
        return frozenset((*columns, *self._mapping.columns.values(), *self._mapping.constants))

    def entry(self, line: Line) -> Submission:
        """What goes into the outbox for a line that is not refused."""
        submission = self.submission(line.lead or {})
        return replace(submission, key=line.key, reference=self.reference(line))

    def submission(self, lead: Mapping[str, Any]) -> Submission:
        """What is sent of a lead."""
        search_by = self._mapping.search_by
        if self._bulk:
            return bulk_lead(lead, search_by=search_by)
        return capture_lead(lead, search_by=search_by, update_behavior=self._update_behavior)

    def _check_table(self, table: Table) -> None:
        if table.columns is not None:
            self._mapping.check(table.columns)

    def _line(self, row: Row) -> Line:
        try:
            lead = self._mapping.lead(row)
            key = self._mapping.key_of(row, lead, self._options)
        except Refused as refused:
            return Line(row, None, None, str(refused))
        try:
            encode(self.submission(lead))
        except InvalidLead as error:
            is_of_a_cell = error.attribute == SEARCH_BY and SEARCH_BY in lead
            flaw = NO_SEARCH_BY if is_of_a_cell else str(error)  # which repeats it
            return Line(row, None, None, f"line {row.line}: {flaw}")
        return Line(row, lead, key, None, () if self.check is None else self.check(lead))


def _new_copy(folder: Path | None) -> BinaryIO:
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        place = "the folder for temporary files" if folder is None else str(folder.absolute())
        raise CommandFailedError(
            f"{place}: nothing can be written there ({error.strerror}); --outbox chooses another place"
        ) from None


def in_pieces(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of a size; the last one may be shorter."""
    iterator = iter(items)
    while piece := list(islice(iterator, size)):
        yield piece

"""Store the rows of a file between reading and reporting, in an unnamed file of the process."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leadsquared_async.cli.exits import CommandFailedError
from leadsquared_async.cli.files.leads import LONGEST_KEY
from leadsquared_async.cli.files.rows import Flaw, Row
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.operations import Endpoint

__all__ = ["Entry", "Spool"]

AT_ONCE = 500
"""Rows in one piece."""


@dataclass(slots=True)
class Entry:
    """A row with its key, unless that has a flaw, and its submission, unless it cannot be sent.

    `again` is appended to the key in the outbox if the row is sent once more.
    """

    row: Row
    key: str | None = field(repr=False)
    submission: EncodedSubmission | None = field(repr=False)
    flaws: tuple[Flaw, ...] = ()
    again: str = ""

    @property
    def outbox_key(self) -> str | None:
        """The row's key in the outbox."""
        return None if self.key is None else f"{self.key[: LONGEST_KEY - len(self.again)]}{self.again}"


class Spool:
    """Entries in the order of the file, written once and read any number of times, 500 at a time.

    All have one operation. Without a folder, the folder for temporary files is used.
    """

    def __init__(self, operation: Endpoint, folder: Path | None) -> None:
        self._operation = operation
        self._piece: list[Any] = []
        self._pieces = 0
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        except OSError as error:
            place = "the folder for temporary files" if folder is None else str(folder.absolute())
            raise CommandFailedError(
                f"{place}: cannot be written ({error.strerror}): choose another place with --outbox"
            ) from None

    def add(self, entry: Entry) -> None:
        """Append an entry; call it only before reading."""
        row, sent = entry.row, entry.submission
        encoded = None
        if sent is not None:
            encoded = (sent.content, sent.query, sent.suffix, sent.identified, sent.identity, sent.reference)
        self._piece.append(
            (row.line, row.names, row.cells, row.flaw, entry.key, encoded, entry.flaws, entry.again)
        )
        if len(self._piece) == AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write the entries that are in memory."""
        if self._piece:
            # One pickle stores the shared names of columns once.
            pickle.dump(self._piece, self._file, protocol=pickle.HIGHEST_PROTOCOL)
            self._piece = []
            self._pieces += 1

    def pieces(self, *, submissions: bool = True) -> Iterator[list[Entry]]:
        """Yield all entries in order, with or without their submissions."""
        self.flush()
        place = 0
        for _ in range(self._pieces):
            self._file.seek(place)  # other readers move the position
            piece = pickle.load(self._file)  # noqa: S301 - nobody else can write it
            place = self._file.tell()
            yield [self._entry(written, with_submission=submissions) for written in piece]

    def _entry(self, written: tuple[Any, ...], *, with_submission: bool) -> Entry:
        line, names, cells, flaw, key, encoded, flaws, again = written
        submission = None
        if encoded is not None and with_submission:
            submission = EncodedSubmission(self._operation, *encoded)
        return Entry(Row(line, names, cells, flaw), key, submission, flaws, again)

    def close(self) -> None:
        """Close the file, which deletes it."""
        self._file.close()

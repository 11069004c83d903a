"""The SQL statements of an outbox. Synchronous; each method runs in its caller's transaction."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, TypeVar

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import KeyReused, OutboxError, OutboxFull, exception_in
from leadsquared_async.logs import ClientLog
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, OPERATIONS
from leadsquared_async.outbox.erasure import is_of, kept_query, kept_reason, may_be_of, needs_more_than_a_lead
from leadsquared_async.outbox.files import DeliveryLock, identity_of, make_private
from leadsquared_async.outbox.items import OutboxItem, Ticket
from leadsquared_async.outbox.rows import (
    BEFORE_ALL,
    CLAIMED,
    COLUMNS,
    FILES,
    FORMS,
    Row,
    UnreadableRowError,
    item_of,
    moment,
    row_of,
    submission_in,
    write_named,
)
from leadsquared_async.outbox.schema import SALT, prepare
from leadsquared_async.submissions import Submission

__all__ = ["Store"]

BUSY = 5_000
"""Milliseconds to wait for another process's commit; closing may be delayed as long."""
AGAIN = 0.01
"""Seconds between retries of operations for which SQLite does not wait."""

LONG_LOG, LONGEST_LOG = 4 * 1024**2, 16 * 1024**2
"""Bytes of the write-ahead log from which a process that only puts starts it over, and from which it empties
it. Writing over an old log takes half the time of making it longer."""

T = TypeVar("T")

_ERASED = (
    "content = NULL, suffix = '[]', "
    "query = CASE query WHEN '[]' THEN query ELSE kept_query(CAST(query AS BLOB)) END"
)
"""Erases all personal data: the values, and the ids in the path and the query."""

_TO_SEND = "INDEXED BY items_to_send WHERE state = 'pending' AND is_ready"
_NEXT = "operation = ? AND lane = ? AND id > ? ORDER BY id LIMIT ?"
_FOLLOWED = "INDEXED BY items_followed WHERE state = 'accepted' AND is_open"
"""The indexes are named because SQLite would otherwise scan a million other rows by state."""
_PUT = (
    "INSERT INTO items (key, digest, operation, lane, identity, identified, content, query, suffix, "
    "reference, traceparent, put_at, changed_at, is_open, state, is_ready) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 'pending', "
    "NOT EXISTS (SELECT 1 FROM items WHERE identity = ? AND is_open AND (is_ready OR state = 'pending'))) "
    "ON CONFLICT (key) DO NOTHING"
)
_OPEN = (ItemState.PENDING, ItemState.SENDING, ItemState.ACCEPTED)


class Store:
    """One connection to an outbox's file, for one thread.

    Raises:
        OutboxError: the file is not an outbox of this version.
        sqlite3.Error: it cannot be opened.
    """

    def __init__(self, path: Path, max_bytes: int, log: ClientLog, *, only_puts: bool = False) -> None:
        self.path = path
        self.log = log
        self._max_bytes = max_bytes
        self._only_puts = only_puts
        self._has_room: bool | None = None
        self._has_warned = False
        self._log_bytes, self._long_log = 0, LONG_LOG
        main = identity_of(path)
        self.connection = sqlite3.connect(path, isolation_level=None)
        execute = self.connection.execute
        try:
            execute(f"PRAGMA busy_timeout = {BUSY}")
            self.connection.text_factory = (
                _text  # otherwise text that is not UTF-8 would fail every row read with it
            )
            execute("PRAGMA temp_store = MEMORY")  # no leads in temporary files
            # The file may have been written by another program.
            execute("PRAGMA trusted_schema = OFF")
            execute("PRAGMA cell_size_check = ON")
            if sys.version_info >= (3, 12):
                self.connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
            # First, so that another program's file is not changed.
            _patiently(lambda: prepare(self.connection, path))
            make_private(path)
            _patiently(self._begin_log)
            execute("PRAGMA synchronous = FULL")
            execute("PRAGMA secure_delete = ON")
            # Only the process with the delivery lock checkpoints, with TRUNCATE or RESTART, which block other
            # commits meanwhile: SQLite before 3.51.3 may corrupt the file when a checkpoint and another
            # connection's commit coincide (sqlite.org/wal.html, "The WAL-Reset Bug"). The last connection to
            # close also checkpoints, when no other connection exists.
            execute("PRAGMA wal_autocheckpoint = 0")
            self.connection.create_function("kept_reason", 1, kept_reason, deterministic=True)
            self.connection.create_function("kept_query", 1, kept_query, deterministic=True)
            self._salt = self._known_salt()
            self._page = int(execute("PRAGMA page_size").fetchone()[0])
            # The log and its index exist from the first read until the last connection is closed.
            index, wal = (identity_of(Path(f"{path}{suffix}")) for suffix in ("-shm", "-wal"))
            self._files = [
                (f"{path}{suffix}", *(identity or (0, 0)))
                for suffix, identity in (("", main), ("-shm", index), ("-wal", wal))
            ]
        except BaseException:
            self.connection.close()
            raise

    def _begin_log(self) -> None:
        (mode,) = self.connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise OutboxError(f"{self.path}: SQLite cannot use a write-ahead log here: choose a local disk")

    def _known_salt(self) -> bytes:
        salt = self.meta("salt")
        if not isinstance(salt, bytes) or len(salt) != SALT:
            raise OutboxError(
                f"{self.path}: the salt of its digests is damaged: restore the file from a backup"
            )
        return salt

    def close(self) -> None:
        """Close the connection; the last connection to close also empties the write-ahead log."""
        self.connection.close()

    def begin(self) -> None:
        """Begin a write transaction; raises sqlite3.Error if the file was deleted or moved."""
        if not self.is_there():
            raise sqlite3.OperationalError("the file or its write-ahead log was deleted or moved")
        if self.connection.in_transaction:  # left over from a failed rollback
            self.connection.execute("ROLLBACK")
        self.connection.execute("BEGIN IMMEDIATE")
        self._has_room = None

    def is_there(self) -> bool:
        """Whether the file and its log are still the ones that were opened."""
        try:
            for file, device, inode in self._files:
                found = os.lstat(file)  # runs at every commit, and Path is slow
                if found.st_ino != inode or found.st_dev != device:
                    return False
                self._log_bytes = found.st_size  # the log comes last
        except OSError:
            return False
        return True

    def after_commit(self) -> None:
        """Start a long write-ahead log over, in a process that only puts."""
        size = self._log_bytes
        if not self._only_puts or size <= self._long_log:
            return
        keeps_length = size <= LONGEST_LOG
        if not self.empty_free_log(start_over=keeps_length):
            self._long_log = size + LONG_LOG  # tried again when it is longer
        else:
            self._long_log = size if keeps_length else LONG_LOG

    def empty_free_log(self, *, start_over: bool = False) -> bool:
        """Empty the write-ahead log, unless a process with the lock delivers: that one empties it.

        Returns whether it did.
        """
        try:
            lock = DeliveryLock(self.path)
            if lock.acquire():
                try:
                    return self.checkpoint(start_over=start_over)
                finally:
                    lock.release()
        except (OutboxError, sqlite3.Error) as error:
            # The commit itself has succeeded.
            if not self._has_warned:
                self._has_warned = True
                self.log.warning("outbox: the write-ahead log could not be emptied: %s", error)
        return False

    def meta(self, name: str) -> Any:
        """A stored value of `meta`, or None."""
        row = self.connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def set_meta(self, name: str, value: str) -> None:
        """Store a value in `meta`."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    # In

    def put(
        self,
        submission: EncodedSubmission,
        key: str | None,
        lane: int,
        now: float,
        traceparent: str | None = None,
    ) -> Ticket:
        """Add a row, unless the key is known.

        Raises:
            KeyReused: the key belongs to another lead.
            OutboxFull: the file has reached `max_bytes`.
        """
        identity = self._identity_of(submission)
        digest = None if key is None else self._digest_of(submission)
        if self._has_room is None:  # once in a transaction
            self._has_room = not self._is_full()
        if not self._has_room:
            return self._known(key, digest, submission.dropped, full=True)
        cursor = self.connection.execute(
            _PUT,
            (
                key,
                digest,
                submission.operation.name,
                lane,
                identity,
                submission.identified,
                submission.content,
                json.dumps(submission.query) if submission.query else "[]",
                json.dumps(submission.suffix) if submission.suffix else "[]",
                submission.reference,
                traceparent,
                now,
                now,
                identity,
            ),
        )
        if not cursor.rowcount:
            return self._known(key, digest, submission.dropped)
        assert cursor.lastrowid is not None
        if lane == FORMS and identity is not None:
            # Earlier rows of the same lead become forms too: otherwise this one would wait for a file.
            self.connection.execute(
                "UPDATE items SET lane = ? WHERE identity = ? AND is_open AND lane = ?",
                (FORMS, identity, FILES),
            )
        return Ticket(cursor.lastrowid, key, is_new=True, state=ItemState.PENDING, dropped=submission.dropped)

    def put_all(
        self,
        submissions: Iterable[tuple[EncodedSubmission, str | None]],
        lane: int,
        now: float,
        traceparent: str | None = None,
    ) -> tuple[int, KeyReused | None]:
        """Add rows until a key belongs to another lead; returns how many are new, and that error."""
        new = 0
        for submission, key in submissions:
            try:
                new += self.put(submission, key, lane, now, traceparent).is_new
            except KeyReused as error:
                return new, error  # the rows before it stay
        return new, None

    def put_each(
        self,
        submissions: Iterable[tuple[EncodedSubmission, str]],
        lane: int,
        now: float,
        traceparent: str | None = None,
    ) -> list[Ticket | KeyReused]:
        """Add rows; for each its ticket, or that its key is another lead's."""
        answers: list[Ticket | KeyReused] = []
        for submission, key in submissions:
            try:
                answers.append(self.put(submission, key, lane, now, traceparent))
            except KeyReused as error:
                answers.append(error)
        return answers

    def size(self) -> int:
        """Bytes of the file without its free pages."""
        return (self._pages("page_count") - self._pages("freelist_count")) * self._page

    def _is_full(self) -> bool:
        is_near = (
            self._pages("page_count") * self._page >= self._max_bytes
        )  # counting free pages takes as long
        return is_near and self.size() >= self._max_bytes

    def _pages(self, name: str) -> int:
        return int(self.connection.execute(f"PRAGMA {name}").fetchone()[0])

    def _known(
        self, key: str | None, digest: bytes | None, dropped: tuple[str, ...], *, full: bool = False
    ) -> Ticket:
        """The existing row of a key; raises KeyReused if it holds another lead."""
        row = self.connection.execute("SELECT id, digest, state FROM items WHERE key = ?", (key,)).fetchone()
        if row is None:
            assert full  # otherwise it would have been inserted
            raise OutboxFull(
                f"the outbox has reached {self._max_bytes:,} bytes: drain it, purge it, or raise max_bytes"
            )
        if row[1] != digest:
            raise KeyReused(f"the key {key!r} already belongs to another lead: use a new key for each lead")
        return Ticket(row[0], key, is_new=False, state=ItemState(row[2]), dropped=dropped)

    def _identity_of(self, submission: EncodedSubmission) -> bytes | None:
        if submission.identity is None:
            return None
        text = "\0".join(submission.identity).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._salt, digest_size=16).digest()

    def _digest_of(self, submission: EncodedSubmission) -> bytes:
        """A digest of the submission, independent of the order of its attributes."""
        content = submission.content if submission.as_given is None else submission.as_given
        if content.startswith(b"[") and b'"Fields":[' not in content:
            # Like `fingerprint`, but faster. Values cannot contain this separator: their quotes are escaped.
            parts = sorted(content[len(b'[{"Attribute":') : -2].split(b'},{"Attribute":'))
            head = f"{submission.operation.name} {submission.query} {submission.suffix}".encode()
            fingerprint = b"\0".join((head, *parts))
        else:
            fingerprint = submission.fingerprint
        return hashlib.blake2b(fingerprint, key=self._salt, digest_size=16).digest()

    # Out

    def next_rows(
        self,
        lane: int,
        most: int,
        without: Iterable[int],
        after: float = BEFORE_ALL,
        operations: Iterable[str] = OPERATIONS,
    ) -> list[Row]:
        """The oldest sendable rows of these operations with ids above `after`, except some."""
        skipped = set(without)
        wanted = [(operation, lane, after, most + len(skipped)) for operation in operations]
        if most <= 0 or not wanted:
            return []
        each = f"SELECT * FROM (SELECT id FROM items {_TO_SEND} AND {_NEXT})"  # noqa: S608
        rows = self.connection.execute(" UNION ALL ".join([each] * len(wanted)), [*chain(*wanted)])
        return self._with_ids(sorted(row for (row,) in rows if row not in skipped)[:most])

    def in_state(self, state: ItemState, most: int, after: float = BEFORE_ALL) -> list[Row]:
        """Rows of one state that are not final, with ids above `after`, oldest first."""
        return self._rows("state = ? AND is_open AND id > ? ORDER BY id LIMIT ?", state, after, most)

    def _with_ids(self, ids: Collection[int]) -> list[Row]:
        return self._rows(f"id IN ({_places(ids)}) ORDER BY id", *ids) if ids else []

    def _rows(self, where: str, *values: object) -> list[Row]:
        rows = self.connection.execute(f"SELECT {CLAIMED} FROM items WHERE {where}", values)  # noqa: S608
        return [row_of(row) for row in rows]

    def of_unknown_operations(self, most: int) -> list[Row]:
        """Rows that `next_rows` does not find because this version does not know their operation."""
        known = sorted((*OPERATIONS, BULK_CREATE_OR_UPDATE.name))
        gaps = [
            f"< '{known[0]}'",
            f"> '{known[-1]}'",
        ]  # ranges, so that SQLite does not read the rows of known operations
        gaps += [f"> '{low}' AND operation < '{high}'" for low, high in pairwise(known)]
        found: list[int] = []
        for gap in gaps:
            rows = self.connection.execute(
                f"SELECT id FROM items {_TO_SEND} AND operation {gap} LIMIT ?",  # noqa: S608
                (most,),
            )
            found += [row for (row,) in rows]
        return self._with_ids(found[:most])

    def release_orphans(self, most: int) -> bool:
        """Release rows that wait for a deleted row; returns whether there were any."""
        waiting = self.connection.execute(
            "SELECT id, identity FROM items AS waiting INDEXED BY items_waiting "
            "WHERE state = 'pending' AND NOT is_ready AND NOT EXISTS "
            "(SELECT 1 FROM items WHERE identity = waiting.identity AND is_open AND is_ready) LIMIT ?",
            (most,),
        ).fetchall()
        for row, identity in waiting:
            if identity is None:
                self.connection.execute("UPDATE items SET is_ready = 1 WHERE id = ?", (row,))
            else:
                self._release(identity)
        return bool(waiting)

    def last_id(self) -> int:
        """The highest row id."""
        return int(self.connection.execute("SELECT coalesce(max(id), 0) FROM items").fetchone()[0])

    def sending(self, rows: Sequence[tuple[int, bool]], now: float) -> list[bool]:
        """Mark rows as being sent; False for each that was forgotten or taken by another process.

        Each id comes with whether this process has already marked it, for an earlier attempt.
        """
        return [
            self.connection.execute(
                "UPDATE items SET state = 'sending', changed_at = ? "
                "WHERE id = ? AND content IS NOT NULL AND state IN ('pending', ?)",
                (now, row, "sending" if is_again else "pending"),
            ).rowcount
            == 1
            for row, is_again in rows
        ]

    def pending(self, row: int, now: float, attempts: int = 0) -> None:
        """Mark a row as pending again; delete it if it was forgotten meanwhile."""
        self.connection.execute(
            "UPDATE items SET state = 'pending', changed_at = ?, attempts = attempts + ? "
            "WHERE id = ? AND state IN ('pending', 'sending')",  # otherwise another process has ended it
            (now, attempts, row),
        )
        if self.connection.execute("SELECT 1 FROM items WHERE id = ? AND content IS NULL", (row,)).fetchone():
            self.delete(row)

    def accepted(self, row: int, now: float, attempts: int, request_id: str) -> None:
        """Store a row's RequestID; its outcome is followed."""
        self._change(row, now, attempts, state="accepted", request_id=request_id)

    def finish(
        self,
        row: int,
        now: float,
        state: ItemState,
        attempts: int = 0,
        *,
        is_called_back: bool,
        is_reason_ours: bool = False,
        **facts: Any,
    ) -> bool:
        """Store a row's final state and release the next of its identity; False if it does not exist.

        This package's own reasons hold no values, so they stay when the values are erased.
        """
        found = self.connection.execute(
            "SELECT identity, content IS NULL FROM items WHERE id = ?", (row,)
        ).fetchone()
        if found is None:
            return False
        identity, is_erased = found
        if is_erased:  # it was forgotten, and LeadSquared's text may hold its values
            facts = {**facts, "lead_id": None}
            if not is_reason_ours:
                facts["reason"] = exception_in(facts.get("reason"))
        extra = f", {_ERASED}" if state in {ItemState.CONFIRMED, ItemState.ACCEPTED} else ""
        facts = {**facts, "state": str(state), "is_open": 0, "is_called_back": is_called_back}
        self._change(row, now, attempts, extra, **facts)
        self._release(identity)
        return True

    def has_ended(self, row: int, state: ItemState) -> bool:
        """Whether a row is final in this state."""
        found = self.connection.execute(
            "SELECT 1 FROM items WHERE id = ? AND state = ? AND NOT is_open", (row, state)
        )
        return found.fetchone() is not None

    def _change(self, row: int, now: float, attempts: int = 0, extra: str = "", **columns: Any) -> int:
        names = ", ".join(f"{name} = ?" for name in columns)
        return self.connection.execute(
            f"UPDATE items SET {names}, changed_at = ?, attempts = attempts + ?{extra} WHERE id = ?",  # noqa: S608
            (*columns.values(), now, attempts, row),
        ).rowcount

    def _release(self, identity: object) -> None:
        """Release the next row of an identity, unless another is being sent or followed."""
        if identity is not None:
            self.connection.execute(
                "UPDATE items SET is_ready = 1 WHERE id = (SELECT min(id) FROM items "
                # The plus keeps SQLite from reading all pending rows.
                "WHERE is_open AND +state = 'pending' "
                "AND identity = :identity) "
                "AND NOT EXISTS (SELECT 1 FROM items WHERE is_open AND is_ready AND identity = :identity)",
                {"identity": identity},
            )

    # By hand

    def item(self, row: int) -> OutboxItem | None:
        """One row."""
        return next(iter(self._items(COLUMNS, "id = ?", row)), None)

    def submission(self, row: int, *, is_erased: bool = False) -> Submission | None:
        """A row's submission, or with `is_erased` the rest of it; None if erased or missing.

        Raises:
            OutboxError: it cannot be sent again, or its operation needs more than a new lead.
        """
        found = self.connection.execute(
            "SELECT operation, CAST(content AS BLOB), query, suffix, reference FROM items WHERE id = ?",
            (row,),
        ).fetchone()
        if found is None or (found[1] is None and not is_erased):
            return None
        operation, content, query, suffix, reference = found
        try:
            if content is None:
                self._requeueable(row)
                if needs_more_than_a_lead(write_named(operation)):
                    raise OutboxError(
                        f"row {row} cannot be sent again, because the values that {operation} needs were "
                        "erased; discard it and put it again"
                    )
            return submission_in(operation, b"[]" if content is None else content, query, suffix, reference)
        except UnreadableRowError as flaw:
            raise UnreadableRowError(
                f"row {row} cannot be changed: {flaw}; you can discard it and put it again"
            ) from None

    def items(
        self, state: ItemState | None, most: int, after: float, *, columns: str = COLUMNS
    ) -> list[OutboxItem]:
        """Rows of one state, or all rows, with ids above `after`, in order."""
        if state is None:
            return self._items(columns, "id > ? ORDER BY id LIMIT ?", after, most)
        return self._items(columns, "state = ? AND id > ? ORDER BY id LIMIT ?", state, after, most)

    def with_keys(self, keys: Collection[str], *, columns: str = COLUMNS) -> dict[str, OutboxItem]:
        """The rows with these keys."""
        items = self._items(columns, f"key IN ({_places(keys)})", *keys)
        return {item.key: item for item in items if item.key is not None}

    def _items(self, columns: str, where: str, *values: object) -> list[OutboxItem]:
        rows = self.connection.execute(f"SELECT {columns} FROM items WHERE {where}", values)  # noqa: S608
        return [item_of(row) for row in rows]

    def not_called_back(self) -> list[int]:
        """Final rows whose callbacks have not finished."""
        rows = self.connection.execute("SELECT id FROM items WHERE NOT is_called_back ORDER BY id")
        return [row for (row,) in rows]

    def called_back(self, row: int) -> None:
        """Store that a row's callbacks have finished."""
        self.connection.execute("UPDATE items SET is_called_back = 1 WHERE id = ?", (row,))

    def requeue(self, row: int, submission: EncodedSubmission | None, now: float) -> None:
        """Make a rejected or unknown row pending again, unchanged or with `submission`.

        Raises:
            OutboxError: it is in another state, or its values are erased.
        """
        item = self._requeueable(row)
        if item.is_erased and submission is None:
            raise OutboxError(f"the values of row {row} are erased: pass lead=")
        values: dict[str, Any] = {}
        if submission is None:
            (identity,) = self.connection.execute(
                "SELECT identity FROM items WHERE id = ?", (row,)
            ).fetchone()
        else:
            # The query stays: it holds the row's `update_behavior`, which cannot change.
            identity = self._identity_of(submission)
            values = {"content": submission.content, "identified": submission.identified}
        values |= {"state": "pending", "is_open": 1, "is_ready": identity is None, "identity": identity}
        self._change(row, now, reason=None, request_id=None, is_called_back=1, **values)
        self._release(identity)

    def _requeueable(self, row: int) -> OutboxItem:
        item = self.item(row)
        if item is None or item.state not in {ItemState.REJECTED, ItemState.UNKNOWN}:
            state = "missing" if item is None else item.state.value
            raise OutboxError(f"row {row} is {state}: only rejected and unknown rows can be requeued")
        return item

    def forget(self, wanted: Mapping[str, str], most: int, after: float) -> tuple[int, int | None]:
        """Erase the rows that have one of these values; returns how many, and the id to continue after.

        A row that is being sent or followed stays, without values, until its outcome is known.
        """
        rows = self.connection.execute(
            "SELECT id, operation, CAST(content AS BLOB), query, suffix, state FROM items "
            "WHERE content IS NOT NULL AND id > ? ORDER BY id LIMIT ?",
            (after, most),
        ).fetchall()
        erased = 0
        for row, operation, content, query, suffix, state in rows:
            try:
                is_theirs = is_of(submission_in(operation, content, query, suffix), wanted)
            except (UnreadableRowError, RecursionError):
                is_theirs = may_be_of((content, query, suffix), wanted)
            if not is_theirs:
                continue
            erased += 1
            if state in {ItemState.SENDING, ItemState.ACCEPTED}:
                self.connection.execute(f"UPDATE items SET {_ERASED}, reason = NULL WHERE id = ?", (row,))  # noqa: S608
            else:
                self.delete(row)
        return erased, rows[-1][0] if len(rows) == most else None

    def delete(self, row: int) -> None:
        """Delete a row and release the next of its identity."""
        for (identity,) in self.connection.execute(
            "SELECT identity FROM items WHERE id = ?", (row,)
        ).fetchall():
            self.connection.execute("DELETE FROM items WHERE id = ?", (row,))
            self._release(identity)

    def discard(self, row: int) -> bool:
        """Delete a pending, rejected or unknown row; returns whether it was one."""
        item = self.item(row)
        if item is None or item.state not in {ItemState.PENDING, ItemState.REJECTED, ItemState.UNKNOWN}:
            return False
        self.delete(row)
        return True

    def erase_rejected(self, before: float) -> int:
        """Erase the values of rejected rows last changed before `before`; returns how many."""
        return self.connection.execute(
            f"UPDATE items SET {_ERASED}, reason = kept_reason(CAST(reason AS BLOB)) "  # noqa: S608
            "WHERE state = 'rejected' AND CAST(changed_at AS REAL) < ? AND content IS NOT NULL",
            (before,),
        ).rowcount

    def purge(self, before: float) -> int:
        """Delete final rows last changed before `before`; returns how many."""
        return self.connection.execute(
            "DELETE FROM items WHERE NOT is_open AND CAST(changed_at AS REAL) < ?", (before,)
        ).rowcount

    def counts(self) -> dict[ItemState, int]:
        """The number of rows in each state."""
        found = dict(self.connection.execute("SELECT state, count(*) FROM items GROUP BY state").fetchall())
        return {state: found.get(state.value, 0) for state in ItemState}

    def oldest(self) -> float | None:
        """When the oldest row that is not final was put."""
        return min(self.oldest_by_state().values(), default=None)

    def oldest_by_state(self) -> dict[ItemState, float]:
        """When the oldest row of each state that is not final was put."""
        return {state: put_at for state in _OPEN if (put_at := self._oldest(state)) is not None}

    def _oldest(self, state: ItemState) -> float | None:
        of_it = _FOLLOWED if state is ItemState.ACCEPTED else f"WHERE state = '{state}' AND is_open"
        found = self.connection.execute(
            f"SELECT put_at FROM items {of_it} ORDER BY id LIMIT 1"  # noqa: S608
        ).fetchone()
        return None if found is None else moment(found[0])

    def version(self) -> int:
        """A number that changes with each commit of another connection."""
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def checkpoint(self, *, start_over: bool = False) -> bool:
        """Copy the write-ahead log into the file and empty it; False if another connection reads.

        With `start_over` the log keeps its length, and the next commits overwrite it.
        """
        mode = "RESTART" if start_over else "TRUNCATE"
        busy, _, _ = self.connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return not busy


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")


def _places(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _patiently(do: Callable[[], T]) -> T:
    """Retry what several processes may run while opening the file: SQLite does not always wait."""
    until = time.monotonic() + BUSY / 1000
    while True:
        try:
            return do()
        except sqlite3.OperationalError as error:
            # The lower byte is the primary code (sqlite.org/rescode.html).
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(AGAIN)

"""The SQL statements that put rows, choose the next, and store what became of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, pairwise
from typing import Any

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import KeyReused, OutboxFull, exception_in
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, OPERATIONS
from leadsquared_async.outbox.connection import Connection
from leadsquared_async.outbox.items import Ticket
from leadsquared_async.outbox.rows import BEFORE_ALL, CLAIMED, FILES, FORMS, Row, row_of

__all__ = ["ERASED", "RowStates", "places"]

ERASED = (
    "content = NULL, suffix = '[]', "
    "query = CASE query WHEN '[]' THEN query ELSE kept_query(CAST(query AS BLOB)) END"
)
"""Erases all personal data: the values, and the ids in the path and the query."""

_TO_SEND = "INDEXED BY items_to_send WHERE state = 'pending' AND is_ready"
"""The index is named because SQLite would otherwise scan a million other rows by state."""
_NEXT = "operation = ? AND lane = ? AND id > ? ORDER BY id LIMIT ?"
_PUT = (
    "INSERT INTO items (key, digest, operation, lane, identity, identified, content, query, suffix, "
    "reference, traceparent, put_at, changed_at, is_open, state, is_ready) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 'pending', ?) ON CONFLICT (key) DO NOTHING"
)


class RowStates(Connection):
    """The statements of `put` and of delivery. Each method runs in its caller's transaction."""

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
        if not self.has_room():
            return self._known(key, digest, submission.dropped, full=True)
        is_ready = not self._has_earlier(identity)
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
                is_ready,
            ),
        )
        if not cursor.rowcount:
            return self._known(key, digest, submission.dropped)
        assert cursor.lastrowid is not None
        if lane == FORMS and not is_ready:
            # Earlier rows of the same lead become forms too: otherwise this one would wait for a file.
            self.connection.execute(
                "UPDATE items SET lane = ? WHERE identity = ? AND is_open AND lane = ?",
                (FORMS, identity, FILES),
            )
        return Ticket(cursor.lastrowid, key, is_new=True, state=ItemState.PENDING, dropped=submission.dropped)

    def _has_earlier(self, identity: bytes | None) -> bool:
        """Whether an older row of this identity has to be sent before a new one."""
        if identity is None:
            return False
        earlier = self.connection.execute(
            "SELECT 1 FROM items WHERE identity = ? AND is_open AND (is_ready OR state = 'pending') LIMIT 1",
            (identity,),
        )
        return earlier.fetchone() is not None

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
        return hashlib.blake2b(text, key=self.salt, digest_size=16).digest()

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
        return hashlib.blake2b(fingerprint, key=self.salt, digest_size=16).digest()

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
        return self._rows(f"id IN ({places(ids)}) ORDER BY id", *ids) if ids else []

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
        extra = f", {ERASED}" if state in {ItemState.CONFIRMED, ItemState.ACCEPTED} else ""
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

    def _change(self, row: int, now: float, attempts: int, extra: str = "", **columns: Any) -> None:
        names = ", ".join(f"{name} = ?" for name in columns)
        self.connection.execute(
            f"UPDATE items SET {names}, changed_at = ?, attempts = attempts + ?{extra} WHERE id = ?",  # noqa: S608
            (*columns.values(), now, attempts, row),
        )

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

    def delete(self, row: int) -> None:
        """Delete a row and release the next of its identity."""
        for (identity,) in self.connection.execute(
            "SELECT identity FROM items WHERE id = ?", (row,)
        ).fetchall():
            self.connection.execute("DELETE FROM items WHERE id = ?", (row,))
            self._release(identity)


def places(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))

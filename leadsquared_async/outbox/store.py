"""The SQL statements of an outbox: those of `RowStates`, and those for the methods that a user calls.

Synchronous; each method runs in its caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import OutboxError
from leadsquared_async.outbox.erasure import is_of, may_be_of, needs_more_than_a_lead
from leadsquared_async.outbox.items import OutboxItem
from leadsquared_async.outbox.row_states import ERASED, RowStates, places
from leadsquared_async.outbox.rows import (
    COLUMNS,
    UnreadableRowError,
    item_of,
    moment,
    submission_in,
    write_named,
)
from leadsquared_async.submissions import Submission

__all__ = ["Store"]

_FOLLOWED = "INDEXED BY items_followed WHERE state = 'accepted' AND is_open"
"""The index is named for the same reason as in `row_states`."""
_OPEN = (ItemState.PENDING, ItemState.SENDING, ItemState.ACCEPTED)


class Store(RowStates):
    """An outbox's rows, read and changed through one connection."""

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
        items = self._items(columns, f"key IN ({places(keys)})", *keys)
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
        self._change(row, now, 0, reason=None, request_id=None, is_called_back=1, **values)
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
                self.connection.execute(f"UPDATE items SET {ERASED}, reason = NULL WHERE id = ?", (row,))  # noqa: S608
            else:
                self.delete(row)
        return erased, rows[-1][0] if len(rows) == most else None

    def discard(self, row: int) -> bool:
        """Delete a pending, rejected or unknown row; returns whether it was one."""
        item = self.item(row)
        if item is None or item.state not in {ItemState.PENDING, ItemState.REJECTED, ItemState.UNKNOWN}:
            return False
        self.delete(row)
        return True

    def mark_delivered(self, row: int, lead_id: str | None, now: float) -> bool:
        """Confirm an unknown row, without calling callbacks; returns whether it was one."""
        item = self.item(row)
        if item is None or item.state is not ItemState.UNKNOWN:
            return False
        return self.finish(
            row, now, ItemState.CONFIRMED, is_called_back=True, lead_id=lead_id, created=None, reason=None
        )

    def erase_rejected(self, before: float) -> int:
        """Erase the values of rejected rows last changed before `before`; returns how many."""
        return self.connection.execute(
            f"UPDATE items SET {ERASED}, reason = kept_reason(CAST(reason AS BLOB)) "  # noqa: S608
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

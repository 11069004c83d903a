"""While a new version is rolled out, a process of the first one may still deliver what the new one puts."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import Outbox, OutboxEntry, submissions
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, OPERATIONS
from leadsquared_async.outbox.lanes import FILES, FORMS, lane_of
from leadsquared_async.submissions import Submission
from tests.outbox.machine import Machine, by_state, lead, play

LEAD_ID = "11111111-0000-4000-8000-000000000000"
MOST = 32


class FirstVersion:
    """What a process of the first version does with a file, by its own statements.

    It knows captures only, and looks at no row's operation.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def claims(self) -> list[int]:
        return [
            row[0]
            for lane in (0, 1)
            for row in self._connection.execute(
                "SELECT id, operation, lane, content, query, reference, request_id, 0 FROM items "
                "WHERE state = 'pending' AND is_ready AND lane = ? AND id > ? ORDER BY id LIMIT ?",
                (lane, 0, MOST),
            )
        ]

    def puts_a_form_of(self, row: int) -> None:
        """The half of its `put` that is about the other rows of the same lead."""
        (identity,) = self._connection.execute("SELECT identity FROM items WHERE id = ?", (row,)).fetchone()
        assert identity is not None
        self._connection.execute(
            "UPDATE items SET lane = ? WHERE identity = ? AND is_open AND lane > ?", (0, identity, 0)
        )

    def ends(self, row: int) -> None:
        """A row becomes final, and lets the next of its lead go."""
        self._connection.execute("UPDATE items SET is_open = 0, state = 'confirmed' WHERE id = ?", (row,))
        self._connection.execute(
            "UPDATE items SET is_ready = 1 WHERE state = 'pending' AND id = (SELECT min(id) FROM items "
            "WHERE is_open AND identity = (SELECT identity FROM items WHERE id = :row)) "
            "AND NOT EXISTS (SELECT 1 FROM items WHERE is_open AND is_ready "
            "AND identity = (SELECT identity FROM items WHERE id = :row))",
            {"row": row},
        )

    def close(self) -> None:
        self._connection.close()


OTHERS: list[Submission] = [
    submissions.update_lead(LEAD_ID, {"mx_City": "Pune"}),
    submissions.create_activity(LEAD_ID, event=1),
    submissions.create_lead_and_activity(lead(2), search_by="EmailAddress", event=2),
    submissions.capture_opportunity(lead(3), search_by="EmailAddress", event_code=3),
    submissions.update_opportunity(LEAD_ID, note="Won"),
    submissions.log_call("connector", {"SourceNumber": "1"}),
    submissions.bulk_lead({**lead(4), "ProspectID": LEAD_ID}, search_by="ProspectID"),
]


@pytest.mark.parametrize("as_files", [False, True])
def test_it_sends_none_but_captures(as_files: bool, tmp_path: Path) -> None:
    """Not what else was put, nor if it puts a form of the same lead itself, nor if it lets the next go."""

    async def put(machine: Machine) -> None:
        async with Outbox(machine.path) as outbox:
            ids: list[int] = []
            for number, submission in enumerate([lead(1), {"ProspectID": LEAD_ID}, *OTHERS]):
                key = f"{number}"
                if as_files:
                    await outbox.put_many([OutboxEntry(submission, key=key)])
                else:
                    await outbox.put(submission, key=key)
                ids.append((await outbox.find([key]))[key].id)
            captures, others = ids[:2], ids[2:]
            older = FirstVersion(machine.path)
            assert older.claims() == captures
            older.puts_a_form_of(captures[1])
            older.puts_a_form_of(others[0])
            assert set(older.claims()) == set(captures)
            older.ends(captures[1])  # the update of the same lead is next
            assert older.claims() == captures[:1]
            older.close()
        # And when the new version delivers, all of them go.
        options: dict[str, Any] = {"sync_host": "https://sandbox.invalid"}
        async with machine.process(options) as outbox:
            await outbox.drained()
            assert sum((await by_state(outbox)).values()) == 2 + len(OTHERS)

    play(tmp_path, put, look_every=1.0)


def test_each_operation_has_lanes_of_its_own() -> None:
    """Captures those of the first version; a form's number is even and one less than that of a file."""
    names = [*OPERATIONS, BULK_CREATE_OR_UPDATE.name]
    lanes = {lane_of(name, lane) for name in names for lane in (FORMS, FILES)}
    assert len(lanes) == 2 * len(names)
    assert [lane_of("leads.capture", lane) for lane in (FORMS, FILES)] == [0, 1]
    assert sum(lane >= 0 for lane in lanes) == 2
    for name in names:
        assert lane_of(name, FORMS) % 2 == 0
        assert lane_of(name, FILES) == lane_of(name, FORMS) + 1


def test_a_form_takes_what_waits_before_it_along_across_operations(tmp_path: Path) -> None:
    """An update of a file is sent as a form once a form of the same lead waits for it."""

    async def put(machine: Machine) -> None:
        async with Outbox(machine.path) as outbox:
            await outbox.put_many([submissions.update_lead(LEAD_ID, {"mx_City": "Pune"})])
            await outbox.put({"ProspectID": LEAD_ID})
        connection = sqlite3.connect(machine.path)
        lanes = [row[0] for row in connection.execute("SELECT lane FROM items ORDER BY id")]
        connection.close()
        assert lanes == [lane_of("leads.update", FORMS), FORMS]

    play(tmp_path, put)

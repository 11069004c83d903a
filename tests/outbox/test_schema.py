"""The tables of an outbox's file: created once, and checked at each start."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadsquared_async.delivery.item_retries import ItemState
from leadsquared_async.errors import OutboxError
from leadsquared_async.outbox.schema import APPLICATION_ID, SALT, VERSION, prepare

PATH = Path("leads.db")
ROW = (
    "INSERT INTO items (operation, lane, identified, is_open, is_ready, state, query, suffix, put_at, "
    "changed_at"
)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:", isolation_level=None)
    yield made
    made.close()


def test_a_new_file_gets_its_tables_once(connection: sqlite3.Connection) -> None:
    """A second start changes nothing, the salt included; no transaction is left open."""
    prepare(connection, PATH)
    (salt,) = connection.execute("SELECT value FROM meta WHERE name = 'salt'").fetchone()
    assert len(salt) == SALT == 16
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,) == (1,)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,) == (0x4C537161,)
    assert not connection.in_transaction
    prepare(connection, PATH)
    assert connection.execute("SELECT value FROM meta").fetchall() == [(salt,)]
    assert not connection.in_transaction


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("PRAGMA application_id = 7", "is another program's database: choose another path"),
        ("PRAGMA user_version = 2", "has schema 2, and this version reads schema 1 only"),
        ("PRAGMA user_version = 0", "has schema 0, and this version reads schema 1 only"),
        ("CREATE TABLE more (a)", "table 'more' was added, changed or removed"),
        ("DROP INDEX items_waiting", "index 'items_waiting' was added, changed or removed"),
        (
            "CREATE TRIGGER odd AFTER INSERT ON items BEGIN SELECT 1; END",
            "trigger 'odd' was added, changed or removed",
        ),
        ('CREATE VIEW "a\nb" AS SELECT 1', "view 'a?b' was added"),
        (f"CREATE VIEW {'v' * 100} AS SELECT 1", f"view '{'v' * 60}' was added"),
    ],
)
def test_a_file_that_was_changed_is_refused(connection: sqlite3.Connection, change: str, why: str) -> None:
    """The error names the file and the first odd thing, on one short line."""
    prepare(connection, PATH)
    connection.execute(change)
    with pytest.raises(OutboxError) as caught:
        prepare(connection, PATH)
    assert str(caught.value).startswith("leads.db: ")
    assert why in str(caught.value)
    assert not connection.in_transaction


def test_the_first_of_many_odd_things_is_named(connection: sqlite3.Connection) -> None:
    """In the order of their kinds and names."""
    prepare(connection, PATH)
    connection.executescript("CREATE VIEW b AS SELECT 1; CREATE TABLE c (a); CREATE TABLE d (a)")
    with pytest.raises(OutboxError, match="table 'c' was added"):
        prepare(connection, PATH)


@pytest.mark.parametrize("change", ["CREATE TABLE more (a)", "PRAGMA user_version = 1"])
def test_a_database_of_another_program_is_left_as_it_is(connection: sqlite3.Connection, change: str) -> None:
    """No table is created in it."""
    connection.execute(change)
    before = connection.execute("SELECT name FROM sqlite_master").fetchall()
    with pytest.raises(OutboxError, match="another program's database"):
        prepare(connection, PATH)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == before


def test_a_file_whose_tables_cannot_be_created_stays_empty(connection: sqlite3.Connection) -> None:
    """All tables are created, or none."""
    connection.set_authorizer(
        lambda action, name, *_: sqlite3.SQLITE_DENY if name == "items_waiting" else sqlite3.SQLITE_OK
    )
    with pytest.raises(sqlite3.DatabaseError):
        prepare(connection, PATH)
    connection.set_authorizer(None)
    assert not connection.in_transaction
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_a_file_that_another_process_creates_meanwhile_keeps_its_salt(tmp_path: Path) -> None:
    """The slower of two processes finds the tables and uses them."""
    path = tmp_path / "leads.db"
    first, second = (sqlite3.connect(path, isolation_level=None) for _ in range(2))

    class Slow:
        """A connection that is overtaken before its first write."""

        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
            if sql == "BEGIN IMMEDIATE":
                prepare(first, path)
            return second.execute(sql, *values)

    prepare(Slow(), path)  # type: ignore[arg-type]
    assert len(second.execute("SELECT value FROM meta").fetchall()) == 1
    first.close()
    second.close()


@pytest.mark.parametrize("state", [*ItemState, "sold"])
@pytest.mark.parametrize("is_open", [0, 1])
def test_the_state_table(connection: sqlite3.Connection, state: str, is_open: int) -> None:
    """Pending and sending rows are open, accepted ones may be, final ones are not; no other state exists."""
    allowed = {"pending": {1}, "sending": {1}, "accepted": {0, 1}, "sold": set[int]()}.get(state, {0})
    prepare(connection, PATH)
    row = f"{ROW}) VALUES ('leads.capture', 0, 1, {is_open}, 1, '{state}', '[]', '[]', 0, 0)"
    if is_open in allowed:
        connection.execute(row)
    else:
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(row)

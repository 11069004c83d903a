"""Every call on a damaged or foreign file returns, or raises OutboxError."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from leadsquared_async import Outbox, OutboxError
from leadsquared_async.outbox import ItemState, service
from tests.clients import LEAD
from tests.outbox.machine import Machine, by_state, items, lead, played, run_sql, until

NEVER = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
EDIT = "PRAGMA writable_schema = ON; UPDATE sqlite_schema"

ADDITIONS = {
    "a trigger that deletes": "CREATE TRIGGER t AFTER INSERT ON items BEGIN DELETE FROM items; END",
    "a trigger that never ends": f"CREATE TRIGGER t AFTER INSERT ON items BEGIN {NEVER}; END",
    "a trigger that does nothing": "CREATE TRIGGER t AFTER UPDATE ON items BEGIN SELECT 1; END",
    "a trigger on a view": "CREATE VIEW v AS SELECT 1; "
    "CREATE TRIGGER t INSTEAD OF INSERT ON v BEGIN SELECT 1; END",
    "a view": "CREATE VIEW v AS SELECT * FROM items",
    "a view in a table's place": "ALTER TABLE meta RENAME TO m; CREATE VIEW meta AS SELECT * FROM m",
    "a table": "CREATE TABLE t (x)",
    "a virtual table": "CREATE VIRTUAL TABLE t USING fts5(x)",
    "a column": "ALTER TABLE items ADD COLUMN x INTEGER",
    "a column that is computed": "ALTER TABLE items ADD COLUMN x AS (abs(id))",
    "a column that is gone": "ALTER TABLE items DROP COLUMN reference",
    "a column by another name": "ALTER TABLE items RENAME COLUMN reference TO x",
    "an index": "CREATE INDEX i ON items (put_at)",
    "an index with an expression": "CREATE UNIQUE INDEX i ON items (abs(id))",
    "an index that is gone": "DROP INDEX items_to_send",
    "another index by a known name": "DROP INDEX items_to_send; CREATE INDEX items_to_send ON items (lane)",
    "statistics": "ANALYZE",
    "another default": f"{EDIT} SET sql = replace(sql, 'DEFAULT 1', 'DEFAULT 0')",
    "a rule": f"{EDIT} SET sql = replace(sql, 'key TEXT UNIQUE', 'key TEXT UNIQUE ON CONFLICT REPLACE')",
    "no table": "DROP TABLE items",
    "no schema that can be read": f"{EDIT} SET sql = 'CREATE NONSENSE'",
    "text that is no text": f"{EDIT} SET sql = CAST(x'ff' AS TEXT)",
    "a negative version": "PRAGMA user_version = -1",
    "an earlier version": "PRAGMA user_version = 0; PRAGMA application_id = 0",
    "a later version": "PRAGMA user_version = 2",
    "version 0": "PRAGMA user_version = 0",
    "no salt": "DELETE FROM meta WHERE name = 'salt'",
    "a salt that is a number": "UPDATE meta SET value = 1000000000000 WHERE name = 'salt'",
    "a salt that is long": "UPDATE meta SET value = zeroblob(100) WHERE name = 'salt'",
    "a salt that is text": "UPDATE meta SET value = '0123456789abcdef' WHERE name = 'salt'",
}


@pytest.mark.parametrize("statements", ADDITIONS.values(), ids=ADDITIONS)
async def test_a_file_that_holds_what_no_version_made_is_refused(statements: str, tmp_path: Path) -> None:
    """OutboxError names a file with other triggers, views, tables, columns, indexes or rules."""
    path = tmp_path / "leads.db"
    async with Outbox(path) as outbox:
        await outbox.put(LEAD, key="first")
    run_sql(path, statements)
    with pytest.raises(OutboxError, match=r"leads\.db: ") as caught:
        async with Outbox(path) as outbox:
            await outbox.put(LEAD, key="second")
    assert caught.value.__cause__ is None


# Fuzzing


def _flip(data: bytearray, chance: Random) -> None:
    for _ in range(chance.choice([1, 3, 20, 200])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _flip_in_the_header(data: bytearray, chance: Random) -> None:
    data[chance.randrange(100)] ^= 1 << chance.randrange(8)


def _blank(data: bytearray, chance: Random) -> None:
    start = chance.randrange(len(data))
    size = chance.choice([8, 64, 512, 4096, 8192])
    data[start : start + size] = bytes([chance.choice([0, 0, 255])]) * len(data[start : start + size])


def _cut(data: bytearray, chance: Random) -> None:
    del data[chance.choice([chance.randrange(len(data)), 4096 * chance.randrange(len(data) // 4096)]) :]


def _repeat_a_page(data: bytearray, chance: Random) -> None:
    one, other = (4096 * chance.randrange(len(data) // 4096) for _ in range(2))
    data[one : one + 4096] = data[other : other + 4096]


DAMAGES = (_flip, _flip_in_the_header, _blank, _cut, _repeat_a_page)
CASES = 25


async def _filled(path: Path) -> None:
    async with Outbox(path) as outbox:
        await outbox.put_many(lead(number, Notes="x" * 40 * (number % 300)) for number in range(120))
        for number, state in enumerate(ItemState):
            await outbox.put(lead(1000 + number), key=f"{state}", reference="r")
            is_open = int(state in {"pending", "sending", "accepted"})
            change = f"state = '{state}', is_open = {is_open}, reason = 'MXFoo: b'"
            run_sql(path, f"UPDATE items SET {change} WHERE key = '{state}'")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_a_damaged_file_never_says_more_than_it_holds(
    suffix: str, damage: Callable[[bytearray, Random], None], tmp_path: Path
) -> None:
    """Every call ends, with OutboxError at most, and a stored put can be read."""
    base, path = tmp_path / "base.db", tmp_path / "leads.db"
    if suffix:  # the log as it is while the outbox is open
        async with Outbox(base) as outbox:
            await outbox.put(LEAD)
            await _filled(base)
            for each in ("", "-wal"):
                shutil.copy(f"{base}{each}", f"{tmp_path}/kept{each}")
    else:
        await _filled(base)
        shutil.copy(base, tmp_path / "kept")
    outcomes, said = set[str](), list[str]()
    for seed in range(CASES):
        chance = Random(f"{damage.__name__}{suffix}{seed}")
        for each in ("", "-wal", "-shm", "-journal"):
            Path(f"{path}{each}").unlink(missing_ok=True)
            if Path(f"{tmp_path}/kept{each}").exists():
                shutil.copy(f"{tmp_path}/kept{each}", f"{path}{each}")
        data = bytearray(Path(f"{path}{suffix}").read_bytes())
        damage(data, chance)
        Path(f"{path}{suffix}").write_bytes(data)
        outbox = Outbox(path)
        try:
            await outbox.open()
        except OutboxError as error:
            said.append(str(error))
            continue
        async with asyncio.timeout(10.0):
            outcomes.add(await _used(outbox, path, said))
            await outbox.aclose(1.0)
    assert "stored" in outcomes or damage is _cut
    assert [words for words in said if str(path) not in words and "row " not in words] == []


async def _used(outbox: Outbox, path: Path, said: list[str]) -> str:
    stored: list[int] = []
    for use in (
        lambda: outbox.put(lead(1), key="a"),
        lambda: outbox.put(lead(2000)),
        lambda: items(outbox),
        outbox.snapshot,
        lambda: outbox.find(["a", "pending"]),
        lambda: outbox.forget(EmailAddress="p7@example.com"),
        lambda: outbox.requeue(122),
        lambda: outbox.purge(0.0),
        lambda: outbox.put(lead(2001), key="b"),
    ):
        try:
            answer = await use()
        except OutboxError as error:
            said.append(str(error))
        else:
            if hasattr(answer, "is_new"):
                stored.append(answer.id)
    connection = sqlite3.connect(path)
    try:
        for row in stored:
            assert connection.execute("SELECT 1 FROM items WHERE id = ?", (row,)).fetchone()
    finally:
        connection.close()
    return "stored" if stored else "nothing"


NOTES = [
    "'{'",
    "7",
    "x'ff'",
    "CAST(x'ff' AS TEXT)",
    "'x virtual nan 1'",
    "'x virtual now 1'",
    "'x virtual 1e999 1'",
    "'x virtual -1e308 1'",
    "'x virtual 1 -1'",
    f"'x virtual 1 {10**400}'",
    "printf('%.*c', 200000, '[')",
]


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note[:50])
@played(processing_rate=60)
async def test_a_damaged_note_keeps_no_row_from_its_end(machine: Machine, note: str) -> None:
    """Rows are followed and delivered, whatever the former process's note holds."""

    async def is_accepted(outbox: Outbox) -> bool:
        return await by_state(outbox) == {"accepted": 1}

    async with machine.crashing() as outbox:
        await outbox.put(lead(0))
        await until(lambda: is_accepted(outbox))
    damage = f"INSERT OR REPLACE INTO meta VALUES ('{service.NOTE}', {note})"
    run_sql(machine.path, damage)
    async with machine.process() as outbox, Outbox(machine.path) as other:
        await outbox.put(lead(1))
        await asyncio.sleep(2.0)
        run_sql(machine.path, damage)
        assert (await other.snapshot()).blocked is None
        async with asyncio.timeout(600.0):
            await other.drained()
        assert await by_state(outbox) == {"confirmed": 2}

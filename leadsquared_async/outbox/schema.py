"""The file's tables. Files of other versions are rejected."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

from leadsquared_async.errors import OutboxError

__all__ = ["SALT", "prepare"]

APPLICATION_ID = 0x4C53_7161
"""In the file's header, to recognise databases of other programs."""

SALT = 16
"""Bytes of the salt of digests, in `meta`."""

VERSION = 1
"""Incremented with each change of `SCHEMA`."""

SCHEMA = """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

    CREATE TABLE items (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      key TEXT UNIQUE,
      digest BLOB,
      operation TEXT NOT NULL,
      lane INTEGER NOT NULL CHECK (lane IN (0, 1)),
      identity BLOB,
      identified INTEGER NOT NULL,
      is_open INTEGER NOT NULL CHECK (is_open IN (0, 1)),
      is_ready INTEGER NOT NULL CHECK (is_ready IN (0, 1)),
      state TEXT NOT NULL CHECK (
        CASE state
          WHEN 'pending' THEN is_open
          WHEN 'sending' THEN is_open
          WHEN 'accepted' THEN TRUE
          WHEN 'confirmed' THEN NOT is_open
          WHEN 'rejected' THEN NOT is_open
          WHEN 'unknown' THEN NOT is_open
          ELSE FALSE
        END
      ),
      content BLOB,
      query TEXT NOT NULL,
      suffix TEXT NOT NULL,
      reference TEXT,
      traceparent TEXT,
      attempts INTEGER NOT NULL DEFAULT 0,
      put_at REAL NOT NULL,
      changed_at REAL NOT NULL,
      request_id TEXT,
      lead_id TEXT,
      created INTEGER,
      reason TEXT,
      is_called_back INTEGER NOT NULL DEFAULT 1 CHECK (is_called_back IN (0, 1))
    );

    CREATE INDEX items_to_send ON items (operation, lane, id) WHERE state = 'pending' AND is_ready;
    CREATE INDEX items_waiting ON items (id) WHERE state = 'pending' AND NOT is_ready;
    CREATE INDEX items_of_one ON items (identity, id) WHERE is_open AND identity IS NOT NULL;
    CREATE INDEX items_by_state ON items (state, id);
    CREATE INDEX items_followed ON items (id) WHERE state = 'accepted' AND is_open;
    CREATE INDEX items_to_call_back ON items (id) WHERE NOT is_called_back;
    """
"""SQLite stores this text in the file; a file with another text is rejected.

- id: never reused, because the process that delivers may still refer to a deleted row
- digest: digest of the submission with a key, to reject another lead with the same key
- lane: 0: of put; 1: of put_many
- identity: salted digest of the row's lead; NULL: no lead
- identified: 1: LeadSquared can match it, so that sending it twice is harmless
- state: for `IN (...)` SQLite would build a temporary index for each changed row
- is_open: 1: not final; later rows of its identity wait
- is_ready: 1: it may be sent; later rows of its identity wait
- content: the body to send; NULL once erased
- query: JSON: query pairs in addition to the keys
- suffix: JSON: further parts of the path
- traceparent: W3C context of the span in which it was put; NULL: none
- put_at, changed_at: seconds since 1970
- is_called_back: 0: final, and its callbacks have not finished
"""


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables of a new file, or check those of an existing one.

    Raises:
        OutboxError: the file is not an outbox, has another version, or was changed by another program.
    """
    if _state(connection) == (0, 0, frozenset()):
        _make(connection)
    version, application, found = _state(connection)
    if application != APPLICATION_ID:
        raise OutboxError(f"{path}: is another program's database: choose another path")
    if version != VERSION:
        raise OutboxError(
            f"{path}: the outbox has schema {version}, and this version reads schema {VERSION} only: use the "
            "version of leadsquared_async that wrote it, or choose another path"
        )
    _check(path, found)


def _state(connection: sqlite3.Connection) -> tuple[int, int, frozenset[tuple[str, ...]]]:
    """Version, application and tables, read in one transaction."""
    connection.execute("BEGIN")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        return version, application, _tables(connection)
    finally:
        connection.execute("ROLLBACK")


def _make(connection: sqlite3.Connection) -> None:
    execute = connection.execute
    execute("BEGIN IMMEDIATE")
    try:
        if not _tables(connection):  # otherwise another process was faster
            _create(connection)
            execute("INSERT INTO meta VALUES ('salt', ?)", (secrets.token_bytes(SALT),))
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
            execute(f"PRAGMA user_version = {VERSION}")
        execute("COMMIT")
    except BaseException:
        execute("ROLLBACK")
        raise


def _create(connection: sqlite3.Connection) -> None:
    for statement in SCHEMA.split(";\n"):
        connection.execute(statement)


def _check(path: Path, found: frozenset[tuple[str, ...]]) -> None:
    """Reject triggers, views and other objects that could change data behind our statements."""
    if odd := sorted(found ^ _expected(), key=str):
        kind, name = ("".join(c if c.isprintable() else "?" for c in str(it)[:60]) for it in odd[0][:2])
        raise OutboxError(
            f"{path}: not an outbox as leadsquared_async creates it: {kind} {name!r} was added, changed or "
            "removed: undo that, or restore the file from a backup"
        )


@cache
def _expected() -> frozenset[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _create(connection)
        return _tables(connection)


def _tables(connection: sqlite3.Connection) -> frozenset[tuple[str, ...]]:
    return frozenset(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))

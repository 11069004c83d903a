"""The file's tables, and how an older file becomes a newer one."""

from __future__ import annotations

import secrets
import sqlite3

from leadsquared_async.errors import OutboxError

__all__ = ["prepare"]

APPLICATION_ID = 0x4C53_7161
"""In the file's header, so that no other program's database is taken for an outbox."""

MIGRATIONS = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

    CREATE TABLE items (
      id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: who delivers may still know the row before
      key TEXT UNIQUE,
      digest BLOB NOT NULL,        -- of what was put, to tell another lead under a used key
      operation TEXT NOT NULL,
      lane INTEGER NOT NULL,       -- of put or of put_many; see lanes.py
      identity BLOB,               -- salted digest of whose it is; NULL: nobody's
      is_open INTEGER NOT NULL,    -- 1: not final; later rows of its identity wait
      is_ready INTEGER NOT NULL,   -- 1: its turn has come, and later rows of its identity wait for it
      state TEXT NOT NULL,
      content BLOB,                -- the body to send; NULL once erased
      query TEXT NOT NULL,         -- JSON: pairs beside the keys
      reference TEXT,
      attempts INTEGER NOT NULL DEFAULT 0,
      put_at REAL NOT NULL,        -- seconds since 1970
      changed_at REAL NOT NULL,
      request_id TEXT,
      lead_id TEXT,
      created INTEGER,
      reason TEXT,
      is_told INTEGER NOT NULL DEFAULT 1  -- 0: final, and a callback has not heard of it yet
    );

    CREATE INDEX items_to_send ON items (lane, id) WHERE state = 'pending' AND is_ready;
    CREATE INDEX items_of_one ON items (identity, id) WHERE is_open AND identity IS NOT NULL;
    CREATE INDEX items_by_state ON items (state, id);
    CREATE INDEX items_followed ON items (id) WHERE state = 'accepted' AND is_open;
    CREATE INDEX items_untold ON items (id) WHERE NOT is_told;
    """,
    """
    ALTER TABLE items ADD COLUMN suffix TEXT NOT NULL DEFAULT '[]'
    """,
)
"""Each brings a file from its version to the next; a new file goes through all of them. The second is for
further parts of the path, as JSON."""


def prepare(connection: sqlite3.Connection) -> None:
    """Bring the file up to this version's schema.

    Raises:
        OutboxError: it is no outbox, or one of a newer version.
    """
    version = _number(connection, "user_version")
    if version == 0 and _number(connection, "application_id") == 0 and not _has_tables(connection):
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if _number(connection, "application_id") != APPLICATION_ID:
        raise OutboxError("this file is another program's database: choose another path")
    if version > len(MIGRATIONS):
        raise OutboxError(
            f"this outbox was written by a newer version (schema {version}, known up to {len(MIGRATIONS)}): "
            "upgrade leadsquared_async"
        )
    for number in range(version, len(MIGRATIONS)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _number(connection, "user_version") == number:  # else another process was faster
                for statement in MIGRATIONS[number].split(";\n"):
                    connection.execute(statement)
                if number == 0:
                    connection.execute("INSERT INTO meta VALUES ('salt', ?)", (secrets.token_bytes(16),))
                connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None

"""What is wrong with an outbox's file, and what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from leadsquared_async.errors import Delivery, OutboxError
from leadsquared_async.http.redaction import traceback_without_values
from leadsquared_async.logs import ClientLog

__all__ = ["code_of", "file_error", "unclear"]

LONGEST_REASON = 200


def file_error(path: Path, error: Exception, log: ClientLog, *, writes: bool) -> OutboxError:
    """What is wrong with the file and what to do; shows no value of a row."""
    if isinstance(error, sqlite3.Error | OSError) and "decode" not in str(error):
        what = _shown((error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error))
        why = f"the outbox's file cannot be used: {what}"
        way_out = next((way for words, way in _WAYS_OUT.items() if words in what), None)
    else:
        # Its message may repeat a value.
        log.debug("outbox: %s cannot be read: %s", path, traceback_without_values(error))
        why = f"the contents of the file cannot be read ({type(error).__name__})"
        way_out = _WAYS_OUT["malformed"]
    text = f"{path}: {why}" if way_out is None else f"{path}: {why}: {way_out}"
    stored = "; this change was not stored" if writes else ""
    return OutboxError(text + stored)


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:LONGEST_REASON])


def unclear(path: Path, error: BaseException) -> OutboxError:
    """The error if it is unknown whether a change was stored."""
    what = type(error).__name__
    if isinstance(error, sqlite3.Error):
        what = f"{what} ({_shown(str(error))})"
    return OutboxError(
        f"{path}: it is unknown whether this change was stored, because the commit failed with "
        f"{what}: put it again with the same key, which adds nothing if it was "
        "stored; without a key, look for the row first",
        delivery=Delivery.UNKNOWN,
    )


def code_of(error: Exception) -> int:
    """SQLite's primary code (sqlite.org/rescode.html); 0 for other errors."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


_WAYS_OUT = {
    "deleted or moved": "open the outbox again",
    "full": "free disk space",
    "locked": "another program has an open transaction on it: end that transaction",
    "readonly": "this user may not write it",
    "unable to open": "check that its folder exists and that this user may write there",
    "not a database": "choose another path",
    "malformed": "restore it from a backup; `sqlite3 FILE .recover` may save readable rows",
    "disk I/O": "check the disk",
    "interrupted": "it did not finish before the outbox closed",
}

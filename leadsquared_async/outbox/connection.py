"""The connection to an outbox's file: opening, transactions, the write-ahead log, the size."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from leadsquared_async.errors import OutboxError
from leadsquared_async.logs import ClientLog
from leadsquared_async.outbox.erasure import kept_query, kept_reason
from leadsquared_async.outbox.files import DeliveryLock, identity_of, make_private
from leadsquared_async.outbox.schema import SALT, prepare

__all__ = ["Connection"]

BUSY = 5_000
"""Milliseconds to wait for another process's commit; closing may be delayed as long."""
AGAIN = 0.01
"""Seconds between retries of operations for which SQLite does not wait."""

LONG_LOG, LONGEST_LOG = 8 * 1024**2, 16 * 1024**2
"""Bytes of the write-ahead log from which a process that only puts starts it over, and from which it empties
it. Writing over an old log takes half the time of making it longer."""
LOOK_EVERY = 10
"""Commits between two looks at the files while nothing changes in their folder."""
SETTLED = 0.1
"""Seconds after a change of a folder until another change is certain to have another time."""
T = TypeVar("T")


class Connection:
    """One connection to an outbox's file, for one thread.

    Attributes:
        salt: of all digests in the file.

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
        self._folder = str(path.parent)
        self._unchanged: tuple[int, ...] | None = None
        self._commits = 0
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
            execute("PRAGMA fullfsync = ON")  # macOS: its fsync does not flush the disk's write cache
            execute("PRAGMA secure_delete = ON")
            # Only the process with the delivery lock checkpoints, with TRUNCATE or RESTART, which block other
            # commits meanwhile: SQLite before 3.51.3 may corrupt the file when a checkpoint and another
            # connection's commit coincide (sqlite.org/wal.html, "The WAL-Reset Bug"). The last connection to
            # close also checkpoints, when no other connection exists.
            execute("PRAGMA wal_autocheckpoint = 0")
            self.connection.create_function("kept_reason", 1, kept_reason, deterministic=True)
            self.connection.create_function("kept_query", 1, kept_query, deterministic=True)
            self.salt = self._known_salt()
            self._page = int(execute("PRAGMA page_size").fetchone()[0])
            # The log and its index exist from the first read until the last connection is closed.
            index, wal = (identity_of(Path(f"{path}{suffix}")) for suffix in ("-shm", "-wal"))
            self._files = [str(path), f"{path}-shm", f"{path}-wal"]
            self._identities = [main, index, wal]
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
        if self.connection.in_transaction:  # left over from a failed rollback
            self.connection.execute("ROLLBACK")
        self.connection.execute("BEGIN IMMEDIATE")
        if not self.is_there():
            raise sqlite3.OperationalError("the file or its write-ahead log was deleted or moved")
        self._has_room = None
        self._commits += 1

    def is_there(self) -> bool:
        """Whether the file and its log are still the ones that were opened.

        Reading the log's metadata makes the next commit a quarter more expensive, because Linux then updates
        its time. So the files are checked only after a change in their folder, and every ten commits.
        """
        unchanged, self._unchanged = self._unchanged, None
        try:
            folder = os.lstat(self._folder)  # Path.lstat is slow
            # A restored backup may have set back the first time; Windows has no second one.
            now = (folder.st_dev, folder.st_ino, folder.st_mtime_ns, folder.st_ctime_ns)
            if now == unchanged and self._commits < LOOK_EVERY:
                self._unchanged = now
                return True
            self._commits = 0
            _, _, log = found = [os.lstat(file) for file in self._files]
        except OSError:
            return False
        self._log_bytes = log.st_size
        is_there = [(file.st_dev, file.st_ino) for file in found] == self._identities
        is_settled = time.time() - max(folder.st_mtime, folder.st_ctime) > SETTLED
        if is_there and is_settled and folder.st_mtime_ns % 10**9:  # not a file system with whole seconds
            self._unchanged = now
        return is_there

    def after_commit(self) -> None:
        """Overwrite a long write-ahead log from its start, or empty it, in a process that only puts."""
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

    def size(self) -> int:
        """Bytes of the file without its free pages."""
        return (self._pages("page_count") - self._pages("freelist_count")) * self._page

    def has_room(self) -> bool:
        """Whether the file is below `max_bytes`; read once in a transaction."""
        if self._has_room is None:
            # Usually without a second statement.
            most = self._pages("page_count") * self._page
            self._has_room = most < self._max_bytes or self.size() < self._max_bytes
        return self._has_room

    def _pages(self, name: str) -> int:
        return int(self.connection.execute(f"PRAGMA {name}").fetchone()[0])

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

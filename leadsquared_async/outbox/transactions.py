"""Runs queued work in transactions, in the thread of the file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from leadsquared_async.errors import LeadSquaredError, OutboxError
from leadsquared_async.outbox.file_errors import code_of, file_error, unclear
from leadsquared_async.outbox.store import Store

__all__ = ["Work", "transact"]


@dataclass(slots=True, eq=False, repr=False)  # asyncio's debug log shows the arguments of callbacks
class Work:
    do: Callable[[Store], Any]
    writes: bool
    result: asyncio.Future[Any]


def transact(store: Store, works: list[Work]) -> list[Any]:
    """The result or error of each piece of work; what only reads sees what was written."""
    writers = [work for work in works if work.writes]
    stored = iter(_commit(store, writers))
    results = [next(stored) if work.writes else _attempt(store, work) for work in works]
    if writers:
        store.after_commit()
    return results


def _commit(store: Store, works: list[Work]) -> list[Any]:
    """Run the work in one transaction; if any fails, run it again with a savepoint for each."""
    if not works:
        return []
    try:
        results = _together(store, works, apart=False)
        if any(isinstance(result, BaseException) for result in results):
            store.connection.execute("ROLLBACK")
            results = _together(store, works, apart=True)
    except Exception as error:
        _roll_back(store)
        return [file_error(store.path, error, store.log, writes=True) for _ in works]
    try:
        store.connection.execute("COMMIT")
        is_there = store.is_there()
    except Exception as error:
        # If SQLite did not begin the commit, the transaction is still open; if the disk was full, no complete
        # frame was written. After any other error it is unknown whether the commit is on disk.
        is_undone = _roll_back(store) or code_of(error) == sqlite3.SQLITE_FULL
        if is_undone:
            return [file_error(store.path, error, store.log, writes=True) for _ in works]
        return [unclear(store.path, error) for _ in works]
    if not is_there:
        gone = sqlite3.OperationalError("the file was deleted or moved")
        return [
            result if isinstance(result, BaseException) else unclear(store.path, gone) for result in results
        ]
    return results


def _together(store: Store, works: list[Work], *, apart: bool) -> list[Any]:
    """The results; raises sqlite3.Error, because a file error affects all of the work."""
    execute = store.connection.execute
    store.begin()
    results: list[Any] = []
    for work in works:
        if apart:
            execute("SAVEPOINT one")
        result = _attempt(store, work)
        if isinstance(result, sqlite3.Error):
            raise result
        if apart:
            if isinstance(result, BaseException):
                execute("ROLLBACK TO one")
            execute("RELEASE one")
        results.append(result)
    return results


def _roll_back(store: Store) -> bool:
    """Roll back; returns whether there was an open transaction and it was rolled back."""
    with suppress(sqlite3.Error):
        if store.connection.in_transaction:
            store.connection.execute("ROLLBACK")
            return True
    return False


def _attempt(store: Store, work: Work) -> Any:
    """The result or error of one piece of work.

    The error is stored without its frames: they would keep a read statement open, and the connection could
    no longer write.
    """
    try:
        return work.do(store)
    except LeadSquaredError as error:
        return error.with_traceback(None)
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError) as error:
        return OutboxError(f"this cannot be stored: {error}")  # the data is at fault, not the file
    except sqlite3.Error as error:
        return (
            error.with_traceback(None)
            if work.writes
            else file_error(store.path, error, store.log, writes=False)
        )
    except Exception as error:
        return file_error(store.path, error, store.log, writes=work.writes)

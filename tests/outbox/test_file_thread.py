"""One thread uses the file; SQLite's connection is neither used nor closed in another."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from pathlib import Path

import pytest

from leadsquared_async import Outbox
from leadsquared_async.outbox import writer as writer_module
from leadsquared_async.outbox.file_thread import FileThread
from leadsquared_async.outbox.store import Store
from tests.outbox.machine import lead


def _named() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "leadsquared_async outbox"]


def _until_ended(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(10.0)
        assert not thread.is_alive()


def test_jobs_run_in_order_until_the_end() -> None:
    """The jobs before `end` run, in one thread; later ones are refused."""
    before = set(_named())
    thread = FileThread()
    ran: list[tuple[int, int]] = []
    for number in range(100):
        thread.run(lambda number=number: ran.append((number, threading.get_ident())))  # type: ignore[misc]
    started = [it for it in _named() if it not in before]
    thread.end()
    _until_ended(started)
    assert [number for number, _ in ran] == list(range(100))
    assert {ident for _, ident in ran} != {threading.get_ident()}
    assert len({ident for _, ident in ran}) == 1
    with pytest.raises(RuntimeError, match="ended"):
        thread.run(lambda: None)


def test_it_ends_with_its_last_reference() -> None:
    """An outbox that nobody closes leaves no thread behind."""
    before = set(_named())
    thread = FileThread()
    thread.run(lambda: None)
    started = [it for it in _named() if it not in before]
    assert len(started) == 1
    del thread
    gc.collect()
    _until_ended(started)


async def test_a_connection_refuses_another_thread(tmp_path: Path) -> None:
    """Closing it under a running statement would crash Python; instead this raises."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put(lead(1))
        assert outbox._lifecycle.writer is not None
        store = outbox._lifecycle.writer._store
        assert store is not None
        for use in (store.close, store.counts):
            with pytest.raises(sqlite3.ProgrammingError, match="thread"):
                use()
        await outbox.put(lead(2))


async def test_a_connection_that_is_being_closed_is_not_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if a statement outlasts the close, which has given up on it."""
    monkeypatch.setattr(writer_module, "LAST_WAIT", 0.0)
    outbox = Outbox(tmp_path / "leads.db")
    await outbox.open()
    assert outbox._lifecycle.writer is not None
    assert outbox._lifecycle.writer._store is not None
    connection = outbox._lifecycle.writer._store.connection
    calls: list[bool] = []

    class Watched:
        def interrupt(self) -> None:
            calls.append(outbox._lifecycle.writer is not None and outbox._lifecycle.writer._closed is None)

        def __getattr__(self, name: str) -> object:
            return getattr(connection, name)

    def wait(_store: Store) -> None:
        loop.call_soon_threadsafe(is_running.set)
        is_free.wait(10.0)

    loop, is_running, is_free = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    outbox._lifecycle.writer._store.connection = Watched()  # type: ignore[assignment]
    waiting = asyncio.create_task(outbox._lifecycle.writer.read(wait))
    await is_running.wait()
    outbox._lifecycle.writer.break_off()
    await outbox._lifecycle.writer.aclose(0.0)
    outbox._lifecycle.writer.break_off()
    assert calls
    assert all(calls)
    is_free.set()
    await waiting
    assert outbox._lifecycle.writer._closed is not None
    async with asyncio.timeout(10.0):
        await outbox._lifecycle.writer._closed

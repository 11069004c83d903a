"""Every answer of an outbox is true of its rows, whichever statement or file access fails."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from leadsquared_async import Outbox, OutboxError
from leadsquared_async.errors import Delivery
from leadsquared_async.logs import ClientLog
from leadsquared_async.outbox import connection, file_errors, files, lifecycle
from leadsquared_async.outbox.files import DeliveryLock
from leadsquared_async.outbox.items import Ticket
from leadsquared_async.outbox.store import Store
from leadsquared_async.submissions import capture_lead
from tests.clients import LEAD
from tests.outbox.machine import items, lead, run_sql


class Steps:
    """Counts what an outbox asks SQLite and the system for, and does something at one of these steps.

    Args:
        of_files: whether looks at files are steps, too.
    """

    def __init__(self, *, of_files: bool = True) -> None:
        self.at, self.after, self.count = 0, False, 0
        self.act: Callable[[], object] = lambda: None
        self.of_files = of_files
        self.done: list[str] = []

    def begin(self, at: int, act: Callable[[], object], *, after: bool) -> None:
        self.at, self.after, self.act, self.count, self.done = at, after, act, 0, []

    def end(self) -> bool:
        """Whether the step was reached."""
        self.at, was_reached = 0, self.count >= self.at
        return was_reached

    def step(self, name: str, do: Callable[[], Any]) -> Any:
        self.count += 1
        self.done.append(name)
        is_it = self.count == self.at
        if is_it and not self.after:
            self.act()
        result = do()
        if is_it and self.after:
            self.act()
        return result


class Connection:
    """A connection whose statements are steps."""

    def __init__(self, real: sqlite3.Connection, steps: Steps) -> None:
        self._real, self._steps = real, steps

    def execute(self, sql: str, *values: Any) -> Any:
        return self._steps.step(sql, lambda: self._real.execute(sql, *values))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class System:
    """The module `os`, whose looks at files are steps."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in {"lstat", "stat", "fstat", "open", "fchmod", "close"} or not self._steps.of_files:
            return real
        return lambda *values, **options: self._steps.step(name, lambda: real(*values, **options))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    counted = Steps()
    system = System(counted)
    for module in (connection, files, lifecycle):
        monkeypatch.setattr(module, "os", system)
    for name in ("LONG_LOG", "LONGEST_LOG"):  # the log is emptied after each put
        monkeypatch.setattr(connection, name, 0)
    return counted


def watched(outbox: Outbox, steps: Steps) -> Outbox:
    """Let the statements of an open outbox be steps."""
    assert outbox._lifecycle.writer is not None
    assert outbox._lifecycle.writer._store is not None
    outbox._lifecycle.writer._store.connection = Connection(outbox._lifecycle.writer._store.connection, steps)  # type: ignore[assignment]
    return outbox


def asked(path: Path, sql: str, *values: Any) -> list[Any]:
    """What another connection sees, or does."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def has(path: Path, key: str) -> bool:
    return bool(asked(path, "SELECT 1 FROM items WHERE key = ?", key))


@dataclass(frozen=True)
class Change:
    """A call that changes rows.

    Attributes:
        begin: brings a row into the state that it needs.
        call: makes the call for the row under a key.
        is_done: whether the file shows the change.
        reads: whether it begins with a reading, which stores nothing.
    """

    begin: Callable[[Outbox, str], Awaitable[object]]
    call: Callable[[Outbox, str], Awaitable[object]]
    is_done: Callable[[Path, str], bool]
    reads: bool = False


async def _nothing(_outbox: Outbox, _key: str) -> None:
    return


async def _rejected(outbox: Outbox, key: str) -> None:
    await outbox.put({"Phone": key, "FirstName": "B"}, key=key)
    asked(
        outbox.path,
        "UPDATE items SET state = 'rejected', is_open = 0, is_ready = 0, changed_at = 0 WHERE key = ?",
        key,
    )


async def _requeue(outbox: Outbox, key: str) -> None:
    ((row,),) = asked(outbox.path, "SELECT id FROM items WHERE key = ?", key)
    await outbox.requeue(row, drop=["FirstName"])


async def _discard(outbox: Outbox, key: str) -> None:
    ((row,),) = asked(outbox.path, "SELECT id FROM items WHERE key = ?", key)
    assert await outbox.discard(row)


async def _forget(outbox: Outbox, key: str) -> None:
    assert await outbox.forget(Phone=key) == 1


async def _purge(outbox: Outbox, _key: str) -> None:
    assert await outbox.purge(60.0) >= 1


def _put(outbox: Outbox, key: str) -> Awaitable[Ticket]:
    return outbox.put(lead(1), key=key)


def _put_many(outbox: Outbox, key: str) -> Awaitable[int]:
    return outbox.put_many(capture_lead(lead(n)).with_key(f"{key}{'abc'[n]}") for n in range(3))


def _has_all(path: Path, key: str) -> bool:
    found = [has(path, f"{key}{letter}") for letter in "abc"]
    assert len(set(found)) == 1, "a piece is stored as a whole, or not at all"
    return found[0]


def _is_pending(path: Path, key: str) -> bool:
    return asked(path, "SELECT state FROM items WHERE key = ?", key) == [("pending",)]


def _is_gone(path: Path, key: str) -> bool:
    return not has(path, key)


CHANGES = {
    "put": Change(_nothing, _put, has),
    "put_many": Change(_nothing, _put_many, _has_all),
    "requeue": Change(_rejected, _requeue, _is_pending, reads=True),
    "discard": Change(_rejected, _discard, _is_gone),
    "forget": Change(_rejected, _forget, _is_gone),
    "purge": Change(_rejected, _purge, _is_gone),
}


def _full() -> Exception:
    return sqlite3.OperationalError("database or disk is full")


FAULTS: dict[str, Callable[[], Exception]] = {
    "a full disk": _full,
    "a broken disk": lambda: sqlite3.OperationalError("disk I/O error"),
    "a fault of ours": lambda: RuntimeError("Phone 12345"),
}


async def _settle(outbox: Outbox) -> None:
    """Until what is done after an answer is done."""
    await asyncio.sleep(0)
    assert outbox._lifecycle.writer is not None
    await outbox._lifecycle.writer.read(lambda _: None)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_an_answer_is_true_of_the_rows_whichever_step_fails(
    change: Change, fault: Callable[[], Exception], steps: Steps, tmp_path: Path
) -> None:
    """A failed change is stored, not stored, or reported as unknown."""

    def fail() -> None:
        is_statement = steps.done[-1].isupper() or " " in steps.done[-1]
        raise fault() if is_statement else OSError(errno.ENOSPC, "No space left on device")

    said: list[str] = []
    async with Outbox(tmp_path / "leads.db") as outbox:
        watched(outbox, steps)
        for after in (False, True):
            number, was_reached = 0, True
            while was_reached:
                number += 1
                assert number < 60
                key = f"{after:d}{number:03d}"
                await change.begin(outbox, key)
                steps.begin(number, fail, after=after)
                try:
                    await change.call(outbox, key)
                except OutboxError as error:
                    said.append(str(error))
                    is_done = None if error.delivery is Delivery.UNKNOWN else False
                else:
                    is_done = True
                await _settle(outbox)
                was_reached = steps.end()
                assert is_done in {None, change.is_done(outbox.path, key)}, steps.done
                if is_done is None and change is CHANGES["put"]:
                    await change.call(outbox, key)
                    assert len(asked(outbox.path, "SELECT 1 FROM items WHERE key = ?", key)) == 1
    for words in said:
        assert str(outbox.path) in words
        assert "12345" not in words
        assert "this change was not stored" in words or "same key" in words or change.reads


async def test_what_is_done_in_pieces_says_what_was_done_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk reports how many leads are stored and how many rows are erased."""
    begin, left = Store.begin, 0

    def begin_if_room(self: Store) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise _full()
        begin(self)

    monkeypatch.setattr(Store, "begin", begin_if_room)
    async with Outbox(tmp_path / "leads.db") as outbox:
        rows = [capture_lead({"Phone": "1"}).with_key(str(number)) for number in range(1200)]
        left = 2
        with pytest.raises(OutboxError, match=r"this change was not stored; the 1000 leads before these 200"):
            await outbox.put_many(rows)
        assert len(await items(outbox)) == 1000
        left = 3
        assert await outbox.put_many(rows) == 200
        left = 1
        with pytest.raises(OutboxError, match=r"; 500 rows were already erased: call forget again"):
            await outbox.forget(Phone="1")
        assert len(await items(outbox)) == 700
        left = 5
        assert await outbox.forget(Phone="1") == 700


@pytest.mark.parametrize("how", ["task", "scope", "everything else"])
async def test_a_put_that_is_cancelled_at_any_step_can_be_repeated_under_its_key(
    how: str, steps: Steps, tmp_path: Path
) -> None:
    """A cancelled put may be stored or not; a repeat with the same key makes one row."""
    loop = asyncio.get_running_loop()
    async with Outbox(tmp_path / "leads.db") as outbox:
        watched(outbox, steps)
        number, was_reached = 0, True
        while was_reached:
            number += 1
            key = str(number)
            scope = anyio.CancelScope()

            async def put(key: str = key, scope: anyio.CancelScope = scope) -> Ticket | None:
                with scope:
                    return await outbox.put(lead(1), key=key)
                return None

            putting = asyncio.create_task(put())
            mine = {putting, asyncio.current_task()}

            def cancel(
                putting: asyncio.Task[Any] = putting, scope: anyio.CancelScope = scope, mine: set[Any] = mine
            ) -> None:
                if how == "task":
                    putting.cancel()
                elif how == "scope":
                    scope.cancel()
                else:
                    for task in asyncio.all_tasks() - mine:
                        task.cancel()

            def act(cancel: Callable[[], None] = cancel) -> None:
                loop.call_soon_threadsafe(cancel)
                time.sleep(0.002)

            steps.begin(number, act, after=False)
            ticket = None
            with suppress(asyncio.CancelledError):
                ticket = await putting
            await _settle(outbox)
            was_reached = steps.end()
            assert ticket is None or has(outbox.path, key)
            assert ticket is not None or how != "everything else"
            again = await outbox.put(lead(1), key=key)
            assert ticket is None or not again.is_new
            assert len(asked(outbox.path, "SELECT 1 FROM items WHERE key = ?", key)) == 1


async def test_a_put_that_is_cancelled_before_its_turn_is_not_stored(tmp_path: Path) -> None:
    """A put that waits for another commit is dropped when its caller is cancelled."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        assert outbox._lifecycle.writer is not None
        blocking = asyncio.create_task(outbox._lifecycle.writer.read(lambda _: time.sleep(0.1)))
        await asyncio.sleep(0.02)
        tasks = [asyncio.create_task(outbox.put(lead(n), key=str(n))) for n in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait([blocking, *tasks])
        assert [item.key for item in await items(outbox)] == ["1", "3", "5", "7", "9"]


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("after", [False, True])
async def test_a_put_into_a_file_that_is_removed_meanwhile_does_not_say_that_it_is_stored(
    suffix: str, after: bool, steps: Steps, tmp_path: Path
) -> None:
    """It raises, whichever statement the removal comes before or after."""
    steps.of_files = False
    number, is_over = 0, False
    while not is_over:
        number += 1
        path = tmp_path / f"{number}.db"
        async with Outbox(path) as outbox:
            await outbox.put(lead(0))
            watched(outbox, steps)
            gone = Path(f"{path}{suffix}")
            steps.begin(number, lambda gone=gone: gone.rename(f"{gone}.old"), after=after)  # type: ignore[misc]
            with pytest.raises(OutboxError, match=r"deleted or moved|is unknown"):
                await outbox.put(lead(1), key="a")
            is_over = steps.done[number - 1 :][:1] == ["COMMIT"]
            steps.end()
            # What is put after it is gone is refused as well.
            with pytest.raises(OutboxError, match="deleted or moved"):
                await outbox.put(lead(1), key="b")


async def test_a_put_that_is_under_way_when_the_outbox_closes_is_answered(
    steps: Steps, tmp_path: Path
) -> None:
    """The row is stored and the put returns, at whichever step the close comes."""
    loop = asyncio.get_running_loop()
    number, was_reached = 0, True
    while was_reached:
        number += 1
        path = tmp_path / f"{number}.db"
        outbox = Outbox(path)
        await outbox.open()
        watched(outbox, steps)
        closing: list[asyncio.Task[None]] = []

        def act(outbox: Outbox = outbox, closing: list[asyncio.Task[None]] = closing) -> None:
            loop.call_soon_threadsafe(lambda: closing.append(asyncio.create_task(outbox.aclose())))
            time.sleep(0.002)

        steps.begin(number, act, after=False)
        ticket = await outbox.put(lead(1), key="a")
        was_reached = steps.end()
        await asyncio.gather(*closing)
        await outbox.aclose()
        assert ticket.is_new
        assert has(path, "a")


async def test_a_commit_that_waits_for_another_program_ends_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is stored, the error names the reason, and closing is not delayed."""
    monkeypatch.setattr(connection, "BUSY", 100)
    async with Outbox(tmp_path / "leads.db") as outbox:
        other = sqlite3.connect(outbox.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        for change in ("put", "put_many", "forget", "purge"):
            with pytest.raises(
                OutboxError, match=r"another program has an open transaction.*this change was not stored"
            ):
                await CHANGES[change].call(outbox, "k")
        assert (await outbox.snapshot()).counts  # reading waits for nobody
    assert time.monotonic() - start < 2.0
    other.execute("ROLLBACK")
    other.close()
    with pytest.raises(OutboxError):  # nobody may read, either
        await _open_while_locked(tmp_path / "leads.db")


async def _open_while_locked(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        await Outbox(path).open()
    finally:
        other.close()


async def test_a_writer_without_a_thread_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The put raises if no thread can be started, and the next one succeeds."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        assert outbox._lifecycle.writer is not None
        with monkeypatch.context() as patch:
            patch.setattr(outbox._lifecycle.writer._thread, "run", _refuse)
            with pytest.raises(OutboxError, match=r"this change was not stored.*new thread"):
                await outbox.put(lead(1), key="a")
        assert (await outbox.put(lead(1), key="a")).is_new


async def test_an_outbox_that_gets_no_thread_does_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It raises an error of the outbox, which `outbox serve` retries, and blames no disk."""
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _refuse)
        with pytest.raises(OutboxError, match="new thread"):
            await Outbox(tmp_path / "leads.db").open()
    assert not caplog.records
    async with Outbox(tmp_path / "leads.db") as outbox:
        assert (await outbox.put(lead(1))).is_new


def _refuse(*_: Any) -> Any:
    raise RuntimeError("can't start new thread")


def test_errors_of_the_file_show_no_value(tmp_path: Path) -> None:
    """An error leaves out the text that sqlite3 cannot decode."""
    said = sqlite3.OperationalError("Could not decode to UTF-8 column 'key' with text 'bret\xff'")
    assert "bret" not in str(file_errors.file_error(tmp_path, said, ClientLog(None), writes=False))
    long = sqlite3.DatabaseError("malformed database schema (x\x1b[2J\n" + "y" * 1000)
    message = str(file_errors.file_error(Path("leads.db"), long, ClientLog(None), writes=False))
    assert message.isprintable()
    assert len(message) < 400


async def test_an_error_that_is_kept_keeps_the_file_writable(tmp_path: Path) -> None:
    """The frames of a kept error do not keep its read transaction open."""
    path = tmp_path / "leads.db"
    async with Outbox(path) as outbox:
        await outbox.put(LEAD)
        run_sql(path, "UPDATE items SET query = '[', put_at = 'x'")
        kept: list[Exception] = []
        for read in (lambda: items(outbox), lambda: outbox.find(["k"]), lambda: outbox.forget(Phone="1")):
            try:
                await read()
            except OutboxError as error:
                kept.append(error)
        assert all(str(path) in str(error) for error in kept)
        run_sql(path, "UPDATE items SET reference = 'changed by another'")
        assert (await outbox.put(LEAD, key="k")).is_new


async def test_a_file_that_is_gone_takes_no_lead(tmp_path: Path) -> None:
    """put raises if the file was deleted or replaced."""
    path = tmp_path / "leads.db"
    async with Outbox(path) as outbox:
        await outbox.put(lead(1))
        path.rename(tmp_path / "moved.db")
        with pytest.raises(OutboxError, match="deleted or moved"):
            await outbox.put(lead(2))
        path.touch(0o600)
        with pytest.raises(OutboxError, match="deleted or moved"):
            await outbox.put(lead(3))


async def test_the_log_is_bounded_where_nobody_delivers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that only puts writes over a long log, and empties a very long one, if nobody delivers."""
    monkeypatch.setattr(connection, "LONG_LOG", 200_000)
    monkeypatch.setattr(connection, "LONGEST_LOG", 400_000)
    monkeypatch.setattr(connection, "LOOK_EVERY", 0)
    path = tmp_path / "leads.db"
    sizes: list[int] = []
    async with Outbox(path) as outbox:
        for number in range(200):
            await outbox.put(lead(number))
            sizes.append(Path(f"{path}-wal").stat().st_size)
        assert len(await items(outbox)) == 200
    assert max(sizes) < 500_000
    assert sizes.count(0) in range(1, 10)
    unchanged = sum(size == before for before, size in pairwise(sizes))
    assert unchanged > 100


async def test_only_the_process_that_has_the_lock_empties_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other processes empty the log only when the last of them closes."""
    for name in ("LONG_LOG", "LONGEST_LOG", "LOOK_EVERY"):
        monkeypatch.setattr(connection, name, 0)
    path = tmp_path / "leads.db"
    log = Path(f"{path}-wal")
    delivering = DeliveryLock(path)
    assert delivering.acquire()
    async with Outbox(path) as outbox:
        async with Outbox(path) as other:
            sizes = [log.stat().st_size]
            for number in range(100):
                await (outbox if number % 2 else other).put(
                    lead(number, Phone=f"{number}", Notes="x" * 20_000)
                )
                sizes.append(log.stat().st_size)
            assert await outbox.forget(Phone="7") == 1
            assert await other.purge(0.0) == 0
            sizes.append(log.stat().st_size)
        sizes.append(log.stat().st_size)  # it closed, and is not the last
        assert sizes == sorted(sizes)
        assert sizes[-1] > 1000 * 4096  # from where on SQLite by default checkpoints
        delivering.release()
        await outbox.put(lead(100))
        await outbox.snapshot()
        assert log.stat().st_size == 0
    assert not log.exists()


@pytest.mark.parametrize("is_set_back", [False, True], ids=["", "as a restored backup"])
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
async def test_a_removal_is_seen_though_the_files_are_seldom_looked_at(
    suffix: str, is_set_back: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The next put raises, even if the folder gets its time back, as `cp -a` and `rsync -a` do."""
    path = tmp_path / "leads.db"
    looks: list[object] = []
    real = os.lstat

    def lstat(file: Any, **options: Any) -> os.stat_result:
        looks.append(file)
        return real(file, **options)

    async with Outbox(path) as outbox:
        os.utime(tmp_path, ns=(1, 1))
        monkeypatch.setattr(connection, "SETTLED", -1.0)
        await outbox.put(lead(0))
        with monkeypatch.context() as patch:
            patch.setattr(os, "lstat", lstat)
            for number in range(1, 4):
                await outbox.put(lead(number))
        assert set(looks) == {str(tmp_path)}
        gone = Path(f"{path}{suffix}")
        await asyncio.sleep(0.02)  # the file system's clock ticks every 10 ms or less
        gone.rename(f"{gone}.old")
        if is_set_back:
            os.utime(tmp_path, ns=(1, 1))
        with pytest.raises(OutboxError, match="deleted or moved"):
            await outbox.put(lead(4))

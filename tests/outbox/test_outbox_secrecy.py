"""No value of a lead shows in logs, reprs, messages or tracebacks of an outbox."""

from __future__ import annotations

import asyncio
import pprint
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadsquared_async import InvalidLead, KeyReused, Outbox, OutboxError, OutboxFull, RateLimit, RetryPolicy
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.outbox import OutboxItem, connection, row_calls
from leadsquared_async.outbox.rows import Row, row_of
from leadsquared_async.sandbox import FAULTS, Faults, Sandbox
from leadsquared_async.submissions import capture_lead
from tests.clients import KEYS, answering, client_of
from tests.leaks import ECHO, PERSON, assert_nothing_secret, failure, shown, watching
from tests.outbox.machine import until

QUICK: dict[str, Any] = {
    "retry": RetryPolicy(attempts=2, base=0.001),
    "rate_limit": RateLimit(25, per=0.05),
    "timeout": 0.3,
}

OTHER = {**PERSON, "FirstName": "Bartholomew Quist"}
BROKEN = {**PERSON, "mx_List": [PERSON["EmailAddress"]]}


def printed(it: object) -> str:
    return f"{it!r} {it!s} {it} {pprint.pformat(it)} {pprint.pformat([it])}"


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in {"refused", "huge"}])
async def test_no_fault_while_delivering_makes_a_person_show(
    fault: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Logs at DEBUG, spans, tasks, tickets, items and snapshots stay free of values."""
    async with watching() as watch, Sandbox(limit=None, attributes=["FirstName"]) as sandbox:
        sandbox.books.faults = Faults(probabilities={fault: 1.0}, drip=0.001)
        outbox = Outbox(tmp_path / "leads.db", lsq := client_of(sandbox, **QUICK))
        heard: list[str] = []
        outbox.on_final(lambda item: heard.append(printed(item)))
        async with lsq, outbox:
            ticket = await outbox.put(PERSON, key="form-1", reference="r1")
            await outbox.put_many([capture_lead(PERSON).with_key("row-1"), {"mx_Nobody": PERSON["Phone"]}])
            await asyncio.sleep(0.1)
            tasks = [repr(task) for task in asyncio.all_tasks() if "leadsquared" in task.get_name()]
            snapshot = await outbox.snapshot()
            rows = [item async for item in outbox.items()]
            await outbox.forget(EmailAddress=PERSON["EmailAddress"])
            await outbox.aclose(grace=0.05)
    assert tasks
    assert_nothing_secret(
        f"{printed(ticket)} {printed(snapshot)} {printed(rows)} {printed(outbox)} {tasks} {heard}"
    )
    assert_nothing_secret("".join(capfd.readouterr()))
    watch.assert_nothing_secret()


async def test_words_of_leadsquared_that_repeat_a_person_stay_in_reason(tmp_path: Path) -> None:
    """A rejection that quotes the lead is on the item by name, and in no repr, no log and no message."""

    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500, json={"ExceptionType": "MXEchoException", "ExceptionMessage": ECHO})

    async with (
        watching() as watch,
        answering(refuse, **QUICK) as lsq,
        Outbox(tmp_path / "leads.db", lsq) as outbox,
    ):
        await outbox.put(PERSON)
        await outbox.drained()
        (item,) = [row async for row in outbox.items("rejected")]
    assert PERSON["EmailAddress"] in str(item.reason)
    assert item.lead == PERSON
    assert_nothing_secret(printed(item))
    watch.assert_nothing_secret()


def _held(outbox: Outbox) -> sqlite3.Connection:
    other = sqlite3.connect(outbox.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


async def _rows(outbox: Outbox) -> int:
    async def source() -> Any:
        yield PERSON
        yield OTHER
        raise ZeroDivisionError

    return await outbox.put_many(source())


FAILURES: dict[str, tuple[Callable[[Outbox], Awaitable[object]], type[BaseException]]] = {
    "put, key of another lead": (lambda outbox: outbox.put(OTHER, key="form-1"), KeyReused),
    "put_many, key of another lead": (
        lambda outbox: outbox.put_many([PERSON, capture_lead(OTHER).with_key("form-1")]),
        KeyReused,
    ),
    "put, not to be encoded": (lambda outbox: outbox.put(BROKEN, key="form-2"), InvalidLead),
    "put_many, not to be encoded": (lambda outbox: outbox.put_many([PERSON, BROKEN]), InvalidLead),
    "put_many, source fails": (_rows, ZeroDivisionError),
    "requeue, wrong state": (lambda outbox: outbox.requeue(1, lead=OTHER), OutboxError),
    "requeue, not to be encoded": (lambda outbox: outbox.requeue(1, lead=BROKEN), InvalidLead),
    "requeue, SearchBy without value": (lambda outbox: outbox.requeue(1, search_by="mx_Nope"), InvalidLead),
}

ON_DISK: dict[str, Callable[[Outbox], Awaitable[object]]] = {
    "put": lambda outbox: outbox.put(OTHER, key="form-9"),
    "put_many": lambda outbox: outbox.put_many([OTHER, PERSON]),
    "requeue": lambda outbox: outbox.requeue(1, lead=OTHER),
    "forget": lambda outbox: outbox.forget(EmailAddress=PERSON["EmailAddress"]),
}


@pytest.mark.parametrize(("fail", "kind"), FAILURES.values(), ids=FAILURES)
async def test_an_error_shows_no_lead(
    fail: Callable[[Outbox], Awaitable[object]], kind: type[BaseException], tmp_path: Path
) -> None:
    """Neither its message nor the variables of its frames hold a value."""
    async with watching() as watch, Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put(PERSON, key="form-1")
        error = await failure(fail(outbox))
    assert isinstance(error, kind)
    assert_nothing_secret(shown(error))
    watch.assert_nothing_secret()


@pytest.mark.parametrize("fail", ON_DISK.values(), ids=ON_DISK)
async def test_an_error_of_the_disk_shows_no_lead(
    fail: Callable[[Outbox], Awaitable[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of a locked, full or damaged file show no value."""
    monkeypatch.setattr(connection, "BUSY", 20)
    async with watching() as watch:
        async with Outbox(tmp_path / "held.db") as outbox:
            await outbox.put(PERSON)
            other = _held(outbox)
            held = await failure(fail(outbox))
            other.close()
        assert isinstance(held, OutboxError)
        assert_nothing_secret(shown(held))
        async with Outbox(tmp_path / "broken.db") as outbox:
            await outbox.put(PERSON)
            assert outbox._lifecycle.writer is not None
            await outbox._lifecycle.writer.write(lambda store: store.connection.execute("DROP TABLE items"))
            broken = await failure(fail(outbox))
        assert isinstance(broken, OutboxError)
        assert_nothing_secret(shown(broken))
        async with Outbox(tmp_path / "full.db", max_bytes=1) as outbox:
            full = await failure(outbox.put(PERSON))
        assert isinstance(full, OutboxFull)
        assert_nothing_secret(shown(full))
    watch.assert_nothing_secret()


async def test_a_put_that_is_cut_off_shows_no_lead(tmp_path: Path) -> None:
    """A cancelled put and put_many show no value."""
    async with watching() as watch, Outbox(tmp_path / "leads.db") as outbox:
        putting = asyncio.create_task(outbox.put(PERSON))
        await asyncio.sleep(0)
        putting.cancel()
        errors = [await failure(putting)]
        many = asyncio.create_task(outbox.put_many(PERSON for _ in range(5000)))  # noqa: RUF006
        await asyncio.sleep(0.01)
        many.cancel()
        errors.append(await failure(many))
    for error in errors:
        assert error is not None
        assert_nothing_secret(shown(error))
    watch.assert_nothing_secret()


async def test_a_callback_that_fails_shows_no_lead(tmp_path: Path) -> None:
    """The log has the error's name and the row, without its words and variables."""

    def fail(item: OutboxItem) -> None:
        raise ValueError(str(item.lead))

    async with watching() as watch, Sandbox(limit=None) as sandbox, client_of(sandbox, **QUICK) as lsq:
        outbox = Outbox(tmp_path / "leads.db", lsq, confirm=False)
        outbox.on_final(fail)
        async with outbox:
            await outbox.put(PERSON)
            await outbox.drained()
            await asyncio.sleep(0.05)
    assert any("on_final failed with ValueError for 1 " in line for line in watch.lines)
    watch.assert_nothing_secret()


async def test_a_fault_of_our_own_shows_no_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is logged with its frames and without values, and the other rows are delivered."""
    unbroken = row_calls.stored

    def stored(row: Row) -> EncodedSubmission:
        if row.id == 1:
            raise RuntimeError(f"ours: {row.content!r}")
        return unbroken(row)

    monkeypatch.setattr(row_calls, "stored", stored)
    async with (
        watching() as watch,
        Sandbox(limit=None) as sandbox,
        client_of(sandbox, **QUICK) as lsq,
        Outbox(tmp_path / "leads.db", lsq, confirm=False) as outbox,
    ):
        await outbox.put(PERSON)
        await outbox.put({"EmailAddress": "other@example.com"})

        async def other_is_accepted() -> bool:
            return bool([item async for item in outbox.items("accepted")])

        await until(other_is_accepted, within=5.0, every=0.02)
    assert any("row 1 failed with RuntimeError" in line and "deliver.py" in line for line in watch.lines)
    watch.assert_nothing_secret()


def test_an_entry_and_its_kind_show_no_lead() -> None:
    """Entries and rows in memory have reprs without values."""
    entry = capture_lead(PERSON, reference="r1").with_key("form-1")
    claim = row_of((1, "leads.capture", ECHO.encode(), ECHO, ECHO, 1, "r1", None, None, 0, 0))
    outbox = Outbox("leads.db")
    assert_nothing_secret(f"{printed(entry)} {printed(claim)} {printed(outbox)} {KEYS.keys()}")

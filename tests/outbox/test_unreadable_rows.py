"""A row that another version or a person has written harms no other row, in any state."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadsquared_async import Outbox, OutboxError, submissions
from leadsquared_async.outbox import ItemState, OutboxItem
from leadsquared_async.outbox.rows import FILES, FORMS
from tests.outbox.machine import Machine, items, lead, play, played

FINAL = {"confirmed", "rejected", "unknown"}
SENT = {"sending", "accepted"}
"""States of which LeadSquared may have the lead."""

BAD: dict[str, str] = {
    "operation of another version": "operation = 'tasks.create'",
    "operation before all others": "operation = 'a'",
    "operation without a name": "operation = ''",
    "operation of bytes": "operation = x'ff'",
    "operation that is no text": "operation = CAST(x'ff0a1b' AS TEXT)",
    "content cut short": """content = '[{"Attribute":"Ema'""",
    "content without UTF-8": "content = x'5b22ff225d'",
    "content as text": "content = CAST(content AS TEXT)",
    "content as a number": "content = 7",
    "content gone": "content = NULL",
    "content that ends the array": """content = '[],[]'""",
    "content of another shape": "content = '{}'",
    "content without attributes": "content = '[1, null]'",
    "content nested beyond all bounds": f"content = '{'[' * 100_000}'",
    "content that today's rules refuse": """content = '[{"Attribute":"First Name","Value":"x"}]'""",
    "query that is no JSON": "query = 'LeadUpdateBehavior=x'",
    "query that is no list": "query = '{}'",
    "query of lists": "query = '[[[], []]]'",
    "query of bytes": "query = x'ff'",
    "query that is no text": "query = CAST(x'ff' AS TEXT)",
    "query with half a character": """query = '[["leadId", "\\ud800"]]'""",
    "suffix that is no JSON": "suffix = ''",
    "suffix of numbers": "suffix = '[1]'",
    "suffix that is a number": "suffix = 3",
    "reference of bytes": "reference = x'ff00'",
    "reference that is no text": "reference = CAST(x'ff' AS TEXT)",
    "no RequestID": "request_id = NULL",
    "RequestID with a blank": "request_id = 'a b'",
    "RequestID with an accent": "request_id = 'é'",
    "RequestID of 5,000 characters": f"request_id = '{'x' * 5000}'",
    "RequestID of control characters": "request_id = CAST(x'1b5b324a0a' AS TEXT)",
    "RequestID of bytes": "request_id = x'ff'",
    "attempts of words": "attempts = 'many'",
    "put in no year": "put_at = 1e300, changed_at = -1e300",
    "put at no time": "put_at = 'yesterday', changed_at = x'00'",
    "identified by a word": "identified = 'yes'",
    "identity of a number": "identity = 7",
    "reason of bytes": "reason = x'ff'",
    "lead id of bytes": "lead_id = x'ff', created = 'so'",
    "behind a row that is gone": "identity = x'77', is_ready = 0",
    "behind nobody": "identity = NULL, is_ready = 0",
    "numbered below zero": "id = -id",
    "numbered zero": "id = 0",
}

REFUSED = [
    "lane = 7",
    "lane = 'fast'",
    "lane = 0.5",
    "is_ready = 'so'",
    "is_open = 'so'",
    "is_open = ''",
    "is_open = 0",
    "is_called_back = 'so'",
    "state = 'zombie'",
    "state = x'00'",
    "state = 'confirmed'",
    "state = 'unknown'",
]
"""What the file's own rules forbid: flags and states that contradict each other."""
GOOD = 4
SYNC = {"sync_host": "https://sandbox.invalid"}


def execute(path: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement, values in statements:
            connection.execute(statement, values)
        connection.commit()


async def put(machine: Machine, keys: list[str], state: str, *, bulk: bool) -> None:
    """Rows in a state, as a process of this version would have left them."""
    async with Outbox(machine.path) as outbox:
        for number, key in enumerate(keys):
            email = {"EmailAddress": f"{state}{number}@example.com"}
            await outbox.put(submissions.bulk_lead(email) if bulk else email, key=key)
    if state == "pending":
        return
    ids: list[str | None] = [None] * len(keys)
    if state in {"accepted", "confirmed"} and not bulk:
        async with machine.client() as lsq:
            ids = [(await lsq.leads.capture(lead(number))).request_id for number in range(len(keys))]
    is_open = int(state in SENT)
    for key, request_id in zip(keys, ids, strict=True):
        change = "UPDATE items SET state = ?, is_open = ?, request_id = ?, attempts = 1 WHERE key = ?"
        execute(machine.path, (change, (state, is_open, request_id, key)))


async def reads(outbox: Outbox, keys: list[str]) -> dict[str, OutboxItem]:
    """All that looks at rows, looks at all of them."""
    listed = {item.key: item for item in await items(outbox)}
    assert listed.keys() >= set(keys)
    assert (await outbox.find(keys)).keys() == set(keys)
    for state in ItemState:
        assert all(item.state is state for item in await items(outbox, state))
    snapshot = await outbox.snapshot()
    assert snapshot.oldest is None or snapshot.oldest >= 0
    return {key: listed[key] for key in keys}


@pytest.mark.slow
@pytest.mark.parametrize("bulk", [False, True], ids=["single", "bulk"])
@pytest.mark.parametrize("state", ["pending", "sending", "accepted", "confirmed", "rejected", "unknown"])
@played(look_every=1.0, processing_rate=60_000)
async def test_a_bad_row_ends_with_a_reason_and_delays_no_other(
    machine: Machine, state: str, bulk: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Good rows are confirmed; each bad row ends, is logged once, and never rejected once it was sent."""
    caplog.set_level(logging.WARNING)
    bad = list(BAD)
    good = [f"good {name} {number}" for name in ("pending", "sending") for number in range(GOOD)]
    await put(machine, good[:GOOD], "pending", bulk=bulk)
    await put(machine, bad, state, bulk=bulk)
    await put(machine, good[GOOD:], "sending", bulk=bulk)
    if not bulk:
        good += [f"good accepted {number}" for number in range(GOOD)]
        await put(machine, good[-GOOD:], "accepted", bulk=bulk)
    for key, change in BAD.items():
        execute(machine.path, (f"UPDATE items SET {change} WHERE key = ?", (key,)))
    async with Outbox(machine.path) as outbox:
        before = await reads(outbox, bad + good)
    async with machine.process(SYNC) as outbox:
        async with asyncio.timeout(3000.0):
            await outbox.drained()
        found = await reads(outbox, bad + good)
        assert {found[key].state.value for key in good} == {"confirmed"}
        assert (await outbox.snapshot()).blocked is None
        buried = Counter(record.item for record in caplog.records if hasattr(record, "item"))
        for key in bad:
            was_final = state in FINAL
            item = found[key]
            assert item.state.value in ({state} if was_final else FINAL), key
            is_dead = item.state.value in {"rejected", "unknown"}
            assert buried.pop(item.id, 0) == (is_dead and not was_final), key
            assert not is_dead or was_final or item.reason, key
            if state in SENT and not (item.reason or "").startswith("MX"):
                assert item.state.value != "rejected", key
            if item.id in {it.id for it in before.values() if it.state.value == "rejected"}:
                assert item.lead == before[key].lead
        assert not buried
        assert [record for record in caplog.records if record.exc_info or "\n" in record.getMessage()] == []

        # What is sent again ends again, and is logged again.
        caplog.clear()
        dead = [found[key] for key in bad if found[key].state.value in {"rejected", "unknown"}]
        for item in dead:
            try:
                await outbox.requeue(item)
            except OutboxError as error:
                names_it = f"row {item.id}" in str(error)
                assert names_it
        async with asyncio.timeout(3000.0):
            await outbox.drained()
        again = await reads(outbox, bad)
        logged = Counter(record.item for record in caplog.records if hasattr(record, "item"))
        assert set(logged.values()) <= {1}
        assert logged.keys() <= {item.id for item in again.values() if item.state.value != "confirmed"}

        # A person is found in what cannot be read, too, and everything can be deleted.
        number = bad.index("operation of another version")
        if state != "confirmed":
            assert await outbox.forget(EmailAddress=f"{state}{number}@example.com") == 1
        await asyncio.sleep(1.0)
        assert await outbox.purge(0) > 0
        assert await items(outbox) == []


@pytest.mark.parametrize("change", REFUSED)
@played()
async def test_the_file_refuses_what_no_delivery_could_find(machine: Machine, change: str) -> None:
    """It rejects manual rows that would never be sent, delay others, or be purged unsent."""
    await put(machine, ["one"], "pending", bulk=False)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        execute(machine.path, (f"UPDATE items SET {change}", ()))
    async with machine.process() as outbox:
        await outbox.drained()
        assert [item.state.value for item in await items(outbox)] == ["confirmed"]


@played()
async def test_a_row_without_values_that_was_on_its_way_is_not_lost_silently(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends unknown, since LeadSquared may have it, and is logged."""
    await put(machine, ["sent"], "sending", bulk=False)
    execute(machine.path, ("UPDATE items SET content = NULL", ()))
    async with machine.process() as outbox:
        async with asyncio.timeout(60.0):
            await outbox.drained()
        (item,) = await items(outbox)
        assert (item.state, item.key, item.is_erased) == (ItemState.UNKNOWN, "sent", True)
        assert "may have been sent" in str(item.reason)
    assert [record.state for record in caplog.records if hasattr(record, "item")] == ["unknown"]


@pytest.mark.parametrize("number", [0, -1, -(2**63)])
def test_a_rejected_row_of_any_number_is_forgotten(number: int, tmp_path: Path) -> None:
    """It is listed and erased like any other."""

    async def use(machine: Machine) -> None:
        await put(machine, ["odd"], "rejected", bulk=False)
        execute(machine.path, ("UPDATE items SET id = ?", (number,)))
        async with machine.process() as outbox:
            await outbox.drained()
            assert [(item.id, item.state) for item in await items(outbox)] == [(number, ItemState.REJECTED)]
            assert await outbox.forget(EmailAddress="rejected0@example.com") == 1
            assert await items(outbox) == []

    play(tmp_path, use)


@played()
async def test_purge_deletes_nothing_that_is_to_be_sent(machine: Machine) -> None:
    """Rows that are pending, on their way or followed stay, however old they are."""
    for state in ("pending", "sending", "accepted", "rejected"):
        await put(machine, [state], state, bulk=False)
    async with Outbox(machine.path) as outbox:
        await asyncio.sleep(1.0)
        assert await outbox.purge(0) == 1
        assert [item.key for item in await items(outbox)] == ["pending", "sending", "accepted"]


@played()
async def test_stored_bytes_are_sent_as_they_are(machine: Machine) -> None:
    """Blanks, escapes and order stay, alone and in a bulk call."""
    odd = '[ {"Value" : "\\u0061%d@example.com", "Attribute":"EmailAddress"} ]'
    await put(machine, ["first", "two", "three"], "pending", bulk=True)
    await put(machine, ["one"], "pending", bulk=False)
    for number, key in enumerate(("one", "two", "three")):
        execute(machine.path, ("UPDATE items SET content = ? WHERE key = ?", (odd % number, key)))
    async with machine.process(SYNC) as outbox:
        await outbox.drained()
        assert {item.state.value for item in await items(outbox)} == {"confirmed"}
    assert odd % 0 in machine.books.attempts
    assert any(body.endswith(f",{odd % 1},{odd % 2}]") for body in machine.books.attempts)


@played()
async def test_a_bad_row_that_another_process_puts_ends_while_delivering(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """A row that this version does not know is rejected within seconds."""
    async with machine.process() as outbox:
        await outbox.put(lead(1))
        await outbox.drained()
        await put(machine, ["new"], "pending", bulk=False)
        execute(machine.path, ("UPDATE items SET operation = 'tasks.create' WHERE key = 'new'", ()))
        async with asyncio.timeout(10.0):
            await outbox.drained()
        item = (await outbox.find(["new"]))["new"]
        assert item.state is ItemState.REJECTED
        assert "tasks.create" in str(item.reason)
        assert "upgrade" in str(item.reason)
    assert [record.message for record in caplog.records if "tasks.create" in record.message] != []


NAMES = """operation lane identity identified is_open is_ready state content query suffix reference attempts
put_at changed_at request_id lead_id created reason is_called_back digest key"""

VALUES = st.one_of(
    st.sampled_from(
        ["", "x", "7", "[]", "{}", "[[]]", '[["a","b"]]', "pending", "sending", "accepted", "\ud7ff"]
    ),
    st.sampled_from([b"", b"\xff", b"[", b"[]", b"{}", b'[{"Attribute":"Phone","Value":"7777777"}]']),
    st.sampled_from([FORMS, FILES, -1, 2, 2**62, -(2**62), 0.5, 1e300, -1e300]),
    st.none(),
)


@given(st.lists(st.tuples(st.sampled_from(NAMES.split()), VALUES), min_size=1, max_size=4), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_content_of_a_row_delays_the_others(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, Any]], bulk: bool
) -> None:
    """The rows before and behind it are confirmed for any values in any columns."""

    async def deliver(machine: Machine) -> None:
        await put(machine, ["before"], "pending", bulk=bulk)
        await put(machine, ["bad"], "pending", bulk=bulk)
        await put(machine, ["behind"], "sending", bulk=bulk)
        for column, value in changes:
            with_null = "UPDATE OR IGNORE items SET {} = ? WHERE id = 2"
            execute(machine.path, (with_null.format(column), (value,)))
        async with machine.process(SYNC) as outbox:
            async with asyncio.timeout(3000.0):
                await outbox.drained()
            await outbox.forget(EmailAddress="nobody@example.com")
            states = [item.state.value for item in await items(outbox)]
            assert len(states) == 3
            assert states[0] == states[2] == "confirmed"
            assert states[1] in FINAL | {"accepted"}
            assert (await outbox.find(["before", "behind"])).keys() == {"before", "behind"}

    play(tmp_path_factory.mktemp("rows"), deliver, look_every=1.0)

"""A lead that `put` returned for is on disk, once for each key."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import ConfigurationError, InvalidLead, KeyReused, Outbox, OutboxError, OutboxFull
from leadsquared_async.outbox import ItemState, connection, transactions
from leadsquared_async.submissions import capture_lead
from tests.clients import LEAD
from tests.outbox.machine import items, lead


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    """One that puts only, on a real file."""
    async with Outbox(tmp_path / "leads.db") as running:
        yield running


def rows_of(path: Path) -> int:
    """How many rows are on disk, as another program sees them."""
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM items").fetchone()[0])
    finally:
        connection.close()


async def test_when_put_returns_the_row_is_on_disk(outbox: Outbox) -> None:
    """Another connection sees it at once, and the ticket has its id."""
    for number in range(3):
        ticket = await outbox.put(lead(number), key=f"form-{number}")
        assert (ticket.id, ticket.key, ticket.is_new, ticket.state) == (
            number + 1,
            f"form-{number}",
            True,
            "pending",
        )
        assert rows_of(outbox.path) == number + 1


SETS = {"mx_A": {"x": "1", "y": "2"}, "mx_B": {"z": "3", "w": "4"}}


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        (LEAD, dict(reversed(LEAD.items())), True),
        ({"A": "1", "B": "2", "C": None}, {"C": None, "B": "2", "A": "1"}, True),
        ({"mx_A": {"x": "1", "y": "2"}, "B": "1"}, {"B": "1", "mx_A": {"y": "2", "x": "1"}}, True),
        (LEAD, {**LEAD, "FirstName": "bret"}, False),
        (LEAD, {**LEAD, "LastName": "Lee"}, False),
        ({"A": "1", "B": "2"}, {"A": "2", "B": "1"}, False),
        # Whose pieces are the same, cut at what looks like a border.
        ({"A": "1},{2", "B": "3},{4"}, {"A": "1},{4", "B": "3},{2"}, False),
        ({"A": '"},{"Attribute":"B'}, {"A": "", "B": ""}, False),
        (SETS, {"mx_A": {"x": "1", "w": "4"}, "mx_B": {"z": "3", "y": "2"}}, False),
    ],
)
async def test_a_key_is_one_lead(
    first: dict[str, Any], second: dict[str, Any], is_same: bool, outbox: Outbox
) -> None:
    """The same lead with a known key adds no row, in any order of attributes; another lead raises."""
    ticket = await outbox.put(first, key="form-1")
    if is_same:
        again = await outbox.put(second, key="form-1")
        assert (again.id, again.is_new) == (ticket.id, False)
    else:
        with pytest.raises(KeyReused, match="'form-1' already belongs to another lead"):
            await outbox.put(second, key="form-1")
    assert rows_of(outbox.path) == 1


async def test_other_options_make_another_lead_of_it(outbox: Outbox) -> None:
    """Another SearchBy or update_behavior with a known key raises; another reference does not."""
    await outbox.put(LEAD, key="k", reference="one")
    assert not (await outbox.put(LEAD, key="k", reference="two")).is_new
    with pytest.raises(KeyReused):
        await outbox.put(LEAD, key="k", search_by="EmailAddress")
    with pytest.raises(KeyReused):
        await outbox.put(LEAD, key="k", update_behavior="DoNotUpdate")


@pytest.mark.parametrize("key", ["", "x" * 501, 7, b"k"])
async def test_a_key_is_a_string_of_1_to_500_characters(key: Any, outbox: Outbox) -> None:
    """Any other key raises before anything is stored."""
    with pytest.raises(ConfigurationError, match="key"):
        await outbox.put(LEAD, key=key)
    with pytest.raises(ConfigurationError, match="key"):
        await outbox.put_many([capture_lead(LEAD).with_key(key)])
    assert rows_of(outbox.path) == 0


async def test_rows_without_a_key_are_as_many_as_are_put(outbox: Outbox) -> None:
    """The same lead put twice without a key is two rows."""
    for _ in range(3):
        assert (await outbox.put(LEAD)).is_new
    assert rows_of(outbox.path) == 3


async def test_a_conflict_among_puts_that_share_a_commit_fails_alone(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred puts take a few commits, and only the put with the reused key fails."""
    commits = 0
    commit = transactions._commit

    def counted(store: Any, works: Any) -> Any:
        nonlocal commits
        commits += bool(works)
        return commit(store, works)

    monkeypatch.setattr(transactions, "_commit", counted)
    results = await asyncio.gather(
        *(outbox.put(lead(number), key="same" if number in {40, 60} else None) for number in range(100)),
        return_exceptions=True,
    )
    assert isinstance(results[60], KeyReused)
    assert not any(isinstance(result, BaseException) for result in results[:60] + results[61:])
    assert rows_of(outbox.path) == 99
    assert commits <= 3


async def test_many_processes_may_put_at_once(tmp_path: Path) -> None:
    """Every put of three outboxes on one file is stored, once for each key."""
    boxes = [Outbox(tmp_path / "leads.db") for _ in range(3)]
    for box in boxes:
        await box.open()
    tickets = await asyncio.gather(
        *(box.put(lead(number), key=str(number)) for number in range(200) for box in boxes)
    )
    assert sum(ticket.is_new for ticket in tickets) == 200
    assert rows_of(tmp_path / "leads.db") == 200
    for box in boxes:
        await box.aclose()


async def test_numbers_are_never_used_twice(outbox: Outbox) -> None:
    """A row put after the youngest was deleted has a new id."""
    first = await outbox.put({"Phone": "1"})
    assert await outbox.forget(Phone="1") == 1
    second = await outbox.put({"Phone": "2"})
    assert second.id > first.id
    await outbox.discard(second.id)
    assert (await outbox.put({"Phone": "3"})).id > second.id


async def test_put_many_puts_what_comes_before_a_fault(outbox: Outbox) -> None:
    """The error names the invalid lead; those before it are stored, those after it are not."""

    def broken(number: int) -> dict[str, Any]:
        return lead(number) if number != 700 else {"EmailAddress": ["a"]}

    with pytest.raises(
        InvalidLead, match=r"lead 700, counted from 0: EmailAddress: .*The leads before it are in the outbox"
    ):
        await outbox.put_many(broken(number) for number in range(1000))
    assert rows_of(outbox.path) == 700
    await outbox.put(lead(0), key="taken")
    with pytest.raises(KeyReused):
        await outbox.put_many(
            capture_lead(lead(number)).with_key("taken" if number == 320 else None) for number in range(1000)
        )
    assert rows_of(outbox.path) == 701 + 320


async def test_put_many_counts_what_is_new_of_any_source(outbox: Outbox) -> None:
    """It counts leads and entries of any iterable, without known keys."""

    async def paced() -> AsyncIterator[dict[str, str]]:
        for number in range(1200):
            yield lead(number)

    assert await outbox.put_many(paced()) == 1200
    entries = [
        capture_lead(lead(number), reference=f"r{number}").with_key(str(number)) for number in range(10)
    ]
    assert await outbox.put_many(entries) == 10
    assert await outbox.put_many([*entries, capture_lead(lead(10)).with_key("10")]) == 1
    assert await outbox.put_many([]) == 0
    assert await outbox.put_many([LEAD], search_by="EmailAddress", update_behavior="DoNotUpdate") == 1
    *_, last = await items(outbox)
    assert last.lead == {**LEAD, "SearchBy": "EmailAddress"}
    found = await outbox.find(["3", "nope", "10"])
    assert {key: item.reference for key, item in found.items()} == {"3": "r3", "10": None}


async def test_an_error_of_the_source_keeps_what_it_gave_before(outbox: Outbox) -> None:
    """It is raised unchanged, and the leads before it are stored."""

    def rows() -> Any:
        yield from (lead(number) for number in range(7))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await outbox.put_many(rows())
    assert rows_of(outbox.path) == 7


async def test_a_full_outbox_refuses_what_is_new_and_keeps_what_it_has(tmp_path: Path) -> None:
    """From max_bytes on put raises OutboxFull, except for a known key."""
    async with Outbox(tmp_path / "leads.db", max_bytes=100_000) as outbox:
        await outbox.put(LEAD, key="first")
        with pytest.raises(OutboxFull, match="100,000 bytes"):
            await _put_each(outbox, 10_000)
        before = rows_of(outbox.path)
        with pytest.raises(OutboxFull):
            await outbox.put_many([LEAD])
        assert not (await outbox.put(LEAD, key="first")).is_new
        assert rows_of(outbox.path) == before
        snapshot = await outbox.snapshot()
        assert snapshot.size >= snapshot.max_bytes == 100_000
        for item in await items(outbox, "pending"):
            await outbox.discard(item)
        assert (await outbox.put(lead(1))).is_new


async def test_a_full_outbox_is_noticed_though_the_files_are_seldom_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large leads put at once exceed max_bytes by one commit at most."""
    os.utime(tmp_path, ns=(1, 1))
    monkeypatch.setattr(connection, "SETTLED", -1.0)
    notes, most = "x" * 1_000_000, 12_000_000
    async with Outbox(tmp_path / "leads.db", max_bytes=most) as outbox:
        for begin in range(0, 50, 5):
            large = (lead(number, Notes=notes) for number in range(begin, begin + 5))
            await asyncio.gather(*map(outbox.put, large), return_exceptions=True)
        assert most <= (await outbox.snapshot()).size < most + 6_000_000


@pytest.mark.parametrize("state", ["", "done", 3])
async def test_there_are_six_states_and_no_other(state: Any, outbox: Outbox) -> None:
    """An unknown state raises, and the error names the six."""
    with pytest.raises(ConfigurationError, match="pending, sending, accepted, confirmed, rejected, unknown"):
        await items(outbox, state)
    for known in ItemState:
        assert await items(outbox, known) == []


async def test_a_disk_that_is_full_refuses_the_put_and_takes_the_next_one_again(outbox: Outbox) -> None:
    """A failed put stores nothing, and its key is free."""
    await outbox.put(LEAD, key="first")
    assert outbox._lifecycle.writer is not None
    await outbox._lifecycle.writer.read(
        lambda store: store.connection.execute("PRAGMA max_page_count = 1").fetchone()
    )
    with pytest.raises(OutboxError, match="free disk space"):
        await _put_each(outbox, 300)
    known = rows_of(outbox.path)
    await outbox._lifecycle.writer.read(
        lambda store: store.connection.execute("PRAGMA max_page_count = 1000000").fetchone()
    )
    assert known < 301
    await _put_each(outbox, 300)
    assert rows_of(outbox.path) == 301


async def _put_each(outbox: Outbox, count: int) -> None:
    for number in range(count):
        await outbox.put(lead(number, Notes="x" * 400), key=f"n{number}")


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("ends", ["whole", "invalid", "cancelled"])
async def test_a_generator_of_leads_is_closed_when_put_many_ends(
    tmp_path: Path, ends: str, *, asynchronous: bool
) -> None:
    """The generator is closed at once, however put_many ends."""
    closed: list[str] = []

    def leads() -> Iterator[Any]:
        try:
            yield from [LEAD, {"Tags": object()} if ends == "invalid" else LEAD, LEAD]
        finally:
            closed.append("generator")

    async def slow() -> AsyncIterator[Any]:
        try:
            for lead in leads():
                if ends == "cancelled" and (task := asyncio.current_task()) is not None:
                    task.cancel()
                await asyncio.sleep(0)
                yield lead
        finally:
            closed.append("asynchronous generator")

    async with Outbox(tmp_path / "leads.db") as box:
        source = slow() if asynchronous else leads()
        try:
            await asyncio.create_task(box.put_many(source))
        except (InvalidLead, asyncio.CancelledError):
            assert ends != "whole"
        assert closed[-1] == ("asynchronous generator" if asynchronous else "generator")


async def test_what_is_not_many_leads_is_refused(tmp_path: Path) -> None:
    """put_many rejects a single lead, a path, a number and None."""
    async with Outbox(tmp_path / "leads.db") as box:
        for wrong in (LEAD, "leads.csv", 5, None):
            with pytest.raises(ConfigurationError, match=rf"put_many\(\) .* got {type(wrong).__name__}"):
                await box.put_many(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("rubbish", [{}, 7, "", "x" * 501, "\ud800", b"form"])
async def test_an_invalid_key_or_reference_fails_its_own_put_only(rubbish: Any, tmp_path: Path) -> None:
    """It raises before the commit that it would share with other puts."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        bad = [outbox.put(lead(1), **{name: rubbish}) for name in ("key", "reference")]
        good = [outbox.put(lead(number)) for number in range(20)]
        answers = await asyncio.gather(*bad, *good, return_exceptions=True)
        assert [type(answer) for answer in answers[:2]] == [ConfigurationError] * 2
        assert len(await items(outbox)) == 20

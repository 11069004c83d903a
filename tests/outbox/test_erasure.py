"""Erased values are in no byte of the file, its log and its shared memory."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from leadsquared_async import Outbox, OutboxError, RateLimit, submissions
from leadsquared_async.outbox import ItemState, service
from leadsquared_async.outbox.store import Store
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, by_state, items, lead, play, played

PERSON = {
    "FirstName": "Bartholomew",
    "EmailAddress": "Barth.Quist+crm@planted-mail.example",
    "Phone": "+91-9988776655",
}

TRACES = tuple(value.encode() for value in PERSON.values())
CARTOON = {"EmailAddress": "kept@example.com", "FirstName": "Remains"}


def assert_no_trace(path: Path, but: bytes | None = None) -> None:
    """Nothing planted is in any file beside the outbox's; what stays (`but`) is, so that the search bites."""
    content = {
        file.name: file.read_bytes().lower()
        for file in path.parent.iterdir()
        if file.name.startswith(path.name)
    }
    for name, text in content.items():
        for trace in TRACES:
            assert trace.lower() not in text, f"{trace!r} is in {name}"
    if but is not None:
        assert any(but.lower() in text for text in content.values())


def persons(count: int) -> list[dict[str, str]]:
    """Many who share the planted words, long and short, so that pages split and rows spill over."""
    chance = Random(5)
    return [
        {
            **PERSON,
            "EmailAddress": f"{n}{PERSON['EmailAddress']}",
            "Notes": "Bartholomew " * chance.choice([0, 3, 900]),
        }
        for n in range(count)
    ]


@played(look_every=1.0)
async def test_after_confirmation_nothing_is_left(machine: Machine) -> None:
    """The values of 200 confirmed rows are gone half a minute later, and after closing."""
    async with machine.process() as outbox:
        await outbox.put_many(persons(200))
        await outbox.put(CARTOON)
        await outbox.drained()
        await asyncio.sleep(service.TIDY_EVERY + 1.0)
        assert_no_trace(machine.path)
        assert await by_state(outbox) == {"confirmed": 201}
    assert_no_trace(machine.path)


async def _pending(machine: Machine, outbox: Outbox) -> None:
    machine.books.faults = Faults(outage=(0.0, 1e12), outage_fault="401")
    await outbox.put_many(persons(40))
    await asyncio.sleep(60.0)
    assert await by_state(outbox) == {"pending": 40}


async def _sending(machine: Machine, outbox: Outbox) -> None:
    machine.books.faults = Faults(latency=20.0)
    await asyncio.sleep(0.1)
    await asyncio.gather(*map(outbox.put, persons(40)))
    await asyncio.sleep(12.0)
    assert (await by_state(outbox))["sending"] > 20


async def _accepted(machine: Machine, outbox: Outbox) -> None:
    await outbox.put_many(persons(40))
    await asyncio.sleep(10.0)
    assert (await by_state(outbox)).keys() == {"accepted"}


async def _rejected(machine: Machine, outbox: Outbox) -> None:
    await outbox.put_many({**person, "mx_Nope": "x"} for person in persons(40))
    await asyncio.sleep(120.0)
    assert await by_state(outbox) == {"rejected": 40}


STATES: dict[str, Callable[[Machine, Outbox], Awaitable[None]]] = {
    "pending": _pending,
    "sending": _sending,
    "accepted": _accepted,
    "rejected": _rejected,
}


@pytest.mark.slow
@pytest.mark.parametrize("bring", STATES.values(), ids=STATES)
def test_after_forget_nothing_is_left(
    bring: Callable[[Machine, Outbox], Awaitable[None]], tmp_path: Path
) -> None:
    """Values in any state are gone when forget returns; the person's pending rows are not sent, others
    stay."""

    async def deliver(machine: Machine) -> None:
        async with machine.process() as outbox:
            await bring(machine, outbox)
            kept = await outbox.put({**CARTOON, "mx_Nope": "x"})
            sent = set(machine.books.attempts)
            assert await outbox.forget(Phone="91 99887 76655") == 40
            assert_no_trace(machine.path, b"Remains")
            machine.books.faults = Faults(latency=0.04)
            async with asyncio.timeout(20_000.0):
                await outbox.drained()
            assert_no_trace(machine.path)
            assert set(machine.books.attempts) - sent <= {
                body for body in machine.books.attempts if "kept@" in body
            }
            states = {item.id: item.state for item in await items(outbox)}
            assert states[kept.id] == "rejected"
        assert_no_trace(machine.path)

    rate = 0.5 if bring is _accepted else 6000.0
    play(
        tmp_path,
        deliver,
        options={"rate_limit": RateLimit(1000, per=5.0)},
        limit=None,
        attributes=["EmailAddress", "Phone", "FirstName", "Notes"],
        processing_rate=rate,
        look_every=1.0,
    )


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        ({"EmailAddress": "BARTH.quist+CRM@planted-mail.example "}, 2),
        ({"Phone": "(+91) 99887-76655"}, 2),
        ({"ProspectID": "ABCD"}, 1),
        ({"mx_Nick": "barth"}, 1),
        ({"EmailAddress": "nobody@example.com", "Phone": "919988776655"}, 2),
        ({"EmailAddress": "barth.quist@planted-mail.example"}, 0),
        ({"Phone": "9988776655"}, 0),
        ({"FirstName": "Bartholomew", "Phone": "000"}, 2),
    ],
)
async def test_forget_finds_a_person_by_any_value(wanted: dict[str, str], rows: int, tmp_path: Path) -> None:
    """One value is enough, in other capitals or punctuation; another number is another person."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put(PERSON)
        await outbox.put(
            {"EmailAddress": PERSON["EmailAddress"], "ProspectID": "abcd"}, search_by="EmailAddress"
        )
        await outbox.put({"Phone": "91 9988776655", "mx_Nick": "Barth", "FirstName": "BARTHOLOMEW"})
        await outbox.put_many(lead(number) for number in range(1200))
        assert await outbox.forget(**wanted) == rows
        assert len(await items(outbox)) == 1203 - rows
        if rows == 2 and "Phone" in wanted:
            assert "ProspectID" in str((await items(outbox))[0].lead)


LEAD_ID = "7e1f2c3d-4b5a-4978-8a6b-5c4d3e2f1a0b"
OPPORTUNITY_ID = "0d9c8b7a-6f5e-4d3c-9b2a-1f0e9d8c7b6a"
CONNECTOR = "planted-connector-key"
IDS = (LEAD_ID.encode(), OPPORTUNITY_ID.encode(), CONNECTOR.encode())


def with_ids() -> list[submissions.Submission]:
    """Rows with something of a person, or a key, beside their body."""
    return [
        submissions.update_lead(LEAD_ID, {"mx_City": "Pune"}, post_updated_lead=True),
        submissions.create_activity(LEAD_ID, event=1, note="rang"),
        submissions.update_opportunity(OPPORTUNITY_ID, note="Won"),
        submissions.log_call(CONNECTOR, {"SourceNumber": PERSON["Phone"]}, instance=LEAD_ID),
    ]


def ids_in(path: Path) -> list[bytes]:
    content = b"".join(file.read_bytes() for file in path.parent.iterdir() if file.name.startswith(path.name))
    return [planted for planted in IDS if planted in content]


@played(look_every=5.0)
async def test_ids_and_keys_beside_the_body_are_erased_with_it(machine: Machine) -> None:
    """Ids in the path and the query are in no byte of the file once the values are erased."""
    async with machine.process(keep_rejected=3600.0) as outbox:
        await outbox.put_many(with_ids())
        assert ids_in(machine.path) == list(IDS)
        await outbox.drained()
        assert (await by_state(outbox)) == {"rejected": 3, "confirmed": 1}  # nobody has these ids
        await asyncio.sleep(2 * 3700.0)
        assert all(item.is_erased for item in await items(outbox))
        assert ids_in(machine.path) == []
        with closing(sqlite3.connect(machine.path)) as connection:
            queries = connection.execute("SELECT query FROM items ORDER BY id").fetchall()
        assert queries == [('[["postUpdatedLead", "true"]]',), *[("[]",)] * 3]
    assert ids_in(machine.path) == []


@played(look_every=5.0)
async def test_a_clock_that_was_wrong_keeps_no_values(machine: Machine) -> None:
    """Rows rejected after the clock was set back by years are erased in time."""
    ahead = 1e8
    right = time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: right() + ahead)
        async with machine.process(keep_rejected=60.0) as outbox:
            await asyncio.sleep(100.0)
            ahead = 0.0
            machine.answer_at(PERSON["FirstName"], 400, "no")
            await outbox.put(PERSON)
            await outbox.drained()
            assert await by_state(outbox) == {"rejected": 1}
            await asyncio.sleep(2 * 3700.0)
            assert all(item.is_erased for item in await items(outbox))


@played(look_every=1.0)
async def test_where_a_request_id_is_the_end_ids_go_then(machine: Machine) -> None:
    """With confirm=False an accepted row is erased like a confirmed one."""
    async with machine.process(confirm=False) as outbox:
        await outbox.put_many(with_ids())
        await outbox.drained()
        await asyncio.sleep(service.TIDY_EVERY + 1.0)
        assert ids_in(machine.path) == []


@played(look_every=1.0, processing_rate=2.0)
async def test_a_row_forgotten_under_way_leaves_no_id(machine: Machine) -> None:
    """Neither its values nor the id in LeadSquared's answer are stored afterwards."""
    async with machine.client() as lsq:
        known = (await lsq.leads.wait(await lsq.leads.capture(PERSON))).lead_id
        assert known is not None
    async with machine.process() as outbox:
        await outbox.put(submissions.update_lead(known, {"mx_City": "Pune"}))
        await outbox.put(CARTOON)
        await asyncio.sleep(15.0)
        assert await by_state(outbox) == {"accepted": 2}
        assert await outbox.forget(ProspectID=known.upper()) == 1
        assert known.encode() not in machine.path.read_bytes()
        await outbox.drained()
        (forgotten, other) = await items(outbox)
        assert (forgotten.state, forgotten.lead_id) == ("confirmed", None)
        assert other.lead_id is not None
        await asyncio.sleep(service.TIDY_EVERY + 1.0)
        assert known.encode() not in machine.path.read_bytes()


MAIL = "Barth.Quist@planted-mail.example"


@pytest.mark.parametrize(
    ("submission", "wanted", "is_found"),
    [
        (submissions.create_activity(LEAD_ID, event=1, fields={"mx_Custom_1": MAIL}), "EmailAddress", True),
        (
            submissions.create_activity(LEAD_ID, event=1, fields={"mx_Set": {"Mail": MAIL, "N": "1"}}),
            "EmailAddress",
            True,
        ),
        (submissions.update_opportunity(OPPORTUNITY_ID, fields={"mx_S": {"M": MAIL}}), "EmailAddress", True),
        (submissions.capture_lead({"FirstName": "B", "mx_Set": {"Mail": MAIL}}), "EmailAddress", True),
        # An attribute of a lead says whose it is: the partner's address is not the lead's.
        (submissions.capture_lead({"FirstName": "B", "mx_Partner": MAIL}), "EmailAddress", False),
        (submissions.create_activity(LEAD_ID, event=1, fields={"mx_Custom_1": MAIL}), "mx_Custom_1", True),
        (submissions.create_activity(LEAD_ID, event=1, fields={"mx_Custom_1": MAIL}), "mx_Custom_2", False),
        (submissions.create_activity(LEAD_ID, event=1, fields={"mx_Other": f"of {MAIL}"}), "Phone", False),
    ],
)
async def test_forget_finds_a_value_however_deep_it_stands(
    submission: submissions.Submission, wanted: str, is_found: bool, tmp_path: Path
) -> None:
    """Identifying values are found under any name, others under their own, in field sets too."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put(submission)
        assert await outbox.forget(**{wanted: MAIL.lower()}) == is_found
        assert len(await items(outbox)) == 1 - is_found


@played(options={"sync_host": "https://sandbox.invalid"}, attributes=("EmailAddress",), look_every=5.0)
async def test_an_erased_row_that_was_more_than_a_lead_is_not_sent_as_a_lead(machine: Machine) -> None:
    """Its details are gone, so it is not requeued, and the error says what to do."""
    async with machine.process(keep_rejected=60.0) as outbox:
        await outbox.put(
            submissions.create_lead_and_activity(
                {**lead(1), "mx_Nope": "1"}, search_by="EmailAddress", event=7, note="x"
            ),
            key="k",
        )
        await outbox.put(submissions.update_lead(LEAD_ID, {"mx_Nope": "x"}))
        await outbox.put_many([submissions.bulk_lead({**lead(2), "mx_Nope": "x"}), {"mx_Nope": "y"}])
        await asyncio.sleep(2 * 3700.0)
        (activity, update, bulk, capture) = await items(outbox, "rejected")
        assert all(item.is_erased for item in (activity, update, bulk, capture))
        sent = len(machine.books.attempts)
        for item in (activity, update):
            with pytest.raises(OutboxError, match=rf"the values that {item.operation} needs were erased"):
                await outbox.requeue(item, lead=lead(1))
        assert len(machine.books.attempts) == sent
        await outbox.requeue(bulk, lead=lead(2))
        await outbox.requeue(capture, lead=lead(3))
        await outbox.drained()
        with pytest.raises(OutboxError, match=f"row {capture.id} is confirmed"):
            await outbox.requeue(capture, lead=lead(3))
        assert await by_state(outbox) == {"rejected": 2, "confirmed": 2}
        assert await outbox.discard(activity)
        assert (await outbox.put(lead(4), key="k")).is_new


@played(attributes=["EmailAddress", "Phone", "FirstName", "mx_N"], look_every=5.0)
async def test_rejected_rows_are_erased_when_they_were_kept_long_enough(machine: Machine) -> None:
    """Values and LeadSquared's words are erased; row, key and the exception's name stay."""
    async with machine.process(keep_rejected=3600.0) as outbox:
        await outbox.put({**PERSON, "mx_Bartholomew": "x"}, key="form-1", update_behavior="DoNotUpdate")
        await outbox.drained()
        (item,) = await items(outbox)
        assert "mx_Bartholomew" in str(item.reason)
        await asyncio.sleep(3500.0)
        (item,) = await items(outbox)
        assert item.lead is not None
        await asyncio.sleep(3700.0 + 2 * service.TIDY_EVERY)
        (item,) = await items(outbox)
        assert (item.state, item.lead, item.key) == ("rejected", None, "form-1")
        assert item.reason == "MXUnknownAttributeException"
        assert_no_trace(machine.path)
        await outbox.requeue(item, lead={**CARTOON, "mx_N": "x"})
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 1}
        assert await outbox.purge(older_than=0) == 1
        assert await items(outbox) == []
    assert_no_trace(machine.path)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (
            "MXDuplicateEntryException: A lead with Barth.Quist+crm@planted-mail.example exists",
            "MXDuplicateEntryException",
        ),
        ("MXSomething", "MXSomething"),
        ("Bartholomew cannot be a lead", None),
        ("Bartholomew: cannot be a lead", None),
        ("MX Bartholomew", None),
    ],
)
@played()
async def test_of_words_that_may_name_a_person_only_the_exceptions_name_is_kept(
    machine: Machine, reason: str, kept: str | None
) -> None:
    """A forgotten row that is rejected later keeps only the exception's name of the reason."""
    async with Outbox(machine.path) as outbox:
        first = await outbox.put(PERSON)
        second = await outbox.put(lead(1))
        writer = outbox._lifecycle.writer
        assert writer is not None

        def refuse(store: Store) -> None:
            store.sending([(first.id, False)], 1.0)
            store.forget({"FirstName": "Bartholomew"}, 10, 0)
            store.finish(first.id, 2.0, ItemState.REJECTED, is_called_back=True, reason=reason)
            store.finish(second.id, 2.0, ItemState.REJECTED, is_called_back=True, reason=reason)
            store.erase_rejected(3.0)

        await writer.write(refuse)
        assert [item.reason for item in await items(outbox)] == [kept, kept]
        await outbox.purge(older_than=0)
    assert_no_trace(machine.path)


@played(attributes=["EmailAddress", "Phone", "FirstName"])
async def test_purge_leaves_no_trace_of_rejected_rows(machine: Machine) -> None:
    """They are gone when purge returns, their keys are free, and rows that are not final stay."""
    async with machine.process() as outbox:
        await outbox.put({**PERSON, "mx_Nope": "x"}, key="form-1")
        await outbox.drained()
        machine.books.faults = Faults(outage=(0.0, 1e12))
        await outbox.put(CARTOON, key="form-2")
        await asyncio.sleep(100.0)
        assert await outbox.purge(older_than=1000.0) == 0
        assert await outbox.purge(older_than=50.0) == 1
        assert_no_trace(machine.path, b"Remains")
        assert (await outbox.find(["form-1", "form-2"])).keys() == {"form-2"}
        assert (await outbox.put(CARTOON, key="form-1")).is_new


async def test_a_process_that_only_puts_forgets_as_well(tmp_path: Path) -> None:
    """A process without a client empties the log itself."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put_many(persons(100))
        await outbox.put(CARTOON)
        assert await outbox.forget(FirstName="bartholomew") == 100
        assert_no_trace(tmp_path / "leads.db", b"Remains")


@played()
async def test_what_is_forgotten_before_its_turn_is_not_sent(machine: Machine) -> None:
    """A forgotten row that waits for a token is not sent, and no other row is sent in its place."""
    async with machine.process() as outbox:
        await outbox.put_many(persons(60))
        await asyncio.sleep(1.0)
        sent = len(machine.books.attempts)
        forgotten = await outbox.forget(Phone=PERSON["Phone"])
        assert forgotten == 60
        tickets = [await outbox.put(lead(number)) for number in range(60)]
        await outbox.drained()
        final = {item.id: item.state for item in await items(outbox)}
        assert all(final[ticket.id] == "confirmed" for ticket in tickets)
    planted = [body for body in machine.books.attempts if "planted" in body]
    assert len(planted) <= sent + 1
    made = {known.attributes.get("EmailAddress") for known in machine.books.leads.values()}
    assert {lead(number)["EmailAddress"] for number in range(60)} <= made


async def test_a_value_that_identifies_nobody_forgets_nobody(tmp_path: Path) -> None:
    """A phone number without a digit erases no row whose number has none either."""
    async with Outbox(tmp_path / "leads.db") as outbox:
        await outbox.put({"FirstName": "Bret", "Phone": "not given"})
        await outbox.put({"FirstName": "Asha", "Phone": ""})
        assert await outbox.forget(Phone="n/a") == 0
        assert len(await items(outbox)) == 2

"""An outbox takes every operation: kept, sent, followed, requeued and forgotten as leads are."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import ConfigurationError, InvalidLead, ItemState, Outbox, submissions
from leadsquared_async.errors import KeyReused
from leadsquared_async.sandbox import Faults
from tests.outbox.machine import Machine, by_state, items, lead, play, played, until_state

NOBODY = "00000000-0000-4000-8000-000000000000"
CALL = {"SourceNumber": "+91-9611795983", "DestinationNumber": "+91-8033172005", "Direction": "Inbound"}


def every(lead_id: str) -> list[submissions.Submission]:
    return [
        submissions.capture_lead(lead(1), search_by="EmailAddress", reference="form-1"),
        submissions.update_lead(lead_id, {"mx_City": "Pune"}, post_updated_lead=True),
        submissions.create_activity(lead_id, event=201, note="rang", fields={"mx_Custom_1": "Blue"}),
        submissions.create_lead_and_activity(
            lead(2), search_by="EmailAddress", event=202, fields={"mx_Set": {"Status": "Pending"}}
        ),
        submissions.capture_opportunity(
            lead(3), search_by="EmailAddress", event_code=12000, overwrite_fields=True
        ),
        submissions.log_call("connector-1", CALL, instance=NOBODY),
    ]


@played()
async def test_every_operation_is_delivered_and_confirmed(machine: Machine) -> None:
    """Put without a client, delivered by a process that starts later, each followed at its own path."""
    lead_id = await machine.known_lead()
    async with Outbox(machine.path) as outbox:
        await outbox.put_many(every(lead_id))
        (*_, update) = [await outbox.put(submissions.update_opportunity(NOBODY, note="Won"), key="last")]
        assert update.is_new
    async with machine.process() as outbox:
        await outbox.drained()
        rows = await items(outbox)
    assert [row.state for row in rows] == [*[ItemState.CONFIRMED] * 6, ItemState.REJECTED]
    assert [row.operation for row in rows] == [
        "leads.capture",
        "leads.update",
        "activities.create",
        "activities.create_with_lead",
        "opportunities.capture",
        "calls.log",
        "opportunities.update",
    ]
    assert rows[0].reference == "form-1"
    assert (rows[-1].reason or "").startswith("MX")
    assert machine.books.leads[lead_id].attributes["mx_City"] == "Pune"
    (call,) = machine.books.calls
    assert (call.connector_key, call.instance) == ("connector-1", NOBODY)
    (opportunity,) = machine.books.opportunities.values()
    assert opportunity.flags == ("OverwriteFields",)


@played()
async def test_a_row_says_what_it_holds(machine: Machine) -> None:
    """The lead and what is beside it, in LeadSquared's names, until they are erased."""
    async with Outbox(machine.path) as outbox:
        await outbox.put_many(every(NOBODY))
        rows = await items(outbox)
    assert rows[1].lead == {"mx_City": "Pune"}
    assert rows[2].lead is None
    assert rows[2].details == {
        "RelatedProspectId": NOBODY,
        "ActivityEvent": 201,
        "ActivityNote": "rang",
        "Fields": {"mx_Custom_1": "Blue"},
    }
    assert rows[3].lead == {**lead(2), "SearchBy": "EmailAddress"}
    assert rows[3].details == {"ActivityEvent": 202, "Fields": {"mx_Set": {"Status": "Pending"}}}
    assert rows[5].details == CALL
    assert not any(row.is_erased for row in rows)
    assert "connector-1" not in repr(rows)


def test_what_is_no_upsert_is_not_sent_twice_after_a_crash(tmp_path: Path) -> None:
    """Updates are retried; activities and calls are unknown."""

    async def crash(machine: Machine, policy: dict[str, Any]) -> Counter[str]:
        lead_id = await machine.known_lead()
        machine.account.set_faults(Faults(latency=20.0), machine.now)
        async with machine.crashing(policy) as outbox:
            await outbox.put_many(
                [
                    submissions.update_lead(lead_id, {"mx_City": "Pune"}),
                    submissions.create_activity(lead_id, event=5),
                    submissions.log_call("key", CALL),
                ]
            )

            await until_state(outbox, "sending", 3, within=60.0, every=0.05)
        async with machine.process(policy) as outbox:
            await outbox.drained()
            return Counter(f"{row.operation} {row.state}" for row in await items(outbox))

    async def safe(machine: Machine) -> Counter[str]:
        return await crash(machine, {})

    assert play(tmp_path, safe) == {
        "leads.update confirmed": 1,
        "activities.create unknown": 1,
        "calls.log unknown": 1,
    }


@played(Faults(latency=0.04, jitter=0.2, probabilities={"500": 0.2}))
async def test_updates_of_one_lead_keep_their_order(machine: Machine) -> None:
    """By its id: the last value wins through faults; activities of a lead do not wait for each other."""
    lead_id = await machine.known_lead()
    async with machine.process() as outbox:
        for number in range(5):
            await outbox.put(submissions.update_lead(lead_id, {"mx_Step": str(number)}))
            await outbox.put(submissions.create_activity(lead_id.upper(), event=number))
        await outbox.drained()
    assert machine.books.leads[lead_id].attributes["mx_Step"] == "4"


@played()
async def test_a_form_of_another_operation_is_put_once_by_its_key(machine: Machine) -> None:
    """The same submission is one row, in any order of fields; another operation or query is not."""
    async with Outbox(machine.path) as outbox:
        first = submissions.create_activity(NOBODY, event=1, fields={"a": "1", "b": "2"})
        again = submissions.create_activity(NOBODY, event=1, fields={"b": "2", "a": "1"})
        assert (await outbox.put(first, key="k")).is_new
        assert not (await outbox.put(again, key="k")).is_new
        await outbox.put(submissions.update_lead(NOBODY, {"a": "1"}), key="u")
        await outbox.put(submissions.log_call("one", CALL), key="c")
        for key, other in (
            ("k", submissions.create_activity(NOBODY, event=2, fields={"a": "1", "b": "2"})),
            ("u", submissions.update_lead(NOBODY[::-1], {"a": "1"})),
            ("u", submissions.capture_lead({"a": "1"})),
            ("c", submissions.log_call("two", CALL)),
        ):
            with pytest.raises(KeyReused):
                await outbox.put(other, key=key)


@played()
async def test_a_submission_brings_its_own_options(machine: Machine) -> None:
    """search_by and the like beside it are refused, a reference is taken; what cannot be sent is refused."""
    async with Outbox(machine.path) as outbox:
        activity = submissions.create_activity(NOBODY, event=1)
        with pytest.raises(ConfigurationError, match="leave them out"):
            await outbox.put(activity, search_by="Phone")
        with pytest.raises(ConfigurationError, match="reference"):
            await outbox.put(submissions.create_activity(NOBODY, event=1, reference=""))
        await outbox.put_many([replace(activity, key="a", reference="mine")], search_by="Phone")
        with pytest.raises(InvalidLead, match="lead 1, counted from 0: ActivityEvent"):
            await outbox.put_many([activity, submissions.create_activity(NOBODY, event="x")])  # type: ignore[arg-type]
        assert [row.reference for row in await items(outbox)] == ["mine", None]


@played(attributes=("EmailAddress", "mx_City"))
async def test_a_rejected_row_of_any_operation_is_mended(machine: Machine) -> None:
    """What is dropped goes from the lead, from what is beside it, and from its fields."""
    lead_id = await machine.known_lead()
    async with machine.process() as outbox:
        await outbox.put(
            submissions.create_lead_and_activity(
                {**lead(9), "mx_Ctiy": "Pune"},
                search_by="EmailAddress",
                event=7,
                note="drop me",
                fields={"mx_Custom_1": "keep", "mx_Custom_9": "drop"},
            )
        )
        await outbox.put(submissions.update_lead(lead_id, {"mx_City": "Pune", "mx_Foo": "x"}))
        await outbox.drained()
        for row in await items(outbox, "rejected"):
            await outbox.requeue(row, drop=["mx_Ctiy", "mx_Foo", "ActivityNote", "mx_Custom_9"])
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 2}
    activity = next(
        activity
        for known in machine.books.leads.values()
        for activity in known.activities
        if activity.event == "7"
    )
    assert (activity.note, dict(activity.fields)) == ("", {"mx_Custom_1": "keep"})
    assert machine.books.leads[lead_id].attributes["mx_City"] == "Pune"


@played()
async def test_a_person_is_forgotten_wherever_it_stands(machine: Machine) -> None:
    """By its lead id in queries and details, by its number in a call log."""
    async with Outbox(machine.path) as outbox:
        await outbox.put_many(every("11111111-0000-4000-8000-000000000000"))
        assert await outbox.forget(Phone="+91 96117 95983") == 1
        assert await outbox.forget(ProspectID="11111111-0000-4000-8000-000000000000") == 2
        assert await outbox.forget(EmailAddress="p2@example.com") == 1
        assert [row.operation for row in await items(outbox)] == ["leads.capture", "opportunities.capture"]

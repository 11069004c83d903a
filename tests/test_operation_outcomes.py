"""Every operation in front of the sandbox, in virtual time: followed to its outcome, within the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from leadsquared_async import (
    LeadSquared,
    Receipt,
    RequestStatus,
    submissions,
)
from leadsquared_async.sandbox import Books, Faults
from tests import virtual
from tests.clients import PatchedAccount, virtual_client

T = TypeVar("T")

PERSON = {"FirstName": "Bret", "EmailAddress": "bret.lee@example.com"}
NOBODY = "00000000-0000-4000-8000-000000000000"


def play(what: Callable[[LeadSquared, Books], Awaitable[T]], client: Any = None, **account: Any) -> T:
    async def main() -> T:
        account.setdefault("faults", Faults(latency=0.04))
        lsq, transport = virtual_client(PatchedAccount(**account), **(client or {}))
        async with lsq, asyncio.timeout(50_000):
            return await what(lsq, transport.books)

    return virtual.run(main)


async def captured(lsq: LeadSquared) -> str:
    """A lead that is there; returns its id."""
    status = await lsq.leads.wait(await lsq.leads.capture(PERSON))
    assert status.lead_id is not None
    return status.lead_id


@pytest.mark.parametrize("flat", [False, True])
def test_every_operation_is_followed_to_its_outcome(flat: bool) -> None:
    """Each status says what was made or changed, in both forms of an opportunity's answer."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        lead_id = await captured(lsq)
        known = books.leads[lead_id]

        status = await lsq.leads.wait(await lsq.leads.update(lead_id, {"FirstName": "", "mx_City": "Pune"}))
        assert (status.succeeded, status.message["Message"]) == (True, {"AffectedRows": 1})
        changed = {name: known.attributes[name] for name in ("FirstName", "EmailAddress", "mx_City")}
        assert changed == {**PERSON, "FirstName": "", "mx_City": "Pune"}

        receipt = await lsq.activities.create(
            lead_id, event=201, note="rang", at="2026-01-02 03:04:05", fields={"mx_Custom_1": "Blue"}
        )
        status = await lsq.activities.wait(receipt)
        assert (status.succeeded, status.activity_id) == (True, known.activities[-1].id)

        receipt = await lsq.activities.create_with_lead(PERSON, search_by="EmailAddress", event=7)
        status = await lsq.activities.wait(receipt)
        assert (status.succeeded, status.lead_id, status.created) == (True, lead_id, False)
        assert [activity.event for activity in known.activities] == ["Lead Capture", "201", "7"]

        receipt = await lsq.opportunities.capture(
            PERSON,
            search_by="EmailAddress",
            event_code=12000,
            do_not_change_owner=True,
            fields={"mx_Custom_1": "x", "mx_Custom_36": {"mx_CustomObject_1": "y"}},
        )
        status = await lsq.opportunities.wait(receipt)
        (opportunity,) = books.opportunities.values()
        assert (status.succeeded, status.lead_id, status.activity_id) == (True, lead_id, None)
        assert (status.opportunity_id, opportunity.lead_id) == (opportunity.id, lead_id)
        assert opportunity.flags == ("DoNotChangeOwner",)
        assert opportunity.fields["mx_Custom_36.mx_CustomObject_1"] == "y"

        receipt = await lsq.opportunities.update(opportunity.id, note="Won", fields={"Status": "Won"})
        assert (await lsq.opportunities.wait(receipt)).succeeded
        assert opportunity.fields["Status"] == "Won"

        receipt = await lsq.calls.log(
            "connector-1", {"SourceNumber": "+91-9611795983", "Direction": "Inbound"}
        )
        assert (await lsq.calls.wait(receipt)).succeeded
        (call,) = books.calls
        assert call.fields["SourceNumber"] == "+91-9611795983"
        assert not books.misplaced_keys

    play(use, flat_opportunity=flat)


def test_the_id_of_nobody_fails_when_it_is_processed() -> None:
    """An activity or update of an unknown lead is accepted, and its status has the reason."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        for wait, receipt in (
            (lsq.leads.wait, await lsq.leads.update(NOBODY, {"mx_City": "Pune"})),
            (lsq.activities.wait, await lsq.activities.create(NOBODY, event=1)),
        ):
            status = await wait(receipt)
            assert (status.is_final, status.succeeded) == (True, False)
            assert (status.reason or "").startswith("MX")

    play(use)


def test_a_batch_takes_any_operation() -> None:
    """Submissions of all kinds in one stream; a bad one stops no other, and each is followed to its end."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        lead_id = await captured(lsq)

        def source() -> Any:
            for number in range(20):
                yield submissions.capture_lead({"EmailAddress": f"p{number}@example.com"})
                yield submissions.update_lead(lead_id, {"mx_City": f"City {number}"})
                yield submissions.create_activity(lead_id, event=number)
                yield submissions.create_activity(lead_id, event="bad")  # type: ignore[arg-type]
                yield submissions.log_call("key", {"SourceNumber": str(number)})

        receipts: list[Receipt] = []
        refused = 0
        async with lsq.submit_many(source()) as results:
            async for result in results:
                refused += result.error is not None
                receipts += [result.receipt] if result.receipt is not None else []
        assert (len(receipts), refused) == (80, 20)
        outcomes: list[RequestStatus] = []
        for resource, name in ((lsq.leads, "leads"), (lsq.activities, "activities"), (lsq.calls, "calls")):
            mine = [receipt for receipt in receipts if receipt.operation.startswith(name)]
            async with resource.wait_many(mine) as waits:
                outcomes += [wait.status async for wait in waits if wait.status is not None]
        assert sum(outcome.succeeded for outcome in outcomes) == 80
        assert (books.over_limit, books.most_arrivals()) == (0, 25)
        assert len(books.calls) == 20

    play(use)


def test_all_operations_share_one_limit() -> None:
    """Bursts of four operations do not exceed the account's limit."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        lead_id = await captured(lsq)
        calls = []
        for number in range(40):
            calls += [
                lsq.leads.capture({"EmailAddress": f"p{number}@example.com"}),
                lsq.leads.update(lead_id, {"mx_City": "Pune"}),
                lsq.activities.create(lead_id, event=number),
                lsq.opportunities.capture(PERSON, search_by="EmailAddress", event_code=1),
            ]
        await asyncio.gather(*calls)
        assert (books.over_limit, books.most_arrivals()) == (0, 25)

    play(use, count_refused=True)

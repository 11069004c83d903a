"""Every operation through the whole client to its outcome, in front of the sandbox, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from leadsquared_async import LeadSquared, Receipt, RequestStatus, RetryPolicy, submissions
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


def test_an_update_changes_what_is_passed() -> None:
    """The rest stays, and what it clears is empty."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        lead_id = await captured(lsq)
        receipt = await lsq.leads.update(lead_id, {"FirstName": "", "mx_City": "Pune"})
        status = await lsq.leads.wait(receipt)
        assert (status.succeeded, status.message["Message"]) == (True, {"AffectedRows": 1})
        known = books.leads[lead_id].attributes
        assert (known["FirstName"], known["mx_City"]) == ("", "Pune")
        assert known["EmailAddress"] == PERSON["EmailAddress"]

    play(use)


def test_an_activity_is_on_its_lead() -> None:
    """With its code, note, time and fields; its id is in the status."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        lead_id = await captured(lsq)
        receipt = await lsq.activities.create(
            lead_id, event=201, note="rang", at="2026-01-02 03:04:05", fields={"mx_Custom_1": "Blue"}
        )
        status = await lsq.activities.wait(receipt)
        activity = books.leads[lead_id].activities[-1]
        assert (status.succeeded, status.activity_id) == (True, activity.id)
        assert activity.event == "201"

    play(use)


def test_a_lead_comes_with_its_activity() -> None:
    """The lead is matched, the activity posted on it."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        lead_id = await captured(lsq)
        receipt = await lsq.activities.create_with_lead(PERSON, search_by="EmailAddress", event=7)
        status = await lsq.activities.wait(receipt)
        assert (status.succeeded, status.lead_id, status.created) == (True, lead_id, False)
        assert [activity.event for activity in books.leads[lead_id].activities] == ["Lead Capture", "7"]

    play(use)


@pytest.mark.parametrize("flat", [False, True])
def test_an_opportunity_is_captured_and_changed(flat: bool) -> None:
    """Whichever way its outcome is written, it says which lead it is of."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        receipt = await lsq.opportunities.capture(
            PERSON,
            search_by="EmailAddress",
            event_code=12000,
            do_not_change_owner=True,
            fields={"mx_Custom_1": "x", "mx_Custom_36": {"mx_CustomObject_1": "y"}},
        )
        status = await lsq.opportunities.wait(receipt)
        (opportunity,) = books.opportunities.values()
        assert (status.succeeded, status.lead_id) == (True, opportunity.lead_id)
        assert opportunity.flags == ("DoNotChangeOwner",)
        assert opportunity.fields["mx_Custom_36.mx_CustomObject_1"] == "y"
        assert (status.opportunity_id, status.activity_id) == (opportunity.id, None)
        update = await lsq.opportunities.update(status.opportunity_id, note="Won", fields={"Status": "Won"})
        assert (await lsq.opportunities.wait(update)).succeeded
        assert opportunity.fields["Status"] == "Won"

    play(use, flat_opportunity=flat)


def test_a_call_is_logged() -> None:
    """Under its connector, with the x-api-key only: no key strays."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        receipt = await lsq.calls.log(
            "connector-1", {"SourceNumber": "+91-9611795983", "Direction": "Inbound"}
        )
        assert (await lsq.calls.wait(receipt)).succeeded
        (call,) = books.calls
        assert call.fields["SourceNumber"] == "+91-9611795983"
        assert not books.misplaced_keys

    play(use)


def test_the_id_of_nobody_fails_when_it_is_processed() -> None:
    """An activity or an update of a lead that is not there is accepted first, and its status says why not."""

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
    """Bursts of four operations at once: no more than the account may."""

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


def test_an_activity_whose_answer_is_lost_is_sent_once() -> None:
    """The lead's activities show it: an upsert would have been repeated."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        lead_id = await captured(lsq)
        books.faults = Faults(script=("lost", "lost", "ok"), operations=("activity", "update"))
        with pytest.raises(Exception, match="It may have arrived"):
            await lsq.activities.create(lead_id, event=9)
        await lsq.leads.wait(await lsq.leads.update(lead_id, {"mx_City": "Pune"}))
        assert [activity.event for activity in books.leads[lead_id].activities].count("9") == 1
        assert books.repeated == 1  # the update

    play(use, {"retry": RetryPolicy(base=0.1)})


def test_keys_in_headers_work_where_the_host_takes_them() -> None:
    """Every submission with its keys in headers; no key stands in a query."""

    async def use(lsq: LeadSquared, books: Books) -> None:
        lead_id = await captured(lsq)
        await lsq.leads.update(lead_id, {"mx_City": "Pune"})
        await lsq.activities.create(lead_id, event=1)
        assert books.by_outcome == {"200": len(books.arrivals)}
        assert not books.misplaced_keys

    play(use, {"keys_in": "headers"}, header_keys=True)


def test_paths_can_be_where_the_account_has_them() -> None:
    """The other answer to each guess: the account's paths are told to the client, and all works."""
    moved = {"update status": "/lead/status/update", "update metrics": "/lead/metrics"}
    told = {"leads.update status": "/lead/status/update", "leads.update metrics": "/lead/metrics"}

    async def use(lsq: LeadSquared, books: Books) -> None:
        lead_id = await captured(lsq)
        receipt = await lsq.leads.update(lead_id, {"mx_City": "Pune"})
        assert (await lsq.leads.wait(receipt)).succeeded
        assert (await lsq.leads.metrics(operation="leads.update")).pending == 0

    play(use, {"paths": told}, paths=moved)
    with pytest.raises(Exception, match=r'paths=\{"leads.update status"'):
        play(use, paths=moved)

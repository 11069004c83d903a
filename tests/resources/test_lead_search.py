"""`leads.find`: the call, its answer, its errors, and what it shows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from leadsquared_async import ConfigurationError, FoundLead, LeadSquared, LeadSquaredError, ServerError
from leadsquared_async.sandbox import Books, Faults
from tests.clients import LEAD, answering, play

ID = "6f75b09d-0187-45d6-86dd-f848bd5a0aca"
EMAIL = "planted+crm@example.com"
ANSWER = {"ProspectID": ID, "EmailAddress": EMAIL, "Phone": None, "CreatedOn": "2017-11-30 07:38:00.000"}
SYNC = "https://sync.invalid"
PATH = "/v2/LeadManagement.svc"


@pytest.mark.parametrize(
    ("given", "path", "parameter"),
    [
        ({"email": f" {EMAIL} "}, "Leads.GetByEmailaddress", ("emailaddress", EMAIL)),
        ({"phone": "+91-99887 76655"}, "RetrieveLeadByPhoneNumber", ("phone", "919988776655")),
        ({"id": ID}, "Leads.GetById", ("id", ID)),
    ],
)
async def test_it_is_asked_for_as_its_page_says(
    given: dict[str, str], path: str, parameter: tuple[str, str]
) -> None:
    """On the synchronous host, with all keys in the query; a phone number has digits only."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=[ANSWER])

    async with answering(answer, sync_host=SYNC) as lsq:
        found = await lsq.leads.find(**given)  # type: ignore[arg-type]
    assert found == FoundLead(ID, ANSWER, datetime(2017, 11, 30, 7, 38, tzinfo=UTC), None)
    (request,) = seen
    assert (request.method, request.url.host, request.url.path) == ("GET", "sync.invalid", f"{PATH}/{path}")
    assert dict(request.url.params) == {
        **{name: request.url.params[name] for name in ("accessKey", "secretKey")},
        parameter[0]: parameter[1],
    }


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("[]", None),
        ("null", ServerError),
        ("", ServerError),
        (f'{{"ProspectID":"{ID}"}}', ID),
        (f'[{{"prospectid":"{ID}"}},{{"ProspectID":"2"}}]', ID),
        ('["x"]', ServerError),
        ("[{}]", ServerError),
        ("7", ServerError),
        ('{"Status":"Error","ExceptionMessage":"Planted"}', LeadSquaredError),
    ],
)
async def test_an_answer_is_a_lead_none_or_an_error(body: str, found: Any) -> None:
    """An answer that holds something else never counts as "there is none"."""
    async with answering(lambda _: httpx.Response(200, text=body), sync_host=SYNC) as lsq:
        if isinstance(found, type):
            with pytest.raises(found):
                await lsq.leads.find(email=EMAIL)
        else:
            lead = await lsq.leads.find(email=EMAIL)
            assert (None if lead is None else lead.id) == found


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"email": EMAIL, "phone": "1"},
        {"email": ""},
        {"email": "a\nb"},
        {"email": "x" * 1001},
        {"phone": "call me"},
        {"phone": "\u00b2\u00b35"},
        {"phone": "\u24619988776655"},
        {"id": 5},
        {"id": b"lead-1"},
        {"id": ["lead-1"]},
        {"id": object()},
        {"phone": "+91-\u0669\u0669\u0668\u06688776655"},
        {"email": 5},
        {"id": " "},
    ],
)
async def test_it_takes_one_value_to_look_for(given: Any) -> None:
    """Nothing is sent otherwise."""
    async with answering(lambda _: pytest.fail("sent"), sync_host=SYNC) as lsq:
        with pytest.raises(ConfigurationError):
            await lsq.leads.find(**given)


async def test_it_needs_a_synchronous_host() -> None:
    """The error says how to name it."""
    async with answering(lambda _: pytest.fail("sent")) as lsq:
        with pytest.raises(ConfigurationError, match="sync_host="):
            await lsq.leads.find(email=EMAIL)


async def test_no_value_shows(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in a repr, nor in an error that LeadSquared makes of it, nor in a log."""
    caplog.set_level("DEBUG")

    def answer(request: httpx.Request) -> httpx.Response:
        value = request.url.params["emailaddress"]
        said = {"Status": "Error", "ExceptionType": "MXNew", "ExceptionMessage": f"no {value}"}
        return httpx.Response(500, json=said)

    async with answering(answer, sync_host=SYNC) as lsq:
        with pytest.raises(LeadSquaredError) as caught:
            await lsq.leads.find(email=EMAIL)
    shown = f"{caught.value!r} {caught.value} {FoundLead(ID, ANSWER)!r} {caplog.text}"
    assert ID in shown
    assert "planted" not in shown


def test_it_finds_what_is_processed() -> None:
    """Not before; a repeated or lost answer is asked for again; each call counts towards the limit."""

    async def act(lsq: LeadSquared, books: Books) -> None:
        phone = {"Phone": "+91-9988776655"}
        receipt = await lsq.leads.capture(LEAD | phone)
        assert await lsq.leads.find(email=LEAD["EmailAddress"]) is None
        lead_id = (await lsq.leads.wait(receipt)).lead_id
        for given in ({"email": LEAD["EmailAddress"].upper()}, {"phone": "9988776655"}, {"id": lead_id}):
            found = await lsq.leads.find(**given)  # type: ignore[arg-type]
            assert found is not None
            assert (found.id, found.fields["FirstName"]) == (lead_id, "Bret")
            assert found.created_at == found.modified_at
        assert (await lsq.leads.find(phone="+91-9988776655")) == found
        assert await lsq.leads.find(phone="8887776665") is None
        await asyncio.sleep(30)
        await lsq.leads.wait(await lsq.leads.update(str(lead_id), {"FirstName": "Ada"}))
        changed = await lsq.leads.find(id=lead_id)
        assert changed is not None
        assert changed.created_at == found.created_at
        assert changed.modified_at is not None
        assert found.modified_at is not None
        assert (changed.modified_at - found.modified_at).total_seconds() > 30
        assert sum(it.operation.startswith("lead-by-") for it in books.arrivals) == 9  # two of them failed

    faults = Faults(script=("lost", "500"), latency=0.1, operations=("lead-by-email",))
    play(act, faults, processing_rate=30)


@pytest.mark.parametrize(
    ("text", "hour"),
    [("2026-01-31 09:30:00.000", 9), ("2026-01-31T09:30:00+05:30", 4), ("0001-01-01T00:00:00+14:00", None)],
)
async def test_a_date_is_in_utc(text: str, hour: int | None) -> None:
    """One with an offset is converted; one that no date can hold is left out."""
    body = [{"ProspectID": ID, "ModifiedOn": text}]
    async with answering(lambda _: httpx.Response(200, json=body), sync_host=SYNC) as lsq:
        lead = await lsq.leads.find(email=EMAIL)
    assert lead is not None
    assert (lead.modified_at and lead.modified_at.hour) == hour
    assert lead.modified_at is None or lead.modified_at.tzinfo is UTC

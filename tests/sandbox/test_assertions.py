"""What a user's test asserts about a sandbox, and what it says when that is not so."""

from __future__ import annotations

from datetime import datetime

import httpx
import pytest

from leadsquared_async import submissions
from leadsquared_async.sandbox import Account, Faults, Sandbox, SandboxTransport
from leadsquared_async.testing import client_of, without_waiting

LEAD_ID = "11111111-1111-4111-8111-111111111111"
BRET = {"EmailAddress": "bret@example.com", "FirstName": "Bret", "mx_Rooms": 2, "mx_News": True}
ANN = {"EmailAddress": "ann@example.com", "FirstName": "Ann"}


async def with_captures(*leads: dict[str, object], faults: Faults | None = None) -> SandboxTransport:
    transport = SandboxTransport(Account(faults=faults or Faults()))
    with without_waiting():
        async with client_of(transport) as lsq:
            for lead in leads:
                await lsq.leads.capture(lead)
    return transport


async def test_a_capture_is_found_by_any_of_its_values() -> None:
    """Values are compared as LeadSquared gets them; None means that nothing was sent."""
    sandbox = await with_captures(BRET, ANN)
    sandbox.assert_captured()
    sandbox.assert_captured(count=2)
    sandbox.assert_captured(EmailAddress="bret@example.com", mx_Rooms=2, mx_News=True, Phone=None)
    sandbox.assert_captured(FirstName="Ann", count=1)
    sandbox.assert_captured(FirstName="Carl", count=0)
    with pytest.raises(AssertionError):
        sandbox.assert_captured(FirstName="Ann", EmailAddress="bret@example.com")
    with pytest.raises(AssertionError):
        sandbox.assert_captured(FirstName="Ann", EmailAddress=None)


async def test_a_missing_capture_shows_the_closest_one_first() -> None:
    """Only what differs, and the calls that were not accepted."""
    sandbox = await with_captures(ANN, BRET, faults=Faults(script=("503",)))
    with pytest.raises(AssertionError) as raised:
        sandbox.assert_captured(EmailAddress="b@example.com", FirstName="B", Phone="1", mx_News=None)
    assert str(raised.value).splitlines() == [
        "no capture was accepted with EmailAddress='b@example.com', FirstName='B', Phone='1', mx_News=None",
        "accepted:",
        "  no. 1",
        "    EmailAddress: 'ann@example.com', expected 'b@example.com'",
        "    FirstName: 'Ann', expected 'B'",
        "    Phone: not sent, expected '1'",
        "  no. 2",
        "    EmailAddress: 'bret@example.com', expected 'b@example.com'",
        "    FirstName: 'Bret', expected 'B'",
        "    Phone: not sent, expected '1'",
        "    mx_News: 'true', expected not sent",
        "calls that were not accepted:",
        "  1 x POST /lead/capture: 503 (fault 503)",
    ]
    with pytest.raises(AssertionError) as raised:
        sandbox.assert_captured(EmailAddress="bret@example.com", FirstName="Brett")
    assert str(raised.value).splitlines()[2] == "  no. 2"


async def test_captures_that_are_too_many_are_shown() -> None:
    """Those that match, with all that they have; of many, the first."""
    sandbox = await with_captures(BRET, ANN)
    with pytest.raises(AssertionError) as raised:
        sandbox.assert_nothing_captured()
    shown = str(raised.value)
    assert shown.startswith(
        "expected no capture, but 2 were accepted\naccepted:\n  no. 1\n    EmailAddress: 'bret"
    )
    with pytest.raises(
        AssertionError, match=r"expected 2 x capture with FirstName='Ann', but 1 was accepted"
    ):
        sandbox.assert_captured(count=2, FirstName="Ann")
    many = await with_captures(*({**ANN, "Notes": "x" * 900} for _ in range(9)))
    with pytest.raises(AssertionError) as raised:
        many.assert_captured(count=3)
    assert str(raised.value).endswith("  and 4 more")
    assert "x" * 201 not in str(raised.value)


async def test_a_message_says_why_nothing_arrived() -> None:
    """With the sandbox's hint, which path and which key was wrong."""
    transport = SandboxTransport(Account())
    transport.assert_nothing_captured()
    async with httpx.AsyncClient(transport=transport) as client:
        await client.post("https://sandbox.invalid/v2/capture", json=[])
        await client.post("https://sandbox.invalid/lead/capture", json=[])
    with pytest.raises(AssertionError) as raised:
        transport.assert_captured(FirstName="Ann")
    assert "POST /v2/capture: 403" in str(raised.value)
    assert "x-api-key is missing" in str(raised.value)


async def test_a_message_says_that_no_call_was_made() -> None:
    """So the client had another host, or the code did not call it."""
    with pytest.raises(AssertionError) as raised:
        SandboxTransport(Account()).assert_captured(FirstName="Ann")
    assert str(raised.value).splitlines() == [
        "no capture was accepted with FirstName='Ann'",
        "the sandbox got no call",
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Emailaddress", " (did you mean EmailAddress?)"),
        ("FistName", " (did you mean FirstName?)"),
        ("Phone", ""),
    ],
)
async def test_a_misspelt_name_has_a_hint(name: str, hint: str) -> None:
    """The name that was sent, if it is close."""
    sandbox = await with_captures(ANN)
    with pytest.raises(AssertionError) as raised:
        sandbox.assert_captured(**{name: "x"})
    assert str(raised.value).splitlines()[-1] == f"    {name}: not sent{hint}, expected 'x'"


async def test_no_message_shows_a_key() -> None:
    """Not even one that was put into a lead, or is expected in one."""
    keys = (Sandbox.access_key, Sandbox.secret_key, Sandbox.api_key)
    sandbox = await with_captures({**ANN, "Notes": " ".join(keys)})
    for expected in ("x", keys[0]):
        with pytest.raises(AssertionError) as raised:
            sandbox.assert_captured(Notes=expected)
        assert not any(key in str(raised.value) for key in keys)
        assert "***" in str(raised.value)


async def test_every_operation_can_be_asserted() -> None:
    """By the names of its body, its fields and its query; the first error names the operations."""
    transport = SandboxTransport(Account())
    moment = datetime.fromisoformat("2026-11-27T09:10:11+05:30")
    opportunity = submissions.update_opportunity(LEAD_ID, note="won", fields={"mx_Custom_1": "x"})
    async with client_of(transport) as lsq:
        await lsq.leads.update(LEAD_ID, {"FirstName": "Ann"})
        await lsq.activities.create(LEAD_ID, event=201, note="hi", at=moment, fields={"mx_Custom_1": "x"})
        await lsq.activities.create_with_lead(
            ANN, event=202, search_by="EmailAddress", fields={"mx_Set": {"mx_City": "Pune"}}
        )
        await lsq.opportunities.capture(ANN, event_code=12000, search_by="EmailAddress", note="big")
        await lsq.submit(opportunity)
        await lsq.calls.log("connector", {"SourceNumber": "+91-1", "CallDuration": 7})
    transport.assert_submitted("update", leadId=LEAD_ID, FirstName="Ann")
    transport.assert_submitted(
        *("activity",),
        RelatedProspectId=LEAD_ID,
        ActivityEvent=201,
        ActivityNote="hi",
        mx_Custom_1="x",
        ActivityDateTime="2026-11-27 03:40:11",
    )
    transport.assert_submitted("lead-and-activity", **{**ANN, "ActivityEvent": 202, "mx_Set.mx_City": "Pune"})
    transport.assert_submitted("opportunity", OpportunityEventCode=12000, OpportunityNote="big", **ANN)
    transport.assert_submitted("opportunity-update", ProspectOpportunityId=LEAD_ID, OpportunityNote="won")
    transport.assert_submitted("call-log", SourceNumber="+91-1", CallDuration=7, count=1)
    transport.assert_nothing_captured()
    with pytest.raises(
        ValueError, match=r"no operation is called 'leads.update': choose from capture, update"
    ):
        transport.assert_submitted("leads.update")


async def test_a_traceback_ends_in_the_test() -> None:
    """pytest shows the line of the test, not those of the assertion."""
    with pytest.raises(AssertionError) as raised:
        SandboxTransport(Account()).assert_captured()
    assert raised.traceback.filter(raised)[-1].path.name == "test_assertions.py"

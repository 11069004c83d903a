"""An invalid submission is rejected before it is sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from leadsquared_async import InvalidLead, submissions
from leadsquared_async.operations import CALLS_LOG, LEADS_CAPTURE
from tests.clients import answering

CALL = {"SourceNumber": "+91-9611795983", "StartTime": "2017-07-31 10:00:00"}
LEAD_ID = "0b1f4a1c-d168-4f8b-9f8b-21de97c8b4a1"
LEAD = {"Phone": "12345678"}
VALID: dict[str, tuple[Callable[..., submissions.Submission], dict[str, Any]]] = {
    "update": (submissions.update_lead, {"lead_id": LEAD_ID, "fields": {"FirstName": "x"}}),
    "activity": (submissions.create_activity, {"lead_id": LEAD_ID, "event": 1}),
    "lead": (submissions.create_lead_and_activity, {"lead": LEAD, "search_by": "Phone", "event": 1}),
    "capture": (submissions.capture_opportunity, {"lead": LEAD, "search_by": "Phone", "event_code": 1}),
    "opportunity": (submissions.update_opportunity, {"opportunity_id": LEAD_ID, "note": "x"}),
    "call": (submissions.log_call, {"connector_key": "key", "call": CALL}),
    "any": (submissions.Submission, {}),
}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("update", {"lead_id": ""}, "leadId"),
    ("update", {"lead_id": "a/b"}, "leadId"),
    ("update", {"lead_id": None}, "leadId"),
    ("update", {"post_updated_lead": "yes"}, "postUpdatedLead"),
    ("update", {"post_updated_lead": {}}, "postUpdatedLead"),
    ("update", {"fields": {}}, "empty"),
    ("update", {"fields": {**LEAD, "SearchBy": "Phone"}}, "SearchBy"),
    ("activity", {"lead_id": b"ab"}, "RelatedProspectId"),
    ("activity", {"lead_id": None}, "RelatedProspectId"),
    *(("activity", {"event": event}, "ActivityEvent") for event in (None, "demo", True, 2.5, -1)),
    pytest.param("activity", {"event": 10**5000}, "ActivityEvent", id="an event beyond all codes"),
    ("activity", {"at": datetime(2026, 1, 2, 3)}, "ActivityDateTime"),  # noqa: DTZ001
    ("activity", {"at": "2026-01-02T03:04:05Z"}, "ActivityDateTime"),
    ("activity", {"at": "2024-02-31 10:00:00"}, "ActivityDateTime"),
    ("activity", {"fields": [("a", "b")]}, "Fields"),
    ("activity", {"fields": {"mx_Custom_1": ["a"]}}, "Fields.mx_Custom_1"),
    ("activity", {"fields": {"mx_Set": {"Status": None}}}, "Fields.mx_Set"),
    ("lead", {"lead": None}, "needs a lead"),
    ("lead", {"search_by": None}, "SearchBy"),
    ("capture", {"search_by": None}, "SearchBy"),
    ("capture", {"search_by": "EmailAddress"}, "SearchBy"),
    ("capture", {"event_code": "x"}, "OpportunityEventCode"),
    ("capture", {"overwrite_fields": "true"}, "OverwriteFields"),
    (
        "capture",
        {"overwrite_fields": True, "update_empty_fields": True},
        "OverwriteFields and UpdateEmptyFields",
    ),
    ("opportunity", {"opportunity_id": ""}, "ProspectOpportunityId: must be an id from LeadSquared."),
    ("opportunity", {"note": None}, "at least one"),
    ("call", {"call": [CALL]}, "needs details"),
    ("call", {"call": {}}, "at least one"),
    ("call", {"call": {**CALL, "StartTime": datetime(2026, 1, 2)}}, "StartTime"),  # noqa: DTZ001
    *(
        ("call", {"connector_key": key}, "LeadSquared, without spaces and slashes.")
        for key in ("", "..", "../../lead")
    ),
    ("any", {"operation": CALLS_LOG, "details": CALL, "lead": LEAD}, "no lead"),
    ("any", {"operation": LEADS_CAPTURE, "details": CALL, "lead": {"Phone": "1"}}, "no details"),
]


@pytest.mark.parametrize(("kind", "changed", "words"), REFUSED)
async def test_an_invalid_submission_is_rejected_before_it_is_sent(
    kind: str, changed: dict[str, Any], words: str
) -> None:
    """The error names the field and shows no value."""

    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError("it was sent")

    make, valid = VALID[kind]
    async with answering(answer) as lsq:
        with pytest.raises(InvalidLead) as caught:
            await lsq.submit(make(**{**valid, **changed}))
    assert words in str(caught.value)
    assert "12345678" not in str(caught.value)
    assert caught.value.operation is not None

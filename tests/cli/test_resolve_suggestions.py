"""What `outbox resolve` suggests for a row, from the lead that LeadSquared has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leadsquared_async.cli.resolving import SKEW, Finding, _suggested
from leadsquared_async.outbox.items import ItemState, OutboxItem
from leadsquared_async.resources.lead_search import FoundLead

PUT = datetime(2024, 2, 29, 12, tzinfo=UTC)
LATER = PUT + timedelta(minutes=1)


def suggested(lead: FoundLead | None, **sent: Any) -> tuple[str, str]:
    item = OutboxItem(
        id=1,
        key=None,
        reference=None,
        operation="leads.capture",
        state=ItemState.UNKNOWN,
        lead=sent,
        details=None,
        is_erased=False,
        put_at=PUT,
        changed_at=PUT,
        attempts=1,
        request_id=None,
        lead_id=None,
        created=None,
        reason=None,
    )
    finding = _suggested(Finding(item, lead, "look", "the lead does not show it"), lag=60.0, behavior=None)
    return finding.suggestion, finding.why


@pytest.mark.parametrize(
    ("sent", "there", "is_same"),
    [
        ({"FirstName": " BRET"}, {"FirstName": "bret "}, True),
        ({"FirstName": "Bret"}, {"FirstName": "Brett"}, False),
        ({"FirstName": "Bret"}, {"FirstName": None}, False),
        ({"Phone": "9988776655"}, {"Phone": "+91-9988776655"}, True),
        ({"Phone": "+91 99887 76655"}, {"Phone": "9988776655"}, True),
        ({"Mobile": "9988776655"}, {"Mobile": "+91-9988776644"}, False),
        ({"Phone": "9988776655"}, {"Phone": None}, False),
        ({"Phone": "n/a"}, {"Phone": ""}, True),
        ({"SearchBy": "Phone"}, {"FirstName": "Bret"}, True),
        ({"mx_Set": {"A": "1"}}, {"mx_Set": "2"}, True),
    ],
)
def test_a_lead_that_was_changed_since_is_the_row_if_its_values_are(
    sent: dict[str, Any], there: dict[str, Any], is_same: bool
) -> None:
    """Case, spaces, the format of a phone number and its country code make no difference."""
    found = suggested(FoundLead("l-1", there, created_at=PUT, modified_at=LATER), **sent)
    name = next(iter(sent))
    assert found == (
        ("delivered", "created or changed since")
        if is_same
        else ("look", f"changed since, but with another {name}")
    )


@pytest.mark.parametrize(
    ("lead", "expected"),
    [
        (FoundLead("l-1", {}), ("look", "when it was changed is unknown")),
        (FoundLead("l-1", {}, created_at=PUT - SKEW), ("delivered", "created or changed since")),
        (FoundLead("l-1", {}, created_at=PUT - 2 * SKEW), ("requeue", "not changed since")),
        (None, ("requeue", "not in LeadSquared")),
    ],
)
def test_a_lead_that_does_not_show_the_row(lead: FoundLead | None, expected: tuple[str, str]) -> None:
    """It is sent again only if LeadSquared has had the time to process it and shows nothing of it."""
    assert suggested(lead, FirstName="Bret") == expected

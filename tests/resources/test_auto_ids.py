"""An opportunity is updated by its id, or by the value of its AutoId field."""

from __future__ import annotations

from typing import Any

import pytest

from leadsquared_async import InvalidLead, LeadSquared, submissions
from leadsquared_async.encoding import encode
from leadsquared_async.sandbox import Books
from tests.clients import LEAD, play


def test_an_opportunity_is_updated_by_its_auto_id() -> None:
    """The value of the AutoId field stands for the opportunity's id; another value fails in processing."""

    async def act(lsq: LeadSquared, books: Books) -> list[bool]:
        receipt = await lsq.opportunities.capture(LEAD, search_by="EmailAddress", event_code=12000)
        await lsq.opportunities.wait(receipt)
        (opportunity,) = books.opportunities.values()
        ended = [
            await lsq.opportunities.wait(await lsq.opportunities.update(auto_id, note="Won"))
            for auto_id in (opportunity.auto_id, "OPP-0")
        ]
        assert opportunity.note == "Won"
        return [status.succeeded for status in ended]

    assert play(act) == [True, False]


@pytest.mark.parametrize(
    ("given", "sent"), [(1001, "1001"), ("OPP-1001", "OPP-1001"), ("Deal 7/2026", "Deal 7/2026")]
)
def test_an_auto_id_is_a_number_or_text(given: str | int, sent: str) -> None:
    """A number is sent as text; a prefix may hold a slash or a space, since the id is in the body only."""
    encoded = encode(submissions.update_opportunity(given, note="Won"))
    assert encoded.content == b'{"ProspectOpportunityId":"%b","OpportunityNote":"Won"}' % sent.encode()
    assert encoded.identity == ("ProspectOpportunityId", sent.casefold())


@pytest.mark.parametrize("given", [True, ".", " ", " OPP-1", "OPP\n1", "x" * 101])
def test_what_is_no_id_is_invalid(given: Any) -> None:
    """An error names the field and shows no value."""
    with pytest.raises(InvalidLead, match=r"ProspectOpportunityId: must be an id from LeadSquared\.$"):
        encode(submissions.update_opportunity(given, note="Won"))

"""`lsq.opportunities`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from leadsquared_async.config import NOT_GIVEN, NotGiven
from leadsquared_async.http.redaction import sealed
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import Receipt
from leadsquared_async.operations import OPPORTUNITIES_CAPTURE, OPPORTUNITIES_UPDATE
from leadsquared_async.resources.requests import Resource
from leadsquared_async.submissions import capture_opportunity, update_opportunity

__all__ = ["Opportunities"]


class Opportunities(Resource):
    """Opportunities of leads."""

    operations = (OPPORTUNITIES_CAPTURE, OPPORTUNITIES_UPDATE)

    @sealed
    async def capture(
        self,
        lead: Mapping[str, Any],
        *,
        search_by: str,
        event_code: int,
        note: str | None = None,
        at: datetime | str | None = None,
        fields: Mapping[str, Any] | None = None,
        overwrite_fields: bool | None = None,
        update_empty_fields: bool | None = None,
        do_not_post_duplicate_activity: bool | None = None,
        do_not_change_owner: bool | None = None,
        reference: str | None = None,
        lane: Lane | None = None,
        deadline: float | NotGiven | None = NOT_GIVEN,
    ) -> Receipt:
        """Hand over an opportunity of a lead, new or known
        (apidocs.leadsquared.com, "Capture Opportunities (Async)").

        It makes a second opportunity when it is sent twice, unless the account has rules that find
        duplicates: so it is not sent again when nobody knows whether it arrived, unless
        `RetryPolicy(unknown="always")` asks for it.

        Args:
            lead: schema name to value; the page asks for unique fields only.
            search_by: the schema name by which LeadSquared looks for a lead it has.
            event_code: the code of the opportunity type.
            note: text.
            at: an aware datetime, or UTC written YYYY-MM-DD HH:MM:SS; by default now.
            fields: of the opportunity, schema name to value; a nested mapping is a field set.
            overwrite_fields: on an opportunity that is found, write over what it has.
            update_empty_fields: on an opportunity that is found, fill in what it has not; not with the one
                before.
            do_not_post_duplicate_activity: post no activity when a duplicate is found.
            do_not_change_owner: leave the lead's owner.
            reference: your own opaque id, as for `leads.capture`.
            lane: as for `leads.capture`.
            deadline: as for `leads.capture`.

        Raises:
            InvalidLead: naming what cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether it may have arrived.
        """
        submission = capture_opportunity(
            lead,
            search_by=search_by,
            event_code=event_code,
            note=note,
            at=at,
            fields=fields,
            overwrite_fields=overwrite_fields,
            update_empty_fields=update_empty_fields,
            do_not_post_duplicate_activity=do_not_post_duplicate_activity,
            do_not_change_owner=do_not_change_owner,
            reference=reference,
        )
        return await self._submit(submission, lane, deadline)

    @sealed
    async def update(
        self,
        opportunity_id: str | UUID,
        *,
        note: str | None = None,
        fields: Mapping[str, Any] | None = None,
        reference: str | None = None,
        lane: Lane | None = None,
        deadline: float | NotGiven | None = NOT_GIVEN,
    ) -> Receipt:
        """Give an opportunity that LeadSquared has other values; what is not passed stays
        (apidocs.leadsquared.com, "Update an Opportunity (Async)").

        Args:
            opportunity_id: its ProspectOpportunityId.
            note: text.
            fields: schema name to value; a nested mapping is a field set.
            reference: your own opaque id, as for `leads.capture`.
            lane: as for `leads.capture`.
            deadline: as for `leads.capture`.

        Raises:
            InvalidLead: naming what cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether the update may have arrived.
        """
        submission = update_opportunity(opportunity_id, note=note, fields=fields, reference=reference)
        return await self._submit(submission, lane, deadline)

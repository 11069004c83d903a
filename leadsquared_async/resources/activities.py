"""`lsq.activities`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from leadsquared_async.config import NOT_GIVEN, NotGiven
from leadsquared_async.http.redaction import sealed
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import Receipt
from leadsquared_async.operations import ACTIVITIES_CREATE, ACTIVITIES_CREATE_WITH_LEAD
from leadsquared_async.resources.requests import Resource
from leadsquared_async.submissions import create_activity, create_lead_and_activity

__all__ = ["Activities"]


class Activities(Resource):
    """What happened to leads.

    Each one posts an activity, so that none is sent again when nobody knows whether it arrived, unless
    `RetryPolicy(unknown="always")` asks for it.
    """

    operations = (ACTIVITIES_CREATE, ACTIVITIES_CREATE_WITH_LEAD)

    @sealed
    async def create(
        self,
        lead_id: str | UUID,
        *,
        event: int,
        note: str | None = None,
        at: datetime | str | None = None,
        fields: Mapping[str, Any] | None = None,
        reference: str | None = None,
        lane: Lane | None = None,
        deadline: float | NotGiven | None = NOT_GIVEN,
    ) -> Receipt:
        """Post an activity on a lead that LeadSquared has
        (apidocs.leadsquared.com, "Post an Activity to a Lead (Async)").

        Args:
            lead_id: the lead's ProspectID.
            event: the code of the activity type.
            note: text.
            at: when it happened: an aware datetime, or UTC written YYYY-MM-DD HH:MM:SS; by default now.
            fields: schema name to value, such as {"mx_Custom_1": "Blue"}; a nested mapping is a field set.
            reference: your own opaque id, as for `leads.capture`.
            lane: as for `leads.capture`.
            deadline: as for `leads.capture`.

        Raises:
            InvalidLead: naming what cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether the activity may have arrived.
        """
        submission = create_activity(
            lead_id, event=event, note=note, at=at, fields=fields, reference=reference
        )
        return await self._submit(submission, lane, deadline)

    @sealed
    async def create_with_lead(
        self,
        lead: Mapping[str, Any],
        *,
        search_by: str,
        event: int,
        note: str | None = None,
        at: datetime | str | None = None,
        fields: Mapping[str, Any] | None = None,
        reference: str | None = None,
        lane: Lane | None = None,
        deadline: float | NotGiven | None = NOT_GIVEN,
    ) -> Receipt:
        """Hand over a lead, new or known, and post an activity on it
        (apidocs.leadsquared.com, "Create a Lead and Activity (Async)").

        Args:
            lead: schema name to value, as for `leads.capture`.
            search_by: the schema name by which LeadSquared looks for a lead it has.
            event: the code of the activity type.
            note: text.
            at: when it happened, as for `create`.
            fields: of the activity, as for `create`.
            reference: your own opaque id, as for `leads.capture`.
            lane: as for `leads.capture`.
            deadline: as for `leads.capture`.

        Raises:
            InvalidLead: naming what cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether it may have arrived.
        """
        submission = create_lead_and_activity(
            lead, search_by=search_by, event=event, note=note, at=at, fields=fields, reference=reference
        )
        return await self._submit(submission, lane, deadline)

"""`lsq.calls`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from leadsquared_async.config import NOT_GIVEN, NotGiven
from leadsquared_async.http.redaction import sealed
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import Receipt
from leadsquared_async.operations import CALLS_LOG
from leadsquared_async.resources.requests import Resource
from leadsquared_async.submissions import log_call

__all__ = ["Calls"]


class Calls(Resource):
    """Telephone calls that were made."""

    operations = (CALLS_LOG,)

    @sealed
    async def log(
        self,
        connector_key: str,
        call: Mapping[str, Any],
        *,
        instance: str | UUID | None = None,
        reference: str | None = None,
        lane: Lane | None = None,
        deadline: float | NotGiven | None = NOT_GIVEN,
    ) -> Receipt:
        """Log a call of a telephony connector
        (apidocs.leadsquared.com, "Post a Call Log (Async)").

        Sent twice it is logged twice: so it is not sent again when nobody knows whether it arrived, unless
        `RetryPolicy(unknown="always")` asks for it. The connector's key shows in no log and no error.

        Args:
            connector_key: the key of the connector, from its page at LeadSquared.
            call: LeadSquared's names to values: SourceNumber, CallerSource, DestinationNumber, DisplayNumber,
                StartTime, EndTime, CallDuration, Status, ResourceURL, Direction, CallSessionId, LeadId, Tag,
                UserId. The times are aware datetimes, or UTC written YYYY-MM-DD HH:MM:SS.
            instance: the connector's instance, if it has several.
            reference: your own opaque id, as for `leads.capture`.
            lane: as for `leads.capture`.
            deadline: as for `leads.capture`.

        Raises:
            InvalidLead: naming what cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether the call may have arrived.
        """
        submission = log_call(connector_key, call, instance=instance, reference=reference)
        return await self._submit(submission, lane, deadline)

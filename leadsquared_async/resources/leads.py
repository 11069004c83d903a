"""`lsq.leads`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any
from uuid import UUID

from leadsquared_async.batch import CaptureResult, Results, Source
from leadsquared_async.config import NOT_GIVEN, NotGiven
from leadsquared_async.encoding import check_update_behavior
from leadsquared_async.http.redaction import sealed
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import Receipt
from leadsquared_async.operations import LEADS_CAPTURE, LEADS_UPDATE
from leadsquared_async.resources.requests import Resource
from leadsquared_async.resources.submit import CONCURRENCY, submit_many
from leadsquared_async.submissions import Submission, UpdateBehavior, capture_lead, update_lead

__all__ = ["Leads"]


class Leads(Resource):
    """Leads in, RequestIDs out, and what became of them."""

    operations = (LEADS_CAPTURE, LEADS_UPDATE)

    @sealed
    async def capture(
        self,
        lead: Mapping[str, Any],
        *,
        search_by: str | None = None,
        update_behavior: UpdateBehavior | None = None,
        reference: str | None = None,
        lane: Lane | None = None,
        deadline: float | NotGiven | None = NOT_GIVEN,
    ) -> Receipt:
        """Hand over one lead, new or known, and return LeadSquared's receipt for it.

        A lead without ProspectID, EmailAddress, Phone and SearchBy is always a new one. Every capture posts a
        "Lead Capture" activity, a repeated one too, so that automations on it run again
        (apidocs.leadsquared.com, "Capture Leads (Async)").

        Args:
            lead: schema name to value. Aware datetimes go out in UTC; None leaves an attribute out.
            search_by: the schema name by which LeadSquared looks for a lead it has, before its own order of
                ProspectID, EmailAddress, Phone.
            update_behavior: what to leave alone on a lead that is found; by default all that is passed is
                updated.
            reference: your own opaque id, never sent; on the receipt, on errors and in log lines.
            lane: who goes first; by default INTERACTIVE, as for a form. For many leads BATCH, which leaves
                room for forms.
            deadline: seconds for the whole call, the wait for a token included; None for no bound; by
                default the client's.

        Raises:
            InvalidLead: naming the attribute that cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether the lead may have arrived.
        """
        submission = capture_lead(
            lead, search_by=search_by, update_behavior=update_behavior, reference=reference
        )
        return await self._submit(submission, lane, deadline)

    @sealed
    async def update(
        self,
        lead_id: str | UUID,
        fields: Mapping[str, Any],
        *,
        post_updated_lead: bool = False,
        reference: str | None = None,
        lane: Lane | None = None,
        deadline: float | NotGiven | None = NOT_GIVEN,
    ) -> Receipt:
        """Give a lead that LeadSquared has other values; what is not passed stays
        (apidocs.leadsquared.com, "Update a Lead (Async)").

        Args:
            lead_id: its ProspectID.
            fields: schema name to value; "" clears a field.
            post_updated_lead: whether automations, webhooks and rules run on the change.
            reference: your own opaque id, as for `capture`.
            lane: as for `capture`.
            deadline: as for `capture`.

        Raises:
            InvalidLead: naming what cannot be sent; nothing was.
            LeadSquaredError: it did not succeed; `delivery` says whether the update may have arrived.
        """
        submission = update_lead(lead_id, fields, post_updated_lead=post_updated_lead, reference=reference)
        return await self._submit(submission, lane, deadline)

    def capture_many(
        self,
        leads: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        *,
        search_by: str | None = None,
        update_behavior: UpdateBehavior | None = None,
        lane: Lane | None = None,
        concurrency: int = CONCURRENCY,
    ) -> Results[CaptureResult]:
        """Hand over any number of leads, and get their results as they complete, in no promised order.

        `async with lsq.leads.capture_many(rows) as results: async for result in results: ...`. A lead that
        fails has its error in its result and stops no other. An error that is the account's fault would meet
        every lead: nothing more is pulled and sent, and the iteration raises it after the last result. An
        error of the source is raised there too. Leaving the block early cancels what is not sent yet and
        awaits what is. A result that was not read is logged: the RequestID of an accepted lead as a warning,
        a lead that was rejected or may have arrived as an error. A generator is closed when the block ends.
        There is no deadline, since waiting for the limit is what many leads do; the retry policy bounds each
        lead from its first attempt on, except that after a refusal by the limit (429) it is tried again as
        long as it takes.

        Args:
            leads: any iterable or asynchronous iterable of leads, endless ones too; the next is pulled when
                there is room. One that waits for something has to be asynchronous.
            search_by: as for `capture`, for each lead.
            update_behavior: as for `capture`, for each lead.
            lane: by default BATCH, which leaves room for forms.
            concurrency: leads pulled and not yet taken as results, at most.

        Raises:
            ConfigurationError: an argument cannot be right.
        """
        check_update_behavior(update_behavior)

        def submission(lead: Mapping[str, Any]) -> Submission:
            return capture_lead(lead, search_by=search_by, update_behavior=update_behavior)

        return submit_many(
            self._sender,
            self._parts.door,
            Source(leads, "leads.capture_many", "leads"),
            submission=submission,
            result=CaptureResult,
            lane=self._sender.lane(lane, Lane.BATCH),
            concurrency=concurrency,
            name=LEADS_CAPTURE.name,
        )

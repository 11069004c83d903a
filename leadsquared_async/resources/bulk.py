"""`lsq.bulk`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from leadsquared_async.batch import Batch, Pending
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import ConfigurationError, LeadSquaredError
from leadsquared_async.http.redaction import call_without_locals, without_locals
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, BULK_MOST
from leadsquared_async.resources.bulk_call import RowOutcome, send_rows
from leadsquared_async.resources.submit import Resource, submission_of
from leadsquared_async.results import Result, Results
from leadsquared_async.source import Source
from leadsquared_async.submissions import Submission, bulk_lead

__all__ = ["CALLS", "Bulk"]

CALLS = 8
"""Calls pending at once, of 25 leads each: the largest known plan allows 10 in 5 seconds."""

L = TypeVar("L", bound=Mapping[str, Any] | Submission)


class Bulk(Resource):
    """Leads in calls of 25, processed immediately by the synchronous API, under a separate limit."""

    @call_without_locals
    def create_or_update(
        self,
        leads: Iterable[L] | AsyncIterable[L],
        *,
        search_by: str | None = None,
        concurrency: int = CALLS,
    ) -> Results[L]:
        """Create or update leads, and get their results as they complete, in no guaranteed order.

        No "Lead Capture" activity is posted, and there is no RequestID: the `status` of a result is final and
        has `lead_id` and `created`; its `message` is LeadSquared's row. A rejected lead has its error in its
        result; a lead that is missing from the answer has an unknown delivery. If a call fails as a whole,
        each of its leads has the error; with an unknown delivery the call is retried only if LeadSquared can
        match all of them. See also `Results`.
        Source: apidocs.leadsquared.com, "Create or Update Leads in Bulk".

        Example:
            async with lsq.bulk.create_or_update(rows) as results:
                async for result in results:
                    print(result.index, result.status, result.error)

        Args:
            leads: any iterable or asynchronous iterable of mappings, or of `submissions.bulk_lead(...)` with
                their own options and `reference`. A call is made for every 25 leads, and for the rest.
            search_by: the schema name by which LeadSquared looks for an existing lead, for each mapping; by
                default EmailAddress and Phone. A lead with neither is always new.
            concurrency: maximum calls that have unread results.

        Raises:
            ConfigurationError: an argument is invalid, or no synchronous host is known.
        """
        sender, preparer = self._parts.sender.until(None), self._parts.preparer
        lane = sender.lane(None, Lane.BATCH)
        name = BULK_CREATE_OR_UPDATE.name
        if sender.session.options.hosts.sync_host is None:
            raise ConfigurationError(f"{name}: the synchronous host is unknown: pass region= or sync_host=")

        def made(lead: Mapping[str, Any]) -> Submission:
            return bulk_lead(lead, search_by=search_by)

        # Locals hold places, not leads: a traceback of an error caught here must not show a lead.
        @without_locals
        async def prepare(pending: Pending[L], place: int) -> EncodedSubmission:
            return await preparer.prepare(submission_of(pending.items[place], BULK_CREATE_OR_UPDATE, made))

        async def work(pending: Pending[L]) -> Sequence[Result[L]]:
            rows: dict[int, EncodedSubmission] = {}
            outcomes: dict[int, RowOutcome] = {}
            for place in range(len(pending.items)):
                try:
                    rows[place] = await prepare(pending, place)
                except LeadSquaredError as error:
                    outcomes[place] = RowOutcome(0, error=error)
            try:
                if rows:
                    answered = await send_rows(sender, [*rows.values()], lane, pending.about_to_send)
                    outcomes |= zip(rows, answered, strict=True)
            except LeadSquaredError as error:
                outcomes |= dict.fromkeys(rows, RowOutcome(error.attempts, error=error))
            dropped = {place: row.dropped for place, row in rows.items()}
            return [
                pending.result(place, status=it.status, error=it.error, dropped=dropped.get(place, ()))
                for place, it in sorted(outcomes.items())
            ]

        source = Source(leads, name, "leads")
        return Batch(source, work, session=sender.session, concurrency=concurrency, name=name, size=BULK_MOST)

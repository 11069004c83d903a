"""`lsq.bulk`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import Any

from leadsquared_async.batch import BulkResult, Chunk, Chunks, Held, Results, Source
from leadsquared_async.encoding import EncodedSubmission
from leadsquared_async.errors import ConfigurationError, LeadSquaredError
from leadsquared_async.http.redaction import sealed
from leadsquared_async.http.session import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.operations import BULK_CREATE_OR_UPDATE, BULK_MOST
from leadsquared_async.resources.bulk_call import RowOutcome, send_rows
from leadsquared_async.resources.prepare import Door
from leadsquared_async.resources.submit import unsent_error
from leadsquared_async.submissions import bulk_lead

__all__ = ["CALLS", "Bulk"]

CALLS = 8
"""Calls held at once, of 25 leads each: the largest known plan allows 10 in 5 seconds."""

_Lead = Mapping[str, Any]


class Bulk:
    """Leads in calls of 25, done at once by the synchronous API, under a limit of their own."""

    def __init__(self, sender: Sender, door: Door) -> None:
        self._sender = sender
        self._door = door

    def create_or_update(
        self,
        leads: Iterable[_Lead] | AsyncIterable[_Lead],
        *,
        search_by: str | None = None,
        lane: Lane | None = None,
        concurrency: int = CALLS,
    ) -> Results[BulkResult]:
        """Create leads, or update those that LeadSquared has, and get their results as they complete, in no
        promised order (apidocs.leadsquared.com, "Create or Update Leads in Bulk").

        `async with lsq.bulk.create_or_update(rows) as results: async for result in results: ...`. No "Lead
        Capture" activity is posted, and there is no RequestID: the results are final. A lead that cannot be
        sent, or that LeadSquared refuses, has its error in its result and stops no other; one that is missing
        from LeadSquared's answer has an error whose delivery is unknown. A call that fails as a whole gives
        its error to each of its leads; it is repeated on an unknown delivery only if LeadSquared can match
        all of them. Errors of the account and of the source, and leaving early, are as for
        `leads.capture_many`.

        Args:
            leads: any iterable or asynchronous iterable of leads. A call goes when 25 have come, or the last.
            search_by: the schema name by which LeadSquared looks for a lead it has; by default EmailAddress
                and Phone. Without one of them it is always a new lead.
            lane: by default BATCH. Bulk calls compete with each other only.
            concurrency: calls whose leads are pulled and not yet all taken as results, at most.

        Raises:
            ConfigurationError: an argument cannot be right, or no synchronous host is known.
        """
        lane = self._sender.lane(lane, Lane.BATCH)
        sender = self._sender.until(None)
        name = BULK_CREATE_OR_UPDATE.name
        if sender.session.options.hosts.sync_host is None:
            raise ConfigurationError(
                f"{name}: this client knows no synchronous host: pass region= or sync_host="
            )

        # Places instead of leads in the locals: a traceback of what is caught here is to show no lead.
        @sealed
        async def admit(chunk: Chunk[_Lead], place: int) -> EncodedSubmission:
            return await self._door.admit(bulk_lead(chunk.items[place], search_by=search_by))

        async def work(held: Held[Chunk[_Lead]]) -> Sequence[BulkResult]:
            chunk = held.item
            rows: list[EncodedSubmission | LeadSquaredError] = []
            for place in range(len(chunk.items)):
                try:
                    rows.append(await admit(chunk, place))
                except LeadSquaredError as error:
                    rows.append(error)
            admitted = [row for row in rows if isinstance(row, EncodedSubmission)]
            outcomes: list[RowOutcome] = []
            try:
                if admitted:
                    outcomes = await send_rows(sender, admitted, lane, held.about_to_send)
            except LeadSquaredError as error:
                outcomes = [RowOutcome(error.attempts, error=error)] * len(admitted)
            left = iter(outcomes)
            return [
                _failed(chunk, place, row)
                if isinstance(row, LeadSquaredError)
                else _done(chunk, place, row, next(left))
                for place, row in enumerate(rows)
            ]

        def unsent(held: Held[Chunk[_Lead]], error: LeadSquaredError) -> Sequence[BulkResult]:
            return [
                _failed(held.item, place, unsent_error(name, error)) for place in range(len(held.item.items))
            ]

        source = Chunks(Source(leads, name, "leads"), BULK_MOST)
        return Results(source, work, unsent, session=sender.session, concurrency=concurrency, name=name)


def _failed(chunk: Chunk[_Lead], place: int, error: LeadSquaredError) -> BulkResult:
    return BulkResult(chunk.first + place, chunk.items[place], None, None, None, error)


def _done(chunk: Chunk[_Lead], place: int, row: EncodedSubmission, outcome: RowOutcome) -> BulkResult:
    return BulkResult(
        index=chunk.first + place,
        lead=chunk.items[place],
        lead_id=outcome.lead_id,
        created=outcome.created,
        updated=outcome.updated,
        error=outcome.error,
        dropped=row.dropped,
    )

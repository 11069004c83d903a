"""`lsq.leads`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

from leadsquared_async.batch import CaptureResult, Held, Results, WaitResult
from leadsquared_async.config import NOT_GIVEN, NotGiven
from leadsquared_async.errors import Delivery, Fault, LeadSquaredError, ServerError
from leadsquared_async.lead import update_behavior_query
from leadsquared_async.models import QueueMetrics, Receipt, RequestStatus
from leadsquared_async.operations import CAPTURE_LEADS, Repeat
from leadsquared_async.resources.submission import UpdateBehavior, capture, submit
from leadsquared_async.sending.bucket import Lane
from leadsquared_async.sending.call import Call, Keys
from leadsquared_async.sending.replies import Expect
from leadsquared_async.sending.sealing import sealed
from leadsquared_async.sending.session import Sender
from leadsquared_async.tracking import Trackers, look

__all__ = ["Leads"]

CONCURRENCY = 32
"""Leads held at once: more than the limit lets through in the time of a slow answer is of no use."""
FOLLOWED = 1000
"""Requests followed at once; they share their calls."""


class Leads:
    """Leads in, RequestIDs out, and what became of them."""

    def __init__(self, sender: Sender, trackers: Trackers) -> None:
        self._sender = sender
        self._tracker = trackers.of(CAPTURE_LEADS)

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
            InvalidLead: naming the attribute that cannot be encoded; nothing was sent.
            LeadSquaredError: it did not succeed; `delivery` says whether the lead may have arrived.
        """
        submission = capture(lead, search_by, update_behavior, reference)
        sender = self._sender.until(deadline)
        return await submit(sender, submission, sender.lane(lane, Lane.INTERACTIVE))

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
        awaits what is; a log line tells each RequestID that nobody took. There is no deadline, since waiting
        for the limit is what many leads do; the retry policy bounds each lead from its first attempt on,
        except that after a refusal by the limit (429) it is tried again as long as it takes.

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
        lane = self._sender.lane(lane, Lane.BATCH)
        sender = self._sender.until(None)
        update_behavior_query(update_behavior)

        @sealed
        async def send(held: Held[Mapping[str, Any]]) -> Receipt:
            submission = capture(held.item, search_by, update_behavior)
            return await submit(sender, submission, lane, held.about_to_send)

        async def work(held: Held[Mapping[str, Any]]) -> CaptureResult:
            try:
                receipt = await send(held)
            except LeadSquaredError as error:
                return CaptureResult(held.index, held.item, None, error)
            return CaptureResult(held.index, held.item, receipt, None)

        def unsent(held: Held[Mapping[str, Any]], error: LeadSquaredError) -> CaptureResult:
            return CaptureResult(held.index, held.item, None, _unsent(error))

        return Results(leads, work, unsent, concurrency=concurrency, name=CAPTURE_LEADS.name)

    @sealed
    async def status(self, request_id: str) -> RequestStatus:
        """Look once at what became of a capture.

        Raises:
            NotFound: LeadSquared does not know the id, or not yet: it can take a moment.
            LeadSquaredError: the call did not succeed.
        """
        return await look(self._sender, CAPTURE_LEADS, request_id)

    @sealed
    async def wait(self, request_id: str, *, deadline: float | NotGiven | None = NOT_GIVEN) -> RequestStatus:
        """Follow a capture until its status is final, and return that: look at `succeeded`.

        A status that says FAILED is returned, not raised. Polls share the account's rate limit.

        Args:
            request_id: from the receipt.
            deadline: seconds to wait at most; None for no bound; by default the client's.

        Raises:
            StillProcessing: it is not final yet; the request stays queued, wait again.
            LeadSquaredError: the account's fault, or an id that LeadSquared does not know.
        """
        return await self._tracker.wait(request_id, self._sender.until(deadline).settings.deadline)

    def wait_many(
        self,
        request_ids: Iterable[str] | AsyncIterable[str],
        *,
        deadline: float | NotGiven | None = NOT_GIVEN,
    ) -> Results[WaitResult]:
        """Follow any number of captures, and get their outcomes as they become final.

        `async with lsq.leads.wait_many(ids) as results: async for result in results: ...`. In the order in
        which they were accepted they cost little more than one status call each.

        Args:
            request_ids: from the receipts, the oldest first; up to 1000 are followed at once.
            deadline: seconds for all of them, from entering on; what is not final then has `StillProcessing`
                as its error. None for no bound; by default the client's.

        Raises:
            ConfigurationError: an argument cannot be right.
        """
        seconds = self._sender.until(deadline).settings.deadline

        async def work(held: Held[str]) -> WaitResult:
            gone = asyncio.get_running_loop().time() - held.entered
            try:
                status = await self._tracker.wait(held.item, None if seconds is None else seconds - gone)
            except LeadSquaredError as error:
                return WaitResult(held.index, held.item, None, error)
            return WaitResult(held.index, held.item, status, None)

        return Results(request_ids, work, concurrency=FOLLOWED, name=f"{CAPTURE_LEADS.name} wait")

    @sealed
    async def metrics(self) -> QueueMetrics:
        """How long the queue of captures is, and how fast it is processed.

        Raises:
            LeadSquaredError: the call did not succeed.
        """
        operation = f"{CAPTURE_LEADS.name} metrics"
        call = Call(
            operation=operation,
            method="GET",
            path=CAPTURE_LEADS.metrics.text,
            keys=Keys.API_KEY,
            expect=Expect.JSON,
            repeat=Repeat.ALWAYS,
            lane=self._sender.lane(None, Lane.STATUS),
        )
        sent = await self._sender.send(call)
        metrics = QueueMetrics.read(sent.outcome.data)
        if metrics is None:
            raise ServerError(
                f"{operation}: the answer holds no metrics",
                delivery=Delivery.UNKNOWN,
                fault=Fault.SERVER,
                attempts=sent.attempts,
                waited=sent.waited,
                operation=operation,
                status_code=sent.outcome.status_code,
                body=sent.outcome.body,
            )
        return metrics


def _unsent(error: LeadSquaredError) -> LeadSquaredError:
    """The error of an item that is not sent, since `error` met another and would meet it too."""
    return type(error)(
        f"{CAPTURE_LEADS.name}: not sent, since all would fail like one of them ({type(error).__name__})",
        delivery=Delivery.NOT_SENT,
        fault=error.fault,
        operation=error.operation,
    )

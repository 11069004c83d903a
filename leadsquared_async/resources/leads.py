"""`lsq.leads`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from leadsquared_async.config import NOT_GIVEN, NotGiven
from leadsquared_async.errors import Delivery, Fault, InvalidLead, ServerError
from leadsquared_async.lead import encode, update_behavior_query
from leadsquared_async.models import QueueMetrics, Receipt, RequestStatus
from leadsquared_async.operations import CAPTURE_LEADS, Repeat
from leadsquared_async.sending.bucket import Lane
from leadsquared_async.sending.call import Call, Keys
from leadsquared_async.sending.replies import Expect
from leadsquared_async.sending.sealing import sealed
from leadsquared_async.sending.session import Sender
from leadsquared_async.tracking import look, wait

__all__ = ["Leads"]


class Leads:
    """Leads in, RequestIDs out, and what became of them."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    @sealed
    async def capture(
        self,
        lead: Mapping[str, Any],
        *,
        search_by: str | None = None,
        update_behavior: Literal["DoNotUpdate", "UpdateOnlyEmptyFields", "DoNotUpdateUniqueFields"]
        | None = None,
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
        try:
            encoded = encode(lead, search_by=search_by)
        except InvalidLead as error:
            error.operation, error.reference = CAPTURE_LEADS.name, reference
            raise
        call = Call(
            operation=CAPTURE_LEADS.name,
            method="POST",
            path=CAPTURE_LEADS.submit.text,
            query=update_behavior_query(update_behavior),
            content=encoded.content,
            private=encoded.values,
            repeat=CAPTURE_LEADS.repeat(identified=encoded.identified),
            lane=self._sender.lane(lane, Lane.INTERACTIVE),
            reference=reference,
        )
        sent = await self._sender.until(deadline).send(call)
        assert sent.outcome.request_id is not None  # an accepted submission has one
        return Receipt(
            request_id=sent.outcome.request_id,
            attempts=sent.attempts,
            waited=sent.waited,
            reference=reference,
        )

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
        return await wait(self._sender.until(deadline), CAPTURE_LEADS, request_id)

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

"""Accepted requests: their status, their outcome, and LeadSquared's queue."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence
from typing import Any, ClassVar, Literal, TypeVar, cast

from leadsquared_async.batch import FOLLOWED, Batch, Pending
from leadsquared_async.clock import clock
from leadsquared_async.errors import ConfigurationError, LeadSquaredError
from leadsquared_async.http.call import Call
from leadsquared_async.http.redaction import call_without_locals, without_locals
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import QueueMetrics, Receipt, RequestStatus, read_metrics
from leadsquared_async.operations import LEADS_CAPTURE, Idempotency, Keys, Operation, operation_named
from leadsquared_async.protocol import ExpectedBody
from leadsquared_async.resources.submit import Resource, outcome
from leadsquared_async.results import Result, Results
from leadsquared_async.source import Source
from leadsquared_async.tracking import fetch_status

__all__ = ["Requests"]

Q = TypeVar("Q", bound=Receipt | str | Result[Any])


class Requests(Resource):
    """Accepted requests. A receipt names its operation; a bare RequestID does not."""

    _usual: ClassVar[Operation] = LEADS_CAPTURE
    _prefix: ClassVar[str] = ""

    @without_locals
    async def status(self, request: Receipt | str, *, operation: str | None = None) -> RequestStatus:
        """Fetch the status of a request once.

        Example:
            status = await lsq.status(receipt)

        Args:
            request: the receipt, or the RequestID from it.
            operation: the operation of a bare RequestID, such as "leads.update"; by default the resource's
                first, on the client "leads.capture".

        Raises:
            NotFound: LeadSquared does not know the RequestID; a new one can take a moment.
            LeadSquaredError: the call failed.
        """
        request_id = request.request_id if isinstance(request, Receipt) else request
        return await fetch_status(self._parts.sender, self._operation_of(request, operation), request_id)

    @without_locals
    async def wait(
        self,
        request: Receipt | str,
        *,
        operation: str | None = None,
        deadline: float | Literal["client"] | None = "client",
    ) -> RequestStatus:
        """Follow a request until its status is final, and return the status: check `succeeded`.

        A FAILED status is returned, not raised. Status calls share the account's rate limit.

        Example:
            status = await lsq.wait(receipt, deadline=60)

        Args:
            request: the receipt, or the RequestID from it.
            operation: of a bare RequestID; as for `status`.
            deadline: maximum seconds to wait; None for no bound; by default the client's.

        Raises:
            StillProcessing: the status is not final yet; the request stays queued, so wait again.
            LeadSquaredError: an account-level error, or LeadSquared does not know the RequestID.
        """
        seconds = self._parts.sender.until(deadline).settings.deadline
        tracker = self._parts.trackers.of(self._operation_of(request, operation))
        return await outcome(tracker, request, seconds)

    @call_without_locals
    def wait_many(
        self,
        requests: Iterable[Q] | AsyncIterable[Q],
        *,
        operation: str | None = None,
        deadline: float | Literal["client"] | None = "client",
    ) -> Results[Q]:
        """Follow any number of requests, and get their outcomes as they become final.

        In the order of their acceptance they cost little more than one status call each.

        Example:
            async with lsq.wait_many(receipts) as results:
                async for result in results:
                    print(result.reference, result.status, result.error)

        Args:
            requests: receipts, RequestIDs, or results of `submit_many` and the like, oldest first; up to 1000
                are followed at once. A result without a receipt or with a known outcome is passed through.
            operation: of bare RequestIDs; as for `status`.
            deadline: seconds for all of them, from entering the block; requests not final by then have
                `StillProcessing` as their error. None for no bound; by default the client's.

        Raises:
            ConfigurationError: an argument is invalid.
        """
        parts = self._parts
        seconds = parts.sender.until(deadline).settings.deadline

        # No local of `work` holds an item: a traceback of an error caught there must not show one.
        @without_locals
        async def follow(pending: Pending[Q]) -> RequestStatus:
            request = pending.receipt or cast("str", pending.item)
            tracker = parts.trackers.of(self._operation_of(request, operation))
            gone = clock.now() - pending.entered
            return await outcome(tracker, request, None if seconds is None else seconds - gone)

        async def work(pending: Pending[Q]) -> Sequence[Result[Q]]:
            if isinstance(pending.item, Receipt):
                pending.receipt = pending.item
            elif isinstance(pending.item, Result):
                known: Result[Any] = pending.item
                pending.receipt = known.receipt
                if known.receipt is None or (known.status is not None and known.status.is_final):
                    return [pending.result(status=known.status, error=known.error, dropped=known.dropped)]
            try:
                return [pending.result(status=await follow(pending))]
            except LeadSquaredError as error:
                return [pending.result(error=error)]

        return Batch(
            Source(requests, f"{self._prefix}wait_many", "receipts, RequestIDs or results"),
            work,
            session=parts.sender.session,
            concurrency=FOLLOWED,
            name=f"{self._operation(operation).name} wait",
            submits=False,
        )

    @without_locals
    async def metrics(self, *, operation: str | None = None) -> QueueMetrics:
        """The length and speed of LeadSquared's queue of an operation.

        Example:
            queue = await lsq.metrics(operation="leads.update")

        Args:
            operation: as for `status`.

        Raises:
            LeadSquaredError: the call failed.
        """
        sender = self._parts.sender
        measured = self._operation(operation)
        name = f"{measured.name} metrics"
        call = Call(
            operation=name,
            method="GET",
            path=measured.metrics.text,
            certainty=measured.metrics.certainty,
            keys=Keys.API_KEY,
            expect=ExpectedBody.JSON,
            repeat=Idempotency.READ,
            lane=sender.lane(None, Lane.STATUS),
        )
        sent = await sender.send(call)
        metrics = read_metrics(sent.outcome.data)
        if metrics is None:
            raise sent.without("metrics", name)
        return metrics

    def _operation(self, name: str | None) -> Operation:
        return self._usual if name is None else operation_named(name)

    def _operation_of(self, request: Receipt | str, name: str | None) -> Operation:
        if not isinstance(request, Receipt):
            return self._operation(name)
        if name not in {None, request.operation}:
            raise ConfigurationError(f"operation: the receipt is of {request.operation}; omit operation=")
        return operation_named(request.operation)

"""What every resource can do: follow what it submitted, and measure LeadSquared's queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import ClassVar, NamedTuple

from leadsquared_async.batch import Held, Results, Source, WaitResult
from leadsquared_async.config import NOT_GIVEN, NotGiven
from leadsquared_async.errors import ConfigurationError, Delivery, Fault, LeadSquaredError, Scope, ServerError
from leadsquared_async.http.call import Call
from leadsquared_async.http.redaction import sealed
from leadsquared_async.http.session import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import QueueMetrics, Receipt, RequestStatus
from leadsquared_async.operations import OPERATIONS, Idempotency, Keys, Operation
from leadsquared_async.protocol import Expect
from leadsquared_async.resources.prepare import Door
from leadsquared_async.resources.submit import submit
from leadsquared_async.submissions import Submission
from leadsquared_async.tracking import Trackers, look

__all__ = ["Parts", "Resource"]

FOLLOWED = 1000
"""Requests followed at once; they share their calls."""


class Parts(NamedTuple):
    """What the resources of a client share: the way out, what follows requests, what every lead passes."""

    sender: Sender
    trackers: Trackers
    door: Door


class Resource:
    """Some operations of the table, with one way to submit, follow and measure them.

    Attributes:
        operations: what it submits; a bare RequestID is taken for one of the first.
    """

    operations: ClassVar[tuple[Operation, ...]]

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._sender = parts.sender

    @sealed
    async def status(self, request: Receipt | str, *, operation: str | None = None) -> RequestStatus:
        """Look once at what became of a request.

        Args:
            request: the receipt, or the RequestID from it.
            operation: which one a bare RequestID is of, such as "leads.update"; by default the first of this
                resource.

        Raises:
            NotFound: LeadSquared does not know the id, or not yet: it can take a moment.
            LeadSquaredError: the call did not succeed.
        """
        return await look(self._sender, self._operation_of(request, operation), _id_of(request))

    @sealed
    async def wait(
        self,
        request: Receipt | str,
        *,
        operation: str | None = None,
        deadline: float | NotGiven | None = NOT_GIVEN,
    ) -> RequestStatus:
        """Follow a request until its status is final, and return that: look at `succeeded`.

        A status that says FAILED is returned, not raised. Polls share the account's rate limit.

        Args:
            request: the receipt, or the RequestID from it.
            operation: which one a bare RequestID is of; by default the first of this resource.
            deadline: seconds to wait at most; None for no bound; by default the client's.

        Raises:
            StillProcessing: it is not final yet; the request stays queued, wait again.
            LeadSquaredError: the account's fault, or an id that LeadSquared does not know.
        """
        tracker = self._parts.trackers.of(self._operation_of(request, operation))
        return await tracker.wait(_id_of(request), self._sender.until(deadline).settings.deadline)

    def wait_many(
        self,
        requests: Iterable[Receipt | str] | AsyncIterable[Receipt | str],
        *,
        operation: str | None = None,
        deadline: float | NotGiven | None = NOT_GIVEN,
    ) -> Results[WaitResult]:
        """Follow any number of requests, and get their outcomes as they become final.

        `async with lsq.leads.wait_many(ids) as results: async for result in results: ...`. In the order in
        which they were accepted they cost little more than one status call each.

        Args:
            requests: receipts or RequestIDs, the oldest first; up to 1000 are followed at once.
            operation: which one bare RequestIDs are of; by default the first of this resource.
            deadline: seconds for all of them, from entering on; what is not final then has `StillProcessing`
                as its error. None for no bound; by default the client's.

        Raises:
            ConfigurationError: an argument cannot be right.
        """
        seconds = self._sender.until(deadline).settings.deadline
        usual = self._operation(operation)

        async def work(held: Held[Receipt | str]) -> WaitResult:
            gone = asyncio.get_running_loop().time() - held.entered
            try:
                tracker = self._parts.trackers.of(self._operation_of(held.item, operation))
                status = await tracker.wait(_id_of(held.item), None if seconds is None else seconds - gone)
            except LeadSquaredError as error:
                return WaitResult(held.index, _id_of(held.item), None, error)
            return WaitResult(held.index, _id_of(held.item), status, None)

        return Results(
            Source(requests, f"{usual.name.partition('.')[0]}.wait_many", "receipts or RequestIDs"),
            work,
            session=self._sender.session,
            concurrency=FOLLOWED,
            name=f"{usual.name} wait",
        )

    @sealed
    async def metrics(self, *, operation: str | None = None) -> QueueMetrics:
        """How long LeadSquared's queue of an operation is, and how fast it is processed.

        Args:
            operation: which one; by default the first of this resource.

        Raises:
            LeadSquaredError: the call did not succeed.
        """
        measured = self._operation(operation)
        name = f"{measured.name} metrics"
        call = Call(
            operation=name,
            method="GET",
            path=measured.metrics.text,
            certainty=measured.metrics.certainty,
            keys=Keys.API_KEY,
            expect=Expect.JSON,
            repeat=Idempotency.READ,
            lane=self._sender.lane(None, Lane.STATUS),
        )
        sent = await self._sender.send(call)
        metrics = QueueMetrics.read(sent.outcome.data)
        if metrics is None:
            raise ServerError(
                f"{name}: the answer holds no metrics",
                delivery=Delivery.UNKNOWN,
                fault=Fault.SERVER,
                scope=Scope.OPERATION,
                safe_to_retry=True,
                attempts=sent.attempts,
                waited=sent.waited,
                operation=name,
                status_code=sent.outcome.status_code,
                body=sent.outcome.body,
            )
        return metrics

    @sealed
    async def _submit(
        self, submission: Submission, lane: Lane | None, deadline: float | NotGiven | None
    ) -> Receipt:
        """Send one, as for a form unless told otherwise."""
        sender = self._sender.until(deadline)
        return await submit(sender, self._parts.door, submission, sender.lane(lane, Lane.INTERACTIVE))

    def _operation(self, name: str | None) -> Operation:
        if name is None:
            return self.operations[0]
        found = next((operation for operation in self.operations if operation.name == name), None)
        if found is None:
            names = ", ".join(operation.name for operation in self.operations)
            raise ConfigurationError(f"operation has to be one of {names}")
        return found

    def _operation_of(self, request: Receipt | str, name: str | None) -> Operation:
        if not isinstance(request, Receipt):
            return self._operation(name)
        if name not in {None, request.operation}:
            raise ConfigurationError(f"operation: the receipt is of {request.operation}; leave it out")
        if (operation := OPERATIONS.get(request.operation)) is not None and operation not in self.operations:
            resource = operation.name.partition(".")[0]
            raise ConfigurationError(f"the receipt is of {operation.name}; follow it with lsq.{resource}")
        return self._operation(request.operation)


def _id_of(request: Receipt | str) -> str:
    return request.request_id if isinstance(request, Receipt) else request

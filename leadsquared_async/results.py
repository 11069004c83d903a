"""`Result`, the outcome of one item of many, and `Results`, which yields them as they complete."""

from __future__ import annotations

from abc import ABC
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from leadsquared_async.errors import (
    Delivery,
    Fault,
    LeadSquaredError,
    exception_in,
    kind_of_error,
    rejected_later,
)
from leadsquared_async.models import Receipt, RequestStatus, ShortRepr

if TYPE_CHECKING:
    from leadsquared_async.logs import ClientEvents

__all__ = ["Result", "Results", "tell_unread"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, repr=False)
class Result(ShortRepr, Generic[T]):
    """The outcome of one item of many; its repr shows no personal data.

    Attributes:
        index: its position in the source, from 0.
        item: the item from the source, unchanged.
        reference: the caller's own id for it, if it has one.
        receipt: LeadSquared's receipt, if it accepted the item.
        status: the outcome, if known: after a wait, with `follow=True`, or of a bulk call.
        error: what went wrong. Its `delivery` says whether the item may have arrived; with a receipt, only
            following it failed.
        dropped: attributes that the account does not have and that were left out, with `validate="drop"`.
    """

    index: int
    item: T = field(repr=False)
    reference: str | None = None
    receipt: Receipt | None = None
    status: RequestStatus | None = None
    error: LeadSquaredError | None = None
    dropped: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no error and the outcome, if known, is a success."""
        return self.error is None and (self.status is None or self.status.succeeded)


class Results(AbstractAsyncContextManager["Results[T]"], AsyncIterator[Result[T]], ABC, Generic[T]):
    """The results of many calls, as they complete, in no guaranteed order.

    Example:
        async with lsq.leads.capture_many(rows) as results:
            async for result in results:
                print(result.index, result.ok, result.error)

    A failed item has its error in its result and does not stop the others. An account-level error would hit
    every item, so pulling and sending stop, and the iteration raises the error after the results of the items
    already pulled. The iteration also raises the source's errors, and `ClientClosed` if the client is closed.
    Entering the block raises `ClientClosed` if the client is not open, or belongs to another loop or process.
    In a mix of operations, an error that affects one operation, such as a path that does not exist, stops
    only that operation: its remaining results have the error, and nothing is raised.

    Items are pulled only when there is room, so a source of any length costs no memory. A source that waits
    must be asynchronous. Leaving the block early cancels unsent calls and waits up to 8 seconds for the
    others. Unread results of items that were accepted, rejected or may have arrived are logged. A generator
    is closed when the block ends.
    """


def tell_unread(result: Result[Any], name: str, events: ClientEvents) -> None:
    """Tell of the unread result of an item that was accepted, was rejected or may have arrived."""
    from leadsquared_async.events import Abandoned, DeadLetter  # noqa: PLC0415 - slow to import

    receipt, status, error = result.receipt, result.status, result.error
    operation = receipt.operation if receipt is not None else (error and error.operation) or name
    request_id = None if receipt is None else receipt.request_id
    state, delivery, kind, reason = None, Delivery.ACCEPTED, "", ""
    if receipt is None and error is not None:
        delivery, kind, reason = error.delivery, kind_of_error(error), error.summary
        if delivery is Delivery.UNKNOWN:
            state = "unknown"
        elif delivery is Delivery.REJECTED or error.fault is Fault.LEAD:
            state = "rejected"
        else:
            return  # it was not sent
    elif status is not None and status.is_final and not status.succeeded:
        state, kind = "rejected", exception_in(status.reason) or status.state.value
        reason = rejected_later(status.reason).summary
    if state is None:
        events.emit(
            Abandoned(
                operation=operation,
                reference=result.reference,
                request_id=request_id,
                delivery=delivery,
                lead_id=None if status is None else status.lead_id,
                item=result.index,
            )
        )
        return
    events.emit(
        DeadLetter(
            owner="batch",
            item=result.index,
            state=state,
            operation=operation,
            reference=result.reference,
            request_id=request_id,
            delivery=delivery,
            kind=kind,
            reason=reason,
        )
    )

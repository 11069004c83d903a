"""One look at a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leadsquared_async.errors import ConfigurationError, NotFound
from leadsquared_async.http.call import Call
from leadsquared_async.http.session import Sender
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.models import RequestStatus, id_in
from leadsquared_async.operations import Idempotency, Keys, Operation
from leadsquared_async.protocol import Expect

if TYPE_CHECKING:
    from leadsquared_async.http.run import BeforeSend

__all__ = ["look", "request_id_of"]


async def look(
    sender: Sender, operation: Operation, request_id: str, before_send: BeforeSend | None = None
) -> RequestStatus:
    """Ask once.

    Raises:
        NotFound: LeadSquared does not know the request, or not yet.
        LeadSquaredError: the call did not succeed.
    """
    name = f"{operation.name} status"
    call = Call(
        operation=name,
        method="GET",
        path=operation.status.text,
        certainty=operation.status.certainty,
        query=(("RequestID", request_id_of(request_id)),),
        keys=Keys.API_KEY,
        expect=Expect.JSON,
        repeat=Idempotency.READ,
        lane=sender.lane(None, Lane.STATUS),
    )
    sent = await sender.send(call, before_send)
    status = RequestStatus.read(sent.outcome.data, request_id)
    if status is None:
        raise NotFound(
            f"{name}: LeadSquared does not know this request, or not yet",
            attempts=sent.attempts,
            waited=sent.waited,
            operation=name,
            status_code=sent.outcome.status_code,
            body=sent.outcome.body,
        )
    return status


def request_id_of(text: str) -> str:
    """The RequestID without white space around it.

    Raises:
        ConfigurationError: it cannot be one.
    """
    request_id = id_in(text)
    if request_id is None:
        raise ConfigurationError("request_id has to be the string that a receipt holds")
    return request_id

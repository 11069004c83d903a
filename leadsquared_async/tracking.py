"""A RequestID, followed to its end."""

from __future__ import annotations

import asyncio
import random
import re

from leadsquared_async.errors import (
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    Delivery,
    LeadSquaredError,
    NotFound,
    QuotaExceeded,
    RateLimited,
    ServerError,
    StillProcessing,
)
from leadsquared_async.models import RequestStatus
from leadsquared_async.operations import Operation, Repeat
from leadsquared_async.sending.bucket import Lane
from leadsquared_async.sending.call import Call, Keys
from leadsquared_async.sending.replies import Expect
from leadsquared_async.sending.session import Sender

__all__ = ["look", "wait"]

FIRST_PAUSE = 1.0
GROWTH = 1.6
LONGEST_PAUSE = 15.0
GRACE = 60.0
"""Seconds for which an id that LeadSquared does not know is taken for one that it does not know yet."""


async def look(sender: Sender, operation: Operation, request_id: str) -> RequestStatus:
    """Ask once.

    Raises:
        NotFound: LeadSquared does not know the request, or not yet.
        LeadSquaredError: the call did not succeed.
    """
    sent = await sender.send(_status_call(sender, operation, request_id))
    status = RequestStatus.read(sent.outcome.data, request_id)
    if status is None:
        raise NotFound(
            f"{operation.name} status: LeadSquared does not know this request, or not yet",
            attempts=sent.attempts,
            waited=sent.waited,
            operation=f"{operation.name} status",
            status_code=sent.outcome.status_code,
            body=sent.outcome.body,
        )
    return status


async def wait(sender: Sender, operation: Operation, request_id: str) -> RequestStatus:
    """Ask with growing pauses until the status is final, within the sender's deadline.

    Raises:
        StillProcessing: the deadline came first; nothing is lost, wait again.
        LeadSquaredError: the account's fault, or an id that stays unknown.
    """
    clock = asyncio.get_running_loop().time
    start = clock()
    bound = sender.settings.deadline
    pause = FIRST_PAUSE
    last: RequestStatus | None = None
    trouble: LeadSquaredError | None = None
    while True:
        left = None if bound is None else start + bound - clock()
        if left is not None and left <= 0:
            break
        try:
            last = await look(sender.until(left), operation, request_id)
            if last.is_final:
                return last
        except QuotaExceeded:
            raise
        except NotFound as error:
            if clock() - start > GRACE:
                raise
            trouble = error
        except (ConnectionFailed, RateLimited, ServerError, DeadlineExceeded) as error:
            trouble = error
        # Spread out, so that many waits that began together do not ask together.
        nap = pause * random.uniform(0.8, 1.2)
        pause = min(pause * GROWTH, LONGEST_PAUSE)
        if left is not None and nap >= start + (bound or 0.0) - clock():
            break
        await sender.pause(nap)
    seen = "was accepted and stays in LeadSquared's queue" if last else "was not found so far"
    raise StillProcessing(
        f"{operation.name}: after {clock() - start:.3g} s request {request_id} is not finished; it {seen}: "
        "wait again later",
        delivery=Delivery.ACCEPTED if last else Delivery.UNKNOWN,
        request_id=request_id,
        last_status=last,
        waited=clock() - start,
        operation=operation.name,
    ) from trouble


def _status_call(sender: Sender, operation: Operation, request_id: str) -> Call:
    if not isinstance(request_id, str) or not re.fullmatch(r"\s*[!-~]{1,200}\s*", request_id):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError("request_id has to be the string that a receipt holds")
    return Call(
        operation=f"{operation.name} status",
        method="GET",
        path=operation.status.text,
        query=(("RequestID", request_id.strip()),),
        keys=Keys.API_KEY,
        expect=Expect.JSON,
        repeat=Repeat.ALWAYS,
        lane=sender.lane(None, Lane.STATUS),
    )

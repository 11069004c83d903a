"""A program with Sentry, its httpx integration and the variables of every frame: prints what is sent.

With "plain" as its argument it makes a call with httpx alone, whose keys Sentry gets.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import httpx
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.httpx import HttpxIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport

from leadsquared_async import LeadSquaredError, Outbox, RateLimit, RetryPolicy
from leadsquared_async.sandbox import FAULTS, Faults, Sandbox
from leadsquared_async.testing import client_of
from tests.leaks import PERSON

QUICK: dict[str, Any] = {
    "retry": RetryPolicy(attempts=2, base=0.001),
    "rate_limit": RateLimit(25, per=0.05),
    "timeout": 0.1,
}


class Kept(Transport):
    """Prints each envelope instead of sending it."""

    def capture_envelope(self, envelope: Envelope) -> None:
        print(envelope.serialize().decode("utf-8", "replace"))


async def plain() -> None:
    """Fail with a key in a frame, an address and a log."""
    async with Sandbox(limit=None) as sandbox, httpx.AsyncClient() as client:
        query = {"secretKey": sandbox.secret_key}
        try:
            (await client.get(f"{sandbox.url}/lead/status", params=query)).raise_for_status()
        except httpx.HTTPError as error:
            sentry_sdk.capture_exception(error)


async def main() -> None:
    """Fail with every fault, and lose a lead of an outbox."""
    async with Sandbox(limit=None) as sandbox:
        for fault in FAULTS:
            if fault == "refused":
                continue
            sandbox.books.faults = Faults(probabilities={fault: 1.0}, drip=0.001)
            async with client_of(sandbox, **QUICK) as lsq:
                with sentry_sdk.start_transaction(name=fault):
                    try:
                        await lsq.leads.capture(PERSON, deadline=0.5)
                    except LeadSquaredError as error:
                        sentry_sdk.capture_exception(error)
        sandbox.books.faults = Faults(script=("500-mx",))
        async with client_of(sandbox, **QUICK) as lsq, Outbox(sys.argv[2], lsq, confirm=False) as outbox:
            await outbox.put(PERSON)
            await outbox.drained()


sentry_sdk.init(
    dsn="http://key@127.0.0.1:9/1",
    transport=Kept,
    include_local_variables=True,
    include_source_context=False,
    send_default_pii=True,
    max_breadcrumbs=100,
    traces_sample_rate=1.0,
    integrations=[HttpxIntegration(), LoggingIntegration(level=logging.DEBUG, event_level=logging.WARNING)],
)
logging.getLogger().setLevel(logging.DEBUG)
asyncio.run(plain() if sys.argv[1] == "plain" else main())

"""Cancelled callers on a real socket lose no connection, token or RequestID."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from leadsquared_async import LeadSquared, LeadSquaredError, RateLimit, RetryPolicy
from leadsquared_async.sandbox import Faults, Sandbox
from tests.clients import LEAD, client_of, own_connections

pytestmark = pytest.mark.slow

CHURN = Faults(
    latency=0.004,
    jitter=0.02,
    drip=0.002,
    probabilities={"drip-headers": 0.2, "drip-body": 0.2, "hang": 0.02, "503": 0.05, "reset": 0.02},
)
# Tokens that are back at once, and not one connection to spare.
FAST = RateLimit(16, per=0.02)
IMPATIENT = RetryPolicy(attempts=2, base=0.01)


@dataclass
class Churn:
    """What came of many calls whose callers left at random moments."""

    left: int = 0
    returned: list[str] = field(default_factory=list)
    healthy: int = 0
    stranded: int = 0
    tokens_back: bool = False
    accepted: list[str] = field(default_factory=list)


async def churn(seconds: float, transport: httpx.AsyncHTTPTransport | None) -> Churn:
    """Let 30 callers come and go for some seconds, then make ten calls that nobody leaves."""
    result = Churn()
    async with (
        Sandbox(limit=None, faults=CHURN) as sandbox,
        client_of(sandbox, rate_limit=FAST, timeout=4.0, retry=IMPATIENT, transport=transport) as lsq,
    ):
        await come_and_go(lsq, seconds, result)
        sandbox.books.faults = Faults()
        for _ in range(10):
            with suppress(TimeoutError, LeadSquaredError):
                result.returned.append((await asyncio.wait_for(lsq.leads.capture(LEAD), 2.0)).request_id)
                result.healthy += 1
        result.tokens_back = await all_tokens_are_back(lsq, FAST.calls)
        await asyncio.sleep(0.05)
        if transport is None:
            own = own_connections(lsq, sandbox.url)
            result.stranded = len(own._all) - len(own._idle)
        else:
            result.stranded = sum(not connection.is_idle() for connection in transport._pool.connections)
        result.accepted = [request["request_id"] for request in sandbox.books.requests]
    return result


async def come_and_go(lsq: LeadSquared, seconds: float, result: Churn) -> None:
    """Let 30 callers make calls for some seconds, and leave most of them."""
    chance = random.Random(7)
    clock = asyncio.get_running_loop().time
    end = clock() + seconds

    async def caller(number: int) -> None:
        calls = 0
        while clock() < end:
            calls += 1
            lead = {**LEAD, "Phone": f"{number:04d}{calls:06d}"}
            try:
                receipt = await asyncio.wait_for(lsq.leads.capture(lead), chance.uniform(0.001, 0.12))
                result.returned.append(receipt.request_id)
            except TimeoutError:
                result.left += 1
            except LeadSquaredError:
                pass

    await asyncio.gather(*map(caller, range(30)))


async def all_tokens_are_back(lsq: LeadSquared, calls: int) -> bool:
    """Whether they are within some seconds."""
    for _ in range(1000):
        limit = lsq.snapshot().limit
        assert limit is not None
        if limit.free == calls and not limit.in_flight and not any(limit.waiting.values()):
            return True
        await asyncio.sleep(0.01)
    return False


def told(records: list[logging.LogRecord]) -> list[str]:
    """The RequestIDs that log records of abandoned calls carry."""
    fields = [vars(record) for record in records]
    return [
        entry["request_id"] for entry in fields if entry.get("event") == "abandoned" and entry["request_id"]
    ]


@pytest.mark.parametrize("is_own", [True, False])
async def test_five_seconds_of_abandoned_calls_lose_no_connection_token_or_request_id(
    caplog: pytest.LogCaptureFixture, *, is_own: bool
) -> None:
    """Calls still work, and the RequestID of each accepted lead was returned or logged."""
    transport = None if is_own else httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=FAST.calls))
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    caplog.set_level(logging.DEBUG, "leadsquared_async")
    result = await churn(5.0, transport)
    if transport is not None:
        await transport.aclose()
    assert result.healthy == 10
    assert result.stranded == 0
    assert result.tokens_back
    assert result.left > 300
    assert len(told(caplog.records)) > 50
    assert sorted(result.accepted) == sorted(result.returned + told(caplog.records))
    gc.collect()
    assert complaints == []
    assert "never retrieved" not in caplog.text

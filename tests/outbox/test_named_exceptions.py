"""A lead that LeadSquared fails at each time is rejected with the exception's name, and holds up no other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from leadsquared_async import ItemState, Outbox, RateLimit, RetryPolicy
from tests.clients import answering

ID = "5a8f9f0e-d168-4c5a-9f8b-0a1b97c2d3e4"


async def test_what_leadsquared_fails_at_is_rejected(tmp_path: Path) -> None:
    """After a few attempts, in the midst of others that arrive."""
    calls = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        if b"bad@" not in request.content:
            return httpx.Response(200, json={"RequestID": ID})
        calls += 1
        return httpx.Response(500, json={"Status": "Error", "ExceptionType": "NullReferenceException"})

    wide = RateLimit(1000, per=0.01)
    async with (
        answering(answer, retry=RetryPolicy(base=0.001), rate_limit=wide) as lsq,
        Outbox(tmp_path / "leads.outbox", lsq, confirm=False) as outbox,
    ):
        for name in ("a", "bad", "b", "bad", "c"):
            await outbox.put({"EmailAddress": f"{name}@example.com"})
        async with asyncio.timeout(10):
            await outbox.drained()
        states = [item.state async for item in outbox.items()]
        rejected = [item.reason async for item in outbox.items(ItemState.REJECTED)]
    assert states.count(ItemState.ACCEPTED) == 3
    assert rejected == ["NullReferenceException"] * 2
    assert calls <= 6

"""Many accounts in one process: a client each, on one transport."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from leadsquared_async import AuthenticationFailed, DeadlineExceeded, LeadSquared
from tests import virtual
from tests.clients import KEYS, LEAD

ACCOUNTS = 300


class Hosts(httpx.AsyncBaseTransport):
    """One host for each account: dead ones reject the keys, slow ones do not answer."""

    def __init__(self) -> None:
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "slow" in request.url.host:
            await asyncio.sleep(10_000)
        await asyncio.sleep(0.05)
        if "dead" in request.url.host:
            return httpx.Response(401)
        return httpx.Response(200, json={"RequestID": request.url.host})

    async def aclose(self) -> None:
        self.closed = True


def test_dead_keys_or_a_slow_host_delay_no_other_account() -> None:
    """The others are served at once, errors name their account, and the shared transport stays open."""

    async def use() -> None:
        transport = Hosts()
        async with AsyncExitStack() as stack:

            async def client(name: str) -> LeadSquared:
                options: dict[str, Any] = {"host": f"https://{name}.example.com", "name": name}
                keys = {**KEYS, "api_key": f"key-of-{name}"}
                return await stack.enter_async_context(LeadSquared(**keys, **options, transport=transport))

            good = [await client(f"good{number}") for number in range(ACCOUNTS)]
            dead, slow = await client("dead"), await client("slow")
            stuck = [asyncio.create_task(slow.leads.capture(LEAD, deadline=60)) for _ in range(100)]
            with pytest.raises(AuthenticationFailed, match=r"\[dead\]"):
                await dead.leads.capture(LEAD)
            clock = asyncio.get_running_loop().time
            began = clock()
            receipts = await asyncio.gather(*(lsq.leads.capture(LEAD) for lsq in good for _ in range(3)))
            assert clock() - began < 0.2
            assert {receipt.request_id for receipt in receipts} == {
                f"good{number}.example.com" for number in range(ACCOUNTS)
            }
            for error in await asyncio.gather(*stuck, return_exceptions=True):
                assert isinstance(error, DeadlineExceeded)
                assert "[slow]" in str(error)
        assert not transport.closed

    virtual.run(use)

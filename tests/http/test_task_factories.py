"""No task factory of the program's loses a lead or a token."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

import pytest

from leadsquared_async import LeadSquared, LeadSquaredError, RateLimit, Result
from leadsquared_async.sandbox import Account
from tests import virtual
from tests.clients import LEAD, virtual_client

COUNT = 7


async def captured(lsq: LeadSquared) -> list[str]:
    async with lsq.leads.capture_many([LEAD] * COUNT) as results:
        return [result.receipt.request_id async for result in results if result.receipt is not None]


async def invalid(lsq: LeadSquared) -> list[str]:
    async with lsq.leads.capture_many([{"no schema name": "x"}] * COUNT) as results:
        return [str(result.error) async for result in results]


async def in_bulk(lsq: LeadSquared) -> list[str]:
    async with lsq.bulk.create_or_update([LEAD] * COUNT) as results:
        return [str(result.status.lead_id) async for result in results if result.status is not None]


async def waited_for(lsq: LeadSquared) -> list[str]:
    async with lsq.leads.wait_many(await captured(lsq)) as results:
        return [result.item async for result in results if result.status is not None]


async def passed_through(lsq: LeadSquared) -> list[str]:
    failed: list[Result[None]] = [Result(0, None, error=LeadSquaredError())] * COUNT
    async with lsq.wait_many(failed) as results:
        return [str(result.error) async for result in results]


async def followed(lsq: LeadSquared) -> list[str]:
    async with lsq.leads.capture_many([LEAD] * COUNT, follow=True) as results:
        return [result.status.request_id async for result in results if result.status is not None]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("use", [captured, invalid, in_bulk, waited_for, passed_through, followed])
def test_eager_tasks_lose_nothing(use: Any) -> None:
    """Every item of a batch has its result under `asyncio.eager_task_factory`."""

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))
        lsq, _ = virtual_client(Account())
        async with lsq:
            assert len(await use(lsq)) == COUNT

    virtual.run(main)


def test_a_task_that_cannot_be_made_costs_no_token() -> None:
    """Nothing is sent, and the token is free for the next call."""

    class FactoryError(Exception):
        pass

    def failing(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any) -> Any:
        if "exchange" in work.__qualname__:
            raise FactoryError
        return asyncio.Task(work, loop=loop, **options)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        lsq, transport = virtual_client(Account(), rate_limit=RateLimit(2, per=1.0))
        async with lsq:
            loop.set_task_factory(failing)
            for _ in range(3):
                with pytest.raises(FactoryError):
                    await lsq.leads.capture(LEAD)
            assert not transport.books.arrivals
            loop.set_task_factory(None)
            await lsq.leads.capture(LEAD)
            limit = lsq.snapshot().limit
            assert limit is not None
            assert limit.in_flight == 0

    virtual.run(main)

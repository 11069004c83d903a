"""A cancelled user of a client or outbox leaves nothing open, at any await."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import Credentials, LeadSquared, LeadSquaredError, Outbox, RateLimit, submissions
from leadsquared_async.sandbox import Account, Faults
from tests import virtual
from tests.clients import KEYS, LEAD, virtual_client
from tests.interruptions import (
    WAYS,
    Way,
    assert_clients_are_closed,
    assert_files_are_free,
    interrupted,
    no_complaints,
)
from tests.outboxes import virtual_files

pytestmark = pytest.mark.slow

MOST = 400
"""Awaits of one use, at most: a use that has more is no use for this test."""
LONGEST = 30.0
"""Seconds in which a cancelled use has ended: two graces, and a little."""


class World:
    """What one use opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clients: list[LeadSquared] = []
        self.outboxes: list[Outbox] = []
        self.opened_sources = 0
        self.closed_sources = 0
        self.calls: list[asyncio.Task[Any]] = []

    def client(self, faults: Faults | None = None, **options: Any) -> LeadSquared:
        account = Account(faults=faults or Faults(latency=0.3), limit=None, processing_rate=2.0)
        lsq, self.transport = virtual_client(account, **options)
        self.clients.append(lsq)
        return lsq

    def outbox(self, lsq: LeadSquared | None = None, **options: Any) -> Outbox:
        self.outboxes.append(Outbox(self.folder / "leads.db", lsq, **options))
        return self.outboxes[-1]

    async def source(self, items: Any) -> AsyncIterator[Any]:
        self.opened_sources += 1
        try:
            for item in items:
                await asyncio.sleep(0.01)
                yield item
        finally:
            try:
                await asyncio.sleep(0)
            finally:
                self.closed_sources += 1

    async def check(self) -> None:
        """Nothing is open, nothing runs, nothing is missing."""
        await asyncio.gather(*self.calls, return_exceptions=True)
        assert_clients_are_closed(self.clients)
        for outbox in self.outboxes:
            assert outbox._lifecycle.state
        assert self.closed_sources == self.opened_sources
        assert_files_are_free(self.folder, "leads.db")


Use = Callable[[World], Coroutine[Any, Any, None]]
USES: dict[str, Use] = {}


def use(function: Use) -> Use:
    USES[function.__name__.replace("_", " ")] = function
    return function


def leads(count: int) -> Iterator[dict[str, str]]:
    return ({"EmailAddress": f"b{number}@example.com"} for number in range(count))


@use
async def a_client_that_does_nothing(world: World) -> None:
    async with world.client():
        await asyncio.sleep(0)


@use
async def a_client_that_captures(world: World) -> None:
    async with world.client() as lsq:
        await lsq.leads.capture(LEAD)


@use
async def a_client_whose_calls_hang(world: World) -> None:
    async with world.client(Faults(probabilities={"hang": 1.0})) as lsq:
        world.calls = [asyncio.create_task(lsq.leads.capture(LEAD)) for _ in range(2)]
        await asyncio.sleep(0.1)


@use
async def a_client_that_waits_for_tokens(world: World) -> None:
    async with world.client(rate_limit=RateLimit(1, per=5.0)) as lsq:
        world.calls = [asyncio.create_task(lsq.leads.capture(LEAD)) for _ in range(3)]
        await asyncio.sleep(2.0)


@use
async def a_client_that_pauses(world: World) -> None:
    async with world.client(Faults(probabilities={"503": 1.0}), deadline=3.0) as lsq:
        with suppress(LeadSquaredError):
            await lsq.leads.capture(LEAD)


@use
async def a_client_that_follows(world: World) -> None:
    async with world.client() as lsq:
        await lsq.leads.wait(await lsq.leads.capture(LEAD))


@use
async def a_client_that_is_closed_while_it_follows(world: World) -> None:
    async with world.client(Faults(latency=2.0)) as lsq:
        receipt = await lsq.leads.capture(LEAD)
        world.calls = [asyncio.create_task(lsq.leads.wait(receipt)) for _ in range(2)]
        await asyncio.sleep(5.0)


@use
async def a_client_that_asks_for_its_fields(world: World) -> None:
    async with world.client(validate="strict") as lsq:
        world.calls = [asyncio.create_task(lsq.fields.list())]
        await lsq.leads.capture(LEAD)


@use
async def a_client_whose_fields_hang(world: World) -> None:
    async with world.client(Faults(probabilities={"hang": 1.0}, operations=("fields",))) as lsq:
        world.calls = [asyncio.create_task(lsq.fields.list())]
        await asyncio.sleep(1.0)


@use
async def a_client_that_asks_for_its_keys(world: World) -> None:
    async def keys() -> Credentials:
        await asyncio.sleep(0.5)
        return Credentials(**KEYS)

    async with world.client(**dict.fromkeys(KEYS), credentials=keys) as lsq:
        world.calls = [asyncio.create_task(lsq.leads.capture(LEAD))]
        await lsq.leads.capture(LEAD)


@use
async def a_client_that_is_closed_while_it_asks_for_its_keys(world: World) -> None:
    async def keys() -> Credentials:
        await asyncio.sleep(1e6)
        raise AssertionError

    async with world.client(**dict.fromkeys(KEYS), credentials=keys) as lsq:
        world.calls = [asyncio.create_task(lsq.leads.capture(LEAD)) for _ in range(2)]
        await asyncio.sleep(0.5)


@use
async def a_client_that_is_closed_twice(world: World) -> None:
    async with world.client(Faults(latency=2.0)) as lsq:
        world.calls = [asyncio.create_task(lsq.leads.capture(LEAD))]
        await asyncio.sleep(0.5)
        world.calls.append(asyncio.create_task(lsq.aclose()))
        await lsq.aclose()


@use
async def a_client_that_verifies(world: World) -> None:
    async with world.client() as lsq:
        await lsq.verify(fields=["Phone"])


@use
async def many_leads(world: World) -> None:
    async with (
        world.client() as lsq,
        lsq.leads.capture_many(world.source(leads(6)), concurrency=2) as results,
    ):
        async for _ in results:
            pass


@use
async def many_leads_that_are_left(world: World) -> None:
    faults = Faults(latency=1.0, probabilities={"hang": 0.3})
    async with world.client(faults) as lsq, lsq.leads.capture_many(world.source(leads(99))) as results:
        await anext(results)


@use
async def many_submissions(world: World) -> None:
    source = world.source(submissions.capture_lead(lead, reference="form-7") for lead in leads(4))
    async with world.client() as lsq, lsq.submit_many(source) as results:
        async for _ in results:
            pass


@use
async def many_waits(world: World) -> None:
    async with world.client() as lsq:
        receipt = await lsq.leads.capture(LEAD)
        async with lsq.leads.wait_many(world.source([receipt] * 3)) as results:
            async for _ in results:
                pass


@use
async def many_in_bulk(world: World) -> None:
    source = world.source(leads(30))
    async with world.client() as lsq, lsq.bulk.create_or_update(source, concurrency=1) as results:
        async for _ in results:
            pass


@use
async def an_outbox_that_only_puts(world: World) -> None:
    async with world.outbox() as outbox:
        await outbox.put(LEAD)
        await outbox.put_many(world.source(leads(3)))


@use
async def an_outbox_that_delivers(world: World) -> None:
    async with world.client() as lsq, world.outbox(lsq) as outbox:
        await outbox.put(LEAD)
        await asyncio.sleep(60.0)


@use
async def an_outbox_that_is_closed_while_it_delivers(world: World) -> None:
    async with world.client(Faults(latency=3.0)) as lsq, world.outbox(lsq, confirm=False) as outbox:
        await outbox.put_many(leads(5))
        await asyncio.sleep(1.0)


@use
async def an_outbox_whose_calls_hang(world: World) -> None:
    async with (
        world.client(Faults(probabilities={"hang": 1.0})) as lsq,
        world.outbox(lsq, confirm=False) as outbox,
    ):
        await outbox.put_many(leads(2))
        await asyncio.sleep(1.0)


def cancelled_at(what: Use, way: Way, k: int, folder: Path) -> int:
    """How many awaits the use has, if it is cancelled at the k-th."""
    folder.mkdir()

    async def main() -> int:
        world = World(folder)
        clock = asyncio.get_running_loop().time
        async with no_complaints():
            count, since = await interrupted(what(world), way, k)
            assert clock() - since < LONGEST
            await world.check()
            # The rest of what SandboxTransport has on its way is nobody's.
            if world.clients:
                await world.transport.aclose()
        return count

    with virtual_files():
        return virtual.run(main)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("what", USES.values(), ids=USES)
def test_a_cancelled_user_leaves_nothing_open(what: Use, way: Way, tmp_path: Path) -> None:
    """No client, connection, file, lock, source or task is left at any await, and every token is back."""
    for k in range(1, MOST):
        if cancelled_at(what, way, k, tmp_path / str(k)) < k:
            assert k > 1
            return
    raise AssertionError("it never ended")

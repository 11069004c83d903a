"""A close waits for what is under way, for eight seconds at most, and loses no row."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from leadsquared_async import (
    ClientClosed,
    LeadSquared,
    Outbox,
    OutboxError,
    RateLimit,
    RetryPolicy,
)
from leadsquared_async.outbox import ItemState, OutboxItem, lifecycle
from leadsquared_async.outbox.files import DeliveryLock
from leadsquared_async.outbox.store import Store
from leadsquared_async.sandbox import Faults
from leadsquared_async.submissions import Submission, bulk_lead, capture_lead
from tests.clients import KEYS
from tests.outbox.machine import Machine, by_state, items, lead, played

NOBODY = {"FirstName": "Bret"}
"""LeadSquared cannot match it: sent twice, it makes two."""


NEVER = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.mark.parametrize("delivers", [False, True])
async def test_closing_interrupts_what_does_not_end(
    delivers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless statement is rolled back after the grace, its callers get an error, and the lock is free."""
    monkeypatch.setattr(lifecycle, "LAST_WAIT", 0.1)
    path = tmp_path / "leads.db"
    lsq = LeadSquared(**KEYS, host="http://127.0.0.1:9")
    await lsq.__aenter__()
    outbox = Outbox(path, lsq if delivers else None)
    await outbox.open()
    put = Store.put

    def endless(self: Store, *values: Any) -> Any:
        ticket = put(self, *values)
        if self.counts()[ItemState.PENDING] == 1:
            self.connection.execute(NEVER).fetchone()
        return ticket

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", endless)
        puts = [asyncio.create_task(outbox.put(lead(0)))]
        await asyncio.sleep(0.05)
        puts += [asyncio.create_task(outbox.put(lead(number))) for number in range(1, 5)]
        start = time.monotonic()
        await asyncio.sleep(0.0)
        await outbox.aclose(0.2)
        assert time.monotonic() - start < 3.0
        for answer in await asyncio.gather(*puts, return_exceptions=True):
            assert isinstance(answer, OutboxError)
            assert "this change was not stored" in str(answer)
    await lsq.aclose()
    lock = DeliveryLock(path)
    assert lock.acquire()
    lock.release()
    async with Outbox(path) as again:
        assert await items(again) == []


@pytest.mark.parametrize("latency", [0.04, 3.0])
@played()
async def test_what_is_on_its_way_is_finished_and_the_rest_is_kept(machine: Machine, latency: float) -> None:
    """After a close within the grace every row is accepted or pending."""
    machine.books.faults = Faults(latency=latency)
    start = machine.now
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(200))
        await asyncio.sleep(2.0)
        start = machine.now
    assert machine.now - start <= latency + 0.1
    async with Outbox(machine.path) as outbox:
        counts = await by_state(outbox)
    assert counts.keys() <= {"accepted", "pending", "confirmed"}
    assert sum(counts.values()) == 200
    sent = machine.operations["capture"]
    assert counts["pending"] == 200 - sent
    async with machine.process() as outbox:
        await outbox.drained()
    assert machine.books.repeated == 0
    assert len(machine.books.leads) == 200


# An outbox's client closes after it, with a grace of its own for the exchanges that are left.
@played(Faults(probabilities={"hang+taken": 1.0}), options={"timeout": 9.5})
async def test_what_takes_longer_than_the_grace_is_left_to_the_next_process(machine: Machine) -> None:
    """Closing takes eight seconds at most, and rows without an answer are sent again at the next start."""
    async with machine.process() as outbox:
        await outbox.put_many(lead(number) for number in range(40))
        await asyncio.sleep(1.0)
        start = machine.now
    assert 8.0 <= machine.now - start < 8.0 + 2.0
    machine.books.faults = Faults(latency=0.04)
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 40}
    assert machine.books.repeated <= 25


@pytest.mark.parametrize("submission", [capture_lead(NOBODY), bulk_lead(NOBODY)], ids=["alone", "bulk"])
@pytest.mark.parametrize(
    ("answers", "latency", "limit", "takes", "state"),
    [
        pytest.param([(429, "3600")], 0.1, 25, 0.0, "pending", id="in the pause"),
        pytest.param([(429, "3600")], 5.0, 25, 2.0, "pending", id="refused during the close"),
        pytest.param([(429, None)], 0.1, 1, 0.0, "pending", id="waiting for a token again"),
        pytest.param([(503, None), (429, "3600")], 0.1, 25, 8.0, "sending", id="refused after unknown"),
    ],
)
@played()
async def test_a_close_between_two_attempts_keeps_a_row_that_was_refused(
    machine: Machine,
    *,
    submission: Submission,
    answers: list[tuple[int, str | None]],
    latency: float,
    limit: int,
    takes: float,
    state: str,
) -> None:
    """It is pending and sent by the next process, unless an earlier attempt may have arrived."""
    coming = iter(answers)

    async def answer(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(latency)
        status, pause = next(coming)
        return httpx.Response(status, headers={} if pause is None else {"retry-after": pause}, json={})

    refusing = {"transport": httpx.MockTransport(answer), "retry": RetryPolicy(base=0.1)}
    limits = {name: RateLimit(limit, per=60.0) for name in ("rate_limit", "bulk_limit")}
    sync = {"sync_host": "https://sandbox.invalid"}
    async with machine.process({**refusing, **limits, **sync}) as outbox:
        await asyncio.sleep(1.0)
        await outbox.put(submission)
        await asyncio.sleep(3.0)
        assert await by_state(outbox) == {"sending": 1}
        start = machine.now
        await outbox.aclose()
        assert machine.now - start == pytest.approx(takes, abs=0.1)
        assert not list(coming)
    async with Outbox(machine.path) as outbox:
        assert await by_state(outbox) == {state: 1}
    async with machine.process(sync) as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed" if state == "pending" else "unknown": 1}


@played()
async def test_a_full_disk_delays_no_close(machine: Machine) -> None:
    """The row stays as it is, and the next start decides."""

    def refuse(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"retry-after": "3600"}, json={})

    def fail(*_values: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with machine.process({"transport": httpx.MockTransport(refuse)}) as outbox:
        await outbox.put(NOBODY)
        await asyncio.sleep(1.0)
        start = machine.now
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "pending", fail)
            await outbox.aclose()
        assert machine.now - start < 2.0
    async with Outbox(machine.path) as outbox:
        assert await by_state(outbox) == {"sending": 1}


@pytest.mark.parametrize("is_cancelled", [False, True])
@played(Faults(latency=3.0))
async def test_a_second_close_waits_for_the_first(machine: Machine, is_cancelled: bool) -> None:
    """The end of the block waits for a close under way; only a cancelled close loses an answer."""
    async with machine.client() as lsq:
        async with Outbox(machine.path, lsq, confirm=False) as outbox:
            await outbox.put({"FirstName": "Bret"})
            await asyncio.sleep(1.0)
            closing = asyncio.create_task(outbox.aclose())
            await asyncio.sleep(0.5)
            if is_cancelled:
                closing.cancel()
        assert not [task for task in asyncio.all_tasks() if "outbox" in task.get_name()]
        assert closing.done()
        lock = DeliveryLock(machine.path)
        assert lock.acquire()
        lock.release()
    async with Outbox(machine.path) as outbox:
        assert await by_state(outbox) == {"sending" if is_cancelled else "accepted": 1}


@played()
async def test_callbacks_that_close_it_while_its_block_ends_run_to_their_end(machine: Machine) -> None:
    """They wait neither for each other nor for the block, and the block waits for the first of them."""
    closed: list[int] = []
    client = machine.client()
    outbox = Outbox(machine.path, client, confirm=False)

    @outbox.on_final
    async def close(item: OutboxItem) -> None:
        is_called.set()
        await outbox.aclose()
        closed.append(item.id)

    is_called = asyncio.Event()
    async with client:
        async with outbox:
            await asyncio.sleep(1.0)
            await asyncio.gather(*(outbox.put(lead(number)) for number in range(3)))
            await is_called.wait()
            start = machine.now
        assert machine.now - start < 1.0
        await asyncio.sleep(0)
        assert sorted(closed) == [1, 2, 3]
        assert not [task for task in asyncio.all_tasks() if "outbox" in task.get_name()]


@played(Faults(latency=0.3, jitter=0.2))
async def test_closing_at_any_moment_loses_nothing(machine: Machine) -> None:
    """All rows of short-lived processes are confirmed, and only rows under way are sent twice."""
    chance = Random(11)
    async with Outbox(machine.path) as outbox:
        await outbox.put_many(lead(number) for number in range(150))
    for _ in range(25):
        async with machine.process() as outbox:
            await asyncio.sleep(
                chance.choice([0.0, 0.001, chance.uniform(0.0, 0.3), chance.uniform(0.0, 6.0)])
            )
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 150}
    assert machine.books.repeated == 0
    assert machine.books.most_arrivals() <= 25


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.0, 0.05, 1.0, 30.0])
@played(Faults(latency=0.3))
async def test_a_client_that_is_closed_first_does_no_harm(machine: Machine, moment: float) -> None:
    """`blocked` and `drained` say why delivery stopped, the outbox closes, and all rows are kept."""
    client = machine.client()
    async with client:
        outbox = Outbox(machine.path, client)
        await outbox.open()
        await outbox.put_many(lead(number) for number in range(300))
        await asyncio.sleep(moment)
    await asyncio.sleep(1.0)
    assert "closed" in str((await outbox.snapshot()).blocked)
    with pytest.raises(OutboxError, match=r"delivery has stopped with items still pending: .*closed"):
        await outbox.drained()
    ticket = await outbox.put(lead(300))
    assert ticket.is_new
    await outbox.aclose()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("leadsquared")]
    async with machine.process() as outbox:
        await outbox.drained()
        assert await by_state(outbox) == {"confirmed": 301}
    assert machine.books.repeated == 0


class Slow:
    """A callback that takes its time, and may refuse to be cut short."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun = self.done = 0

    async def __call__(self, item: OutboxItem) -> None:
        self.begun += 1
        await asyncio.sleep(self.seconds)
        self.done += 1


@pytest.mark.parametrize(("seconds", "done"), [(2.0, 25), (1e6, 0)])
@played(options={"rate_limit": RateLimit(1000, per=1.0)}, limit=None)
async def test_callbacks_under_way_get_what_is_left_of_the_grace(
    machine: Machine, seconds: float, done: int
) -> None:
    """Longer ones are cancelled, and called again at the next start."""
    slow = Slow(seconds)
    client = machine.client()
    outbox = Outbox(machine.path, client, confirm=False)
    outbox.on_final(slow)
    async with client:
        async with outbox:
            await outbox.put_many(lead(number) for number in range(25))
            await asyncio.sleep(0.5)
            assert slow.begun == 25
            start = machine.now
        assert machine.now - start < 8.001
        assert not [task for task in asyncio.all_tasks() if "on_final" in task.get_name()]
    assert slow.done == done
    told: list[int] = []
    async with machine.process(on_final=lambda item: told.append(item.id), confirm=False):
        await asyncio.sleep(1.0)
    assert len(told) == 25 - done


@played()
async def test_putting_ends_when_the_outbox_closes_under_it(machine: Machine) -> None:
    """put_many raises ClientClosed, and the rows that it had put are stored."""
    pulled = 0

    async def rows() -> Any:
        nonlocal pulled
        for number in range(5000):
            pulled += 1
            yield lead(number)
            await asyncio.sleep(0.001)

    async with Outbox(machine.path) as outbox:
        task = asyncio.create_task(outbox.put_many(rows()))
        forgetting = asyncio.create_task(outbox.forget(Phone="1"))
        await asyncio.sleep(1.7)
    with pytest.raises(ClientClosed):
        await task
    with suppress(ClientClosed):
        await forgetting
    async with Outbox(machine.path) as outbox:
        assert await by_state(outbox) == {"pending": pulled // 500 * 500 - (500 if pulled % 500 == 0 else 0)}

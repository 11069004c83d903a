"""The stream in which tasks are kept: nothing in a worker's hands is lost, or run twice while that lives."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise
from typing import Any

import pytest
from redis.asyncio import Redis

from leadsquared_async import ConfigurationError
from leadsquared_async.integrations.taskiq import StreamBroker
from leadsquared_async.integrations.taskiq.hand import Hand
from leadsquared_async.integrations.taskiq.tasks import Depends
from tests.shared.valkey import Valkey
from tests.tasks.workers import until, working

LEASE = 0.3


class Queue:
    """Brokers of one stream, as processes of their own have them, and what their tasks did."""

    def __init__(self, store: Valkey, name: str, **options: Any) -> None:
        self._store = store
        self._options = {"queue_name": name, "lease": LEASE, "xread_block": 50, **options}
        self.began: list[str] = []
        self.ended: list[str] = []
        self.deliveries: list[int] = []
        self.gate = asyncio.Event()

    def broker(self) -> StreamBroker:
        broker = StreamBroker(self._store.url, **self._options)

        @broker.task("work", ack_type="manual")
        async def work(word: str, context: Depends) -> None:
            hand = Hand(context)
            self.began.append(word)
            self.deliveries.append(hand.deliveries)
            gate = self.gate
            await gate.wait()
            self.ended.append(word)
            await hand.done()

        return broker

    async def put(self, *words: str) -> None:
        broker = self.broker()
        await broker.startup()
        for word in words:
            await broker.find_task("work").kiq(word)  # type: ignore[union-attr]
        await broker.shutdown()

    @property
    def left(self) -> int:
        return int(self._store.command("XLEN", self._options["queue_name"]).strip(b":\r\n"))


async def test_what_is_done_is_deleted(valkey: Valkey) -> None:
    """No lead stays in the store behind its acknowledgement."""
    queue = Queue(valkey, "done")
    queue.gate.set()
    await queue.put("a", "b")
    assert queue.left == 2
    async with working(queue.broker()):
        await until(lambda: queue.left == 0)
    assert sorted(queue.ended) == ["a", "b"]


async def test_what_was_put_before_the_first_worker_is_not_passed_over(valkey: Valkey) -> None:
    """Even by a process that never started its broker."""
    queue = Queue(valkey, "before")
    queue.gate.set()
    web = queue.broker()
    await web.find_task("work").kiq("a")  # type: ignore[union-attr]
    await web.connection_pool.disconnect()
    async with working(queue.broker()):
        await until(lambda: queue.ended == ["a"])


async def test_a_slow_task_stays_with_its_worker(valkey: Valkey) -> None:
    """Its lease is renewed for as long as that lives, before anybody may take it over."""
    queue = Queue(valkey, "slow", lease=3.0)
    await queue.put("a")
    async with working(queue.broker()) as worker, Redis.from_url(valkey.url) as redis:
        await until(lambda: queue.began == ["a"])
        idle = [0]
        while sum(later < earlier for earlier, later in pairwise(idle)) < 2:
            (row,) = await redis.xpending_range("slow", "taskiq", "-", "+", 1)
            idle.append(row["time_since_delivered"])
            await asyncio.sleep(0.02)
        assert max(idle) < 3000
        queue.gate.set()
        await until(lambda: queue.left == 0)
        await worker.stop()
    assert queue.deliveries == [1]


async def test_a_killed_workers_task_goes_to_another_though_no_new_one_comes(valkey: Valkey) -> None:
    """After the lease, and it is told that it is not the first."""
    queue = Queue(valkey, "killed")
    await queue.put("a")
    async with working(queue.broker()) as victim:
        await until(lambda: queue.began == ["a"])
        await victim.vanish()
        queue.gate = asyncio.Event()
        async with working(queue.broker()):
            await until(lambda: len(queue.began) == 2)
            queue.gate.set()
            await until(lambda: queue.left == 0)
    assert queue.deliveries == [1, 2]


async def test_a_worker_fetches_only_what_it_has_room_for(valkey: Valkey) -> None:
    """What it cannot run yet is there for others."""
    queue = Queue(valkey, "room")
    await queue.put(*"abcdef")
    async with working(queue.broker(), most=2), working(queue.broker(), most=2):
        await until(lambda: len(queue.began) == 4)
        await asyncio.sleep(0.1)
        assert len(queue.began) == 4
        queue.gate.set()
        await until(lambda: queue.left == 0)
    assert sorted(queue.began) == list("abcdef")


async def test_what_is_handed_back_comes_again_after_its_pause(valkey: Valkey) -> None:
    """At once or later, to whoever is free."""
    broker = StreamBroker(valkey.url, "back", lease=5.0, xread_block=50)
    times: list[float] = []

    @broker.task("work", ack_type="manual")
    async def work(context: Depends) -> None:
        times.append(asyncio.get_running_loop().time())
        hand = Hand(context)
        await (hand.done() if len(times) == 3 else hand.hand_back(0.0 if len(times) == 1 else 1.5))

    async with working(broker):
        await work.kiq()  # type: ignore[call-overload]
        await until(lambda: len(times) == 3)
    assert times[1] - times[0] < 1.5
    assert times[2] - times[1] >= 1.5


async def test_a_store_that_was_away_and_came_back_empty(own_valkey: Valkey) -> None:
    """A worker goes on by itself; what is put then is run."""
    queue = Queue(own_valkey, "away")
    queue.gate.set()
    await queue.put("a")
    async with working(queue.broker()):
        await until(lambda: queue.ended == ["a"])
        own_valkey.stop()
        await asyncio.sleep(0.2)
        own_valkey.start()
        await queue.put("b")
        await until(lambda: queue.ended == ["a", "b"])


async def test_no_value_of_a_task_stands_in_a_workers_debug_log(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """taskiq writes whole tasks there."""
    queue = Queue(valkey, "quiet")
    queue.gate.set()
    await queue.put("zqplanted4711")
    caplog.set_level(logging.DEBUG)
    async with working(queue.broker()):
        await until(lambda: queue.left == 0)
    assert "Received message" in caplog.text
    assert "zqplanted4711" not in caplog.text


async def test_what_is_no_task_is_dropped(valkey: Valkey) -> None:
    """It stops no worker, and stays in nobody's way."""
    queue = Queue(valkey, "garbage")
    queue.gate.set()
    await queue.put("a")
    valkey.command("XADD", "garbage", "*", "data", "{")
    async with working(queue.broker()):
        await until(lambda: queue.left == 0)
    assert queue.ended == ["a"]


async def test_what_is_in_the_stream_without_data_is_dropped(valkey: Valkey) -> None:
    """Nobody's task."""
    queue = Queue(valkey, "foreign")
    queue.gate.set()
    await queue.put("a")
    valkey.command("XADD", "foreign", "*", "other", "x")
    async with working(queue.broker()):
        await queue.put("b")
        await until(lambda: queue.left == 0)
    assert sorted(queue.ended) == ["a", "b"]


def test_a_lease_has_to_be_a_number_of_seconds() -> None:
    """Refused at the door."""
    with pytest.raises(ConfigurationError, match="lease"):
        StreamBroker("redis://127.0.0.1", lease=0)

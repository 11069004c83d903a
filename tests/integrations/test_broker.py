"""The stream of tasks: a worker's tasks are neither lost when it is killed nor run twice while it lives."""

from __future__ import annotations

import asyncio
import logging
import traceback
from itertools import pairwise
from typing import Any

import pytest
from redis.asyncio import Redis

from leadsquared_async import ConfigurationError
from leadsquared_async.integrations.taskiq import StreamBroker, broker
from leadsquared_async.integrations.taskiq.lease import Lease
from leadsquared_async.integrations.taskiq.tasks import Depends
from tests.integrations.workers import until, working
from tests.limiter.valkey import Valkey

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
        stream = StreamBroker(self._store.url, **self._options)

        @stream.task("work", ack_type="manual")
        async def work(word: str, context: Depends) -> None:
            lease = Lease(context)
            self.began.append(word)
            self.deliveries.append(lease.deliveries)
            gate = self.gate
            await gate.wait()
            self.ended.append(word)
            await lease.done()

        return stream

    async def put(self, *words: str) -> None:
        stream = self.broker()
        await stream.startup()
        for word in words:
            await stream.find_task("work").kiq(word)  # type: ignore[union-attr]
        await stream.shutdown()

    @property
    def left(self) -> int:
        return int(self._store.command("XLEN", self._options["queue_name"]).strip(b":\r\n"))


async def test_what_is_done_is_deleted(valkey: Valkey) -> None:
    """No lead stays in the store after its acknowledgement."""
    queue = Queue(valkey, "done")
    queue.gate.set()
    await queue.put("a", "b")
    assert queue.left == 2
    async with working(queue.broker()):
        await until(lambda: queue.left == 0)
    assert sorted(queue.ended) == ["a", "b"]


async def test_what_was_put_before_the_first_worker_is_not_passed_over(valkey: Valkey) -> None:
    """A task is run even if a process put it that never started its broker."""
    queue = Queue(valkey, "before")
    queue.gate.set()
    web = queue.broker()
    await web.find_task("work").kiq("a")  # type: ignore[union-attr]
    await web.connection_pool.disconnect()
    async with working(queue.broker()):
        await until(lambda: queue.ended == ["a"])


async def test_a_slow_task_stays_with_its_worker(valkey: Valkey) -> None:
    """Its lease is renewed while the worker lives."""
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


async def test_a_worker_does_not_take_its_own_task_over(valkey: Valkey) -> None:
    """This holds even if its lease has run out, such as after a jump of the store's clock."""
    queue = Queue(valkey, "jump", lease=30.0)
    await queue.put("a")
    async with working(queue.broker()), Redis.from_url(valkey.url) as redis:
        await until(lambda: queue.began == ["a"])
        (row,) = await redis.xpending_range("jump", "taskiq", "-", "+", 1)
        await redis.xclaim("jump", "taskiq", "other", 0, [row["message_id"]], idle=60_000, justid=True)
        await asyncio.sleep(0.5)
        queue.gate.set()
        await until(lambda: queue.left == 0)
    assert queue.deliveries == [1]


async def test_a_killed_workers_task_goes_to_another_though_no_new_one_comes(valkey: Valkey) -> None:
    """It comes after the lease, as its second delivery."""
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
    """Tasks that it cannot run yet stay available to others."""
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
    """A free worker gets it at once or after the pause."""
    stream = StreamBroker(valkey.url, "back", lease=5.0, xread_block=50)
    times: list[float] = []

    @stream.task("work", ack_type="manual")
    async def work(context: Depends) -> None:
        times.append(asyncio.get_running_loop().time())
        lease = Lease(context)
        await (lease.done() if len(times) == 3 else lease.release(0.0 if len(times) == 1 else 1.0))

    async with working(stream):
        await work.kiq()  # type: ignore[call-overload]
        await until(lambda: len(times) == 3)
    assert times[1] - times[0] < 1.0
    assert times[2] - times[1] >= 1.0


async def test_what_a_cancelled_fetch_got_is_released_at_a_stop(valkey: Valkey) -> None:
    """Another worker gets a task that was never begun without waiting for the lease."""
    queue = Queue(valkey, "fetched", lease=60.0)
    stream = queue.broker()
    async with Redis.from_url(valkey.url) as redis:
        async with working(stream, most=1):
            await queue.put("a")
            await until(lambda: queue.began == ["a"])
            await queue.put("b")
            assert await redis.xreadgroup("taskiq", stream.consumer_name, {"fetched": ">"})
            queue.gate.set()
        (row,) = await redis.xpending_range("fetched", "taskiq", "-", "+", 10)
    assert queue.ended == ["a"]
    assert row["time_since_delivered"] >= 60_000


async def test_a_store_that_was_away_and_came_back_empty(own_valkey: Valkey) -> None:
    """A worker resumes automatically, and runs later tasks."""
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


async def test_no_value_of_a_task_is_in_a_workers_debug_log(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """taskiq's records of whole tasks show no value."""
    queue = Queue(valkey, "quiet")
    queue.gate.set()
    await queue.put("zqplanted4711")
    caplog.set_level(logging.DEBUG)
    async with working(queue.broker()):
        await until(lambda: queue.left == 0)
    assert "Received message" in caplog.text
    assert "zqplanted4711" not in caplog.text


@pytest.mark.parametrize("other", ["of another account", "garbage", "no data"])
async def test_what_a_worker_does_not_know_stays(
    valkey: Valkey, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A task of another version or account is logged once, by its name, and blocks no other."""
    queue = Queue(valkey, f"strange {other}")
    queue.gate.set()
    if other == "of another account":
        stranger = StreamBroker(valkey.url, f"strange {other}")
        await stranger.register_task(lambda _: None, "zqaccount").kiq("zqplanted4711")
        await stranger.connection_pool.disconnect()
    else:
        key = "data" if other == "garbage" else "other"
        valkey.command("XADD", f"strange {other}", "*", key, "{zqplanted4711")
    async with working(queue.broker()):
        await queue.put("a", "b")
        await until(lambda: queue.left == 1)
        await asyncio.sleep(2 * LEASE)
    assert sorted(queue.ended) == ["a", "b"]
    assert queue.left == 1
    assert sum("this worker does not know it" in line for line in caplog.messages) == 1
    assert "zqplanted4711" not in caplog.text


async def test_what_comes_again_and_again_does_not_hide_what_is_behind_it(valkey: Valkey) -> None:
    """Unknown tasks may be more than a worker takes over in one round."""
    stream = StreamBroker(valkey.url, "old", lease=0.5, xread_block=50)
    ended = asyncio.Event()

    @stream.task("work", ack_type="manual")
    async def work(number: int, context: Depends) -> None:
        lease = Lease(context)
        if number < 100 or lease.deliveries == 1:
            await lease.release()
        else:
            ended.set()
            await lease.done()

    async with working(stream):
        for number in range(101):
            await work.kiq(number)  # type: ignore[call-overload]
        async with asyncio.timeout(30):
            await ended.wait()


async def test_a_stream_that_cannot_be_made_again_is_not_tried_at_full_speed(
    own_valkey: Valkey, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure is logged once, and retries pause."""
    monkeypatch.setattr(broker, "LOOK_EVERY", 1.0)
    async with working(StreamBroker(own_valkey.url, "full", xread_block=50)):
        own_valkey.command("CONFIG", "SET", "maxmemory", "1")
        own_valkey.command("DEL", "full")
        await asyncio.sleep(1.0)
        tried = own_valkey.command("INFO", "errorstats").partition(b"errorstat_OOM:count=")[2]
        assert 1 <= int(tried.partition(b"\r")[0]) < 5
    assert sum("cannot be used" in line for line in caplog.messages) == 1


@pytest.mark.parametrize("option", ["protocol=3", "decode_responses=True"])
async def test_no_option_in_a_url_changes_what_is_read(valkey: Valkey, option: str) -> None:
    """Options that would change the shape of answers have no effect."""
    stream = StreamBroker(f"{valkey.url}?{option}", "options", xread_block=50)
    read = asyncio.Event()

    @stream.task("work", ack_type="manual")
    async def work(context: Depends) -> None:
        await Lease(context).done()
        read.set()

    async with working(stream), asyncio.timeout(10):
        await work.kiq()  # type: ignore[call-overload]
        await read.wait()


def test_a_lease_has_to_be_a_number_of_seconds() -> None:
    """Any other value raises at construction."""
    with pytest.raises(ConfigurationError, match="lease"):
        StreamBroker("redis://127.0.0.1", lease=0)


@pytest.mark.parametrize("url", ["redis://user:zqplanted/4711@127.0.0.1", "redis://127.0.0.1?nope=zqplanted"])
def test_a_url_that_cannot_be_read_is_refused_without_a_word_of_it(url: str) -> None:
    """The error shows no part of the URL, which may hold a password."""
    with pytest.raises(ConfigurationError, match="StreamBroker") as caught:
        StreamBroker(url)
    assert "zqplanted" not in "".join(traceback.format_exception(caught.value))

"""A store that goes away under tasks, with a real stream and a real sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as StoreGone

from leadsquared_async import (
    ConfigurationError,
    ConnectionFailed,
    Delivery,
    ItemState,
    LeadSquared,
    submissions,
)
from leadsquared_async.integrations.taskiq import LeadSquaredTasks, StreamBroker, broker
from leadsquared_async.sandbox import Faults, Sandbox
from tests.clients import LEAD
from tests.integrations.workers import Workers, until
from tests.limiter.valkey import Valkey

pytestmark = pytest.mark.slow

CAPTURE = submissions.capture_lead(LEAD, reference="form-1")
ACTIVITY = submissions.create_activity("00000000-0000-4000-8000-000000000000", event=201, reference="visit-1")


@contextmanager
def cut_off(store: Valkey) -> Iterator[None]:
    """For the length of a block no one reaches the store, which keeps what it has."""
    path = store.path
    store.path = path.rename(path.with_suffix(".away"))
    store.command("CLIENT", "KILL", "TYPE", "normal")
    try:
        yield
    finally:
        store.path = store.path.rename(path)


async def test_what_was_accepted_while_the_store_went_away_is_not_sent_again(own_valkey: Valkey) -> None:
    """The worker remembers it and resumes with the store, even an empty one."""
    async with Sandbox(limit=None, faults=Faults(latency=1.0)) as sandbox:
        workers = Workers(own_valkey, "away", sandbox)
        await workers.put(CAPTURE)
        async with workers.one():
            await until(lambda: workers.arrived == 1)
            own_valkey.stop()
            await asyncio.sleep(1.0)
            own_valkey.start()
            sandbox.books.faults = Faults()
            await until(lambda: len(workers.outcomes) == 1, within=20)
        assert workers.outcomes[0].state is ItemState.CONFIRMED
        assert workers.arrived == 1


async def test_a_store_that_does_not_answer_is_said_where_one_submits(own_valkey: Valkey) -> None:
    """The error says that it is unknown whether the store has the task."""
    async with Sandbox(limit=None) as sandbox:
        workers = Workers(own_valkey, "down", sandbox)
        web, tasks = workers.tasks()
        await web.startup()
        own_valkey.stop()
        with pytest.raises(ConnectionFailed, match="store") as caught:
            await tasks.submit(CAPTURE)
        assert (caught.value.delivery, caught.value.reference) == (Delivery.UNKNOWN, "form-1")
        await web.shutdown()


@pytest.mark.parametrize("count", [1, 2])
async def test_an_outage_longer_than_the_lease_has_nothing_sent_twice(own_valkey: Valkey, count: int) -> None:
    """Living workers renew their leases before anybody takes tasks over."""
    async with Sandbox(limit=None, faults=Faults(latency=0.5)) as sandbox, AsyncExitStack() as stack:
        workers = Workers(own_valkey, "cut", sandbox)
        await workers.put()
        for _ in range(count):
            await stack.enter_async_context(workers.one())
        consumers = "XINFO", "CONSUMERS", "cut", "taskiq"
        await until(lambda: own_valkey.command(*consumers).startswith(b"*%d" % count))
        await workers.put(CAPTURE)
        await until(lambda: workers.arrived == 1)
        with cut_off(own_valkey):
            await asyncio.sleep(1.5)
        await until(lambda: len(workers.outcomes) == 1 and workers.left == 0, within=20)
        await asyncio.sleep(1.2)
        assert workers.arrived == 1


async def test_what_cannot_be_acknowledged_at_once_is_not_sent_again(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store may go away between the end of a task and its acknowledgement."""
    execute, failed = Pipeline.execute, list[bool]()

    async def fails_at_first(self: Pipeline, raise_on_error: bool = True) -> object:
        if not failed:
            failed.append(True)
            raise StoreGone
        return await execute(self, raise_on_error)

    monkeypatch.setattr(Pipeline, "execute", fails_at_first)
    async with Sandbox(limit=None) as sandbox:
        workers = Workers(valkey, "words", sandbox)
        await workers.put(CAPTURE)
        async with workers.one():
            await until(lambda: len(workers.outcomes) == 1 and workers.left == 0)
        assert workers.arrived == 1


async def test_a_store_that_takes_no_marks_is_not_asked_at_full_speed(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that must not be sent twice waits until the store takes its mark."""
    monkeypatch.setattr(broker, "LOOK_EVERY", 1.0)
    async with Sandbox(limit=None) as sandbox:
        workers = Workers(own_valkey, "full", sandbox)
        await workers.put(ACTIVITY)
        own_valkey.command("CONFIG", "SET", "maxmemory", "1")
        async with workers.one():
            await asyncio.sleep(1.5)
            tried = own_valkey.command("INFO", "errorstats").partition(b"errorstat_OOM:count=")[2]
            assert 1 <= int(tried.partition(b"\r")[0]) < 10
            assert workers.arrived == 0
            own_valkey.command("CONFIG", "SET", "maxmemory", "0")
            await until(lambda: len(workers.outcomes) == 1)
        assert workers.outcomes[0].state is ItemState.REJECTED  # there is no such lead


async def test_a_web_process_starts_without_its_store_and_hears_what_it_may_not_do(
    own_valkey: Valkey,
) -> None:
    """A task that the store rejects is not stored, and may be submitted again."""
    web = StreamBroker(own_valkey.url, "web")
    tasks = LeadSquaredTasks(web, LeadSquared)
    own_valkey.stop()
    await web.startup()
    own_valkey.start()
    own_valkey.command("ACL", "SETUSER", "default", "-xadd")
    for key in (None, "form-4711"):
        with pytest.raises(ConnectionFailed, match="rejected") as caught:
            await tasks.submit(CAPTURE, key=key)
        assert caught.value.delivery is Delivery.NOT_SENT
    own_valkey.command("ACL", "SETUSER", "default", "+xadd")
    for key in (None, "form-4711"):
        await tasks.submit(CAPTURE, key=key)
    assert own_valkey.command("XLEN", "web") == b":2\r\n"
    await web.shutdown()


async def test_a_key_that_is_given_twice_is_one_task(valkey: Valkey) -> None:
    """A repeated key adds no task in any process; another key, or none, does."""
    webs = [StreamBroker(valkey.url, "keys") for _ in range(2)]
    clicks = [LeadSquaredTasks(web, LeadSquared) for web in webs]
    await asyncio.gather(*(tasks.submit(CAPTURE, key="form-4711") for tasks in clicks * 5))
    assert valkey.command("XLEN", "keys") == b":1\r\n"
    await clicks[0].submit(CAPTURE, key="form-4712")
    await clicks[0].submit(CAPTURE)
    await clicks[0].submit(CAPTURE)
    assert valkey.command("XLEN", "keys") == b":4\r\n"
    assert b"form-4711" not in valkey.command("KEYS", "*") + valkey.command("XRANGE", "keys", "-", "+")
    for web in webs:
        await web.shutdown()


async def test_a_submit_that_was_not_answered_is_repeated_under_its_key(own_valkey: Valkey) -> None:
    """The store has the task once, whether it had it before or not."""
    web = StreamBroker(own_valkey.url, "again", socket_timeout=0.2)
    tasks = LeadSquaredTasks(web, LeadSquared)
    own_valkey.freeze()
    with pytest.raises(ConnectionFailed, match="if it has a key"):
        await tasks.submit(CAPTURE, key="form-4711")
    own_valkey.thaw()
    await tasks.submit(CAPTURE, key="form-4711")
    assert own_valkey.command("XLEN", "again") == b":1\r\n"
    await web.shutdown()


@pytest.mark.parametrize("key", ["", 4711])
async def test_a_key_is_text(key: object, valkey: Valkey) -> None:
    """Any other key raises."""
    tasks = LeadSquaredTasks(StreamBroker(valkey.url, "text"), LeadSquared)
    with pytest.raises(ConfigurationError, match="key"):
        await tasks.submit(CAPTURE, key=key)  # type: ignore[arg-type]

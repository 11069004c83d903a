"""Foreign data in the store's state, in its answers and on its channel."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadsquared_async.config import Credentials, RateLimit
from leadsquared_async.errors import ConfigurationError
from leadsquared_async.limiter.interface import Limit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.queue import TokenQueue
from leadsquared_async.limiter.redis_grantor import RedisGrantor
from leadsquared_async.limiter.redis_limits import SharedLimiter
from leadsquared_async.limiter.redis_messages import Incompatible, StoreReply, StoreRequest, StoreUnavailable
from leadsquared_async.limiter.redis_store import RedisStore, script
from tests import virtual
from tests.limiter.test_redis_script import request
from tests.limiter.valkey import Valkey
from tests.limiter.world import DEFAULT, Connection, Server, grantor_of, joined, leave

FAST = RateLimit(25, per=0.5)


def ask(run: Callable[..., Any], **given: Any) -> StoreReply:
    return StoreReply.read(run(keys=["k"], args=request(**given).arguments()))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bytes_that_somebody_else_wrote_are_never_taken_for_a_state(
    client: redis.Redis, data: st.DataObject
) -> None:
    """A state with changed bytes counts as all tokens spent, or is rejected."""
    client.flushall()
    run = client.register_script(script())
    ask(run, process="other", waiting=(2, 0, 0))
    state = client.get("k")
    assert isinstance(state, bytes)
    place = data.draw(st.integers(0, len(state)))
    changed = state[:place] + data.draw(st.binary(max_size=5)) + state[place + data.draw(st.integers(0, 5)) :]
    client.set("k", changed)
    try:
        reply = ask(run, number=2, waiting=(3, 0, 0))
    except Incompatible:
        assert client.get("k") == changed
        return
    assert reply.was_damaged == (changed != state)
    assert sum(reply.granted) == 0 or changed == state


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_state_are_rejected_and_left_alone(client: redis.Redis, data: bytes) -> None:
    """Any other content of the key is rejected, and not overwritten."""
    client.set("k", data)
    with pytest.raises(Incompatible):
        ask(client.register_script(script()))
    assert client.get("k") == data


GOOD = [0, 10, 5, 1, 1, 0, 0, -1, 3, 100, 0, 0, 25, 5_000_000, 20_000, 1, 0, 0]


@pytest.mark.parametrize(
    "answer", [None, b"OK", 7, [], [0], GOOD[:-1], [*GOOD, 0], [[], *GOOD[1:]], [*GOOD[:-1], b"0"], {}]
)
def test_an_answer_of_another_shape_is_rejected(answer: object) -> None:
    """None, a word, a number and too few numbers are no answer."""
    with pytest.raises(StoreUnavailable, match="invalid"):
        StoreReply.read(answer)


def test_an_invalid_answer_is_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    """The process uses its share, and one log line says why."""

    class Absurd(Connection):
        async def exchange(self, key: str, request: StoreRequest) -> StoreReply:
            raise StoreUnavailable("its answer is invalid")

    async def main() -> None:
        bucket = joined(RedisGrantor(DEFAULT, store=Absurd(Server(), "p"), key="k"))
        for _ in range(3):
            await bucket.acquire(Lane.INTERACTIVE)
            bucket.on_rate_limited(1.0, (10, 5.0))
            bucket.release()
            assert bucket.snapshot().degraded
            await asyncio.sleep(30)
        await leave(bucket)

    with caplog.at_level(logging.INFO, "leadsquared_async"):
        virtual.run(main)
    assert sum("its answer is invalid" in message for message in caplog.messages) == 1


@pytest.fixture
async def bucket(valkey: Valkey) -> AsyncIterator[TokenQueue]:
    valkey.command("FLUSHALL")
    limiter = SharedLimiter(valkey.url)
    bucket = limiter.join("host", Credentials("access", "secret", "key"), Limit.CALLS, FAST)
    yield bucket
    await limiter.leave(bucket)
    assert len(asyncio.all_tasks()) == 1


async def test_a_damaged_state_is_logged_once_and_costs_a_window(
    bucket: TokenQueue, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """Two damages cause one warning, and calls continue without an error."""
    with redis.Redis.from_url(valkey.url) as client:
        for _ in range(2):
            await bucket.acquire(Lane.INTERACTIVE)
            bucket.release()
            client.append(grantor_of(bucket)._key, b"\x00")
            start = time.monotonic()
            await bucket.acquire(Lane.INTERACTIVE)
            bucket.on_rate_limited(None, (10, 1.0))
            bucket.release()
            assert time.monotonic() - start < 2.0
    assert sum("did not write" in message for message in caplog.messages) == 1


@pytest.mark.parametrize("kind", ["list", "hash", "word"])
async def test_a_key_of_another_kind_raises_from_acquire_only(
    bucket: TokenQueue, valkey: Valkey, kind: str
) -> None:
    """No other method raises when the key is overwritten under calls in flight."""
    await bucket.acquire(Lane.INTERACTIVE)
    valkey.command("DEL", grantor_of(bucket)._key)
    commands = {"list": ("RPUSH", "x"), "hash": ("HSET", "x", "y"), "word": ("SET", "x")}
    name, *rest = commands[kind]
    valkey.command(name, grantor_of(bucket)._key, *rest)
    bucket.on_rate_limited(0.1, (10, 5.0))
    bucket.release()
    bucket.snapshot()
    with pytest.raises(ConfigurationError, match="prefix"):
        await bucket.acquire(Lane.INTERACTIVE)
    assert (
        valkey.command("TYPE", grantor_of(bucket)._key)
        == f"+{'string' if kind == 'word' else kind}\r\n".encode()
    )
    valkey.command("DEL", grantor_of(bucket)._key)


NONSENSE = [b"", b" ", b"\xff\xfe", b"x", b"k nan", b"k 1e300", b"k -1", b"k " + b"9" * 400, b"\x00" * 5000]


@pytest.mark.parametrize("options", ["", "?decode_responses=True"])
async def test_foreign_bytes_on_the_channel_do_not_end_the_listener(
    valkey: Valkey, options: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A hint after foreign messages is still received, and one warning is logged."""
    store = RedisStore(valkey.url + options, prefix="p", timeout=0.5)
    heard: list[float] = []
    store.listen("k", heard.append)
    with redis.Redis.from_url(valkey.url) as client:
        while not client.pubsub_numsub(store.channel)[0][1]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for nonsense in NONSENSE if not options else NONSENSE[3:4]:
            client.publish(store.channel, nonsense)
        client.publish(store.channel, b"k 1000000")
        for _ in range(100):
            if heard:
                break
            await asyncio.sleep(0.01)
    await store.aclose()
    assert heard == [1.0]
    assert sum("channel" in message for message in caplog.messages) == 1


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=40), st.text(max_size=40), st.integers(), st.none()))
def test_a_message_is_a_hint_within_bounds_or_ignored(data: object) -> None:
    """A message of any type and content is a valid hint or has no effect."""
    store = RedisStore("unix:///nowhere", prefix="p", timeout=0.5)
    heard: list[float] = []
    store._listeners["k"] = heard.append
    store._pass_on(data)
    store._pass_on(b"k 5")
    assert heard[-1] == 5e-6
    assert all(0 <= seconds <= 1e6 for seconds in heard)

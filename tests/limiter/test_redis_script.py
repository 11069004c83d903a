"""The script in a real Valkey counts tokens as one process does, and stores its state safely."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.limiter.redis_messages import CALLS_BEFORE, Incompatible, StoreReply, StoreRequest
from leadsquared_async.limiter.redis_store import script
from leadsquared_async.limiter.tokens import Tokens
from tests.limiter.world import Script

LIMITS = [
    *(RateLimit(25, per=5.0), RateLimit(20, per=5.0), RateLimit(3, per=2.0), RateLimit(60, per=60.0)),
    *(RateLimit(1, per=600.0), RateLimit(26, per=5.0, margin=0.1), RateLimit(5, per=0.5)),
]
NAMED = [(10, 5.0), (30, 60.0), (1, 3600.0)]
BEGIN = 1_700_000_000.0
SAME = pytest.approx


def request(**given: Any) -> StoreRequest:
    usual: dict[str, Any] = {
        "process": "p",
        "number": 1,
        "channel": "c",
        "declared": RateLimit(25, per=5.0),
        "lease": 3.0,
        "presence": 30.0,
        "keep": 3600.0,
    }
    return StoreRequest(**{**usual, **given})


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("seed", range(10))
def test_the_script_counts_tokens_as_one_process_does(client: redis.Redis, lane: Lane, seed: int) -> None:
    """At each of 400 requests the store grants and keeps what `Tokens` does, with the same next time."""
    chance, store, tokens = random.Random(seed), Script(client), Tokens(LIMITS[0])
    now, waiting, declared = BEGIN, 0, LIMITS[0]
    for number in range(1, 400):
        now = round(now + chance.choice([0.0, 0.003, 0.05, 0.2, 0.2, 0.2, 9.0]) + chance.random() / 7, 6)
        tokens.settle(now)
        ends = [(0.0, chance.random() < 0.9) for _ in range(chance.randint(0, tokens.out))]
        for _, counted in ends:
            tokens.release(now, counted=counted)
        if tokens.out and chance.random() < 0.1:
            tokens.release_unused()
        declared = chance.choice(LIMITS) if chance.random() < 0.02 else declared
        tokens.set_declared(now, declared)
        held, limited = tokens.out, number // 100 % 2 == 0 and chance.random() < 0.1
        pause, named = chance.choice([None, 0.5, 3.0]), chance.choice([None, None, *NAMED])
        if limited:
            tokens.count_429(now, pause, None if named is None else RateLimit(*named, declared.margin))
        tokens.settle(now)
        waiting += chance.choice([0, 1, 1, 2, 30])
        granted = 0
        while granted < waiting and tokens.may_take(lane, now):
            tokens.take(now, lane)
            granted += 1
        told = {"rate_limited": True, "pause": pause, "named": named} if limited else {}
        reply = store.run(
            "k",
            now,
            request(
                number=number,
                declared=declared,
                lease=3600.0,
                held=held,
                waiting=tuple(waiting if each is lane else 0 for each in Lane),
                ends=tuple(ends),
                **told,
            ),
        )
        waiting -= granted
        for is_, should in (
            (reply.granted[lane], granted),
            (reply.free, tokens.free),
            (reply.withdrawn, tokens.withdrawn),
            (reply.learnt, tokens.learnt is not None),
            ((reply.limit.calls, reply.limit.per), SAME((tokens.limit.calls, tokens.limit.per))),
            (reply.first, SAME(max(0.0, tokens.earliest(now, tokens.free) - now), abs=2e-3)),
            (reply.paused, SAME(max(0.0, tokens.paused_until - now), abs=2e-3)),
        ):
            assert is_ == should, f"request {number} at {now}: {reply}"


def test_a_state_of_another_version_is_rejected(client: redis.Redis) -> None:
    """It raises for a later version and for foreign data, and changes nothing."""
    for key, value in (
        ("later", b"leadsquared limit 3 0f\n\x80"),
        ("other", b"not packed"),
        ("number", b"7"),
    ):
        client.set(key, value)
        with pytest.raises(Incompatible) as caught:
            Script(client).run(key, BEGIN, request())
        assert caught.value.version == (3 if key == "later" else 0)
        assert client.get(key) == value


def test_fields_of_a_compatible_version_are_kept(client: redis.Redis) -> None:
    """A version keeps the fields that another with the same number adds."""
    newer = script().replace("s.steps = s.steps + 1", "s.steps = s.steps + 1; s.added = (s.added or 0) + 1")
    ask = client.register_script(newer + "\n")
    ask(keys=["k"], args=request(process="new", number=1).arguments())
    old = client.register_script(script())
    old(keys=["k"], args=request(process="old", number=1).arguments())
    ask(keys=["k"], args=request(process="new", number=2).arguments())
    state = client.get("k")
    assert isinstance(state, bytes)
    assert b"\xa5added\x02" in state


def test_a_state_that_nobody_uses_expires(client: redis.Redis) -> None:
    """The key lives as long as the last request stated."""
    client.register_script(script())(keys=["k"], args=request(keep=60.0).arguments())
    assert 59_000 < int(client.pttl("k")) <= 60_000


def test_a_store_that_has_just_started_begins_with_nothing(client: redis.Redis) -> None:
    """All tokens of its first state count as spent; a later state begins full."""
    run = client.register_script(script())
    ask = request(declared=RateLimit(25, per=3600.0), waiting=(3, 0, 0))
    assert StoreReply.read(run(keys=["new"], args=ask.arguments())).begun_as_spent
    fresh = StoreReply.read(run(keys=["new"], args=replace(ask, number=2).arguments()))
    assert (fresh.granted, fresh.free) == ((0, 0, 0), 0)
    later = Script(client).run("later", BEGIN, ask)
    assert (later.granted, later.free, later.begun_as_spent) == ((3, 0, 0), 22, False)


@pytest.mark.parametrize(("is_known", "free"), [(False, 0), (True, 22)])
def test_calls_before_a_state_began_count_as_spent(is_known: bool, free: int, client: redis.Redis) -> None:
    """Only a state that begins now assumes them; an existing one has counted them."""
    ask = request(declared=RateLimit(25, per=3600.0), waiting=(3, 0, 0))
    if is_known:
        Script(client).run("k", BEGIN, ask)
    after = replace(ask, process="b" * 16, number=1, waiting=(0, 0, 0), known=(CALLS_BEFORE, 0, 0.0))
    assert Script(client).run("k", BEGIN, after).free == free


declared = st.builds(
    RateLimit,
    st.sampled_from([1, 2, 10, 25, 60, 200]),
    st.sampled_from([0.2, 1.0, 5.0, 60.0, 600.0, 86_400.0]),
)
visits = st.tuples(declared, st.sampled_from([0.1, 2.0, 40.0]), st.integers(0, 30), st.booleans())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(visits, min_size=1, max_size=5))
def test_a_limit_that_another_process_declared_for_a_while_leaves_no_trace(
    client: redis.Redis, visits: list[tuple[RateLimit, float, int, bool]]
) -> None:
    """After any history the next token comes within one window of the limit in force, and the state expires
    within a week."""
    client.flushall()
    store, wall = Script(client), BEGIN
    usual = request(process="p")
    store.run("k", wall, usual)
    for place, (limit, stays, calls, refused) in enumerate(visits):
        comes = request(process=f"stranger {place}", declared=limit, waiting=(calls, 0, 0))
        granted = sum(store.run("k", wall, comes).granted)
        wall += stays
        ends = tuple((stays / 2, True) for _ in range(granted))
        refusal = {"rate_limited": True, "named": (1, 3600.0)} if refused else {}
        store.run("k", wall, replace(comes, number=2, waiting=(0, 0, 0), ends=ends, leaving=True, **refusal))
        reply = store.run("k", wall, replace(usual, number=2 + place))
        assert reply.first <= 5.0 + 2 * 0.204 or reply.learnt or reply.withdrawn
        assert reply.paused <= (60.0 if reply.learnt else 0.21)
    assert client.pttl("k") <= 7 * 86_400_000
    # What strangers were refused costs tokens and a pause; after some clean windows nothing is left of it.
    wall += 12 * 60.0
    store.run("k", wall, replace(usual, number=100, waiting=(1, 0, 0)))
    store.run("k", wall + 0.1, replace(usual, number=101, held=0, ends=((0.0, True),)))
    wall += 25 * 5.0 + 10.2
    reply = store.run("k", wall, replace(usual, number=102))
    assert (reply.limit, reply.free, reply.withdrawn) == (RateLimit(25, per=5.0), 25, 0)


def test_a_process_that_knew_another_state_brings_no_second_burst(client: redis.Redis) -> None:
    """When it asks a new state for the first time, all tokens count as spent, once."""
    store = Script(client)
    assert store.run("k", BEGIN, request(process="fresh")).free == 25
    knows = request(process="old", known=(1, 0, 0.0))
    reply = store.run("k", BEGIN + 1, knows)
    assert reply.free == 0
    known = (reply.born, reply.steps, reply.at + 11.0)
    assert store.run("k", BEGIN + 12, replace(knows, number=2, known=known)).free == 25


def test_a_request_that_arrives_after_a_later_one_is_ignored(client: redis.Redis) -> None:
    """It neither takes nor returns tokens."""
    store = Script(client)
    later = request(number=2, waiting=(2, 0, 0))
    assert sum(store.run("k", BEGIN, later).granted) == 2
    reply = store.run("k", BEGIN + 1, replace(later, number=1, ends=((0.0, True),)))
    assert (reply.stale, sum(reply.granted), reply.free) == (True, 0, 23)

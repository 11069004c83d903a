"""The script in a real Valkey does what the reference does, whatever happens in whatever order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadsquared_async.config import RateLimit
from leadsquared_async.limiter.redis_messages import End, Incompatible, Known, Reply, Request
from leadsquared_async.limiter.redis_store import script
from tests.limiter.reference import State
from tests.limiter.valkey import Valkey

LIMITS = [
    *(RateLimit(25, per=5.0), RateLimit(20, per=5.0), RateLimit(3, per=2.0), RateLimit(60, per=60.0)),
    *(RateLimit(1, per=600.0), RateLimit(26, per=5.0, margin=0.1), RateLimit(5, per=0.5)),
]
BEGIN = 1_700_000_000.0
SAME = pytest.approx

TIME = "local time = redis.call('TIME')"
GIVEN_TIME = "local time = cjson.decode(ARGV[#ARGV])"
ARGUMENTS = "ipairs(ARGV)"
ALL_BUT_TIME = "ipairs({unpack(ARGV, 1, #ARGV - 1)})"


class Clocked:
    """The script, with the server's clock in the test's hand."""

    def __init__(self, client: redis.Redis, key: str) -> None:
        source = script()
        assert source.count(TIME) == source.count(ARGUMENTS) == 1
        self._run = client.register_script(
            source.replace(TIME, GIVEN_TIME).replace(ARGUMENTS, ALL_BUT_TIME).replace("'INFO'", "'INFX'")
        )
        self._key = key

    def run(self, wall: float, request: Request) -> Reply:
        micro = round(wall * 1e6)
        time = f"[{micro // 1_000_000}, {micro % 1_000_000}]"
        answer: Any = self._run(keys=[self._key], args=[*request.arguments(), time])
        return Reply.read(answer)


@pytest.fixture
def client(valkey: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
        yield client


def request(**given: Any) -> Request:
    usual: dict[str, Any] = {
        "process": "p",
        "number": 1,
        "channel": "c",
        "declared": RateLimit(25, per=5.0),
        "lease": 3.0,
        "presence": 30.0,
        "keep": 3600.0,
    }
    return Request(**{**usual, **given})


class Simulated:
    """A process that takes tokens and gives them back at random, and now and then is not heard of."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name = name
        self.chance = chance
        self.number = 0
        self.held = 0
        self.waiting = [0, 0, 0]
        self.ends: list[tuple[float, bool]] = []
        self.declared = LIMITS[0]
        self.known: tuple[Reply, float] | None = None

    def live(self, now: float) -> None:
        chance = self.chance
        while self.held and chance.random() < 0.6:
            self.held -= 1
            if chance.random() < 0.9:
                self.ends.append((now - chance.uniform(0, 0.05), chance.random() < 0.9))
        if chance.random() < 0.5:
            self.waiting[chance.choice([0, 1, 1, 2])] += chance.choice([1, 1, 2, 30])
        if chance.random() < 0.05:
            self.waiting[chance.randrange(3)] = 0
        if chance.random() < 0.02:
            self.declared = chance.choice(LIMITS)

    def asks(self, now: float) -> Request:
        chance = self.chance
        self.number += 0 if chance.random() < 0.02 else 1
        known = None
        if self.known is not None:
            reply, heard = self.known
            steps = reply.steps + (1000 if chance.random() < 0.01 else 0)
            born = 1 if chance.random() < 0.01 else reply.born
            known = Known(born, steps, reply.at + now - heard)
        return request(
            process=self.name,
            number=max(1, self.number),
            channel=self.name,
            declared=self.declared,
            held=self.held,
            waiting=tuple(self.waiting),
            ends=tuple(End(now - ended, counted) for ended, counted in self.ends),
            all_ends_count=chance.random() < 0.1,
            rate_limited=chance.random() < 0.03,
            pause=chance.choice([None, 0.5, 3.0]),
            named=chance.choice([None, None, None, (10, 5.0), (30, 60.0), (1, 3600.0)])
            if chance.random() < 0.2
            else None,
            assumed=chance.choice([(2, 1.0), (None, 100.0)]) if chance.random() < 0.01 else None,
            known=known,
            leaving=chance.random() < 0.01,
        )

    def hears(self, reply: Reply, now: float) -> None:
        if self.chance.random() < 0.03:
            return  # lost on the way
        self.known = (reply, now)
        if not reply.stale:
            self.ends.clear()
            self.held += sum(reply.granted)
            self.waiting = [
                max(0, waiting - granted)
                for waiting, granted in zip(self.waiting, reply.granted, strict=True)
            ]


def assert_same(one: Reply, other: Reply, note: str) -> None:
    for name in ("born", "steps", "granted", "free", "withdrawn", "processes", "learnt", "stale"):
        assert getattr(one, name) == getattr(other, name), f"{note}: {name}\n{one}\n{other}"
    for name in ("at", "first", "paused"):
        assert getattr(one, name) == SAME(getattr(other, name), abs=2e-3), f"{note}: {name}\n{one}\n{other}"
    assert one.limit.calls == other.limit.calls, note
    assert one.limit.per == SAME(other.limit.per), note
    assert (one.again is None) == (other.again is None), note
    if one.again is not None and other.again is not None:
        assert one.again == SAME(other.again, abs=2e-3), f"{note}: again\n{one}\n{other}"


@pytest.mark.parametrize("seed", range(30))
def test_the_script_does_what_the_reference_does(client: redis.Redis, seed: int) -> None:
    """600 requests of up to six processes, with lapses, losses, 429s and a clock that moves."""
    listening = client.pubsub(ignore_subscribe_messages=True)
    listening.psubscribe("*")
    listening.get_message(timeout=1.0)
    chance = random.Random(seed)
    clocked = Clocked(client, f"state {seed}")
    processes = [Simulated(f"p{number}", chance) for number in range(chance.randint(1, 6))]
    state: State | None = None
    wall, now = BEGIN + chance.random(), 0.0
    for step in range(600):
        passed = (
            chance.choice([0.0, 0.003, 0.05, 0.2, 0.2]) if chance.random() < 0.98 else chance.uniform(1, 40)
        )
        passed += chance.random() / 7
        wall, now = wall + passed, now + passed
        if chance.random() < 0.01:
            wall += chance.choice([-3600.0, -1.0, 3600.0, 2.0])
        wall = round(wall, 6)
        process = chance.choice(processes)
        process.live(now)
        asked = process.asks(now)
        if state is None:
            state = State(wall, asked, just_started=False)
        expected = state.run(wall, asked)
        answer = clocked.run(wall, asked)
        assert answer.fits(asked)
        assert_same(answer, expected, f"step {step} {asked}")
        for channel, delay in state.hints:
            message = listening.get_message(timeout=1.0)
            assert message is not None
            assert message["channel"] == channel.encode()
            assert int(message["data"].rpartition(b" ")[2]) / 1e6 == SAME(delay, abs=2e-3)
        process.hears(answer, now)
    assert state is not None
    assert listening.get_message() is None
    listening.close()


def test_a_state_of_another_version_is_rejected(client: redis.Redis) -> None:
    """A process that finds a later version, or something else altogether, says so and changes nothing."""
    for key, value in (
        ("later", b"leadsquared limit 3 0f\n\x80"),
        ("other", b"not packed"),
        ("number", b"7"),
    ):
        client.set(key, value)
        with pytest.raises(Incompatible) as caught:
            Clocked(client, key).run(BEGIN, request())
        assert caught.value.version == (3 if key == "later" else 0)
        assert client.get(key) == value


def test_fields_of_a_compatible_version_are_kept(client: redis.Redis) -> None:
    """Two versions that share a number coexist: the one does not lose what the other added."""
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
    """The key lives as long as the last request asked for."""
    client.register_script(script())(keys=["k"], args=request(keep=60.0).arguments())
    assert 59_000 < int(client.pttl("k")) <= 60_000


def test_a_store_that_has_just_started_begins_with_nothing(client: redis.Redis) -> None:
    """No full burst after a restart: all tokens count as spent; a later state begins full."""
    run = client.register_script(script())
    ask = request(declared=RateLimit(25, per=3600.0), waiting=(3, 0, 0))
    assert Reply.read(run(keys=["new"], args=ask.arguments())).begun_as_spent
    fresh = Reply.read(run(keys=["new"], args=replace(ask, number=2).arguments()))
    assert (fresh.granted, fresh.free) == ((0, 0, 0), 0)
    later = Clocked(client, "later").run(BEGIN, ask)
    assert (later.granted, later.free, later.begun_as_spent) == ((3, 0, 0), 22, False)


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
    """After other processes with any limits, calls and 429s have left, the next token comes within
    one window of the limit in force, and the state does not outlive a week."""
    client.flushall()
    clocked, wall = Clocked(client, "k"), BEGIN
    usual = request(process="p")
    clocked.run(wall, usual)
    for place, (limit, stays, calls, refused) in enumerate(visits):
        comes = request(process=f"stranger {place}", declared=limit, waiting=(calls, 0, 0))
        granted = sum(clocked.run(wall, comes).granted)
        wall += stays
        ends = tuple(End(stays / 2, counted=True) for _ in range(granted))
        refusal = {"rate_limited": True, "named": (1, 3600.0)} if refused else {}
        clocked.run(wall, replace(comes, number=2, waiting=(0, 0, 0), ends=ends, leaving=True, **refusal))
        reply = clocked.run(wall, replace(usual, number=2 + place))
        assert reply.first <= 5.0 + 2 * 0.204 or reply.learnt or reply.withdrawn
        assert reply.paused <= (60.0 if reply.learnt else 0.21)
    assert client.pttl("k") <= 7 * 86_400_000
    # What strangers were refused costs tokens and a pause; after some clean windows nothing is left of it.
    wall += 12 * 60.0
    clocked.run(wall, replace(usual, number=100, waiting=(1, 0, 0)))
    clocked.run(wall + 0.1, replace(usual, number=101, held=0, ends=(End(0.0, counted=True),)))
    wall += 25 * 5.0 + 10.2
    reply = clocked.run(wall, replace(usual, number=102))
    assert (reply.limit, reply.free, reply.withdrawn) == (RateLimit(25, per=5.0), 25, 0)


def test_a_process_with_one_call_in_ten_minutes_does_not_stop_the_account(
    client: redis.Redis,
) -> None:
    """Declared for two seconds: a fresh process gets a token at once and 25 within a window."""
    clocked = Clocked(client, "k")
    clocked.run(BEGIN, request(process="p"))
    comes = request(process="stranger", declared=RateLimit(1, per=600.0))
    assert clocked.run(BEGIN + 1, comes).limit == RateLimit(1, per=600.0)
    clocked.run(BEGIN + 3, replace(comes, number=2, leaving=True))
    fresh = clocked.run(BEGIN + 3.1, request(process="fresh", waiting=(1, 0, 0)))
    assert (fresh.limit, sum(fresh.granted)) == (RateLimit(25, per=5.0), 1)
    replies = [clocked.run(BEGIN + 3.1 + i, request(process="fresh", number=2 + i, held=1)) for i in range(6)]
    assert replies[-1].free == 24


def test_a_shorter_window_lets_no_more_through_than_the_longer_before_it(client: redis.Redis) -> None:
    """25 calls in 5 s; then a process that declares 5 a second gets none until those have left the window."""
    clocked = Clocked(client, "k")
    assert sum(clocked.run(BEGIN, request(process="p", waiting=(25, 0, 0))).granted) == 25
    ends = tuple(End(0.0, counted=True) for _ in range(25))
    clocked.run(BEGIN + 0.1, request(process="p", number=2, ends=ends, leaving=True))
    granted, held = list[float](), 0
    for number in range(1, 100):
        after = 0.1 + number / 10
        over = tuple(End(0.0, counted=True) for _ in range(held))
        asked = request(
            process="q", number=number, declared=RateLimit(5, per=1.0), waiting=(9, 0, 0), ends=over
        )
        held = sum(clocked.run(BEGIN + after, asked).granted)
        granted += [after] * held
    assert granted[0] == SAME(5.1, abs=0.11)
    assert all(sum(start <= time < start + 0.99 for time in granted) <= 5 for start in granted)
    assert len(granted) >= 20


def test_a_learnt_limit_is_given_up_and_one_far_below_needs_a_second_answer(client: redis.Redis) -> None:
    """In the store, for all processes, as in one process."""
    clocked = Clocked(client, "k")
    clocked.run(BEGIN, request())
    first = clocked.run(BEGIN + 1, request(number=2, rate_limited=True, named=(1, 3600.0)))
    assert (first.limit, first.learnt) == (RateLimit(25, per=5.0), False)
    second = clocked.run(
        BEGIN + 2, request(number=3, rate_limited=True, named=(1, 3600.0), waiting=(1, 0, 0))
    )
    assert (second.limit, second.learnt) == (RateLimit(1, per=3600.0), True)
    clocked.run(BEGIN + 3, request(number=4, waiting=(1, 0, 0)))
    kept = clocked.run(BEGIN + 700, request(number=5, waiting=(1, 0, 0), held=1))
    assert kept.learnt
    assert kept.again is not None
    back = clocked.run(BEGIN + 723, request(number=6, waiting=(1, 0, 0), held=1))
    assert (back.limit, back.learnt) == (RateLimit(25, per=5.0), False)

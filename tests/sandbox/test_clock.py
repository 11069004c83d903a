"""The sandbox's clock goes on, whatever a test does to the date and to `time`."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Iterator
from itertools import count

import httpx
import pytest

from leadsquared_async.sandbox import Faults, Sandbox

from .calls import API_KEY, BRET, KEYS

HEADERS = {"x-api-key": API_KEY, "content-type": "application/json"}
NOW = 1_700_000_000.0


def stopped() -> Iterator[float]:
    while True:
        yield NOW


def forwards() -> Iterator[float]:
    return (NOW + number * 86_400 for number in count())


def backwards() -> Iterator[float]:
    return (NOW - number * 86_400 for number in count())


@pytest.fixture(params=[stopped, forwards, backwards])
def strange_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What libraries that freeze or move the time put in the place of `time` and `datetime`."""
    times: Iterator[float] = request.param()

    class Strange(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return cls.fromtimestamp(next(times), tz)

    monkeypatch.setattr(time, "time", lambda: next(times))
    monkeypatch.setattr(time, "time_ns", lambda: int(next(times) * 1e9))
    monkeypatch.setattr(dt, "datetime", Strange)


def frozen(read: Callable[[], float]) -> Callable[[], float]:
    at = read()
    return lambda: at


@pytest.mark.usefixtures("strange_time")
async def test_limits_and_processing_go_on_under_a_strange_date():
    """The limit refuses and lets in again, a request is processed, latency passes."""
    async with (
        Sandbox(limit=(2, 0.2), processing_rate=60, speed=100, faults=Faults(latency=0.01)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers=HEADERS, trust_env=False) as client,
    ):

        async def capture() -> int:
            return (await client.post(f"/lead/capture?{KEYS}", content=BRET)).status_code

        began = sandbox.books.now
        assert [await capture() for _ in range(3)] == [200, 200, 429]
        await asyncio.sleep(0.22)
        assert await capture() == 200
        assert 0.2 < sandbox.books.now - began < 10.0
        await asyncio.sleep(0.02)
        assert [request["status"] for request in sandbox.books.requests] == ["Success"] * 3
        times = [arrival.time for arrival in sandbox.books.arrivals]
        assert times == sorted(times)


async def test_the_sandbox_goes_on_where_the_monotonic_clock_is_frozen_too(monkeypatch: pytest.MonkeyPatch):
    """Some libraries freeze it as well; the loop that drives the test has its own."""
    sandbox = Sandbox(limit=(1, 0.05))
    monkeypatch.setattr(time, "perf_counter", frozen(time.perf_counter))
    async with (
        sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers=HEADERS, trust_env=False) as client,
    ):
        real = time.monotonic
        with monkeypatch.context() as patched:
            patched.setattr(time, "monotonic", frozen(real))
            began = sandbox.books.now
            for _ in range(1_000_000):
                if sandbox.books.now - began > 0.06:
                    break
                await asyncio.sleep(0)
            assert sandbox.books.now - began > 0.06
            assert (await client.get("/lead/capture/metrics")).status_code == 200


async def test_a_clock_of_ones_own_drives_it():
    """For a test that moves the time by hand."""
    now = 100.0
    async with (
        Sandbox(limit=(1, 5.0), processing_rate=60, clock=lambda: now) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers=HEADERS, trust_env=False) as client,
    ):

        async def capture() -> int:
            return (await client.post(f"/lead/capture?{KEYS}", content=BRET)).status_code

        assert sandbox.books.now == 0.0
        assert [await capture(), await capture()] == [200, 429]
        assert [request["status"] for request in sandbox.books.requests] == ["In-Queue"]
        now += 5.0
        assert [await capture(), await capture()] == [200, 429]
        assert [request["status"] for request in sandbox.books.requests] == ["Success", "In-Queue"]
        assert [arrival.time for arrival in sandbox.books.arrivals] == [0.0, 0.0, 5.0, 5.0]

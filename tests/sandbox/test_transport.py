"""The transport without a socket, and the clock of a sandbox."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from itertools import chain, count

import httpx
import pytest

from leadsquared_async.sandbox import Account, Faults, Sandbox, SandboxTransport

from .calls import ACCESS_KEY, API_KEY, BRET, SECRET_KEY
from .calls import KEYS as QUERY

HEADERS = {"x-api-key": API_KEY, "content-type": "application/json"}
KEYS = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}


class VirtualTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def client_of(transport: SandboxTransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers=HEADERS) as client:
        yield client


async def run(faults: Faults) -> tuple[httpx.Response, VirtualTime, SandboxTransport]:
    """One capture in virtual time."""
    time = VirtualTime()
    transport = SandboxTransport(Account(faults=faults), time, time.sleep)
    async with client_of(transport) as client:
        response = await client.post("/lead/capture", params=KEYS, content=BRET)
    return response, time, transport


async def test_a_client_is_answered_as_by_a_server():
    """Method, path, query, headers and body arrive; status, headers and body come back."""
    response, _, transport = await run(Faults())
    assert response.status_code == 200
    assert response.headers["content-length"] == str(len(response.content))
    assert response.json()["RequestID"] == transport.books.requests[0]["request_id"]
    assert transport.books.misplaced_keys == []


async def test_a_call_arrives_after_half_of_the_round_trip():
    """Its answer is back after the other half."""
    _, time, transport = await run(Faults(latency=3.0))
    assert [arrival.time for arrival in transport.books.arrivals] == [1.5]
    assert time.now == 3.0


@pytest.mark.parametrize(
    ("fault", "error", "taken"),
    [
        ("refused", httpx.ConnectError, 0),
        ("reset", httpx.ReadError, 0),
        ("lost", httpx.RemoteProtocolError, 1),
        ("half-body", httpx.RemoteProtocolError, 1),
    ],
)
async def test_faults_of_the_wire_raise_what_a_socket_would(
    fault: str, error: type[httpx.TransportError], taken: int
):
    """The error carries the request, as httpx's own do."""
    time = VirtualTime()
    transport = SandboxTransport(Account(faults=Faults(script=(fault,))), time, time.sleep)
    async with client_of(transport) as client:
        with pytest.raises(error) as caught:
            await client.post("/lead/capture", params=KEYS, content=BRET)
    assert type(caught.value) is error
    assert caught.value.request.method == "POST"
    assert transport.books.accepted == taken


@pytest.mark.parametrize("fault", ["drip-headers", "drip-body"])
async def test_a_dripping_answer_is_whole_in_the_end(fault: str):
    """Eight bytes come each `drip` seconds."""
    response, time, _ = await run(Faults(script=(fault,), drip=10.0))
    assert response.json()["RequestID"]
    pieces = -(-len(response.content) // 8)
    if fault == "drip-body":
        assert time.now == pieces * 10.0
    else:
        assert time.now > pieces * 10.0


async def test_an_answer_hangs_until_the_caller_is_cancelled():
    """The next call succeeds."""
    transport = SandboxTransport(Account(faults=Faults(script=("hang",))))
    async with client_of(transport) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await client.post("/lead/capture", params=KEYS, content=BRET)
        response = await client.post("/lead/capture", params=KEYS, content=BRET)
    assert response.status_code == 200


async def test_a_call_arrives_although_its_sender_has_given_up():
    """A server counts and accepts a call whose sender has left."""
    arrive = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await arrive.wait()

    transport = SandboxTransport(Account(), sleep=sleep)
    async with client_of(transport) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await client.post("/lead/capture", params=KEYS, content=BRET)
        assert transport.books.accepted == 0
        arrive.set()
        await asyncio.sleep(0.005)
        assert transport.books.accepted == 1


async def test_closing_drops_calls_that_have_not_arrived():
    """No task is left behind."""
    transport = SandboxTransport(Account(faults=Faults(latency=3600.0)))
    async with client_of(transport) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002):
                await client.post("/lead/capture", params=KEYS, content=BRET)
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "sandbox arrival"] == []
    assert transport.books.accepted == 0


async def test_many_clients_may_share_an_account():
    """Four transports share one limit."""
    account = Account(limit=(25, 5.0))
    transports = [SandboxTransport(account, lambda: 0.0) for _ in range(4)]

    async def ten(transport: SandboxTransport) -> list[int]:
        async with client_of(transport) as client:
            return [(await client.get("/lead/capture/metrics")).status_code for _ in range(10)]

    statuses = list(chain.from_iterable(await asyncio.gather(*map(ten, transports))))
    assert (statuses.count(200), statuses.count(429)) == (25, 15)


async def test_a_followed_redirect_shows_in_the_books():
    """Keys that a client carries to another origin are recorded."""
    transport = SandboxTransport(Account(faults=Faults(script=("redirect",))))
    async with client_of(transport) as client:
        await client.post("/lead/capture", params=KEYS, content=BRET, follow_redirects=True)
    assert transport.books.misplaced_keys == ["capture: a key in a request to another origin"]


async def test_the_sandbox_keeps_time_while_a_test_moves_or_freezes_it(monkeypatch: pytest.MonkeyPatch):
    """The limit and the queue continue while `time` goes backwards and `monotonic` stands still."""
    days, real = count(20_000, -1), time.monotonic
    monkeypatch.setattr(time, "time", lambda: next(days) * 86_400.0)
    monkeypatch.setattr(time, "time_ns", lambda: next(days) * 86_400 * 10**9)
    async with (
        Sandbox(limit=(2, 0.4), processing_rate=60, speed=100) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers=HEADERS, trust_env=False) as client,
    ):

        async def capture() -> int:
            return (await client.post(f"/lead/capture?{QUERY}", content=BRET)).status_code

        assert [await capture() for _ in range(3)] == [200, 200, 429]
        began = real()
        with monkeypatch.context() as frozen:
            frozen.setattr(time, "monotonic", lambda: began)
            for _ in range(10_000_000):
                if real() - began > 0.41:
                    break
                await asyncio.sleep(0)
        assert await capture() == 200
        assert [request["status"] for request in sandbox.books.requests][:2] == ["Success"] * 2
        times = [arrival.time for arrival in sandbox.books.arrivals]
        assert times == sorted(times)


async def test_a_clock_of_your_own_drives_the_sandbox():
    """A test may move the sandbox's time by hand."""
    now = 100.0
    async with (
        Sandbox(limit=(1, 5.0), processing_rate=60, clock=lambda: now) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers=HEADERS, trust_env=False) as client,
    ):

        async def capture() -> int:
            return (await client.post(f"/lead/capture?{QUERY}", content=BRET)).status_code

        assert sandbox.books.now == 0.0
        assert [await capture(), await capture()] == [200, 429]
        assert [request["status"] for request in sandbox.books.requests] == ["In-Queue"]
        now += 5.0
        assert [await capture(), await capture()] == [200, 429]
        assert [request["status"] for request in sandbox.books.requests] == ["Success", "In-Queue"]
        assert [arrival.time for arrival in sandbox.books.arrivals] == [0.0, 0.0, 5.0, 5.0]

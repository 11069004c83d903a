"""The sandbox over a real socket: faults as a client sees them, the control plane, starting and stopping."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from leadsquared_async.sandbox import FAULTS, Faults, Sandbox

from .calls import ACCESS_KEY, API_KEY, BRET, KEYS, SECRET_KEY
from .documented import ANSWERS


@contextlib.asynccontextmanager
async def client_of(sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"x-api-key": API_KEY, "content-type": "application/json"}
    async with httpx.AsyncClient(base_url=sandbox.url, headers=headers, trust_env=False) as client:
        yield client


async def capture(client: httpx.AsyncClient, body: bytes = BRET, read_within: float = 5.0) -> httpx.Response:
    timeout = httpx.Timeout(5.0, read=read_within)
    return await client.post(f"/lead/capture?{KEYS}", content=body, timeout=timeout)


async def test_a_lead_over_a_socket():
    """Capture, status and metrics work over one kept connection."""
    async with Sandbox(processing_rate=1e9) as sandbox, client_of(sandbox) as client:
        accepted = await capture(client)
        assert accepted.headers["content-type"] == "application/json"
        status = await client.get("/lead/status", params={"RequestID": accepted.json()["RequestID"]})
        metrics = await client.get("/lead/capture/metrics")
    assert status.json()["TaskStatus"]["Status"] == "Success"
    assert metrics.json()["PendingMessages"] == 0
    assert sandbox.books.by_outcome == {"200": 3}
    assert sandbox.books.misplaced_keys == []


async def test_it_listens_on_loopback_with_made_up_keys():
    """It takes a free port of 127.0.0.1; its keys are as long as real ones."""
    async with Sandbox() as sandbox:
        assert httpx.URL(sandbox.url).host == "127.0.0.1"
        assert (sandbox.access_key, sandbox.secret_key, sandbox.api_key) == (ACCESS_KEY, SECRET_KEY, API_KEY)
        assert (len(ACCESS_KEY), len(SECRET_KEY), len(API_KEY)) == (35, 40, 40)


SEEN: dict[str, tuple[int, str] | type[httpx.TransportError]] = {
    **ANSWERS,
    "ok": (200, "RequestID"),
    "drip-headers": (200, "RequestID"),
    "drip-body": (200, "RequestID"),
    "lost": httpx.RemoteProtocolError,
    "half-body": httpx.RemoteProtocolError,
    "reset": httpx.ReadError,
    "refused": httpx.ReadError,
    "hang": httpx.ReadTimeout,
}


@pytest.mark.parametrize("fault", SEEN)
async def test_every_fault_over_a_real_socket(fault: str):
    """The client meets the fault, and its next call succeeds."""
    read_within = 0.02 if fault == "hang" else 5.0
    faults = Faults(script=(fault,), drip=0.0005)
    async with Sandbox(faults=faults) as sandbox, client_of(sandbox) as client:
        expected = SEEN[fault]
        if isinstance(expected, tuple):
            response = await capture(client, read_within=read_within)
            assert response.status_code == expected[0]
            assert expected[1] in response.text
        else:
            with pytest.raises(httpx.TransportError) as caught:
                await capture(client, read_within=read_within)
            assert type(caught.value) is expected
        assert (await capture(client)).status_code == 200


def test_every_fault_is_tested_over_a_socket():
    """Every fault has a row in the table above."""
    assert set(SEEN) == set(FAULTS)


async def test_a_drip_defeats_a_read_timeout():
    """Each piece is within the timeout, the whole answer takes longer."""
    faults = Faults(script=("drip-body",), drip=0.03)
    async with Sandbox(faults=faults) as sandbox, client_of(sandbox) as client:
        began = time.monotonic()
        assert (await capture(client, read_within=0.3)).status_code == 200
        assert time.monotonic() - began > 0.3


async def test_latency_passes_on_the_socket():
    """A call takes as long as its latency."""
    async with Sandbox(faults=Faults(latency=0.04)) as sandbox, client_of(sandbox) as client:
        began = time.monotonic()
        await capture(client)
        assert time.monotonic() - began >= 0.04


async def test_the_control_plane_works_while_the_limit_is_used_up():
    """It needs no keys and is not counted."""
    async with Sandbox(limit=(1, 60.0)) as sandbox, client_of(sandbox) as client:
        await capture(client)
        assert (await capture(client)).status_code == 429
        async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as control:
            assert (await control.put("/_sandbox/faults", json={"script": ["503"]})).status_code == 200
            assert (await control.get("/_sandbox/summary")).json()["over_limit"] == 1
            assert (await control.get("/_sandbox/leads", headers={"Host": "evil.example"})).status_code == 403
            assert (await control.get("/_sandbox/leads", headers={"Origin": "null"})).status_code == 403
            assert (await control.post("/_sandbox/reset")).status_code == 204
        assert sandbox.books.summary()["arrivals"] == 0
        assert (await capture(client)).status_code == 200


async def test_a_body_over_the_bound_is_answered_413():
    """It is read to its end, so that the client receives the answer, and cut."""
    bound = 10 * 1024 * 1024
    async with Sandbox() as sandbox, client_of(sandbox) as client:
        assert (await capture(client, b" " * (bound + 1_000_000))).status_code == 413
        assert (await capture(client)).status_code == 200
        assert max(map(len, sandbox.books.attempts)) == bound + 1


async def raw(sandbox: Sandbox, data: bytes) -> bytes:
    """Send bytes and read until the server closes."""
    url = httpx.URL(sandbox.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00", b"HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST /lead/capture HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf", b""),
        (b"POST /lead/capture HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b""),
        (b"GE", b""),
        (b"", b""),
    ],
)
async def test_bytes_that_are_not_a_request_do_no_harm(data: bytes, answer: bytes):
    """The connection ends, nothing arrives, the next client is served."""
    async with Sandbox() as sandbox:
        assert (await raw(sandbox, data)).startswith(answer)
        assert sandbox.books.arrivals == []
        async with client_of(sandbox) as client:
            assert (await capture(client)).status_code == 200


REFUSED = (
    b"Host: evil@127.0.0.1\r\n",
    b"Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n",
    b"Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Site: none\r\n",
    b"Host: 127.0.0.1\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n",
    b"Host: 127.0.0.1\r\nOrigin: null\r\n",
)


@pytest.mark.parametrize("headers", REFUSED)
async def test_requests_of_web_pages_are_refused_on_every_path(headers: bytes):
    """They do not reach the account; of a repeated header both values count."""
    async with Sandbox() as sandbox:
        for request in (b"GET /_sandbox/leads", b"GET /", b"POST /_sandbox/reset", b"POST /lead/capture"):
            said = await raw(sandbox, request + b" HTTP/1.1\r\nConnection: close\r\n" + headers + b"\r\n")
            assert said.startswith(b"HTTP/1.1 403")
        assert sandbox.books.arrivals == []


@pytest.mark.parametrize("fault", ["hang", "drip-headers", "drip-body"])
async def test_stopping_does_not_wait_for_clients(fault: str):
    """Clients that hang or read a drip are dropped at once."""
    async with Sandbox(faults=Faults(script=(fault,) * 5, drip=10.0)) as sandbox:
        client = httpx.AsyncClient(base_url=sandbox.url, headers={"x-api-key": API_KEY}, trust_env=False)
        calls = [asyncio.create_task(client.get("/lead/capture/metrics")) for _ in range(5)]
        for _ in range(2000):
            if len(sandbox.books.arrivals) == 5:
                break
            await asyncio.sleep(0.001)
        began = time.monotonic()
    assert time.monotonic() - began < 1.0
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, httpx.TransportError) for result in results)
    await client.aclose()


async def test_stopping_does_not_wait_for_latency():
    """Calls that have not arrived yet do not arrive."""
    async with Sandbox(faults=Faults(latency=3600.0)) as sandbox:
        client = httpx.AsyncClient(base_url=sandbox.url, headers={"x-api-key": API_KEY}, trust_env=False)
        call = asyncio.create_task(client.get("/lead/capture/metrics"))
        await asyncio.sleep(0.02)
        began = time.monotonic()
    assert time.monotonic() - began < 1.0
    with pytest.raises(httpx.TransportError):
        await call
    assert sandbox.books.arrivals == []
    await client.aclose()


@pytest.mark.parametrize("ticks", range(6))
async def test_stopping_drops_a_connection_that_is_just_being_accepted(ticks: int):
    """Its client sees the connection end, however far it has come."""
    async with Sandbox() as sandbox:
        url = httpx.URL(sandbox.url)
        client = socket.create_connection((url.host, url.port or 0), timeout=1)
        for _ in range(ticks):
            await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    with client, contextlib.suppress(ConnectionResetError):
        assert client.recv(1) == b""


async def test_stopping_leaves_no_task_behind():
    """After the block only the test's own task runs."""
    async with Sandbox(faults=Faults(script=("hang", "lost"))) as sandbox, client_of(sandbox) as client:
        for _ in range(3):
            with contextlib.suppress(httpx.TransportError):
                await capture(client, read_within=0.02)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_port_in_use_is_a_clear_error():
    """The error names the port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} on 127.0.0.1 is in use: choose another"):
            async with Sandbox(port=port):
                pass


async def test_a_sandbox_can_be_entered_again():
    """The account and its clock continue, as after a restart of the network."""
    sandbox = Sandbox()
    async with sandbox, client_of(sandbox) as client:
        await capture(client)
        instance = sandbox.books.instance
    with pytest.raises(RuntimeError, match="not running"):
        _ = sandbox.url
    async with sandbox, client_of(sandbox) as client:
        await capture(client)
        with pytest.raises(RuntimeError, match="already running"):
            await sandbox.__aenter__()
        async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as control:
            for path in ("/_sandbox", "/_sandbox/"):
                assert (await control.get(path)).json()["instance"] == instance
            assert (await control.get("/")).status_code == 403
        assert sandbox.books.instance == instance
    first, second, other = sandbox.books.arrivals
    assert first.time < second.time <= other.time
    assert (other.path, other.outcome) == ("/", "403")
    assert sandbox.books.repeated == 1


async def test_it_logs_nothing_and_leaves_signals_and_loggers_alone(caplog: pytest.LogCaptureFixture):
    """An access log would hold the keys; other servers of the process keep their loggers."""
    caplog.set_level(1, "uvicorn.error")
    caplog.set_level(1, "uvicorn.access")
    caplog.set_level(1, "leadsquared_async")
    before = (signal.getsignal(signal.SIGINT), logging.getLogger("uvicorn.access").propagate)
    script = ("ok", "500", "lost", "reset", "half-body")
    async with Sandbox(faults=Faults(script=script)) as sandbox, client_of(sandbox) as client:
        assert (signal.getsignal(signal.SIGINT), logging.getLogger("uvicorn.access").propagate) == before
        for _ in script:
            with contextlib.suppress(httpx.TransportError):
                await capture(client)
    shown = " ".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpx"))
    for secret in (ACCESS_KEY, "u%24r", SECRET_KEY, API_KEY, "bret", "127.0.0.1:"):
        assert secret not in shown


async def test_without_the_extra_starting_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """A sandbox can be made without the extra, but not entered."""
    monkeypatch.delitem(sys.modules, "leadsquared_async.sandbox.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn.config", None)
    sandbox = Sandbox()
    with pytest.raises(ImportError, match=r'pip install "leadsquared_async\[sandbox\]"'):
        async with sandbox:
            pass

"""Invalid behaviour of servers and transports causes no hang, no leak and no lost RequestID."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from aiolimiter import AsyncLimiter

from leadsquared_async import (
    APIError,
    ConfigurationError,
    Delivery,
    Lane,
    LeadSquared,
    ServerError,
)
from tests.clients import KEYS, LEAD, answering

ACCEPTED = b'{"RequestID":"11111111-2222-4333-8444-abcdefabcdef"}'


class Streamed(httpx.AsyncBaseTransport):
    """Answers with a stream, as a socket does."""

    def __init__(
        self, body: bytes, headers: dict[str, str], close: Callable[[], object] | None = None
    ) -> None:
        self.calls = 0
        self._body = body
        self._headers = headers
        self._close = close

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        transport = self

        class Stream(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                yield transport._body

            async def aclose(self) -> None:
                if transport._close is not None:
                    await asyncio.ensure_future(transport._close())  # type: ignore[arg-type]

        return httpx.Response(200, headers=self._headers, stream=Stream())


async def break_down() -> None:
    raise OSError("already gone")


async def take_for_ever() -> None:
    await asyncio.sleep(3600)


@pytest.mark.parametrize("close", [break_down, take_for_ever])
async def test_a_request_id_that_was_read_is_not_lost_to_closing(
    close: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A complete answer counts even if its connection closes badly, or never."""
    monkeypatch.setattr("leadsquared_async.http.transport.CLOSING", 0.01)
    transport = Streamed(ACCEPTED, {}, close)
    async with answering(None, transport=transport) as lsq:
        assert (await lsq.leads.capture(LEAD)).request_id.startswith("11111111")
    assert transport.calls == 1


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_packed_answer_is_read(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """A compressed answer is read although none was requested."""
    async with answering(None, transport=Streamed(pack(ACCEPTED), {"content-encoding": encoding})) as lsq:
        assert (await lsq.leads.capture(LEAD)).request_id.startswith("11111111")


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "br"])
async def test_a_bomb_is_not_unpacked(encoding: str) -> None:
    """An answer that unpacks to a gigabyte is read up to 1 MB and is invalid."""
    bomb = gzip.compress(b"\0" * 50_000_000)
    async with answering(None, transport=Streamed(bomb, {"content-encoding": encoding})) as lsq:
        with pytest.raises(ServerError) as caught:
            await lsq.leads.capture({"FirstName": "Bret"})
    assert caught.value.delivery is Delivery.UNKNOWN
    assert len(caught.value.body or "") <= 1_000_000


@pytest.mark.parametrize(
    "location", ["mailto:x", "http://[", "/" + "x" * 66_000, "https://elsewhere.invalid/?a=b"]
)
async def test_a_redirect_to_anywhere_is_an_error_of_ours(location: str) -> None:
    """A redirect with an invalid Location raises an error of this package, not of httpx."""
    async with answering(lambda request: httpx.Response(307, headers={"location": location})) as lsq:
        with pytest.raises(APIError, match="redirects"):
            await lsq.leads.capture(LEAD)


async def test_cookies_are_not_sent_back() -> None:
    """Cookies of an answer are not sent with later calls."""
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("cookie"))
        return httpx.Response(200, content=ACCEPTED, headers={"set-cookie": "a=b"})

    async with answering(answer) as lsq:
        for _ in range(2):
            await lsq.leads.capture(LEAD)
    assert seen == [None, None]


@pytest.mark.parametrize("request_id", ["", " ", "a b", "\ud800", "x" * 70_000, "é", None, 7])
async def test_what_cannot_be_a_request_id_is_refused_before_it_is_sent(request_id: str) -> None:
    """An invalid RequestID raises the documented error."""
    async with answering(lambda request: httpx.Response(200, json={})) as lsq:
        for ask in (lsq.leads.status, lsq.leads.wait):
            with pytest.raises(ConfigurationError):
                await ask(request_id)


@pytest.mark.parametrize("lane", ["batch", 5, -1, 1])
async def test_what_is_no_lane_is_refused_where_it_is_given(lane: Lane) -> None:
    """A value that is no Lane raises where it is passed."""
    async with answering(lambda request: httpx.Response(200, content=ACCEPTED)) as lsq:
        with pytest.raises(ConfigurationError, match=r"Lane\.BATCH"):
            lsq.with_options(lane=lane)


async def test_what_gateways_refuse_is_refused_before_it_is_sent() -> None:
    """Paths and queries that are too long are rejected, and so are invalid limiters."""
    async with answering(lambda request: httpx.Response(200, json={})) as lsq:
        with pytest.raises(ConfigurationError, match="path is longer"):
            await lsq.request("GET", "/" + "x" * 3000)
        with pytest.raises(ConfigurationError, match="query is longer"):
            await lsq.request("GET", "/x", query={"a": "x" * 9000})
    with pytest.raises(ConfigurationError, match="max_rate"):
        LeadSquared(**KEYS, region="in21", limiter=AsyncLimiter(0.5, 1))


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("POST", None, "0"),
        ("PUT", None, "0"),
        ("PATCH", None, "0"),
        ("POST", {}, "2"),
        ("GET", None, None),
        ("DELETE", None, "0"),
    ],
)
async def test_a_call_says_how_long_its_body_is(method: str, body: object, length: str | None) -> None:
    """A POST without a body has a Content-Length, which some servers require."""
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("content-length"))
        return httpx.Response(200)

    async with answering(answer) as lsq:
        await lsq.request(method, "/x", json=body)
    assert seen == [length]

"""Our client, and what a program might use in its place, each as its own documentation shows.

Every peer posts with `httpx.AsyncClient` and repeats a 429 with tenacity: up to six attempts, with random
exponential pauses of up to ten seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx
import limits
import pyrate_limiter
import tenacity
from aiolimiter import AsyncLimiter
from httpx_limiter import AsyncRateLimitedTransport, Rate
from httpx_limiter.aiolimiter import AiolimiterAsyncLimiter
from httpx_limiter.pyrate import PyrateAsyncLimiter
from throttled import RateLimiterType, rate_limiter
from throttled.asyncio import MemoryStore, Throttled

from benchmarks.accounts import KEYS, LEAD, LIMIT, STRICT, client
from leadsquared_async import RateLimit

OURS = "leadsquared_async"
CALLS, PER = LIMIT.calls, LIMIT.per
ATTEMPTS = 6
LONGEST_PAUSE = 10.0
QUERY = {"accessKey": KEYS["access_key"], "secretKey": KEYS["secret_key"]}
HEADERS = {"x-api-key": KEYS["api_key"]}

Acquire = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Sender:
    """An open client.

    Attributes:
        send: sends one lead with this email address; raises if it is given up.
        send_batch: sends one lead for each address, as the client's users would send a batch.
    """

    send: Callable[[str], Awaitable[object]]
    send_batch: Callable[[Sequence[str]], Awaitable[object]]


Open = Callable[[str, httpx.AsyncBaseTransport], AbstractAsyncContextManager[Sender]]
"""Opens a client of the server at a URL, over a transport."""


def lead_of(address: str) -> dict[str, str]:
    """The lead of all benchmarks with another address."""
    return {**LEAD, "EmailAddress": address}


def _ours(limit: RateLimit) -> Open:
    @asynccontextmanager
    async def opened(url: str, transport: httpx.AsyncBaseTransport) -> AsyncGenerator[Sender]:
        async with client(url, rate_limit=limit, transport=transport) as lsq:

            async def send_batch(addresses: Sequence[str]) -> None:
                async with lsq.leads.capture_many(map(lead_of, addresses)) as results:
                    async for _ in results:
                        pass

            yield Sender(lambda address: lsq.leads.capture(lead_of(address)), send_batch)

    return opened


def _httpx(
    acquire: Callable[[], Acquire] | None = None,
    wrap: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport] = lambda transport: transport,
    attempts: int = ATTEMPTS,
) -> Open:
    """A post that takes from a limiter first, and passes a transport that may have one of its own."""

    @asynccontextmanager
    async def opened(url: str, transport: httpx.AsyncBaseTransport) -> AsyncGenerator[Sender]:
        wait_for_turn = None if acquire is None else acquire()
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(httpx.HTTPStatusError),
            wait=tenacity.wait_random_exponential(1, max=LONGEST_PAUSE),
            stop=tenacity.stop_after_attempt(attempts),
            reraise=True,
        )
        async with httpx.AsyncClient(
            base_url=url, params=QUERY, headers=HEADERS, transport=wrap(transport)
        ) as http:

            async def post(lead: dict[str, str]) -> None:
                if wait_for_turn is not None:
                    await wait_for_turn()
                content = [{"Attribute": name, "Value": value} for name, value in lead.items()]
                response = await http.post("/lead/capture", json=content)
                response.raise_for_status()

            async def send(address: str) -> None:
                await retrying(post, lead_of(address))

            async def send_batch(addresses: Sequence[str]) -> None:
                await asyncio.gather(*map(send, addresses))

            yield Sender(send, send_batch)

    return opened


def _aiolimiter(calls: float, per: float) -> Callable[[], Acquire]:
    return lambda: AsyncLimiter(calls, per).acquire


def _pyrate() -> Acquire:
    limiter = pyrate_limiter.Limiter(
        pyrate_limiter.InMemoryBucket([pyrate_limiter.Rate(CALLS, int(PER * 1000))])
    )
    return lambda: limiter.try_acquire_async("account")


def _limits() -> Acquire:
    """Its memory storage, asked without a thread; it waits as long as its window's statistics say."""
    limiter = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())
    item = limits.RateLimitItemPerSecond(CALLS, int(PER))

    async def acquire() -> None:
        while not limiter.hit(item, "account"):
            until = limiter.get_window_stats(item, "account").reset_time
            await asyncio.sleep(max(0.001, until - time.time()))

    return acquire


def _throttled() -> Acquire:
    throttle = Throttled(
        key="account",
        using=RateLimiterType.SLIDING_WINDOW.value,
        quota=rate_limiter.per_duration(timedelta(seconds=PER), CALLS),
        store=MemoryStore(),
        timeout=86_400,
    )
    return throttle.limit


def _httpx_limiter_aiolimiter(transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    return AsyncRateLimitedTransport(
        limiter=AiolimiterAsyncLimiter.create(Rate.create(CALLS, PER)), transport=transport
    )


def _httpx_limiter_pyrate(transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    return AsyncRateLimitedTransport(
        limiter=PyrateAsyncLimiter.create(Rate.create(CALLS, PER)), transport=transport
    )


CLIENTS: Mapping[str, Open] = {
    OURS: _ours(LIMIT),
    "aiolimiter (25, 5)": _httpx(_aiolimiter(CALLS, PER)),
    "aiolimiter (1, 0.2)": _httpx(_aiolimiter(1, PER / CALLS)),
    "pyrate-limiter": _httpx(_pyrate),
    "httpx-limiter, aiolimiter": _httpx(wrap=_httpx_limiter_aiolimiter),
    "httpx-limiter, pyrate": _httpx(wrap=_httpx_limiter_pyrate),
    "limits, moving window": _httpx(_limits),
    "throttled-py, sliding window": _httpx(_throttled),
    "tenacity alone": _httpx(),
}
"""Each client, at 25 calls in 5 seconds."""

OURS_STRICT: Open = _ours(STRICT)

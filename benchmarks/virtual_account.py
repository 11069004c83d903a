"""An account that counts calls in virtual time, behind httpx's interface, with random round trips."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from random import Random
from typing import Any, TypeVar
from unittest.mock import patch

import httpx
import pyrate_limiter.clocks

from benchmarks.acceptor import BODY
from leadsquared_async.sandbox import COUNTERS
from tests import virtual

T = TypeVar("T")
ACCEPTED = {"content-type": "application/json"}
REFUSED = b'{"Status":"Error","ExceptionType":"MXAPIRateLimitExceededException","ExceptionMessage":"Over."}'


class VirtualAccount(httpx.AsyncBaseTransport):
    """Admits `calls` calls in `per` seconds, counted as `counting` says, and answers others with 429.

    Attributes:
        arrivals: of each call, when it arrived (loop seconds) and whether it was admitted.
        captured_at: when the lead with this email address was admitted.
    """

    def __init__(
        self,
        counting: str,
        calls: int,
        per: float,
        *,
        phase: float,
        round_trip: tuple[float, float],
        seed: int,
    ) -> None:
        self._counter = COUNTERS[counting](calls, per, phase=phase)
        self._round_trip = round_trip
        self._chance = Random(seed)
        self.arrivals: list[tuple[float, bool]] = []
        self.captured_at: dict[str, float] = {}

    def admit(self) -> bool:
        """Count a call that arrives now, of somebody else; returns whether it is admitted."""
        return self._counter.admit(asyncio.get_running_loop().time())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        loop = asyncio.get_running_loop()
        there, back = (self._chance.uniform(*self._round_trip) / 2 for _ in range(2))
        await asyncio.sleep(there)
        arrived = loop.time()
        is_admitted = self.admit()
        self.arrivals.append((arrived, is_admitted))
        await asyncio.sleep(back)
        if is_admitted:
            self.captured_at[_address_in(await request.aread())] = arrived
            return httpx.Response(200, headers=ACCEPTED, content=BODY)
        return httpx.Response(429, headers=ACCEPTED, content=REFUSED)


def _address_in(content: bytes) -> str:
    lead = {field["Attribute"]: field["Value"] for field in json.loads(content)}
    return str(lead["EmailAddress"])


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function in virtual time, in which all clocks of Python follow the loop's."""

    async def with_clocks() -> T:
        with _clocks_of(asyncio.get_running_loop()):
            return await main()

    return virtual.run(with_clocks)


@contextmanager
def _clocks_of(loop: asyncio.AbstractEventLoop) -> Generator[None]:
    def nanoseconds() -> int:
        return round(loop.time() * 1e9)

    with (
        patch.object(time, "time", loop.time),
        patch.object(time, "monotonic", loop.time),
        patch.object(pyrate_limiter.clocks, "monotonic_ns", nanoseconds),
    ):
        yield

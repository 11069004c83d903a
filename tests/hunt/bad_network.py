"""A TCP proxy between client and sandbox that cuts, stalls, halves and cuts into pieces at random bytes."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from leadsquared_async import Delivery, LeadSquaredError, RateLimit, RetryPolicy
from leadsquared_async.sandbox import Sandbox
from tests.clients import client_of

WAYS = ("pass", "pass", "pieces", "cut", "reset", "stall", "half")
"""What may happen to one direction of a connection, after a random number of bytes."""
MOST_BYTES = 1500
CONCURRENT = 20


@dataclass(frozen=True)
class Plan:
    """What happens to the bytes of one direction.

    Attributes:
        way: one of `WAYS`.
        after: it happens after so many bytes.
    """

    way: str
    after: int


class BadNetwork:
    """Listens on loopback and passes bytes on to a port, badly.

    Attributes:
        met: how often each thing happened.
    """

    def __init__(self, port: int, chance: random.Random) -> None:
        self._port = port
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()
        self.met: Counter[str] = Counter()
        self.is_good = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        await self.heal()

    async def heal(self) -> None:
        """Close all connections, and treat new ones well."""
        self.is_good = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _plan(self) -> Plan:
        way = "pass" if self.is_good else self._chance.choice(WAYS)
        return Plan(way, self._chance.randrange(MOST_BYTES))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [
            asyncio.create_task(self._pass(reader, back, self._plan())),
            asyncio.create_task(self._pass(there, writer, self._plan())),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (back, writer):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, plan: Plan) -> None:
        left = plan.after
        with suppress(OSError):
            while data := await reader.read(4096):
                if plan.way == "pieces":
                    for at in range(0, len(data), 7):
                        writer.write(data[at : at + 7])
                        await writer.drain()
                        await asyncio.sleep(0)
                    continue
                if plan.way == "pass" or len(data) < left:
                    left -= len(data)
                    writer.write(data)
                    await writer.drain()
                    continue
                self.met[plan.way] += 1
                if plan.way == "half":
                    left = len(data) // 2
                writer.write(data[:left])
                await writer.drain()
                if plan.way == "stall":
                    await asyncio.sleep(60.0)
                if plan.way == "reset":
                    writer.transport.abort()
                return


async def capture(calls: int, seed: int) -> Counter[str]:
    """So many captures over a bad network: what is said agrees with the books, and no token is missing."""
    chance = random.Random(seed)
    said: Counter[str] = Counter()
    limit = RateLimit(200, per=0.2)
    async with Sandbox(limit=None) as sandbox, BadNetwork(int(sandbox.url.rpartition(":")[2]), chance) as bad:
        retry = RetryPolicy(attempts=3, base=0.01, cap=0.05)
        async with client_of(
            sandbox, host=bad.url, timeout=0.3, deadline=10.0, rate_limit=limit, retry=retry
        ) as lsq:
            room = asyncio.Semaphore(CONCURRENT)

            async def one(number: int) -> None:
                known = chance.random() < 0.5
                name = f"p{seed}-{number}@example.com"
                lead = {"EmailAddress": name} if known else {"FirstName": name}
                async with room:
                    try:
                        receipt = await lsq.leads.capture(lead)
                    except LeadSquaredError as error:
                        delivery, request_id = error.delivery, None
                    else:
                        delivery, request_id = Delivery.ACCEPTED, receipt.request_id
                said[delivery.value] += 1
                claims.append((name, known, delivery, request_id))

            claims: list[tuple[str, bool, Delivery, str | None]] = []
            await asyncio.gather(*(one(number) for number in range(calls)))
            await bad.heal()
            await asyncio.sleep(2 * limit.per + 0.1)
            assert (await lsq.leads.capture({"FirstName": "last"})).request_id
            await asyncio.sleep(3 * limit.per)
            state = lsq.snapshot().limit
            assert state is not None
            assert (state.free, state.in_flight) == (limit.calls, 0), f"seed {seed}: {state}"
        books = sandbox.books
        ids = {request["request_id"] for request in books.requests}
        taken = Counter(
            values.get("EmailAddress") or values.get("FirstName") for values in books.submitted("capture")
        )
        for name, known, delivery, request_id in claims:
            case = f"seed {seed}: {name} was said {delivery.value} and taken {taken[name]} times"
            if delivery is Delivery.ACCEPTED:
                assert request_id in ids, case
                assert taken[name] >= 1, case
            assert delivery is not Delivery.REJECTED, case
            if delivery is Delivery.NOT_SENT:
                assert taken[name] == 0, case
            assert known or taken[name] <= 1, case
    return said + bad.met


def run(seconds: float, seed: int, calls: int = 100) -> str:
    """Captures over one bad network after the other, for so long and at least one."""
    end, said = time.monotonic() + seconds, Counter[str]()
    while not said or time.monotonic() < end:
        said += asyncio.run(capture(calls, seed))
        seed += 1
    return ", ".join(f"{count} {word}" for word, count in said.most_common())

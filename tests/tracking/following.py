"""Requests followed through a whole client, in virtual time: calls and delays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from leadsquared_async.sandbox import Account, Faults
from tests import virtual
from tests.clients import PatchedAccount, virtual_client


@dataclass
class Followed:
    """Requests that were followed to their ends.

    Attributes:
        calls: status calls for each of them.
        lags: seconds from being finished to being known, for each of them.
    """

    calls: float
    lags: list[float]

    def share_within(self, seconds: float) -> float:
        return sum(lag <= seconds for lag in self.lags) / len(self.lags)


def follow(leads: int, faults: Faults, **options: Any) -> Followed:
    """Follow so many requests, five a second of which are accepted, and compare with the books."""

    async def main() -> Followed:
        clock = asyncio.get_running_loop().time
        account = PatchedAccount(faults=faults, limit=None, **options)
        client, transport = virtual_client(account, deadline=None)
        # Captures have their own limit, so that the follower is measured alone.
        other, _ = virtual_client(Account(), host="https://other.invalid", transport=transport)
        known: dict[str, float] = {}
        start = clock()

        async def accepted() -> AsyncIterator[str]:
            for number in range(leads):
                yield (await other.leads.capture({"Phone": f"{number:010d}"})).request_id
                await asyncio.sleep(max(0.0, start + number / 5 - clock()))

        async with client as lsq, other, lsq.leads.wait_many(accepted()) as results:
            async for result in results:
                assert result.status is not None
                known[result.item] = clock()
        books = transport.books
        finished = {
            name: account.shown_at(name) for name in (request["request_id"] for request in books.requests)
        }
        assert set(finished) == set(known)
        lags = [known[name] - time for name, time in finished.items() if time is not None]
        calls = sum(arrival.operation == "status" for arrival in books.arrivals) / leads
        return Followed(calls, lags)

    return virtual.run(main)

"""The metrics of a client, in a program that has set up OpenTelemetry."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest

from leadsquared_async import LeadSquared, RateLimit
from leadsquared_async.sandbox import Sandbox
from leadsquared_async.telemetry import gauges
from tests.clients import KEYS, LEAD, client_of
from tests.collected import Collected


async def test_the_limit_is_read_in_any_thread(sandbox: Sandbox, collected: Collected) -> None:
    """Tokens and waiters are there while a collector's thread asks, by limit and lane."""
    found: list[dict[tuple[str, ...], float]] = []
    async with client_of(sandbox, name="acme", rate_limit=RateLimit(2, per=60)) as lsq:
        await lsq.leads.capture(LEAD)
        waiting = [asyncio.create_task(lsq.leads.capture(LEAD)) for _ in range(3)]
        await asyncio.sleep(0.1)
        names = ("leadsquared.limit.tokens", "leadsquared.limit.waiters")
        collector = threading.Thread(target=lambda: found.extend(map(collected.points, names)))
        collector.start()
        await asyncio.to_thread(collector.join)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    tokens, waiters = found
    assert tokens == {("acme", "calls"): 0}
    assert waiters == {
        ("acme", "interactive", "calls"): 2,
        ("acme", "batch", "calls"): 0,
        ("acme", "status", "calls"): 0,
    }
    assert collected.points("leadsquared.limit.tokens") == {}


async def test_clients_of_one_account_count_their_limit_once(sandbox: Sandbox, collected: Collected) -> None:
    """Two clients that share a limit have one number of tokens, not twice as many."""
    async with client_of(sandbox) as one, client_of(sandbox) as other:
        await one.leads.capture(LEAD)
        await other.leads.capture(LEAD)
        (tokens,) = collected.points("leadsquared.limit.tokens").values()
    assert tokens == 23


async def test_a_forked_child_does_not_report_its_parent(sandbox: Sandbox, collected: Collected) -> None:
    """The parent's client is not open in the child, which would show its tokens for ever."""
    async with client_of(sandbox) as lsq:
        await lsq.leads.capture(LEAD)
        assert collected.points("leadsquared.limit.tokens")
        lsq._session._process, process = 0, lsq._session._process
        assert collected.points("leadsquared.limit.tokens") == {}
        lsq._session._process = process


async def test_followed_requests_are_counted(sandbox: Sandbox, collected: Collected) -> None:
    """A request counts until its caller has the outcome or leaves."""
    async with client_of(sandbox) as lsq:
        receipt = await lsq.leads.capture(LEAD)
        waiting = asyncio.create_task(lsq.leads.wait(receipt))
        await asyncio.sleep(0)
        assert collected.points("leadsquared.follow.waiting") == {("leads.capture",): 1}
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert collected.points("leadsquared.follow.waiting") == {("leads.capture",): 0}
    assert collected.points("leadsquared.follow.waiting") == {}


async def test_a_counter_of_429s_exists_before_the_first(sandbox: Sandbox, collected: Collected) -> None:
    """It is 0 when the client opens, since Prometheus sees no increase in a series that begins with 1."""
    async with client_of(sandbox, name="acme"):
        assert collected.points("leadsquared.throttled") == {("acme",): 0}


async def test_a_thousand_clients_leave_nothing_behind(collected: Collected) -> None:
    """Clients that are opened and closed leave no gauge, and so does one that is never closed."""
    transport = httpx.MockTransport(lambda request: httpx.Response(500))
    for _ in range(1000):
        async with LeadSquared(**KEYS, host="https://sandbox.invalid", transport=transport) as lsq:
            pass
    assert gauges._watched == {}
    lsq = LeadSquared(**KEYS, host="https://sandbox.invalid", transport=transport)
    await lsq.__aenter__()
    assert len(gauges._watched) == 2
    with pytest.warns(ResourceWarning, match="left open"):
        del lsq
    assert gauges._watched == {}

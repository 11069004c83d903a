"""A client is opened once, used in one loop and process, and closed once; any other use raises."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from leadsquared_async import (
    ClientClosed,
    Lane,
    LeadSquared,
    RetryPolicy,
)
from leadsquared_async.sandbox import Sandbox
from tests.clients import LEAD, answering, client_of

ACCEPTED = {"RequestID": "3f0c2c4e-0000-4000-8000-000000000000"}


def accept(request: httpx.Request) -> httpx.Response:
    """Every call is accepted."""
    return httpx.Response(200, json=ACCEPTED)


USES: dict[str, Callable[[LeadSquared], Awaitable[Any]]] = {
    "capture": lambda lsq: lsq.leads.capture(LEAD),
    "status": lambda lsq: lsq.leads.status("3f0c2c4e"),
    "wait": lambda lsq: lsq.leads.wait("3f0c2c4e"),
    "metrics": lambda lsq: lsq.leads.metrics(),
    "request": lambda lsq: lsq.request("GET", "/lead/capture/metrics"),
    "capture_many": lambda lsq: lsq.leads.capture_many([LEAD]).__aenter__(),
    "wait_many": lambda lsq: lsq.leads.wait_many(["3f0c2c4e"]).__aenter__(),
    "copy": lambda lsq: lsq.with_options(timeout=1.0).leads.capture(LEAD),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_a_client_that_was_not_entered_says_how_to_enter_it(
    use: Callable[[LeadSquared], Awaitable[Any]],
) -> None:
    """Used before entering, a client raises ClientClosed, and nothing is sent."""
    with pytest.raises(ClientClosed, match="use it inside `async with"):
        await use(answering(accept))


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_a_closed_client_says_that_it_is_closed(use: Callable[[LeadSquared], Awaitable[Any]]) -> None:
    """Used after closing, a client raises ClientClosed."""
    lsq = answering(accept)
    copy = lsq.with_options(deadline=5.0)
    async with lsq:
        await copy.leads.capture(LEAD)
    for client in (lsq, copy):
        with pytest.raises(ClientClosed, match="is closed"):
            await use(client)
        with pytest.raises(ClientClosed, match="is closed"):
            client.snapshot()


@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_a_client_raises_in_another_event_loop(
    use: Callable[[LeadSquared], Awaitable[Any]],
) -> None:
    """Its use and its closing in another thread's loop raise ClientClosed."""
    async with answering(accept) as lsq:

        def elsewhere() -> None:
            with pytest.raises(ClientClosed, match="another event loop"):
                asyncio.run(_await(use(lsq)))
            with pytest.raises(ClientClosed, match="another event loop"):
                asyncio.run(lsq.aclose())

        await asyncio.to_thread(elsewhere)
        assert (await lsq.leads.capture(LEAD)).attempts == 1


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
def test_a_parents_client_raises_in_a_forked_process() -> None:
    """It raises ClientClosed, and the child's end warns of nothing."""
    program = textwrap.dedent(
        """
        import asyncio, os, sys, warnings
        warnings.simplefilter("error")
        from leadsquared_async import ClientClosed
        from tests.clients import LEAD, answering

        async def main():
            lsq = answering(lambda request: None)
            await lsq.__aenter__()
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    await lsq.leads.capture(LEAD)
                except ClientClosed as error:
                    code = 0 if "before a fork" in str(error) else 2
                try:
                    await lsq.aclose()
                except ClientClosed:
                    del lsq
                    os._exit(code)
                os._exit(3)
            _, status = os.waitpid(child, 0)
            await lsq.aclose()
            sys.exit(os.waitstatus_to_exitcode(status))

        asyncio.run(main())
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_client_left_open_warns() -> None:
    """Dropping an open client gives a ResourceWarning that says what to do."""
    lsq = answering(accept)
    await lsq.__aenter__()
    await lsq.leads.capture(LEAD)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del lsq
        gc.collect()
    (warning,) = caught
    assert warning.category is ResourceWarning
    assert "left open: use `async with`" in str(warning.message)


async def test_a_client_never_entered_or_closed_in_order_does_not_warn() -> None:
    """Nothing is held before entering, and nothing after closing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with answering(accept) as lsq:
            await lsq.leads.capture(LEAD)
        del lsq
        answering(accept)
        gc.collect()
    assert caught == []


async def test_closing_twice_is_no_harm() -> None:
    """The second `aclose` does nothing, inside the block too."""
    async with answering(accept) as lsq:
        await lsq.aclose()
        await lsq.aclose()


async def test_entering_twice_is_refused() -> None:
    """A client is entered once: neither within its block nor after it again."""
    lsq = answering(accept)
    async with lsq:
        with pytest.raises(ClientClosed, match="is already open"):
            await lsq.__aenter__()
        await lsq.leads.capture(LEAD)
    with pytest.raises(ClientClosed, match="was closed"):
        await lsq.__aenter__()


async def test_a_copy_is_neither_entered_nor_closed() -> None:
    """Only the client that a copy was made from opens and closes."""
    async with answering(accept) as lsq:
        copy = lsq.with_options(lane=Lane.BATCH)
        with pytest.raises(ClientClosed, match="enter the original client"):
            await copy.__aenter__()
        with pytest.raises(ClientClosed, match="close the original client"):
            await copy.aclose()
        await copy.leads.capture(LEAD)


async def test_a_copy_keeps_what_it_is_not_told() -> None:
    """Options pass from copy to copy; `deadline=None` removes the bound."""
    retry = RetryPolicy(attempts=2)
    lsq = answering(accept, timeout=3.0, deadline=7.0, retry=retry)
    copy = lsq.with_options(lane=Lane.BATCH).with_options(timeout=2.0).with_options(deadline=None)
    settings = copy._parts.sender.settings
    assert (settings.lane, settings.timeout, settings.deadline, settings.retry) == (
        Lane.BATCH,
        2.0,
        None,
        retry,
    )


async def test_copies_share_connections_and_limit(sandbox: Sandbox) -> None:
    """A copy's calls use the same connection and spend the same tokens."""
    connections = httpx.AsyncHTTPTransport()
    async with connections, client_of(sandbox, transport=connections) as lsq:
        await lsq.leads.capture(LEAD)
        await lsq.with_options(timeout=5.0).leads.capture(LEAD)
        assert len(connections._pool.connections) == 1
        limit = lsq.with_options(deadline=1.0).snapshot().limit
        assert limit is not None
        assert (limit.granted, limit.free) == (2, 23)


async def test_a_transport_of_the_callers_is_not_closed() -> None:
    """Its owner closes it, and several clients may share it."""

    class Shared(httpx.MockTransport):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    shared = Shared(accept)
    for _ in range(2):
        async with answering(accept, transport=shared) as lsq:
            await lsq.leads.capture(LEAD)
    assert not shared.closed

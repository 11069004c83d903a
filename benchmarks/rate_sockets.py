"""Does a client keep to the limit of real servers, HAProxy and nginx among them?

Each client sends 100 leads at once over sockets, in real time, to each way of counting of the sandbox, to
HAProxy (`http_req_rate(5s)`, a sliding counter that counts refused calls too) and to nginx (`limit_req`, a
leaky bucket). All allow 25 calls in 5 seconds. The network delays each call and each answer, by 10 to 300 ms
in total. The optimum is a burst every 5 seconds, which takes 15 seconds; a client that spaces its calls after
the first burst needs 20. A batch that is not finished after 45 seconds is stopped.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import httpx

from benchmarks import proxies
from benchmarks.figures import Figure, Result
from benchmarks.peers import CALLS, CLIENTS, OURS, PER
from benchmarks.processes import Process
from benchmarks.rate_cells import Arrivals, Cell, cell, opening, send_all, tables
from leadsquared_async.sandbox import COUNTERS

LEADS = 100
TOGETHER = 3
"""Clients that send at the same time, each in a process with servers of its own."""
ROUND_TRIP = (0.010, 0.300)
WITHIN = 45.0
"""Seconds; the optimum is 15."""
TOO_MANY_REQUESTS = 429


class _Network(httpx.AsyncBaseTransport):
    """Delays calls and answers, and notes when each call reaches the server and whether it is admitted."""

    def __init__(self, seed: int) -> None:
        self._sockets = httpx.AsyncHTTPTransport(
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # unused, and made faster than the default
            limits=httpx.Limits(max_connections=None),
        )
        self._chance = Random(seed)
        self.arrivals: Arrivals = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        there, back = (self._chance.uniform(*ROUND_TRIP) / 2 for _ in range(2))
        await asyncio.sleep(there)
        arrived = asyncio.get_running_loop().time()
        response = await self._sockets.handle_async_request(request)
        self.arrivals.append((arrived, response.status_code != TOO_MANY_REQUESTS))
        await asyncio.sleep(back)
        return response

    async def aclose(self) -> None:
        await self._sockets.aclose()


def measure() -> Iterator[Result]:
    """The tables, and the budgets of our cells."""
    versions = {name: version for name in proxies.PROXIES if (version := proxies.version(name))}
    with ProcessPoolExecutor(TOGETHER) as processes:
        found = dict(zip(CLIENTS, processes.map(_send_to_all, CLIENTS), strict=True))
    titles = {name: f"{name} {versions.get(name, '')}".rstrip() for name in (*COUNTERS, *proxies.PROXIES)}
    cells = {
        (client, titles[server]): [one]
        for client, of_client in found.items()
        for server, one in of_client.items()
    }
    yield from tables(f"{LEADS} leads over sockets", list(titles.values()), cells)
    for server, one in found[OURS].items():
        yield Figure(f"{titles[server]}: our 429s over sockets", one.refused, most=0)
        yield Figure(f"{titles[server]}: our densest {PER:g} s over sockets", one.densest, most=CALLS)


def _send_to_all(client: str) -> dict[str, Cell]:
    with _servers() as urls:
        return asyncio.run(_send(client, urls))


@contextmanager
def _servers() -> Generator[dict[str, str]]:
    """The URLs of a sandbox for each way of counting, and of each proxy that is installed."""
    with ExitStack() as stack:
        sandboxes = stack.enter_context(Process("benchmarks.sandboxes"))
        acceptor = stack.enter_context(Process("benchmarks.acceptor"))
        behind = httpx.URL(acceptor.hello["url"]).port
        assert behind is not None
        urls = dict(sandboxes.hello)
        for name in proxies.PROXIES:
            if proxies.version(name) is not None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                urls[name] = stack.enter_context(proxies.running(name, behind, folder))
        yield urls


async def _send(client: str, urls: Mapping[str, str]) -> dict[str, Cell]:
    async def send(number: int, server: str, url: str) -> Cell:
        network = _Network(seed=number)
        sent = await send_all(opening(client, server), url, network, LEADS, WITHIN)
        await network.aclose()
        return cell(sent, network.arrivals, LEADS)

    cells = await asyncio.gather(*(send(number, *named) for number, named in enumerate(urls.items())))
    return dict(zip(urls, cells, strict=True))

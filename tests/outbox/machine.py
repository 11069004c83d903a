"""A machine on which processes come and go while the outbox's file and LeadSquared stay. In virtual time."""

from __future__ import annotations

import asyncio
import inspect
import secrets
import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from leadsquared_async import LeadSquared, Outbox
from leadsquared_async.http.session import _State
from leadsquared_async.limiter import local_limits
from leadsquared_async.outbox import OutboxItem, service
from leadsquared_async.outbox import deliver as deliver_module
from leadsquared_async.sandbox import Account, Faults, Reply, Request, SandboxTransport
from leadsquared_async.sandbox.answers import gateway
from tests import virtual
from tests.clients import KEYS, PatchedAccount
from tests.outboxes import virtual_files

T = TypeVar("T")
LONGEST_PLAY = 100_000.0
"""Virtual seconds: whatever never ends fails."""


def lead(number: int, **more: str) -> dict[str, str]:
    return {"EmailAddress": f"p{number}@example.com", **more}


class Machine:
    """One account, one file, and the processes that use it.

    Attributes:
        account: LeadSquared's side; `books` is what it saw.
        path: of the outbox's file; another one after a crash, with the same content.
    """

    def __init__(self, folder: Path, account: Account, options: dict[str, Any]) -> None:
        self.account = account
        self.path = folder / "leads.db"
        self._options = options
        self._transport = SandboxTransport(account)
        self.books = self._transport.books
        self._crashes = 0

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def operations(self) -> Counter[str]:
        return Counter(arrival.operation for arrival in self.books.arrivals)

    async def arrival_of(self, words: str, within: float = 60.0) -> None:
        """Wait until LeadSquared is submitted a body that holds these words."""

        async def is_there() -> bool:
            return any(words in body for body in reversed(self.books.attempts))

        await until(is_there, within, every=0.002)

    def answer_at(self, words: str, status: int, message: str) -> None:
        """From now on the gateway answers so every call whose address or body holds these words."""
        answer = self.account._answer

        def answer_or_fail(request: Request, *rest: Any) -> Reply:
            if words in request.path or words.encode() in request.body:
                return gateway(status, message)
            return answer(request, *rest)

        self.account._answer = answer_or_fail  # type: ignore[method-assign]

    def client(self, **options: Any) -> LeadSquared:
        """A client, as a process just started has it: it knows of no call of the others."""
        local_limits._accounts.clear()
        service._process = secrets.token_hex(8)
        mine = {**KEYS, "host": "https://sandbox.invalid", "transport": self._transport}
        return LeadSquared(**{**mine, **self._options, **options})

    async def known_lead(self) -> str:
        """The id of a lead that LeadSquared has."""
        async with self.client() as lsq:
            status = await lsq.leads.wait(await lsq.leads.capture(lead(0)))
            assert status.lead_id is not None
            return status.lead_id

    @asynccontextmanager
    async def process(
        self,
        options: dict[str, Any] | None = None,
        on_final: Callable[[OutboxItem], object] | None = None,
        **outbox: Any,
    ) -> AsyncIterator[Outbox]:
        """A process that ends in an orderly way; nothing of it runs on."""
        before = asyncio.all_tasks()
        async with self.client(**(options or {})) as lsq:
            running = Outbox(self.path, lsq, **outbox)
            if on_final is not None:
                running.on_final(on_final)
            async with running:
                yield running
        left = {task for task in asyncio.all_tasks() - before if task.get_name() != "sandbox arrival"}
        assert not left, left

    @asynccontextmanager
    async def crashing(self, options: dict[str, Any] | None = None, **outbox: Any) -> AsyncIterator[Outbox]:
        """A process that is killed at the end of the block: nothing it does then reaches the file."""
        client = self.client(**(options or {}))
        await client.__aenter__()
        running = Outbox(self.path, client, **outbox)
        await running.open()
        try:
            yield running
        finally:
            await self._kill(client, running)

    async def _kill(self, client: LeadSquared, outbox: Outbox) -> None:
        self._crashes += 1
        old = self.path
        self.path = old.with_name(f"leads-{self._crashes}.db")
        for suffix in ("", "-wal"):
            file = Path(f"{old}{suffix}")
            if file.exists():
                shutil.copy(file, f"{self.path}{suffix}")
        # What was sent arrives all the same: those tasks are the network's.
        mine = {task for task in asyncio.all_tasks() if task.get_name().startswith("leadsquared_async")}
        for task in mine:
            task.cancel()
        if mine:
            await asyncio.wait(mine)
        client._session._state = _State.CLOSED
        assert outbox._lifecycle.writer is not None
        await outbox._lifecycle.writer.aclose()


def play(
    folder: Path,
    what: Callable[[Machine], Awaitable[T]],
    faults: Callable[[float], Faults] | Faults | None = None,
    options: dict[str, Any] | None = None,
    look_every: float | None = 1.0,
    **account: Any,
) -> T:
    """Run something on a machine in front of an account, in virtual time.

    Args:
        folder: where the file lies.
        what: it.
        faults: how the account misbehaves; a function gets the time at which the play begins.
        options: of every client.
        look_every: seconds between two looks at the file; the default's five a second cost real time in long
            plays.
        account: its settings.
    """

    async def main() -> T:
        chosen = faults(asyncio.get_running_loop().time()) if callable(faults) else faults
        machine = Machine(
            folder, PatchedAccount(faults=chosen or Faults(latency=0.04), **account), options or {}
        )
        async with asyncio.timeout(LONGEST_PLAY):
            result = await what(machine)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            assert task.get_name() == "sandbox arrival", task
        return result

    with virtual_files(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "_process", service._process)
        if look_every is not None:
            patch.setattr(deliver_module, "LOOK_EVERY", look_every)
            patch.setattr("leadsquared_async.outbox.outbox.LOOK_EVERY", look_every)
        return virtual.run(main)


def played(
    *values: Any, by: Callable[..., object] | None = None, **account: Any
) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Run a test on a machine of its own, in virtual time; the arguments are those of `play`, or of `by`."""

    def decorate(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        wanted = [it for it in inspect.signature(test).parameters.values() if it.name != "machine"]

        def run(tmp_path: Path, **arguments: Any) -> None:
            (by or play)(tmp_path, lambda machine: test(machine, **arguments), *values, **account)

        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        folder = inspect.Parameter("tmp_path", inspect.Parameter.KEYWORD_ONLY)
        keywords = [it.replace(kind=inspect.Parameter.KEYWORD_ONLY) for it in wanted]
        run.__signature__ = inspect.Signature([folder, *keywords])  # type: ignore[attr-defined]
        return run

    return decorate


async def by_state(outbox: Outbox) -> dict[str, int]:
    """How many rows there are, of the states that there are any of."""
    counts = (await outbox.snapshot()).counts
    return {state.value: count for state, count in counts.items() if count}


async def items(outbox: Outbox, state: str | None = None) -> list[OutboxItem]:
    return [item async for item in outbox.items(state)]


async def until_state(
    outbox: Outbox, state: str, count: int, within: float = 600.0, every: float = 0.5
) -> None:
    """Wait until so many rows are in a state."""

    async def is_reached() -> bool:
        return (await by_state(outbox)).get(state) == count

    await until(is_reached, within, every)


async def until(condition: Callable[[], Awaitable[bool]], within: float = 600.0, every: float = 0.5) -> None:
    """Wait until something holds; fails if it does not in time."""
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(every)


def run_sql(path: Path, statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.executescript(statements)
    finally:
        connection.close()

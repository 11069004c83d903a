"""A cancelled command closes what it opened, wherever and however it is cancelled."""

from __future__ import annotations

import asyncio
import csv
import errno
import io
import json
import logging
import os
import signal
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from typer.testing import CliRunner

from leadsquared_async import LeadSquared, Outbox
from leadsquared_async.cli import delivering, demo, run_options
from leadsquared_async.cli.app import app
from leadsquared_async.cli.connecting import Connection
from leadsquared_async.cli.exporting import Form, _export
from leadsquared_async.cli.sandbox import run_sandbox
from leadsquared_async.sandbox import Account, Faults, SandboxTransport
from leadsquared_async.sandbox.settings import Options
from tests import virtual
from tests.cli.commands import write_leads
from tests.clients import KEYS, virtual_client
from tests.interruptions import (
    WAYS,
    Way,
    assert_clients_are_closed,
    assert_files_are_free,
    interrupted,
    no_complaints,
)
from tests.outboxes import virtual_files

pytestmark = pytest.mark.slow

MOST = 600
"""Awaits of one command, at most: one that has more is no use for this test."""
LOOK_EVERY = 60.0
"""Seconds between two looks at an outbox that delivers: each look is two more awaits."""
HOST = "https://sandbox.invalid"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SANDBOX_LASTS = 0.05
"""Seconds of a sandbox whose start is cancelled; its socket is a real one."""


class World:
    """What one command opened, in virtual time, and where it is cancelled."""

    def __init__(self, folder: Path, way: Way, k: int, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.awaits = 0
        self._way, self._k = way, k
        self._account = Account(faults=Faults(latency=0.3), limit=None, processing_rate=2.0)
        self._clients: list[LeadSquared] = []
        self._transports: list[SandboxTransport] = []
        self._outboxes: list[Outbox] = []
        self._connections: list[sqlite3.Connection] = []
        self._asking: list[httpx.AsyncClient] = []
        init, connect, asking = Outbox.__init__, sqlite3.connect, httpx.AsyncClient

        def make(outbox: Outbox, *args: Any, **options: Any) -> None:
            self._outboxes.append(outbox)
            init(outbox, *args, **options)

        def connected(*args: Any, **options: Any) -> sqlite3.Connection:
            self._connections.append(connect(*args, **options))
            return self._connections[-1]

        def ask(**options: Any) -> httpx.AsyncClient:
            self._asking.append(asking(transport=httpx.MockTransport(self._instance), **options))
            return self._asking[-1]

        patch.setattr(Outbox, "__init__", make)
        patch.setattr(sqlite3, "connect", connected)
        patch.setattr(run_options, "LOOPBACK", {"sandbox.invalid"})
        patch.setattr(httpx, "AsyncClient", ask)
        patch.setattr(Connection, "client", lambda _connection, *, quick=False: self._client())
        patch.setattr(demo, "LeadSquared", lambda **_options: self._client())
        patch.setattr("leadsquared_async.sandbox.Sandbox", self._sandbox)
        patch.setattr(delivering, "LOOK_EVERY", LOOK_EVERY)
        patch.setattr(asyncio, "run", self._run)

    def _client(self) -> LeadSquared:
        lsq, transport = virtual_client(self._account)
        self._clients.append(lsq)
        self._transports.append(transport)
        return lsq

    def _sandbox(self, **_options: Any) -> VirtualSandbox:
        _, transport = virtual_client(self._account)
        self._transports.append(transport)
        return VirtualSandbox(transport)

    @staticmethod
    async def _instance(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.1)
        return httpx.Response(200, json={"instance": "00000000-0000-4000-8000-000000000000"})

    def _run(self, command: Coroutine[Any, Any, Any]) -> Any:
        """In the place of `asyncio.run`: cancelled at the k-th await, counted over all loops."""
        results: list[Any] = []
        errors: list[Exception] = []

        async def kept() -> None:
            try:
                results.append(await command)
            except Exception as error:
                errors.append(error)

        async def main() -> None:
            async with no_complaints():
                count, _ = await interrupted(kept(), self._way, self._k - self.awaits)
                self.awaits += count
                self._check_loop()
                for transport in self._transports:
                    await transport.aclose()

        virtual.run(main)
        if errors:
            raise errors[0]
        if not results:
            raise asyncio.CancelledError
        return results[0]

    def _check_loop(self) -> None:
        """Nothing that belongs to the loop is left when the command's coroutine has ended."""
        assert_clients_are_closed(self._clients)
        assert all(client.is_closed for client in self._asking)
        assert all(outbox._lifecycle.state for outbox in self._outboxes)
        for connection in self._connections:
            with pytest.raises(sqlite3.ProgrammingError, match="closed"):
                connection.total_changes  # noqa: B018 - fails on a closed one

    def check(self) -> None:
        """Nothing that belongs to the process is left either."""
        assert_files_are_free(self.folder, "*.outbox")
        assert not [path.name for path in self.folder.iterdir() if path.name.endswith(".part")]


class VirtualSandbox:
    """The sandbox of the demo, without a socket."""

    access_key, secret_key, api_key = KEYS.values()
    url = HOST

    def __init__(self, transport: SandboxTransport) -> None:
        self.books = transport.books

    async def __aenter__(self) -> Self:
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.sleep(0)


@contextmanager
def process_is_as_before() -> Iterator[None]:
    """Signals and log handlers are given back."""
    logger = logging.getLogger("leadsquared_async")

    def state() -> tuple[Any, ...]:
        return ([signal.getsignal(it) for it in SIGNALS], list(logger.handlers), logger.propagate)

    before = state()
    yield
    assert state() == before


Prepare = Callable[[Path], list[str | Path]]
COMMANDS: dict[str, Prepare] = {}


def command(prepare: Prepare) -> Prepare:
    COMMANDS[prepare.__name__.replace("_", " ")] = prepare
    return prepare


def leads(folder: Path, count: int = 2) -> Path:
    return write_leads(folder / "leads.csv", range(count))


def outbox(folder: Path, count: int = 2) -> Path:
    """A file with leads that no command has sent."""
    path = folder / "leads.outbox"

    async def fill() -> None:
        async with Outbox(path) as box:
            await box.put_many({"EmailAddress": f"b{number}@example.com"} for number in range(count))

    with virtual_files():
        virtual.run(fill)
    return path


def request_ids(folder: Path) -> Path:
    """RequestIDs that LeadSquared does not know."""
    path = folder / "ids.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["RequestID"], *([f"00000000-0000-4000-8000-00000000000{n}"] for n in range(3))]
        )
    return path


@command
def capture(folder: Path) -> list[str | Path]:
    out, rejects = folder / "out.csv", folder / "rejects.csv"
    return ["capture", leads(folder), "--yes", "--out", out, "--rejects", rejects]


@command
def capture_in_bulk(folder: Path) -> list[str | Path]:
    return ["capture", leads(folder), "--yes", "--bulk", "--no-check"]


@command
def a_dry_run(folder: Path) -> list[str | Path]:
    return ["capture", leads(folder), "--dry-run"]


@command
def check(folder: Path) -> list[str | Path]:
    return ["check", leads(folder), "--rejects", folder / "rejects.csv"]


@command
def submit(folder: Path) -> list[str | Path]:
    file = folder / "leads.jsonl"
    file.write_text("".join(json.dumps({"lead": {"EmailAddress": f"b{n}@example.com"}}) + "\n" for n in "12"))
    return ["submit", "leads.capture", file, "--yes", "--out", folder / "out.csv"]


@command
def fields(_folder: Path) -> list[str | Path]:
    return ["fields"]


@command
def status(folder: Path) -> list[str | Path]:
    return ["status", "--file", request_ids(folder), "--out", folder / "out.csv"]


@command
def wait(folder: Path) -> list[str | Path]:
    return ["wait", "--file", request_ids(folder), "--timeout", "3s", "--out", folder / "out.csv"]


@command
def metrics(_folder: Path) -> list[str | Path]:
    return ["metrics"]


@command
def doctor(folder: Path) -> list[str | Path]:
    return ["doctor", "--outbox", outbox(folder), "--require", "EmailAddress"]


@command
def drain(folder: Path) -> list[str | Path]:
    return ["outbox", "drain", outbox(folder)]


@command
def stats_and_purge(folder: Path) -> list[str | Path]:
    return ["outbox", "purge", outbox(folder), "--older-than", "1d"]


@command
def items(folder: Path) -> list[str | Path]:
    return ["outbox", "items", outbox(folder)]


@command
def requeue(folder: Path) -> list[str | Path]:
    return ["outbox", "requeue", outbox(folder), "--state", "rejected", "--drop", "mx_City"]


@command
def forget(folder: Path) -> list[str | Path]:
    return ["outbox", "forget", outbox(folder), "--by", "EmailAddress"]


@command
def export(folder: Path) -> list[str | Path]:
    return ["outbox", "export", outbox(folder), "--out", folder / "export.csv", "--format", "csv"]


@command
def the_demo(_folder: Path) -> list[str | Path]:
    return ["demo", "--leads", "3"]


def cancelled_at(prepare: Prepare, way: Way, k: int, folder: Path) -> int:
    """Cancel the command at its k-th await; returns how many awaits it had."""
    folder.mkdir()
    words = [str(word) for word in prepare(folder)]
    env = {
        f"LEADSQUARED_{name.upper()}": value
        for name, value in {**KEYS, "host": HOST, "sync_host": HOST}.items()
    }
    with virtual_files(), process_is_as_before(), pytest.MonkeyPatch.context() as patch:
        world = World(folder, way, k, patch)
        with suppress(asyncio.CancelledError):
            typed = b"b1@example.com\n"  # which forget reads
            result = CliRunner().invoke(app, words, input=typed, env=env, prog_name="leadsquared")
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            if k > world.awaits:
                assert result.exit_code in {0, 1, 3}, result.output
        world.check()
    return world.awaits


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("prepare", COMMANDS.values(), ids=COMMANDS)
def test_a_cancelled_command_leaves_nothing_open(prepare: Prepare, way: Way, tmp_path: Path) -> None:
    """A command cancelled at any of its awaits leaves no client, connection, file, lock, task or draft,
    and returns every token."""
    for k in range(1, MOST):
        if cancelled_at(prepare, way, k, tmp_path / str(k)) < k:
            assert k > 1
            return
    raise AssertionError("it never ended")


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_cancelled_sandbox_does_not_listen(way: Way) -> None:
    """A sandbox cancelled while it starts, runs or stops leaves no socket."""

    async def serve() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(SANDBOX_LASTS):
                await run_sandbox(0, Options(), quiet=True)

    async def main(k: int) -> int:
        async with no_complaints():
            count, _ = await interrupted(serve(), way, k)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return count

    for k in range(1, MOST):
        before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
        count = asyncio.run(main(k))
        if before:
            assert len(list(Path("/proc/self/fd").iterdir())) == before
        if count < k:
            assert k > 1
            return
    raise AssertionError("it never ended")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs to see the open files")
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_export_that_cannot_write_closes_its_outbox(form: Form, tmp_path: Path) -> None:
    """The outbox is closed at once, not when the loop ends."""

    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(errno.ENOSPC, "no room")

    path = outbox(tmp_path)

    async def main() -> None:
        with pytest.raises(OSError, match="no room"):
            await _export([path], None, form, Full(), verbatim=False)
        held = {os.path.realpath(descriptor) for descriptor in Path("/proc/self/fd").iterdir()}
        assert str(path) not in held

    with virtual_files():
        virtual.run(main)

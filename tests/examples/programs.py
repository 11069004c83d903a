"""The programs of docs/examples, run as a reader runs them: in processes of their own, ended by SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx

from leadsquared_async.sandbox import Faults, Sandbox
from leadsquared_async.testing import environment_of
from tests.cli.commands import bodies

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"
PLANTED = "zqplanted4711"
"""Stands in every lead of these tests, and has no place in what a program says."""
FAST = "1000/1"
"""A limit for which nothing waits."""
ALWAYS = {"PYTHONPATH": str(EXAMPLES), "PYTHONUNBUFFERED": "1", "LEADSQUARED_RATE_LIMIT": FAST}
DOWN = Faults(probabilities={"503": 1.0}, operations=("capture",))


class Program:
    """A running program.

    Attributes:
        port: on loopback, free when it was started, for the programs that listen.
        code: how it ended; None until then.
    """

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self._said = bytearray()
        self._reader = asyncio.create_task(self._read())
        self.port = port

    @property
    def code(self) -> int | None:
        return self._process.returncode

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        """What it has written so far, errors included."""
        return self._said.decode()

    async def listens(self, within: float = 30.0) -> None:
        """Wait until it takes connections on its port."""

        def takes_connections() -> bool:
            assert self.code is None, self.said
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        await until(takes_connections, within)

    async def says(self, words: str, within: float = 30.0) -> None:
        """Wait until it has written these words."""

        def has_said() -> bool:
            assert words in self.said or self.code is None, self.said
            return words in self.said

        await until(has_said, within)

    async def ended(self, within: float = 20.0) -> int:
        """Wait for its end by itself, and return how it ended."""
        async with asyncio.timeout(within):
            await self._reader
            return await self._process.wait()

    async def stopped(self, within: float = 20.0) -> int:
        """Ask it to stop, as systemd or Kubernetes does, and return how it ended."""
        self._process.terminate()
        return await self.ended(within)

    def kill(self) -> None:
        """End it and all that it started, as a crash would."""
        if self.code is None:
            with suppress(ProcessLookupError):  # it has ended a moment ago
                os.killpg(self.pid, signal.SIGKILL)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while piece := await self._process.stdout.read(65536):
            self._said += piece


@asynccontextmanager
async def running(*command: str, sandbox: Sandbox, folder: Path, **env: str) -> AsyncIterator[Program]:
    """Run `python -m command ...` in a folder, with a sandbox's keys in the environment and a wide limit.

    With a {port} in its command it takes connections there when the block begins. What it says is searched
    for keys and leads at its end.
    """
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", *(word.replace("{port}", str(port)) for word in command)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, **ALWAYS, **environment_of(sandbox), **env},
        start_new_session=True,  # so that what it starts can be ended with it
    )
    program = Program(process, port)
    try:
        if any("{port}" in word for word in command):
            await program.listens()
        yield program
    finally:
        program.kill()
        await program.ended()
    for secret in (PLANTED, sandbox.access_key, sandbox.secret_key, sandbox.api_key):
        assert secret not in program.said, program.said


def browser(program: Program) -> httpx.AsyncClient:
    """A visitor of a program with a form."""
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{program.port}", timeout=20)


def numbers(sandbox: Sandbox) -> list[int]:
    """Which of the visitors `PLANTED-number@...` were captured, each time that they were."""
    return sorted(int(body["EmailAddress"].partition("@")[0].rpartition("-")[2]) for body in bodies(sandbox))


def free_port() -> int:
    """A port of loopback that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until(condition: Callable[[], bool], within: float = 30.0) -> None:
    """Wait for something to be so."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - a test may poll
            await asyncio.sleep(0.02)

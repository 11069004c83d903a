"""The command line for tests, in this process or in one of its own; whatever it says is searched."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from leadsquared_async import Outbox
from leadsquared_async.cli.app import app
from leadsquared_async.sandbox import Sandbox
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY

PLANTED = "zqplanted4711"
"""Stands in every lead of these tests, and has no place in what a command says."""
SECRETS = (PLANTED, ACCESS_KEY, SECRET_KEY, API_KEY, ACCESS_KEY[3:])


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(sandbox: Sandbox, **others: str) -> dict[str, str]:
    """What a shell has after the sandbox's exports."""
    return {
        "LEADSQUARED_HOST": sandbox.url,
        "LEADSQUARED_ACCESS_KEY": ACCESS_KEY,
        "LEADSQUARED_SECRET_KEY": SECRET_KEY,
        "LEADSQUARED_API_KEY": API_KEY,
        "LEADSQUARED_RATE_LIMIT": "1000/1",  # nothing here waits for a limit
        **others,
    }


def with_fields(sandbox: Sandbox, **others: str) -> dict[str, str]:
    """The same, and where the account's lead fields are asked for."""
    return environment(sandbox, LEADSQUARED_SYNC_HOST=sandbox.url, **others)


async def run(
    *arguments: str | Path, env: Mapping[str, str] | None = None, stdin: bytes | None = None
) -> Finished:
    """Run a command in a thread, beside a sandbox in this loop."""
    words = list(map(str, arguments))
    invoke = CliRunner().invoke
    result = await asyncio.to_thread(invoke, app, words, input=stdin, env=env, prog_name="leadsquared")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return checked(Finished(result.exit_code, result.stdout, result.stderr))


async def capture(
    sandbox: Sandbox, *arguments: str | Path, stdin: bytes | None = None, **env: str
) -> Finished:
    """`leadsquared capture`, in front of a sandbox."""
    return await run("capture", *arguments, env=environment(sandbox, **env), stdin=stdin)


async def start(
    sandbox: Sandbox, *arguments: str | Path, folder: Path, stdin: int | None = None, **env: str
) -> asyncio.subprocess.Process:
    """Start a command in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "leadsquared_async",
        *map(str, arguments),
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**os.environ, **environment(sandbox, **env)},
    )


async def finish(process: asyncio.subprocess.Process, within: float = 30.0) -> Finished:
    """Wait for its end."""
    out, err = await asyncio.wait_for(process.communicate(), within)
    assert process.returncode is not None
    return checked(Finished(process.returncode, out.decode(), err.decode()))


async def until(condition: Callable[[], bool], within: float = 20.0) -> None:
    """Wait for something to be so."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - a test may poll
            await asyncio.sleep(0.01)


def checked(finished: Finished) -> Finished:
    """No command shows a key, a value of a lead, or a traceback."""
    said = finished.out + finished.err
    for secret in SECRETS:
        assert secret not in said, said
    assert "Traceback" not in said
    return finished


def write_leads(path: Path, numbers: Iterable[int], **columns: str) -> Path:
    """A CSV file of leads; other columns have the same cell in each row."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["FirstName", "EmailAddress", *columns])
        for number in numbers:
            writer.writerow([f"{PLANTED} {number}", f"{PLANTED}-{number}@example.com", *columns.values()])
    return path


def names_in(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def bodies(sandbox: Sandbox) -> Sequence[dict[str, str]]:
    """The attributes of each submission that was taken, in order."""
    account = sandbox._account
    return [
        {entry["Attribute"]: entry["Value"] for entry in json.loads(task.body)}
        for task in account.queues["capture"].tasks.values()
    ]


def numbers_sent(sandbox: Sandbox) -> list[int]:
    """Which of the leads of `write_leads` were taken, each time that they were."""
    return [int(body["EmailAddress"].partition("@")[0].rpartition("-")[2]) for body in bodies(sandbox)]


async def states(path: Path) -> dict[str, int]:
    """How many items of an outbox are in each state."""
    async with Outbox(path) as outbox:
        return {state.value: count for state, count in (await outbox.snapshot()).counts.items() if count}

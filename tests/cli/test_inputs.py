"""Inputs that are no tables: a device, a socket, a pipe without an end."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from leadsquared_async.cli.files.rows import Unreadable
from leadsquared_async.cli.files.tables import Reading, Table
from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import run, with_fields

ENDLESS = {
    "a header": b"x" * 65_536,
    "zeros": bytes(65_536),
    "a JSON object": b'{"FirstName": "' + b"x" * 65_536,
    "an array of nothing": b"[" + b" " * 65_536,
    "an open quote": b'Phone\n"' + b"x" * 65_536,
}


@pytest.mark.parametrize("endless", ENDLESS)
@pytest.mark.parametrize("command", [("check",), ("capture", "--dry-run"), ("submit", "activities.create")])
async def test_an_input_whose_first_row_has_no_end_is_refused(
    command: tuple[str, ...], endless: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Reading a pipe stops at the longest possible header or row."""
    pipe = tmp_path / "leads.csv"
    os.mkfifo(pipe)
    written = 0

    def write() -> None:
        nonlocal written
        with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as file:
            piece = ENDLESS[endless]
            while written < 20_000_000:
                written += file.write(piece)
                piece = ENDLESS[endless][-1:] * 65_536

    writing = asyncio.create_task(asyncio.to_thread(write))
    done = await run(*command, pipe, env=with_fields(sandbox))
    await writing
    assert done.code == 2, done.err
    assert done.err.splitlines()[-1].startswith(f"leadsquared {command[0]}: ")
    assert written < 10_000_000
    assert not sandbox.books.accepted


@pytest.mark.parametrize(
    "name", ["/dev/zero", "/dev/null", "/dev/urandom", "/dev/full", "link", "socket", "."]
)
@pytest.mark.parametrize(
    "command", [("check",), ("capture", "--dry-run"), ("submit", "activities.create"), ("status", "--file")]
)
async def test_an_input_that_is_no_file_is_refused(
    command: tuple[str, ...], name: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device, also behind a link, a socket and a folder are not read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        done = await run(*command, name, env=with_fields(sandbox))
    assert done.code == 2, done.err
    assert done.err.count("\n") == 1
    assert ("device" in done.err) is (name.startswith("/dev") or name in {"link", "socket"})
    assert not sandbox.books.arrivals


async def test_a_closed_standard_input_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed standard input is an error with a reason."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(Unreadable, match="standard input is closed"):
        Table("-", Reading())

"""`leadsquared capture` in a process of its own, interrupted or killed: nothing is lost, nothing twice."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import termios
from pathlib import Path

import pytest

from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import capture, finish, names_in, numbers_sent, rows_of, start, until, write_leads

pytestmark = pytest.mark.slow

ROWS = 120
PACE = ("--rate", "40/1")


async def begin(sandbox: Sandbox, file: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Start a run and wait until it is in the middle."""
    sandbox.books.faults = Faults(latency=0.05)
    process = await start(
        sandbox, "capture", file.name, "--no-confirm", "--json", *PACE, *arguments, folder=file.parent
    )
    await until(lambda: sandbox.books.accepted >= ROWS // 4)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_interrupt_finishes_what_is_in_flight(
    number: signal.Signals, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Ctrl-C or SIGTERM is exit 3 and loses no result; the same command sends only the rest."""
    file = write_leads(tmp_path / "leads.csv", range(ROWS))
    process = await begin(sandbox, file, "--out", "out.csv")
    process.send_signal(number)
    await asyncio.sleep(0.05)
    process.send_signal(number)  # as `timeout` does, to the process and to its group
    done = await finish(process)
    assert done.code == 3
    assert "run the same command again" in done.err
    assert 0 < done.json["pending"] < ROWS
    assert done.json["accepted"] == sandbox.books.accepted
    assert len(rows_of(tmp_path / "out.csv")) == ROWS
    done = await capture(sandbox, file, "--no-confirm", "--json", "--out", tmp_path / "out.csv")
    assert (done.code, done.json["accepted"]) == (0, ROWS)
    assert sorted(numbers_sent(sandbox)) == list(range(ROWS))
    assert all(row["RequestID"] for row in rows_of(tmp_path / "out.csv"))


async def test_the_second_interrupt_leaves_at_once(sandbox: Sandbox, tmp_path: Path) -> None:
    """The first Ctrl-C waits for calls that hang; the second ends the process at once."""
    sandbox.books.faults = Faults(probabilities={"hang": 1.0}, operations=("capture",))
    file = write_leads(tmp_path / "leads.csv", range(5))
    process = await start(sandbox, "capture", file.name, "--no-confirm", *PACE, folder=tmp_path)
    await until(lambda: len(sandbox.books.arrivals) >= 5)
    process.send_signal(signal.SIGINT)
    await asyncio.sleep(0.6)
    assert process.returncode is None
    process.send_signal(signal.SIGINT)
    done = await finish(process, within=2.0)
    assert done.code == 3
    assert "press Ctrl-C again to exit now" in done.err


@pytest.mark.parametrize("rows", [0, 2_000])
async def test_input_that_does_not_come_is_not_waited_for(
    rows: int, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Ctrl-C while standard input is awaited is exit 3 at once, and nothing is sent."""
    reading, writing = os.pipe()
    try:
        process = await start(sandbox, "capture", "-", folder=tmp_path, stdin=reading)
        text = "EmailAddress\n" + "".join(f"a{number}@example.com\n" for number in range(rows))
        await asyncio.to_thread(os.write, writing, text.encode())
        await until(lambda: not struct.unpack("i", fcntl.ioctl(reading, termios.FIONREAD, b"1234"))[0])
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 2.0)
        assert (await finish(process)).code == 3
    finally:
        os.close(reading)
        os.close(writing)
    assert names_in(tmp_path) == []
    assert not sandbox.books.accepted


async def test_an_interrupt_while_the_file_is_read_sends_nothing(tmp_path: Path) -> None:
    """Ctrl-C before sending is exit 3, and no outbox is created."""
    async with Sandbox(limit=None) as sandbox:
        file = write_leads(tmp_path / "leads.csv", range(60_000))
        process = await start(sandbox, "capture", file.name, "--no-confirm", folder=tmp_path)
        assert process.stderr is not None
        await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        done = await finish(process)
        assert done.code == 3
        assert not sandbox.books.arrivals
    assert names_in(tmp_path) == ["leads.csv"]

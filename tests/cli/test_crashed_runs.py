"""A run that a signal or a full disk ends in any phase: the same command again delivers every row once."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import capture, environment, finish, names_in, numbers_sent, start, until, write_leads

pytestmark = pytest.mark.slow

ROWS = 400
IN_FLIGHT = 32
PHASES = {
    "reading": "leads.csv: csv",
    "putting": "outbox: ",
    "delivering": "taken",
    "reporting": "sent ",
}
SIGNALS = [(signal.SIGKILL, 1), (signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 1)]


async def reach(phase: str, sandbox: Sandbox, process: asyncio.subprocess.Process) -> None:
    """Wait until a run is there."""
    assert process.stderr is not None
    mark = PHASES[phase]
    if mark == "taken":
        await until(lambda: sandbox.books.accepted >= ROWS // 4)
    else:
        async with asyncio.timeout(30):
            while line := (await process.stderr.readline()).decode():
                if mark in line:
                    return


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(("number", "times"), SIGNALS)
async def test_a_signal_in_any_phase(
    number: signal.Signals, times: int, phase: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Killed, twice at most what was in flight is sent twice; interrupted, nothing is."""
    sandbox.books.faults = Faults(latency=0.02)
    file = write_leads(tmp_path / "leads.csv", range(ROWS))
    options = ("--no-confirm", "--rate", "400/1", "--out", "out.csv", "--rejects", "rejects.csv")
    process = await start(sandbox, "capture", file.name, *options, folder=tmp_path)
    await reach(phase, sandbox, process)
    for _ in range(times):
        if process.returncode is None:
            process.send_signal(number)
            await asyncio.sleep(0.4)
    done = await finish(process)
    if number is signal.SIGKILL:
        assert done.code in {-9, 0}
    else:
        assert done.code in {0, 3}, done.err
        assert "Traceback" not in done.err
    sandbox.books.faults = Faults()
    done = await capture(sandbox, file, "--no-confirm", "--json", "--out", tmp_path / "out.csv")
    assert (done.code, done.json["accepted"]) == (0, ROWS), done.err
    sent = numbers_sent(sandbox)
    assert set(sent) == set(range(ROWS))
    is_sudden = number is signal.SIGKILL or times == 2
    assert len(sent) - ROWS <= (IN_FLIGHT if is_sudden else 0)
    if number is not signal.SIGKILL:  # which may come while the report is written
        assert [name for name in names_in(tmp_path) if name.endswith(".part")] == []


IMPATIENT = """
from leadsquared_async.cli import delivering, main
delivering.PATIENCE = 3.0
main()
"""


@pytest.mark.parametrize("kilobytes", [1, 20, 60, 150, 300])
async def test_a_full_disk(kilobytes: int, sandbox: Sandbox, tmp_path: Path) -> None:
    """A full disk is one line without a traceback; with room, the same command continues."""
    file = write_leads(tmp_path / "leads.csv", range(ROWS))

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-B", "-c", IMPATIENT, "capture", file.name, "--no-confirm", "--out", "out.csv"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, **environment(sandbox)},
        preexec_fn=limited,
    )
    done = await finish(process, within=90.0)
    assert done.code in {0, 2, 3}, done.err
    done = await capture(sandbox, file, "--no-confirm", "--json", "--out", tmp_path / "out.csv")
    assert (done.code, done.json["accepted"]) == (0, ROWS), done.err
    assert set(numbers_sent(sandbox)) == set(range(ROWS))

"""Programs do their work without what Windows lacks; `tests/windows.py` says what this simulates."""

from __future__ import annotations

import asyncio
import csv
import os
import signal
import sys
from pathlib import Path

import pytest

from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import Finished, environment, finish, with_fields, write_leads

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="removes from Linux what Windows lacks")

REPOSITORY = Path(__file__).parent.parent
CLI = "leadsquared_async"


async def start(
    *arguments: str | Path, folder: Path, env: dict[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start a module as on Windows, with a console of Western Europe."""
    paths = {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "cp1252"}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-m", "tests.windows", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**os.environ, **paths, **(env or {})},
    )


async def run(*arguments: str | Path, folder: Path, env: dict[str, str] | None = None) -> Finished:
    return await finish(await start(*arguments, folder=folder, env=env), within=60)


async def test_every_module_is_imported_and_leads_are_delivered(tmp_path: Path) -> None:
    """A client, a sandbox and an outbox work without Unix modules, signal handlers and a fine clock."""
    done = await run("tests.windows_session", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert int(done.out.split()[0]) > 150


async def test_a_file_is_captured_checked_and_exported(tmp_path: Path) -> None:
    """The CSV files have one line break for each row, and doctor claims nothing about modes."""
    write_leads(tmp_path / "leads.csv", range(3))
    async with Sandbox(processing_rate=60_000) as sandbox:
        env = with_fields(sandbox)
        done = await run(CLI, "capture", "leads.csv", "--yes", "--out", "out.csv", folder=tmp_path, env=env)
        assert done.code == 0, done.err
        assert len(sandbox.books.leads) == 3
        outbox = "leads.csv.sandbox.outbox"
        checked = await run(CLI, "doctor", "--outbox", outbox, folder=tmp_path, env=env)
    assert checked.code == 0, checked.err + checked.out
    assert "whoever may read its folder can read it" in checked.out
    assert "on an unknown file system" in checked.out
    assert "mode 0" not in checked.out
    exported = await run(CLI, "outbox", "export", outbox, "--format", "csv", folder=tmp_path)
    assert exported.code == 0, exported.err
    assert exported.out.count("\r\n") == exported.out.count("\n") == 4
    assert "\r\r" not in exported.out
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8-sig") as file:
        assert len(list(csv.DictReader(file))) == 3
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"leads.csv", "out.csv", outbox}


@pytest.mark.slow
async def test_no_argument_is_expanded(tmp_path: Path) -> None:
    """typer would expand `*`, `~` and variables there, and so change the values of a lead."""
    done = await run(CLI, "outbox", "export", "$CITY.outbox", folder=tmp_path, env={"CITY": "Pune"})
    assert done.code == 2
    assert "$CITY.outbox" in done.err


@pytest.mark.parametrize("page", ["cp1252", pytest.param("cp437", marks=pytest.mark.slow)])
async def test_help_is_shown_by_any_code_page(page: str, tmp_path: Path) -> None:
    """A character that the console lacks ends no command."""
    done = await run(CLI, "capture", "--help", folder=tmp_path, env={"PYTHONIOENCODING": page})
    assert (done.code, done.err) == (0, "")
    assert "--rejects" in done.out


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, id="Ctrl-C", marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, id="Ctrl-Break"),  # tests.windows calls it SIGBREAK
    ],
)
async def test_ctrl_c_and_ctrl_break_stop_the_sandbox(number: int, tmp_path: Path) -> None:
    """It ends with its summary and exit status 0."""
    process = await start(CLI, "sandbox", "--port", "0", folder=tmp_path)
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), 60)
    process.send_signal(number)
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, said.decode().splitlines()[-1]) == (0, "calls: 0; requests: 0; leads: 0")


@pytest.mark.slow
async def test_ctrl_c_stops_a_service(tmp_path: Path) -> None:
    """`outbox serve` ends with 0 and without a traceback."""
    async with Sandbox() as sandbox:
        command = (CLI, "outbox", "serve", "leads.db", "--listen", "127.0.0.1:0")
        process = await start(*command, folder=tmp_path, env=environment(sandbox))
        assert process.stderr is not None
        await asyncio.wait_for(process.stderr.readline(), 60)
        process.send_signal(signal.SIGINT)
        done = await finish(process)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
async def test_the_worker_of_the_examples_stops_by_ctrl_c(tmp_path: Path) -> None:
    """asyncio cancels its main task, which closes client and outbox."""
    (tmp_path / "inbox").mkdir()
    async with Sandbox() as sandbox:
        program = REPOSITORY / "docs" / "examples" / "worker.py"
        process = await start(program, "inbox", folder=tmp_path, env=environment(sandbox))
        async with asyncio.timeout(60):
            while not (tmp_path / "leads.db-wal").exists():  # noqa: ASYNC110 - a test may poll
                await asyncio.sleep(0.1)
            await asyncio.sleep(1)
        process.send_signal(signal.SIGINT)
        done = await finish(process)
    assert done.code == 0, done.err
    assert "left: 0 to send" in done.err

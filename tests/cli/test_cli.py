"""The command line, run as a person runs it."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import get_args

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

import leadsquared_async
from leadsquared_async.cli import demo as demo_module
from leadsquared_async.cli.app import app
from leadsquared_async.cli.demo import run_demo
from leadsquared_async.sandbox import Faults
from leadsquared_async.submissions import UpdateBehavior
from leadsquared_async.tracking import sweep_pause
from tests.cli import commands

COMMAND = [sys.executable, "-m", "leadsquared_async"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def commands_of(group: typer.Typer) -> list[str]:
    """The names of a group's commands, those of its own groups in front of theirs."""
    names = [command.callback.__name__ for command in group.registered_commands if command.callback]
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        names += [f"{inner.typer_instance.info.name} {name}" for name in commands_of(inner.typer_instance)]
    return names


@pytest.mark.parametrize("command", commands_of(app))
def test_every_command_has_help_with_an_example(command: str) -> None:
    """`--help` says what the command does and shows a line to copy."""
    helped = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "120"})
    assert helped.exit_code == 0
    assert f"Example: leadsquared {command} " in helped.stdout


def test_help_breaks_no_word_at_80_columns() -> None:
    """The values of an option can be read and copied."""
    helped = CliRunner().invoke(app, ["capture", "--help"], env={"COLUMNS": "80"})
    assert all(name in helped.stdout for name in get_args(UpdateBehavior))


def test_there_are_all_commands() -> None:
    """The table of commands above is complete."""
    subcommands = [
        "stats",
        "items",
        "drain",
        "serve",
        "resolve",
        "requeue",
        "discard",
        "forget",
        "export",
        "purge",
        "adopt",
    ]
    assert commands_of(app) == [
        *("capture", "check", "submit", "status", "wait", "fields", "metrics", "doctor", "demo", "sandbox"),
        *(f"outbox {name}" for name in subcommands),
    ]


@pytest.mark.parametrize("option", ["access", "secret", "api", "key=", "credentials"])
def test_no_option_takes_a_key(option: str) -> None:
    """No option takes a key, because arguments are visible."""
    helped = CliRunner().invoke(app, ["capture", "--help"], env={"COLUMNS": "120"})
    assert f"--{option}" not in helped.stdout


def test_the_program_starts_as_a_module_too() -> None:
    """`python -m leadsquared_async` is `leadsquared`."""
    assert run("--version").stdout == f"{leadsquared_async.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sandbox", "--fault", "nonsense=1"], "no fault is called 'nonsense'"),
        (["sandbox", "--fault", "500"], "NAME=VALUE"),
        (["sandbox", "--fault", "500=x"], "NAME=SHARE"),
        (["sandbox", "--counting", "fingers"], "counting must be one of"),
        (["demo", "--leads", "0"], "--leads"),
        (["nothing"], "No such command"),
    ],
)
async def test_bad_usage_exits_with_2_and_says_what_to_write(arguments: list[str], said: str) -> None:
    """Invalid options end with status 2 and a reason, without a traceback."""
    finished = await commands.run(*arguments, env={"COLUMNS": "120"})
    assert finished.code == 2
    assert said in finished.err


def test_a_port_in_use_is_said() -> None:
    """A port in use ends with status 2, and the message names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        finished = run("sandbox", "--port", str(taken.getsockname()[1]))
    assert finished.returncode == 2
    assert "cannot listen on port" in finished.stderr


def test_the_sandbox_prints_an_environment_that_works_and_stops_on_an_interrupt(tmp_path: Path) -> None:
    """A shell can source the sandbox's output, and the client then needs no other option."""
    script = tmp_path / "capture.py"
    script.write_text(
        "import asyncio\n"
        "from leadsquared_async import LeadSquared\n"
        "async def main():\n"
        "    async with LeadSquared() as lsq:\n"
        "        print((await lsq.leads.capture({'EmailAddress': 'bret@example.com'})).request_id)\n"
        "asyncio.run(main())\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEADSQUARED_")}
    serving = subprocess.Popen(
        [*COMMAND, "sandbox", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**environment, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert serving.stdout is not None
        exports = [serving.stdout.readline() for _ in range(4)]
        shell = "".join(exports) + f"{sys.executable} {script}"
        captured = subprocess.run(
            ["sh", "-c", shell], capture_output=True, text=True, timeout=60, check=True, env=environment
        )
        assert re.fullmatch(r"[0-9a-f-]{36}\n", captured.stdout)
        url = exports[0].split("=", 1)[1].strip()
        with urllib.request.urlopen(f"{url}/_sandbox/summary", timeout=10) as answer:
            assert b'"accepted":1' in answer.read().replace(b" ", b"")
    finally:
        serving.send_signal(signal.SIGINT)
        assert serving.wait(timeout=20) == 0
        serving.stdout.close()


@pytest.fixture
def fast_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo under a limit that lets it end in a moment; its faults and its polls stay."""
    monkeypatch.setattr(demo_module, "LIMIT", (25, 0.05))
    monkeypatch.setattr(sweep_pause, "FIRST_PAUSE", 1.0)


@pytest.mark.usefixtures("fast_demo")
async def test_the_demo_sends_every_lead_and_shows_no_personal_data() -> None:
    """The demo sends each lead once, and shows no e-mail address and no key."""
    console = Console(record=True, width=120, force_terminal=False, file=io.StringIO())
    assert await run_demo(console, 50, seed=1)
    shown = console.export_text()
    assert re.search(r"leads that arrived\s+50 of 50", shown)
    assert re.search(r"refused with 429\s+0", shown)
    assert re.search(r"captures accepted\s+51, 1 of them a second time", shown)
    ids = r"RequestID [0-9a-f-]{36}, lead id [0-9a-f-]{36}"
    # The first eight, and the one whose answer was lost, which may be one of them.
    assert len(re.findall(rf"{ids}, (?:new lead|updated)", shown)) in {8, 9}
    assert (
        len(re.findall(rf"{ids}, (?:new lead|updated): its answer was lost, so it was sent again", shown))
        == 1
    )
    assert re.search(r"whose answer was lost\s+accepted twice, still one lead: [0-9a-f-]{36}", shown)
    assert "@" not in shown
    assert "Visitor" not in shown
    assert "0123456789abcdef" not in shown


@pytest.mark.usefixtures("fast_demo")
async def test_the_demo_says_when_a_lead_did_not_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo reports failure if LeadSquared rejects a lead."""
    monkeypatch.setattr(demo_module, "FAULTS", Faults(script=("500-mx",), operations=("capture",)))
    console = Console(record=True, width=120, force_terminal=True, file=io.StringIO())
    assert not await run_demo(console, 5, seed=1)
    assert "not every lead arrived" in console.export_text()


def test_an_interrupted_demo_exits_as_other_commands_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is exit status 3 and one line."""

    async def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_module, "run_demo", interrupted)
    done = CliRunner().invoke(app, ["demo"])
    assert done.exit_code == 3
    assert done.stderr == "leadsquared demo: interrupted; to continue, run the same command again\n"


def test_the_demo_ends_without_a_traceback_on_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of standard output is reported in one line."""

    async def full(*_: object) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(demo_module, "run_demo", full)
    done = CliRunner().invoke(app, ["demo"])
    assert done.exit_code == 2
    assert done.stderr == "leadsquared demo: No space left on device\n"

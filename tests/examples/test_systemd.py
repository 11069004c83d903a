"""docs/examples/systemd: the unit is verified, and its command is run, stopped, and started without keys."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from leadsquared_async import Outbox
from leadsquared_async.client import GRACE as CLIENTS
from leadsquared_async.config import ENVIRONMENT
from leadsquared_async.outbox.connection import BUSY
from leadsquared_async.outbox.lifecycle import GRACE as OUTBOXES
from leadsquared_async.sandbox import Sandbox
from tests.examples.programs import EXAMPLES, PLANTED, numbers, running, until

UNIT = EXAMPLES / "systemd" / "leadsquared-outbox.service"
PAGE = (EXAMPLES.parent / "systemd.md").read_text()
PROGRAM = "/opt/leads/bin/leadsquared"


def value(name: str) -> str:
    """The value of an option of the unit, which has it once."""
    (found,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return str(found)


def here(folder: Path) -> list[str]:
    """The unit's command on this machine: another folder, and a free port."""
    program, *words = shlex.split(value("ExecStart"))
    assert program == PROGRAM
    state = f"/var/lib/{value('StateDirectory')}"
    return [
        "leadsquared_async",
        *(it.replace(state, str(folder)) for it in words),
        "--listen",
        "127.0.0.1:{port}",
    ]


@pytest.mark.slow
async def test_the_unit_delivers_until_sigterm(tmp_path: Path) -> None:
    """Another program puts; SIGTERM ends it with 0, within the time that the unit gives it."""
    async with (
        Sandbox(limit=None) as sandbox,
        running(*here(tmp_path), sandbox=sandbox, folder=tmp_path) as service,
        Outbox(tmp_path / "leads.db") as outbox,
    ):
        await outbox.put({"EmailAddress": f"{PLANTED}-1@example.com"})
        await until(lambda: numbers(sandbox) == [1])
        assert await service.stopped(within=float(value("TimeoutStopSec"))) == 0


@pytest.mark.slow
async def test_it_is_not_restarted_without_keys(tmp_path: Path) -> None:
    """It exits with the status that prevents a restart."""
    without = dict.fromkeys(("LEADSQUARED_ACCESS_KEY", "LEADSQUARED_SECRET_KEY"), "")
    command = [word for word in here(tmp_path) if word not in {"--listen", "127.0.0.1:{port}"}]
    async with (
        Sandbox() as sandbox,
        running(*command, sandbox=sandbox, folder=tmp_path, **without) as service,
    ):
        assert await service.ended() == int(value("RestartPreventExitStatus"))


def test_a_stop_is_given_the_time_that_it_may_take() -> None:
    """The outbox's, the client's, and twice what SQLite waits for a lock."""
    assert float(value("TimeoutStopSec")) > OUTBOXES + CLIENTS + 2 * BUSY / 1000


def test_page_and_unit_fit_together() -> None:
    """The page names the unit's files, user and program, and only variables that exist."""
    user, keys = value("User"), value("EnvironmentFile")
    for words in (f" {user}\n", f"/dev/null {keys} ", f"EnvironmentFile={keys}", f"--uid={user}", PROGRAM):
        assert words in PAGE
    assert value("ExecStart").split()[-1] in PAGE
    assert {*re.findall(r"^(LEADSQUARED_\w+)=", PAGE, re.MULTILINE)} <= {*ENVIRONMENT.values()}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """No option is unknown and no value is invalid; only the program's path is another one here."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(PROGRAM, sys.executable))
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

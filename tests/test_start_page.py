"""docs/start.md: a newcomer's commands, with a sandbox on this machine."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from leadsquared_async.sandbox import Sandbox
from leadsquared_async.testing import environment_of

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parent.parent / "docs" / "start.md").read_text()
PROGRAM, *_ = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(FAILING_LINE,) = re.findall(r"^```py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SENT = re.compile(r"^ *receipt = .*\n", re.MULTILINE)


async def run(folder: Path, sandbox: Sandbox, command: str) -> str:
    """What a command of the page prints to standard output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = await asyncio.to_thread(  # the sandbox answers in this loop
        subprocess.run,
        ["bash", "-e", "-c", command],
        cwd=folder,
        env=os.environ | environment_of(sandbox) | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_exports_of_the_page_are_those_of_the_sandbox() -> None:
    """A reader who pastes them from the page gets into the sandbox."""
    for line in (
        f"LEADSQUARED_ACCESS_KEY='{Sandbox.access_key}'",
        f"LEADSQUARED_SECRET_KEY={Sandbox.secret_key}",
        f"LEADSQUARED_API_KEY={Sandbox.api_key}",
    ):
        assert f"export {line}\n" in PAGE


async def test_the_first_program_prints_an_id_and_then_a_reason(tmp_path: Path) -> None:
    """The second lead has the misspelt field, and its message is the page's."""
    program = tmp_path / "first.py"
    async with Sandbox(attributes="account") as sandbox:
        program.write_text(PROGRAM)
        assert (await run(tmp_path, sandbox, "python first.py")).strip() in sandbox.books.leads
        program.write_text(SENT.sub(FAILING_LINE, PROGRAM))
        reason = (await run(tmp_path, sandbox, "python first.py")).strip()
        assert f"`{reason}`" in PAGE


async def test_the_file_is_delivered_once(tmp_path: Path) -> None:
    """Its commands end with 0, and the same capture again sends nothing."""
    (commands,) = re.findall(r"^```sh\n(cat > leads.csv.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    async with Sandbox(attributes="account") as sandbox:
        await run(tmp_path, sandbox, commands)
        assert len(sandbox.books.leads) == len(sandbox.books.submitted("capture")) == 3
        assert (tmp_path / "outcomes.csv").read_text().count("confirmed") == 3
        await run(tmp_path, sandbox, commands)
        assert len(sandbox.books.submitted("capture")) == 3

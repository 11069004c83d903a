"""The commands of docs/command-line.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from leadsquared_async.cli.app import app
from leadsquared_async.cli.exits import ExitStatus
from leadsquared_async.cli.terminal import Terminal
from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import PLANTED, environment, run

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
LINES = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


async def test_every_line_works_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's commands work from top to bottom with a file like the page's, which has one mistake."""
    monkeypatch.chdir(tmp_path)
    # The page is about a real host, whose outboxes have the plain name.
    monkeypatch.setattr("leadsquared_async.cli.run_options.LOOPBACK", frozenset())
    monkeypatch.setattr(Terminal, "ask", lambda self, question: True)
    (tmp_path / "leads.csv").write_text(
        "Name,E-mail,Junk,mx_Foo\n"
        f"{PLANTED},{PLANTED}-1@example.com,x,\n{PLANTED},{PLANTED}-2@example.com,x,1\n"
    )
    (tmp_path / "activities.jsonl").write_text(
        f'{{"details": {{"RelatedProspectId": "{PLANTED}", "ActivityEvent": 201}}}}\n'
    )
    async with Sandbox(limit=None, attributes=("FirstName", "EmailAddress")) as sandbox:
        # Without a synchronous host nothing is checked, so that LeadSquared rejects a row as on the page.
        with_sync_host = environment(sandbox, LEADSQUARED_SYNC_HOST=sandbox.url)
        statuses = []
        for line in LINES:
            program, *arguments = shlex.split(line, comments=True)
            assert program == "leadsquared"
            if arguments[:2] == ["outbox", "serve"]:
                continue  # it runs until SIGTERM: tests/cli/test_serve_command.py runs it
            asks_it = (
                "--bulk" in arguments
                or arguments[0] in {"check", "doctor", "fields"}
                or "resolve" in arguments
            )
            env = with_sync_host if asks_it else environment(sandbox)
            done = await run(*arguments, env=env, stdin=b"bret.lee@example.com\n")
            statuses.append((" ".join(arguments[:2]), done.code))
            assert done.code in {ExitStatus.DONE, ExitStatus.NOT_ALL}, f"{line}: {done.err}"
        assert len(sandbox.books.leads) == 2
    failed = [command for command, code in statuses if code == ExitStatus.NOT_ALL]
    assert failed == [
        *("check leads.csv", "capture leads.csv", "capture leads.csv", "capture rejects.csv"),
        *("submit activities.create", "wait --file", "status --file", "wait --file"),
        "outbox discard",  # of an id that no item has
    ]


def test_every_command_has_a_line() -> None:
    """The page shows every command."""
    shown = " ".join(LINES) + PAGE
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"leadsquared {command.callback.__name__}" in shown
    (group,) = app.registered_groups
    assert group.typer_instance is not None
    for command in group.typer_instance.registered_commands:
        assert command.callback is not None
        assert f"leadsquared outbox {command.callback.__name__}" in shown


def test_the_exit_statuses_are_those_of_the_program() -> None:
    """The page's table has a row for each exit status."""
    assert re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE) == [str(int(status)) for status in ExitStatus]

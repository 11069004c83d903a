"""`leadsquared sandbox`: its options, and what it prints."""

import asyncio
import errno
import os
import re
import signal
import subprocess
import sys

import httpx
import pytest
import typer

from leadsquared_async.cli import sandbox
from leadsquared_async.cli.sandbox import _print_call, _print_environment, run_sandbox
from leadsquared_async.sandbox import Sandbox
from leadsquared_async.sandbox.settings import Options, Settings
from tests.cli.commands import run
from tests.sandbox.calls import BRET, HEADERS, KEYS


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """The options of the sandboxes that were started; none of them is."""
    options = list[Options]()

    async def record(_port: int, chosen: Options, *, quiet: bool) -> None:
        assert not quiet
        Settings(**chosen)
        options.append(chosen)

    monkeypatch.setattr(sandbox, "run_sandbox", record)
    return options


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("attributes", "any", None),
        ("attributes", "account", "account"),
        ("attributes", "EmailAddress", ["EmailAddress"]),
        ("attributes", "EmailAddress, mx_City", ["EmailAddress", "mx_City"]),
        ("mandatory", "FirstName", ["FirstName"]),
        ("unique", "none", []),
        ("unique", "Phone, mx_Id", ["Phone", "mx_Id"]),
        ("limit", "25/5", (25, 5.0)),
        ("bulk-limit", "5/2.5", (5, 2.5)),
        ("bulk-limit", "none", None),
        ("fields", "400", 400),
        ("fault", "500=0.25", {"500": 0.25}),
        ("keys", "headers", "headers"),
        ("path", "activity status=/activity/status", {"activity status": "/activity/status"}),
        ("path", "capture metrics=", {"capture metrics": None}),
    ],
)
async def test_an_option_becomes_a_setting(option: str, text: str, value: object, started: list[Options]):
    """Each option is a setting of `Sandbox`; what is not given has the default of the help text."""
    assert (await run("sandbox", f"--{option}", text)).code == 0
    (settings,) = started
    found: dict[str, object] = {
        **settings,
        "fault": settings["faults"].probabilities,
        "path": settings["paths"],
    }
    assert found[option.replace("-", "_")] == value
    assert (found["counting"], found["processing_rate"]) == ("sliding-log", 600.0)


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--bulk-limit", "fast", "is written as calls/seconds"),
        ("--limit", "fast", "is written as calls/seconds"),
        ("--attributes", "Email Address", "is written as schema names"),
        ("--unique", "Email Address", "is written as schema names"),
        ("--fields", "0", "Invalid value for"),
        ("--path", "activity status", "is written as NAME=VALUE"),
    ],
)
async def test_an_invalid_option_is_named(option: str, text: str, message: str, started: list[Options]):
    """An invalid value is exit 2; the error names the option and says how to write it."""
    done = await run("sandbox", option, text, env={"COLUMNS": "120"})
    assert (done.code, started) == (2, [])
    assert option in done.err
    assert message in done.err


@pytest.mark.parametrize("quiet", [False, True])
async def test_a_line_for_each_call_and_a_summary_at_the_end(quiet: bool, capsys: pytest.CaptureFixture[str]):
    """On standard error, since the lines to export are on standard output; nothing with --quiet."""
    running = asyncio.create_task(run_sandbox(0, Options(processing_rate=1e9), quiet=quiet))
    out = ""
    for _ in range(500):
        await asyncio.sleep(0.01)
        out += capsys.readouterr().out
        if "# Ctrl-C stops it" in out:
            break
    url = re.search(r"LEADSQUARED_HOST=(\S+)", out)
    assert url is not None
    async with httpx.AsyncClient(base_url=url[1], headers=HEADERS, trust_env=False) as client:
        request_id = (await client.post(f"/lead/capture?{KEYS}", content=BRET)).json()["RequestID"]
        assert (await client.post(f"/lead/capture?{KEYS}", headers={"x-api-key": "x"})).status_code == 403
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    said = capsys.readouterr()
    assert said.out == ""
    if quiet:
        assert said.err == ""
        return
    first, second, summary = said.err.splitlines()
    assert re.fullmatch(
        rf"\d\d:\d\d:\d\d POST /lead/capture 200 FirstName, LastName, EmailAddress -> {request_id}", first
    )
    assert second.endswith("POST /lead/capture 403: the header x-api-key is not the key of this sandbox")
    assert summary == "calls: 2 (1 x 200, 1 x 403); requests: 1 (1 Success); leads: 1"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_in_order(number: signal.Signals):
    """Exit 0 with the summary, even while a browser shows the window."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leadsquared_async", "sandbox", "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert program.stdout is not None
        url = (await program.stdout.readline()).decode().strip().partition("=")[2]
        async with (
            httpx.AsyncClient(base_url=url, trust_env=False) as client,
            client.stream("GET", "/_sandbox/window/events") as events,
        ):
            assert events.status_code == 200
            program.send_signal(number)
            _, said = await asyncio.wait_for(program.communicate(), 10)
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    assert (program.returncode, said.decode().splitlines()[-1]) == (0, "calls: 0; requests: 0; leads: 0")


async def test_the_environment_fits_a_terminal_of_80_columns(capsys: pytest.CaptureFixture[str]):
    """A line that wraps cannot be pasted, and an address that wraps cannot be opened."""
    async with Sandbox() as sandbox:
        _print_environment(sandbox)
        lines = capsys.readouterr().out.splitlines()
        assert f"# to see calls and leads in a browser, open {sandbox.url}/_sandbox/" in lines
    assert max(map(len, lines)) < 80


async def test_a_closed_terminal_ends_no_call(monkeypatch: pytest.MonkeyPatch):
    """A call is answered even if its line cannot be printed."""

    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(typer, "echo", gone)
    async with (
        Sandbox(on_call=_print_call) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers=HEADERS, trust_env=False) as client,
    ):
        assert (await client.post(f"/lead/capture?{KEYS}", content=BRET)).status_code == 200


async def test_an_environment_that_cannot_be_printed_is_no_port_in_use(monkeypatch: pytest.MonkeyPatch):
    """A full disk behind standard output is reported as such."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(typer, "echo", full)
    with pytest.raises(ValueError, match="the environment cannot be printed: No space left"):
        await run_sandbox(0, {}, quiet=True)

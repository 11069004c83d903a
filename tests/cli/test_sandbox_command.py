"""What `leadsquared sandbox` makes of its options."""

import asyncio
import errno
import os
import re
from typing import Any

import httpx
import pytest
import typer

from leadsquared_async.cli.sandbox import SandboxOptions, _tell, _tell_call, run_sandbox
from leadsquared_async.sandbox import Sandbox
from leadsquared_async.sandbox.settings import Options
from tests.sandbox.calls import BRET, HEADERS, KEYS


def options(**changes: Any) -> Options:
    return SandboxOptions(**changes).parsed()


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("any", None),
        ("account", "account"),
        ("EmailAddress", ["EmailAddress"]),
        ("EmailAddress, mx_City", ["EmailAddress", "mx_City"]),
    ],
)
def test_the_attributes(text: str, attributes: object):
    """Any, those of a believable account, or a list."""
    assert options(attributes=text)["attributes"] == attributes


@pytest.mark.parametrize(
    ("text", "unique"), [("none", []), ("Phone", ["Phone"]), ("Phone, mx_Id", ["Phone", "mx_Id"])]
)
def test_the_unique_fields(text: str, unique: list[str]):
    """A list, or none."""
    assert options(unique=text)["unique"] == unique


@pytest.mark.parametrize(("text", "limit"), [("1/5", (1, 5.0)), ("5/2.5", (5, 2.5)), ("none", None)])
def test_the_bulk_limit(text: str, limit: tuple[int, float] | None):
    """Calls in seconds, or none."""
    assert options(bulk_limit=text)["bulk_limit"] == limit


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bulk_limit": "fast"}, "--bulk-limit is written as calls/seconds"),
        ({"limit": "fast"}, "--limit is written as calls/seconds"),
        ({"attributes": "Email Address"}, "--attributes is written as schema names"),
        ({"unique": "Email Address"}, "--unique is written as schema names"),
        ({"fields": 0}, "fields must be a whole number from 1 to 10000, not 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, object], message: str):
    """With the option's name."""
    with pytest.raises(ValueError, match=message):
        options(**changes)


def test_the_number_of_fields():
    """As it is given."""
    assert options(fields=400)["fields"] == 400


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


async def test_the_environment_fits_a_terminal_of_80_columns(capsys: pytest.CaptureFixture[str]):
    """A line that wraps cannot be pasted, and an address that wraps cannot be opened."""
    async with Sandbox() as sandbox:
        _tell(sandbox)
        lines = capsys.readouterr().out.splitlines()
        assert f"# its calls and records: {sandbox.url}/_sandbox/" in lines
    assert max(map(len, lines)) < 80


async def test_a_terminal_that_has_gone_ends_no_call(monkeypatch: pytest.MonkeyPatch):
    """The sandbox goes on."""

    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(typer, "echo", gone)
    async with (
        Sandbox(on_call=_tell_call) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, headers=HEADERS, trust_env=False) as client,
    ):
        assert (await client.post(f"/lead/capture?{KEYS}", content=BRET)).status_code == 200


async def test_an_environment_that_nobody_reads_is_no_port_in_use(monkeypatch: pytest.MonkeyPatch):
    """The disk that standard output goes to may be full."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(typer, "echo", full)
    with pytest.raises(ValueError, match="environment cannot be printed: No space left"):
        await run_sandbox(0, {}, quiet=True)

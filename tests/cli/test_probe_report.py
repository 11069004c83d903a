"""The report of `leadsquared doctor`: everything that helps, and nothing that names an account."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from leadsquared_async import LeadSquared, Outbox, RetryPolicy
from leadsquared_async.cli import connecting, doctor, probing
from leadsquared_async.cli.app import app
from leadsquared_async.sandbox import Sandbox
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY
from tests.cli.commands import PLANTED, environment, run
from tests.leaks import assert_nothing_secret

KEYS = {
    "LEADSQUARED_ACCESS_KEY": ACCESS_KEY,
    "LEADSQUARED_SECRET_KEY": SECRET_KEY,
    "LEADSQUARED_API_KEY": API_KEY,
    "LEADSQUARED_RATE_LIMIT": "1000/1",
}


async def test_the_report_says_what_was_found(tmp_path: Path) -> None:
    """Versions, checks, every call with its answer, and what to configure; readable by the user only."""
    path = tmp_path / "report.md"
    async with Sandbox(limit=None, keys="headers", paths={"capture metrics": "/lead/metrics"}) as sandbox:
        done = await run("doctor", "--probe-keys", "--report", path, env=environment(sandbox))
    text = path.read_text()
    assert f"the report is in {path}" in done.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    metrics = "JSON: PendingMessages, MaxDelayInSeconds, ProcessingRatePerMinute"
    mx = "JSON: Status, ExceptionType, ExceptionMessage; MXInvalidInputException"
    gateway = 'JSON: message; "Missing Authentication Token"'
    for line in (
        "# Report of leadsquared doctor",
        "- host: on this machine",
        "- rate limit: 1000/1",
        "| paths | look |",
        f"| cannot exist | (random) | control | 403 | {gateway} | does not exist |",
        '| leads.capture status | /lead/status | documented | 404 | JSON: message; "Not Found" | exists |',
        f"| leads.capture metrics | /lead/metrics | candidate | 200 | {metrics} | exists |",
        f"| keys in headers | 400 | {mx} | accepted |",
        "- leads.capture metrics: /lead/metrics",
        "- keys_in: headers",
    ):
        assert line in text.splitlines(), line
    assert re.search(r"^- C?P\w+ 3\.\d+", text, re.MULTILINE)


HOSTILE = f"{PLANTED} u$r{PLANTED} |\n# {PLANTED}.leadsquared.com"


def hostile(status: int, body: Any) -> type[LeadSquared]:
    """A client of a host that answers every path with texts of its own."""

    def serve(request: httpx.Request) -> httpx.Response:
        echo = {
            key: f"{request.url} {dict(request.headers)} {PLANTED}" for key in ("Message", "ExceptionMessage")
        }
        if re.match("/lead/[0-9a-f]{12}/", request.url.path):
            return httpx.Response(403, json={"message": "Missing Authentication Token"})
        return httpx.Response(status, json={**echo, **body} if isinstance(body, dict) else body)

    class Client(LeadSquared):
        def __init__(self, **options: Any) -> None:
            super().__init__(transport=httpx.MockTransport(serve), **options)

    return Client


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message": HOSTILE},
        {"message": {PLANTED: PLANTED}},
        {"Status": "Error", "ExceptionType": f"MX{PLANTED}".replace("4711", "Exception")},
        {PLANTED: HOSTILE, "PendingMessages": 4711, "MaxDelayInSeconds": 4711, "ProcessingRatePerMinute": 1},
        [PLANTED],
        PLANTED,
    ],
    ids=str,
)
async def test_nothing_of_the_account_can_be_in_the_report(
    status: int, body: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key, host, configured path, connector or text of the server, whatever the server answers."""
    monkeypatch.setattr(connecting, "LeadSquared", hostile(status, body))
    monkeypatch.setattr(connecting, "QUICK", RetryPolicy(attempts=1))
    for module in (doctor, probing):
        monkeypatch.setattr(module, "WITHIN", 0.1)
    path, outbox = tmp_path / "report.md", tmp_path / f"{PLANTED}.outbox"
    async with Outbox(outbox):
        pass
    env = {
        **KEYS,
        "LEADSQUARED_HOST": f"https://{PLANTED}.leadsquared.com",
        "LEADSQUARED_SYNC_HOST": f"https://sync-{PLANTED}.leadsquared.com",
        "LEADSQUARED_PATHS": json.dumps({"leads.update status": f"/{PLANTED}/status"}),
        "HTTPS_PROXY": f"http://{PLANTED}:{PLANTED}@{PLANTED}.invalid:3128",
    }
    words = ["doctor", "--probe-keys", "--report", str(path), "--require", f"mx_{PLANTED}"]
    # Not `run`, since the screen shows the host.
    await asyncio.to_thread(CliRunner().invoke, app, [*words, "--outbox", str(outbox)], env=env)
    text = path.read_text()
    assert "| leads.capture status | /lead/status | documented |" in text
    assert "zqplanted" not in text.lower()
    assert "4711" not in text
    assert "leadsquared.com" not in text.replace("- host: another one of leadsquared.com", "")
    assert_nothing_secret(text)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"LEADSQUARED_REGION": "in21"}, "of the region in21"),
        ({"LEADSQUARED_HOST": "https://asyncapi-in22.leadsquared.com"}, "another one of leadsquared.com"),
        ({"LEADSQUARED_HOST": "https://acme.example.com"}, "another one"),
        ({"LEADSQUARED_HOST": "acme"}, "not configured"),
        ({}, "not configured"),
    ],
)
async def test_only_the_region_of_a_known_host_is_named(
    env: dict[str, str], said: str, tmp_path: Path
) -> None:
    """The report is also written if nothing could be called, since the configuration is incomplete."""
    path = tmp_path / "report.md"
    done = await run("doctor", "--probe", "--report", path, env={**env, "LEADSQUARED_RATE_LIMIT": "many"})
    text = path.read_text()
    assert done.code == 2
    assert f"- host: {said}\n" in text
    assert "- rate limit: not valid\n" in text
    assert "| calls | unknown |" in text
    assert "acme" not in text


async def test_a_report_replaces_a_report_only(tmp_path: Path) -> None:
    """Another file, an outbox and a folder are refused before a call is made; nothing is left behind."""
    path, other, outbox = tmp_path / "report.md", tmp_path / "notes.md", tmp_path / "leads.outbox"
    path.write_text("# Report of leadsquared doctor\n\nolder\n")
    path.chmod(0o644)
    other.write_text("# Mine\n")
    async with Outbox(outbox):
        pass
    async with Sandbox(limit=None) as sandbox:
        assert (await run("doctor", "--report", path, env=environment(sandbox))).code == 0
        calls = len(sandbox.books.arrivals)
        for there, said in (
            (other, "exists and was not written with --report"),
            (outbox, "exists and is a database or outbox"),
            (tmp_path, "Is a directory"),
        ):
            done = await run("doctor", "--report", there, env=environment(sandbox))
            assert (done.code, said in done.err) == (2, True)
        done = await run("doctor", "--outbox", outbox, "--report", outbox, env=environment(sandbox))
        assert (done.code, "own input or outbox" in done.err) == (2, True)
        assert len(sandbox.books.arrivals) == calls
    assert "older" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert other.read_text() == "# Mine\n"
    assert not list(tmp_path.glob(".*"))

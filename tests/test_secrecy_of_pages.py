"""What listens shows no key, and only the window shows what a lead has: planted keys and a planted person."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadsquared_async import Outbox
from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.test_serve_command import served
from tests.clients import KEYS
from tests.examples.programs import Program, browser
from tests.leaks import PERSON, assert_no_key, assert_nothing_secret, echo_server

OTHERS = {
    "access_key": "u$r9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c",
    "secret_key": "77ab77ab77ab77ab77ab77ab77ab77ab77ab77ab",
    "api_key": "AnotherKeyAnotherKeyAnotherKeyAnotherKey",
}
"""Keys as of a real account, which somebody sends to the sandbox by mistake."""
REPEATED = " ".join(KEYS.values())
WITHOUT_VALUES = ("openapi.json", "summary", "arrivals", "requests", "faults", "settings", "")
"""The pages of the control plane that show no value of a lead."""


async def call(client: httpx.AsyncClient, keys: dict[str, str], **more: str) -> httpx.Response:
    """Capture the person with these keys, which are repeated in the lead, in the query and in a header."""
    repeated = " ".join(keys.values())
    lead = {**PERSON, "mx_Notes": repeated}
    return await client.post(
        "/lead/capture",
        params={"accessKey": keys["access_key"], "secretKey": keys["secret_key"], "note": repeated},
        headers={"x-api-key": keys["api_key"], "Referer": f"http://a/?{repeated}"} | more,
        json=[{"Attribute": name, "Value": value} for name, value in lead.items()],
    )


async def everything(client: httpx.AsyncClient) -> str:
    """All pages of the window and an event of its stream."""
    lists = [f"{of}?limit=500{search}" for of in ("calls", "leads") for search in ("", "&search=bartholomew")]
    names = ["overview", "choices", *lists]
    found = (await client.get("/_sandbox/window/calls?limit=500")).json()["calls"]
    names += [f"history?call={it['number']}" for it in found]
    found = (await client.get("/_sandbox/window/leads?limit=500")).json()["leads"]
    names += [f"history?lead={it['id']}" for it in found]
    shown = [(await client.get(f"/_sandbox/window/{name}")).text for name in names]
    async with client.stream("GET", "/_sandbox/window/events") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                shown.append(line)
                break
    return "\n".join(shown)


async def test_the_window_and_the_log_of_a_sandbox() -> None:
    """The window masks its own keys and others'; its stream, the log and the counts have no value either."""
    lines: list[str] = []
    faults = Faults(script=("ok", "ok", "401", "403", "200-mx", "500", "redirect"))
    async with (
        Sandbox(limit=None, on_call=lines.append, faults=faults) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url, trust_env=False, timeout=5) as client,
    ):
        statuses = [(await call(client, KEYS)).status_code for _ in range(7)]
        assert statuses.count(200) >= 2
        assert (await call(client, OTHERS)).status_code == 403
        assert (await call(client, {**OTHERS, "api_key": KEYS["api_key"]})).status_code == 401
        async with asyncio.timeout(5):
            while not sandbox.books.leads:  # noqa: ASYNC110 - processed by the clock
                await asyncio.sleep(0.01)
        window = await everything(client)
        stream = window.splitlines()[-1]
        pages = {name: (await client.get(f"/_sandbox/{name}")).text for name in WITHOUT_VALUES}
    assert_no_key(window)
    assert [name for name, key in OTHERS.items() if key in window] == []
    assert PERSON["FirstName"] in window  # it is searched for what it may show
    for text in (stream, "\n".join(lines)):
        assert_nothing_secret(text)
        assert [name for name, key in OTHERS.items() if key in text] == []
    for name, text in pages.items():
        assert [what for what, value in PERSON.items() if value in text] == [], name
        assert [what for what, key in OTHERS.items() if key in text] == [], name
    assert len(lines) == 9


async def pages_of(program: Program) -> str:
    """All that the pages of `outbox serve` show, with their headers."""
    async with browser(program) as client:
        answers = [await client.get(path) for path in ("/readyz", "/healthz", "/metrics")]
    return "\n".join(f"{answer.headers}\n{answer.text}" for answer in answers)


@pytest.mark.slow
@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500])
async def test_outbox_serve_shows_no_value_of_a_lead(tmp_path: Path, status: int) -> None:
    """Neither pages nor log do, whatever a server repeats: in its status line, headers and body."""
    async with Sandbox() as sandbox, echo_server(status) as (url, received):
        env: dict[str, Any] = {"LEADSQUARED_HOST": url, "LEADSQUARED_SYNC_HOST": url}
        async with served(sandbox, tmp_path, "--log-format", "json", **env) as program:
            async with Outbox(tmp_path / "leads.db") as outbox:
                await outbox.put(PERSON, reference="form-1")
            async with asyncio.timeout(30):
                while not received:  # noqa: ASYNC110 - a process of its own sends it
                    await asyncio.sleep(0.05)
            await asyncio.sleep(1.5)  # it looks at the file each second
            shown = await pages_of(program)
            assert await program.stopped() == 0
    assert PERSON["EmailAddress"].encode() not in b"".join(received)  # it was sent in the body
    assert '"pending":' in shown
    assert_nothing_secret(shown)
    assert_nothing_secret(program.said)
    assert all(json.loads(line)["event"] is not None for line in program.said.splitlines())

"""The example with taskiq, with real workers on a real Valkey."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from leadsquared_async.sandbox import Sandbox
from tests.examples.programs import Program, running, until
from tests.limiter.valkey import Valkey

pytestmark = pytest.mark.slow

LEADS = 40


def worker(sandbox: Sandbox, store: Valkey, folder: Path) -> AbstractAsyncContextManager[Program]:
    command = "taskiq worker taskiq_tasks:broker --workers 2 --wait-tasks-timeout 10 --shutdown-timeout 10"
    env = {"VALKEY_URL": store.url, "LEADSQUARED_RATE_LIMIT": "20/1"}
    return running(*command.split(), sandbox=sandbox, folder=folder, **env)


async def test_leads_survive_the_stop_of_all_workers(own_valkey: Valkey, tmp_path: Path) -> None:
    """Put by one process, handed over by others, one of which is asked to stop in the middle."""
    async with Sandbox(limit=(20, 1.0)) as sandbox:
        async with running(
            "taskiq_tasks", str(LEADS), sandbox=sandbox, folder=tmp_path, VALKEY_URL=own_valkey.url
        ) as web:
            assert await web.ended() == 0
        async with worker(sandbox, own_valkey, tmp_path) as first:
            await until(lambda: len(sandbox.books.leads) > 5)
            assert await first.stopped() == 0
        assert len(sandbox.books.leads) < LEADS
        async with worker(sandbox, own_valkey, tmp_path) as second:
            told = re.compile(r"form-\d+ is confirmed")  # one of them perhaps twice
            await until(lambda: len(set(told.findall(first.said + second.said))) == LEADS)
            assert await second.stopped() == 0
        captures = [it for it in sandbox.books.requests if it["operation"] == "capture"]
        assert (len(captures), len(sandbox.books.leads)) == (LEADS, LEADS)
        assert sandbox.books.over_limit == 0
    assert own_valkey.command("XLEN", "leadsquared") == b":0\r\n"

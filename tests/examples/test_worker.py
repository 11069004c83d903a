"""docs/examples/worker.py: a real process, before a LeadSquared on this machine."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from leadsquared_async import Outbox
from leadsquared_async.sandbox import Faults, Sandbox
from leadsquared_async.testing import client_of
from tests.cli.commands import bodies
from tests.examples.programs import DOWN, EXAMPLES, PLANTED, running, until

pytestmark = pytest.mark.slow

WORKER = ("worker", "inbox")


def address(number: int) -> str:
    return f"{PLANTED}-{number}@example.com"


def drop(folder: Path, name: str, numbers: Iterable[int], last: str = "") -> None:
    """Have a whole file appear, as those who fill the folder do."""
    inbox = folder / "inbox"
    inbox.mkdir(exist_ok=True)
    lines = [json.dumps({"EmailAddress": address(number)}) + "\n" for number in numbers]
    (inbox / "part").write_text("".join(lines) + last)
    (inbox / "part").rename(inbox / name)


def captured(sandbox: Sandbox) -> list[str]:
    return sorted(body["EmailAddress"] for body in bodies(sandbox))


async def test_a_worker_that_stops_in_an_outage_keeps_the_rest_for_the_next(tmp_path: Path) -> None:
    """SIGTERM: nothing is pulled any more, what is left is said; the next run delivers it, each lead once."""
    drop(tmp_path, "monday.jsonl", range(30))
    async with Sandbox(limit=None, faults=DOWN) as sandbox:
        async with running(*WORKER, sandbox=sandbox, folder=tmp_path) as program:
            await program.says("monday.jsonl: 30 new leads")
            await until(lambda: sandbox.books.by_outcome.get("503", 0) > 0)
            assert await program.stopped() == 0
            assert "left: 30 to send, 0 to follow" in program.said
        drop(tmp_path, "tuesday.jsonl", range(30, 40))  # while it is down
        sandbox.books.faults = Faults()
        async with running(*WORKER, sandbox=sandbox, folder=tmp_path) as program:
            await until(lambda: program.said.count(" is lead ") == 40)
            assert await program.stopped() == 0
            assert "left: 0 to send, 0 to follow" in program.said
        assert captured(sandbox) == sorted(address(number) for number in range(40))
        assert len(sandbox.books.leads) == 40
    assert list((tmp_path / "inbox").iterdir()) == []


async def test_a_file_that_comes_again_adds_nothing(tmp_path: Path) -> None:
    """A worker that was killed before it deleted a file reads it again, and sends none of its leads again."""
    drop(tmp_path, "monday.jsonl", range(5))
    async with Sandbox(limit=None) as sandbox:
        async with running(*WORKER, sandbox=sandbox, folder=tmp_path) as program:
            await until(lambda: program.said.count(" is lead ") == 5)
            program.kill()
        drop(tmp_path, "monday.jsonl", range(5))
        async with running(*WORKER, sandbox=sandbox, folder=tmp_path) as program:
            await program.says("monday.jsonl: 0 new leads")
            assert await program.stopped() == 0
        assert captured(sandbox) == [address(number) for number in range(5)]


async def test_a_line_that_is_no_lead_sets_its_file_aside_and_holds_up_no_other(tmp_path: Path) -> None:
    """The line is named, those before it are sent, and the mended file adds the rest."""
    drop(tmp_path, "a.jsonl", range(2), last=f'"{PLANTED}\n')
    drop(tmp_path, "b.jsonl", (), last=f'{{"Phone": ["{PLANTED}"]}}\n')
    drop(tmp_path, "c.jsonl", (), last=f'["{PLANTED}"]\n')
    drop(tmp_path, "d.jsonl", [7])
    async with (
        Sandbox(limit=None) as sandbox,
        running(*WORKER, sandbox=sandbox, folder=tmp_path) as program,
    ):
        await program.says("d.jsonl: 1 new leads")
        assert "a.jsonl is set aside: line 3 is not JSON" in program.said
        assert "b.jsonl is set aside: b.jsonl:1: lead 0, counted from 0: " in program.said
        assert sorted(path.name for path in (tmp_path / "inbox").iterdir()) == [
            *("a.refused", "b.refused", "c.refused"),
        ]
        (tmp_path / "inbox" / "a.refused").unlink()
        drop(tmp_path, "a.jsonl", range(3))
        await program.says("a.jsonl: 1 new leads")
        await until(lambda: len(sandbox.books.leads) == 4)
        assert await program.stopped() == 0
        assert captured(sandbox) == [address(number) for number in (0, 1, 2, 7)]


async def test_what_is_rejected_is_told_by_its_row(tmp_path: Path) -> None:
    """A lead that LeadSquared refuses is named by file and line, and nothing of it is shown."""
    drop(tmp_path, "monday.jsonl", range(2))
    async with (
        Sandbox(limit=None, faults=Faults(script=("500-mx",))) as sandbox,
        running(*WORKER, sandbox=sandbox, folder=tmp_path) as program,
    ):
        await program.says(" is rejected")
        await program.says(" is lead ")
        assert await program.stopped() == 0
        said = sorted(re.findall(r"monday\.jsonl:\d is (?:rejected|lead)", program.said))
        assert said in (
            ["monday.jsonl:1 is lead", "monday.jsonl:2 is rejected"],
            ["monday.jsonl:1 is rejected", "monday.jsonl:2 is lead"],
        )


async def test_it_can_be_tested_without_a_process(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test that the page shows: one look into a folder, through an outbox, into the sandbox's books."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    worker = importlib.import_module("worker")
    drop(tmp_path, "monday.jsonl", [1])
    async with client_of(sandbox) as lsq, Outbox(tmp_path / "leads.db", lsq) as outbox:
        await worker.take(tmp_path / "inbox", outbox)
        await outbox.drained()
    assert [lead.attributes["EmailAddress"] for lead in sandbox.books.leads.values()] == [address(1)]

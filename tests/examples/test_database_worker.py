"""docs/examples/database_worker.py: a real process with a database, before a LeadSquared on this machine."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from leadsquared_async.sandbox import Faults, Sandbox
from tests.examples.programs import EXAMPLES, PLANTED, running

pytestmark = pytest.mark.slow

WORKER = ("database_worker", "crm.db")
PROGRAM = (EXAMPLES / "database_worker.py").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With 20 people in the table that the program's first lines make."""
    (create,) = [line.split("'")[1] for line in PROGRAM.splitlines() if "CREATE TABLE" in line]
    with closing(sqlite3.connect(tmp_path / "crm.db")) as db, db:
        db.execute(create)
        people = [(f"{PLANTED}{number}", f"{PLANTED}-{number}@example.com") for number in range(20)]
        db.executemany("INSERT INTO people (name, email) VALUES (?, ?)", people)
    return tmp_path


def people(folder: Path) -> list[tuple[str | None, str | None]]:
    with closing(sqlite3.connect(folder / "crm.db")) as db:
        return db.execute("SELECT lead_id, problem FROM people ORDER BY id").fetchall()


def test_it_is_short() -> None:
    """A reader sees all of it at once."""
    assert PROGRAM.count("\n") <= 42


async def test_each_outcome_is_stored_and_progress_is_shown(folder: Path) -> None:
    """A lead that LeadSquared rejects has its reason, and the others their ids; another run sends nothing."""
    faults = Faults(script=("ok", "200-mx", "lost+taken"), operations=("capture",))
    async with Sandbox(limit=None, faults=faults) as sandbox:
        async with running(*WORKER, sandbox=sandbox, folder=folder) as program:
            assert await program.ended() == 0
            assert "20 of 20" in program.said
        outcomes = people(folder)
        assert {lead for lead, _ in outcomes if lead} == set(sandbox.books.leads)
        (problem,) = [problem for _, problem in outcomes if problem]
        assert "MXDuplicateEntryException" in problem
        assert len(sandbox.books.leads) == 19
        calls = len(sandbox.books.arrivals)
        async with running(*WORKER, sandbox=sandbox, folder=folder) as program:
            assert await program.ended() == 0
        assert len(sandbox.books.arrivals) == calls


async def test_what_may_be_sent_again_is_sent_in_the_next_round(folder: Path) -> None:
    """An attempt that fails six times is not the end; after revoked keys the next run sends all."""
    async with Sandbox(limit=None, faults=Faults(probabilities={"401": 1.0})) as sandbox:
        async with running(*WORKER, sandbox=sandbox, folder=folder) as program:
            assert await program.ended() == 1
            assert "stopped: " in program.said
            assert "Traceback" not in program.said
        assert people(folder) == [(None, None)] * 20
        sandbox.faults = Faults()
        async with running(*WORKER, sandbox=sandbox, folder=folder) as program:
            assert await program.ended() == 0
        assert all(lead and not problem for lead, problem in people(folder))

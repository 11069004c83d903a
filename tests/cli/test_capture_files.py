"""`leadsquared capture`: the files of --out and --rejects."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from leadsquared_async import ItemState
from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import (
    PLANTED,
    capture,
    names_in,
    rows_of,
    write_leads,
)

ATTRIBUTES = ("FirstName", "EmailAddress", "Phone", "Source")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_the_outcomes_of_another_input_are_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    """--out never replaces the outcomes of another input: the new file gets a number."""
    first, second, out = tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "out.csv"
    write_leads(first, range(3))
    write_leads(second, range(3, 5))
    for _ in range(2):
        await capture(sandbox, first, "--out", out)
        done = await capture(sandbox, second, "--out", out, "--json")
        assert (len(rows_of(out)), len(rows_of(tmp_path / "out-2.csv"))) == (3, 2)
        assert done.json["out"] == str(tmp_path / "out-2.csv")
        assert "out-2.csv, because the file named holds those of another input" in done.err


async def test_rejected_rows_are_counted_by_kind_and_written_to_rejects(tmp_path: Path) -> None:
    """Rejected rows are exit 1; --rejects has them as read, with LeadSquared's reason."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        file, rejects = tmp_path / "leads.csv", tmp_path / "rejects.csv"
        with file.open("w") as text:
            text.write(f"EmailAddress,mx_Foo\n{PLANTED}@example.com,\n{PLANTED}2@example.com,x\n")
        done = await capture(sandbox, file, "--rejects", rejects, "--out", tmp_path / "out.csv", "--json")
        assert done.code == 1
        assert done.json["rejected_by_kind"] == {"MXUnknownAttributeException (mx_Foo)": 1}
        assert done.json["confirmed"] == 1
        (row,) = rows_of(rejects)
        assert row["EmailAddress"] == f"{PLANTED}2@example.com"
        assert row["Reason (leadsquared)"].startswith("MXUnknownAttributeException")
        assert [row["Outcome"] for row in rows_of(tmp_path / "out.csv")] == ["confirmed", "rejected"]

        again = await capture(sandbox, file, "--rejects", rejects)
        assert again.code == 1
        assert "nothing was sent in this run" in again.out
        assert "leadsquared outbox requeue" in again.err
        assert "leadsquared outbox drain" in again.err
        assert rows_of(rejects) == [row]  # whole again, also of what ended in the run before

        rejects.write_text(rejects.read_text().replace('"x"', '""'))
        done = await capture(sandbox, rejects, "--json")
        assert (done.code, done.json["confirmed"]) == (0, 1)
        assert len(sandbox.books.leads) == 2


async def test_an_edited_file_of_rejects_is_not_overwritten(tmp_path: Path) -> None:
    """An edited file of rejects is kept; the new one gets a number."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        file = write_leads(tmp_path / "leads.csv", [1], mx_Foo="x")
        rejects = tmp_path / "rejects.csv"
        await capture(sandbox, file, "--rejects", rejects)
        edited = rejects.read_text().replace('"x"', '"edited"')
        rejects.write_text(edited)
        done = await capture(sandbox, file, "--rejects", rejects, "--json")
        assert rejects.read_text() == edited
        assert done.json["rejects"] == str(tmp_path / "rejects-2.csv")
        assert rows_of(tmp_path / "rejects-2.csv")[0]["mx_Foo"] == "x"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--skip-rows", "1"), "line 1: this is a file of rejects: leave out --skip-rows"),
        (("--sheet", "Leads"), "--sheet is for workbooks, but the file is csv: leave it out"),
    ],
)
async def test_options_of_the_input_are_refused_for_its_rejects(
    options: tuple[str, str], said: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A file of rejects has its headings on line 1; the run that wrote it names the options to leave out."""
    file, rejects = tmp_path / "leads.csv", tmp_path / "rejects.csv"
    file.write_text(
        f"Leads of June\nEmailAddress,Phone\n{PLANTED}1@example.com,9.98E+09\n{PLANTED}2@example.com,1E9\n"
    )
    done = await capture(sandbox, file, "--skip-rows", "1", "--rejects", rejects)
    assert done.code == 1
    assert f"then, with the same options except --skip-rows: leadsquared capture {rejects}" in done.err
    done = await capture(sandbox, rejects, *options)
    assert (done.code, sandbox.books.accepted) == (2, 0)
    assert said in done.err


async def test_rows_that_cannot_be_sent_do_not_stop_the_others(sandbox: Sandbox, tmp_path: Path) -> None:
    """An invalid row is reported with its line, is in both files, and makes exit 1."""
    file, out, rejects = (tmp_path / name for name in ("leads.csv", "out.csv", "rejects.csv"))
    file.write_text(
        f"EmailAddress,Phone\n{PLANTED}1@example.com,9.98E+09\n{PLANTED}2@example.com,9988776655\n,\n"
    )
    done = await capture(sandbox, file, "--no-confirm", "--out", out, "--rejects", rejects, "--json")
    assert (done.code, done.json["refused"], done.json["accepted"], done.json["blank"]) == (1, 1, 1, 1)
    assert re.search(r"Phone +refused +1 +2 +a spreadsheet shortened the number", done.err)
    assert [(row["Outcome"], row["Line"]) for row in rows_of(out)] == [("refused", "2"), ("accepted", "3")]
    (row,) = rows_of(rejects)
    assert row["Phone"] == "9.98E+09"
    assert "spreadsheet" in row["Reason (leadsquared)"]


async def test_what_a_run_writes_is_for_its_owner_only(tmp_path: Path) -> None:
    """Outbox, --out and --rejects have mode 0600, and no other file is left."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        file = write_leads(tmp_path / "leads.csv", [1], mx_Foo="x")
        await capture(sandbox, file, "--out", tmp_path / "out.csv", "--rejects", tmp_path / "rejects.csv")
    made = {name: mode(tmp_path / name) for name in names_in(tmp_path) if name != file.name}
    assert made == dict.fromkeys(
        [
            ".rejects.csv.sha256",  # shows whether somebody has edited it
            "leads.csv.sandbox.outbox",
            "leads.csv.sandbox.outbox.lock",
            "out.csv",
            "rejects.csv",
        ],
        0o600,
    )


async def test_unknown_rows_are_reported_and_not_in_the_rejects(sandbox: Sandbox, tmp_path: Path) -> None:
    """An unknown lead is exit 1; it is in --out and not in the rejects."""
    sandbox.books.faults = Faults(script=("lost+taken",), operations=("capture",))
    file = tmp_path / "leads.csv"
    file.write_text(f"FirstName\n{PLANTED}\n")  # nothing that LeadSquared could match it by
    rejects = tmp_path / "rejects.csv"
    done = await capture(
        sandbox, file, "--no-confirm", "--json", "--rejects", rejects, "--out", tmp_path / "out.csv"
    )
    assert (done.code, done.json["unknown"]) == (1, 1)
    assert not rejects.exists()
    assert rows_of(tmp_path / "out.csv")[0]["Outcome"] == ItemState.UNKNOWN

"""`leadsquared capture`: its estimate, its questions, and the rows of earlier runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadsquared_async import Outbox
from leadsquared_async.cli import file_run, run_options
from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import (
    PLANTED,
    capture,
    environment,
    names_in,
    numbers_sent,
    run,
    states,
    write_leads,
)


async def test_a_dry_run_checks_and_estimates_and_leaves_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """--dry-run sends nothing and creates no file; it shows calls, times and LeadSquared's queue."""
    file = write_leads(tmp_path / "leads.csv", range(100))
    done = await run("capture", file, "--dry-run", "--json", "--rate", "25/5", env=environment(sandbox))
    assert done.code == 0
    assert done.json["to_send"] == 100
    assert done.json["estimate"]["calls"] == 235
    assert done.json["estimate"]["submit"] == pytest.approx(20.4)
    assert done.json["estimate"]["queue"] == 0
    assert names_in(tmp_path) == ["leads.csv"]
    assert [arrival.operation for arrival in sandbox.books.arrivals] == ["metrics"]


async def test_a_dry_run_counts_refusals_and_needs_no_answer(sandbox: Sandbox, tmp_path: Path) -> None:
    """A dry run checks a file without LeadSquared; invalid rows are exit 1."""
    file = tmp_path / "leads.csv"
    file.write_text(f"EmailAddress,Phone\n{PLANTED}@example.com,9.98E+09\n{PLANTED}2@example.com,\n")
    done = await capture(sandbox, file, "--dry-run", "--json", LEADSQUARED_HOST="http://127.0.0.1:9")
    assert (done.code, done.json["refused"], done.json["to_send"]) == (1, 1, 1)
    assert "the length of LeadSquared's queue is unknown" in done.err
    assert "unknown" in done.err


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"LEADSQUARED_API_KEY": ""}, "LEADSQUARED_API_KEY"),
        (
            {"LEADSQUARED_HOST": "", "LEADSQUARED_REGION": "mars"},
            "unknown region in LEADSQUARED_REGION",
        ),
        ({"LEADSQUARED_HOST": "http://example.com"}, "https://"),
    ],
)
async def test_a_dry_run_in_a_broken_environment_is_exit_2(
    broken: dict[str, str], said: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A dry run raises the environment errors that a run would raise."""
    done = await capture(sandbox, write_leads(tmp_path / "leads.csv", [1]), "--dry-run", **broken)
    assert done.code == 2
    assert said in done.err


async def test_a_dry_run_knows_what_an_earlier_run_has_done(sandbox: Sandbox, tmp_path: Path) -> None:
    """Delivered rows are not in the estimate, and the outbox does not change."""
    file = write_leads(tmp_path / "leads.csv", range(4))
    await capture(sandbox, file, "--no-confirm")
    write_leads(file, range(6))
    done = await capture(sandbox, file, "--no-confirm", "--dry-run", "--json")
    assert (done.json["to_send"], done.json["ended_before"]) == (2, 4)
    assert await states(tmp_path / "leads.csv.sandbox.outbox") == {"accepted": 4}


async def test_a_long_run_says_what_it_will_cost(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long run shows its estimate first; without a terminal it needs --yes."""
    monkeypatch.setattr(file_run, "MANY_ROWS", 3)
    short = await capture(sandbox, write_leads(tmp_path / "a.csv", range(3)), "--no-confirm")
    assert (short.code, "in all" in short.err) == (0, False)
    file = write_leads(tmp_path / "b.csv", range(4))
    refused = await capture(sandbox, file, "--no-confirm")
    assert (refused.code, sandbox.books.accepted) == (2, 3)
    assert "4 calls at 1000/1 s: 4 to submit" in refused.err
    assert "more than 3 rows and there is no terminal to confirm it: pass --yes" in refused.err
    assert not (tmp_path / "b.csv.sandbox.outbox").exists()
    long = await capture(sandbox, file, "--no-confirm", "--yes")
    assert (long.code, sandbox.books.accepted) == (0, 7)


async def test_the_first_run_to_an_account_takes_a_yes(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run to an account needs confirmation; the second, and a sandbox, do not."""
    file = write_leads(tmp_path / "a.csv", range(2))
    monkeypatch.setattr(run_options, "LOOPBACK", frozenset())
    refused = await capture(sandbox, file, "--no-confirm")
    assert (refused.code, sandbox.books.accepted) == (2, 0)
    assert "the first run of this file to this account" in refused.err
    assert (await capture(sandbox, file, "--no-confirm", "--yes")).code == 0
    write_leads(file, range(3))
    assert (await capture(sandbox, file, "--no-confirm")).code == 0
    assert sandbox.books.accepted == 3


async def test_rows_of_an_earlier_run_are_sent_or_taken_out(sandbox: Sandbox, tmp_path: Path) -> None:
    """Pending rows that the file no longer has are reported, and --left-over drop discards them."""
    wrong = {"LEADSQUARED_API_KEY": "wrong-key-of-a-test"}
    for option, sent in (("drop", [1, 2]), ("send", [1, 2, 7])):
        file = write_leads(tmp_path / f"{option}.csv", [1, 7])
        await capture(sandbox, file, "--no-confirm", **wrong)
        write_leads(file, [1, 2])
        sandbox.books.reset()
        done = await capture(sandbox, file, "--no-confirm", "--left-over", option, "--json")
        assert done.code == 0
        assert "1 row of an earlier run" in done.err
        assert (done.json["left_over"], done.json["taken_out"]) == (1, int(option == "drop"))
        assert sorted(numbers_sent(sandbox)) == sent


async def left_over_outbox(sandbox: Sandbox, tmp_path: Path) -> Path:
    """A file with one row, whose outbox holds two left over, and one that a program has put."""
    file = write_leads(tmp_path / "leads.csv", [7, 8])
    await capture(sandbox, file, LEADSQUARED_API_KEY="wrong-key-of-a-test")
    async with Outbox(tmp_path / "leads.csv.sandbox.outbox") as outbox:
        await outbox.put({"EmailAddress": f"{PLANTED}-9@example.com"})
    return write_leads(file, [1])


@pytest.mark.parametrize(("option", "left_over"), [("send", 2), ("drop", 0)])
async def test_what_the_outbox_holds_is_part_of_the_cost(
    option: str, left_over: int, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The estimate includes pending rows of the outbox, also in a dry run."""
    file = await left_over_outbox(sandbox, tmp_path)
    command = (file, "--no-confirm", "--left-over", option, "--json")
    done = await capture(sandbox, *command, "--dry-run")
    assert (done.json["to_send"], done.json["left_over"], done.json["others_pending"]) == (1, 2, 1)
    assert done.json["estimate"]["submissions"] == 2 + left_over
    monkeypatch.setattr(file_run, "MANY_ROWS", 1 + left_over)
    done = await capture(sandbox, *command, "--yes")
    assert f"{2 + left_over} calls at" in done.err
    assert sandbox.books.accepted == 2 + left_over


async def test_what_is_still_to_be_sent_is_part_of_the_summary(sandbox: Sandbox, tmp_path: Path) -> None:
    """The summary counts all pending rows of the outbox, also those that the input lacks."""
    file = await left_over_outbox(sandbox, tmp_path)
    wrong = {"LEADSQUARED_API_KEY": "wrong-key-of-a-test"}
    done = await capture(sandbox, file, **wrong)
    assert "2 rows of an earlier run: 0 taken out" in done.err
    assert "still to be sent from the outbox: 4 rows" in done.err
    done = await capture(sandbox, file, "--json", "--left-over", "drop", **wrong)
    found = {name: done.json[name] for name in ("pending", "left_over", "taken_out", "still_to_be_sent")}
    assert found == {"pending": 1, "left_over": 2, "taken_out": 2, "still_to_be_sent": 2}

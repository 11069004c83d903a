"""`leadsquared capture`: every row of a file ends in a state that can be read, and none goes out twice."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import stat
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import ItemState, Outbox
from leadsquared_async.cli import delivering, file_run, progress, run_options
from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import (
    PLANTED,
    bodies,
    capture,
    environment,
    names_in,
    numbers_sent,
    rows_of,
    run,
    until,
    write_leads,
)

ATTRIBUTES = ("FirstName", "EmailAddress", "Phone", "Source")


async def states(path: Path) -> dict[str, int]:
    async with Outbox(path) as outbox:
        return {state.value: count for state, count in (await outbox.snapshot()).counts.items() if count}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_every_row_is_sent_confirmed_and_reported(sandbox: Sandbox, tmp_path: Path) -> None:
    """All delivered is exit 0, and --out has a line for each row with its RequestID and lead id."""
    file = write_leads(tmp_path / "leads.csv", range(5))
    done = await capture(sandbox, file, "--out", tmp_path / "out.csv", "--json")
    assert done.code == 0, done.err
    assert done.json["confirmed"] == done.json["rows"] == 5
    assert sorted(numbers_sent(sandbox)) == [0, 1, 2, 3, 4]
    rows = rows_of(tmp_path / "out.csv")
    assert [row["Line"] for row in rows] == ["2", "3", "4", "5", "6"]
    assert {row["LeadID"] for row in rows} == set(sandbox.books.leads)
    assert {row["RequestID"] for row in rows} == {task["request_id"] for task in sandbox.books.requests}
    assert {row["Outcome"] for row in rows} == {"confirmed"}


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


async def test_the_same_command_again_sends_nothing_and_reports_all(sandbox: Sandbox, tmp_path: Path) -> None:
    """A second run recognises delivered rows, makes no call, and writes --out in full."""
    file, out = write_leads(tmp_path / "leads.csv", range(4)), tmp_path / "out.csv"
    await capture(sandbox, file, "--no-confirm", "--out", out)
    first, calls = out.read_text(), len(sandbox.books.arrivals)
    done = await capture(sandbox, file, "--no-confirm", "--out", out, "--json")
    assert (done.code, done.json["delivered_before"]) == (0, 4)
    assert len(sandbox.books.arrivals) == calls
    assert out.read_text() == first


async def test_an_edited_file_sends_what_is_new_or_changed(sandbox: Sandbox, tmp_path: Path) -> None:
    """Content identifies a row, not its position: one changed and one new row are two calls."""
    file = write_leads(tmp_path / "leads.csv", range(5))
    await capture(sandbox, file, "--no-confirm")
    write_leads(file, [9, 4, 3, 2, 1, 8])
    done = await capture(sandbox, file, "--no-confirm", "--json")
    assert (done.json["rows"], done.json["delivered_before"]) == (6, 4)
    assert sorted(numbers_sent(sandbox)) == [0, 1, 2, 3, 4, 8, 9]


async def test_a_row_that_stands_twice_is_sent_once(sandbox: Sandbox, tmp_path: Path) -> None:
    """Two identical rows are one lead, and both have its RequestID."""
    file = write_leads(tmp_path / "leads.csv", [1, 2, 1])
    done = await capture(sandbox, file, "--no-confirm", "--out", tmp_path / "out.csv")
    assert done.code == 0
    assert sorted(numbers_sent(sandbox)) == [1, 2]
    first, _, third = rows_of(tmp_path / "out.csv")
    assert first["RequestID"] == third["RequestID"]
    assert "3 rows" in done.out
    assert "1 the same as another" in done.out
    done = await capture(sandbox, write_leads(tmp_path / "other.csv", [1, 1]), "--dry-run", "--json")
    assert (done.json["rows"], done.json["to_send"], done.json["repeated"]) == (2, 1, 1)


async def test_what_was_accepted_without_confirmation_is_followed_by_wait(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """After --no-confirm, the same command says how to get the outcomes."""
    file = write_leads(tmp_path / "leads.csv", range(3))
    await capture(sandbox, file, "--no-confirm")
    done = await capture(sandbox, file, "--json")
    assert (done.code, done.json["accepted"], sandbox.books.accepted) == (0, 3, 3)
    assert "leadsquared wait --outbox" in done.err
    outbox = tmp_path / "leads.csv.sandbox.outbox"
    done = await run("wait", "--outbox", outbox, "--json", env=environment(sandbox))
    assert done.code == 0
    assert {request["state"] for request in done.json["requests"]} == {"succeeded"}


async def test_rejected_rows_are_told_by_kind_and_written_to_be_mended(tmp_path: Path) -> None:
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

        mended = rejects.read_text().replace('"x"', '""')
        rejects.write_text(mended)
        done = await capture(sandbox, rejects, "--json")
        assert (done.code, done.json["confirmed"]) == (0, 1)
        assert len(sandbox.books.leads) == 2


async def test_a_mended_file_of_rejects_is_not_overwritten(tmp_path: Path) -> None:
    """An edited file of rejects is kept; the new one gets a number."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        file = write_leads(tmp_path / "leads.csv", [1], mx_Foo="x")
        rejects = tmp_path / "rejects.csv"
        await capture(sandbox, file, "--rejects", rejects)
        mended = rejects.read_text().replace('"x"', '"mended"')
        rejects.write_text(mended)
        done = await capture(sandbox, file, "--rejects", rejects, "--json")
        assert rejects.read_text() == mended
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
    """A file of rejects is a plain CSV: --skip-rows would take a row for its headings."""
    file, rejects = tmp_path / "leads.csv", tmp_path / "rejects.csv"
    file.write_text(
        f"Leads of June\nEmailAddress,Phone\n{PLANTED}1@example.com,9.98E+09\n{PLANTED}2@example.com,1E9\n"
    )
    assert (await capture(sandbox, file, "--skip-rows", "1", "--rejects", rejects)).code == 1
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


async def test_a_file_that_breaks_in_the_middle_sends_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """An unreadable line ends with exit 2 before anything is sent or an outbox is created."""
    file = write_leads(tmp_path / "leads.csv", range(700))
    with file.open("a") as text:
        text.write('"never closed\n')
    done = await capture(sandbox, file)
    assert done.code == 2
    assert "line 702" in done.err
    assert not sandbox.books.arrivals
    assert names_in(tmp_path) == ["leads.csv"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.csv"], "No such file"),
        (["."], "directory"),
        (["leads.csv", "--map", "x"], "NAME=VALUE"),
        (["leads.csv", "--map", "nobody=Phone"], "no column has that heading"),
        (["leads.csv", "--rate", "fast"], "calls/seconds"),
        (["leads.csv", "--stop-at", "25:00"], "hours:minutes"),
        (["leads.csv", "--date-format", "%Y-%m-%d"], "--date"),
        (["leads.csv", "--out-columns", "FirstName"], "--out-columns needs --out"),
        (
            ["leads.csv", "--out", "o.csv", "--out-columns", "FirstName,Nobody"],
            '--out-columns "Nobody": no column',
        ),
        (["leads.csv", "--phone", "XX"], "--phone"),
        (["leads.csv", "--value", "Source"], "--value must be"),
        (["leads.csv", "--sheet", "A"], "--sheet is for workbooks"),
        (["leads.csv", "--update-behavior", "Never"], "DoNotUpdate"),
        (["leads.csv", "--format", "xml"], "'xml' is not one of"),
        (["leads.csv", "--host", "http://example.com"], "https://"),
        (["leads.csv", "--out", "leads.csv"], "input or outbox"),
        (["leads.csv", "--rejects", "same.csv", "--out", "same.csv"], "same file"),
        (["leads.csv", "--out", "other.txt"], "not written with --out"),
        (["leads.csv", "--out", "nowhere/out.csv"], "No such file"),
        (["leads.csv", "--outbox", "nowhere/x.outbox"], "nowhere: cannot be written"),
    ],
)
async def test_bad_usage_is_exit_2_before_anything_is_sent(
    arguments: list[str], said: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invalid options are reported, and nothing is sent or created."""
    monkeypatch.chdir(tmp_path)
    write_leads(tmp_path / "leads.csv", [1])
    (tmp_path / "other.txt").write_text("mine")
    done = await capture(sandbox, *arguments)
    assert done.code == 2
    assert said in " ".join(done.err.replace("│", " ").split())
    assert not sandbox.books.arrivals
    assert names_in(tmp_path) == ["leads.csv", "other.txt"]


async def test_without_keys_nothing_begins(tmp_path: Path) -> None:
    """A missing key is exit 2; the error names its variable, and no outbox is created."""
    done = await run("capture", write_leads(tmp_path / "leads.csv", [1]), "--region", "in21")
    assert done.code == 2
    assert "LEADSQUARED_ACCESS_KEY" in done.err
    assert names_in(tmp_path) == ["leads.csv"]


@pytest.mark.parametrize("key", ["SECRET", "API"])
async def test_wrong_keys_end_the_run_at_once(key: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """An account-level error of the first calls is exit 4 within seconds; every row stays pending."""
    file = write_leads(tmp_path / "leads.csv", range(40))
    began = asyncio.get_running_loop().time()
    done = await capture(sandbox, file, "--json", **{f"LEADSQUARED_{key}_KEY": "wrong-key-of-a-test"})
    assert asyncio.get_running_loop().time() - began < 5
    assert (done.code, done.json["pending"]) == (4, 40)
    assert "account rejects all calls" in done.err
    assert "leadsquared doctor" in done.err
    assert "wrong-key-of-a-test" not in done.out + done.err
    assert await states(tmp_path / "leads.csv.sandbox.outbox") == {"pending": 40}
    done = await capture(sandbox, file, "--no-confirm", "--json")
    assert (done.code, done.json["accepted"], sandbox.books.repeated) == (0, 40, 0)


async def test_an_account_that_fails_later_is_given_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota used up during a run ends it with 4 after a while without a success."""
    monkeypatch.setattr(delivering, "PATIENCE", 0.5)
    async with Sandbox(limit=None, faults=Faults(script=("ok",) * 10 + ("quota",) * 1000)) as sandbox:
        file = write_leads(tmp_path / "leads.csv", range(20))
        done = await capture(sandbox, file, "--no-confirm", "--json")
        assert (done.code, done.json["accepted"], done.json["pending"]) == (4, 10, 10)
        assert "used up" in done.err


@pytest.mark.slow
async def test_a_fault_of_the_server_is_shown_and_waited_out(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage of LeadSquared is reported, and the run resumes automatically: exit 0."""
    monkeypatch.setattr(progress, "WORTH_A_LINE", 0.0)
    sandbox.books.faults = Faults(probabilities={"503": 1.0})
    file = write_leads(tmp_path / "leads.csv", range(3))
    running = asyncio.create_task(capture(sandbox, file, "--no-confirm"))
    await until(lambda: len(sandbox.books.arrivals) >= 10)
    sandbox.books.faults = Faults()
    done = await running
    assert done.code == 0
    assert "all rows are held, and one is retried periodically" in done.err


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


async def test_standard_input_goes_through_an_outbox_as_well(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-` reads standard input; the outbox is named, and the same input again sends nothing."""
    monkeypatch.chdir(tmp_path)
    lines = "".join(
        json.dumps({"EmailAddress": f"{PLANTED}-{number}@example.com"}) + "\n" for number in range(3)
    ).encode()
    done = await capture(sandbox, "-", "--no-confirm", "--json", stdin=lines)
    assert (done.code, done.json["accepted"], done.json["input"]) == (0, 3, "leads-from-stdin")
    assert "leads-from-stdin.sandbox.outbox" in done.err
    done = await capture(sandbox, "-", "--no-confirm", "--json", stdin=lines)
    assert (done.code, done.json["delivered_before"], sandbox.books.accepted) == (0, 3, 3)
    assert names_in(tmp_path) == [
        "leads-from-stdin.sandbox.outbox",
        "leads-from-stdin.sandbox.outbox.lock",
    ]


async def test_mappings_and_constants_end_in_the_body(sandbox: Sandbox, tmp_path: Path) -> None:
    """--map, --set, --ignore, --date, --verbatim, --search-by and --update-behavior decide the request."""
    file = tmp_path / "leads.csv"
    file.write_text(
        f"E-mail;Signed up;Code;Junk\n{PLANTED}-7@example.com;29/02/2024 13:30;12E+3;x\n", encoding="utf-16"
    )
    done = await capture(
        sandbox,
        file,
        *("--map", "E-mail=EmailAddress", "--map", "Signed up=mx_Signed", "--map", "Code=mx_Code"),
        *("--set", "Source=Website", "--ignore", "Junk", "--verbatim", "Code", "--date", "Signed up"),
        *("--date-format", "%d/%m/%Y %H:%M", "--timezone", "Asia/Kolkata"),
        *("--search-by", "EmailAddress", "--update-behavior", "DoNotUpdate", "--no-confirm"),
    )
    assert done.code == 0, done.err
    assert bodies(sandbox) == [
        {
            "EmailAddress": f"{PLANTED}-7@example.com",
            "mx_Signed": "2024-02-29 08:00:00",
            "mx_Code": "12E+3",
            "Source": "Website",
            "SearchBy": "EmailAddress",
        }
    ]
    assert "leads.csv: csv, utf-16-le, delimiter ';'" in done.err


async def test_update_behavior_makes_another_row(sandbox: Sandbox, tmp_path: Path) -> None:
    """The options of a run that change what is sent are part of a row's key."""
    file = write_leads(tmp_path / "leads.csv", [1])
    await capture(sandbox, file, "--no-confirm")
    await capture(sandbox, file, "--no-confirm", "--update-behavior", "DoNotUpdate")
    assert sandbox.books.accepted == 2


async def test_formats_are_recognised_or_said(sandbox: Sandbox, tmp_path: Path) -> None:
    """A JSON array and a file with a given --delimiter give the same rows."""
    array = tmp_path / "leads.json"
    array.write_text(json.dumps([{"EmailAddress": f"{PLANTED}-1@example.com"}]))
    odd = tmp_path / "leads.txt"
    odd.write_bytes(f"EmailAddress~FirstName\n{PLANTED}-2@example.com~José\n".encode("cp1252"))
    assert (await capture(sandbox, array, "--no-confirm")).code == 0
    chosen = ("--delimiter", "~", "--encoding", "windows-1252", "--format", "csv")
    assert (await capture(sandbox, odd, "--no-confirm", *chosen)).code == 0
    assert sorted(numbers_sent(sandbox)) == [1, 2]
    assert bodies(sandbox)[1]["FirstName"] == "José"


def write_keyed(path: Path, **values: str) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Id", "EmailAddress", "mx_Foo"])
        writer.writerows([key, f"{PLANTED}-{key}@example.com", value] for key, value in values.items())
    return path


OWN_KEY = ("--key", "Id", "--ignore", "Id")


# Other keys, whatever a rule for numbers, digests or letters would make of them.
UNLIKE = [
    "AB12",
    "ab12",
    "12 34",
    "1234",
    "zz",
    "7a7a",
    "0x1f",
    "31",
    "007",
    "7",
    "1e3",
    "1000",
    "e\u0301",
    "\u00e9",
]


async def test_own_keys_are_the_same_only_if_they_are_spelt_the_same(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Keys are compared as exact text, in the count and in the run."""
    rows = "".join(f"{key},a{number}@example.com\n" for number, key in enumerate([*UNLIKE, UNLIKE[0]]))
    rows = rows.replace(f"a{len(UNLIKE)}@", "a0@")
    file = tmp_path / "leads.csv"
    file.write_text(f"Id,EmailAddress\n{rows}", encoding="utf-8")
    done = await capture(sandbox, file, *OWN_KEY, "--dry-run", "--json")
    assert (done.json["rows"], done.json["to_send"]) == (len(UNLIKE) + 1, len(UNLIKE))
    done = await capture(sandbox, file, *OWN_KEY, "--no-confirm", "--json")
    assert (done.code, sandbox.books.accepted) == (0, len(UNLIKE))


async def test_an_own_key_is_used_once(sandbox: Sandbox, tmp_path: Path) -> None:
    """A row with other values under a delivered key is refused, reported and not sent."""
    await capture(sandbox, write_keyed(tmp_path / "a.csv", k1="x", k2="x"), *OWN_KEY, "--no-confirm")
    write_keyed(tmp_path / "a.csv", k1="x", k2="other")
    done = await capture(
        sandbox, tmp_path / "a.csv", *OWN_KEY, "--no-confirm", "--json", "--out", tmp_path / "out.csv"
    )
    assert (done.code, done.json["refused"], done.json["delivered_before"]) == (1, 1, 1)
    assert sandbox.books.accepted == 2
    assert "key was used before" in rows_of(tmp_path / "out.csv")[1]["Reason"]
    assert re.search("refused +1 +3 +its key was used before", done.err)


async def test_a_rejected_row_is_mended_under_its_own_key(tmp_path: Path) -> None:
    """The key of a rejected row accepts other values."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        file = write_keyed(tmp_path / "a.csv", k1="", k2="x")
        assert (await capture(sandbox, file, *OWN_KEY)).code == 1
        write_keyed(file, k1="", k2="")
        done = await capture(sandbox, file, *OWN_KEY, "--json")
        assert (done.code, done.json["confirmed"]) == (0, 2)
        done = await capture(sandbox, file, *OWN_KEY, "--json")
        assert (done.code, done.json["delivered_before"], sandbox.books.accepted) == (0, 2, 3)


async def test_two_rows_with_one_key_are_the_first_of_them(sandbox: Sandbox, tmp_path: Path) -> None:
    """Of two leads with one key, the first is sent and the second refused, in each run."""
    file = tmp_path / "a.csv"
    file.write_text(f"Id,EmailAddress\nk,{PLANTED}-1@example.com\nk,{PLANTED}-2@example.com\n")
    for _ in range(2):
        done = await capture(sandbox, file, *OWN_KEY, "--no-confirm", "--json")
        assert (done.code, done.json["accepted"], done.json["refused"]) == (1, 1, 1)
        assert re.search("refused +1 +3 +the same key as line 2", done.err)
    assert numbers_sent(sandbox) == [1]


async def test_a_second_row_does_not_take_a_rejected_rows_key(tmp_path: Path) -> None:
    """A second row under a rejected row's key does not replace it while the file still has that row."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        file = tmp_path / "a.csv"
        file.write_text(f"Id,EmailAddress,mx_Foo\nk,{PLANTED}-1@example.com,x\nk,{PLANTED}-2@example.com,\n")
        for _ in range(2):
            done = await capture(sandbox, file, *OWN_KEY, "--json")
            assert (done.code, done.json["rejected"], done.json["refused"]) == (1, 1, 1)
        assert sandbox.books.accepted == 1


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


async def test_a_trial_says_nothing_about_the_real_account(tmp_path: Path) -> None:
    """Delivery to a sandbox is not delivery to an account, in one outbox or two."""
    file = write_leads(tmp_path / "leads.csv", [1])
    for _ in range(2):  # on another port each
        async with Sandbox(limit=None) as sandbox:
            done = await capture(sandbox, file, "--no-confirm", "--outbox", tmp_path / "one.outbox", "--json")
            assert (done.code, done.json["delivered_before"]) == (0, 0)
            assert sandbox.books.accepted == 1
    assert run_options.default_outbox(str(file), "https://asyncapi.leadsquared.com") == (
        tmp_path / "leads.csv.outbox"
    )


async def test_what_a_run_writes_is_for_its_owner_only(tmp_path: Path) -> None:
    """Outbox, --out and --rejects have mode 0600, and no other file is left."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        file = write_leads(tmp_path / "leads.csv", [1], mx_Foo="x")
        await capture(sandbox, file, "--out", tmp_path / "out.csv", "--rejects", tmp_path / "rejects.csv")
    made = {name: mode(tmp_path / name) for name in names_in(tmp_path) if name != file.name}
    assert made == dict.fromkeys(
        [
            ".rejects.csv.sha256",  # tells whether somebody has edited it
            "leads.csv.sandbox.outbox",
            "leads.csv.sandbox.outbox.lock",
            "out.csv",
            "rejects.csv",
        ],
        0o600,
    )


async def test_it_stops_by_the_clock(sandbox: Sandbox, tmp_path: Path) -> None:
    """--stop-at ends the run with exit 3, and the same command continues it."""
    file = write_leads(tmp_path / "leads.csv", range(20))
    moment = datetime.now() + timedelta(seconds=2)  # noqa: DTZ005 - the clock on the wall
    command = ("capture", file, "--no-confirm", "--json", "--rate", "5/1")
    done = await run(*command, "--stop-at", f"{moment:%H:%M:%S}", env=environment(sandbox))
    assert done.code == 3
    assert 0 < done.json["accepted"] < 20
    assert done.json["accepted"] + done.json["pending"] == 20
    assert "run the same command again" in done.err
    done = await capture(sandbox, file, "--no-confirm", "--json")
    assert (done.code, done.json["accepted"], sandbox.books.repeated) == (0, 20, 0)


async def test_what_is_unknown_is_told_and_not_to_be_mended(sandbox: Sandbox, tmp_path: Path) -> None:
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


async def test_an_empty_table_is_delivered(sandbox: Sandbox, tmp_path: Path) -> None:
    """A header without rows is exit 0."""
    file = write_leads(tmp_path / "leads.csv", [])
    done: Any = await capture(sandbox, file, "--json")
    assert (done.code, done.json["rows"]) == (0, 0)
    assert names_in(tmp_path) == ["leads.csv"]  # nothing to keep in an outbox


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


async def test_a_rate_is_refused_by_its_option(sandbox: Sandbox, tmp_path: Path) -> None:
    """The error for --rate names the option, not a variable."""
    done = await capture(sandbox, write_leads(tmp_path / "leads.csv", [1]), "--rate", "20")
    assert done.code == 2
    assert "--rate must be calls/seconds" in done.err
    assert "LEADSQUARED_RATE_LIMIT" not in done.err

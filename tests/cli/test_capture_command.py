"""`leadsquared capture`: every row of a file ends in a state that can be read, and none is sent twice."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async.cli import delivering, progress, run_options
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
    states,
    until,
    write_leads,
)


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


async def test_an_empty_table_is_delivered(sandbox: Sandbox, tmp_path: Path) -> None:
    """A header without rows is exit 0."""
    file = write_leads(tmp_path / "leads.csv", [])
    done: Any = await capture(sandbox, file, "--json")
    assert (done.code, done.json["rows"]) == (0, 0)
    assert names_in(tmp_path) == ["leads.csv"]  # nothing to keep in an outbox


async def test_a_rate_is_refused_by_its_option(sandbox: Sandbox, tmp_path: Path) -> None:
    """The error for --rate names the option, not a variable."""
    done = await capture(sandbox, write_leads(tmp_path / "leads.csv", [1]), "--rate", "20")
    assert done.code == 2
    assert "--rate must be calls/seconds" in done.err
    assert "LEADSQUARED_RATE_LIMIT" not in done.err

"""`leadsquared check`, and the check that `capture` does: what LeadSquared would refuse hours later."""

from __future__ import annotations

import csv
import inspect
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import ItemState, Outbox
from leadsquared_async.cli import file_run
from leadsquared_async.cli.app import app
from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import (
    PLANTED,
    Finished,
    bodies,
    capture,
    environment,
    numbers_sent,
    rows_of,
    run,
    with_fields,
    write_leads,
)

FULL = {"LastName": "Lee"}
"""What a new lead of the account has to have besides."""


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A realistic account."""
    async with Sandbox(limit=None, attributes="account", mandatory=("FirstName", "LastName")) as running:
        yield running


async def check(sandbox: Sandbox, *arguments: str | Path) -> Finished:
    return await run("check", *arguments, env=with_fields(sandbox))


async def checked_capture(sandbox: Sandbox, *arguments: str | Path) -> Finished:
    return await capture(sandbox, *arguments, LEADSQUARED_SYNC_HOST=sandbox.url)


def submitted(sandbox: Sandbox) -> int:
    return sum(arrival.operation == "capture" for arrival in sandbox.books.arrivals)


def some_flawed(path: Path) -> Path:
    """Four rows, of which those in the lines 3 and 5 do not fit."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["FirstName", "LastName", "EmailAddress", "Source"])
        for number, source in enumerate(("Website", "Facbook", "Referral", "Facbook")):
            writer.writerow([PLANTED, PLANTED, f"{PLANTED}-{number}@example.com", source])
    return path


# check


async def test_a_misspelt_column_of_a_thousand_rows_is_named(sandbox: Sandbox, tmp_path: Path) -> None:
    """A misspelt column is reported before sending, with the right name, the rows and the first lines."""
    file = write_leads(tmp_path / "leads.csv", range(1000), **FULL, mx_Citty=PLANTED)
    done = await check(sandbox, file, "--json")
    assert done.code == 1
    (problem,) = done.json["problems"]
    assert (problem["attribute"], problem["problem"]) == ("mx_Citty", "unknown")
    assert "did you mean mx_City?" in problem["message"]
    assert (problem["rows"], problem["lines"]) == (1000, [2, 3, 4, 5, 6])
    done = await check(sandbox, file)
    assert "1,000 rows against 60 lead fields, 1,000 would be refused" in done.out
    assert "did you mean mx_City?" in done.err
    done = await checked_capture(sandbox, file)
    assert done.code == 1
    assert "did you mean mx_City?" in done.err
    assert not submitted(sandbox)
    mapped = await check(sandbox, file, "--map", "mx_Citty=mx_City")
    assert (mapped.code, mapped.out) == (
        *(0, "leads.csv: 1,000 rows against 60 lead fields, none would be refused\n"),
    )


async def test_every_kind_of_problem_has_its_line(sandbox: Sandbox, tmp_path: Path) -> None:
    """Problems are listed by attribute and kind, the most frequent first."""
    file = tmp_path / "leads.csv"
    file.write_text(
        "FirstName,LastName,EmailAddress,Source,mx_Age,Phone\n"
        f"{PLANTED},Lee,{PLANTED}@example.com,Facbook,old,\n"
        f"{PLANTED},,{PLANTED}2,Website,30,9.98878E+09\n"
        f"{PLANTED},Lee,{PLANTED}3,Facbook,30,\n"
    )
    done = await check(sandbox, file, "--json")
    assert (done.json["rows"], done.json["flawed"]) == (3, 3)
    first = done.json["problems"][0]
    assert (first["attribute"], first["problem"], first["rows"], first["lines"]) == (
        *("Source", "no_option", 2, [2, 4]),
    )
    assert {(problem["attribute"], problem["problem"]) for problem in done.json["problems"]} == {
        ("Source", "no_option"),
        ("EmailAddress", "not_an_email"),
        ("mx_Age", "not_a_number"),
        ("Phone", "refused"),
    }
    done = await check(sandbox, file)
    assert re.search(r"Phone +refused +1 +3 +a spreadsheet shortened the number", done.err)


async def test_leads_that_are_there_lack_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """Mandatory fields are missing unless --partial is given."""
    file = write_leads(tmp_path / "leads.csv", range(3))
    done = await check(sandbox, file, "--json")
    assert [problem["problem"] for problem in done.json["problems"]] == ["missing"]
    assert (await check(sandbox, file, "--partial")).code == 0
    assert (await check(sandbox, file, "--search-by", "EmailAddress")).code == 0
    assert (await checked_capture(sandbox, file, "--partial", "--dry-run")).code == 0
    assert (await checked_capture(sandbox, file, "--dry-run")).code == 1


async def test_rejects_hold_the_rows_to_fix(sandbox: Sandbox, tmp_path: Path) -> None:
    """The rejects have the rows as read, with the reason last, and can be passed in again."""
    file, rejects = some_flawed(tmp_path / "leads.csv"), tmp_path / "rejects.csv"
    done = await check(sandbox, file, "--rejects", rejects, "--json")
    assert done.json["rejects"] == str(rejects)
    reasons = [row["Reason (leadsquared)"] for row in rows_of(rejects)]
    assert [reason.split(": ")[0] for reason in reasons] == ["Source", "Source"]
    rejects.write_text(rejects.read_text(encoding="utf-8-sig").replace('"Facbook"', '"Website"'))
    assert (await check(sandbox, rejects)).code == 0
    clean = tmp_path / "clean.csv"
    done = await check(sandbox, rejects, "--rejects", clean, "--json")
    assert (done.json["rejects"], clean.exists()) == (None, False)


async def test_the_reading_and_mapping_options_are_those_of_capture() -> None:
    """`check` and `capture` have the same options for reading and mapping."""
    commands = {each.callback.__name__: each.callback for each in app.registered_commands if each.callback}
    ours, theirs = (inspect.signature(commands[name]).parameters for name in ("check", "capture"))
    shared = set(ours) & set(theirs)
    assert {"file", "columns", "ignored", "date_format", "key_column", "encoding", "delimiter"} <= shared
    assert set(ours) <= set(theirs)
    for name in shared:
        (our,), (their,) = (each[name].annotation.__metadata__ for each in (ours, theirs))
        assert vars(our) == vars(their), name


async def test_whose_fault_it_is_shows_in_the_exit_status(sandbox: Sandbox, tmp_path: Path) -> None:
    """An unusable file or host is 2, no answer 3, wrong keys 4; no outbox is created."""
    file = write_leads(tmp_path / "leads.csv", [1])
    assert (await check(sandbox, tmp_path / "none.csv")).code == 2
    assert (await check(sandbox, file, "--map", "Nothing=Phone")).code == 2
    assert (await run("check", file, env=environment(sandbox))).code == 2
    gone = environment(sandbox, LEADSQUARED_SYNC_HOST="http://127.0.0.1:9")
    assert (await run("check", file, env=gone)).code == 3
    wrong = with_fields(sandbox, LEADSQUARED_SECRET_KEY="wrong-key-of-a-test")
    assert (await run("check", file, env=wrong)).code == 4
    assert [path.name for path in tmp_path.iterdir()] == ["leads.csv"]


@pytest.mark.slow
async def test_many_rows_take_seconds(sandbox: Sandbox, tmp_path: Path) -> None:
    """Ten thousand rows take seconds; each suggestion is computed once."""
    file = tmp_path / "leads.csv"
    with file.open("w") as text:
        text.write("FirstName,LastName,EmailAddress,Phone,mx_Citty\n")
        text.writelines(
            f"{PLANTED},Lee,{PLANTED}-{number}@example.com,+91-99887{number:05},{'x' if number % 2 else ''}\n"
            for number in range(10_000)
        )
    began = time.monotonic()
    done = await check(sandbox, file, "--json")
    assert done.json["flawed"] == 5000
    assert time.monotonic() - began < 20  # 0.8 s on a machine of today


# capture


async def test_rows_that_do_not_fit_are_refused_and_the_rest_goes(sandbox: Sandbox, tmp_path: Path) -> None:
    """Invalid rows are reported, written to both files and exit 1; fixed, the next run sends them."""
    file, rejects, out = some_flawed(tmp_path / "leads.csv"), tmp_path / "rejects.csv", tmp_path / "out.csv"
    done = await checked_capture(sandbox, file, "--rejects", rejects, "--out", out, "--json")
    assert (done.code, done.json["confirmed"], done.json["refused"]) == (1, 2, 2)
    assert sorted(numbers_sent(sandbox)) == [0, 2]
    assert re.search(r"Source +no_option +2 +3, 5 +must be one of the field's options", done.err)
    assert [row["Outcome"] for row in rows_of(out)] == ["confirmed", "refused", "confirmed", "refused"]
    assert [row["Reason (leadsquared)"].split(":")[0] for row in rows_of(rejects)] == ["Source", "Source"]
    file.write_text(file.read_text().replace("Facbook", "Website"))
    done = await checked_capture(sandbox, file, "--json")
    assert (done.code, done.json["delivered_before"], done.json["confirmed"]) == (0, 2, 4)
    assert sorted(numbers_sent(sandbox)) == [0, 1, 2, 3]


async def test_no_check_leaves_it_to_leadsquared(sandbox: Sandbox, tmp_path: Path) -> None:
    """--no-check requests no fields and sends all rows; LeadSquared rejects the invalid ones."""
    file = write_leads(tmp_path / "leads.csv", range(3), **FULL, mx_Nope="x")
    done = await checked_capture(sandbox, file, "--no-check", "--json")
    assert (done.code, done.json["rejected"], done.json["refused"]) == (1, 3, 0)
    assert not any(arrival.operation == "fields" for arrival in sandbox.books.arrivals)
    assert "not checked" not in done.err


async def test_a_dry_run_checks_too(sandbox: Sandbox, tmp_path: Path) -> None:
    """The estimate leaves out invalid rows."""
    done = await checked_capture(sandbox, some_flawed(tmp_path / "leads.csv"), "--dry-run", "--json")
    assert (done.code, done.json["to_send"], done.json["refused"]) == (1, 2, 2)
    assert not submitted(sandbox)


async def test_without_a_host_for_it_a_run_goes_on(sandbox: Sandbox, tmp_path: Path) -> None:
    """Without a synchronous host, one line says that nothing is checked, and why."""
    done = await capture(sandbox, some_flawed(tmp_path / "leads.csv"), "--no-confirm", "--json")
    assert done.json["accepted"] == 4
    (said,) = [line for line in done.err.splitlines() if "not checked" in line]
    assert said.startswith("not checked against the account's lead fields: no synchronous host is known")


@pytest.mark.parametrize("fault", ["500", "hang", "403"])
async def test_without_an_answer_a_run_goes_on(
    fault: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A synchronous host that fails costs a few seconds and one line."""
    monkeypatch.setattr(file_run, "WITHIN", 1.0)
    sandbox.books.faults = Faults(probabilities={fault: 1.0}, operations=("fields",))
    began = time.monotonic()
    file = some_flawed(tmp_path / "leads.csv")
    done = await checked_capture(sandbox, file, "--no-confirm", "--json")
    assert time.monotonic() - began < 6
    assert done.json["accepted"] == 4
    assert sum("fields" in line for line in done.err.splitlines()) == 1, done.err


async def test_a_row_is_the_same_row_with_and_without_the_check(sandbox: Sandbox, tmp_path: Path) -> None:
    """A row that an earlier run put is neither sent again nor reported as refused."""
    file, out = tmp_path / "leads.csv", tmp_path / "out.csv"
    file.write_text(
        "FirstName,LastName,EmailAddress,mx_Nope\n"
        f"{PLANTED},Lee,{PLANTED}-1@example.com,\n{PLANTED},Lee,{PLANTED}-2@example.com,x\n"
    )
    await checked_capture(sandbox, file, "--no-check", "--out", out)
    first = out.read_text()
    assert [row["Outcome"] for row in rows_of(out)] == ["confirmed", "rejected"]
    done = await checked_capture(sandbox, file, "--out", out, "--json")
    assert (done.json["delivered_before"], done.json["rejected"], done.json["refused"]) == (1, 1, 0)
    assert (done.json["left_over"], submitted(sandbox)) == (0, 2)
    assert out.read_text() == first
    again = await checked_capture(sandbox, file, "--no-check", "--json")
    assert (again.json["delivered_before"], submitted(sandbox)) == (1, 2)


async def test_what_waits_in_the_outbox_goes(sandbox: Sandbox, tmp_path: Path) -> None:
    """A pending row that an unchecked run put is sent."""
    file = some_flawed(tmp_path / "leads.csv")
    wrong = {"LEADSQUARED_API_KEY": "wrong-key-of-a-test"}
    assert (await capture(sandbox, file, "--no-check", **wrong)).code == 4
    done = await checked_capture(sandbox, file, "--json")
    assert (done.code, done.json["confirmed"], done.json["left_over"]) == (0, 4, 0)


async def test_the_same_command_again_refuses_the_same_rows(sandbox: Sandbox, tmp_path: Path) -> None:
    """An invalid row is refused in every run, and no run sends it."""
    file = some_flawed(tmp_path / "leads.csv")
    first = await checked_capture(sandbox, file, "--json")
    again = await checked_capture(sandbox, file, "--json")
    assert [done.json["refused"] for done in (first, again)] == [2, 2]
    assert submitted(sandbox) == 2


def keyed(path: Path, *rows: tuple[str, str, str]) -> Path:
    """Rows with a key and a number; one with anything in its last cell does not fit."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Id", "LastName", "FirstName", "EmailAddress", "mx_Nope"])
        for key, number, nope in rows:
            writer.writerow([key, "Lee", PLANTED, f"{PLANTED}-{number}@example.com", nope])
    return path


async def test_a_flawed_row_takes_no_key(sandbox: Sandbox, tmp_path: Path) -> None:
    """An invalid row does not use up its key: a valid row with that key is sent."""
    file, out = (
        keyed(tmp_path / "leads.csv", ("k", "1", PLANTED), ("k", "2", "")),
        tmp_path / "out.csv",
    )
    options = ("--key", "Id", "--ignore", "Id", "--out", out)
    done = await checked_capture(sandbox, file, *options, "--json")
    assert (done.code, done.json["confirmed"], done.json["refused"]) == (1, 1, 1)
    assert [row["Outcome"] for row in rows_of(out)] == ["refused", "confirmed"]
    assert numbers_sent(sandbox) == [2]


async def test_a_rejected_row_is_not_replaced_by_one_that_does_not_fit(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Only a valid row with the same key replaces a rejected row."""
    file, options = tmp_path / "leads.csv", ("--key", "Id", "--ignore", "Id")
    await checked_capture(sandbox, keyed(file, ("k", "1", PLANTED)), *options, "--no-check")
    done = await checked_capture(sandbox, keyed(file, ("k", "1", f"{PLANTED}2")), *options, "--json")
    assert (done.code, done.json["refused"], submitted(sandbox)) == (1, 1, 1)
    async with Outbox(tmp_path / "leads.csv.sandbox.outbox") as outbox:
        assert (await outbox.find(["k"]))["k"].state is ItemState.REJECTED
    done = await checked_capture(sandbox, keyed(file, ("k", "1", "")), *options, "--json")
    assert (done.code, done.json["confirmed"]) == (0, 1)
    assert "mx_Nope" not in bodies(sandbox)[-1]


@pytest.mark.parametrize(
    ("number", "options", "is_named"),
    [
        ("9988776655", (), True),
        ("+91-9988776655", (), False),
        ("9988776655", ("--phone", "IN"), False),
    ],
)
async def test_numbers_without_a_country_are_counted(
    number: str, options: tuple[str, ...], is_named: bool, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The remark names the column and --phone; --phone adds the country."""
    file = tmp_path / "leads.csv"
    file.write_text(f"FirstName,LastName,Phone\nA,B,{number}\nC,D,{number[:-1]}6\n")
    done = await check(sandbox, file, *options)
    said = 'column "Phone" has 2 phone numbers without a country: pass --phone COUNTRY, such as --phone IN'
    assert (said in done.err) is is_named


async def test_a_number_that_the_phone_option_does_not_know_is_counted(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """A number that --phone leaves as it is, is counted; a valid one and what is no number are not."""
    file = tmp_path / "leads.csv"
    file.write_text("FirstName,LastName,Phone\nA,B,98765\nC,D,9988776655\nE,F,later\nG,H,+91-9988776656\n")
    done = await check(sandbox, file, "--phone", "IN")
    assert "Phone: 1 phone number not valid for --phone, sent unchanged" in done.err


@pytest.mark.parametrize(
    ("options", "said"), [((), "1 the same as another"), (("--key", "LastName"), "1 with the key of another")]
)
async def test_a_repeated_row_is_counted(
    options: tuple[str, ...], said: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A row that is not sent because another is the same is not among the rows to send."""
    file = tmp_path / "leads.csv"
    file.write_text("FirstName,LastName\nA,B\nC,D\nA,B\n")
    done = await check(sandbox, file, *options)
    assert f"3 rows against 60 lead fields, {said}, none would be refused" in done.out
    assert "to send 2 rows, with the same options:" in done.err


async def test_dates_of_one_column_are_one_finding(sandbox: Sandbox, tmp_path: Path) -> None:
    """An unambiguous date gives the format for all dates of its column."""
    file = tmp_path / "leads.csv"
    file.write_text(
        "FirstName,EmailAddress,mx_Date_of_Birth\nA,a@example.com,01/02/1990\nB,b@example.com,31/12/1990\n"
    )
    (problem,) = (await check(sandbox, file, "--partial", "--json")).json["problems"]
    assert (problem["rows"], problem["message"][-8:]) == (2, "%d/%m/%Y")


async def test_many_flaws_of_a_row_are_counted(sandbox: Sandbox, tmp_path: Path) -> None:
    """Fifty flaws of a row are listed, and the rest are counted."""
    columns: dict[str, Any] = {f"mx_Nope{number}x": "x" for number in range(54)}
    done = await checked_capture(
        sandbox, write_leads(tmp_path / "leads.csv", [1], **FULL, **columns), "--dry-run"
    )
    assert done.err.count("this account has no such field") == 50
    assert "4 more problems; --rejects" in done.err


@pytest.mark.slow
async def test_one_misspelt_lead_of_a_thousand_fails_unchecked_and_is_requeued(tmp_path: Path) -> None:
    """With --no-check it is rejected with a reason in --out, and `outbox requeue --drop` delivers it. With
    the check, its line is named before anything is sent."""
    file, out = tmp_path / "leads.csv", tmp_path / "out.csv"
    with file.open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["EmailAddress", "mx_City", "mx_Citty"])
        for number in range(1000):
            misspelt = [PLANTED] if number == 500 else [""]
            writer.writerow([f"{PLANTED}-{number}@example.com", PLANTED, *misspelt])
    async with Sandbox(limit=None, attributes="account", processing_rate=1e9) as sandbox:
        done = await checked_capture(sandbox, file, "--dry-run")
        assert done.code == 1
        assert re.search(r"mx_Citty +unknown +1 +502 ", done.err)
        assert "did you mean mx_City?" in done.err
        done = await checked_capture(sandbox, file, "--no-check", "--out", out, "--json")
        assert (done.code, done.json["confirmed"], done.json["rejected"]) == (1, 999, 1)
        (failed,) = [row for row in rows_of(out) if row["Outcome"] != "confirmed"]
        assert failed["Line"] == "502"
        assert failed["Reason"] == "MXUnknownAttributeException: Attribute(s) does not exist - mx_Citty."
        outbox = tmp_path / "leads.csv.sandbox.outbox"
        env = with_fields(sandbox)
        done = await run("outbox", "requeue", outbox, "--drop", "mx_Citty", env=env)
        assert done.code == 0, done.err
        assert (await run("outbox", "drain", outbox, env=env)).code == 0
        assert len(sandbox.books.leads) == 1000


UNMATCHED = "2 rows without EmailAddress, Phone and ProspectID (lines 3, 5): LeadSquared makes a new lead"


async def test_rows_that_match_no_lead_are_counted(sandbox: Sandbox, tmp_path: Path) -> None:
    """They are not refused: a form may ask for a name only. An anonymous visitor has a ProspectID."""
    path = tmp_path / "leads.csv"
    visitor = "aaaaaaaa-0000-4000-8000-000000000001"
    path.write_text(
        "FirstName,LastName,EmailAddress,ProspectID,Mobile\n"
        f"A,Lee,{PLANTED}-1@example.com,,\nB,Lee,,,+91-9988776655\nC,Lee,,{visitor},\nD,Lee,,,\n"
    )
    done = await check(sandbox, path)
    assert (done.code, UNMATCHED in done.err) == (0, True), done.err
    assert "LeadSquared does not look in Mobile: map that column to Phone" in done.err
    assert (await check(sandbox, path, "--json")).json["unmatched"] == 2
    done = await check(sandbox, path, "--map", "Mobile=Phone")
    assert ("ProspectID (line 5): " in done.err, "Mobile" in done.err) == (True, False)


async def test_an_attribute_to_search_by_matches(sandbox: Sandbox, tmp_path: Path) -> None:
    """With --search-by, rows that have the attribute are not counted."""
    path = tmp_path / "leads.csv"
    path.write_text("FirstName,LastName,Mobile\nA,Lee,+91-9988776655\n")
    assert "1 row without" in (await check(sandbox, path)).err
    assert "row without" not in (await check(sandbox, path, "--search-by", "Mobile")).err

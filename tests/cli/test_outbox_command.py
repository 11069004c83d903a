"""`leadsquared outbox ...`."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from leadsquared_async import ItemState, Outbox, submissions
from leadsquared_async.cli import exporting
from leadsquared_async.cli.terminal import Terminal as Shown
from leadsquared_async.delivery.reasons import KILLED
from leadsquared_async.sandbox import Sandbox
from leadsquared_async.submissions import capture_lead
from tests.cli.commands import (
    PLANTED,
    Finished,
    bodies,
    capture,
    checked,
    environment,
    finish,
    names_in,
    numbers_sent,
    rows_of,
    run,
    start,
    until,
)

ATTRIBUTES = ("FirstName", "EmailAddress", "Phone", "Source")


def lead(number: int, **others: str) -> dict[str, str]:
    return {"FirstName": PLANTED, "EmailAddress": f"{PLANTED}-{number}@example.com", **others}


async def outbox_of(path: Path, *numbers: int) -> Path:
    """An outbox of pending rows that another program put."""
    async with Outbox(path) as outbox:
        await outbox.put_many(
            [capture_lead(lead(number)).with_key(f"{PLANTED}{number}") for number in numbers]
        )
    return path


async def rejected_outbox(sandbox: Sandbox, tmp_path: Path) -> Path:
    """An outbox with one confirmed and two rejected rows."""
    file = tmp_path / "leads.csv"
    file.write_text(
        "FirstName,EmailAddress,mx_Foo,Phone\n"
        f"{PLANTED},{PLANTED}-1@example.com,,\n"
        f"{PLANTED},{PLANTED}-2@example.com,x,9988776655\n"
        f"{PLANTED},{PLANTED}-3@example.com,x,9988776656\n"
    )
    assert (await capture(sandbox, file, "--update-behavior", "DoNotUpdate")).code == 1
    return tmp_path / "leads.csv.sandbox.outbox"


async def test_stats_count_each_file(tmp_path: Path) -> None:
    """Rows by state for several files, as text and as JSON."""
    one, two = await outbox_of(tmp_path / "1.outbox", 1, 2), await outbox_of(tmp_path / "2.outbox")
    done = await run("outbox", "stats", one, two)
    assert done.code == 0
    assert re.fullmatch(rf"{one}: pending 2\n  the oldest open row has waited \d s\n{two}: empty\n", done.out)
    done = await run("outbox", "stats", one, "--json")
    assert done.json["outboxes"][0]["pending"] == 2


def buried(path: Path, **states: int) -> Path:
    """Set so many rows of the outbox to these states."""
    names = [state for state, count in states.items() for _ in range(count)]
    with closing(sqlite3.connect(path)) as connection:
        for row, state in enumerate(names, start=1):
            connection.execute("UPDATE items SET state = ?, is_open = 0 WHERE id = ?", (state, row))
        connection.commit()
    return path


DEAD = "dead letters: 1 rejected, 2 unknown; list them with: leadsquared outbox items {} --state rejected"


@pytest.mark.parametrize("width", range(20, 61, 5))
async def test_stats_break_no_word(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a narrow terminal every state and every word that fits is on one line."""
    monkeypatch.chdir(tmp_path)
    buried(await outbox_of(tmp_path / "leads.outbox", 1, 2, 3), rejected=1, unknown=1)
    done = await run("outbox", "stats", "leads.outbox", env={"FORCE_COLOR": "1", "COLUMNS": str(width)})
    shown = done.out.split()
    for words in ("leads.outbox: pending 1, rejected 1, unknown 1", "the oldest open row has waited"):
        assert " ".join(words.split()) in " ".join(shown)
    assert {"leadsquared", "outbox", "items", "leads.outbox", "rejected"} <= set(shown)


async def test_stats_and_doctor_report_dead_letters(sandbox: Sandbox, tmp_path: Path) -> None:
    """Dead letters are shown with the command that lists them; without --fail-on the status is 0."""
    path = buried(await outbox_of(tmp_path / "my leads.outbox", 1, 2, 3, 4), rejected=1, unknown=2)
    said = DEAD.format(shlex.quote(str(path)))
    for arguments in (["outbox", "stats", path], ["doctor", "--outbox", path]):
        done = await run(*arguments, env=environment(sandbox))
        assert done.code == 0
        assert said in done.out.replace(":\n    ", ": ")
    assert "look     outbox" in done.out
    assert "ok       outbox" not in done.out
    well = await outbox_of(tmp_path / "well.outbox", 1)
    assert "dead letters" not in (await run("outbox", "stats", well)).out
    one = buried(await outbox_of(tmp_path / "one.outbox", 1), unknown=1)
    assert "dead letters: 1 unknown; list" in (out := (await run("outbox", "stats", one)).out)
    assert out.strip().endswith("--state unknown")


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ("rejected", 5),
        ("unknown", 5),
        ("rejected,unknown", 5),
        (" Unknown , accepted", 5),
        ("pending", 5),
        ("accepted", 0),
        ("confirmed,sending", 0),
        ("", 2),
        ("rejected,", 2),
        ("dead", 2),
        ("rejected;unknown", 2),
    ],
)
async def test_fail_on_is_an_exit_status_of_its_own(
    states: str, code: int, sandbox: Sandbox, tmp_path: Path
) -> None:
    """--fail-on exits with 5 for items in these states; an invalid state is exit 2, and the error names the
    valid ones."""
    path = buried(await outbox_of(tmp_path / "1.outbox", 1, 2, 3, 4), rejected=1, unknown=2)
    empty = await outbox_of(tmp_path / "2.outbox")
    for arguments in (["outbox", "stats", path, empty], ["doctor", "--outbox", path]):
        done = await run(*arguments, "--fail-on", states, env=environment(sandbox))
        assert done.code == code, done.err
        assert ("is not an item state" in done.err) == (code == 2)
        assert ("pending, sending, accepted, confirmed, rejected, unknown" in done.err) == (code == 2)


async def test_fail_on_hides_no_other_fault(sandbox: Sandbox, tmp_path: Path) -> None:
    """Wrong keys take precedence over dead letters; --fail-on needs an outbox."""
    path = buried(await outbox_of(tmp_path / "1.outbox", 1), rejected=1)
    arguments = ["doctor", "--outbox", path, "--fail-on", "rejected"]
    wrong = environment(sandbox, LEADSQUARED_API_KEY="wrong-key-of-a-test")
    assert (await run(*arguments, env=wrong)).code == 4
    done = await run("doctor", "--fail-on", "rejected", env=environment(sandbox))
    assert done.code == 2
    assert "--outbox" in done.err


async def test_items_show_no_values_and_no_keys(tmp_path: Path) -> None:
    """Rows are listed by id and state; --json prints one object a line."""
    path = await outbox_of(tmp_path / "1.outbox", 1, 2)
    done = await run("outbox", "items", path, "--state", "pending", "--json")
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == [1, 2]
    done = await run("outbox", "items", path, "--state", "rejected")
    assert (done.code, done.out, done.err.strip()) == (0, "", "no items are rejected")


async def test_items_are_filtered(tmp_path: Path) -> None:
    """Items are filtered by state, reason, operation and the time since their last change."""
    path = buried(await outbox_of(tmp_path / "1.outbox", 1, 2, 3, 4), rejected=2)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE items SET reason = 'MXFoo: no' WHERE id = 1")
        connection.execute("UPDATE items SET changed_at = changed_at - 7200 WHERE id = 4")
        connection.commit()
    for options, ids in (
        (("--state", "rejected"), [1, 2]),
        (("--reason", "mxfoo"), [1]),
        (("--operation", "leads.capture"), [1, 2, 3, 4]),
        (("--operation", "calls.log"), []),
        (("--older-than", "1h"), [4]),
    ):
        done = await run("outbox", "items", path, *options, "--json")
        assert [json.loads(line)["id"] for line in done.out.splitlines()] == ids


async def test_stats_show_why_rows_are_held(sandbox: Sandbox, tmp_path: Path) -> None:
    """The reason of a hold is shown until rows are sent again."""
    path = await outbox_of(tmp_path / "1.outbox", 1)
    wrong = environment(sandbox, LEADSQUARED_API_KEY="wrong-key-of-a-test")
    assert (await run("outbox", "drain", path, env=wrong)).code == 4
    done = await run("outbox", "stats", path)
    assert "held: all operations: " in done.out
    assert "x-api-key" in done.out
    assert "x-api-key" in (await run("outbox", "stats", path, "--json")).json["outboxes"][0]["held"]
    assert (await run("outbox", "drain", path, env=environment(sandbox))).code == 0
    assert "held" not in (await run("outbox", "stats", path)).out


async def test_stats_name_the_operation_that_is_held_alone(tmp_path: Path) -> None:
    """A path that does not exist holds one operation, and the line says so."""
    path = await outbox_of(tmp_path / "1.outbox", 1)
    async with Sandbox(paths={"capture": None}) as sandbox:
        assert (await run("outbox", "drain", path, env=environment(sandbox))).code == 4
    assert "held: leads.capture only: " in (await run("outbox", "stats", path)).out


async def test_unknown_rows_show_why(tmp_path: Path) -> None:
    """`items` has the package's own words for each; what LeadSquared wrote is left out."""
    path = buried(await outbox_of(tmp_path / "1.outbox", 1, 2), unknown=2)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE items SET reason = ? WHERE id = 1", (f"{KILLED}: check it",))
        connection.execute("UPDATE items SET reason = ? WHERE id = 2", (f"{PLANTED} was not answered",))
        connection.commit()
    done = await run("outbox", "items", path, "--state", "unknown", "--json")
    kinds = [json.loads(line)["kind"] for line in done.out.splitlines()]
    assert kinds == [KILLED, "no answer says whether it arrived"]


async def test_items_name_the_next_command(tmp_path: Path) -> None:
    """For rejected and unknown rows, if there are some, and not among the lines of --json."""
    path = await outbox_of(tmp_path / "my leads.outbox", 1, 2, 3)
    assert "leadsquared outbox" not in (await run("outbox", "items", path)).err
    buried(path, rejected=1, unknown=1)
    said = (await run("outbox", "items", path)).err
    assert f"leadsquared outbox resolve {shlex.quote(str(path))}\n" in said
    assert f"leadsquared outbox export {shlex.quote(str(path))} --state rejected" in said
    assert "resolve" not in (await run("outbox", "items", path, "--state", "rejected")).err
    assert (await run("outbox", "items", path, "--json")).err == ""


async def test_rows_show_their_operation(tmp_path: Path) -> None:
    """Items and exports name the operation of each row, as text and as JSON."""
    path = tmp_path / "1.outbox"
    async with Outbox(path) as outbox:
        await outbox.put(lead(1))
        await outbox.put(submissions.create_activity(PLANTED, event=201))
    done = await run("outbox", "items", path)
    heading, *lines = done.out.splitlines()
    assert heading.split() == ["Id", "State", "Age", "Operation", "RequestID", "Reason", "Reference"]
    assert [line.split()[0] for line in lines] == ["1", "2"]
    assert ["leads.capture" in lines[0], "activities.create" in lines[1]] == [True, True]
    done = await run("outbox", "items", path, "--json")
    assert [json.loads(line)["operation"] for line in done.out.splitlines()] == [
        "leads.capture",
        "activities.create",
    ]
    await run("outbox", "export", path, "--format", "csv", "--out", tmp_path / "rows.csv")
    assert [row["operation"] for row in rows_of(tmp_path / "rows.csv")] == [
        "leads.capture",
        "activities.create",
    ]


async def test_drain_delivers_several_files(sandbox: Sandbox, tmp_path: Path) -> None:
    """The pending rows of several files are sent under one limit, each once."""
    files = [await outbox_of(tmp_path / "1.outbox", 1, 2), await outbox_of(tmp_path / "2.outbox", 3)]
    done = await run("outbox", "drain", *files, "--json", env=environment(sandbox))
    assert done.code == 0
    assert [found["confirmed"] for found in done.json["outboxes"]] == [2, 1]
    assert sorted(numbers_sent(sandbox)) == [1, 2, 3]


async def test_drain_stops_after_a_time(sandbox: Sandbox, tmp_path: Path) -> None:
    """--for ends the command with exit 3, and the other rows stay pending."""
    path = await outbox_of(tmp_path / "1.outbox", *range(30))
    done = await run(
        "outbox",
        "drain",
        path,
        "--rate",
        "5/1",
        "--no-confirm",
        "--for",
        "1s",
        "--json",
        env=environment(sandbox),
    )
    assert done.code == 3
    (found,) = done.json["outboxes"]
    assert found["pending"] > 0
    assert found["accepted"] == sandbox.books.accepted > 0


async def test_drain_ends_on_account_level_errors_without_until_empty(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Wrong keys end it with 4; with --until-empty it waits until they are fixed."""
    path = await outbox_of(tmp_path / "1.outbox", 1)
    env = environment(sandbox, LEADSQUARED_API_KEY="wrong-key-of-a-test")
    done = await run("outbox", "drain", path, env=env)
    assert done.code == 4
    assert ".;" not in done.err
    done = await run("outbox", "drain", path, "--until-empty", "--for", "1s", env=env)
    assert done.code == 3


async def test_drain_counts_rejections(tmp_path: Path) -> None:
    """Rows that end rejected are exit 1 and are counted by kind."""
    async with Sandbox(limit=None, attributes=("EmailAddress",)) as sandbox:
        path = await outbox_of(tmp_path / "1.outbox", 1)
        done = await run("outbox", "drain", path, "--json", env=environment(sandbox))
    assert (done.code, done.json["rejected_by_kind"]) == (1, {"MXUnknownAttributeException": 1})


async def test_two_processes_may_drain_one_file(sandbox: Sandbox, tmp_path: Path) -> None:
    """While another process delivers a file, drain waits; every row is sent once."""
    path = await outbox_of(tmp_path / "1.outbox", *range(40))
    first = await start(
        sandbox, "outbox", "drain", path.name, "--rate", "20/1", "--no-confirm", folder=tmp_path
    )
    await until(lambda: sandbox.books.accepted >= 3)
    done = await run("outbox", "drain", path, "--rate", "20/1", "--no-confirm", env=environment(sandbox))
    assert done.code == 0
    assert (await finish(first)).code == 0
    assert sorted(numbers_sent(sandbox)) == list(range(40))


async def test_requeue_changes_rows_and_drain_sends_them(tmp_path: Path) -> None:
    """Rows are selected by reason, changed by --drop and --set, and sent with their own options."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        path = await rejected_outbox(sandbox, tmp_path)
        for reason, matched in (("Nonsense", 0), ("mxunknownattribute", 2)):
            done = await run("outbox", "requeue", path, "--reason", reason, "--dry-run", "--json")
            assert (done.json["matched"], done.json["requeued"]) == (matched, 0)
        changes = ("--drop", "mx_Foo", "--set", "Source=Mended", "--search-by", "Phone")
        done = await run("outbox", "requeue", path, *changes, "--json")
        assert (done.code, done.json["requeued"]) == (0, 2)
        done = await run("outbox", "drain", path, "--json", env=environment(sandbox))
        assert (done.code, done.json["outboxes"][0]["confirmed"]) == (0, 3)
        again = bodies(sandbox)[3:]
        assert [body["Source"] for body in again] == ["Mended", "Mended"]
        assert all(body["SearchBy"] == "Phone" and "mx_Foo" not in body for body in again)


async def test_one_item_is_requeued_and_another_discarded(tmp_path: Path) -> None:
    """By their ids, which belong to one file; an item that is gone or confirmed is exit 1."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        path = await rejected_outbox(sandbox, tmp_path)
    listed = (await run("outbox", "items", path, "--state", "rejected", "--json")).out.splitlines()
    first, second = (str(json.loads(line)["id"]) for line in listed)
    done = await run("outbox", "requeue", path, "--item", first, "--drop", "mx_Foo", "--json")
    assert (done.code, done.json["matched"], done.json["requeued"]) == (0, 1, 1)
    done = await run("outbox", "discard", path, "--item", second, "--item", "999", "--json")
    assert (done.code, done.json) == (1, {"discarded": 1, "missing": 1})
    states = (await run("outbox", "stats", path, "--json")).json["outboxes"][0]
    assert (states["pending"], states["rejected"], states["confirmed"]) == (1, 0, 1)
    for wrong in ((), ("--item", "x")):
        assert (await run("outbox", "discard", path, *wrong)).code == 2
    assert (await run("outbox", "discard", path, path, "--item", first)).code == 2


async def test_requeue_needs_no_change(tmp_path: Path) -> None:
    """Without --drop and --set, rejected rows are put back as they are."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        path = await rejected_outbox(sandbox, tmp_path)
    done = await run("outbox", "requeue", path, "--json")
    assert (done.code, done.json["requeued"]) == (0, 2)


async def test_a_requeued_row_keeps_its_update_behavior(tmp_path: Path) -> None:
    """A requeued row keeps its update behaviour."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        path = await rejected_outbox(sandbox, tmp_path)
        await run("outbox", "requeue", path, "--drop", "mx_Foo")
        async with Outbox(path) as outbox:
            assert outbox._lifecycle.writer is not None
            pending = await outbox._lifecycle.writer.read(lambda store: store.in_state(ItemState.PENDING, 10))
        assert [json.loads(row.query) for row in pending] == [[["LeadUpdateBehavior", "DoNotUpdate"]]] * 2


async def test_the_same_capture_after_a_requeue_sends_nothing(tmp_path: Path) -> None:
    """A row that was changed in the outbox is still the row of the file."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        path = await rejected_outbox(sandbox, tmp_path)
        await run("outbox", "requeue", path, "--drop", "mx_Foo")
        command = ("--update-behavior", "DoNotUpdate", "--json")
        done = await capture(sandbox, tmp_path / "leads.csv", *command)
        assert (done.code, done.json["confirmed"]) == (0, 3)
        calls = sandbox.books.accepted
        done = await capture(sandbox, tmp_path / "leads.csv", *command)
        assert (done.code, done.json["delivered_before"], sandbox.books.accepted) == (0, 3, calls)


async def test_requeue_reports_rows_that_cannot_be_sent(tmp_path: Path) -> None:
    """A row without attributes left stays rejected: exit 1, and its number is shown."""
    async with Sandbox(limit=None, attributes=("FirstName",)) as sandbox:
        file = tmp_path / "leads.csv"
        file.write_text(f"mx_Foo\n{PLANTED}\n")
        await capture(sandbox, file)
    done = await run("outbox", "requeue", tmp_path / "leads.csv.sandbox.outbox", "--drop", "mx_Foo")
    assert done.code == 1
    assert "row 1: the lead is empty" in done.err


async def forget(files: Sequence[Path], by: str, value: str, *options: str) -> Finished:
    return await run("outbox", "forget", *files, "--by", by, *options, stdin=f"{value}\n".encode())


async def test_forget_erases_a_person(tmp_path: Path) -> None:
    """Rows with the value are erased from all files and counted; the value is not shown."""
    files = [await outbox_of(tmp_path / "1.outbox", 1, 2), await outbox_of(tmp_path / "2.outbox", 1)]
    done = await forget(files, "EmailAddress", f"{PLANTED}-1@example.com", "--json")
    assert (done.code, done.json["erased"]) == (0, 2)
    assert f"{PLANTED}-1@".encode() not in files[0].read_bytes()
    assert (await run("outbox", "stats", files[0], "--json")).json["outboxes"][0]["pending"] == 1


async def test_an_export_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows with values are written to a private file or a pipe, never to a terminal."""
    path = await outbox_of(tmp_path / "1.outbox", 1, 2)
    for form in ("jsonl", "csv"):
        out = tmp_path / f"rows.{form}"
        done = await run("outbox", "export", path, "--format", form, "--out", out, "--json")
        assert (done.code, done.json["rows"]) == (0, 2)
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [line["lead"] for line in lines] == [lead(1), lead(2)]
    assert [row["EmailAddress"] for row in rows_of(tmp_path / "rows.csv")] == [
        lead(1)["EmailAddress"],
        lead(2)["EmailAddress"],
    ]
    assert rows_of(tmp_path / "rows.csv")[0]["key"] == f"{PLANTED}1"

    class Terminal:
        @staticmethod
        def isatty() -> bool:
            return True

    monkeypatch.setattr(exporting.sys, "stdout", Terminal)
    with pytest.raises(exporting.CommandFailedError, match="terminal"):
        exporting.export([path], Shown())


async def test_export_writes_to_a_pipe(sandbox: Sandbox, tmp_path: Path) -> None:
    """Without --out, standard output has the rows and nothing else."""
    path = await outbox_of(tmp_path / "1.outbox", 1)
    process = await start(sandbox, "outbox", "export", path.name, "--state", "pending", folder=tmp_path)
    out, err = await process.communicate()
    assert process.returncode == 0
    assert json.loads(out)["lead"] == lead(1)
    assert not err


async def test_purge_deletes_final_rows(sandbox: Sandbox, tmp_path: Path) -> None:
    """Only final rows that are old enough are deleted and counted."""
    path = await outbox_of(tmp_path / "1.outbox", 1, 2)
    await run("outbox", "drain", path, "--no-confirm", env=environment(sandbox))
    await outbox_of(path, 3)
    done = await run("outbox", "purge", path, "--json")
    assert done.json == {"purged": 0}
    await asyncio.sleep(0.05)
    done = await run("outbox", "purge", path, "--older-than", "0.01s", "--json")
    assert done.json == {"purged": 2}
    assert (await run("outbox", "purge", path)).out == "0 rows deleted\n"


@pytest.mark.parametrize(
    "command",
    [
        ["stats"],
        ["items"],
        ["drain"],
        ["requeue"],
        ["discard", "--item", "1"],
        ["forget", "--by", "Phone"],
        ["export"],
        ["purge"],
    ],
)
async def test_a_missing_file_is_not_created(command: list[str], sandbox: Sandbox, tmp_path: Path) -> None:
    """Every subcommand refuses a missing file and another program's file with exit 2."""
    other = tmp_path / "other.txt"
    other.write_text("mine, and longer than a header " * 100)
    for path in (tmp_path / "nothing.outbox", other):
        done = await run("outbox", command[0], path, *command[1:], env=environment(sandbox))
        assert done.code == 2, done.err
    assert names_in(tmp_path) == ["other.txt"]
    assert other.read_text().startswith("mine")


async def test_a_row_that_cannot_be_read_stops_no_other(tmp_path: Path) -> None:
    """Each command continues with the other rows; requeue names the unreadable one."""
    path = buried(await outbox_of(tmp_path / "1.outbox", 1, 2, 3), rejected=3)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE items SET operation = 'tasks.create' WHERE id = 1")
        connection.execute("UPDATE items SET content = substr(content, 3) WHERE id = 2")
        connection.commit()
    assert len((await run("outbox", "items", path)).out.splitlines()) == 4
    done = await run("outbox", "requeue", path, "--drop", "FirstName", "--json")
    assert (done.code, done.json["requeued"], done.json["refused"]) == (1, 1, 2)
    assert "tasks.create" in done.err
    assert "its content is not JSON" in done.err
    assert (await forget([path], "Phone", "1", "--json")).json == {"erased": 0}
    done = await forget([path], "EmailAddress", f"{PLANTED}-2@example.com", "--json")
    assert done.json == {"erased": 1}


async def test_forget_needs_a_file_an_attribute_and_a_value(tmp_path: Path) -> None:
    """Without a file, an attribute or a value, nothing is erased."""
    path = await outbox_of(tmp_path / "1.outbox", 1)
    for arguments in ([path], ["--by", "Phone"], [path, "--by", "Phone"]):
        assert (await run("outbox", "forget", *arguments, stdin=b"")).code == 2


async def test_drain_stops_gracefully_on_an_interrupt(sandbox: Sandbox, tmp_path: Path) -> None:
    """Ctrl-C is exit 3, and the results of sent rows are stored."""
    path = await outbox_of(tmp_path / "1.outbox", *range(40))
    process = await start(
        sandbox, "outbox", "drain", path.name, "--rate", "20/1", "--no-confirm", "--json", folder=tmp_path
    )
    await until(lambda: sandbox.books.accepted >= 3)
    process.send_signal(signal.SIGINT)
    done = checked(await finish(process))
    assert done.code == 3
    assert done.json["outboxes"][0]["accepted"] == sandbox.books.accepted


async def test_forget_names_the_other_places_of_a_person(tmp_path: Path) -> None:
    """The input and other files may still contain the person; confirmed rows hold no values."""
    path = await outbox_of(tmp_path / "1.outbox", 1)
    for said in ("1 row erased", "no row has that value; confirmed rows"):
        done = await forget([path], "EmailAddress", f"{PLANTED}-1@example.com")
        assert done.code == 0
        assert said in done.out
        assert "the input file" in done.err


async def test_a_misspelt_drop_changes_nothing(tmp_path: Path) -> None:
    """--drop with an attribute that no row has is exit 2, and the rows stay rejected."""
    async with Sandbox(limit=None, attributes=ATTRIBUTES) as sandbox:
        path = await rejected_outbox(sandbox, tmp_path)
    done = await run("outbox", "requeue", path, "--drop", "mx_Foo", "--drop", "mx_Typo")
    assert done.code == 2
    assert "--drop mx_Typo: none of the rows has that attribute" in done.err
    assert (await run("outbox", "stats", path, "--json")).json["outboxes"][0]["rejected"] == 2


@pytest.mark.parametrize("command", ["items", "export"])
async def test_a_closed_pipe_is_no_error(command: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """If the reader closes the pipe, such as `head -1`, the exit status is 0 without a message."""
    path = await outbox_of(tmp_path / "1.outbox", *range(1500))
    process = await start(sandbox, "outbox", command, path.name, folder=tmp_path)
    assert process.stdout is not None
    await process.stdout.readline()
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    assert process.stderr is not None
    err = await process.stderr.read()
    assert (await process.wait(), err) == (0, b"")

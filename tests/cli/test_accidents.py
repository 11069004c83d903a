"""Accidents around a command: no file is lost, and the exit status says what happened."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from leadsquared_async import Outbox, OutboxError
from leadsquared_async.cli import app as app_module
from leadsquared_async.cli import commands as commands_module
from leadsquared_async.cli import delivering, draining, file_run, main, putting
from leadsquared_async.cli.delivering import Delivered
from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import (
    PLANTED,
    Finished,
    bodies,
    capture,
    environment,
    finish,
    names_in,
    numbers_sent,
    rows_of,
    run,
    start,
    write_leads,
)

WRONG = {"LEADSQUARED_API_KEY": "wrong-key-of-a-test"}
REQUEST_ID = "00000000-0000-4000-8000-000000000000"


async def pending_outbox(path: Path) -> Path:
    async with Outbox(path) as outbox:
        await outbox.put({"EmailAddress": f"{PLANTED}-1@example.com"}, key="1")
    return path


@pytest.mark.parametrize(
    "command",
    [
        ("outbox", "export", "x.outbox", "--out", "x.outbox"),
        ("outbox", "export", "x.outbox", "--out", "link"),
        ("outbox", "export", "x.outbox", "--out", "x.outbox.lock"),
        ("outbox", "export", "x.outbox", "--out", "leads.csv"),
        ("outbox", "export", "x.outbox", "--out", "other.outbox"),
        ("status", "--outbox", "x.outbox", "--out", "x.outbox"),
        ("wait", "--outbox", "x.outbox", "--out", "x.outbox-wal"),
        ("wait", REQUEST_ID, "--out", "other.outbox"),
        ("wait", "--file", "leads.csv", "--out", "leads.csv"),
        ("capture", "leads.csv", "--outbox", "x.outbox", "--out", "x.outbox"),
        ("capture", "leads.csv", "--outbox", "x.outbox", "--rejects", "x.outbox-shm"),
        ("capture", "leads.csv", "--rejects", "other.outbox"),
        ("capture", "leads.csv", "--rejects", "pipe"),
        ("capture", "leads.csv", "--out", "/dev/null"),
    ],
)
async def test_no_command_writes_over_an_outbox_or_its_input(
    command: tuple[str, ...], sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An --out or --rejects that would lose data, or cannot be replaced, is refused at the start."""
    monkeypatch.chdir(tmp_path)
    write_leads(tmp_path / "leads.csv", [1])
    await pending_outbox(tmp_path / "x.outbox")
    await pending_outbox(tmp_path / "other.outbox")
    (tmp_path / "link").symlink_to("x.outbox")
    os.mkfifo(tmp_path / "pipe")
    kept = {
        name: (tmp_path / name).read_bytes()
        for name in names_in(tmp_path)
        if name.endswith(("outbox", "csv"))
    }
    done = await run(*command, env=environment(sandbox))
    assert done.code == 2, done.err
    assert "choose another name" in done.err
    assert {name: (tmp_path / name).read_bytes() for name in kept} == kept
    assert not sandbox.books.arrivals


async def test_what_a_command_wrote_it_writes_again(sandbox: Sandbox, tmp_path: Path) -> None:
    """A repeated export or wait replaces its own file, in either format."""
    outbox = await pending_outbox(tmp_path / "x.outbox")
    for form in ("jsonl", "csv"):
        for _ in range(2):
            done = await run("outbox", "export", outbox, "--format", form, "--out", tmp_path / "rows")
            assert done.code == 0, done.err
    for _ in range(2):
        done = await run("status", REQUEST_ID, "--out", tmp_path / "o.csv", env=environment(sandbox))
        assert (done.code, len(rows_of(tmp_path / "o.csv"))) == (1, 1)


async def test_a_folder_that_vanishes_is_no_bad_usage(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After rows are sent, a file that cannot be written is exit 3, and the summary is shown."""
    folder = tmp_path / "folder"
    folder.mkdir()
    deliver = file_run.deliver

    async def deliver_and_remove(*arguments: Any, **options: Any) -> Delivered:
        delivered = await deliver(*arguments, **options)
        shutil.rmtree(folder)
        return delivered

    monkeypatch.setattr(file_run, "deliver", deliver_and_remove)
    file = write_leads(tmp_path / "leads.csv", [1, 2])
    done = await capture(sandbox, file, "--no-confirm", "--json", "--out", folder / "out.csv")
    assert (done.code, done.json["accepted"], done.json["out"], done.json["exit"]) == (3, 2, None, 3)
    assert "could not be written" in done.err


@pytest.mark.parametrize("error", [OutboxError("the disk is full"), OSError(28, "the disk is full")])
@pytest.mark.parametrize("place", ["_watched", "put_each"])
async def test_an_error_after_rows_are_put_is_no_bad_usage(
    place: str, error: Exception, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error after rows are put is exit 3, never 2, because rows may have been sent."""

    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(delivering if place == "_watched" else putting, place, fail)
    done = await capture(sandbox, write_leads(tmp_path / "leads.csv", [1]))
    assert done.code == 3
    assert "the disk is full" in done.err
    assert ("pending" in done.out) == (place == "_watched")


@pytest.mark.parametrize("place", ["_watched", "snapshot"])
async def test_an_error_while_rows_are_drained_is_no_bad_usage(
    place: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the outbox during or after delivery is exit 3, because rows may have been sent."""
    outbox = await pending_outbox(tmp_path / "x.outbox")

    async def fail(*_: object, **__: object) -> None:
        raise OutboxError("the disk is full")

    async def delivered(*_: object, **__: object) -> Delivered:
        monkeypatch.setattr(Outbox, "snapshot", fail)
        return Delivered()

    if place == "_watched":
        monkeypatch.setattr(delivering, "_watched", fail)
    else:
        monkeypatch.setattr(draining, "deliver", delivered)
    done = await run("outbox", "drain", outbox, env=environment(sandbox))
    assert done.code == 3
    assert "the disk is full" in done.err


async def test_rows_of_an_earlier_run_that_are_rejected_count(tmp_path: Path) -> None:
    """A rejected row of an earlier run is exit 1 and is reported, even if the input is delivered."""
    async with Sandbox(limit=None, attributes=("FirstName", "EmailAddress")) as sandbox:
        file = write_leads(tmp_path / "leads.csv", [1], mx_Foo="x")
        await capture(sandbox, file, **WRONG)
        done = await capture(sandbox, write_leads(file, [2]), "--json")
    assert (done.code, done.json["confirmed"], done.json["rejected"]) == (1, 1, 0)
    assert "1 other row of the outbox ended rejected or unknown" in done.err


@pytest.mark.parametrize("key", ["k" * 501, "k+2AA-"])  # half of a surrogate pair in UTF-7
async def test_a_key_that_cannot_be_kept_refuses_its_row(key: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """A key that is too long or not text stops no other row."""
    file = tmp_path / "leads.csv"
    file.write_text(f"Id,FirstName\n{key},{PLANTED}\ngood,{PLANTED}\n")
    options = ("--key", "Id", "--ignore", "Id", "--encoding", "utf-7", "--no-confirm", "--json")
    done = await capture(sandbox, file, *options)
    assert (done.code, done.json["refused"], done.json["accepted"]) == (1, 1, 1)
    assert re.search(r"Id +refused +1 +2 ", done.err)


async def test_a_name_that_is_no_text_is_no_trouble(sandbox: Sandbox, tmp_path: Path) -> None:
    """A file whose name is not UTF-8 is sent like any other."""
    file = write_leads(tmp_path / os.fsdecode(b"caf\xe9.csv"), [1])
    done = await finish(await start(sandbox, "capture", file, "--no-confirm", folder=tmp_path))
    assert (done.code, sandbox.books.accepted) == (0, 1), done.err


async def test_a_link_to_the_input_is_the_input(sandbox: Sandbox, tmp_path: Path) -> None:
    """A file has one outbox, whichever link names it, so nothing is sent twice."""
    file, link = write_leads(tmp_path / "leads.csv", [1]), tmp_path / "link.csv"
    link.symlink_to(file.name)
    for path in (file, link):
        assert (await capture(sandbox, path, "--no-confirm")).code == 0
    assert numbers_sent(sandbox) == [1]


async def test_a_cell_under_search_by_is_not_shown(sandbox: Sandbox, tmp_path: Path) -> None:
    """An error in a SearchBy column names the column and never shows the cell."""
    file = tmp_path / "leads.csv"
    file.write_text(f"EmailAddress,SearchBy\n{PLANTED}@example.com,{PLANTED}\n")
    done = await capture(sandbox, file)
    assert done.code == 1
    assert re.search(r"SearchBy +refused +1 +2 +does not name an attribute that the row has", done.err)
    file.write_text(f"EmailAddress,SearchBy\n{PLANTED}@example.com,EmailAddress\n")
    assert (await capture(sandbox, file)).code == 0
    assert bodies(sandbox)[0]["SearchBy"] == "EmailAddress"


async def test_rejects_that_somebody_has_shortened_are_kept(tmp_path: Path) -> None:
    """A row removed from the rejects is an edit: the next run writes another file."""
    async with Sandbox(limit=None, attributes=("FirstName", "EmailAddress")) as sandbox:
        file, rejects = write_leads(tmp_path / "leads.csv", [1, 2], mx_Foo="x"), tmp_path / "rejects.csv"
        await capture(sandbox, file, "--rejects", rejects)
        lines = rejects.read_text().splitlines(keepends=True)
        rejects.write_text("".join(lines[:-1]))
        done = await capture(sandbox, file, "--rejects", rejects, "--json")
    assert done.json["rejects"] == str(tmp_path / "rejects-2.csv")
    assert (len(rows_of(rejects)), len(rows_of(tmp_path / "rejects-2.csv"))) == (1, 2)


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("place", ["Terminal", "FileRun", "LeadRows"])
async def test_an_interrupt_outside_of_the_work_is_exit_3(
    place: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Ctrl-C that no part of a command handles ends it with exit 3."""
    monkeypatch.setattr(commands_module if place == "Terminal" else app_module, place, interrupted)
    done: Finished = await capture(sandbox, write_leads(tmp_path / "leads.csv", [1]))
    assert done.code == 3
    assert "interrupted" in done.err


def test_an_interrupt_around_the_command_is_exit_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program's entry point handles a Ctrl-C that the commands do not."""
    monkeypatch.setattr(app_module, "app", interrupted)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 3
    assert capsys.readouterr().err.startswith("leadsquared: interrupted; ")


def test_help_that_cannot_be_written_is_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk that --help and --version write to may be full: a line says so, without a traceback."""

    def full(**options: object) -> None:
        del options
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(app_module, "app", full)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"leadsquared: {os.strerror(errno.ENOSPC)}\n"

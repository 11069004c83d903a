"""One run with one file: sending again, its name in an outbox, the columns of --out, its encoding."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from leadsquared_async import Outbox
from leadsquared_async.cli import delivering
from leadsquared_async.cli.terminal import Terminal
from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import PLANTED, bodies, capture, numbers_sent, rows_of, run, start, write_leads

WRONG = {"LEADSQUARED_API_KEY": "wrong-key-of-a-test"}


async def test_again_sends_once_more_what_was_delivered(sandbox: Sandbox, tmp_path: Path) -> None:
    """--again sends once more in each run that has it; the keys in --out stay the same."""
    file, out = tmp_path / "leads.csv", tmp_path / "out.csv"
    file.write_text(f"Id,EmailAddress\nk1,{PLANTED}-1@example.com\nk2,{PLANTED}-2@example.com\n")
    options = ("--key", "Id", "--ignore", "Id", "--no-confirm", "--json", "--out", out)
    for times, again in ((1, ()), (2, ("--again",)), (3, ("--again",)), (3, ())):
        done = await capture(sandbox, file, *options, *again)
        assert (done.code, done.json["accepted"]) == (0, 2), done.err
        assert sorted(numbers_sent(sandbox)) == [1] * times + [2] * times
        assert [row["Key"] for row in rows_of(out)] == ["k1", "k2"]


async def test_again_that_was_interrupted_goes_on(sandbox: Sandbox, tmp_path: Path) -> None:
    """After an interruption, the same --again continues; a dry run changes nothing."""
    file = write_leads(tmp_path / "leads.csv", [1, 2])
    await capture(sandbox, file, "--no-confirm")
    sandbox.books.faults = Faults(script=("ok", *("quota",) * 1000), operations=("capture",))
    done = await capture(sandbox, file, "--no-confirm", "--again", "--json", "--rate", "1/1", **WRONG)
    assert (done.code, done.json["pending"]) == (4, 2)
    sandbox.books.faults = Faults()
    dry = await capture(sandbox, file, "--no-confirm", "--again", "--dry-run", "--json")
    assert (dry.json["to_send"], dry.json["ended_before"]) == (2, 0)
    done = await capture(sandbox, file, "--no-confirm", "--again", "--json")
    assert (done.code, done.json["accepted"]) == (0, 2)
    assert sorted(numbers_sent(sandbox)) == [1, 1, 2, 2]


@pytest.mark.parametrize("before", [0, 1])
async def test_again_sends_nothing_twice_itself(
    before: int, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an interrupted run with it has sent for the first time is no row of an earlier run."""
    monkeypatch.setattr(delivering, "PATIENCE", 0.5)
    file = tmp_path / "leads.csv"
    if before:
        await capture(sandbox, write_leads(file, [1]), "--no-confirm")
    write_leads(file, [1, 2, 3])
    sandbox.books.faults = Faults(script=("ok", "ok", *("quota",) * 1000), operations=("capture",))
    done = await capture(sandbox, file, "--no-confirm", "--again", "--rate", "1/1")
    assert (done.code, len(numbers_sent(sandbox))) == (4, before + 2)
    sandbox.books.faults = Faults()
    assert (await capture(sandbox, file, "--no-confirm", "--again")).code == 0
    assert sorted(numbers_sent(sandbox)) == [1] * before + [1, 2, 3]


async def test_again_after_a_sandbox_was_restarted(tmp_path: Path) -> None:
    """--again works after a sandbox was restarted, as the error says."""
    file = write_leads(tmp_path / "leads.csv", [1])
    async with Sandbox(limit=None) as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
        await capture(sandbox, file, "--no-confirm")
    async with Sandbox(limit=None, port=port) as sandbox:
        done = await capture(sandbox, file, "--no-confirm")
        assert (done.code, "Pass --again" in done.err) == (2, True)
        assert (await capture(sandbox, file, "--no-confirm", "--again")).code == 0
        assert numbers_sent(sandbox) == [1]


async def test_the_outcomes_have_the_columns_asked_for(sandbox: Sandbox, tmp_path: Path) -> None:
    """--out-columns follow key and reference."""
    file, out = write_leads(tmp_path / "leads.csv", [7], Id="4711"), tmp_path / "out.csv"
    done = await capture(
        *(sandbox, file, "--no-confirm", "--ignore", "Id", "--out", out, "--out-columns", "Id, EmailAddress")
    )
    assert done.code == 0, done.err
    (row,) = rows_of(out)
    assert (row["Id"], row["EmailAddress"]) == ("4711", f"{PLANTED}-7@example.com")
    assert (row["Reference"], len(row["Key"])) == ("leads.csv:2", 64)


async def test_two_files_of_one_name_are_two(sandbox: Sandbox, tmp_path: Path) -> None:
    """In one outbox, rows of another file with the same name are not left over."""
    outbox = tmp_path / "one.outbox"
    for number, folder in enumerate(("june", "july"), start=1):
        (tmp_path / folder).mkdir()
        file = write_leads(tmp_path / folder / "leads.csv", [number])
        done = await capture(sandbox, file, "--no-confirm", "--outbox", outbox, "--json", **WRONG)
        assert (done.code, done.json["left_over"]) == (4, 0)
    async with Outbox(outbox) as opened:
        assert [item.reference async for item in opened.items()] == ["leads.csv:2", "leads.csv (2):2"]
    done = await capture(
        *(sandbox, write_leads(tmp_path / "june" / "leads.csv", [3]), "--no-confirm", "--outbox", outbox),
        *("--left-over", "drop", "--json"),
    )
    assert (done.json["left_over"], sorted(numbers_sent(sandbox))) == (1, [2, 3])


async def test_at_a_terminal_the_encoding_is_asked_for(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question shows the characters of each encoding; without an answer nothing is sent."""
    file = tmp_path / "leads.csv"
    file.write_bytes("EmailAddress,FirstName\na@example.com,Łukasz\n".encode("cp1250"))
    asked: list[dict[str, str]] = []

    def choose(_self: Terminal, _question: str, choices: list[tuple[str, str]]) -> str | None:
        asked.append(dict(choices))
        return answer

    monkeypatch.setattr(Terminal, "choose", choose)
    answer = None
    done = await capture(sandbox, file, "--no-confirm")
    assert (done.code, "--encoding cp1250" in done.err, sandbox.books.accepted) == (2, True, 0)
    answer = "cp1250"
    assert (await capture(sandbox, file, "--no-confirm")).code == 0
    assert asked[0]["cp1250"] == "Ł"
    assert bodies(sandbox)[0]["FirstName"] == "Łukasz"


async def test_text_that_a_locale_does_not_have(sandbox: Sandbox, tmp_path: Path) -> None:
    """Is written by its code in messages and tables; an export is UTF-8 everywhere."""
    file = write_leads(tmp_path / "\u20b9.csv", [1])
    await capture(sandbox, file, "--no-confirm", "--outbox", tmp_path / "o")
    for command, shown in (("items", b"\\u20b9.csv:2"), ("export", "\u20b9.csv:2".encode())):
        process = await start(sandbox, "outbox", command, "o", folder=tmp_path, PYTHONIOENCODING="latin-1")
        out, _ = await process.communicate()
        assert (process.returncode, shown in out) == (0, True)


@pytest.mark.parametrize(
    "command", [["check", "leads.csv"], ["capture", "leads.csv"], ["metrics"], ["fields"]]
)
async def test_without_keys_the_sandbox_is_named(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without keys, the error is one line, with and without options, and names the sandbox."""
    monkeypatch.chdir(tmp_path)
    write_leads(tmp_path / "leads.csv", [1])
    for options in ((), ("--region", "in21")):
        done = await run(*command, *options)
        (line,) = [line for line in done.err.splitlines() if line.startswith("leadsquared ")]
        assert done.code == 2
        assert "run: leadsquared sandbox" in line or "no synchronous host" in line
        assert "host=" not in line


@pytest.mark.slow
@pytest.mark.parametrize("command", [["--help"], ["capture", "--help"], ["outbox", "requeue", "--help"]])
def test_help_on_a_terminal_that_is_not_utf_8(command: list[str]) -> None:
    """Help needs only ASCII, and no flag is shown with a value."""
    done = subprocess.run(
        [sys.executable, "-m", "leadsquared_async", *command],
        env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "COLUMNS": "80"},
        capture_output=True,
        check=True,
    )
    assert b"<bool>" not in done.stdout

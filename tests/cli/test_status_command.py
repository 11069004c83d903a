"""`leadsquared status`, `wait` and `metrics`."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import (
    PLANTED,
    capture,
    environment,
    finish,
    rows_of,
    run,
    start,
    until,
    write_leads,
)

UNKNOWN = "00000000-0000-4000-8000-000000000000"


async def request_ids(sandbox: Sandbox, tmp_path: Path, count: int = 2) -> list[str]:
    """Capture some leads, and return their RequestIDs."""
    await capture(
        sandbox,
        write_leads(tmp_path / "leads.csv", range(count)),
        *("--no-confirm", "--out", tmp_path / "out.csv"),
    )
    return [row["RequestID"] for row in rows_of(tmp_path / "out.csv")]


async def test_status_shows_the_outcome_of_each(sandbox: Sandbox, tmp_path: Path) -> None:
    """Succeeded is exit 0 with the lead id; the ids keep their order, and each is shown once."""
    ids = await request_ids(sandbox, tmp_path)
    sandbox.books.requests  # noqa: B018 - processes what is due
    done = await run("wait", *ids, env=environment(sandbox))
    assert done.code == 0
    done = await run("status", *ids, ids[0], "--json", env=environment(sandbox))
    assert done.code == 0
    assert [request["request_id"] for request in done.json["requests"]] == ids
    assert {request["lead_id"] for request in done.json["requests"]} == set(sandbox.books.leads)


async def test_an_updated_lead_is_named_so(sandbox: Sandbox, tmp_path: Path) -> None:
    """A capture that updated an existing lead says so; one that created a lead does not."""
    ids = list[str]()
    for run_of in ("first.csv", "second.csv"):
        file, out = tmp_path / run_of, tmp_path / f"{run_of}.out"
        file.write_text(f"EmailAddress,FirstName\na@example.com,{run_of[:5]}\n")
        await capture(sandbox, file, "--out", out)
        ids.append(rows_of(out)[0]["RequestID"])
    done = await run("status", *ids, env=environment(sandbox))
    _, created, updated = done.out.splitlines()
    assert "existing" not in created
    assert updated.endswith("an existing lead was updated")


async def test_an_outbox_without_open_rows_names_the_command_that_lists_all(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Rows whose outcome is known are not asked for; the message says how to list them."""
    file = write_leads(tmp_path / "leads.csv", [1])
    await capture(sandbox, file)
    outbox = tmp_path / "leads.csv.sandbox.outbox"
    done = await run("status", "--outbox", outbox, env=environment(sandbox))
    assert f"all rows: leadsquared outbox items {outbox}" in done.err


async def test_many_requests_are_counted(sandbox: Sandbox, tmp_path: Path) -> None:
    """For many RequestIDs their number is shown first, and the states are counted below the table."""
    ids = await request_ids(sandbox, tmp_path, 33)
    done = await run("wait", *ids, env=environment(sandbox))
    asking, states = done.err.splitlines()
    assert asking == "asking LeadSquared about 33 RequestIDs"
    assert states == "33 RequestIDs: 33 succeeded"
    assert not (await run("status", ids[0], env=environment(sandbox))).err


@pytest.mark.parametrize(("command", "unit"), [("wait", "final"), ("status", "answered")])
async def test_a_terminal_shows_the_progress_of_many_requests(
    command: str, unit: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """At a terminal a bar is redrawn in place while `status` and `wait` ask."""
    ids = await request_ids(sandbox, tmp_path, 5)
    done = await run(command, *ids, env=environment(sandbox, FORCE_COLOR="1"))
    assert done.code in {0, 3}
    assert unit in done.err
    assert "5/5" in done.err


async def test_ids_come_from_files_and_outboxes(sandbox: Sandbox, tmp_path: Path) -> None:
    """A file with one id a line, the column RequestID of --out, and an outbox give the same ids."""
    ids = await request_ids(sandbox, tmp_path)
    plain = tmp_path / "ids.txt"
    plain.write_text("\n".join(ids) + "\n")
    outbox = tmp_path / "leads.csv.sandbox.outbox"
    for source in (("--file", plain), ("--file", tmp_path / "out.csv"), ("--outbox", outbox)):
        done = await run("status", *source, "--json", env=environment(sandbox))
        assert [request["request_id"] for request in done.json["requests"]] == ids, source


async def test_rows_without_a_request_id_are_counted(sandbox: Sandbox, tmp_path: Path) -> None:
    """Rows of --out that were never accepted, and rows that cannot be read, are skipped and counted."""
    ids = await request_ids(sandbox, tmp_path, 1)
    file = tmp_path / "some.csv"
    file.write_text(f"Line,RequestID\n2,{ids[0]}\n3,\n4,x,y\n")
    done = await run("status", "--file", file, "--json", env=environment(sandbox))
    assert len(done.json["requests"]) == 1
    assert "2 rows without a RequestID skipped" in done.err


async def test_a_queued_request_is_exit_3(tmp_path: Path) -> None:
    """A queued request is neither success nor failure, for `status` and for a `wait` that timed out."""
    async with Sandbox(limit=None, processing_rate=0.01) as sandbox:
        (request_id,) = await request_ids(sandbox, tmp_path, 1)
        for command in (("status",), ("wait", "--timeout", "2s")):
            done = await run(*command, request_id, "--json", env=environment(sandbox))
            assert done.code == 3
            assert done.json["requests"][0]["state"] == "queued"


async def test_an_interrupted_wait_shows_what_is_known(tmp_path: Path) -> None:
    """Ctrl-C is exit 3, and every RequestID is in the result."""
    async with Sandbox(limit=None, processing_rate=0.01) as sandbox:
        ids = await request_ids(sandbox, tmp_path)
        calls = len(sandbox.books.arrivals)
        process = await start(sandbox, "wait", *ids, "--json", folder=tmp_path)
        await until(lambda: len(sandbox.books.arrivals) > calls)
        process.send_signal(signal.SIGINT)
        done = await finish(process)
    assert done.code == 3
    assert [request["request_id"] for request in done.json["requests"]] == ids
    assert "run the same command again" in done.err


async def test_failures_are_shown_by_kind_and_written_in_full(tmp_path: Path) -> None:
    """A rejected lead is exit 1; the terminal shows the kind of its reason, --out the reason."""
    async with Sandbox(limit=None, attributes=("EmailAddress", "FirstName")) as sandbox:
        await capture(
            sandbox,
            write_leads(tmp_path / "leads.csv", [1], mx_Foo="x"),
            *("--no-confirm", "--out", tmp_path / "out.csv"),
        )
        done = await run(
            "wait", "--file", tmp_path / "out.csv", "--out", tmp_path / "wait.csv", env=environment(sandbox)
        )
        assert done.code == 1
        assert "MXUnknownAttributeException" in done.out
        assert "mx_Foo" not in done.out
        assert "mx_Foo" in rows_of(tmp_path / "wait.csv")[0]["Reason"]


async def test_an_unknown_id_stops_no_other(sandbox: Sandbox, tmp_path: Path) -> None:
    """A RequestID that LeadSquared does not know is exit 1, and the others are shown."""
    (request_id,) = await request_ids(sandbox, tmp_path, 1)
    await run("wait", request_id, env=environment(sandbox))
    done = await run("status", UNKNOWN, request_id, "--json", env=environment(sandbox))
    assert done.code == 1
    assert [request["state"] for request in done.json["requests"]] == ["not found", "succeeded"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status"], "name a RequestID"),
        (["status", "two words"], "request_id must be"),
        (["status", "leads.csv"], "leads.csv is a file: pass it to --file or --outbox"),
        (["status", "--file", "nothing.csv"], "No such file"),
        (["status", "--file", "leads.csv"], "no column RequestID"),
        (["wait", "--outbox", "nothing.outbox"], "no such outbox"),
        (["wait", "--outbox", "x.csv.outbox"], "no such outbox; that of a sandbox is x.csv.sandbox.outbox"),
        (["wait", UNKNOWN, "--timeout", "soon"], "10m"),
    ],
)
async def test_bad_usage_is_exit_2(
    arguments: list[str], said: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invalid arguments are reported in a sentence, and no outbox is created."""
    monkeypatch.chdir(tmp_path)
    write_leads(tmp_path / "leads.csv", [1])
    (tmp_path / "x.csv.sandbox.outbox").touch()
    done = await run(*arguments, env=environment(sandbox))
    assert done.code == 2
    assert said in " ".join(done.err.replace("│", " ").split())
    assert not (tmp_path / "nothing.outbox").exists()


@pytest.mark.parametrize("command", [["status", UNKNOWN], ["wait", UNKNOWN], ["metrics"]])
async def test_a_wrong_api_key_is_exit_4(command: list[str], sandbox: Sandbox) -> None:
    """An account-level error ends `status`, `wait` and `metrics`."""
    env = environment(sandbox, LEADSQUARED_API_KEY=f"wrong{PLANTED}")
    done = await run(*command, env=env)
    assert done.code == 4
    assert "x-api-key" in done.err


async def test_no_answer_is_exit_3(sandbox: Sandbox) -> None:
    """Without an answer the outcome is open: exit 3."""
    env = environment(sandbox, LEADSQUARED_HOST="http://127.0.0.1:9")
    done = await run("status", UNKNOWN, "--json", env=env)
    assert (done.code, done.json["requests"][0]["state"]) == (3, "no answer")
    done = await run("status", UNKNOWN, env=env)
    assert re.search(r"no answer +leads\.capture status: no connection", done.out)


@pytest.mark.parametrize(("timeout", "said"), [("2s", "not found so far"), ("0.1s", "not known so far")])
async def test_a_wait_for_an_unknown_id_is_exit_3(timeout: str, said: str, sandbox: Sandbox) -> None:
    """A RequestID that no poll has found is not shown as queued when the time is over: exit 3."""
    done = await run("wait", UNKNOWN, "--timeout", timeout, env=environment(sandbox))
    assert (done.code, done.out.splitlines()[1:]) == (3, [f"{UNKNOWN}  {said}"])


async def test_metrics_are_a_line_or_json(sandbox: Sandbox) -> None:
    """The queue's length and rate, as a line or as JSON."""
    done = await run("metrics", env=environment(sandbox))
    assert done.out == "pending 0, longest wait 0 s, processed 0 a minute\n"
    done = await run("metrics", "--json", env=environment(sandbox))
    assert done.json == {
        "operation": "leads.capture",
        "pending": 0,
        "max_delay": 0.0,
        "rate_per_minute": 0.0,
    }

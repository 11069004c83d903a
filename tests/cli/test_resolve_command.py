"""`leadsquared outbox resolve`, with outbox files of unknown rows in front of a sandbox."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from leadsquared_async import Outbox
from leadsquared_async.cli.resolving import look_for
from leadsquared_async.cli.terminal import Terminal
from leadsquared_async.sandbox import Faults, Sandbox
from leadsquared_async.submissions import UpdateBehavior, capture_lead, create_activity
from leadsquared_async.testing import client_of
from tests.cli.commands import PLANTED, Finished, run, with_fields
from tests.cli.test_outbox_command import buried, lead
from tests.clients import answering

LEAD_ID = "aaaaaaaa-0000-4000-8000-000000000001"
PHONE = "+91-9988776655"


async def unknown_rows(path: Path, ended: float = 120.0) -> Path:
    """Rows that ended unknown so many seconds ago; two of them are about leads that can be looked for."""
    async with Outbox(path) as outbox:
        await outbox.put_many(
            [
                capture_lead(lead(1), reference="row-1"),
                capture_lead({"FirstName": PLANTED, "Phone": PHONE}, reference="row-2"),
                capture_lead({"FirstName": PLANTED}, reference="row-3"),
                create_activity(LEAD_ID, event=201, note=PLANTED, reference="row-4"),
            ]
        )
    return ended_unknown(path, 4, ended)


def ended_unknown(path: Path, rows: int, ended: float = 120.0) -> Path:
    with closing(sqlite3.connect(buried(path, unknown=rows))) as connection:
        connection.execute("UPDATE items SET changed_at = changed_at - ?", (ended,))
        connection.commit()
    return path


async def arrive(sandbox: Sandbox, *leads: dict[str, str]) -> None:
    async with client_of(sandbox) as lsq:
        for each in leads:
            await lsq.leads.wait(await lsq.leads.capture(each))


async def states_of(path: Path) -> dict[str, str]:
    async with Outbox(path) as outbox:
        return {str(item.reference): item.state.value async for item in outbox.items()}


async def resolve(sandbox: Sandbox, path: Path, *options: str) -> Finished:
    return await run("outbox", "resolve", path, *options, env=with_fields(sandbox))


UNKNOWN = dict.fromkeys(("row-1", "row-2", "row-3", "row-4"), "unknown")


async def test_without_options_it_shows_what_it_found(tmp_path: Path) -> None:
    """Outside a terminal nothing changes, no value of a row is shown, and the exit status is 1."""
    async with Sandbox() as sandbox:
        path = await unknown_rows(tmp_path / "leads.outbox")
        await arrive(sandbox, lead(1))
        (lead_id,) = sandbox.books.leads
        done = await resolve(sandbox, path)
        told = await resolve(sandbox, path, "--json")
    assert (done.code, told.code) == (1, 1), done.err
    for words in ("row-1", lead_id, "delivered: created or changed since", "requeue: not in LeadSquared"):
        assert words in done.out
    assert done.out.endswith("0 rows marked as delivered, 0 requeued, 4 left\n")
    assert "--item 3 --delivered, or --requeue" in done.err
    assert "--item" not in told.err
    rows = told.json["rows"]
    assert [row["suggestion"] for row in rows] == ["delivered", "requeue", "look", "look"]
    assert [row["found"] for row in rows] == [lead_id, None, None, None]
    assert rows[0]["lead_created_at"] is not None
    assert await states_of(path) == UNKNOWN


async def test_it_follows_its_suggestions(tmp_path: Path) -> None:
    """--delivered confirms what LeadSquared has and erases its values, --requeue sends the rest again."""
    async with Sandbox() as sandbox:
        path = await unknown_rows(tmp_path / "leads.outbox")
        await arrive(sandbox, lead(1))
        done = await resolve(sandbox, path, "--delivered")
        assert (done.code, await states_of(path)) == (1, {**UNKNOWN, "row-1": "confirmed"})
        async with Outbox(path) as outbox:
            (item,) = [it async for it in outbox.items("confirmed")]
        assert (item.is_erased, item.lead_id) == (True, next(iter(sandbox.books.leads)))
        done = await resolve(sandbox, path, "--delivered", "--requeue", "--json")
        assert (done.json["delivered"], done.json["requeued"], done.json["left"]) == (0, 1, 2)
        assert (await states_of(path))["row-2"] == "pending"
        drained = await run("outbox", "drain", path, env=with_fields(sandbox))
        assert drained.code == 0
        assert len(sandbox.books.leads) == 2


async def test_at_a_terminal_it_asks_for_each_row_that_it_can_settle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a yes changes a row; a row without a suggestion is not asked about."""
    asked: list[str] = []

    def ask(_self: Terminal, question: str) -> bool:
        asked.append(question)
        return len(asked) == 1

    monkeypatch.setattr(Terminal, "ask", ask)
    async with Sandbox() as sandbox:
        path = await unknown_rows(tmp_path / "leads.outbox")
        await arrive(sandbox, lead(1))
        assert (await resolve(sandbox, path)).code == 1
    assert asked == [
        "row 1 (created or changed since): mark it as delivered?",
        "row 2 (not in LeadSquared): send it again?",
    ]
    assert await states_of(path) == {**UNKNOWN, "row-1": "confirmed"}


@pytest.mark.slow
async def test_ctrl_c_ends_the_question_at_once(tmp_path: Path) -> None:
    """The first one is enough, and no row changes."""
    ours, theirs = os.openpty()
    try:
        async with Sandbox() as sandbox:
            path = await unknown_rows(tmp_path / "leads.outbox")
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "leadsquared_async", "outbox", "resolve", path),
                stdin=theirs,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=theirs,
                env={**os.environ, **with_fields(sandbox)},
            )
            said = b""
            while b"send it again?" not in said:
                said += await asyncio.to_thread(os.read, ours, 1000)
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), 3.0) == 3
    finally:
        os.close(theirs)
        os.close(ours)
    assert await states_of(path) == UNKNOWN


async def test_a_lead_that_has_not_changed_since_was_not_updated(tmp_path: Path) -> None:
    """A lead from before the row was put is no sign that the row arrived: it is requeued."""
    async with Sandbox() as sandbox:
        await arrive(sandbox, lead(1))
        path = await unknown_rows(tmp_path / "leads.outbox")
        for known in sandbox.books.leads.values():
            known.created_at = known.modified_at = -60.0
        done = await resolve(sandbox, path, "--json")
    assert done.json["rows"][0]["suggestion"] == "requeue"
    assert done.json["rows"][0]["found"] is not None


@pytest.mark.parametrize("behavior", ["DoNotUpdate", "UpdateOnlyEmptyFields"])
async def test_an_update_behavior_may_leave_no_trace(behavior: UpdateBehavior, tmp_path: Path) -> None:
    """A row that LeadSquared took without changing the lead is not sent again: a person decides."""
    path = tmp_path / "leads.outbox"
    async with Sandbox() as sandbox:
        await arrive(sandbox, lead(1))
        for known in sandbox.books.leads.values():
            known.created_at = known.modified_at = -60.0
        async with Outbox(path) as outbox:
            await outbox.put(lead(1), reference="row-1", update_behavior=behavior)
        done = await resolve(sandbox, ended_unknown(path, 1), "--delivered", "--requeue")
    assert f"look: not changed since, but with {behavior} it may have arrived" in done.out
    assert (done.code, await states_of(path)) == (1, {"row-1": "unknown"})


@pytest.mark.parametrize("fault", ["500-mx", "200-mx"])
async def test_an_answer_that_rejects_the_question_settles_nothing(fault: str, tmp_path: Path) -> None:
    """It does not say that the lead is missing: the row, which arrived, is not sent a second time."""
    faults = Faults(probabilities={fault: 1.0}, operations=("lead-by-email", "lead-by-phone"))
    async with Sandbox(faults=faults) as sandbox:
        path = await unknown_rows(tmp_path / "leads.outbox")
        await arrive(sandbox, lead(1))
        done = await resolve(sandbox, path, "--delivered", "--requeue", "--json")
    assert [row["suggestion"] for row in done.json["rows"]] == ["look"] * 4
    assert (done.code, await states_of(path)) == (1, UNKNOWN)


async def test_an_answer_without_the_value_asked_for_settles_nothing(tmp_path: Path) -> None:
    """It may be another lead's, so that "changed since" says nothing about the row."""
    other = [{"ProspectID": "p-1", "ModifiedOn": "2099-01-01 00:00:00.000"}]
    path = await unknown_rows(tmp_path / "leads.outbox")
    async with (
        answering(lambda _: httpx.Response(200, json=other), sync_host="https://sync.invalid") as lsq,
        Outbox(path) as outbox,
    ):
        (item,) = [it async for it in outbox.items("unknown") if it.reference == "row-1"]
        found = await look_for(outbox, lsq, item, 0.0)
    assert (found.suggestion, found.why) == ("look", "the answer does not contain its EmailAddress")


@pytest.mark.parametrize(
    ("row", "there"),
    [
        (lead(1, Phone=PHONE), lead(2, Phone=PHONE)),  # a number that two people share
        (lead(1, FirstName="Ada"), lead(1, FirstName="Bret")),  # changed since, but by somebody else
        ({"FirstName": PLANTED, "Phone": "ask me"}, lead(1)),  # a value that cannot be looked for
    ],
)
async def test_a_row_that_the_lead_does_not_show_is_left(
    row: dict[str, str], there: dict[str, str], tmp_path: Path
) -> None:
    """Another lead with its phone number, or other values, are no sign that the row arrived."""
    path = tmp_path / "leads.outbox"
    async with Outbox(path) as outbox:
        await outbox.put(row, reference="row-1")
    ended_unknown(path, 1)
    async with Sandbox() as sandbox:
        await arrive(sandbox, there)
        done = await resolve(sandbox, path, "--delivered", "--requeue", "--json")
    assert (done.json["rows"][0]["suggestion"], await states_of(path)) == ("look", {"row-1": "unknown"})


async def test_what_is_not_found_yet_has_to_wait(tmp_path: Path) -> None:
    """LeadSquared may process it later: within a minute, or as long as its queue is late."""
    async with Sandbox(processing_rate=0.001, speed=1000) as sandbox:
        path = await unknown_rows(tmp_path / "leads.outbox", ended=30)
        done = await resolve(sandbox, path, "--delivered", "--requeue", "--json")
        assert done.json["rows"][1]["suggestion"] == "wait"
        async with client_of(sandbox) as lsq:
            await lsq.leads.capture({"FirstName": "Bret"})
            while (await lsq.leads.metrics()).max_delay < 100:
                pass  # the queue's clock runs 1000 times faster
        done = await resolve(sandbox, path, "--after", "20s", "--delivered", "--requeue", "--json")
        assert done.json["rows"][1]["suggestion"] == "wait"
    assert (done.code, await states_of(path)) == (1, UNKNOWN)


async def test_an_unknown_delay_of_the_queue_is_said(tmp_path: Path) -> None:
    """A host without the path of metrics leaves the wait to --after."""
    async with Sandbox(paths={"capture metrics": None}) as sandbox:
        path = await unknown_rows(tmp_path / "leads.outbox")
        done = await resolve(sandbox, path, "--after", "10m", "--json")
    assert "pass a longer --after" in done.err
    assert [row["suggestion"] for row in done.json["rows"]] == ["wait", "wait", "look", "look"]


async def test_a_person_decides_on_one_row(tmp_path: Path) -> None:
    """--item with one of the options settles a row whatever was found; a missing one is no error."""
    async with Sandbox() as sandbox:
        path = await unknown_rows(tmp_path / "leads.outbox")
        assert (await resolve(sandbox, path, "--item", "3", "--requeue")).code == 0
        assert (await resolve(sandbox, path, "--item", "4", "--delivered")).code == 0
        assert await states_of(path) == {**UNKNOWN, "row-3": "pending", "row-4": "confirmed"}
        done = await resolve(sandbox, path, "--item", "4", "--delivered")
        assert (done.code, done.out) == (0, "no row has an unknown outcome\n")
        both = await resolve(sandbox, path, "--item", "1", "--delivered", "--requeue")
        assert (both.code, "pass either --delivered or --requeue" in both.err) == (2, True)


async def test_rows_that_another_process_settles_are_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loser of two runs says so, whatever it would have done with the row, and exits with 0."""

    def ask(_self: Terminal, _question: str) -> bool:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE items SET state = 'confirmed' WHERE state = 'unknown'")
            connection.commit()
        return True

    monkeypatch.setattr(Terminal, "ask", ask)
    async with Sandbox() as sandbox:
        path = await unknown_rows(tmp_path / "leads.outbox")
        await arrive(sandbox, lead(1))
        done = await resolve(sandbox, path)
    assert done.out.endswith("0 rows marked as delivered, 0 requeued, 4 settled by another process, 0 left\n")
    assert (done.code, "only rejected and unknown rows" in done.err) == (0, False)


async def test_another_accounts_keys_are_refused_until_adopted(tmp_path: Path) -> None:
    """The leads are not in that account, so they would be sent again: `resolve` and `drain` exit with 2."""
    other = {"LEADSQUARED_ACCESS_KEY": "u$r" + "f" * 32, "LEADSQUARED_API_KEY": "F" * 40}
    async with Sandbox() as sandbox:
        path = tmp_path / "leads.outbox"
        async with client_of(sandbox) as lsq, Outbox(path, lsq) as outbox:
            await outbox.put(lead(0), reference="row-0")
            await outbox.drained()
        await unknown_rows(path)
        env = with_fields(sandbox, **other)
        for command in ("resolve", "drain"):
            done = await run("outbox", command, path, env=env)
            assert (done.code, f"leadsquared outbox adopt {path}" in done.err) == (2, True)
        done = await run("outbox", "adopt", path, env=env)
        assert (done.code, done.out) == (0, "1 file adopted: the keys that are set can deliver now\n")
        assert (await run("outbox", "resolve", path, env=env)).code == 4  # these keys are rejected
        assert (await resolve(sandbox, path)).code == 2


async def test_an_account_level_error_changes_nothing(tmp_path: Path) -> None:
    """Exit status 4, as of every command; without a synchronous host 2."""
    async with Sandbox() as sandbox:
        path = await unknown_rows(tmp_path / "leads.outbox")
        env = with_fields(sandbox, LEADSQUARED_SECRET_KEY="f" * 40)
        done = await run("outbox", "resolve", path, "--delivered", env=env)
        assert (done.code, await states_of(path)) == (4, UNKNOWN)
        env = {**with_fields(sandbox), "LEADSQUARED_SYNC_HOST": ""}
        done = await run("outbox", "resolve", path, "--delivered", env=env)
        assert (done.code, await states_of(path)) == (2, UNKNOWN)

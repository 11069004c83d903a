"""`leadsquared submit`, and `status`, `wait` and `metrics` of any operation."""

from __future__ import annotations

import csv
import json
import re
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from leadsquared_async import LeadSquared, Outbox
from leadsquared_async.cli import connecting
from leadsquared_async.operations import OPERATIONS, Operation
from leadsquared_async.operations import Path as CallPath
from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import PLANTED, Finished, environment, names_in, rows_of, run

LEAD_ID = "0f0e0d0c-0000-4000-8000-00000000000a"
PERSON = {"ProspectID": LEAD_ID, "FirstName": PLANTED, "EmailAddress": f"{PLANTED}@example.com"}


def write(path: Path, *objects: Any) -> Path:
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in objects))
    return path


def activity(note: str = PLANTED, **others: Any) -> dict[str, Any]:
    details = {"RelatedProspectId": LEAD_ID, "ActivityEvent": 201, "ActivityNote": note}
    return {"details": details, **others}


async def submit(sandbox: Sandbox, *arguments: str | Path, **env: str) -> Finished:
    return await run("submit", *arguments, "--json", env=environment(sandbox, **env))


async def with_a_lead(sandbox: Sandbox, folder: Path) -> None:
    """Let the account have the lead of these tests."""
    done = await submit(sandbox, "leads.capture", write(folder / "lead.jsonl", {"lead": PERSON}))
    assert (done.code, list(sandbox.books.leads)) == (0, [LEAD_ID])


def arrivals(sandbox: Sandbox, operation: str) -> int:
    return sum(arrival.operation == operation for arrival in sandbox.books.arrivals)


async def test_each_object_is_followed_to_its_outcome(sandbox: Sandbox, tmp_path: Path) -> None:
    """Each object is put into FILE.outbox and confirmed; --out has its RequestID."""
    await with_a_lead(sandbox, tmp_path)
    rich = activity()
    rich["details"] |= {
        "ActivityDateTime": "2024-02-29 10:00:00",
        "Fields": {"mx_Custom_1": 1.5, "mx_Custom_2": {"Status": "Pending"}},
    }
    file, out = write(tmp_path / "a.jsonl", rich, activity("two")), tmp_path / "out.csv"
    done = await submit(sandbox, "activities.create", file, "--out", out)
    assert (done.code, done.json["rows"], done.json["confirmed"]) == (0, 2, 2)
    assert arrivals(sandbox, "activity") == 2
    assert [row["Outcome"] for row in rows_of(out)] == ["confirmed", "confirmed"]
    assert all(uuid.UUID(row["RequestID"]) for row in rows_of(out))
    assert {row["Operation"] for row in rows_of(out)} == {"activities.create"}
    assert "a.jsonl.sandbox.outbox" in names_in(tmp_path)


async def test_the_same_command_again_sends_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """An object is identified by what is sent, not by its line or the order of its names."""
    await with_a_lead(sandbox, tmp_path)
    file = write(tmp_path / "a.jsonl", activity("one"), activity("two"))
    await submit(sandbox, "activities.create", file)
    first, second = activity("one"), activity("two")
    second["details"] = dict(reversed(second["details"].items()))
    file.write_text(json.dumps([activity("three"), second, first], indent=1))
    done = await submit(sandbox, "activities.create", file)
    assert (done.code, done.json["delivered_before"], done.json["confirmed"]) == (0, 2, 3)
    assert arrivals(sandbox, "activity") == 3


async def test_it_continues_after_an_account_level_error(sandbox: Sandbox, tmp_path: Path) -> None:
    """Wrong keys are exit 4 and keep every row."""
    file = write(tmp_path / "a.jsonl", {"lead": PERSON})
    done = await submit(sandbox, "leads.capture", file, LEADSQUARED_API_KEY="wrong-key-of-a-test")
    assert (done.code, done.json["pending"]) == (4, 1)
    done = await submit(sandbox, "leads.capture", file)
    assert (done.code, done.json["confirmed"]) == (0, 1)


async def test_equal_objects_are_sent_once_unless_they_have_keys(sandbox: Sandbox, tmp_path: Path) -> None:
    """Two equal objects are one unless they have different keys; a key with other values is refused."""
    await with_a_lead(sandbox, tmp_path)
    file = write(tmp_path / "a.jsonl", activity(), activity(), activity(key="a"), activity(key=4711))
    done = await submit(sandbox, "activities.create", file)
    assert (done.code, done.json["repeated"], arrivals(sandbox, "activity")) == (0, 1, 3)
    file = write(tmp_path / "a.jsonl", activity("another", key="a"))
    done = await submit(sandbox, "activities.create", file)
    assert (done.code, done.json["refused"], arrivals(sandbox, "activity")) == (1, 1, 3)
    assert re.search("refused +1 +1 +its key was used before with other values", done.err)


OBJECTS: dict[str, dict[str, Any]] = {
    "leads.capture": {"lead": PERSON, "search_by": "EmailAddress"},
    "leads.update": {"lead": {"mx_City": "Pune"}, "query": {"leadId": LEAD_ID, "postUpdatedLead": "true"}},
    "activities.create": activity(reference="mine"),
    "activities.create_with_lead": {
        "lead": PERSON,
        "search_by": "EmailAddress",
        "details": {"ActivityEvent": 201},
    },
    "opportunities.capture": {
        "lead": PERSON,
        "search_by": "EmailAddress",
        "details": {"OpportunityEventCode": 12000, "DoNotChangeOwner": True},
    },
    "calls.log": {"details": {"SourceNumber": PLANTED}, "suffix": ["connector", LEAD_ID]},
}


@pytest.mark.parametrize("operation", OBJECTS)
async def test_every_operation_takes_its_object(operation: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """Each operation takes an object with LeadSquared's own names."""
    await with_a_lead(sandbox, tmp_path)
    done = await submit(sandbox, operation, write(tmp_path / "a.jsonl", OBJECTS[operation]))
    assert (done.code, done.json["confirmed"]) == (0, 1), done.err


async def test_an_opportunity_is_created_and_updated(tmp_path: Path) -> None:
    """`wait --json` has the id of the opportunity, which the update then names."""
    async with Sandbox(limit=None) as sandbox:
        await with_a_lead(sandbox, tmp_path)
        file, out = write(tmp_path / "a.jsonl", OBJECTS["opportunities.capture"]), tmp_path / "out.csv"
        await submit(sandbox, "opportunities.capture", file, "--no-confirm", "--out", out)
        waiting = ("wait", "--file", out, "--operation", "opportunities.capture", "--json")
        (request,) = (await run(*waiting, env=environment(sandbox))).json["requests"]
        assert (request["operation"], request["lead_id"]) == ("opportunities.capture", LEAD_ID)
        details = {"ProspectOpportunityId": request["opportunity_id"], "OpportunityNote": PLANTED}
        file = write(tmp_path / "b.jsonl", {"details": details})
        done = await submit(sandbox, "opportunities.update", file)
        assert (done.code, done.json["confirmed"]) == (0, 1)


@pytest.mark.parametrize(
    ("operation", "entry", "said"),
    [
        (
            "leads.capture",
            {"FirstName": PLANTED},
            "FirstName: unknown field; a submission has lead, search_by,",
        ),
        ("leads.capture", {f"{PLANTED} 1": 1}, "field 1: unknown field; a submission has"),
        ("leads.capture", {"key": "k"}, "leads.capture needs a lead: a mapping"),
        ("leads.capture", {"lead": [PLANTED]}, "lead: must be an object of names and values"),
        ("leads.capture", {"lead": {"Phone": [1]}}, "Phone: "),
        ("leads.capture", {"lead": PERSON, "search_by": "Mobile"}, "SearchBy: "),
        (
            "leads.capture",
            {"lead": PERSON, "key": PLANTED * 50},
            "key: must be a string of 1 to 500 characters",
        ),
        ("leads.capture", {"lead": PERSON, "reference": {}}, "reference: must be a string"),
        ("leads.capture", {"lead": PERSON, "query": {"LeadUpdateBehavior": PLANTED}}, "update_behavior"),
        ("leads.update", {"lead": {"mx_City": PLANTED}}, "leadId: must be an id from LeadSquared"),
        (
            "leads.update",
            {"lead": {"mx_City": "x"}, "query": {"leadId": LEAD_ID, "postUpdatedLead": True}},
            'query: its values must be strings, such as "true"',
        ),
        ("activities.create", {"details": {"RelatedProspectId": LEAD_ID}}, "ActivityEvent: "),
        ("activities.create", {"lead": PERSON}, "activities.create takes details and no lead"),
        (
            "activities.create",
            {"details": {"ActivityEvent": 1, "ActivityDateTime": f"{PLANTED} at noon"}},
            "ActivityDateTime: ",
        ),
        ("activities.create_with_lead", {"lead": PERSON}, "activities.create_with_lead needs details"),
        ("opportunities.capture", {"details": {}}, "opportunities.capture needs a lead"),
        ("calls.log", {"details": {"Tag": "x"}, "suffix": PLANTED}, "suffix: must be a list of strings"),
    ],
)
async def test_an_invalid_line_is_reported_with_its_field_and_stops_no_other(
    operation: str, entry: dict[str, Any], said: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """An invalid line is reported with its field, without a value; the others are sent; exit 1."""
    file = write(tmp_path / "a.jsonl", entry, OBJECTS[operation])
    done = await submit(sandbox, operation, file, "--no-confirm")
    assert (done.code, done.json["refused"], done.json["accepted"]) == (1, 1, 1), done.err
    assert re.search(f"refused +1 +1 +{re.escape(said)}", done.err)
    assert sandbox.books.accepted == 1


async def test_invalid_lines_are_written_to_rejects(sandbox: Sandbox, tmp_path: Path) -> None:
    """--rejects has them with the reason, which may stay in the fixed line."""
    bad = {"lead": {"Phone": [1]}}
    file, rejects = write(tmp_path / "a.jsonl", bad, {"lead": PERSON}), tmp_path / "rejects.jsonl"
    for _ in range(2):
        done = await submit(sandbox, "leads.capture", file, "--no-confirm", "--rejects", rejects)
        assert (done.code, done.json["refused"], sandbox.books.accepted) == (1, 1, 1)
    assert f"leadsquared submit leads.capture {rejects}" in done.err
    (refused,) = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert refused.pop("Reason (leadsquared)").startswith("Phone: ")
    assert refused == bad
    rejects.write_text(rejects.read_text().replace("[1]", '"1"'))
    done = await submit(sandbox, "leads.capture", rejects, "--no-confirm")
    assert (done.code, done.json["accepted"], sandbox.books.accepted) == (0, 1, 2)


async def test_what_leadsquared_rejects_is_exit_1_each_time(sandbox: Sandbox, tmp_path: Path) -> None:
    """Rejections are counted by kind, and --rejects has LeadSquared's reason, in each run."""
    file, rejects = write(tmp_path / "a.jsonl", activity()), tmp_path / "rejects.jsonl"
    for _ in range(2):
        done = await submit(sandbox, "activities.create", file, "--rejects", rejects)
        assert (done.code, done.json["rejected"]) == (1, 1)
        assert done.json["rejected_by_kind"] == {"MXUnknownProspectActivityException": 1}
    assert "MXUnknownProspectActivityException" in rejects.read_text()


@pytest.mark.parametrize(
    ("operation", "name", "content", "said"),
    [
        ("leads.conquer", "a.jsonl", "{}", "operation must be one of leads.capture, leads.update"),
        ("leads.capture", "a.csv", "FirstName\nBret\n", "the file is a table"),
        ("leads.capture", "a.jsonl", '{"lead": {}}\n{"lead"\n', "line 2: not a complete JSON object"),
        ("leads.capture", "a.jsonl", "", "the file is empty"),
    ],
)
async def test_unusable_input_is_exit_2(
    operation: str, name: str, content: str, said: str, *, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Unusable input is exit 2 with a reason; nothing is sent, and no outbox is created."""
    file = tmp_path / name
    file.write_text(content)
    done = await submit(sandbox, operation, file)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert names_in(tmp_path) == [name]
    assert not sandbox.books.arrivals


async def test_standard_input_is_read(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outbox of standard input is in the current folder; if all lines are invalid, none is created."""
    monkeypatch.chdir(tmp_path)
    env = environment(sandbox)
    done = await run("submit", "leads.capture", "-", "--json", env=env, stdin=b'{"lead": {}}')
    assert (done.code, names_in(tmp_path)) == (1, [])
    text = json.dumps({"lead": PERSON}).encode()
    done = await run("submit", "leads.capture", "-", "--json", env=env, stdin=text)
    assert (done.code, done.json["confirmed"]) == (0, 1)
    assert "leads-from-stdin.sandbox.outbox" in names_in(tmp_path)


async def test_other_rows_of_the_outbox_are_sent_too(sandbox: Sandbox, tmp_path: Path) -> None:
    """Their number is shown first, and their operation does not matter."""
    path = tmp_path / "own.outbox"
    async with Outbox(path) as outbox:
        await outbox.put(PERSON)
    file = write(tmp_path / "a.jsonl", {"lead": {"mx_City": "x"}, "query": {"leadId": LEAD_ID}})
    done = await submit(sandbox, "leads.update", file, "--outbox", path)
    assert (done.code, sandbox.books.accepted) == (0, 2)
    assert "the outbox holds 1 row from other sources" in done.err


# Following


async def test_an_outbox_knows_the_operation_of_each_row(sandbox: Sandbox, tmp_path: Path) -> None:
    """`status` and `wait` use the operation of each row, and --out names it."""
    path, out = tmp_path / "own.outbox", tmp_path / "out.csv"
    common = ("--outbox", path, "--no-confirm")
    await submit(sandbox, "leads.capture", write(tmp_path / "a.jsonl", {"lead": PERSON}), *common)
    await submit(sandbox, "activities.create", write(tmp_path / "b.jsonl", activity()), *common)
    done = await run("wait", "--outbox", path, "--out", out, "--json", env=environment(sandbox))
    assert done.code == 0
    operations = ["leads.capture", "activities.create"]
    assert [request["operation"] for request in done.json["requests"]] == operations
    assert [row["Operation"] for row in rows_of(out)] == operations
    # That file is enough to ask again.
    done = await run("status", "--file", out, "--json", env=environment(sandbox))
    assert [request["state"] for request in done.json["requests"]] == ["succeeded"] * 2
    again = ("status", "--file", out, "--out", tmp_path / "again.csv")
    assert [(await run(*again, env=environment(sandbox))).code for _ in range(2)] == [0, 0]
    assert rows_of(tmp_path / "again.csv") == rows_of(out)


async def test_a_file_may_name_operations(sandbox: Sandbox, tmp_path: Path) -> None:
    """A column Operation names it, --operation is the default, and an unknown name is exit 2."""
    await with_a_lead(sandbox, tmp_path)
    file, out = write(tmp_path / "a.jsonl", activity()), tmp_path / "out.csv"
    await submit(sandbox, "activities.create", file, "--out", out)
    (request_id,) = [row["RequestID"] for row in rows_of(out)]
    given = tmp_path / "ids.csv"
    for name, option, code in [
        ("activities.create", "leads.capture", 0),
        ("", "activities.create", 0),
        ("", "leads.capture", 1),
        ("nothing", "leads.capture", 2),
        ("", "nothing", 2),
    ]:
        with given.open("w", newline="") as text:
            csv.writer(text).writerows([["RequestID", "Operation"], [request_id, name]])
        done = await run("status", "--file", given, "--operation", option, env=environment(sandbox))
        assert done.code == code, (name, option, done.err)
    done = await run("status", request_id, "--operation", "activities.create", env=environment(sandbox))
    assert done.code == 0


async def test_every_queue_can_be_measured(sandbox: Sandbox) -> None:
    """`metrics --operation` takes any name of the table."""
    for name in OPERATIONS:
        done = await run("metrics", "--operation", name, "--json", env=environment(sandbox))
        assert (done.code, done.json["operation"], done.json["pending"]) == (0, name, 0)
    done = await run("metrics", "--operation", "leads.nothing", env=environment(sandbox))
    assert done.code == 2


async def test_a_new_row_of_the_table_is_a_new_operation_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """submit, wait, status, metrics and outbox take a new row without another change."""
    made_up = Operation(
        name="tasks.create",
        task_type="Task Create",
        submit=CallPath("/task/create"),
        status=CallPath("/task/create/status"),
        metrics=CallPath("/task/create/metrics"),
        integers=frozenset({"TaskType"}),
    )
    monkeypatch.setitem(OPERATIONS, made_up.name, made_up)
    request_id = "0f0e0d0c-0000-4000-8000-00000000000b"
    asked: list[tuple[str, str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        content = json.loads(request.content) if request.content else dict(request.url.params)
        asked.append((request.method, request.url.path, content))
        if request.url.path == "/task/create":
            return httpx.Response(200, json={"Status": "Request accepted.", "RequestID": request_id})
        if request.url.path == "/task/create/metrics":
            metrics = {"PendingMessages": 7, "MaxDelayInSeconds": 3, "ProcessingRatePerMinute": 60}
            return httpx.Response(200, json=metrics)
        assert request.url.path == "/task/create/status"
        done = {"Status": "Success", "Message": {"Id": "t", "RelatedId": LEAD_ID}}
        task = {"TaskType": "Task Create", "Status": "Success", "Message": json.dumps(done)}
        return httpx.Response(200, json={"RequestId": request_id, "TaskStatus": task})

    class Client(LeadSquared):
        def __init__(self, **options: Any) -> None:
            super().__init__(transport=httpx.MockTransport(answer), **options)

    monkeypatch.setattr(connecting, "LeadSquared", Client)
    env = {
        "LEADSQUARED_HOST": "https://stand-in.invalid",
        **{f"LEADSQUARED_{name}_KEY": "of-a-stand-in" for name in ("ACCESS", "SECRET", "API")},
    }
    details = {"TaskType": 5, "Name": PLANTED}
    file, out = write(tmp_path / "tasks.jsonl", {"details": details}), tmp_path / "out.csv"
    done = await run("submit", "tasks.create", file, "--no-confirm", "--yes", "--out", out, "--json", env=env)
    assert (done.code, done.json["accepted"]) == (0, 1)
    assert asked == [("POST", "/task/create", details)]
    outbox = tmp_path / "tasks.jsonl.outbox"
    assert "tasks.create" in (await run("outbox", "items", outbox)).out
    for words in (
        ["wait", "--file", out, "--operation", "tasks.create"],
        ["wait", "--outbox", outbox],
        ["status", request_id, "--operation", "tasks.create"],
    ):
        done = await run(*words, "--json", env=env)
        (request,) = done.json["requests"]
        assert (done.code, request["operation"], request["lead_id"]) == (0, "tasks.create", LEAD_ID)
        assert asked[-1] == ("GET", "/task/create/status", {"RequestID": request_id})
    done = await run("metrics", "--operation", "tasks.create", "--json", env=env)
    assert (done.code, done.json["pending"], asked[-1][1]) == (0, 7, "/task/create/metrics")
    # It is confirmed like any other operation.
    done = await run("submit", "tasks.create", write(file, {"details": {"TaskType": 6}}), "--json", env=env)
    assert (done.code, done.json["confirmed"]) == (0, 1)

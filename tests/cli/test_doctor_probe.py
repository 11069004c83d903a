"""`leadsquared doctor --probe` and `--probe-keys`, against accounts that differ from the documentation."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from typing import Any

import httpx
import pytest

from leadsquared_async import LeadSquared
from leadsquared_async.cli import connecting, probing
from leadsquared_async.operations import OPERATIONS
from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import Finished, environment, run

LEAD = {"EmailAddress": "bret.lee@example.com"}
CALLS = [
    *("capture", "update", "activity", "lead-and-activity"),
    *("opportunity", "opportunity-update", "call-log"),
]


async def doctor(sandbox: Sandbox, *options: str, **env: str) -> Finished:
    return await run("doctor", "--json", *options, env=environment(sandbox, **env))


def verdicts(done: Finished) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in done.json["checks"]}


def detail(done: Finished, name: str) -> str:
    (found,) = [check["detail"] for check in done.json["checks"] if check["name"] == name]
    return str(found)


async def succeeds(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, operation: str, **env: str) -> bool:
    """Whether a submission is accepted, followed and measured with these variables."""
    for name, value in environment(sandbox, **env).items():
        monkeypatch.setenv(name, value)
    async with LeadSquared() as lsq:
        lead = await lsq.leads.wait(await lsq.leads.capture(LEAD), deadline=5)
        if operation == "activities.create":
            assert lead.lead_id is not None
            lead = await lsq.wait(await lsq.activities.create(lead.lead_id, event=201), deadline=5)
        await lsq.metrics(operation=operation)
    return lead.succeeded


async def test_an_account_as_documented_has_nothing_to_configure() -> None:
    """One call for each path and one for a path that cannot exist; nothing is submitted; exit 0."""
    async with Sandbox(limit=None) as sandbox:
        done = await doctor(sandbox, "--probe")
        assert (done.code, verdicts(done)["paths"]) == (0, "ok")
        assert detail(done, "paths") == "14 of 14 exist as configured (15 calls)"
        assert done.json["probe"]["configure"] == {}
        assert sandbox.books.attempts == {}
        assert {arrival.method for arrival in sandbox.books.arrivals} == {"GET"}
        assert sandbox.books.misplaced_keys == []
    lines = [line for line in done.err.splitlines() if re.match(r"\d+\. ", line)]
    assert len(lines) == 15
    assert re.fullmatch(
        r"1\. a path that cannot exist: /lead/\w{12}/metrics does not exist \(HTTP 403, no such path\)",
        lines[0],
    )
    assert lines[1:3] == [
        "2. leads.capture status: /lead/status exists (HTTP 404, unknown RequestID)",
        "3. leads.capture metrics: /lead/capture/metrics exists (HTTP 200)",
    ]


@pytest.mark.parametrize(
    ("paths", "operation", "found"),
    [
        ({"capture metrics": "/lead/metrics"}, "leads.capture", {"leads.capture metrics": "/lead/metrics"}),
        (
            {"capture status": "/lead/capture/status"},
            "leads.capture",
            {"leads.capture status": "/lead/capture/status"},
        ),
        (
            {"activity status": "/activity/status", "activity metrics": "/activity/metrics"},
            "activities.create",
            {
                "activities.create status": "/activity/status",
                "activities.create metrics": "/activity/metrics",
            },
        ),
    ],
)
async def test_a_path_that_differs_is_found_and_the_printed_line_works(
    paths: dict[str, str | None],
    operation: str,
    found: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    polls_soon: None,
) -> None:
    """Exit 2; with the printed variable a submission is followed to its outcome, and nothing differs."""
    async with Sandbox(limit=None, paths=paths, processing_rate=1e9) as sandbox:
        done = await doctor(sandbox, "--probe")
        assert done.code == 2
        assert {name for name, verdict in verdicts(done).items() if verdict == "look"} == {"paths", *found}
        variables = done.json["probe"]["configure"]
        assert json.loads(variables["LEADSQUARED_PATHS"]) == found
        assert await succeeds(sandbox, monkeypatch, operation, **variables)
        again = await doctor(sandbox, "--probe", **variables)
        assert (again.code, again.json["probe"]["configure"]) == (0, {})
        assert "14 of 14" in detail(again, "paths")


async def test_the_lines_to_configure_can_be_copied() -> None:
    """A line for a shell, and one for Python, which keep what is configured already."""
    async with Sandbox(
        limit=None, paths={"capture metrics": "/lead/metrics", "update status": "/mine"}, keys="headers"
    ) as sandbox:
        mine = json.dumps({"leads.update status": "/mine"})
        done = await run("doctor", "--probe-keys", env=environment(sandbox, LEADSQUARED_PATHS=mine))
        lines = done.out.splitlines()
        (paths,) = [line for line in lines if line.startswith("export LEADSQUARED_PATHS=")]
        expected = {"leads.update status": "/mine", "leads.capture metrics": "/lead/metrics"}
        assert json.loads(shlex.split(paths)[1].partition("=")[2]) == expected
        assert "export LEADSQUARED_KEYS_IN=headers" in lines
        options: dict[str, Any] = {}
        exec(lines[-1], {"LeadSquared": lambda **given: options.update(given)})
        assert options == {"paths": expected, "keys_in": "headers"}


async def test_a_missing_path_without_a_candidate_is_told() -> None:
    """The paths that were tried are named; there is nothing to configure; captures still work."""
    async with Sandbox(limit=None, paths={"capture metrics": None}) as sandbox:
        done = await doctor(sandbox, "--probe")
    assert (done.code, verdicts(done)["leads.capture metrics"]) == (0, "unknown")
    assert detail(done, "leads.capture metrics").startswith(
        "/lead/capture/metrics does not exist, and neither does /lead/metrics"
    )
    assert done.json["probe"]["configure"] == {}


async def test_a_status_path_of_another_operation_is_doubtful() -> None:
    """That a path exists does not say whose requests it knows."""
    async with Sandbox(limit=None, paths={"update status": "/lead/status"}) as sandbox:
        done = await doctor(sandbox, "--probe")
    assert done.code == 2
    assert "also the path of leads.capture status, so confirm it" in detail(done, "leads.update status")


async def test_a_host_without_any_path_is_a_wrong_host() -> None:
    """Exit 4 after a call for each path; no candidate is tried."""
    async with Sandbox(limit=None, faults=Faults(probabilities={"no-path": 1.0})) as sandbox:
        done = await doctor(sandbox, "--probe-keys")
        assert (done.code, verdicts(done)["paths"]) == (4, "wrong")
        assert detail(done, "paths") == "this host has none of the paths: check the host and the region"
        assert len(done.json["probe"]["paths"]) == 15
        assert sandbox.books.attempts == {}


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("401", 4, "LeadSquared does not accept the keys"),
        ("401-region", 4, "names asyncapi-in21.leadsquared.com"),
        ("403", 4, "check the x-api-key"),
        ("quota", 4, "daily quota"),
        ("html", 4, "a proxy or firewall answers, not LeadSquared"),
    ],
)
async def test_an_account_that_rejects_all_calls_is_exit_4(fault: str, code: int, said: str) -> None:
    """The first rejected path ends the probe, if none exists before; a web page is no answer."""
    async with Sandbox(limit=None, faults=Faults(probabilities={fault: 1.0})) as sandbox:
        done = await doctor(sandbox, "--probe-keys")
    assert (done.code, verdicts(done)["paths"]) == (code, "wrong")
    assert said in detail(done, "paths")
    assert len(done.json["probe"]["paths"]) == (15 if fault == "html" else 2)


async def test_a_rejection_of_one_path_does_not_end_the_probe() -> None:
    """The other paths exist, so the keys are right."""
    async with Sandbox(limit=None, faults=Faults(script=("ok",) * 4 + ("403",))) as sandbox:
        done = await doctor(sandbox, "--probe")
    (rejected,) = [asked for asked in done.json["probe"]["paths"] if asked["finding"] == "rejected"]
    assert verdicts(done)[rejected["name"]] == "unknown"
    assert detail(done, "paths") == "13 of 14 exist as configured (15 calls)"


async def test_a_429_during_the_probe_is_waited_for() -> None:
    """The call is repeated within the limit, and its answer is the last one."""
    async with Sandbox(limit=None, faults=Faults(script=("ok",) * 4 + ("429",))) as sandbox:
        done = await doctor(sandbox, "--probe")
        assert sandbox.books.by_outcome["429"] == 1
    assert (done.code, verdicts(done)["paths"]) == (0, "ok")


async def test_an_account_over_its_limit_is_exit_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that gets no other answer in time ends the probe."""
    monkeypatch.setattr(probing, "WITHIN", 0.1)
    script = ("ok",) + ("429",) * 1000
    async with Sandbox(limit=None, faults=Faults(script=script)) as sandbox:
        done = await doctor(sandbox, "--probe")
    assert (done.code, verdicts(done)["paths"]) == (3, "unknown")
    assert "over its rate limit" in detail(done, "paths")


async def test_a_host_that_does_not_answer_ends_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 3 after the first call."""
    monkeypatch.setattr(probing, "WITHIN", 0.5)
    async with Sandbox(limit=None) as sandbox:
        done = await doctor(sandbox, "--probe", "--host", "http://127.0.0.1:9")
        assert (done.code, verdicts(done)["paths"]) == (3, "unknown")
        assert len(done.json["probe"]["paths"]) == 1
        assert sandbox.books.arrivals == []


async def test_a_server_that_answers_everything_proves_nothing() -> None:
    """A host with a page, or with JSON, for a path that cannot exist is not LeadSquared."""
    for body, said in ((b"<html>Sign in</html>", "a web page"), (b"{}", "a path that cannot exist")):
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes = answer
        ) -> None:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with Sandbox() as sandbox:
            host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            done = await doctor(sandbox, "--probe", "--host", host)
        server.close()
        assert (done.code, verdicts(done)["paths"]) == (4, "wrong")
        assert said in detail(done, "paths")
        assert len(done.json["probe"]["paths"]) == 1


async def test_the_probe_keeps_to_the_limit_and_to_its_bound() -> None:
    """If all paths are configured and all but one missing, it makes 40 calls at most, within the limit."""
    names = [f"{name} {kind}" for name in OPERATIONS for kind in ("status", "metrics")]
    mine = json.dumps({name: f"/mine/{number}" for number, name in enumerate(names)})
    paths = {f"{call} {kind}": None for call in CALLS for kind in ("status", "metrics")}
    async with Sandbox(limit=(25, 0.25), paths={**paths, "capture status": "/mine/0"}) as sandbox:
        done = await doctor(sandbox, "--probe", LEADSQUARED_RATE_LIMIT="25/0.25", LEADSQUARED_PATHS=mine)
        assert sandbox.books.over_limit == 0
        assert sandbox.books.most_arrivals() <= 15  # half of the limit, and what is under way
        asked = [asked["path"] for asked in done.json["probe"]["paths"]]
        assert 30 < len(asked) <= 40
        assert len(asked) == len(set(asked))


@pytest.mark.parametrize(
    ("keys", "expected", "configure"),
    [
        ("query", (0, "ok"), {}),
        ("both", (0, "ok"), {"LEADSQUARED_KEYS_IN": "headers"}),
        ("headers", (2, "look"), {"LEADSQUARED_KEYS_IN": "headers"}),
    ],
)
async def test_the_place_of_the_keys_is_found_and_the_printed_line_works(
    keys: Any,
    expected: tuple[int, str],
    configure: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    polls_soon: None,
) -> None:
    """An empty body is posted without keys, with keys in the query, and in headers; no lead is created."""
    async with Sandbox(limit=None, keys=keys, processing_rate=1e9) as sandbox:
        done = await doctor(sandbox, "--probe-keys")
        assert (done.code, verdicts(done)["keys in"]) == expected
        assert [posted["accepts"] for posted in done.json["probe"]["keys"]] == [
            False,
            keys in {"query", "both"},
            keys in {"headers", "both"},
        ]
        assert done.json["probe"]["configure"] == configure
        assert (dict(sandbox.books.attempts), sandbox.books.accepted) == ({"": 3}, 0)
        assert await succeeds(sandbox, monkeypatch, "leads.capture", **configure)
        again = await doctor(sandbox, "--probe-keys", **configure)
        assert (again.code, verdicts(again)["keys in"]) == (0, "ok")
        assert again.json["probe"]["configure"] == {}


async def test_keys_in_headers_that_are_not_accepted_are_told() -> None:
    """An account that takes the query only, and a client that is configured for headers."""
    async with Sandbox(limit=None) as sandbox:
        done = await doctor(sandbox, "--probe-keys", LEADSQUARED_KEYS_IN="headers")
    assert done.code == 2
    assert done.json["probe"]["configure"] == {"LEADSQUARED_KEYS_IN": "query"}


async def test_wrong_keys_are_exit_4() -> None:
    """The paths need the x-api-key only, so a wrong secret key shows when a body is posted."""
    async with Sandbox(limit=None) as sandbox:
        done = await doctor(sandbox, "--probe-keys", LEADSQUARED_SECRET_KEY="0" * 40)
    assert (done.code, verdicts(done)["paths"], verdicts(done)["keys in"]) == (4, "ok", "wrong")
    assert "neither in the query nor in headers" in detail(done, "keys in")


METRICS = {"PendingMessages": 0, "MaxDelayInSeconds": 0, "ProcessingRatePerMinute": 1}


def answering_posts(answer: httpx.Response) -> type[LeadSquared]:
    """A client whose paths exist, and whose posts get one answer."""

    def serve(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return answer
        if re.match("/lead/[0-9a-f]{12}/", request.url.path):
            return httpx.Response(403, json={"message": "Missing Authentication Token"})
        is_metrics = request.url.path.endswith("metrics")
        return httpx.Response(200, json=METRICS) if is_metrics else httpx.Response(404)

    class Client(LeadSquared):
        def __init__(self, **options: Any) -> None:
            super().__init__(transport=httpx.MockTransport(serve), **options)

    return Client


@pytest.mark.parametrize(
    ("answer", "code", "verdict", "said"),
    [
        (httpx.Response(400, json={"Status": "Error"}), 0, "unknown", "without checking the keys"),
        (httpx.Response(403, json={"message": "Forbidden"}), 4, "wrong", "check the x-api-key"),
        (httpx.Response(403, text="<html>"), 4, "wrong", "a web page"),
        (httpx.Response(403, json={"message": "Missing Authentication Token"}), 4, "wrong", "does not exist"),
        (httpx.Response(503), 3, "unknown", "stopped at /lead/capture"),
    ],
)
async def test_other_answers_to_an_empty_body(
    answer: httpx.Response, code: int, verdict: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys are not judged by an answer that does not concern them."""
    monkeypatch.setattr(connecting, "LeadSquared", answering_posts(answer))
    async with Sandbox() as sandbox:
        done = await doctor(sandbox, "--probe-keys")
    assert (done.code, verdicts(done)["keys in"]) == (code, verdict)
    assert said in detail(done, "keys in")


async def test_an_invalid_option_of_the_environment_is_a_check() -> None:
    """Exit 2, and no call."""
    async with Sandbox(limit=None) as sandbox:
        done = await doctor(sandbox, "--probe", LEADSQUARED_PATHS="/lead/status")
        assert (done.code, verdicts(done)["options"]) == (2, "wrong")
        assert detail(done, "options").startswith("LEADSQUARED_PATHS must be a JSON object")
        assert sandbox.books.arrivals == []

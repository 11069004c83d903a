"""Text from outside, in every input of the command line: no command lets it reach a terminal as it is."""

from __future__ import annotations

import csv
import json
import unicodedata
from pathlib import Path

import httpx
import pytest

from leadsquared_async import LeadSquared, Outbox
from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import Finished, environment, run, with_fields
from tests.clients import KEYS

HOSTILE = {
    "controls": "a\x00\x07\x08b",
    "an escape sequence": "\x1b[2J\x1b]0;title\x07",
    "C1": "\x9b2J",
    "a bidirectional override": "\u202egnp.exe\u2066",
    "a line break": "form\r\nERROR forged",
    "other line breaks": "a\x85b\u2028c\u2029d\x0be\x0cf",
    "marks without a width": "a\u200bb\ufeffc",
    "half a pair": "\ud83d",
    "a formula": "=1+1",
}
TEXTS = {"all of it": " ".join(HOSTILE.values()), "half a megabyte": "x" * 500_000}
BAD = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def assert_harmless(done: Finished, said: str = "") -> None:
    """Each line is ours, prints, and has an end."""
    for line in f"{done.out}\n{done.err}\n{said}".split("\n"):
        assert not [c for c in line if unicodedata.category(c) in BAD], ascii(line)[:300]
        assert not line.startswith("ERROR forged")
        assert len(line) < 5000


@pytest.fixture(params=TEXTS)
def hostile(request: pytest.FixtureRequest) -> str:
    """One of them."""
    return TEXTS[request.param]


def stored(text: str) -> str:
    """What can be in a file or a store: no half of a pair."""
    return text.encode("utf-8", "replace").decode()


def named(text: str) -> str:
    """What can be a file's name."""
    return stored(text).replace("\x00", "").replace("/", "")[:60]


async def test_rows_of_an_outbox(tmp_path: Path, hostile: str) -> None:
    """References and values of rows, and the outbox's name, are printable in all output."""
    path = tmp_path / f"{named(hostile)}.outbox"
    async with Outbox(path) as outbox:
        await outbox.put({"FirstName": "Bret"}, reference=stored(hostile)[:500], key=stored(hostile)[:500])
    for command in ("items", "stats"):
        done = await run("outbox", command, path)
        assert done.code == 0
        assert_harmless(done)
    assert_harmless(await run("outbox", "items", path.with_name(f"{named(hostile)}.none")))
    assert_harmless(await run("outbox", "requeue", path, "--drop", stored(hostile).replace("\x00", "")))
    out = tmp_path / f"{named(hostile)}.csv"
    assert_harmless(await run("outbox", "export", path, "--format", "csv", "--out", out))


async def test_files(sandbox: Sandbox, tmp_path: Path, hostile: str) -> None:
    """A table's name, headings and cells are printable in all output."""
    file = tmp_path / f"{named(hostile)}.csv"
    with file.open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows(
            [["EmailAddress", stored(hostile)[:2000]], ["a@example.com", stored(hostile)], ["x", "y"]]
        )
    env = with_fields(sandbox)
    assert_harmless(await run("check", file, env=env))
    assert_harmless(await run("capture", file, "--dry-run", env=env))
    assert_harmless(await run("capture", file, "--out", tmp_path / "out.csv", env=env))
    assert_harmless(await run("status", "--file", file, env=env))


async def test_environment(sandbox: Sandbox, hostile: str) -> None:
    """Values of variables and options are printable in all output."""
    value = stored(hostile).replace("\x00", "")[:10_000]
    for name in ("HOST", "SYNC_HOST", "REGION", "RATE_LIMIT", "API_KEY"):
        assert_harmless(await run("doctor", env={**environment(sandbox), f"LEADSQUARED_{name}": value}))
    assert_harmless(await run("status", value, env=environment(sandbox)))


@pytest.mark.parametrize("code", [200, 400])
async def test_answers(hostile: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LeadSquared's ids, states, reasons, names and messages are printable in all output."""
    field = dict.fromkeys(
        ("SchemaName", "DisplayName", "DataType", "RenderTypeTextValue", "DefaultValue"), hostile
    )
    answers: dict[str, object] = {
        "status": {
            "RequestId": hostile,
            "TaskStatus": {
                "TaskType": hostile,
                "Status": "FAILURE",
                "StatusReason": hostile,
                "Message": json.dumps({"Status": hostile, "Message": {"RelatedId": hostile}}),
            },
        },
        "metrics": {
            "message": hostile,
            "Status": "Error",
            "ExceptionMessage": hostile,
            "ExceptionType": "MXNew",
        },
        "LeadsMetaData.Get": [field, {"SchemaName": "EmailAddress", "Options": [{"Value": hostile}]}],
        "UserByAccessKey.Get": {"Id": hostile, "LSQCommonServiceURLs": {"api": hostile}},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(code, content=json.dumps(answers[request.url.path.rpartition("/")[2]]))

    usual = LeadSquared.__init__

    def through_us(self: LeadSquared, **options: object) -> None:
        usual(self, **{**options, "transport": httpx.MockTransport(answer)})  # type: ignore[arg-type]

    monkeypatch.setattr(LeadSquared, "__init__", through_us)
    env = {f"LEADSQUARED_{name.upper()}": key for name, key in KEYS.items()}
    env |= {"LEADSQUARED_REGION": "in21", "LEADSQUARED_RATE_LIMIT": "1000/1"}
    for words in (("metrics",), ("fields",), ("fields", "EmailAddress"), ("fields", "mx_None"), ("doctor",)):
        assert_harmless(await run(*words, env=env))
    out = tmp_path / "out.csv"
    done = await run("status", "5a8f9f0e", "--out", out, env=env)
    assert_harmless(done, out.read_text() if out.exists() else "")


@pytest.mark.parametrize("before", [(), ("check", "leads.csv"), ("outbox",), ("outbox", "stats")])
async def test_an_option_that_does_not_exist(before: tuple[str, ...]) -> None:
    """The name of an unknown option is shown without control characters."""
    done = await run(
        *before, f"--{HOSTILE['a bidirectional override']}\u2028\u200b{HOSTILE['an escape sequence']}"
    )
    assert done.code == 2
    assert "No such option" in done.err
    assert_harmless(done)

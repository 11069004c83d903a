"""A sandbox that was restarted: what was delivered to the one before does not count as delivered."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from leadsquared_async.cli.history import instance_at
from leadsquared_async.sandbox import Sandbox
from tests.cli.commands import PLANTED, Finished, capture, environment, run

ANOTHER = "delivered to a sandbox that was restarted or reset since, or to another one"


def write(path: Path, *numbers: int) -> Path:
    """A file of leads with an id each."""
    lines = [f"k{number},{PLANTED}-{number}@example.com\n" for number in numbers]
    path.write_text("".join(["Id,EmailAddress\n", *lines]))
    return path


async def send(sandbox: Sandbox, file: Path, *options: str | Path) -> Finished:
    """A capture without its outcomes."""
    return await capture(sandbox, file, "--no-confirm", "--json", "--ignore", "Id", *options)


def port_of(sandbox: Sandbox) -> int:
    return httpx.URL(sandbox.url).port or 0


def starts_over(done: Finished, outbox: Path, rows: int) -> bool:
    """Whether a run said what is the matter, and how to start over, and sent nothing."""
    assert done.code == 2
    assert done.out == ""
    assert f"{outbox} holds {rows} row" in done.err
    assert ANOTHER in done.err
    return f"rm {outbox}*" in done.err


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("own_key", [False, True])
async def test_a_restarted_sandbox_is_noticed(seed: int | None, own_key: bool, tmp_path: Path) -> None:
    """The run sends nothing and says how to start over, also where a seed gives the same ids again."""
    file, outbox = write(tmp_path / "a.csv", 1, 2), tmp_path / "a.csv.sandbox.outbox"
    key = ("--key", "Id") if own_key else ()
    async with Sandbox(limit=None, seed=seed) as sandbox:
        port = port_of(sandbox)
        assert (await send(sandbox, file, *key)).code == 0
        again = await send(sandbox, file, *key)
        assert (again.code, again.json["delivered_before"]) == (0, 2)
    async with Sandbox(limit=None, seed=seed, port=port) as sandbox:
        assert starts_over(await send(sandbox, file, *key), outbox, 2)
        assert starts_over(await send(sandbox, file, *key, "--dry-run"), outbox, 2)
        write(file, 7)  # which the outbox does not know
        assert starts_over(await send(sandbox, file, *key), outbox, 2)
        write(file, 1, 2)
        assert sandbox.books.accepted == 0
        for left in tmp_path.glob("a.csv.sandbox.outbox*"):
            left.unlink()
        assert (await send(sandbox, file, *key)).code == 0
        assert sandbox.books.accepted == 2


async def test_a_reset_is_a_restart(sandbox: Sandbox, tmp_path: Path) -> None:
    """A run notices a reset; another outbox starts over."""
    file = write(tmp_path / "a.csv", 1, 2)
    assert (await send(sandbox, file)).code == 0
    sandbox.books.reset()
    assert starts_over(await send(sandbox, file), tmp_path / "a.csv.sandbox.outbox", 2)
    assert (await send(sandbox, file, "--outbox", tmp_path / "other.outbox")).code == 0
    assert sandbox.books.accepted == 2


async def test_what_was_not_sent_goes_to_the_new_sandbox(sandbox: Sandbox, tmp_path: Path) -> None:
    """Pending rows are sent to the new sandbox."""
    file = write(tmp_path / "a.csv", 1, 2)
    wrong = {"LEADSQUARED_API_KEY": "wrong-key-of-a-test"}
    assert (await capture(sandbox, file, "--no-confirm", "--ignore", "Id", **wrong)).code == 4
    sandbox.books.reset()
    assert (await send(sandbox, file)).code == 0
    assert sandbox.books.accepted == 2


@pytest.mark.parametrize("own_key", [False, True])
async def test_two_sandboxes_at_once_are_not_taken_for_each_other(own_key: bool, tmp_path: Path) -> None:
    """With one outbox: rows known by their content go to each, those with keys of their own are refused."""
    file, outbox = write(tmp_path / "a.csv", 1, 2), tmp_path / "a.csv.sandbox.outbox"
    key = ("--key", "Id") if own_key else ()
    async with Sandbox(limit=None) as first, Sandbox(limit=None) as second:
        assert (await send(first, file, *key)).code == 0
        done = await send(second, file, *key)
        if own_key:
            assert starts_over(done, outbox, 2)
        else:
            assert (done.code, done.json["delivered_before"]) == (0, 0)
        for sandbox, accepted in ((first, 2), (second, 0 if own_key else 2)):
            if accepted:
                assert (await send(sandbox, file, *key)).json["delivered_before"] == 2
            assert sandbox.books.accepted == accepted


async def test_a_sandbox_that_is_entered_again_goes_on(tmp_path: Path) -> None:
    """A sandbox that is entered again keeps its account."""
    file = write(tmp_path / "a.csv", 1, 2)
    sandbox = Sandbox(limit=None)
    async with sandbox:
        port = port_of(sandbox)
        assert (await send(sandbox, file)).code == 0
    sandbox._asked_port = port
    async with sandbox:
        assert (await send(sandbox, file)).json["delivered_before"] == 2


async def test_submissions_notice_it_as_well(sandbox: Sandbox, tmp_path: Path) -> None:
    """`submit` notices a restart as `capture` does."""
    file = tmp_path / "a.jsonl"
    details = '{"OpportunityNote": "x", "ProspectOpportunityId": "00000000-0000-4000-8000-000000000001"}'
    file.write_text(f'{{"details": {details}}}\n')

    async def submit() -> Finished:
        command = ("submit", "opportunities.update", file, "--no-confirm", "--json")
        return await run(*command, env=environment(sandbox))

    first = await submit()
    assert first.code == 0, first.err
    sandbox.books.reset()
    assert starts_over(await submit(), tmp_path / "a.jsonl.sandbox.outbox", 1)


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"[]", b"{}", b"null", b'{"instance":1}', b'{"instance":"\\u001b[2J"}', b"[" * 100_000],
)
async def test_what_is_no_sandbox_has_no_instance(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it answers; then nothing is checked."""
    client = httpx.AsyncClient
    answering = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    monkeypatch.setattr(httpx, "AsyncClient", lambda **_: client(transport=answering))
    assert await instance_at("http://127.0.0.1:8025") is None


@pytest.mark.parametrize("origin", ["", "https://asyncapi.leadsquared.com", "http://127.0.0.1.evil.example"])
async def test_only_this_machine_is_asked(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other host is asked for its instance."""
    monkeypatch.setattr(httpx, "AsyncClient", None)
    assert await instance_at(origin) is None


async def test_a_sandbox_that_is_down_has_no_instance(sandbox: Sandbox) -> None:
    """The run says what is the matter with the calls themselves."""
    assert await instance_at(sandbox.url) == sandbox.books.instance
    assert await instance_at("http://127.0.0.1:9") is None

"""docs/first-contact.md: the accounts to rehearse with start, and the probe says what the page says."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from leadsquared_async.cli import doctor, probing, sandbox
from leadsquared_async.sandbox import Sandbox
from leadsquared_async.sandbox.settings import Options
from tests.cli.commands import environment, run
from tests.test_start_page import run as run_in_shell

PAGE = (Path(__file__).parent.parent.parent / "docs" / "first-contact.md").read_text()
REHEARSALS = [
    shlex.split(line, comments=True) for line in PAGE.splitlines() if line.startswith("leadsquared sandbox")
]


async def options_of(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Options:
    """The options of the sandbox that a line starts, without latency and limit."""
    started = list[Options]()

    async def record(_port: int, chosen: Options, *, quiet: bool) -> None:
        started.append(chosen)

    monkeypatch.setattr(sandbox, "run_sandbox", record)
    assert (await run(*words[1:])).code == 0
    (options,) = started
    return {**options, "limit": None, "faults": replace(options["faults"], latency=0, jitter=0)}


async def test_every_sentence_of_the_probe_on_the_page_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rehearsal runs; together they say every sentence of the page's table, and nothing is created."""
    for module in (doctor, probing):
        monkeypatch.setattr(module, "WITHIN", 0.5)
    said = ""
    for words in REHEARSALS:
        async with Sandbox(**await options_of(words, monkeypatch)) as account:
            done = await run("doctor", "--probe-keys", env=environment(account))
            assert account.books.accepted == 0
            said += done.out
    sentences = re.findall(r"^\| (?:the same with )?`(.*?)` \|", PAGE, re.MULTILINE)
    sentences = [sentence for sentence in sentences if not sentence.startswith("leadsquared ")]
    assert len(sentences) == 9
    for sentence in sentences:
        pattern = ".*".join(re.escape(part) for part in sentence.split("..."))
        assert re.search(pattern, said), sentence
    assert "export LEADSQUARED_KEYS_IN=headers" in said


@pytest.mark.slow
async def test_the_test_lead_is_sent_twice_and_is_one_lead(tmp_path: Path) -> None:
    """The second file is another run, and LeadSquared finds the lead of the first."""
    (commands,) = re.findall(r"^```sh\n(cat > test-lead.csv.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    async with Sandbox(attributes="account") as account:
        printed = await run_in_shell(tmp_path, account, commands)
        (lead_id,) = account.books.leads
        assert len(account.books.submitted("capture")) == 2
    assert printed.count(f"{lead_id},confirmed\n") == 2

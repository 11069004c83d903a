"""docs/examples/kubernetes.yaml: its commands are run, and what has to go together does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from leadsquared_async import Outbox, RateLimit
from leadsquared_async.client import GRACE as CLIENTS
from leadsquared_async.outbox.connection import BUSY
from leadsquared_async.outbox.lifecycle import GRACE as OUTBOXES
from leadsquared_async.sandbox import Faults, Sandbox
from tests.examples.programs import DOWN, EXAMPLES, FAST, PLANTED, browser, numbers, running

pytestmark = pytest.mark.slow

MANIFEST = (EXAMPLES / "kubernetes.yaml").read_text()
FORM, DRAIN = (part for part in MANIFEST.split("\n---\n") if "template:" in part)


def commands(part: str) -> list[list[str]]:
    """Each container's, then its preStop; a list of words in brackets is JSON as well."""
    return [json.loads(words) for words in re.findall(r"\bcommand: (\[.*?\])", part, re.DOTALL)]


def text(part: str, name: str) -> str:
    """The first value of this name."""
    found = re.search(rf"\b{name}: ([^\s,}}]+)", part)
    assert found is not None, name
    return found[1]


def number(part: str, name: str) -> int:
    return int(text(part, name))


def environment(part: str) -> Mapping[str, str]:
    """The variables that are not in the secret."""
    return dict(re.findall(r"- name: (\w+)\n +value: (.+)", part))


def here(part: str, volume: Path, container: int = 0) -> list[str]:
    """A container's command on this machine: the servers are on loopback, and there is no limit."""
    others = {"leadsquared": "leadsquared_async", "0.0.0.0": "127.0.0.1", "8000": "{port}", "5/5": "1000/1"}
    others["0.0.0.0:8026"] = "127.0.0.1:{port}"
    mount = text(part, "mountPath")
    return [others.get(word, word).replace(mount, str(volume)) for word in commands(part)[2 * container]]


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """What pod and Job mount, one after the other; they do not work in it."""
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


async def test_what_a_pod_leaves_on_its_volume_the_job_delivers(tmp_path: Path, volume: Path) -> None:
    """Visitors are thanked and probes content while LeadSquared is down; later each lead goes once."""
    mount = text(FORM, "mountPath")
    env = {name: value.replace(mount, str(volume)) for name, value in environment(FORM).items()}
    env["LEADSQUARED_RATE_LIMIT"] = FAST
    env["PYTHONPATH"] = str(EXAMPLES / "deploy")
    deliverer = here(FORM, volume, container=1)
    async with Sandbox(limit=None, faults=DOWN) as sandbox:
        async with (
            running(*here(FORM, volume), sandbox=sandbox, folder=tmp_path, **env) as pod,
            running(*deliverer, sandbox=sandbox, folder=tmp_path, **env) as beside,
        ):
            async with browser(pod) as visitors:
                for visitor in range(3):
                    values = {"EmailAddress": f"{PLANTED}-{visitor}@example.com"}
                    assert (await visitors.post("/", data=values)).status_code == 200
                probes = re.findall(r"path: (\S+), port: http", FORM)
                assert [(await visitors.get(path)).status_code for path in probes] == [200, 200, 200]
            (path,) = re.findall(r"path: (\S+), port: deliverer", FORM)
            async with browser(beside) as kubelet:
                assert (await kubelet.get(path)).status_code == 200
            await pod.stopped(within=number(FORM, "terminationGracePeriodSeconds"))
            assert await beside.stopped(within=number(FORM, "terminationGracePeriodSeconds")) == 0
        assert numbers(sandbox) == []
        sandbox.books.faults = Faults()
        async with running(*here(DRAIN, volume), sandbox=sandbox, folder=tmp_path) as job:
            assert await job.ended() == 0, job.said
        assert numbers(sandbox) == [0, 1, 2]
        assert sandbox.books.duplicates == 0


async def test_the_job_fails_where_a_second_run_would_hide_it(tmp_path: Path, volume: Path) -> None:
    """What the command ends with when there is no file, or a lead is rejected, is not tried again."""
    values = re.search(r"operator: In, values: \[(.*)\]", DRAIN)
    assert values is not None
    final = set(map(int, values[1].split(",")))
    async with Sandbox(limit=None, attributes={"FirstName"}) as sandbox:

        async def ends() -> int:
            async with running(*here(DRAIN, volume), sandbox=sandbox, folder=tmp_path) as job:
                return await job.ended()

        assert await ends() in final
        async with Outbox(volume / "leads.db") as leads:
            await leads.put({"EmailAddress": "bret.lee@example.com"})
        assert await ends() in final
        assert await ends() == 0  # which is why


def test_the_job_finds_what_a_pod_has_left() -> None:
    """Its claim is called as the set calls them, and its user may read the file."""
    ours = f"leads-{text(FORM, 'name')}-"
    assert re.fullmatch(rf"{ours}\d+", text(DRAIN, "claimName"))
    assert text(DRAIN, "name") == f"drain-{text(DRAIN, 'claimName')}"
    assert text(DRAIN, "runAsUser") == text(FORM, "runAsUser")
    assert (text(FORM, "whenScaled"), text(FORM, "whenDeleted")) == ("Retain", "Retain")


def test_the_pods_and_the_job_keep_to_one_limit_together() -> None:
    """Each has its share of the account's 25 calls in 5 s."""
    pod = RateLimit.parse(environment(FORM)["LEADSQUARED_RATE_LIMIT"])
    words = commands(DRAIN)[0]
    job = RateLimit.parse(words[words.index("--rate") + 1])
    whole = RateLimit(25, per=5.0)
    assert pod.per == job.per == whole.per
    assert number(FORM, "replicas") * pod.calls + job.calls == whole.calls


def test_a_pod_is_given_the_time_that_its_end_may_take() -> None:
    """The preStop's, the outbox's, the client's, and twice what SQLite waits for a lock.

    The deliverer begins to stop when the form has ended.
    """
    server, before, _, before_delivery = commands(FORM)
    assert before[0] == before_delivery[0] == "sleep"
    slow = server[server.index("--timeout-graceful-shutdown") + 1]
    assert int(before_delivery[1]) >= int(before[1]) + int(slow)
    ours = OUTBOXES + CLIENTS + 2 * BUSY / 1000
    assert number(FORM, "terminationGracePeriodSeconds") > int(before_delivery[1]) + ours
    assert number(DRAIN, "terminationGracePeriodSeconds") > ours

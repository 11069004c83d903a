"""docs/examples/celery_tasks.py: real workers, on a real Valkey, before a LeadSquared on this machine."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from leadsquared_async.sandbox import Faults, Sandbox
from tests.cli.commands import bodies
from tests.examples.programs import PLANTED, Program, running, until
from tests.limiter.valkey import Valkey

pytestmark = pytest.mark.slow

WORKER = ("worker", "--loglevel", "INFO", "--concurrency", "2", "--task-events")
AT_ONCE = ("--without-mingle", "--without-gossip")  # it asks no other workers

PRODUCER = """
from sys import argv
from celery_tasks import capture
for lead in eval(argv[1]):
    capture.delay(lead)
"""
SOON = """
import celery_tasks
from celery_tasks import app
celery_tasks.AGAIN_AFTER = 0.5
"""


@asynccontextmanager
async def celery(
    *command: str, valkey: Valkey, sandbox: Sandbox, folder: Path, tasks: str = "celery_tasks"
) -> AsyncIterator[Program]:
    settings = {
        "BROKER_URL": valkey.url.replace("unix:", "redis+socket:"),
        "LIMITER_URL": valkey.url,
        "LEADSQUARED_RATE_LIMIT": "20/1",
    }
    words = ("celery", "-A", tasks, *command) if command[0] == "worker" else command
    async with running(*words, sandbox=sandbox, folder=folder, **settings) as program:
        yield program


async def produce(leads: Iterable[dict[str, Any]], valkey: Valkey, sandbox: Sandbox, folder: Path) -> None:
    """Have another program hand leads over."""
    (folder / "producer.py").write_text(PRODUCER)
    async with celery(
        "producer", repr(list(leads)), valkey=valkey, sandbox=sandbox, folder=folder
    ) as program:
        assert await program.ended() == 0, program.said


def people(numbers: Iterable[int]) -> list[dict[str, Any]]:
    return [{"EmailAddress": f"{PLANTED}-{number}@example.com"} for number in numbers]


def messages(valkey: Valkey) -> list[str]:
    """What the broker shows of each message that waits or is at work, the arguments themselves apart."""
    with redis.Redis.from_url(valkey.url) as store:
        waiting: Any = store.lrange("celery", 0, -1)
        at_work: Any = store.hvals("unacked")
    found = [json.loads(text) for text in waiting] + [json.loads(text)[0] for text in at_work]
    for message in found:
        assert PLANTED.encode() in base64.b64decode(message.pop("body"))
    return list(map(json.dumps, found))


async def test_thirty_leads_two_processes_one_stop_in_the_middle(tmp_path: Path, own_valkey: Valkey) -> None:
    """All are delivered, each once and never over the limit; SIGTERM finishes what is on its way."""
    where: Any = {"valkey": own_valkey, "folder": tmp_path}
    async with Sandbox(limit=(20, 1.0), faults=Faults(latency=0.02)) as sandbox:
        await produce(people(range(30)), sandbox=sandbox, **where)
        shown = messages(own_valkey)
        assert len(shown) == 30
        assert not any(PLANTED in message for message in shown)
        async with celery(*WORKER, *AT_ONCE, sandbox=sandbox, **where) as program:
            await until(lambda: sandbox.books.accepted >= 8)
            assert await program.stopped() == 0
            assert program.said.count(" was accepted: ") == sandbox.books.accepted < 30
        async with celery(*WORKER, *AT_ONCE, sandbox=sandbox, **where) as program:
            await until(lambda: sandbox.books.accepted >= 30)
            assert await program.stopped() == 0
        assert sorted(body["EmailAddress"] for body in bodies(sandbox)) == sorted(
            person["EmailAddress"] for person in people(range(30))
        )
        assert sandbox.books.over_limit == 0
    assert messages(own_valkey) == []


async def test_who_tries_again(tmp_path: Path, own_valkey: Valkey) -> None:
    """Keys revoked: Celery, later. An answer lost: the client, at once; but nobody if that could make two."""
    (tmp_path / "soon.py").write_text(SOON)
    where: Any = {"valkey": own_valkey, "folder": tmp_path}
    async with Sandbox(limit=None, faults=Faults(script=("401", "lost+taken", "ok"))) as sandbox:
        await produce(people([1]), sandbox=sandbox, **where)
        async with celery(*WORKER, *AT_ONCE, tasks="soon", sandbox=sandbox, **where) as program:
            await program.says(" retry: Retry in 0.5s: AuthenticationFailed(")
            assert not any(PLANTED in message for message in messages(own_valkey))
            await program.says(" was accepted: ")
            assert list(map(int, sandbox.books.attempts.values())) == [3]
            sandbox.books.faults = Faults(script=("lost+taken",))
            await produce([{"FirstName": PLANTED}], sandbox=sandbox, **where)
            await program.says(" is not delivered (unknown): ")
            assert await program.stopped() == 0
        assert len(bodies(sandbox)) == 3
    assert messages(own_valkey) == []


async def test_a_worker_without_keys_takes_nothing(tmp_path: Path, own_valkey: Valkey) -> None:
    """It ends at once and says what is missing; its leads wait."""
    where: Any = {"valkey": own_valkey, "folder": tmp_path}
    async with Sandbox(limit=None) as sandbox:
        await produce(people([1]), sandbox=sandbox, **where)
        (tmp_path / "keyless.py").write_text(
            "import os; del os.environ['LEADSQUARED_ACCESS_KEY']; from celery_tasks import app"
        )
        async with celery(*WORKER, *AT_ONCE, tasks="keyless", sandbox=sandbox, **where) as program:
            assert await program.ended() == 1
            assert "LEADSQUARED_ACCESS_KEY" in program.said
    assert len(messages(own_valkey)) == 1

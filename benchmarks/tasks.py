"""Is any lead lost when workers are killed at random during an outage?

2,000 leads as tasks of three workers. Everything runs at ten times the usual rate, and LeadSquared is down
for 15 seconds.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from redis.asyncio import Redis

from benchmarks.figures import Figure
from benchmarks.processes import ROOT
from benchmarks.tasks_worker import CALLS, OUTCOMES, PER, account
from leadsquared_async import submissions
from leadsquared_async.integrations.taskiq import LeadSquaredTasks, StreamBroker
from leadsquared_async.sandbox import Faults, Sandbox
from tests.limiter.valkey import Valkey

LEADS = 2000
WORKERS = 3
OUTAGE = (10.0, 15.0)
"""When it begins, and how long it is: seconds."""
KILL_EVERY = 7.0
WITHIN = 300.0
USUAL = Faults(latency=0.005, jitter=0.01)


def measure() -> Iterator[Figure]:
    """What arrived, what was reported, what was refused."""
    with tempfile.TemporaryDirectory() as folder:
        store = Valkey(Path(folder))
        store.start()
        try:
            yield from asyncio.run(_run(store))
        finally:
            store.stop()


async def _run(store: Valkey) -> list[Figure]:
    async with Sandbox(limit=(CALLS, PER), processing_rate=60_000.0, faults=USUAL) as sandbox:
        os.environ |= {"TASKS_STORE": store.url, "TASKS_SANDBOX": sandbox.url}
        await _submit(store.url)
        workers = [_worker() for _ in range(WORKERS)]
        breaking = asyncio.create_task(_break(sandbox))
        killing = asyncio.create_task(_kill(workers))
        try:
            reported, took = await _until_reported(store.url)
        finally:
            breaking.cancel()
            killing.cancel()
            stopped = [_end(worker, signal.SIGTERM) for worker in workers]
        kills = sum(code == -signal.SIGKILL for code in stopped)
        accepted = sum(request["operation"] == "capture" for request in sandbox.books.requests)
        return [
            Figure(f"leads of {LEADS} that arrived", len(sandbox.books.leads), least=LEADS),
            Figure("references reported as confirmed", reported["confirmed"], least=LEADS),
            Figure(
                "references reported as anything else", sum(reported.values()) - reported["confirmed"], most=0
            ),
            Figure("429s", sandbox.books.over_limit, most=0, note=f"{len(sandbox.books.arrivals)} calls"),
            Figure(
                f"repeats after {kills} kills / what may be in flight at one",
                (accepted - LEADS) / CALLS,
                most=kills,
            ),
            Figure(f"seconds, with an outage of {OUTAGE[1]:g}", took, "s"),
            Figure("tasks left in the store", _left(store), most=0),
        ]


async def _submit(url: str) -> None:
    """What a web process does."""
    broker = StreamBroker(url)
    tasks = LeadSquaredTasks(broker, account)
    await broker.startup()
    for number in range(LEADS):
        lead = {"FirstName": "Bret", "EmailAddress": f"visitor-{number}@example.com"}
        await tasks.submit(submissions.capture_lead(lead, reference=f"form-{number}"))
    await broker.shutdown()


def _worker() -> subprocess.Popen[bytes]:
    """taskiq's own command, as a deployment runs it; it and its child are ended together."""
    command = "taskiq worker benchmarks.tasks_worker:broker --workers 1 --log-level WARNING"
    return subprocess.Popen(
        [sys.executable, "-m", *command.split(), "--wait-tasks-timeout", "5", "--shutdown-timeout", "10"],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def _break(sandbox: Sandbox) -> None:
    """LeadSquared goes down, and comes back."""
    begins, lasts = OUTAGE
    await asyncio.sleep(begins)
    sandbox.books.faults = Faults(probabilities={"503": 0.5, "refused": 0.5})
    await asyncio.sleep(lasts)
    sandbox.books.faults = USUAL


async def _kill(workers: list[subprocess.Popen[bytes]]) -> None:
    """Kill one of those that run, and start another."""
    chance = random.Random(1)
    while True:
        await asyncio.sleep(KILL_EVERY)
        os.killpg(chance.choice([it for it in workers if it.poll() is None]).pid, signal.SIGKILL)
        workers.append(_worker())


def _end(worker: subprocess.Popen[bytes], how: signal.Signals) -> int:
    if worker.poll() is None:
        worker.send_signal(how)
    try:
        return worker.wait(30.0)
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)
        return worker.wait()


async def _until_reported(url: str) -> tuple[Counter[str], float]:
    """How many items were reported in each state, each reference counted once; and the seconds."""
    began = time.monotonic()
    async with Redis.from_url(url, decode_responses=True) as redis:
        while True:
            lines = await redis.lrange(OUTCOMES, 0, -1)
            states = dict(str(line).split() for line in lines)
            took = time.monotonic() - began
            if len(states) >= LEADS or took > WITHIN:
                return Counter(states.values()), took
            await asyncio.sleep(0.5)


def _left(store: Valkey) -> int:
    """Tasks that are still in the stream."""
    return int(store.command("XLEN", "leadsquared").strip(b":\r\n"))

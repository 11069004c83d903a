"""What does a put into an outbox cost, compared with an insert through aiosqlite?

Each insert goes into a plain table, and is committed to the disk. aiosqlite's producers share one connection,
as its users do, and so the commits too: a rollback would undo the rows of the others. Its table has the key
and the lead as JSON, and no other index.

Why a put takes more with a hundred producers: a program that only encodes each lead as a put does and inserts
it into the outbox's table, with one commit for all that wait, takes 1.3 times aiosqlite's CPU. With
`json.dumps` instead of the checks it takes 0.9 times. A put also digests the lead, looks for earlier rows of
it and returns a ticket, so it does not reach aiosqlite's rate.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import aiosqlite

from benchmarks.accounts import LEAD
from benchmarks.figures import Figure
from leadsquared_async import Outbox

ALONE, PRODUCERS, EACH = 400, 100, 20
ROUNDS = 15
MOST_ALONE, MOST_TOGETHER = 1.9, 2.4
"""CPU of a put, over that of aiosqlite's insert: a put also checks and encodes the lead, digests it to notice
a reused key, and keeps more indexes."""

TABLE = "CREATE TABLE items (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, lead TEXT NOT NULL)"
INSERT = "INSERT INTO items (key, lead) VALUES (?, ?) ON CONFLICT (key) DO NOTHING"

Put = Callable[[dict[str, str], str], Awaitable[object]]


class Cost(NamedTuple):
    """What puts cost.

    Attributes:
        cpu: microseconds of the process for each, all its threads.
        rate: puts a second.
    """

    cpu: float
    rate: float


def measure() -> Iterator[Figure]:
    """CPU and rate of one producer and of many, beside aiosqlite's."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        yield Figure("fsync of 4 KB in this folder", _fsync(folder), " ms")
        for producers, each in ((1, ALONE), (PRODUCERS, EACH)):
            ours, theirs = asyncio.run(_both(folder, producers, each))
            yield from _figures(producers, ours, theirs)


def _figures(producers: int, ours: list[Cost], theirs: list[Cost]) -> Iterator[Figure]:
    who = "one producer" if producers == 1 else f"{producers} producers"
    for name, costs in (("outbox", ours), ("aiosqlite", theirs)):
        cpu, rate = (statistics.median(numbers) for numbers in zip(*costs, strict=True))
        yield Figure(f"{name}, {who}: CPU a put", cpu, " us", note=f"{rate:,.0f} a second")
    pairs = list(zip(ours, theirs, strict=True))
    cpu = statistics.median(mine.cpu / its.cpu for mine, its in pairs)
    rate = statistics.median(mine.rate / its.rate for mine, its in pairs)
    most = MOST_ALONE if producers == 1 else MOST_TOGETHER
    yield Figure(f"{who}: CPU, over aiosqlite's", cpu, "x", most=most)
    yield Figure(f"{who}: rate, over aiosqlite's", rate, "x")


def _fsync(folder: Path) -> float:
    times: list[float] = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(300):
            file.write(bytes(4096))
            start = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


async def _both(folder: Path, producers: int, each: int) -> tuple[list[Cost], list[Cost]]:
    """What each round of the outbox and of aiosqlite cost, in turn."""
    paths = [folder / f"{name}-{producers}.db" for name in ("outbox", "aiosqlite")]
    async with Outbox(paths[0]) as outbox, aiosqlite.connect(paths[1]) as database:
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", TABLE):
            await database.execute(statement)
        await database.commit()

        async def put(lead: dict[str, str], key: str) -> None:
            await outbox.put(lead, key=key)

        async def insert(lead: dict[str, str], key: str) -> None:
            await database.execute(INSERT, (key, json.dumps(lead)))
            await database.commit()

        costs: tuple[list[Cost], list[Cost]] = ([], [])
        for number in range(ROUNDS):
            for write, measured in zip((put, insert), costs, strict=True):
                measured.append(await _cost(write, number, producers, each))
    return costs


async def _cost(write: Put, number: int, producers: int, each: int) -> Cost:
    leads = [
        [
            (
                f"form-{number}-{producer}-{form}",
                {**LEAD, "EmailAddress": f"b{number}-{producer}-{form}@example.com"},
            )
            for form in range(each)
        ]
        for producer in range(producers)
    ]

    async def produce(forms: list[tuple[str, dict[str, str]]]) -> None:
        for key, lead in forms:
            await write(lead, key)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(produce, leads))
    cpu, seconds = time.process_time() - cpu, time.perf_counter() - began
    puts = producers * each
    return Cost(cpu / puts * 1e6, puts / seconds)

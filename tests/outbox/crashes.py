"""Processes that are killed, stopped and starved while they put and deliver, in front of one sandbox."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from leadsquared_async import Outbox
from leadsquared_async.sandbox import Faults, Sandbox

ROOT = Path(__file__).parent.parent.parent
CALLS = 25
OPENS_WITHIN = 20.0
DRAINS_WITHIN = 120.0
ENDS_WITHIN = 12.0


@dataclass
class Toll:
    """What it came to.

    Attributes:
        promised: keys whose put returned.
        missing: those that were not delivered.
        repeated: leads that LeadSquared took more than once.
        most: the most calls that arrived in any window of the limit.
        refused: calls that the limit refused.
        unsound: files that did not pass SQLite's check.
        sending: for each kill, the rows that were on their way.
        failed: puts that failed, by the first words of their error.
    """

    promised: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    repeated: int = 0
    most: int = 0
    refused: int = 0
    unsound: list[str] = field(default_factory=list)
    sending: list[int] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)


class Crashes:
    """One file, one sandbox; each method is one process's life.

    Args:
        folder: where the file lies.
        per: seconds of the limit's window; 25 calls in each.
        seed: for the moments.
        puts: leads that a process puts in a second.
    """

    def __init__(self, folder: Path, *, per: float, seed: int, puts: float) -> None:
        self.path = folder / "leads.db"
        self.toll = Toll()
        self._folder = folder
        self._per = per
        self._puts = puts
        self._chance = Random(seed)
        self._lives = 0
        self.sandbox = Sandbox(
            limit=(CALLS, per), processing_rate=60_000.0, faults=Faults(latency=per / 4, jitter=per / 2)
        )

    async def killed(self) -> None:
        """One that is killed at any moment, as early as while it starts."""
        child = await self._born()
        if self._chance.random() < 0.1:
            await asyncio.sleep(self._chance.uniform(0.1, 0.4))
        else:
            await child.opened()
            await asyncio.sleep(self._chance.uniform(0.0, 5 * self._per))
        await child.kill()
        self._examine()

    async def terminated(self) -> None:
        """One that is asked to end, and closes in an orderly way: nothing is on its way then."""
        child = await self._born()
        await child.opened()
        await asyncio.sleep(self._chance.uniform(0.0, 5 * self._per))
        child.process.send_signal(signal.SIGTERM)
        status = await child.ended(ENDS_WITHIN)
        assert status == 0, f"ended with {status} when it was asked to"
        self._examine(is_clean=True)

    async def stopped(self) -> None:
        """One that stands still for a while, several windows or a moment, several times; then it is
        killed."""
        child = await self._born()
        await child.opened()
        for _ in range(3):
            await asyncio.sleep(self._chance.uniform(0.0, 2 * self._per))
            child.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(self._chance.uniform(0.0, 6 * self._per))
            child.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(self._per)
        await child.kill()
        self._examine()

    async def starved(self) -> None:
        """One whose disk is full for a while; it goes on when there is room again, and then is killed."""
        child = await self._born()
        await child.opened()
        await asyncio.sleep(2 * self._per)
        usual = resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE)
        log = Path(f"{self.path}-wal")
        size = max(self.path.stat().st_size, log.stat().st_size if log.exists() else 0)
        resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE, (size + 4096, usual[1]))
        await asyncio.sleep(6 * self._per)
        resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE, usual)
        promised = len(self.toll.promised)
        await asyncio.sleep(max(3.0, 6 * self._per))
        assert len(self.toll.promised) > promised, "nothing was put after there was room again"
        await child.kill()
        self._examine()

    async def drain(self) -> Toll:
        """A last process delivers what is left; then the books are compared with what was promised."""
        child = await self._born(is_last=True)
        assert await child.ended(DRAINS_WITHIN) == 0
        async with Outbox(self.path) as outbox:
            found = await outbox.find(self.toll.promised)
            counts = (await outbox.snapshot()).counts
        delivered = {key for key, item in found.items() if item.state == "confirmed"}
        books = self.sandbox.books
        made = {lead.attributes["EmailAddress"] for lead in books.leads.values()}
        toll = self.toll
        toll.missing = {
            key for key in toll.promised if key not in delivered or f"{key}@example.com" not in made
        }
        assert {state for state, count in counts.items() if count} <= {"confirmed"}, counts
        toll.repeated = books.repeated
        toll.most = books.most_arrivals()
        toll.refused = books.over_limit
        return toll

    async def _born(self, *, is_last: bool = False) -> _Child:
        self._lives += 1
        arguments = {
            "url": self.sandbox.url,
            "path": str(self.path),
            "name": f"life{self._lives}",
            "per": self._per,
            "puts": self._puts,
            "is_last": is_last,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.outbox.child",
            json.dumps(arguments),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return _Child(process, self.toll)

    def _examine(self, *, is_clean: bool = False) -> None:
        """Look at a copy, so that the file stays as it was left."""
        copy = self._folder / "copy.db"
        for suffix in ("", "-wal"):
            Path(f"{copy}{suffix}").unlink(missing_ok=True)
            if Path(f"{self.path}{suffix}").exists():
                shutil.copy(f"{self.path}{suffix}", f"{copy}{suffix}")
        if not copy.exists():
            return  # it was killed before it made any
        connection = sqlite3.connect(copy)
        try:
            words = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            if words != ["ok"]:
                self.toll.unsound += words
            if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                sending = connection.execute("SELECT count(*) FROM items WHERE state = 'sending'")
                self.toll.sending.append(sending.fetchone()[0])
                assert not (is_clean and self.toll.sending[-1]), "rows are on their way after a clean end"
        finally:
            connection.close()


class _Child:
    def __init__(self, process: asyncio.subprocess.Process, toll: Toll) -> None:
        self.process = process
        self._toll = toll
        self._is_open = asyncio.Event()
        self._hearing = asyncio.create_task(self._hear())

    async def opened(self) -> None:
        async with asyncio.timeout(OPENS_WITHIN):
            await self._is_open.wait()

    async def kill(self) -> None:
        self.process.kill()
        await self.ended(ENDS_WITHIN)

    async def ended(self, within: float) -> int:
        """Its status, once it has ended and all that it said was heard."""
        try:
            async with asyncio.timeout(within):
                status = await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise
        await self._hearing
        return status

    async def _hear(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if not line.endswith(b"\n"):
                return
            word = line.decode().strip()
            if word == "open":
                self._is_open.set()
            elif word.startswith("!"):
                self._toll.failed[word[2:70]] += 1
            else:
                self._toll.promised.add(word)

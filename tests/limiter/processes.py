"""Real processes on one limit, and what they wrote down."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parent.parent.parent
END_WITHIN = 10.0


@dataclass
class Worker:
    """One of them.

    Attributes:
        calls: when each was asked for, sent, and arrived.
        end: tokens it was granted, requests it made, its seconds of CPU; None if it was killed.
    """

    child: subprocess.Popen[str]
    calls: list[tuple[float, float, float]] = field(default_factory=list)
    end: tuple[int, int, float] | None = None

    def __post_init__(self) -> None:
        self.is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def tell(self) -> None:
        """Start it, or have it end."""
        assert self.child.stdin is not None
        self.child.stdin.write("\n")
        self.child.stdin.flush()

    def wait(self) -> None:
        self.child.wait(END_WITHIN)
        self._reader.join()
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            kind, *rest = line.split()
            if kind == "ready":
                self.is_ready.set()
            elif kind == "call":
                self.calls.append((float(rest[0]), float(rest[1]), float(rest[2])))
            else:
                self.end = (int(rest[0]), int(rest[1]), float(rest[2]))
        self.is_ready.set()  # one that ended keeps nobody waiting


class Workers:
    """Workers for the length of a `with` block; those that are still there then are killed."""

    def __init__(self, url: str, *, calls: int = 25, per: float = 0.5) -> None:
        self._arguments = (url, calls, per)
        self.all: list[Worker] = []

    def add(self, lane: str, waiters: int) -> Worker:
        """One more; it waits to be told."""
        url, calls, per = self._arguments
        words = (url, lane, waiters, calls, per)
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.limiter.worker", *map(str, words)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        worker = Worker(child)
        self.all.append(worker)
        return worker

    def start(self) -> None:
        """Tell all to begin, once all are ready."""
        for worker in self.all:
            assert worker.is_ready.wait(30.0)
            assert worker.child.poll() is None
        for worker in self.all:
            worker.tell()

    def stop(self) -> None:
        """Tell all to end, and wait until they have."""
        for worker in self.all:
            if worker.child.poll() is None:
                worker.tell()
        for worker in self.all:
            worker.wait()
            assert worker.child.returncode in {0, -9}

    @property
    def arrivals(self) -> list[float]:
        """Of all of them, in order."""
        return sorted(arrived for worker in self.all for _, _, arrived in worker.calls)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.all:
            if worker.child.poll() is None:
                worker.child.kill()
            worker.wait()

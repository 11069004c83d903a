"""A store, sandboxes, and processes that share one limit, for the length of a `with` block."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.accounts import LIMIT, STRICT
from benchmarks.processes import Process
from benchmarks.shared_sender import Work
from leadsquared_async import RateLimit
from tests.limiter.valkey import Valkey

PER = LIMIT.per

Reports = list[dict[str, dict[str, list[float]]]]
"""Of each process, by sandbox: see `shared_sender.Report`."""


class Fleet:
    """Processes on one limit.

    Args:
        sandboxes: by name, their options.

    Attributes:
        store: which may be stopped and started.
        books: what the sandboxes saw, once they have ended.
    """

    def __init__(self, sandboxes: Mapping[str, Mapping[str, Any]]) -> None:
        self._options = sandboxes
        self._stack = ExitStack()
        self.books: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        with self._stack as stack:
            self.store = Valkey(Path(stack.enter_context(tempfile.TemporaryDirectory())))
            self.store.start()
            stack.callback(self.store.stop)
            self._server = stack.enter_context(Process("benchmarks.sandboxes", json.dumps(self._options)))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(
        self, *names: str, limit: RateLimit = LIMIT, kind: str = "batch", leads: int | None = None
    ) -> Process:
        """One more process that sends to these sandboxes; it is there when this returns."""
        limits = {name: self._limit_for(name, limit) for name in names}
        work = Work(
            store=self.store.url,
            sandboxes={name: self._server.hello[name] for name in names},
            limits={name: (own.calls, own.per, own.margin) for name, own in limits.items()},
            kind=kind,
            leads=leads,
        )
        return self._stack.enter_context(Process("benchmarks.shared_sender", work.as_argument()))

    def end(self, processes: Collection[Process], report: Callable[[Process], Any] = Process.end) -> Reports:
        """Have them all report at once, and the sandboxes after them.

        Args:
            processes: those that are still there.
            report: `Process.end` tells them to end; `Process.heard` waits until they have sent their leads.
        """
        with ThreadPoolExecutor(len(processes)) as pool:
            reports = list(pool.map(report, processes))
        self.books = self._server.end()
        return reports

    def _limit_for(self, name: str, limit: RateLimit) -> RateLimit:
        return STRICT if self._options[name].get("counting") == "sliding-counter-strict" else limit


def rate(times: list[float], start: float, end: float) -> float:
    """Calls a second, of those between two moments."""
    there = [at for at in times if start < at < end]
    return (len(there) - 1) / (there[-1] - there[0])

"""RequestIDs followed to their end, whatever happens to the polls, the queue, the waiters and the process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from leadsquared_async import LeadSquaredError, RequestStatus
from leadsquared_async.sandbox import Faults
from tests import virtual
from tests.clients import PatchedAccount, virtual_client

T = TypeVar("T")
QUIET = Faults(latency=0.1)
FAULTS = [
    QUIET,
    Faults(latency=0.1, probabilities={"503": 0.5}, operations=("status",)),
    Faults(latency=0.1, probabilities={"lost": 0.4, "504": 0.2}, operations=("status",)),
    # Rarely empty: an id without any status for a minute is unknown.
    Faults(latency=0.1, probabilities={"html": 0.3, "empty": 0.1}, operations=("status",)),
    Faults(latency=0.1, probabilities={"429": 0.4}, operations=("status",)),
    Faults(latency=0.1, probabilities={"half-body": 0.3, "drip-body": 0.3}, operations=("status",)),
    Faults(latency=0.1, system_error=0.3),
    Faults(latency=3.0, jitter=5.0),
]
POLLS_EACH = 150
"""The most polls for one request, whatever happens; ten retries of LeadSquared take 9 h."""


@dataclass(eq=False)
class Wait:
    """Somebody who waits for an outcome."""

    request_id: str
    task: asyncio.Task[RequestStatus]
    may_fail: bool


class TrackerMachine(RuleBasedStateMachine):
    """Captures, waits, lost answers, disorder, and processes that end."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = virtual.VirtualLoop()
        self.account = PatchedAccount(
            faults=QUIET, processing_rate=60.0, disorder=20.0, attributes=["EmailAddress"]
        )
        self.requests: list[str] = []
        self.waits: list[Wait] = []
        self.outcomes: dict[str, set[str]] = {}
        self._run(self._open())

    def _run(self, act: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(act)

    async def _open(self) -> None:
        self.lsq, self.transport = virtual_client(self.account, deadline=None)
        await self.lsq.__aenter__()

    @rule(count=st.integers(1, 20), is_wrong=st.booleans())
    def capture(self, count: int, is_wrong: bool) -> None:
        """Requests that succeed, or that LeadSquared rejects later."""

        async def capture() -> list[str]:
            extra = {"mx_Nope": "x"} if is_wrong else {}
            number = len(self.requests)
            self.transport.books.faults = QUIET
            receipts = await asyncio.gather(
                *(
                    self.lsq.leads.capture({"EmailAddress": f"p{number + n}@example.com", **extra})
                    for n in range(count)
                )
            )
            return [receipt.request_id for receipt in receipts]

        self.requests += self._run(capture())

    @precondition(lambda self: self.requests)
    @rule(which=st.integers(0, 1000), count=st.integers(1, 20), deadline=st.none() | st.integers(1, 600))
    def follow(self, which: int, count: int, deadline: int | None) -> None:
        async def wait() -> None:
            for request_id in self.requests[which % len(self.requests) :][:count]:
                task = asyncio.create_task(self.lsq.leads.wait(request_id, deadline=deadline))
                self.waits.append(Wait(request_id, task, deadline is not None))

        self._run(wait())

    @rule(seconds=st.sampled_from([0.1, 2.0, 30.0, 600.0]))
    def wait(self, seconds: float) -> None:
        self._run(asyncio.sleep(seconds))
        self.look()

    @rule(faults=st.sampled_from(FAULTS))
    def weather(self, faults: Faults) -> None:
        async def change() -> None:
            self.transport.books.faults = faults

        self._run(change())

    @rule(which=st.integers(0, 1000), count=st.integers(1, 5))
    def cancel(self, which: int, count: int) -> None:
        """Some do not wait any more."""
        waiting = [it for it in self.waits if not it.task.done()]
        for one in waiting[which % (len(waiting) + 1) :][:count]:
            one.task.cancel()
        self._run(asyncio.sleep(0))

    @rule()
    def restart(self) -> None:
        """The process ends, and the next one follows what is not known yet."""
        open_ones = [it for it in self.waits if not it.task.done()]
        for one in open_ones:
            one.may_fail = True

        async def end() -> None:
            await self.lsq.aclose()
            await asyncio.gather(*(it.task for it in self.waits), return_exceptions=True)
            await self._open()
            for one in open_ones:
                task = asyncio.create_task(self.lsq.leads.wait(one.request_id))
                self.waits.append(Wait(one.request_id, task, may_fail=False))

        self._run(end())
        self.look()

    def look(self) -> None:
        """Each wait that ended has the outcome of LeadSquared's books, or an error that it may have."""
        ended = [it for it in self.waits if it.task.done()]
        self.waits = [it for it in self.waits if not it.task.done()]
        for one in ended:
            if one.task.cancelled():
                continue
            error = one.task.exception()
            if error is None:
                status = one.task.result()
                assert status.is_final
                self.outcomes.setdefault(one.request_id, set()).add(status.raw_state)
                assert len(self.outcomes[one.request_id]) == 1, "two waits were told two outcomes"
                assert self.account.task_of(one.request_id).status.casefold() == status.raw_state.casefold()
            else:
                assert one.may_fail, f"a wait without a deadline ended with {error!r}"
                assert isinstance(error, LeadSquaredError)

    def teardown(self) -> None:
        try:
            self.weather(QUIET)

            async def end() -> None:
                if tasks := [it.task for it in self.waits]:
                    await asyncio.wait(tasks, timeout=40_000.0)
                assert all(task.done() for task in tasks), "somebody waits for ever"

            self._run(end())
            self.look()
            assert self.transport.books.over_limit == 0
            polled = Counter(path for path in self.transport.books.paths if "tatus" in path)
            assert sum(polled.values()) <= POLLS_EACH * (len(self.requests) + 1)
            self._run(self.lsq.aclose())
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self._run(asyncio.sleep(0))
            self.loop.close()

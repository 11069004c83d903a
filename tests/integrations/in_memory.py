"""Tasks in virtual time, on a broker in memory whose worker has a client of a sandbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from taskiq import InMemoryBroker

from leadsquared_async import LeadSquared, Submission, submissions
from leadsquared_async.integrations.taskiq import LeadSquaredTasks, TaskOutcome
from leadsquared_async.sandbox import Account, Books, Faults, SandboxTransport
from tests import virtual
from tests.clients import LEAD, PatchedAccount, virtual_client
from tests.integrations.workers import until

USUAL = Faults(latency=0.04)


class World:
    """A broker, its worker, and the outcomes that its callback got."""

    def __init__(self, account: Account, client: dict[str, Any], options: dict[str, Any]) -> None:
        self._account = account
        self._client = client
        self.transport: SandboxTransport
        self.broker = InMemoryBroker(max_async_tasks=40)
        self.tasks = LeadSquaredTasks(self.broker, self._open, **options)
        self.outcomes: list[TaskOutcome] = []
        self.tasks.on_final(self.outcomes.append)

    def _open(self) -> LeadSquared:
        lsq, self.transport = virtual_client(self._account, **self._client)
        return lsq

    @property
    def books(self) -> Books:
        return self.transport.books

    async def reported(self, count: int) -> list[TaskOutcome]:
        """The outcomes, once there are so many."""
        await until(lambda: len(self.outcomes) >= count, within=50_000, every=0.5)
        return self.outcomes

    @property
    def states(self) -> list[str]:
        return [outcome.state for outcome in self.outcomes]


def play(
    what: Callable[[World], Awaitable[None]],
    options: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
    **account: Any,
) -> None:
    """Do something with a worker that runs."""

    async def main() -> None:
        account.setdefault("faults", USUAL)
        world = World(PatchedAccount(**account), client or {}, options or {})
        await world.broker.startup()
        try:
            await what(world)
        finally:
            await world.broker.shutdown()
        assert world.books.over_limit == 0

    virtual.run(main)


def capture(number: int = 0) -> Submission:
    lead = {**LEAD, "EmailAddress": f"p{number}@example.com"}
    return submissions.capture_lead(lead, reference=f"form-{number}")

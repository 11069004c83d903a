"""Clients for tests: the real thing, in front of a sandbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import httpx

from leadsquared_async import Lane, LeadSquared, RateLimit
from leadsquared_async.sandbox import Account, Books, Faults, Reply, Request, Sandbox, SandboxTransport
from leadsquared_async.sandbox.operations import Call
from leadsquared_async.sandbox.processing import Task
from leadsquared_async.sandbox.settings import ACCESS_KEY, API_KEY, SECRET_KEY
from tests import virtual

T = TypeVar("T")

KEYS = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "api_key": API_KEY}
LEAD = {"FirstName": "Bret", "EmailAddress": "bret.lee@example.com"}


class FailingLimiter:
    """A limiter of the caller's whose store may be down.

    Attributes:
        error: what it raises; None lets every call pass.
        asked: how often a call has asked to pass.
    """

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
        self.asked = 0

    async def acquire(self, lane: Lane, deadline: float | None = None) -> None:
        del lane, deadline
        self.asked += 1
        self.release()

    def release(self, *, counted: bool = True) -> None:
        del counted
        if self.error is not None:
            raise self.error

    def release_unused(self) -> None:
        self.release()

    def on_rate_limited(self, pause: float | None = None, named: tuple[int, float] | None = None) -> None: ...


class PatchedAccount(Account):
    """A sandbox's account whose answers a test replaces; the real one takes no attribute.

    Its options are answers that LeadSquared may give as well, since no page documents them.

    Args:
        unknown_id: what the status of an unknown RequestID is: "404", or an "empty" 200.
        known_after: seconds for which the RequestID of an accepted request stays unknown.
        rejected_status: the status of a request that ended in an application error.
        retrying_status: the status of a request that waits for its next try.
        flat_opportunity: whether the outcome of an opportunity is written as by the synchronous API.
        disorder: seconds; an outcome is shown up to twice as much later than it is there (uniform).
        retry_after: the Retry-After header of an answer over the limit.
        options: as `Account` takes them.
    """

    def __init__(
        self,
        *,
        unknown_id: str = "404",
        known_after: float = 0.0,
        rejected_status: str = "FAILURE",
        retrying_status: str = "In-Queue",
        flat_opportunity: bool = False,
        disorder: float = 0.0,
        retry_after: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._unknown = Reply(200) if unknown_id == "empty" else None
        self._known_after = known_after
        self._statuses = {"FAILURE": rejected_status, "retrying": retrying_status}
        self._flat_opportunity = flat_opportunity
        self._disorder = disorder
        self._retry_after = retry_after

    def task_of(self, request_id: str) -> Task:
        return next(q.tasks[request_id] for q in self.queues.values() if request_id in q.tasks)

    def shown_at(self, request_id: str) -> float | None:
        """When the outcome of a request shows, in seconds; None while there is none."""
        finished_at = self.task_of(request_id).finished_at
        delay = Random(request_id).uniform(0, 2 * self._disorder)
        return None if finished_at is None else finished_at / self.settings.speed + delay

    def _over_limit(self, call: Call) -> Reply:
        reply = super()._over_limit(call)
        headers = {} if self._retry_after is None else {"retry-after": self._retry_after}
        return replace(reply, headers={**reply.headers, **headers})

    def _serve(self, request: Request, call: Call, *rest: Any) -> Reply:
        reply = super()._serve(request, call, *rest)
        if call.kind != "status":
            return reply
        if reply.status == 404:
            return self._unknown or reply
        content = json.loads(reply.body)
        task = self.task_of(content.get("RequestId") or content["RequestID"])
        now = rest[-1]
        if now < task.accepted_at / self.settings.speed + self._known_after:
            return self._unknown or Reply(404, body=b'{"message":"Not Found"}')
        shown_at = self.shown_at(task.request_id)
        if shown_at is not None and now < shown_at:
            content["TaskStatus"] |= {"Status": "In-Queue", "StatusReason": "", "Message": None}
        elif task.errors and task.finished_at is None:
            content["TaskStatus"]["Status"] = self._statuses["retrying"]
        else:
            content["TaskStatus"]["Status"] = self._statuses.get(task.status, task.status)
            if self._flat_opportunity and task.operation.name == "opportunity":
                content["TaskStatus"]["Message"] = json.dumps(_flat(json.loads(task.message or "")))
        return replace(reply, body=json.dumps(content).encode())


def _flat(message: dict[str, Any]) -> dict[str, Any]:
    """The outcome of an opportunity, neither wrapped nor with a word for its status."""
    return {
        "Status": 0,
        "IsUnique": True,
        "RelatedProspectId": message["Message"]["RelatedId"],
        "CreatedOpportunityId": message["Message"]["Id"],
        "ConflictedOpportunityId": None,
        "AdditionalDetails": [
            {"PostDeDupActionPerformed": 1, "ActivityId": "cccccccc-0000-4000-8000-000000000003"}
        ],
    }


def client_of(sandbox: Sandbox, **options: Any) -> LeadSquared:
    """A client of a sandbox on a socket."""
    return LeadSquared(**{**KEYS, "host": sandbox.url, "sync_host": sandbox.url, **options})


def own_connections(lsq: LeadSquared, origin: str) -> Any:
    """The connections that a client has to a host."""
    own = lsq._session.transport._own
    assert own is not None
    return own._hosts[httpx.URL(origin).netloc]


def virtual_client(account: Account, **options: Any) -> tuple[LeadSquared, SandboxTransport]:
    """A client of a sandbox without a socket, for a loop with a virtual clock."""
    transport = SandboxTransport(account)
    host = "https://sandbox.invalid"
    options = {"transport": transport, "host": host, "sync_host": host, **options}
    return LeadSquared(**{**KEYS, **options}), transport


def answering(handler: Any, **options: Any) -> LeadSquared:
    """A client whose calls a function answers; no call waits for a token, unless a limit is given."""
    transport, wide = httpx.MockTransport(handler), RateLimit(1000, per=0.01)
    options = {"transport": transport, "host": "https://sandbox.invalid", "rate_limit": wide, **options}
    return LeadSquared(**{**KEYS, "bulk_limit": wide, **options})


def play(
    what: Callable[[LeadSquared, Books], Awaitable[T]],
    faults: Faults | None = None,
    options: dict[str, Any] | None = None,
    **account: Any,
) -> T:
    """Run something with a client of a sandbox in virtual time; no task of the client is left after it."""

    async def main() -> T:
        faulty = PatchedAccount(faults=faults or Faults(latency=0.1), **account)
        client, transport = virtual_client(faulty, **(options or {}))
        async with client as lsq:
            result = await what(lsq, transport.books)
        left = {task for task in asyncio.all_tasks() if task.get_name() != "sandbox arrival"}
        assert left == {asyncio.current_task()}
        return result

    return virtual.run(main)

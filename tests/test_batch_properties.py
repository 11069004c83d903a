"""Batches of any shape: every one ends, and no result is missing, doubled or invented."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Literal

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadsquared_async import (
    ClientClosed,
    Delivery,
    Fault,
    Forbidden,
    LeadSquared,
    LeadSquaredError,
    NoSuchPath,
    Rejected,
    Scope,
    Submission,
    SubmissionResult,
    submissions,
)
from leadsquared_async.batch import Held, Results, Source
from leadsquared_async.resources.submit import unsent_error
from leadsquared_async.sandbox import Account
from tests import virtual
from tests.clients import virtual_client

MOST = 60
"""Results that a consumer of an endless source takes."""
PATIENCE = 20_000.0
"""Virtual seconds in which everything has to be over."""


class SourceFailed(Exception):
    pass


class WorkFailed(Exception):
    pass


class BodyFailed(Exception):
    pass


@dataclass(frozen=True)
class Item:
    """What happens to one item: it waits, is sent, and ends in some way."""

    operation: Literal["capture", "call"]
    waits: float
    takes: float
    ends: Literal["accepted", "lead", "operation", "account", "bug"]


@dataclass(frozen=True)
class Plan:
    """A batch from beginning to end."""

    items: tuple[Item, ...]
    is_endless: bool
    is_asynchronous: bool
    gap: float
    source_fails: bool
    concurrency: int
    pause: float
    takes: int
    leaves: Literal["at the end", "break", "error", "cancel", "scope", "sleep"]
    leaves_at: float
    closes_at: float | None


seconds = st.sampled_from((0.0, 0.0, 0.1, 1.0, 7.0))
items = st.builds(
    Item,
    operation=st.sampled_from(("capture", "call")),
    waits=seconds,
    takes=seconds,
    ends=st.sampled_from((*["accepted"] * 3, *["operation"] * 3, "lead", "account", "bug")),
)
# In runs: what hangs are often many of the same kind in a row, such as a tail of one operation.
runs = st.lists(st.tuples(items, st.integers(1, 8)), max_size=4).map(
    lambda runs: tuple(item for item, count in runs for _ in range(count))
)
plans = st.builds(
    Plan,
    items=runs,
    is_endless=st.booleans(),
    is_asynchronous=st.booleans(),
    gap=seconds,
    source_fails=st.booleans(),
    concurrency=st.integers(1, 5),
    pause=seconds,
    takes=st.integers(0, 15),
    leaves=st.sampled_from(("at the end", "at the end", "break", "error", "cancel", "scope", "sleep")),
    leaves_at=st.sampled_from((0.0, 0.05, 0.5, 3.0, 30.0)),
    closes_at=st.none() | st.sampled_from((0.0, 0.05, 0.5, 3.0, 30.0)),
)


class World:
    """Plays a plan, and keeps what was seen."""

    def __init__(self, plan: Plan, lsq: LeadSquared) -> None:
        self.plan = plan
        self.lsq = lsq
        self.pulled = 0
        self.taken: list[SubmissionResult] = []
        self.is_over = False
        self.is_left = False
        self.raised: BaseException | None = None
        self.met: list[LeadSquaredError] = []
        self.bugs: list[WorkFailed] = []
        self.source_error = SourceFailed()
        self.closings: list[str] = []
        self.began: list[int] = []

    def item(self, number: int) -> Submission:
        made = self.plan.items[number % len(self.plan.items)]
        if made.operation == "capture":
            return submissions.capture_lead({"FirstName": "Bret"}, reference=f"form-{number}")
        return submissions.log_call("key", {"SourceNumber": "1"}, reference=f"form-{number}")

    def give(self) -> None:
        assert self.pulled - len(self.taken) < self.plan.concurrency
        self.pulled += 1

    def items(self) -> Iterator[Submission]:
        try:
            endless = itertools.count() if self.plan.items else iter(())
            for number in endless if self.plan.is_endless else range(len(self.plan.items)):
                if not self.plan.is_asynchronous:
                    self.give()
                yield self.item(number)
            if self.plan.source_fails:
                raise self.source_error
        finally:
            self.closings.append("source")

    async def slowly(self) -> AsyncIterator[Submission]:
        made = self.items()
        try:
            for item in made:
                await asyncio.sleep(self.plan.gap)
                self.give()
                yield item
        finally:
            made.close()  # type: ignore[attr-defined]
            await asyncio.sleep(0)  # as a cursor does that is closed
            self.closings.append("asynchronous source")

    async def work(self, held: Held[Submission]) -> SubmissionResult:
        plan = self.plan.items[held.index % len(self.plan.items)]
        try:
            await self.lsq._session.pipeline().pause(plan.waits)
            assert not self.is_left  # what was not sent when the block was left never is
            await held.about_to_send()
            self.began.append(held.index)
            await asyncio.sleep(plan.takes)
            match plan.ends:
                case "bug":
                    self.bugs.append(WorkFailed())
                    raise self.bugs[-1]
                case "lead":
                    raise Rejected(delivery=Delivery.REJECTED, fault=Fault.LEAD)
                case "operation":
                    operation = held.item.operation.name
                    raise NoSuchPath(
                        delivery=Delivery.REJECTED,
                        fault=Fault.ACCOUNT,
                        scope=Scope.OPERATION,
                        operation=operation,
                    )
                case "account":
                    self.met.append(
                        Forbidden(delivery=Delivery.REJECTED, fault=Fault.ACCOUNT, scope=Scope.ACCOUNT)
                    )
                    raise self.met[-1]
                case "accepted":
                    return SubmissionResult(held.index, held.item, None, None)
        except LeadSquaredError as error:
            return SubmissionResult(held.index, held.item, None, error)

    def results(self) -> Results[SubmissionResult]:
        def unsent(held: Held[Submission], error: LeadSquaredError) -> SubmissionResult:
            return SubmissionResult(held.index, held.item, None, unsent_error("batch", error, held.item))

        return Results(
            Source(self.slowly() if self.plan.is_asynchronous else self.items(), "batch", "submissions"),
            self.work,
            unsent,
            session=self.lsq._session,
            concurrency=self.plan.concurrency,
            name="batch",
        )

    async def read(self, results: Results[SubmissionResult], most: int) -> None:
        try:
            while len(self.taken) < most:
                self.taken.append(await anext(results))
                await asyncio.sleep(self.plan.pause)
        except StopAsyncIteration:
            self.is_over = True
        except (LeadSquaredError, SourceFailed, WorkFailed) as error:
            self.raised = error
            self.is_over = True
        if self.is_over:
            with pytest.raises(StopAsyncIteration):
                await anext(results)

    async def consume(self) -> None:
        plan = self.plan
        async with self.results() as results:
            try:
                if plan.leaves == "sleep":
                    await asyncio.sleep(plan.leaves_at)
                else:
                    await self.read(results, plan.takes if plan.leaves in {"break", "error"} else MOST)
                if plan.leaves == "error":
                    raise BodyFailed
            finally:
                self.is_left = True

    async def play(self) -> None:
        """Begin to end; whoever consumes is cancelled, and the client closed, when the plan says so."""
        consumer = asyncio.create_task(self.consumer())
        loop = asyncio.get_running_loop()
        if self.plan.leaves == "cancel":
            loop.call_later(self.plan.leaves_at, consumer.cancel)
        if self.plan.closes_at is not None:
            await asyncio.sleep(self.plan.closes_at)
            await self.lsq.aclose()
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait([consumer])
        if not consumer.cancelled():
            await consumer

    async def consumer(self) -> None:
        try:
            if self.plan.leaves == "scope":
                with anyio.move_on_after(self.plan.leaves_at):
                    await self.consume()
            else:
                await self.consume()
        except ClientClosed:
            assert self.plan.closes_at is not None
            assert not self.pulled  # it was closed before the block was entered
        except BodyFailed:
            pass

    def check(self) -> None:
        indices = [result.index for result in self.taken]
        assert len(set(indices)) == len(indices)
        assert set(indices) <= set(range(self.pulled))
        for result in self.taken:
            assert result.submission.reference == f"form-{result.index}"
            if result.error is not None and result.error.delivery is Delivery.NOT_SENT:
                assert result.index not in self.began
        if not self.is_over:
            return
        if not self.bugs:
            assert sorted(indices) == list(range(self.pulled))
        if self.met or self.bugs:
            assert self.raised is not None
        if self.raised is None:
            assert not self.plan.source_fails or self.plan.is_endless
            assert not self.plan.is_endless or not self.plan.items
        elif isinstance(self.raised, SourceFailed):
            assert self.raised is self.source_error
        elif isinstance(self.raised, WorkFailed):
            assert self.raised in self.bugs
        elif not isinstance(self.raised, ClientClosed):
            assert any(self.raised is error for error in self.met)
            assert any(self.raised is result.error for result in self.taken)
        else:
            assert self.plan.closes_at is not None


@settings(max_examples=150, deadline=None)
@given(plans)
def test_every_batch_ends_with_a_result_for_each_item(plan: Plan) -> None:
    """Whatever source, calls, client and consumer do: it ends; no item is without a result or has two; no
    more than `concurrency` are held; what stops all is raised after the results; nothing stays behind."""

    async def main() -> None:
        lsq, _ = virtual_client(Account(limit=None))
        async with lsq:
            world = World(plan, lsq)
            await world.play()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert not lsq._session._pipeline._at_closing  # type: ignore[union-attr]
        world.check()
        if world.pulled:
            assert "source" in world.closings
            assert "asynchronous source" in world.closings or not plan.is_asynchronous

    virtual.run(main)

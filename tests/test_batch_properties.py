"""Every batch of any shape ends, and no result is missing, doubled or invented."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, NoReturn, cast

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leadsquared_async import (
    ClientClosed,
    Delivery,
    Fault,
    Forbidden,
    LeadSquared,
    LeadSquaredError,
    NoSuchPath,
    Receipt,
    Rejected,
    RequestState,
    RequestStatus,
    Result,
    Results,
    Scope,
    StillProcessing,
    Submission,
    batch,
    submissions,
)
from leadsquared_async.batch import Batch, Pending
from leadsquared_async.resources.submit import outcome
from leadsquared_async.sandbox import Account
from leadsquared_async.source import Source
from leadsquared_async.tracking import Tracker
from tests import virtual
from tests.clients import virtual_client

FOLLOWED = 4
"""Items followed at once."""
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
    """What happens to one item: it waits, is sent, ends in some way, and is followed to some outcome."""

    operation: Literal["capture", "call"]
    waits: float
    takes: float
    ends: Literal["accepted", "lead", "operation", "account", "bug"]
    is_followed_for: float = 0.0
    outcome: Literal["succeeded", "failed", "late", "operation", "account", "bug"] = "succeeded"


@dataclass(frozen=True)
class Plan:
    """A batch from beginning to end."""

    items: tuple[Item, ...]
    is_endless: bool
    is_asynchronous: bool
    gap: float
    source_fails: bool
    follows: bool
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
    is_followed_for=seconds,
    outcome=st.sampled_from((*["succeeded"] * 4, "failed", "late", "operation", "account", "bug")),
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
    follows=st.booleans(),
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
        self.taken: list[Result[Submission]] = []
        self.is_over = False
        self.is_left = False
        self.raised: BaseException | None = None
        self.met: list[LeadSquaredError] = []
        self.bugs: list[WorkFailed] = []
        self.source_error = SourceFailed()
        self.closings: list[str] = []
        self.began: list[int] = []
        self.accepted: dict[int, Receipt] = {}
        self.logged: set[int] = set()

    def item(self, number: int) -> Submission:
        made = self.plan.items[number % len(self.plan.items)]
        if made.operation == "capture":
            return submissions.capture_lead({"FirstName": "Bret"}, reference=f"form-{number}")
        return submissions.log_call("key", {"SourceNumber": "1"}, reference=f"form-{number}")

    def give(self) -> None:
        most = self.plan.concurrency + FOLLOWED * self.plan.follows
        assert self.pulled - len(self.taken) < most
        # What is not accepted yet, or has a result, has to find room besides what is followed.
        indices = {result.index for result in self.taken}
        unaccepted = self.pulled - len(indices | self.accepted.keys())
        assert unaccepted < self.plan.concurrency
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
            try:
                await asyncio.sleep(0)  # as a cursor does that is closed
            finally:  # the block may be left at this moment, which cancels what the source awaits
                self.closings.append("asynchronous source")

    async def work(self, pending: Pending[Submission]) -> list[Result[Submission]]:
        """As `submit_many` works, with the plan's calls instead of LeadSquared's."""
        plan = self.plan.items[pending.index % len(self.plan.items)]
        status = None
        try:
            pending.receipt = receipt = await self.send(pending, plan)
            if self.plan.follows:
                await pending.follow()
                status = await outcome(cast("Tracker", Following(self, plan, pending)), receipt, None)
        except LeadSquaredError as error:
            return [pending.result(error=error)]
        return [pending.result(status=status)]

    async def send(self, pending: Pending[Submission], plan: Item) -> Receipt:
        await self.lsq._session.while_open(partial(asyncio.sleep, plan.waits))
        assert not self.is_left  # what was not sent when the block was left never is
        await pending.about_to_send()
        self.began.append(pending.index)
        await asyncio.sleep(plan.takes)
        if plan.ends != "accepted":
            self.fail(plan.ends, pending.item.operation.name, Delivery.REJECTED)
        receipt = Receipt(f"id-{pending.index}", 1, 0.0, reference=pending.item.reference)
        self.accepted[pending.index] = receipt
        return receipt

    def fail(self, how: str, operation: str, delivery: Delivery) -> NoReturn:
        match how:
            case "lead":
                raise Rejected(delivery=delivery, fault=Fault.LEAD)
            case "operation":
                raise NoSuchPath(
                    delivery=delivery, fault=Fault.ACCOUNT, scope=Scope.OPERATION, operation=operation
                )
            case "account":
                self.met.append(Forbidden(delivery=delivery, fault=Fault.ACCOUNT, scope=Scope.ACCOUNT))
                raise self.met[-1]
            case _:
                self.bugs.append(WorkFailed())
                raise self.bugs[-1]

    def results(self) -> Results[Submission]:
        return Batch(
            Source(self.slowly() if self.plan.is_asynchronous else self.items(), "batch", "submissions"),
            self.work,
            session=self.lsq._session,
            concurrency=self.plan.concurrency,
            name="batch",
            mixed=True,
        )

    async def read(self, results: Results[Submission], most: int) -> None:
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
        """Run it to its end; the plan may cancel the consumer and close the client."""
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

    def note(self, record: logging.LogRecord) -> bool:
        """Note whose result nobody took."""
        line = vars(record)
        if line.get("request_id") is not None:
            assert line["reference"] == f"form-{line['item']}"
            self.logged.add(line["item"])
        return False

    def check(self) -> None:
        self.check_results()
        if self.is_over:
            self.check_end()
        else:  # left early
            known = {result.index for result in self.taken} | self.logged
            assert known >= self.accepted.keys()

    def check_results(self) -> None:
        indices = [result.index for result in self.taken]
        assert len(set(indices)) == len(indices)
        assert set(indices) <= set(range(self.pulled))
        for result in self.taken:
            assert result.item.reference == result.reference == f"form-{result.index}"
            assert result.receipt == self.accepted.get(result.index)  # whatever became of following it
            if result.receipt is None:
                assert result.status is None
            elif result.error is not None:
                assert result.error.delivery is Delivery.ACCEPTED
            if self.plan.follows and result.receipt is not None and result.error is None:
                assert result.status is not None or self.bugs
            if result.error is not None and result.error.delivery is Delivery.NOT_SENT:
                assert result.index not in self.began

    def check_end(self) -> None:
        indices = [result.index for result in self.taken]
        if not self.bugs:
            assert sorted(indices) == list(range(self.pulled))
        # A bug hides no item that LeadSquared accepted.
        assert set(indices) >= self.accepted.keys()
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


@dataclass
class Following:
    """A tracker that follows one item as planned."""

    world: World
    plan: Item
    pending: Pending[Submission]

    async def wait(
        self, request_id: str, deadline: float | None, reference: str | None = None
    ) -> RequestStatus:
        assert deadline is None
        await self.world.lsq._session.while_open(partial(asyncio.sleep, self.plan.is_followed_for))
        assert not self.world.is_left  # it is broken off at once
        if self.plan.outcome == "late":
            raise StillProcessing
        if self.plan.outcome in {"operation", "account", "bug"}:
            self.world.fail(self.plan.outcome, self.pending.item.operation.name, Delivery.UNKNOWN)
        state = RequestState(self.plan.outcome)
        return RequestStatus(request_id, state, state.value, is_final=True)


LEFT_WHILE_IT_CLOSES = Plan(
    items=(Item("capture", 0.0, 0.0, "accepted"),),
    is_endless=False,
    is_asynchronous=True,
    gap=0.0,
    source_fails=False,
    follows=False,
    concurrency=1,
    pause=0.0,
    takes=1,
    leaves="break",
    leaves_at=0.0,
    closes_at=None,
)


@settings(max_examples=150, deadline=None)
@example(LEFT_WHILE_IT_CLOSES)
@given(plans)
def test_every_batch_ends_with_a_result_for_each_item(plan: Plan) -> None:
    """Each pulled item has one result with its receipt, pending items are bounded, an error that stops the
    batch is raised last, and nothing remains open."""

    async def main() -> None:
        lsq, _ = virtual_client(Account(limit=None))
        async with lsq:
            world = World(plan, lsq)
            log = logging.getLogger("leadsquared_async")
            log.addFilter(world.note)
            try:
                await world.play()
            finally:
                log.removeFilter(world.note)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert not lsq._session._at_closing
        world.check()
        if world.pulled:
            assert "source" in world.closings
            assert "asynchronous source" in world.closings or not plan.is_asynchronous

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "FOLLOWED", FOLLOWED)
        virtual.run(main)

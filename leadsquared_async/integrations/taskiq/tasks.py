"""`LeadSquaredTasks`: submissions as tasks, from the web process to their outcome."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import Annotated, Any, TypeVar

from redis.exceptions import RedisError, ResponseError
from taskiq import AsyncBroker, AsyncTaskiqDecoratedTask, Context, InMemoryBroker, TaskiqDepends, TaskiqEvents
from taskiq.exceptions import SendTaskError

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.client import LeadSquared, parts_of
from leadsquared_async.delivery.item_retries import (
    ATTEMPTS,
    HeldError,
    ItemState,
    final_state,
    may_repeat,
    patient,
    pause_after,
)
from leadsquared_async.delivery.reasons import exception_in, kind_of, kind_of_error, reason_of
from leadsquared_async.errors import (
    APIError,
    ClientClosed,
    ConfigurationError,
    ConnectionFailed,
    Delivery,
    Fault,
    LeadSquaredError,
    NoSuchPath,
    Rejected,
    Scope,
)
from leadsquared_async.http.redaction import traceback_without_values, without_locals
from leadsquared_async.integrations.taskiq.admission import Admission
from leadsquared_async.integrations.taskiq.broker import KEY, StreamBroker, is_cancelled
from leadsquared_async.integrations.taskiq.hand import Hand
from leadsquared_async.integrations.taskiq.payload import (
    Given,
    Payload,
    TaskOutcome,
    operation_of,
    outcome_of,
    payload_of,
    submission_of,
)
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.logs import ClientLog
from leadsquared_async.models import Receipt
from leadsquared_async.resources.submit import send_encoded
from leadsquared_async.submissions import Submission

__all__ = ["LeadSquaredTasks"]

WITHIN = 60.0
"""Seconds for which a task waits in a worker for its turn; then it may be another one's."""
LONGEST_PAUSE = 60.0
GRACE = 8.0
"""Seconds for what is on its way when a worker stops."""

Callback = Callable[[TaskOutcome], Awaitable[None] | None]
C = TypeVar("C", bound=Callback)
Task = AsyncTaskiqDecoratedTask[..., Any]
Depends = Annotated[Context, TaskiqDepends()]


class LeadSquaredTasks:
    """Submissions as tasks of a broker: any process puts them there, workers hand them over.

    A task that is in the store is delivered until LeadSquared has processed it, or refused it for a fault of
    its own. Retries are made here, and not by taskiq as well. While nothing of an operation gets through, its
    tasks wait, and one at a time tries. Only what a killed worker had on its way is sent again, and only if
    LeadSquared can match it; others end as UNKNOWN.

    Args:
        broker: a `StreamBroker`; for tests of yours an `InMemoryBroker`, which keeps nothing.
        client: makes a worker's `LeadSquared`, such as the class itself; it is opened and closed with the
            worker. Processes that only submit never call it, and need no keys.
        confirm: whether requests are followed to their outcome; otherwise a RequestID is the end.
        keep_payload: whether the outcome of a rejected or unknown submission brings its values; they stay in
            the store until it is told.
        lane: of the limit, for all tasks.
        name: begins the names of the tasks: one for each account that shares the broker.

    Raises:
        ConfigurationError: the broker keeps nothing safe.
    """

    def __init__(
        self,
        broker: AsyncBroker,
        client: Callable[[], LeadSquared],
        *,
        confirm: bool = True,
        keep_payload: bool = False,
        lane: Lane = Lane.BATCH,
        name: str = "leadsquared",
    ) -> None:
        if not isinstance(broker, StreamBroker | InMemoryBroker):
            raise ConfigurationError(
                "broker has to be a StreamBroker: others lose what a killed worker had in hand, or run slow "
                "tasks twice"
            )
        if broker.find_task(f"{name}.submit") is not None:
            raise ConfigurationError(f"the broker has tasks called {name} already: give each account a name=")
        self._broker = broker
        self._make_client = client
        self._confirm = confirm
        self._keep_payload = keep_payload
        self._lane = lane
        self._client: LeadSquared | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._admissions: dict[str, Admission] = {}
        self._followed: set[asyncio.Task[None]] = set()
        self._callbacks: list[Callback] = []
        self._submitting = self._step(f"{name}.submit", self._submit)
        self._following = self._step(f"{name}.follow", self._follow)
        self._telling = self._step(f"{name}.tell", self._tell)
        broker.add_event_handler(TaskiqEvents.WORKER_STARTUP, self._open)
        broker.add_event_handler(TaskiqEvents.WORKER_SHUTDOWN, self._close)
        if isinstance(broker, StreamBroker):
            broker.at_end.append(self._finish)

    @without_locals
    async def submit(self, submission: Submission, *, key: str | None = None) -> None:
        """Put a submission into the store; when this returns, it is there. The broker has to be started.

        Args:
            submission: made by a function of `leadsquared_async.submissions`; give it a reference, by which
                you will be told how it ended.
            key: your own id for it, such as a form's token. A key that was given in the last seven days adds
                nothing, so that a repeated `submit` is one task. Its digest is stored. An `InMemoryBroker`
                knows no keys.

        Raises:
            InvalidLead: naming what cannot be sent; nothing was put.
            ConfigurationError: the key is no text, or the submission is none.
            ConnectionFailed: the store refused it, or did not say that it has it: see `delivery`.
        """
        if key is not None and (not isinstance(key, str) or not key):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("key has to be text, or None")
        payload = payload_of(submission)
        labels = {} if key is None else {KEY: hashlib.sha256(key.encode()).hexdigest()}
        try:
            await self._submitting.kicker().with_labels(**labels).kiq(payload)
        except SendTaskError as error:
            refused = isinstance(error.__cause__, ResponseError)
            why = "did not say that it has this one: submit it again, if it had a key or may go twice"
            if refused:  # no rights, no room
                why = f"refused this one: {type(error.__cause__).__name__}"
            raise ConnectionFailed(
                f"the store of the tasks {why}",
                delivery=Delivery.NOT_SENT if refused else Delivery.UNKNOWN,
                fault=Fault.SERVER,
                scope=Scope.SERVER,
                operation=submission.operation.name,
                reference=submission.reference,
            ) from None

    def on_final(self, callback: C) -> C:
        """Call `callback(outcome)` in a worker for each submission that ends; may be a decorator.

        It may be asynchronous. It is called at least once: one that fails, or dies with its worker, is called
        again. Register it where workers find it.
        """
        self._callbacks.append(callback)
        return callback

    # In a worker: a submission

    @without_locals
    async def _submit(self, payload: Given, hand: Hand) -> None:
        submission = submission_of(payload)
        name = submission.operation.name
        admission = self._admissions.get(name)
        if admission is None:
            admission = self._admissions[name] = Admission(name, self._is_stopping, self._log)
        if not await admission.enter(hand, WITHIN):
            await self._later(admission.pause, hand)
            return
        try:
            receipt = await self._send(submission, admission, hand)
        except HeldError:
            await self._later(admission.pause, hand)
        except LeadSquaredError as error:
            await self._failed(payload, error, admission, hand)
        else:
            admission.hold.succeed()
            await self._accepted(payload, receipt, hand)
        finally:
            admission.leave(hand)

    async def _send(self, submission: Submission, admission: Admission, hand: Hand) -> Receipt:
        parts = parts_of(self._opened)
        admitted = await parts.preparer.prepare(submission)
        may_go_twice = may_repeat(
            admitted.operation, parts.sender.settings.retry, identified=admitted.identified
        )
        if not may_go_twice and await hand.was_marked():
            raise ConnectionFailed(
                "a worker died while it was on its way: look for it before it is sent again",
                delivery=Delivery.UNKNOWN,
            )

        async def before_send() -> None:
            if not admission.may_send(hand):
                raise HeldError
            if not may_go_twice:
                try:
                    await hand.mark()
                except RedisError:
                    raise HeldError from None  # it may not go unnoticed

        sender = patient(parts.sender, 1 if admission.hold.probe is hand else ATTEMPTS)
        return await send_encoded(sender, admitted, self._lane, before_send)

    async def _failed(
        self, payload: Given, error: LeadSquaredError, admission: Admission, hand: Hand
    ) -> None:
        if error.fault is Fault.LEAD:
            if isinstance(error, APIError):  # an error raised here says nothing about LeadSquared
                admission.hold.succeed()
        elif error.scope is not None:
            admission.hold.fail(error)
        state = final_state(error, hand.deliveries, may_be_repeated=error.safe_to_retry)
        if state is None:
            await self._later(pause_after(hand.deliveries - 1), hand)
        else:
            reason = reason_of(error) if state is ItemState.REJECTED else str(error)
            await self._bury(payload, state, error, reason, hand)

    async def _later(self, pause: float, hand: Hand) -> None:
        """It did not arrive: any worker may try after a pause, or at once if this one stops."""
        await hand.unmark()
        await hand.hand_back(0.0 if self._is_stopping() else min(LONGEST_PAUSE, pause))

    async def _accepted(self, payload: Given, receipt: Receipt, hand: Hand) -> None:
        if not self._confirm:
            await self._end(payload, ItemState.ACCEPTED, hand, request_id=receipt.request_id)
            return
        await self._put(self._following, self._step_after(payload, receipt.request_id))
        await hand.done()

    # In a worker: its outcome

    async def _follow(self, request: Given, hand: Hand) -> None:
        # Beside the worker's tasks, and leased like them: LeadSquared may take hours.
        async def follow() -> None:
            await self._minding(self._ask(request, hand), hand)

        task = asyncio.create_task(follow(), name="leadsquared_async follow")
        self._followed.add(task)
        task.add_done_callback(self._followed.discard)

    async def _ask(self, request: Given, hand: Hand) -> None:
        tracker = parts_of(self._opened).trackers.of(operation_of(request["operation"]))
        failures = 0
        while True:
            try:
                status = await tracker.wait(request["request_id"], None)
            except ClientClosed:
                return  # the worker stops, and hands all back at once
            except NoSuchPath as error:
                await self._end(
                    request, ItemState.ACCEPTED, hand, reason=f"its outcome cannot be asked for: {error}"
                )
                return
            except LeadSquaredError as error:
                if error.scope is Scope.LEAD:
                    reason = f"it was accepted, but {error}"
                    await self._bury(request, ItemState.UNKNOWN, error, reason, hand)
                    return
                failures += 1
                await asyncio.sleep(pause_after(failures))
            else:
                if status.succeeded:
                    await self._end(
                        request,
                        ItemState.CONFIRMED,
                        hand,
                        lead_id=status.lead_id,
                        activity_id=status.activity_id,
                        opportunity_id=status.opportunity_id,
                    )
                else:
                    reason = status.reason or status.raw_state
                    kind = exception_in(reason)
                    refused = Rejected(exception_type=kind, delivery=Delivery.ACCEPTED)
                    await self._bury(request, ItemState.REJECTED, refused, reason, hand)
                return

    # In a worker: its end

    async def _bury(
        self, known: Given, state: ItemState, error: LeadSquaredError, reason: str, hand: Hand
    ) -> None:
        """It ended badly: one log record says so, with what an alert needs."""
        self._log.error(
            "tasks: a submission to %s ended %s (reference %s): %s",
            known["operation"],
            state,
            known["reference"],
            kind_of(reason) if state is ItemState.REJECTED else reason,  # theirs may quote the lead
            extra={
                "event": state.value,
                "item": hand.task_id,
                "operation": known["operation"],
                "reference": known["reference"],
                "kind": kind_of_error(error),
                "request_id": known.get("request_id"),
                "delivery": error.delivery.value,
            },
        )
        await self._end(known, state, hand, reason=reason)

    async def _end(self, known: Given, state: ItemState, hand: Hand, **told: str | None) -> None:
        """Tell of it, in a task of its own, so that a callback that fails sends nothing again."""
        if self._callbacks:
            end = self._step_after(known, known.get("request_id"))
            if state not in {ItemState.REJECTED, ItemState.UNKNOWN}:
                end["submission"] = None
            await self._put(self._telling, Payload(end, state=state, **told))
        await hand.done()

    @without_locals
    async def _tell(self, end: Given, hand: Hand) -> None:
        outcome = outcome_of(end)
        for callback in self._callbacks:
            called = callback(outcome)
            if isawaitable(called):
                await called
        await hand.done()

    # All of them

    def _step(self, name: str, work: Callable[[Given, Hand], Coroutine[Any, Any, None]]) -> Task:
        """A task of the broker, which ends when its work says so."""

        async def run(payload: dict[str, Any], context: Depends) -> None:
            hand = Hand(context)
            await self._minding(work(payload, hand), hand)

        return self._broker.register_task(run, name, ack_type="manual")

    def _step_after(self, known: Given, request_id: str | None) -> Payload:
        """What the next step is given: the values of the submission only if they were asked for."""
        return Payload(
            operation=known["operation"],
            reference=known["reference"],
            request_id=request_id,
            submission=known.get("submission", known if self._keep_payload else None),
        )

    async def _put(self, step: Task, payload: Payload) -> None:
        """Put the next step into the store, however long that does not answer: what was done is not to be
        done again."""
        is_told = False
        while True:
            try:
                await step.kiq(payload)
            except SendTaskError as error:
                if not is_told:
                    is_told = True
                    self._log.warning(
                        "tasks: the store does not take %s, and is tried again each second: %s",
                        step.task_name,
                        type(error.__cause__).__name__,
                    )
                await asyncio.sleep(1.0)
            else:
                return

    async def _minding(self, work: Coroutine[Any, Any, None], hand: Hand) -> None:
        """Have a fault in anybody's code stop no other task, and keep this one for later."""
        try:
            await work
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise  # the worker's own, not one that got loose in a callback
            self._log.error(
                "tasks: a task failed with %s, and is tried again", traceback_without_values(error)
            )
            await hand.hand_back(LONGEST_PAUSE)

    # A worker's life

    async def _open(self, _state: object) -> None:
        self._client = await self._make_client().__aenter__()
        if isinstance(self._broker, StreamBroker):
            self._stopping = asyncio.create_task(
                self._stop(self._client, self._broker), name="leadsquared_async stop"
            )

    @staticmethod
    async def _stop(client: LeadSquared, broker: StreamBroker) -> None:
        """Finish what is on its way as soon as the worker takes no more; whatever waits is handed back."""
        await broker.stopping.wait()
        await client.aclose(GRACE)

    async def _close(self, _state: object) -> None:
        await uninterrupted(self._finish())

    async def _finish(self) -> None:
        for task in self._followed:
            task.cancel()
        if self._followed:
            await asyncio.wait(self._followed)
        if self._stopping is not None and isinstance(self._broker, StreamBroker):
            self._broker.stopping.set()
            await self._stopping
            await self._broker.hand_all_back()
        elif self._client is not None:
            await self._client.aclose(GRACE)

    @property
    def _opened(self) -> LeadSquared:
        if self._client is None:
            raise ClientClosed("no worker's broker was started here")
        return self._client

    @property
    def _log(self) -> ClientLog:
        return ClientLog(None) if self._client is None else parts_of(self._client).sender.log

    def _is_stopping(self) -> bool:
        return isinstance(self._broker, StreamBroker) and self._broker.stopping.is_set()

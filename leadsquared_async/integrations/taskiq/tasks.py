"""`LeadSquaredTasks`: submissions as tasks, from the web process to their outcome."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from inspect import isawaitable
from typing import Annotated, Any, TypeVar

from redis.exceptions import ResponseError
from taskiq import AsyncBroker, AsyncTaskiqDecoratedTask, Context, InMemoryBroker, TaskiqDepends, TaskiqEvents
from taskiq.exceptions import SendTaskError

from leadsquared_async.cleanup import is_cancelled
from leadsquared_async.client import LeadSquared, parts_of
from leadsquared_async.delivery.item_retries import (
    ItemState,
    final_state,
    is_of_the_item,
    pause_after,
)
from leadsquared_async.delivery.reasons import reason_of
from leadsquared_async.errors import (
    ClientClosed,
    ConfigurationError,
    ConnectionFailed,
    Delivery,
    Fault,
    LeadSquaredError,
    NoSuchPath,
    Scope,
    kind_of_error,
    rejected_later,
)
from leadsquared_async.events import CallbackFailed, DeadLetter, Delivered, StoreBack, StoreLost
from leadsquared_async.http.redaction import traceback_without_values, without_locals
from leadsquared_async.integrations.taskiq.broker import KEY, STORE, StreamBroker
from leadsquared_async.integrations.taskiq.lease import Lease
from leadsquared_async.integrations.taskiq.operation_sender import OperationSender
from leadsquared_async.integrations.taskiq.payload import (
    Given,
    Payload,
    TaskOutcome,
    outcome_of,
    payload_of,
    submission_of,
)
from leadsquared_async.limiter.lanes import Lane
from leadsquared_async.logs import ClientEvents
from leadsquared_async.operations import OPERATIONS
from leadsquared_async.submissions import Submission
from leadsquared_async.telemetry.gauges import Reading, watch

__all__ = ["LeadSquaredTasks"]

LONGEST_PAUSE = 60.0
HELD_PAUSE = 1.0
"""The shortest time in seconds before a held task is retried."""
GRACE = 8.0
"""Seconds for running calls to finish when a worker stops."""

Callback = Callable[[TaskOutcome], Awaitable[None] | None]
C = TypeVar("C", bound=Callback)
Task = AsyncTaskiqDecoratedTask[..., Any]
Work = Callable[[Given, Lease], Coroutine[Any, Any, None]]
Depends = Annotated[Context, TaskiqDepends()]


class LeadSquaredTasks:
    """Submissions as tasks of a broker: any process submits them, workers send them.

    A task stays in the store until LeadSquared has processed or rejected its submission. Retries are built
    in, so taskiq's are not needed. While all calls of an operation fail, its tasks are held and one at a time
    is probed. A submission that a killed worker may have sent is sent again only if LeadSquared can match it;
    otherwise it ends UNKNOWN.

    Args:
        broker: a `StreamBroker`; in your tests an `InMemoryBroker`, which stores nothing.
        client: returns a `LeadSquared`, such as the class itself. Each worker opens and closes its own.
            Processes that only submit never call it and need no keys.
        confirm: whether requests are followed to their outcome; if False, a task ends with its RequestID.
        keep_payload: whether the outcome of a rejected or unknown submission includes its values, which
            stay in the store until the callbacks have returned.
        lane: the lane of all tasks.
        name: prefix of the task names; accounts that share a broker need different names.

    Raises:
        ConfigurationError: the broker has another type, or already has tasks with this name.
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
                "broker must be a StreamBroker: others lose a killed worker's tasks or run slow ones twice"
            )
        if broker.find_task(f"{name}.submit") is not None:
            raise ConfigurationError(f"the broker already has tasks called {name}: give each account a name=")
        self._broker = broker
        self._make_client = client
        self._confirm = confirm
        self._keep_payload = keep_payload
        self._lane = lane
        self._client: LeadSquared | None = None
        self._events = ClientEvents(None)
        self._stopping: asyncio.Task[None] | None = None
        self._senders: dict[str, OperationSender] = {}
        self._followed: set[asyncio.Task[None]] = set()
        self._callbacks: list[Callback] = []
        self._submitting = self._step(f"{name}.submit", self._submit)
        self._following = self._step(f"{name}.follow", self._follow)
        self._reporting = self._step(f"{name}.report", self._report)
        broker.add_event_handler(TaskiqEvents.WORKER_STARTUP, self._open)
        if isinstance(broker, StreamBroker):
            broker.at_end.append(self._close)
        else:
            broker.add_event_handler(TaskiqEvents.WORKER_SHUTDOWN, lambda _: self._close())

    @without_locals
    async def submit(self, submission: Submission, *, key: str | None = None) -> None:
        """Put a submission into the store; it is stored when this returns. Start the broker first.

        Args:
            submission: a submission of `leadsquared_async.submissions`; the outcome has its reference.
            key: your deduplication id, such as a form's token. A key used in the last seven days adds
                nothing, so a repeated `submit` is one task. Only its digest is stored. An `InMemoryBroker`
                ignores keys.

        Raises:
            InvalidLead: the lead is invalid, and nothing was stored; the error names the field.
            ConfigurationError: the key is not a string, or tasks cannot send this submission.
            ConnectionFailed: the store rejected it or did not answer: see `delivery`.
        """
        if key is not None and (not isinstance(key, str) or not key):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("key must be a non-empty string, or None")
        payload = payload_of(submission)
        labels = {} if key is None else {KEY: hashlib.sha256(key.encode()).hexdigest()}
        try:
            await self._submitting.kicker().with_labels(**labels).kiq(payload)
        except SendTaskError as error:
            is_refused = isinstance(error.__cause__, ResponseError)  # such as no permission, or out of memory
            why = "did not confirm this one: submit it again if it has a key or may be sent twice"
            if is_refused:
                why = f"rejected this one: {type(error.__cause__).__name__}"
            raise ConnectionFailed(
                f"the task store {why}",
                delivery=Delivery.NOT_SENT if is_refused else Delivery.UNKNOWN,
                fault=Fault.SERVER,
                scope=Scope.SERVER,
                operation=submission.operation.name,
                reference=submission.reference,
            ) from None

    def on_final(self, callback: C) -> C:
        """Call `callback(outcome)` in a worker for each final outcome; also usable as a decorator.

        The callback may be asynchronous. It is called at least once: again if it raises or its worker dies.
        Register it in a module that workers import.
        """
        self._callbacks.append(callback)
        return callback

    # The first step of a task: submit

    @without_locals
    async def _submit(self, payload: Given, lease: Lease) -> None:
        submission = submission_of(payload)
        operation = submission.operation.name
        if operation not in self._senders:
            self._senders[operation] = OperationSender(self._opened, operation, self._lane)
        sender = self._senders[operation]
        result = await sender.send(submission, lease)
        if result is None:
            hold = sender.hold
            await self._retry(0.0 if hold.reason is None else max(HELD_PAUSE, hold.until_probe), lease)
        elif isinstance(result, LeadSquaredError):
            await self._failed(payload, result, lease)
        elif self._confirm:
            await self._put(self._following, self._payload_after(payload, result.request_id))
            await lease.done()
        else:
            await self._end(payload, ItemState.ACCEPTED, lease, request_id=result.request_id)

    async def _failed(self, payload: Given, error: LeadSquaredError, lease: Lease) -> None:
        # Deliveries do not count: a held task is delivered again and again without being sent.
        rounds = await lease.count_failure() if is_of_the_item(error) else 0
        state = final_state(error, rounds, may_be_repeated=error.safe_to_retry)
        if state is None:
            await self._retry(pause_after(lease.deliveries - 1), lease)
        else:
            reason = reason_of(error) if state is ItemState.REJECTED else str(error)
            await self._end_badly(payload, state, error, reason, lease)

    async def _retry(self, pause: float, lease: Lease) -> None:
        await lease.unmark()
        await lease.release(0.0 if self._is_stopping else min(LONGEST_PAUSE, pause))

    # The second: follow

    async def _follow(self, request: Given, lease: Lease) -> None:
        # In a separate asyncio task, so that it takes no slot of the worker: LeadSquared may take hours.
        following = self._guarded(self._wait_for_outcome, request, lease)
        task = asyncio.create_task(following, name="leadsquared_async follow")
        self._followed.add(task)
        task.add_done_callback(self._followed.discard)

    async def _wait_for_outcome(self, request: Given, lease: Lease) -> None:
        tracker = parts_of(self._opened).trackers.of(OPERATIONS[request["operation"]])
        failures = 0
        while True:
            try:
                status = await tracker.wait(request["request_id"], None, request["reference"])
            except ClientClosed:
                return  # the worker is stopping and releases all its tasks
            except NoSuchPath as error:
                reason = f"its outcome cannot be fetched: {error}"
                await self._end(request, ItemState.ACCEPTED, lease, reason=reason)
                return
            except LeadSquaredError as error:
                if error.scope is Scope.LEAD:
                    reason = f"it was accepted, but {error}"
                    await self._end_badly(request, ItemState.UNKNOWN, error, reason, lease)
                    return
                failures += 1
                await asyncio.sleep(pause_after(failures))
            else:
                break
        if status.succeeded:
            ids = {name: getattr(status, name) for name in ("lead_id", "activity_id", "opportunity_id")}
            await self._end(request, ItemState.CONFIRMED, lease, **ids)
        else:
            reason = status.reason or status.raw_state
            await self._end_badly(request, ItemState.REJECTED, rejected_later(reason), reason, lease)

    # The last: report

    @without_locals
    async def _report(self, end: Given, lease: Lease) -> None:
        outcome = outcome_of(end)
        try:
            for callback in self._callbacks:
                called = callback(outcome)
                if isawaitable(called):
                    await called
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise  # the worker was cancelled, not the callback
            kind, reference = type(error).__name__, end["reference"]
            self._events.emit(
                CallbackFailed(callback="on_final", kind=kind, item=lease.task_id, reference=reference)
            )
            await lease.release(LONGEST_PAUSE)
        else:
            await lease.done()

    async def _end_badly(
        self, known: Given, state: ItemState, error: LeadSquaredError, reason: str, lease: Lease
    ) -> None:
        """Tell of a dead letter, and report the outcome."""
        self._events.emit(
            DeadLetter(
                owner="tasks",
                item=lease.task_id,
                state=state.value,
                operation=known["operation"],
                reference=known["reference"],
                request_id=known.get("request_id"),
                delivery=error.delivery,
                kind=kind_of_error(error),
                reason=error.summary,
            )
        )
        await self._end(known, state, lease, reason=reason)

    async def _end(self, known: Given, state: ItemState, lease: Lease, **outcome: str | None) -> None:
        """Report the outcome in a separate task, so that a failing callback does not cause another send."""
        is_dead = state in {ItemState.REJECTED, ItemState.UNKNOWN}
        if not is_dead and self._events.wants(logging.DEBUG):
            self._events.emit(
                Delivered(
                    owner="tasks",
                    item=lease.task_id,
                    state=state.value,
                    operation=known["operation"],
                    reference=known["reference"],
                    request_id=outcome.get("request_id", known.get("request_id")),
                )
            )
        if self._callbacks:
            end = self._payload_after(known, known.get("request_id"))
            if not is_dead:
                end["submission"] = None
            await self._put(self._reporting, Payload(end, state=state, **outcome))
        await lease.done()

    # All steps

    def _step(self, name: str, work: Work) -> Task:
        """Register a task that acknowledges itself."""

        async def run(payload: dict[str, Any], context: Depends) -> None:
            await self._guarded(work, payload, Lease(context))

        return self._broker.register_task(run, name, ack_type="manual")

    def _payload_after(self, known: Given, request_id: str | None) -> Payload:
        """The payload of the next step; without the submission's values unless `keep_payload` is set."""
        return Payload(
            operation=known["operation"],
            reference=known["reference"],
            request_id=request_id,
            submission=known.get("submission", known if self._keep_payload else None),
        )

    async def _put(self, step: Task, payload: Payload) -> None:
        """Put the next step into the store, with retries, because the previous step must not run again."""
        is_lost = False
        while True:
            try:
                await step.kiq(payload)
            except SendTaskError as error:
                if not is_lost:
                    is_lost = True
                    reason = f"{type(error.__cause__).__name__} for {step.task_name}; retrying every second"
                    self._events.emit(StoreLost(store=STORE, reason=reason))
                await asyncio.sleep(1.0)
            else:
                if is_lost:
                    self._events.emit(StoreBack(store=STORE))
                return

    async def _guarded(self, work: Work, payload: Given, lease: Lease) -> None:
        """Run a step; if it raises, only this task is affected, and it is retried later."""
        try:
            await work(payload, lease)
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise  # the worker was cancelled
            self._events.log.error(  # noqa: TRY400 - without values
                "tasks: a task failed with %s; it is retried", traceback_without_values(error)
            )
            await lease.release(LONGEST_PAUSE)

    # The worker

    async def _open(self, _state: object) -> None:
        self._client = client = await self._make_client().__aenter__()
        self._senders.clear()
        self._events = parts_of(client).sender.events
        parts_of(client).sender.session.when_closing(
            watch(self, {"leadsquared.held": LeadSquaredTasks._held})
        )
        if isinstance(self._broker, StreamBroker):
            self._broker.clients.append(self._events)
            stopping = self._broker.stopping

            async def stop() -> None:
                # Running calls finish; waiting ones end, and their tasks are released.
                await stopping.wait()
                await client.aclose(GRACE)

            self._stopping = asyncio.create_task(stop(), name="leadsquared_async stop")

    async def _close(self) -> None:
        for task in self._followed:
            task.cancel()
        if self._followed:
            await asyncio.wait(self._followed)
        if self._stopping is not None:
            await self._stopping
        elif self._client is not None:
            await self._client.aclose(GRACE)

    def _held(self) -> Iterator[Reading]:
        """The gauge of tasks on hold, by operation; it is read in any thread."""
        client = parts_of(self._opened).sender.session.options.name
        for operation, sender in list(self._senders.items()):
            attributes = {"leadsquared.scope": operation, "leadsquared.client": client}
            yield Reading(sender.hold.has_failed, self, attributes)

    @property
    def _opened(self) -> LeadSquared:
        if self._client is None:
            raise ClientClosed("no worker was started in this process")
        return self._client

    @property
    def _is_stopping(self) -> bool:
        return isinstance(self._broker, StreamBroker) and self._broker.stopping.is_set()

"""Calls for the items of one source, a bounded number at a time.

`Batch` is a context manager and an iterator, not a generator: a generator that yields inside a task group
breaks cancellation, and one that is left early is closed by the garbage collector only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.clock import clock
from leadsquared_async.errors import (
    ClientClosed,
    ConfigurationError,
    Delivery,
    Fault,
    LeadSquaredError,
    Scope,
)
from leadsquared_async.http.session import CLOSED, Session
from leadsquared_async.models import Receipt, RequestStatus
from leadsquared_async.results import Result, Results, tell_unread
from leadsquared_async.source import Source
from leadsquared_async.submissions import Submission

__all__ = ["FOLLOWED", "Batch", "Pending"]

UNSENT = 1
"""Calls that may wait for the limit at once: one is ready for the next token; no others are in memory."""
FOLLOWED = 1000
"""Requests followed at once; they share status calls."""
GRACE = 8.0
"""Seconds to wait for calls in flight when a block is left early."""
LAST_WAIT = 1.0
"""Seconds to wait for cancelled tasks; the caller's source or transport may end slowly."""

T = TypeVar("T")


class Stage(Enum):
    """The progress of an item's call."""

    UNSENT = "unsent"
    SENT = "sent"
    """The call is in flight; cancelling it would lose its outcome."""
    ACCEPTED = "accepted"
    """The outcome is awaited; cancelling the wait loses nothing."""
    DONE = "done"


@dataclass(eq=False)
class Pending(Generic[T]):
    """One or more items that share a call, until all their results are read.

    Attributes:
        index: position of the first item in the source.
        entered: the loop's time when the block was entered.
        room: the semaphore that they hold until their results are read.
        followed: the semaphore that they hold instead while followed.
        stopped_by: another item's error that stops these from being sent.
        unsent: the semaphore that they hold until the call is sent; None afterwards.
    """

    index: int
    items: list[T] = field(repr=False)
    entered: float
    room: asyncio.Semaphore = field(repr=False)
    followed: asyncio.Semaphore = field(repr=False)
    stage: Stage = Stage.UNSENT
    receipt: Receipt | None = None
    stopped_by: LeadSquaredError | None = None
    unsent: asyncio.Semaphore | None = field(default=None, repr=False)

    @property
    def item(self) -> T:
        """The first item."""
        return self.items[0]

    async def about_to_send(self) -> None:
        """Record it; passed as `before_send`."""
        self.stage = Stage.SENT
        self.let_next_wait()

    def let_next_wait(self) -> None:
        """Free the place among the unsent, if it is still held."""
        unsent, self.unsent = self.unsent, None
        if unsent is not None:
            unsent.release()

    async def follow(self) -> None:
        """Wait until this item may be followed, then free its place for sending."""
        self.stage = Stage.ACCEPTED
        await self.followed.acquire()
        self.room.release()
        self.room = self.followed

    def result(
        self,
        place: int = 0,
        *,
        status: RequestStatus | None = None,
        error: LeadSquaredError | None = None,
        dropped: tuple[str, ...] = (),
    ) -> Result[T]:
        """The result of the item at index `place`."""
        item, receipt = self.items[place], self.receipt
        if receipt is not None:
            dropped = receipt.dropped
        return Result(self.index + place, item, _reference_of(item), receipt, status, error, dropped)


class Batch(Results[T]):
    """Calls for the items of a source; at most `concurrency` calls have unread results.

    Args:
        work: makes the call for pending items and returns a result for each, with the call's errors.
        size: maximum items per call.
        mixed: whether the items are submissions of several operations.
        submits: whether the calls submit something; else they only follow earlier submissions.
    """

    def __init__(
        self,
        source: Source[T],
        work: Callable[[Pending[T]], Awaitable[Sequence[Result[T]]]],
        *,
        session: Session,
        concurrency: int,
        name: str,
        size: int = 1,
        mixed: bool = False,
        submits: bool = True,
    ) -> None:
        if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("concurrency must be a whole number of at least 1")
        self._source = source
        self._work = work
        self._session = session
        self._name = name
        self._size = size
        self._mixed = mixed
        self._submits = submits
        self._room = asyncio.Semaphore(concurrency)
        self._unsent = asyncio.Semaphore(UNSENT) if submits else None
        self._followed = asyncio.Semaphore(FOLLOWED)
        self._gathered: list[T] = []
        self._next = 0
        self._pending: dict[asyncio.Task[None], Pending[T]] = {}
        self._inbox: _Inbox[tuple[Result[T], asyncio.Semaphore | None]] = _Inbox()
        self._failure: BaseException | None = None
        self._failed: dict[str, LeadSquaredError] = {}  # by operation, the error that affects all of it
        self._puller: asyncio.Task[None] | None = None
        self._is_pulling = False
        self._is_cancelled = False
        self._entered = 0.0
        self._forget: Callable[[], None] | None = None

    async def __aenter__(self) -> Self:
        if self._puller is not None:
            raise ClientClosed(f"{self._name}: a batch can be entered only once")
        self._session.check_usable()
        self._forget = self._session.when_closing(self._client_is_closing)
        self._entered = clock.now()
        self._puller = asyncio.create_task(self._pull(), name=f"leadsquared_async {self._name} source")
        self._is_pulling = True
        self._inbox.expect()
        self._puller.add_done_callback(self._pulled)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import anyio  # noqa: PLC0415 - slow to import, and only for those who opened a client

        assert self._puller is not None
        assert self._forget is not None
        self._forget()
        self._inbox.close()
        for task, pending in self._pending.items():
            if pending.stage in {Stage.UNSENT, Stage.ACCEPTED}:
                task.cancel()
        self._cancel_source()
        tasks = {self._puller, *self._pending}
        try:
            # If an anyio scope cancelled the block, it would cancel this wait too.
            with anyio.CancelScope(shield=True):
                await asyncio.wait(tasks, timeout=GRACE)
        finally:
            await uninterrupted(self._break_off(tasks))

    def __repr__(self) -> str:
        return f"<Results of {self._name}>"

    async def __anext__(self) -> Result[T]:
        if self._puller is None or self._inbox.is_closed:
            raise self._not_inside()
        taken = await self._inbox.take()
        if self._inbox.is_closed:
            raise self._not_inside()
        if taken is None:
            failure, self._failure = self._failure, None
            if isinstance(failure, StopAsyncIteration):  # it would look like the end of the results
                raise RuntimeError("the source or a lead raised StopAsyncIteration") from failure
            raise StopAsyncIteration if failure is None else failure
        result, room = taken
        if room is not None:
            room.release()
        return result

    def _not_inside(self) -> ClientClosed:
        return ClientClosed(f"{self._name}: read results inside the `async with` block")

    async def _pull(self) -> None:
        """Pull from the source whenever there is room."""
        await asyncio.sleep(0)  # an eager task would start before `__aenter__` has stored it
        try:
            try:
                await self._wait_for_room()
                # No local holds the source or an item: a traceback of its error must not show a lead.
                async for item in self._source:
                    if self._inbox.is_closed or not self._is_pulling:
                        return  # the source ignored its cancellation and yielded one more
                    self._gathered.append(item)
                    del item
                    if self._failure is not None:
                        return  # the same, but this item gets a result
                    if len(self._gathered) == self._size:
                        self._begin()
                        await self._wait_for_room()
            finally:
                self._begin()  # items pulled before the source ended, failed or was cancelled
        except Exception as error:
            self._source_failed(error)
        finally:
            await self._close_source()

    async def _wait_for_room(self) -> None:
        await self._room.acquire()
        if self._unsent is not None:
            await self._unsent.acquire()

    async def _close_source(self) -> None:
        try:
            await self._source.aclose()
        except Exception as error:
            if self._inbox.is_closed:
                from leadsquared_async.events import CallbackFailed  # noqa: PLC0415 - slow to import

                kind = type(error).__name__
                self._session.events.emit(CallbackFailed(callback="source", kind=kind, item=self._name))
            else:
                self._source_failed(error)

    def _pulled(self, task: asyncio.Task[None]) -> None:
        """Handle the end of the source."""
        # Otherwise a source cancelled from outside would look finished.
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self._source_failed(error)
        self._stop_pulling()

    def _source_failed(self, error: BaseException) -> None:
        """Raise this error at the end, if the source is still awaited."""
        if self._is_pulling:
            self._failure = self._failure or error

    def _stop_pulling(self) -> None:
        """Stop waiting for the source."""
        if self._is_pulling:
            self._is_pulling = False
            self._inbox.settle()

    def _begin(self) -> None:
        """Start the call for the gathered items."""
        items, self._gathered = self._gathered, []
        if not items or self._inbox.is_closed or not self._is_pulling:
            return
        stage = Stage.UNSENT if self._submits else Stage.ACCEPTED
        pending = Pending(self._next, items, self._entered, self._room, self._followed, stage)
        pending.unsent = self._unsent
        self._next += len(items)
        error = self._failure if self._failure is not None else self._failed.get(self._operation_of(pending))
        if self._submits and isinstance(error, LeadSquaredError):
            self._add_unsent(pending, error)
            return
        task = asyncio.create_task(self._one(pending), name=f"leadsquared_async {self._name} {pending.index}")
        self._pending[task] = pending
        self._inbox.expect()
        task.add_done_callback(self._ended)

    async def _one(self, pending: Pending[T]) -> None:
        results = await self._work(pending)
        self._add(pending, results)
        error = next((it.error for it in results if it.error and _stops_others(it, it.error)), None)
        if error is None:
            return
        is_of_all = error.scope is Scope.ACCOUNT or not self._mixed
        self._stop(error, None if is_of_all else self._operation_of(pending))

    def _add(self, pending: Pending[T], results: Sequence[Result[T]]) -> None:
        """Pass results to the reader; reading the last one frees their place."""
        pending.stage = Stage.DONE
        pending.let_next_wait()
        last = len(results) - 1
        self._inbox.put([(result, pending.room if n == last else None) for n, result in enumerate(results)])

    def _add_unsent(self, pending: Pending[T], error: LeadSquaredError) -> None:
        self._add(
            pending,
            [
                pending.result(place, error=_not_sent(self._name, error, _reference_of(item)))
                for place, item in enumerate(pending.items)
            ],
        )

    def _client_is_closing(self) -> None:
        if self._is_pulling:  # else all items are pulled, and each open call ends with its own error
            self._stop(ClientClosed(f"{self._name}: {CLOSED}", operation=self._name))

    def _stop(self, error: LeadSquaredError, operation: str | None = None) -> None:
        """Stop sending, or stop one operation; items already pulled still get results."""
        if operation is not None:
            self._failed[operation] = error
        elif self._failure is None:
            self._break_off_pulling(error)
        else:
            return
        for task, pending in self._pending.items():
            is_concerned = operation in {None, self._operation_of(pending)}
            if is_concerned and pending.stage is Stage.UNSENT and pending.stopped_by is None:
                pending.stopped_by = error
                task.cancel()

    def _operation_of(self, pending: Pending[T]) -> str:
        """The operation of the items, if it may differ between items; else the batch's name."""
        item = pending.item
        return item.operation.name if self._mixed and isinstance(item, Submission) else self._name

    def _break_off_pulling(self, error: BaseException) -> None:
        """Stop pulling, and raise this error at the end."""
        self._failure = self._failure or error
        self._cancel_source()
        # A source may end slowly, or ignore its cancellation.
        asyncio.get_running_loop().call_later(LAST_WAIT, self._stop_pulling)

    def _cancel_source(self) -> None:
        """Cancel the source once; a second cancellation would interrupt its clean-up."""
        if not self._is_cancelled:
            self._is_cancelled = True
            assert self._puller is not None
            self._puller.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        pending = self._pending.pop(task)
        pending.let_next_wait()
        error = None if task.cancelled() else task.exception()
        if pending.stage is Stage.ACCEPTED and pending.receipt is not None:
            self._add(pending, [pending.result()])  # following was cancelled
        if task.cancelled():
            if pending.stopped_by is not None:
                self._add_unsent(pending, pending.stopped_by)
            elif not self._inbox.is_closed:
                self._break_off_pulling(asyncio.CancelledError())
        elif error is not None:
            # A bug of the caller or of this package, not a failed call: results must not hide it.
            self._break_off_pulling(error)
        self._inbox.settle()

    async def _break_off(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Cancel tasks that outlast the grace period, and tell of unread results."""
        tasks = list(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=LAST_WAIT)
        for result, _ in self._inbox.untaken():
            if self._submits:
                tell_unread(result, self._name, self._session.events)


class _Inbox(Generic[T]):
    """Unread results, and the number of tasks that may still add some.

    Each change wakes every reader.

    Attributes:
        is_closed: whether reading has ended, since the block was left.
    """

    def __init__(self) -> None:
        self._results: deque[T] = deque()
        self._expected = 0
        self.is_closed = False
        self._changed = asyncio.Event()

    def expect(self) -> None:
        """Expect results from one more task, until it calls `settle`."""
        self._expected += 1

    def put(self, results: Sequence[T]) -> None:
        self._results += results
        self._changed.set()

    def settle(self) -> None:
        """One expected task will add no more results."""
        self._expected -= 1
        self._changed.set()

    def close(self) -> None:
        """End all reads."""
        self.is_closed = True
        self._changed.set()

    async def take(self) -> T | None:
        """Wait for the next result; None if no more will come, or after `close`."""
        while not self.is_closed and (self._results or self._expected):
            if self._results:
                return self._results.popleft()
            self._changed.clear()
            await self._changed.wait()
        return None

    def untaken(self) -> Iterator[T]:
        """Remove and yield the unread results."""
        while self._results:
            yield self._results.popleft()


def _reference_of(item: object) -> str | None:
    return item.reference if isinstance(item, Submission | Receipt | Result) else None


def _stops_others(result: Result[Any], error: LeadSquaredError) -> bool:
    """Whether the error would hit the other items too until it is fixed."""
    item: object = result.item
    if isinstance(item, Result) and item.error is error:
        return False  # an earlier error, passed through
    if error.scope is Scope.ACCOUNT:
        return True
    # With a receipt the submission worked; only its status call failed.
    return error.scope is Scope.OPERATION and error.fault is Fault.ACCOUNT and result.receipt is None


def _not_sent(name: str, error: LeadSquaredError, reference: str | None) -> LeadSquaredError:
    """The error of an item that is not sent because of another item's error."""
    why = f"an earlier {error.operation or name} failed with {type(error).__name__}, which affects every item"
    return type(error)(
        f"{name}: not sent: {CLOSED if isinstance(error, ClientClosed) else why}",
        delivery=Delivery.NOT_SENT,
        fault=error.fault,
        scope=error.scope,
        operation=error.operation,
        reference=reference,
    )

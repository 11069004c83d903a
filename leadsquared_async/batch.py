"""Many calls from one source, streamed: so many at a time, their results as they complete.

Not a generator: one that yields inside a task group would break cancellation, and one that is left early
would end when the garbage collector finds it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from leadsquared_async.cleanup import uninterrupted
from leadsquared_async.errors import (
    APIError,
    ClientClosed,
    ConfigurationError,
    Delivery,
    Fault,
    LeadSquaredError,
    Scope,
)
from leadsquared_async.models import Receipt, RequestStatus
from leadsquared_async.submissions import Submission

if TYPE_CHECKING:
    from leadsquared_async.http.session import Session
    from leadsquared_async.logs import ClientLog

__all__ = [
    "BulkResult",
    "CaptureResult",
    "Chunk",
    "Chunks",
    "Held",
    "Results",
    "Source",
    "SubmissionResult",
    "WaitResult",
]

GRACE = 8.0
"""Seconds for which what has been sent is waited for when a block is left early."""
LAST_WAIT = 1.0
"""Seconds that what is broken off then may take to end; only a source or a transport of others needs any."""
CLOSED = "the client was closed before it was done"


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """What became of one lead of many.

    Attributes:
        index: its place in the source, from 0.
        lead: as it came from the source.
        receipt: LeadSquared's, if it was accepted.
        error: why it was not; its `delivery` says whether the lead may have arrived.
    """

    index: int
    lead: Mapping[str, Any] = field(repr=False)
    receipt: Receipt | None
    error: LeadSquaredError | None


@dataclass(frozen=True, slots=True)
class SubmissionResult:
    """What became of one submission of many.

    Attributes:
        index: its place in the source, from 0.
        submission: as it came from the source.
        receipt: LeadSquared's, if it was accepted.
        error: why it was not; its `delivery` says whether it may have arrived.
    """

    index: int
    submission: Submission
    receipt: Receipt | None
    error: LeadSquaredError | None


@dataclass(frozen=True, slots=True)
class WaitResult:
    """What became of one request of many.

    Attributes:
        index: its place in the source, from 0.
        request_id: as it came from the source.
        status: the final status.
        error: why there is none; `StillProcessing` when the wait ran out.
    """

    index: int
    request_id: str
    status: RequestStatus | None
    error: LeadSquaredError | None


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What became of one lead of many that share calls.

    Attributes:
        index: its place in the source, from 0.
        lead: as it came from the source.
        lead_id: of the lead that it made or changed; None if it failed.
        created: whether that lead is new; None if it failed, or LeadSquared did not say.
        updated: whether LeadSquared says that a lead which it had was changed.
        error: why it failed; its `delivery` says whether the lead may have arrived.
        dropped: attributes that the account does not have and that were left out, with `validate="drop"`.
    """

    index: int
    lead: Mapping[str, Any] = field(repr=False)
    lead_id: str | None
    created: bool | None
    updated: bool | None
    error: LeadSquaredError | None
    dropped: tuple[str, ...] = ()


S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R", CaptureResult, SubmissionResult, WaitResult, BulkResult)


@dataclass(eq=False)
class Held(Generic[S]):
    """An item that was pulled from the source and whose result nobody has taken yet.

    Attributes:
        index: its place in the source.
        item: what the source gave.
        entered: when the block was entered, in the loop's time.
        sent: whether a call for it is under way or was, so that breaking off would lose its outcome.
        stopped_by: the error of another item that keeps this one from being sent.
    """

    index: int
    item: S = field(repr=False)
    entered: float
    sent: bool = False
    stopped_by: LeadSquaredError | None = None

    async def about_to_send(self) -> None:
        """For `before_send`."""
        self.sent = True


class Results(Generic[R]):
    """The results of many calls, as they complete: `async with ... as results: async for result in results`.

    It holds at most `concurrency` items, pulled and not yet taken, so that source and consumer keep pace. One
    that fails does not stop the others; an error that is the account's fault does, since it would meet all:
    then the rest is not sent, and after the results of what was pulled the iteration raises that error. It
    does the same for an error of the source, and when the client is closed. Leaving the block early cancels
    unsent calls and awaits the others. A generator is closed when the block ends at the latest.
    Where submissions of several operations are sent, an error that is one operation's, such as a path that
    does not exist, stops the rest of that operation only: their results say so, and nothing is raised.

    An item may have several results, such as a chunk of leads that share a call.

    Args:
        source: items; one that blocks should be asynchronous.
        work: makes the call for an item and returns its results; errors of the call stand in them.
        unsent: the results of an item that is not sent, since this error would meet it too; None to let those
            that were pulled meet it themselves.
        session: of the client that makes the calls.
        concurrency: items held at the same moment, at most.
        name: of the operation, for log lines.
    """

    def __init__(
        self,
        source: Source[S] | Chunks[Any],
        work: Callable[[Held[S]], Awaitable[R | Sequence[R]]],
        unsent: Callable[[Held[S], LeadSquaredError], R | Sequence[R]] | None = None,
        *,
        session: Session,
        concurrency: int,
        name: str,
    ) -> None:
        if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("concurrency has to be a whole number of at least 1")
        self._source = source
        self._work: Callable[[Held[Any]], Awaitable[R | Sequence[R]]] = work
        self._unsent: Callable[[Held[Any], LeadSquaredError], R | Sequence[R]] | None = unsent
        self._session = session
        self._name = name
        self._room = asyncio.Semaphore(concurrency)
        self._held: dict[asyncio.Task[None], Held[Any]] = {}
        self._inbox: _Inbox[tuple[R, bool]] = _Inbox()
        self._failure: BaseException | None = None
        self._failed: dict[str, LeadSquaredError] = {}  # by operation, what all of it would meet
        self._puller: asyncio.Task[None] | None = None
        self._is_pulling = False
        self._is_cancelled = False
        self._entered = 0.0
        self._forget: Callable[[], None] | None = None
        self._is_left = False

    async def __aenter__(self) -> Self:
        if self._puller is not None:
            raise ClientClosed(f"{self._name}: a batch is entered once")
        self._forget = self._session.pipeline().when_closing(self._client_is_closing)
        self._entered = asyncio.get_running_loop().time()
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
        self._is_left = True
        self._forget()
        self._inbox.close()
        for task, held in self._held.items():
            if not held.sent:
                task.cancel()
        self._cancel_source()
        tasks = {self._puller, *self._held}
        try:
            # An anyio scope that cancelled the block would cancel this wait, too.
            with anyio.CancelScope(shield=True):
                await asyncio.wait(tasks, timeout=GRACE)
        finally:
            await uninterrupted(self._break_off(tasks))

    def __aiter__(self) -> AsyncIterator[R]:
        return self

    async def __anext__(self) -> R:
        if self._puller is None or self._is_left:
            raise self._not_inside()
        try:
            taken = await self._inbox.take()
        except _LeftError:
            raise self._not_inside() from None
        if taken is None:
            failure, self._failure = self._failure, None
            raise StopAsyncIteration if failure is None else failure
        result, is_last = taken
        if is_last:
            self._room.release()
        return result

    def _not_inside(self) -> ClientClosed:
        return ClientClosed(f"{self._name}: results are read inside the `async with` block")

    async def _pull(self) -> None:
        """Pull from the source whenever there is room."""
        index = 0
        await asyncio.sleep(0)  # an eager task would begin before `__aenter__` has noted it
        try:
            await self._room.acquire()
            # Neither source nor item in a local: a traceback of the source's error is to show no lead.
            async for item in self._source:
                if self._is_left or not self._is_pulling:
                    return  # it was cancelled, and the source gave one more all the same
                self._begin(Held(index, item, self._entered))
                del item
                index += 1
                if self._failure is not None:
                    return  # the same, but that one has a result
                await self._room.acquire()
        except Exception as error:
            self._source_failed(error)
        finally:
            await self._close_source()

    async def _close_source(self) -> None:
        try:
            await self._source.aclose()
        except Exception as error:
            if self._is_left:
                self._session.log.warning(
                    "%s: closing the source failed with %s",
                    self._name,
                    type(error).__name__,
                    extra={"event": "source_failed", "operation": self._name},
                )
            else:
                self._source_failed(error)

    def _pulled(self, task: asyncio.Task[None]) -> None:
        """The source brings nothing more."""
        # One that was cancelled by others would seem to have ended.
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self._source_failed(error)
        self._stop_pulling()

    def _source_failed(self, error: BaseException) -> None:
        """Raise this in the end, if the source is still waited for."""
        if self._is_pulling:
            self._failure = self._failure or error

    def _stop_pulling(self) -> None:
        """Wait for the source no more."""
        if self._is_pulling:
            self._is_pulling = False
            self._inbox.settle()

    def _begin(self, held: Held[Any]) -> None:
        error = self._failure if self._failure is not None else self._failed.get(_operation_of(held) or "")
        if self._unsent is not None and isinstance(error, LeadSquaredError):
            self._add(self._unsent(held, error))
            return
        task = asyncio.create_task(self._one(held), name=f"leadsquared_async {self._name} {held.index}")
        self._held[task] = held
        self._inbox.expect()
        task.add_done_callback(self._ended)

    async def _one(self, held: Held[Any]) -> None:
        errors = [result.error for result in self._add(await self._work(held))]
        error = next((error for error in errors if error is not None and _stops_others(error)), None)
        if error is None:
            return
        held.sent = True  # this one has its results
        operation = _operation_of(held)
        if operation is None or error.scope is Scope.ACCOUNT:
            self._stop(error)
        else:
            self._stop_operation(operation, error)

    def _add(self, outcome: R | Sequence[R]) -> Sequence[R]:
        """Keep the results of an item for whoever takes them; with the last of them there is room again."""
        results = outcome if isinstance(outcome, Sequence) else [outcome]
        self._inbox.put([(result, number == len(results)) for number, result in enumerate(results, 1)])
        return results

    def _client_is_closing(self) -> None:
        if self._is_pulling:  # else all was pulled, and each call that is left ends with its own error
            self._stop(ClientClosed(f"{self._name}: {CLOSED}", operation=self._name))

    def _stop(self, error: LeadSquaredError) -> None:
        """Send nothing more; what was pulled gets its result all the same."""
        if self._failure is None:
            self._break_off_pulling(error)
            self._cancel_unsent(error, self._held)

    def _stop_operation(self, operation: str, error: LeadSquaredError) -> None:
        """Send nothing more of one operation."""
        self._failed[operation] = error
        self._cancel_unsent(
            error, [task for task, held in self._held.items() if _operation_of(held) == operation]
        )

    def _cancel_unsent(self, error: LeadSquaredError, tasks: Iterable[asyncio.Task[None]]) -> None:
        for task in tasks:
            held = self._held[task]
            if self._unsent is not None and not held.sent and held.stopped_by is None:
                held.stopped_by = error
                task.cancel()

    def _break_off_pulling(self, error: BaseException) -> None:
        """Pull nothing more, and raise this in the end."""
        self._failure = self._failure or error
        self._cancel_source()
        # A source may take its time to end, or ignore its cancellation.
        asyncio.get_running_loop().call_later(LAST_WAIT, self._stop_pulling)

    def _cancel_source(self) -> None:
        """Once only: a second cancellation would cut short what the source does to clean up."""
        if not self._is_cancelled:
            self._is_cancelled = True
            assert self._puller is not None
            self._puller.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        held = self._held.pop(task)
        if task.cancelled():
            if held.stopped_by is not None and self._unsent is not None:
                self._add(self._unsent(held, held.stopped_by))
            elif not self._is_left:
                self._break_off_pulling(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            # A fault in somebody's code, not of a call: it is not to hide among results.
            self._break_off_pulling(error)
        self._inbox.settle()

    async def _break_off(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """End what did not end within the grace, and tell what became of results that nobody took."""
        tasks = list(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=LAST_WAIT)
        for result, _ in self._inbox.untaken():
            if not isinstance(result, WaitResult):
                _tell(result, self._name, self._session.log)


class _LeftError(Exception):
    """Nobody may take results any more."""


class _Inbox(Generic[T]):
    """Results that nobody has taken yet, and how many may still bring some.

    All that a reader waits for changes in here, by `_change` only, which wakes every reader.
    """

    def __init__(self) -> None:
        self._results: deque[T] = deque()
        self._expected = 0
        self._is_closed = False
        self._changed = asyncio.Event()

    def expect(self) -> None:
        """One more may bring results; it says with `settle` that it will not, any more."""
        self._expected += 1

    def put(self, results: Sequence[T]) -> None:
        """Bring results."""
        self._change(results)

    def settle(self) -> None:
        """One of those that were expected brings nothing more."""
        self._change(expected=-1)

    def close(self) -> None:
        """Turn readers away."""
        self._change(is_closed=True)

    def _change(self, results: Sequence[T] = (), *, expected: int = 0, is_closed: bool = False) -> None:
        self._results += results
        self._expected += expected
        self._is_closed |= is_closed
        self._changed.set()

    async def take(self) -> T | None:
        """The next result as soon as there is one; None if none is left and none will come."""
        while True:
            if self._is_closed:
                raise _LeftError
            if self._results:
                return self._results.popleft()
            if not self._expected:
                return None
            self._changed.clear()
            await self._changed.wait()

    def untaken(self) -> Iterator[T]:
        """What nobody took; that is over then."""
        while self._results:
            yield self._results.popleft()


def _tell(result: CaptureResult | SubmissionResult | BulkResult, name: str, log: ClientLog) -> None:
    """Tell of a lead that was accepted, may have been, or was rejected, and whose result nobody took."""
    error = result.error
    receipt = None if isinstance(result, BulkResult) else result.receipt
    if error is None:
        level, event, delivery, reason = logging.WARNING, "abandoned", Delivery.ACCEPTED, None
        accepted = None if receipt is None else f"was accepted, RequestID {receipt.request_id}"
        what = accepted or f"is lead {result.lead_id if isinstance(result, BulkResult) else None}"
    elif (loss := _loss(error)) is not None:
        level, event, delivery, reason = logging.ERROR, loss, error.delivery, _kind_of(error)
        what = (
            f"was rejected ({reason})" if loss == "rejected" else f"failed with {reason}; it may have arrived"
        )
    else:
        return
    log.log(
        level,
        "%s: abandoned by its caller (index %d): %s",
        name,
        result.index,
        what,
        extra={
            "event": event,
            "operation": receipt.operation if receipt is not None else (error and error.operation) or name,
            "index": result.index,
            "reference": receipt.reference if receipt is not None else error and error.reference,
            "request_id": None if receipt is None else receipt.request_id,
            "delivery": delivery.value,
            "reason": reason,
        },
    )


def _loss(error: LeadSquaredError) -> str | None:
    """Whether an item is lost unless somebody acts: "rejected" or "unknown"; None if it was not sent."""
    if error.delivery is Delivery.UNKNOWN:
        return "unknown"
    return "rejected" if error.delivery is Delivery.REJECTED or error.fault is Fault.LEAD else None


def _kind_of(error: LeadSquaredError) -> str:
    """Of which kind an error is, in a word that holds no value of the lead."""
    named = (error.exception_type or "") if isinstance(error, APIError) else ""
    return named if _EXCEPTION.fullmatch(named) else type(error).__name__


_EXCEPTION = re.compile(r"[A-Za-z]{1,80}Exception")


def _operation_of(held: Held[Any]) -> str | None:
    """What it is submitted to, where that may be another operation than that of the others."""
    return held.item.operation.name if isinstance(held.item, Submission) else None


def _stops_others(error: LeadSquaredError) -> bool:
    """Whether the others would fail as well until somebody acts."""
    return error.scope is Scope.ACCOUNT or (error.scope is Scope.OPERATION and error.fault is Fault.ACCOUNT)


class Source(Generic[S]):
    """The items that a caller passes as many, of either kind of iterable, read by one task.

    A generator is closed by `aclose`: its own clean-up, such as closing a file or a cursor, is not to wait
    for the garbage collector. Other iterators belong to their owner, who may go on reading.

    Args:
        items: what the caller passed.
        call: what was called, in the caller's words, for an error.
        of: what the items have to be, for an error.

    Raises:
        ConfigurationError: these are not many.
    """

    def __init__(self, items: Iterable[S] | AsyncIterable[S], call: str, of: str) -> None:
        if not _is_many(items):
            raise ConfigurationError(
                f"{call}() expects an iterable or async iterable of {of}, got {type(items).__name__}; "
                "pass a list, also for a single one: [item]"
            )
        self._given = items
        self._reading: Iterator[S] | AsyncIterator[S] | None = None

    def __aiter__(self) -> Self:
        given = self._given
        self._reading = aiter(given) if isinstance(given, AsyncIterable) else iter(given)
        return self

    async def __anext__(self) -> S:
        if isinstance(self._reading, AsyncIterator):
            return await anext(self._reading)
        assert self._reading is not None
        for item in self._reading:
            return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close a generator, in the task that read it; what was read to its end stays as it is."""
        reading: object = self._reading
        if isinstance(reading, AsyncGenerator):
            await cast("AsyncGenerator[object]", reading).aclose()
        elif isinstance(reading, Generator):
            cast("Generator[object]", reading).close()


def _is_many(items: object) -> bool:
    return isinstance(items, Iterable | AsyncIterable) and not isinstance(
        items, str | bytes | bytearray | Mapping
    )


class Chunk(Generic[S]):
    """Some items in a row, which share a call.

    Attributes:
        first: the place of the first in the source.
        items: them; at least one.
    """

    __slots__ = ("first", "items")  # and a repr that shows none of them

    def __init__(self, first: int) -> None:
        self.first = first
        self.items: list[S] = []


class Chunks(Generic[S]):
    """A source, cut into chunks. What it gave before it failed, or was cancelled, comes as a last chunk.

    Args:
        source: of items.
        size: items in a chunk, at most.
    """

    def __init__(self, source: Source[S], size: int) -> None:
        self._items = source
        self._size = size
        self._next = 0
        self._end: BaseException | None = None

    def __aiter__(self) -> Self:
        aiter(self._items)
        return self

    async def __anext__(self) -> Chunk[S]:
        chunk = Chunk[S](self._next)
        try:
            while self._end is None and len(chunk.items) < self._size:
                chunk.items.append(await anext(self._items))
        except (Exception, asyncio.CancelledError) as end:
            self._end = end
        self._next += len(chunk.items)
        if not chunk.items and self._end is not None:
            raise self._end
        return chunk

    async def aclose(self) -> None:
        """Close the source."""
        await self._items.aclose()

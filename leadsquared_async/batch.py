"""Many calls from one source, streamed: so many at a time, their results as they complete.

Not a generator: one that yields inside a task group would break cancellation, and one that is left early
would end when the garbage collector finds it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from leadsquared_async.errors import (
    AuthenticationFailed,
    ClientClosed,
    ConfigurationError,
    Delivery,
    Fault,
    Forbidden,
    LeadSquaredError,
    QuotaExceeded,
)
from leadsquared_async.models import Receipt, RequestStatus
from leadsquared_async.submissions import Submission

__all__ = [
    "BulkResult",
    "CaptureResult",
    "Chunk",
    "Chunks",
    "Held",
    "Results",
    "SubmissionResult",
    "WaitResult",
    "asynchronous",
]

logger = logging.getLogger("leadsquared_async")

GRACE = 8.0
"""Seconds for which what has been sent is waited for when a block is left early."""
LAST_WAIT = 1.0
"""Seconds that what is broken off then may take to end; only a source or a transport of others needs any."""


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
    then the rest is not sent, and after the results of what was pulled the iteration raises that error. So it
    does with an error of the source. Leaving the block early cancels what is not sent and awaits what is.
    Where submissions of several operations are sent, an error that is one operation's, such as a path that
    does not exist, stops the rest of that operation only: their results say so, and nothing is raised.

    An item may have several results, such as a chunk of leads that share a call.

    Args:
        source: items; one that blocks should be asynchronous.
        work: makes the call for an item and returns its results; errors of the call stand in them.
        unsent: the results of an item that is not sent, since this error would meet it too; None to let those
            that were pulled meet it themselves.
        concurrency: items held at the same moment, at most.
        name: of the operation, for log lines.
    """

    def __init__(
        self,
        source: Iterable[S] | AsyncIterable[S],
        work: Callable[[Held[S]], Awaitable[R | Sequence[R]]],
        unsent: Callable[[Held[S], LeadSquaredError], R | Sequence[R]] | None = None,
        *,
        concurrency: int,
        name: str,
    ) -> None:
        if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("concurrency has to be a whole number of at least 1")
        _check_source(source, name)
        self._source = source
        self._work: Callable[[Held[Any]], Awaitable[R | Sequence[R]]] = work
        self._unsent: Callable[[Held[Any], LeadSquaredError], R | Sequence[R]] | None = unsent
        self._name = name
        self._room = asyncio.Semaphore(concurrency)
        self._held: dict[asyncio.Task[None], Held[Any]] = {}
        self._results: deque[tuple[R, bool]] = deque()
        self._news = asyncio.Event()
        self._failure: BaseException | None = None
        self._failed: dict[str, LeadSquaredError] = {}  # by operation, what all of it would meet
        self._puller: asyncio.Task[None] | None = None
        self._entered = 0.0
        self._is_left = False

    async def __aenter__(self) -> Self:
        if self._puller is not None or self._is_left:
            raise ClientClosed(f"{self._name}: a batch is entered once")
        self._entered = asyncio.get_running_loop().time()
        self._puller = asyncio.create_task(self._pull(), name=f"leadsquared_async {self._name} source")
        self._puller.add_done_callback(lambda _: self._news.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import anyio  # noqa: PLC0415 - slow to import, and only for those who opened a client

        self._is_left = True
        assert self._puller is not None
        for task, held in self._held.items():
            if not held.sent:
                task.cancel()
        self._puller.cancel()
        tasks = {self._puller, *self._held}
        # An anyio scope that cancelled the block would cancel every wait in here, too.
        with anyio.CancelScope(shield=True):
            try:
                await asyncio.wait(tasks, timeout=GRACE)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks, timeout=LAST_WAIT)
                self._tell_untaken()

    def __aiter__(self) -> AsyncIterator[R]:
        return self

    async def __anext__(self) -> R:
        while True:
            if self._puller is None or self._is_left:
                raise ClientClosed(f"{self._name}: results are read inside the `async with` block")
            if self._results:
                result, is_last = self._results.popleft()
                if is_last:
                    self._room.release()
                return result
            if self._puller.done() and not self._held:
                failure, self._failure = self._failure, None
                raise StopAsyncIteration if failure is None else failure
            self._news.clear()
            await self._news.wait()

    async def _pull(self) -> None:
        """Pull from the source whenever there is room."""
        index = 0
        try:
            await self._room.acquire()
            # Neither source nor item in a local: a traceback of the source's error is to show no lead.
            async for item in asynchronous(self._source):
                if self._is_left:
                    return  # it was cancelled, and the source gave one more all the same
                self._begin(Held(index, item, self._entered))
                del item
                index += 1
                if self._failure is not None:
                    return  # the same, but that one has a result
                await self._room.acquire()
        except Exception as error:
            self._failure = self._failure or error
        except asyncio.CancelledError as error:
            if not self._is_left:
                self._failure = self._failure or error  # the source's own, else it would seem to have ended
            raise

    def _begin(self, held: Held[Any]) -> None:
        error = self._failure if self._failure is not None else self._failed.get(_operation_of(held) or "")
        if self._unsent is not None and isinstance(error, LeadSquaredError):
            self._add(self._unsent(held, error))
            return
        task = asyncio.create_task(self._one(held), name=f"leadsquared_async {self._name} {held.index}")
        self._held[task] = held
        task.add_done_callback(self._ended)

    async def _one(self, held: Held[Any]) -> None:
        errors = [result.error for result in self._add(await self._work(held))]
        operation = _operation_of(held)
        for error in errors:
            if error is None or not _meets_others(error):
                continue
            held.sent = True  # this one has its results
            if operation is None or _meets_all(error):
                self._stop(error)
            else:
                self._stop_operation(operation, error)
            return

    def _add(self, outcome: R | Sequence[R]) -> Sequence[R]:
        """Keep the results of an item for whoever takes them; with the last of them there is room again."""
        results = outcome if isinstance(outcome, Sequence) else [outcome]
        self._results += [(result, False) for result in results[:-1]]
        self._results.append((results[-1], True))
        return results

    def _stop(self, error: LeadSquaredError) -> None:
        """Send nothing more; what was pulled gets its result all the same."""
        if self._failure is not None:
            return
        self._break_off(error)
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

    def _break_off(self, error: BaseException) -> None:
        """Pull nothing more, and raise this in the end."""
        self._failure = self._failure or error
        assert self._puller is not None
        self._puller.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        held = self._held.pop(task)
        self._news.set()
        if task.cancelled():
            if held.stopped_by is not None and self._unsent is not None:
                self._add(self._unsent(held, held.stopped_by))
            elif not self._is_left:
                self._break_off(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            # A fault in somebody's code, not of a call: it is not to hide among results.
            self._break_off(error)

    def _tell_untaken(self) -> None:
        """The block was left before these were taken: what became of them stands in the log."""
        for result, _ in self._results:
            if not isinstance(result, WaitResult):
                _tell(result, self._name)


def _tell(result: CaptureResult | SubmissionResult | BulkResult, name: str) -> None:
    """Tell of a lead that was accepted, or may have been."""
    error = result.error
    receipt = None if isinstance(result, BulkResult) else result.receipt
    if receipt is not None:
        request_id, delivery = receipt.request_id, Delivery.ACCEPTED
        what = f"was accepted, RequestID {request_id}"
    elif error is None and isinstance(result, BulkResult):
        request_id, delivery = None, Delivery.ACCEPTED
        what = f"is lead {result.lead_id}"
    elif error is not None and error.delivery is Delivery.UNKNOWN:
        request_id, delivery = None, error.delivery
        what = f"failed with {type(error).__name__}; it may have arrived"
    else:
        return
    logger.warning(
        "%s: abandoned by its caller (index %d): %s",
        name,
        result.index,
        what,
        extra={
            "event": "abandoned",
            "operation": name,
            "index": result.index,
            "reference": None,
            "request_id": request_id,
            "delivery": delivery.value,
        },
    )


def _operation_of(held: Held[Any]) -> str | None:
    """What it is submitted to, where that may be another operation than that of the others."""
    return held.item.operation.name if isinstance(held.item, Submission) else None


def _meets_others(error: LeadSquaredError) -> bool:
    """Whether whatever else is submitted to the same operation would meet it too."""
    return error.fault is Fault.ACCOUNT or isinstance(error, ClientClosed)


def _meets_all(error: LeadSquaredError) -> bool:
    """Whether other operations would meet it, too: it is no fault of a path."""
    of_the_account = AuthenticationFailed | ConfigurationError | Forbidden | QuotaExceeded
    return isinstance(error, of_the_account | ClientClosed)


def asynchronous(source: Iterable[S] | AsyncIterable[S]) -> AsyncIterable[S]:
    """A source of either kind, for `async for`."""
    return source if isinstance(source, AsyncIterable) else _Stepping(source)


class _Stepping(Generic[S]):
    """An iterable, read asynchronously. No generator: one that is left early ends in a task of its own."""

    def __init__(self, source: Iterable[S]) -> None:
        self._items = iter(source)

    def __aiter__(self) -> AsyncIterator[S]:
        return self

    async def __anext__(self) -> S:
        for item in self._items:
            return item
        raise StopAsyncIteration


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
        name: of the operation, for errors.

    Raises:
        ConfigurationError: it is no source.
    """

    def __init__(self, source: Iterable[S] | AsyncIterable[S], size: int, name: str) -> None:
        _check_source(source, name)
        self._source = source
        self._size = size
        self._next = 0
        self._end: BaseException | None = None

    def __aiter__(self) -> AsyncIterator[Chunk[S]]:
        self._items = aiter(asynchronous(self._source))
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


def _check_source(source: object, name: str) -> None:
    if not isinstance(source, Iterable | AsyncIterable) or isinstance(source, str | bytes | Mapping):
        raise ConfigurationError(f"{name} takes an iterable or asynchronous iterable of many")
